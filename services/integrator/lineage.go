package integrator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"greffe/pkg/bus"
)

// Times of the lease on a lineage. A process that dies holds back its lineages
// for as long; one that cannot renew in time stops what it sends.
const (
	leaseTTL  = 10 * time.Second
	lineBusy  = 300 * time.Millisecond // before another of the lineage is tried again
	leaseBusy = time.Second            // before a lineage of another process is tried again
)

// lineages lets one document of a chain be worked on at a time: within the
// process by a table, among processes by a lease on the bus.
type lineages struct {
	bus  *bus.Bus // nil: no other process
	mu   sync.Mutex
	busy map[string]bool
}

// take takes the lineage, or returns bus.Later when another has it: nobody
// waits holding a worker. The context it returns ends when the lease was lost.
func (l *lineages) take(ctx context.Context, lineage string) (context.Context, func(), error) {
	l.mu.Lock()
	if l.busy[lineage] {
		l.mu.Unlock()
		return nil, nil, bus.Later{After: lineBusy, Reason: "another document of the lineage is under way"}
	}
	l.busy[lineage] = true
	l.mu.Unlock()
	free := func() {
		l.mu.Lock()
		delete(l.busy, lineage)
		l.mu.Unlock()
	}
	if l.bus == nil {
		return ctx, free, nil
	}
	lease, err := l.bus.Lease(ctx, "lineage/"+lineage, leaseTTL)
	if err != nil {
		free()
		if errors.Is(err, bus.ErrHeld) {
			return nil, nil, bus.Later{After: leaseBusy, Reason: "another process works on the lineage"}
		}
		return nil, nil, fmt.Errorf("lease on lineage: %w: %w", bus.ErrUnavailable, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(lease.Context(), cancel)
	return ctx, func() {
		stop()
		cancel()
		lease.Release() // one that cannot be given back ends by itself
		free()
	}, nil
}
