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

// errParked is what working on a document returns that waits for its lineage.
var errParked = errors.New("another document of the lineage is under way")

// take takes the lineage. When another document of this process has it, parked is called
// within the lock and errParked returned; when another process has it, bus.Later: nobody
// waits holding a worker. The context it returns ends when the lease was lost, and freed
// is called after the lineage was given back.
func (l *lineages) take(ctx context.Context, lineage string, parked, freed func()) (context.Context, func(), error) {
	l.mu.Lock()
	if l.busy[lineage] {
		parked()
		l.mu.Unlock()
		return nil, nil, errParked
	}
	l.busy[lineage] = true
	l.mu.Unlock()
	free := func() {
		l.mu.Lock()
		delete(l.busy, lineage)
		l.mu.Unlock()
		freed()
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
