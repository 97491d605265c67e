package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"greffe/pkg/bus"
)

func TestEachEventReachesEachConsumerOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		topic := newTopic()
		// Published before the first start of the second consumer, and twice.
		for i := range 20 {
			e := event{ID: fmt.Sprint(i)}
			publish(t, b, topic, e, e)
		}
		for _, name := range []string{unique("a"), unique("b")} {
			var mu sync.Mutex
			seen := map[string]int{}
			consume(t, b, topic, bus.Consumer{Name: name, Concurrency: 4}, func(_ context.Context, e event) error {
				mu.Lock()
				defer mu.Unlock()
				seen[e.ID]++
				return nil
			})
			eventually(t, "20 events", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(seen) == 20
			})
			settled(t, b, name)
			for id, n := range seen {
				if n != 1 {
					t.Errorf("event %s was handed out %d times", id, n)
				}
			}
		}
	})
}

// settled waits until the consumer has nothing left to do.
func settled(t testing.TB, b *bus.Bus, name string) {
	t.Helper()
	looks := 0
	eventually(t, name+" settled", func() bool {
		s, err := b.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		still := false
		for _, c := range s.Consumers {
			still = still || c.Name == name && c.Waiting+c.Running == 0
		}
		if looks++; !still {
			looks = 0
		}
		return looks == 5
	})
}

func letterOf(t testing.TB, b *bus.Bus, consumer string) (bus.DeadLetter, bool) {
	t.Helper()
	letters, err := b.DeadLetters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		if l.Consumer == consumer {
			return l, true
		}
	}
	return bus.DeadLetter{}, false
}

func TestWhatAFailureBecomes(t *testing.T) {
	boom := errors.New("boom")
	var nothing *event
	for _, c := range []struct {
		name  string
		fail  func(call int32) error
		calls int32 // at the end
		dead  string
	}{
		{"done at once", func(int32) error { return nil }, 1, ""},
		{"fails, then works", func(n int32) error {
			if n < 3 {
				return boom
			}
			return nil
		}, 3, ""},
		{"fails always", func(int32) error { return boom }, 3, "boom"},
		{"permanent", func(int32) error { return fmt.Errorf("not one of ours: %w", bus.ErrPermanent) }, 1, "not one of ours: permanent"},
		{"panics always", func(int32) error { nothing.ID = ""; return nil }, 3, "nil pointer"},
		{"later for long", func(n int32) error {
			if n < 10 {
				return fmt.Errorf("in line: %w", bus.Later{After: time.Millisecond, Reason: "turn"})
			}
			return nil
		}, 10, ""},
		{"outage for long", func(n int32) error {
			if n < 10 {
				return fmt.Errorf("di: %w", bus.ErrUnavailable)
			}
			return nil
		}, 10, ""},
		{"outage, then fails always", func(n int32) error {
			if n < 6 {
				return bus.ErrUnavailable
			}
			return boom
		}, 8, "boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, b *bus.Bus) {
				topic, name := newTopic(), unique("c")
				publish(t, b, topic, event{ID: "e1"})
				var calls atomic.Int32
				consume(t, b, topic, bus.Consumer{Name: name, MaxAttempts: 3}, func(context.Context, event) error {
					return c.fail(calls.Add(1))
				})
				eventually(t, "the calls", func() bool { return calls.Load() == c.calls })
				settled(t, b, name)
				letter, dead := letterOf(t, b, name)
				if dead != (c.dead != "") || !strings.Contains(letter.Error, c.dead) {
					t.Fatalf("dead letter %v %q, want %q", dead, letter.Error, c.dead)
				}
				if dead && (string(letter.Payload) != `{"ID":"e1"}` || letter.Topic != topic.Name || letter.Attempts < 1 || time.Since(letter.At) > time.Minute) {
					t.Errorf("letter %+v", letter)
				}
				if n := calls.Load(); n != c.calls {
					t.Errorf("%d calls, want %d", n, c.calls)
				}
			})
		})
	}
}

// A result that JSON cannot carry, an absurd date for example, is shown to a person
// and not tried for ever.
func TestWhatCannotBeEncodedIsADeadLetter(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		in, name := newTopic(), unique("c")
		out := bus.Topic[time.Time]{Name: unique("t"), ID: func(time.Time) string { return "1" }}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() {
			over <- bus.Pipe(ctx, b, in, out, bus.Consumer{Name: name}, func(context.Context, event) (time.Time, error) {
				return time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC), nil
			})
		}()
		publish(t, b, in, event{ID: "1"})
		eventually(t, "a letter", func() bool { _, ok := letterOf(t, b, name); return ok })
		cancel()
		if err := receive(t, over); err != nil {
			t.Error(err)
		}
	})
}
