package bus_test

import "os"

func victim(dir string) { os.Exit(3) }
