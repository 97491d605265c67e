package console

import "greffe/pkg/index"

func (c *Console) providerOf(index.User) string { return "" }
