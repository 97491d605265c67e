package fetcher

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"greffe/pkg/greffe"
)

func nthID(n int) greffe.MessageID {
	return greffe.NewMessageID(greffe.Origin{UID: uint32(n)}, "")
}

// A full flight waits for the archive, and no longer than what it waits for can
// matter: a message that is stuck does not stop its mailbox.
func TestTheFlightOfAMailboxIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFlight()
		for i := range flightMessages - 1 {
			f.start(nthID(i), 1)
		}
		if err := f.room(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.start(nthID(flightMessages), 1)
		f.start(nthID(flightMessages), 1) // the same message again counts once

		passed := make(chan time.Time, 1)
		start := time.Now()
		go func() {
			if err := f.room(t.Context()); err == nil {
				passed <- time.Now()
			}
		}()
		synctest.Wait()
		select {
		case <-passed:
			t.Fatal("a full flight let another message in")
		default:
		}
		f.land(nthID(0))
		if at := <-passed; at != start {
			t.Errorf("room came after %v, want at once", at.Sub(start))
		}

		f.start(nthID(0), 1)
		if err := f.room(t.Context()); err != nil || time.Since(start) != flightAge {
			t.Errorf("room came after %v (%v), want after %v", time.Since(start), err, flightAge)
		}

		f = newFlight()
		f.start(nthID(1), flightBytes)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.room(ctx); err == nil {
			t.Error("a flight full of bytes let another message in")
		}
		f.land(nthID(1))
		f.land(nthID(2)) // of another process, or known already
		if err := f.room(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
