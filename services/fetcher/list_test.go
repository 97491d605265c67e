package fetcher

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// TestWhatIsSeenIsToldBeforeItIsTaken: each message on the server is listed once with its
// date, before it is taken, also one that is too large to be taken; and a comparison is
// told of although nothing is new.
func TestWhatIsSeenIsToldBeforeItIsTaken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC)
	for n := range 3 {
		if _, err := l.mail.Append(l.box.Address, "INBOX", fmt.Appendf(nil, "Subject: %d\r\n\r\nx\r\n", n), at.AddDate(0, 0, n)); err != nil {
			t.Fatal(err)
		}
	}
	b := l.bus
	var mu sync.Mutex
	var order []uint32
	dates, asked := map[uint32]time.Time{}, map[uint32]time.Time{}
	complete := 0
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		_ = bus.Consume(ctx, b, bus.Listed, bus.Consumer{Name: "test-listed"}, func(_ context.Context, e greffe.Listed) error {
			mu.Lock()
			defer mu.Unlock()
			if e.Mailbox != l.box.Address || e.Folder != "INBOX" || e.UIDValidity == 0 || e.At.IsZero() {
				t.Errorf("%+v", e)
			}
			if e.Complete {
				complete++
			}
			for _, m := range e.Messages {
				order, dates[m.UID], asked[m.UID] = append(order, m.UID), m.InternalDate, e.At
			}
			return nil
		})
	})
	f := start(t, b, Config{Mailboxes: []Mailbox{l.box}, Reconcile: 20 * time.Millisecond, MaxSize: 1})
	eventually(t, "all were listed and refused", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(order) == 3 && l.in.count() == 3 && complete == 1
	})
	round := f.Status()[0].LastSuccess
	eventually(t, "more comparisons", func() bool { return f.Status()[0].LastSuccess.After(round.Add(50 * time.Millisecond)) })
	mu.Lock()
	defer mu.Unlock()
	if want := []uint32{1, 2, 3}; !slices.Equal(order, want) || complete != 1 {
		t.Errorf("told: %v, %d comparisons", order, complete)
	}
	for uid, date := range dates {
		if want := at.AddDate(0, 0, int(uid)-1); !date.Equal(want) {
			t.Errorf("UID %d: %v, want %v", uid, date, want)
		}
	}
	for _, e := range l.in.all(t) {
		if !e.At.After(asked[e.Origin.UID]) {
			t.Errorf("UID %d was taken at %v and listed at %v", e.Origin.UID, e.At, asked[e.Origin.UID])
		}
	}
}

// TestListGoesOnWithoutDates: facts that break the connection are not asked for again at
// once, so that no message keeps the others from being listed.
func TestListGoesOnWithoutDates(t *testing.T) {
	t.Parallel()
	fo := &folder{undated: true}
	dates, err := (&watcher{}).dates(nil, fo, []uint32{1})
	if dates != nil || err != nil || fo.undated {
		t.Errorf("%v %v, undated %v: the next list asks again", dates, err, fo.undated)
	}
}
