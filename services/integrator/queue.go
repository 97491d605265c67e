package integrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const (
	ownFor    = 5 * time.Second // how long a document that was routed is left to the process that did it
	pumpEvery = time.Second     // how often the index is asked for what is due
	pumpBatch = 500
	fastQueue = 256              // documents on their way from admit to a worker
	leadTTL   = 10 * time.Second // of the lease on the queue of a DI
	stopGrace = 5 * time.Second  // for what is being sent when the service ends
	faults    = 12               // errors of ours before a document is an incident
)

// queue is the work at one DI: workers of its own, so that one DI never waits for
// another. What waits is in the index and not in memory: admit hands over what has just
// come, and the pump brings what is due. A document is in the hands of one worker at a time.
type queue struct {
	i    *Integrator
	t    target
	gate gate

	fast chan greffe.DocumentID
	slow chan greffe.DocumentID // from the pump
	bell chan struct{}

	begun bool // the pump's: what was there at the start was brought

	mu     sync.Mutex
	flying map[greffe.DocumentID]bool     // in the hands of a worker or about to be; true: look again
	parked map[string][]greffe.DocumentID // by lineage, waiting for another of it
}

func newQueue(i *Integrator, t target) *queue {
	q := &queue{i: i, t: t, fast: make(chan greffe.DocumentID, fastQueue), slow: make(chan greffe.DocumentID), bell: make(chan struct{}, 1),
		flying: map[greffe.DocumentID]bool{}, parked: map[string][]greffe.DocumentID{}}
	q.gate.wake = q.ring
	return q
}

func (q *queue) ring() {
	select {
	case q.bell <- struct{}{}:
	default:
	}
}

// push hands a document over, unless it is in somebody's hands, who then looks at it
// again. What finds no room is left to the pump.
func (q *queue) push(id greffe.DocumentID) {
	if !q.begin(id, true) {
		return
	}
	select {
	case q.fast <- id:
	default:
		q.mu.Lock()
		delete(q.flying, id)
		q.mu.Unlock()
	}
}

// room reports whether push finds room, with some to spare for those who ask at once.
func (q *queue) room() bool { return len(q.fast) < fastQueue/2 }

func (q *queue) begin(id greffe.DocumentID, again bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.flying[id]; ok {
		q.flying[id] = q.flying[id] || again
		return false
	}
	q.flying[id] = false
	return true
}

// end lets go of a document.
func (q *queue) end(id greffe.DocumentID) {
	q.mu.Lock()
	again := q.flying[id]
	delete(q.flying, id)
	q.mu.Unlock()
	if again {
		q.push(id)
	}
}

// park keeps a document until the lineage is free.
func (q *queue) park(lineage string, id greffe.DocumentID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.parked[lineage] = append(q.parked[lineage], id)
}

// unpark hands over what waited for the lineage.
func (q *queue) unpark(lineage string) {
	q.mu.Lock()
	list := q.parked[lineage]
	delete(q.parked, lineage)
	for _, id := range list {
		delete(q.flying, id)
	}
	q.mu.Unlock()
	for _, id := range list {
		q.push(id)
	}
}

// run works until ctx is done.
func (q *queue) run(ctx context.Context) error {
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, cancel) })()
	var wg sync.WaitGroup
	for range q.i.cfg.Concurrency {
		wg.Go(func() {
			for {
				var id greffe.DocumentID
				select {
				case <-ctx.Done():
					return
				case id = <-q.fast:
				case id = <-q.slow:
				}
				q.do(ctx, calls, id, false)
			}
		})
	}
	q.pump(ctx, calls)
	wg.Wait()
	return nil
}

// do works on one document; an error of ours puts it off.
func (q *queue) do(ctx, calls context.Context, id greffe.DocumentID, probe bool) {
	parked := false
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				q.i.log.Error("panic in delivery", slog.String("document", string(id)), slog.String("stack", string(debug.Stack())))
				err = fmt.Errorf("panic: %T", p)
			}
		}()
		return q.i.work(calls, q, id, probe)
	}()
	var later bus.Later
	switch {
	case err == nil:
	case errors.Is(err, errParked):
		parked = true
	case errors.As(err, &later):
		q.after(id, later.After)
	case calls.Err() != nil:
	default:
		q.fail(calls, id, err)
	}
	if !parked {
		q.end(id)
	}
}

// after looks at a document again after a short time; a long one is for the pump.
func (q *queue) after(id greffe.DocumentID, d time.Duration) {
	if d <= 2*ownFor {
		time.AfterFunc(d, func() { q.push(id) })
	}
}

// fail puts a document off whose delivery failed by an error of ours. One that keeps
// failing although everything it needs is there becomes an incident, for a person.
func (q *queue) fail(ctx context.Context, id greffe.DocumentID, err error) {
	log := q.i.log.With(slog.String("document", string(id)), slog.String("di", q.t.Name))
	away := errors.Is(err, bus.ErrUnavailable)
	pause := 5 * time.Second
	if rows, e := q.i.index.Deliveries(ctx, id); e == nil {
		if row, ok := rowAt(rows, q.t.Name); ok && !away {
			if row.Tries >= faults {
				log.Error("document given up", slog.Any("error", err))
				if doc, e := q.i.index.Document(ctx, id); e == nil {
					e = q.i.tell(ctx, doc, row.Outcome, greffe.Outcome{DI: q.t.Name, State: greffe.StateIncident, Code: "greffe", Control: row.Outcome.Control,
						Text: "Greffe n’arrive pas à traiter ce document. Prévenir le service informatique, puis le renvoyer."}, "")
					if e == nil {
						return
					}
				}
			}
			pause = min(pause<<min(row.Tries, 8), 15*time.Minute)
		}
	}
	log.Warn("document put off", slog.Any("error", err))
	if e := q.i.index.Postpone(ctx, id, q.t.Name, time.Now().Add(pause), !away); e != nil {
		// The index is away: nothing can be done, and nothing is lost.
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// pump brings what is due from the index, in one of the processes.
func (q *queue) pump(ctx, calls context.Context) {
	tick := time.NewTicker(pumpEvery)
	defer tick.Stop()
	lead, resign := q.lead(ctx)
	defer resign()
	for {
		full, err := false, error(nil)
		if lead() {
			full, err = q.fill(ctx, calls)
		}
		if err != nil && ctx.Err() == nil {
			q.i.log.Warn("what is due could not be read", slog.String("di", q.t.Name), slog.Any("error", err))
		}
		if full && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-q.bell:
		case <-tick.C:
		}
	}
}

// fill brings one batch, and reports whether there may be more.
func (q *queue) fill(ctx, calls context.Context) (more bool, err error) {
	now := time.Now()
	closed := q.gate.closed(now)
	until := now
	if q.i.cfg.Alone && !q.begun { // what was left to a process that died: there is no other one
		until = now.Add(ownFor)
	}
	list, err := q.i.index.Due(ctx, q.t.Name, until, pumpBatch, closed != nil)
	if err != nil {
		return false, err
	}
	q.begun = q.begun || len(list) < pumpBatch
	pushed := 0
	for _, d := range list {
		if !q.begin(d.Document, false) {
			continue
		}
		select {
		case q.slow <- d.Document:
			pushed++
		case <-ctx.Done():
			q.end(d.Document)
			return false, nil
		}
		if closed == nil && q.gate.closed(time.Now()) != nil {
			return true, nil // what is left of the batch waits already
		}
	}
	if closed != nil && q.gate.probing(now, min(q.i.cfg.Retry[0], probeMost)) {
		return false, q.probe(ctx, calls, now)
	}
	return len(list) == pumpBatch && pushed > 0, nil
}

// probe tries a DI that is down with the document that is due for longest, or will be
// first. The next try has another one, should it be that document at which the DI falls
// silent.
func (q *queue) probe(ctx, calls context.Context, now time.Time) error {
	list, err := q.i.index.Due(ctx, q.t.Name, now.AddDate(1, 0, 0), q.i.cfg.Concurrency+1, false)
	if err != nil {
		return err
	}
	for _, d := range list {
		if q.begin(d.Document, false) {
			q.do(ctx, calls, d.Document, true)
			return nil
		}
	}
	return nil
}

// lead returns a function that says whether this process has the queue: of several one
// pumps and probes.
func (q *queue) lead(ctx context.Context) (leads func() bool, resign func()) {
	if q.i.cfg.Alone {
		return func() bool { return true }, func() {}
	}
	var lease *bus.Lease
	var asked time.Time
	return func() bool {
			if lease != nil && lease.Context().Err() == nil {
				return true
			}
			if time.Since(asked) < pumpEvery/2 {
				return false
			}
			asked = time.Now()
			l, err := q.i.bus.Lease(ctx, "di/"+q.t.Name, leadTTL)
			if err != nil {
				if !errors.Is(err, bus.ErrHeld) && ctx.Err() == nil {
					q.i.log.Warn("lease on the queue of a DI", slog.String("di", q.t.Name), slog.Any("error", err))
				}
				return false
			}
			lease = l
			return true
		}, func() {
			if lease != nil {
				lease.Release()
			}
		}
}

func rowAt(rows []index.Delivery, di string) (index.Delivery, bool) {
	for _, r := range rows {
		if r.DI == di {
			return r, true
		}
	}
	return index.Delivery{}, false
}
