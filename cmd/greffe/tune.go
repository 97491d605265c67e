package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// processors is how many processors this process may use: the machine's, or what
// its container is allowed.
var processors = runtime.GOMAXPROCS(0)

// tune sets what Go decides otherwise, unless the environment has a say.
//
// The collector runs more often than by default: most of what lives on our heap is
// the block buffers of the bus, large, without pointers, cheap to look at and dear to
// keep twice.
//
// Go runs as many goroutines at once as there are processors, counting those that
// wait for a disk until it notices. Making things durable is most of our waiting, so
// there are twice as many: a fifth more messages in the same time where the
// disk is a disk, none lost where it is memory.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(40)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * processors)
	}
}
