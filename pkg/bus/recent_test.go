package bus

import (
	"fmt"
	"testing"
)

// What is remembered stays within its bounds, also behind an object that nobody drops.
func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	var c recent
	c.keep("stays", nil, make([]byte, 10))
	for i := range 10_000 {
		name := fmt.Sprint(i)
		c.keep(name, nil, make([]byte, 10))
		c.forget(name)
	}
	if c.get("stays") == nil || len(c.m) != 1 || c.size != 10 || len(c.order) > 200 {
		t.Errorf("%d remembered, %d bytes, %d in line", len(c.m), c.size, len(c.order))
	}
	for i := range 100 {
		c.keep(fmt.Sprint("big", i), nil, make([]byte, 512<<10))
	}
	if c.get("stays") != nil || c.get("big99") == nil || c.size > maxRecent || len(c.m) != maxRecent/(512<<10) {
		t.Errorf("%d remembered, %d bytes", len(c.m), c.size)
	}
}
