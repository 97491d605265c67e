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
	"greffe/pkg/greffe"
)

func TestPipePublishesBeforeItAcks(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		in, out := newTopic(), newTopic()
		publish(t, b, in, event{ID: "1"}, event{ID: "2"})
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		var failed atomic.Bool
		go func() {
			over <- bus.Pipe(ctx, b, in, out, bus.Consumer{Name: unique("p")}, func(_ context.Context, e event) (event, error) {
				if failed.CompareAndSwap(false, true) {
					return event{}, errors.New("first time")
				}
				return event{ID: "out-" + e.ID, Text: e.ID}, nil
			})
		}()
		got := make(chan event, 8)
		consume(t, b, out, bus.Consumer{Name: unique("c")}, func(_ context.Context, e event) error { got <- e; return nil })
		seen := []string{receive(t, got).ID, receive(t, got).ID}
		if all := strings.Join(seen, " "); all != "out-2 out-1" && all != "out-1 out-2" {
			t.Errorf("got %s", all)
		}
		cancel()
		if err := receive(t, over); err != nil {
			t.Error(err)
		}
	})
}

func TestReplayGoesToItsConsumerAlone(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		topic, sick, well := newTopic(), unique("sick"), unique("well")
		publish(t, b, topic, event{ID: "1"})
		var mended atomic.Bool
		var wellGot atomic.Int32
		sickGot := make(chan string, 8)
		consume(t, b, topic, bus.Consumer{Name: well}, func(context.Context, event) error { wellGot.Add(1); return nil })
		consume(t, b, topic, bus.Consumer{Name: sick, MaxAttempts: 2}, func(_ context.Context, e event) error {
			if !mended.Load() {
				return errors.New("line one\nline two")
			}
			sickGot <- e.ID
			return nil
		})
		settled(t, b, well)
		// It dies, is replayed, dies again as the same letter, is replayed when mended.
		var ids []string
		for i := range 2 {
			settled(t, b, sick)
			letter, ok := letterOf(t, b, sick)
			if !ok || letter.Error != "line one line two" || letter.Attempts != 2 {
				t.Fatalf("letter %v: %+v", ok, letter)
			}
			ids = append(ids, letter.ID)
			mended.Store(i == 1)
			if err := b.Replay(t.Context(), letter.ID); err != nil {
				t.Fatal(err)
			}
		}
		if id := receive(t, sickGot); id != "1" {
			t.Errorf("replayed %q", id)
		}
		if ids[0] != ids[1] {
			t.Errorf("the same event has letters %v", ids)
		}
		settled(t, b, sick)
		settled(t, b, well)
		if n := wellGot.Load(); n != 1 {
			t.Errorf("the other consumer got the event %d times", n)
		}
		if _, ok := letterOf(t, b, sick); ok {
			t.Error("the letter is still there")
		}
		for _, id := range []string{ids[0], "", "a.b", ">", "*", strings.Repeat("x", 500)} {
			if err := b.Replay(t.Context(), id); !errors.Is(err, bus.ErrNotFound) {
				t.Errorf("replay of %q: %v", id, err)
			}
		}
	})
}

func TestALongCallIsNotHandedOutTwice(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		topic, name := newTopic(), unique("c")
		var calls atomic.Int32
		begun, finish := make(chan bool, 8), make(chan bool)
		for range 2 { // two processes
			consume(t, b, topic, bus.Consumer{Name: name, AckWait: time.Second}, func(ctx context.Context, _ event) error {
				calls.Add(1)
				begun <- true
				select {
				case <-finish:
				case <-ctx.Done():
				}
				return ctx.Err()
			})
		}
		publish(t, b, topic, event{ID: "1"})
		receive(t, begun)
		<-time.After(2500 * time.Millisecond) // more than AckWait twice: what is tested is that time passes
		close(finish)
		settled(t, b, name)
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestAStopLetsCallsFinishAndCountsNoAttempt(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		topic, name := newTopic(), unique("c")
		publish(t, b, topic, event{ID: "1"})
		var calls atomic.Int32
		// More stops than attempts: a call that is cut is handed out again, for ever.
		for range 3 {
			begun := make(chan bool, 1)
			stop := consume(t, b, topic, bus.Consumer{Name: name, MaxAttempts: 2}, func(ctx context.Context, _ event) error {
				calls.Add(1)
				begun <- true
				<-ctx.Done()
				return fmt.Errorf("cut: %w", ctx.Err())
			})
			receive(t, begun)
			stop()
		}
		begun := make(chan bool, 1)
		stop := consume(t, b, topic, bus.Consumer{Name: name, MaxAttempts: 2}, func(ctx context.Context, _ event) error {
			calls.Add(1)
			begun <- true
			<-time.After(20 * time.Millisecond) // within the grace
			return ctx.Err()
		})
		receive(t, begun)
		stop()
		settled(t, b, name)
		if _, dead := letterOf(t, b, name); dead || calls.Load() != 4 {
			t.Errorf("dead %v after %d calls", dead, calls.Load())
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		topic, name := newTopic(), unique("c")
		for i := range 30 {
			publish(t, b, topic, event{ID: fmt.Sprint(i)})
		}
		var mu sync.Mutex
		now, most, all := 0, 0, 0
		consume(t, b, topic, bus.Consumer{Name: name, Concurrency: 3}, func(context.Context, event) error {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-time.After(2 * time.Millisecond)
			mu.Lock()
			now--
			all++
			mu.Unlock()
			return nil
		})
		settled(t, b, name)
		if most != 3 || all != 30 {
			t.Errorf("%d at once, %d in all", most, all)
		}
	})
}

func TestWhatCannotBeDecodedIsBuriedAsItIs(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		texts, name := newTopic(), unique("c")
		numbers := bus.Topic[int]{Name: texts.Name, ID: func(int) string { return "" }}
		publish(t, b, texts, event{ID: "1"})
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() {
			over <- bus.Consume(ctx, b, numbers, bus.Consumer{Name: name}, func(context.Context, int) error { return nil })
		}()
		settled(t, b, name)
		letter, ok := letterOf(t, b, name)
		if !ok || string(letter.Payload) != `{"ID":"1"}` {
			t.Errorf("letter %v %+v", ok, letter)
		}
		cancel()
		if err := receive(t, over); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseEndsWhatIsGoingOn(t *testing.T) {
	for _, d := range deployments() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			b := open(t, d.cfg(t))
			topic := newTopic()
			over := make(chan error, 2)
			began := make(chan bool, 1)
			publish(t, b, topic, event{ID: "1"})
			go func() { over <- bus.Watch(context.Background(), b, topic, func(event) {}) }()
			go func() {
				over <- bus.Consume(context.Background(), b, topic, bus.Consumer{Name: unique("c")},
					func(context.Context, event) error { began <- true; return nil })
			}()
			lease, err := b.Lease(t.Context(), unique("l"), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			receive(t, began)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := receive(t, over); !errors.Is(err, bus.ErrClosed) {
					t.Errorf("ended with %v", err)
				}
			}
			receive(t, lease.Context().Done())
			err = bus.Consume(context.Background(), b, topic, bus.Consumer{Name: "late"}, func(context.Context, event) error { return nil })
			if !errors.Is(err, bus.ErrClosed) {
				t.Errorf("consuming a closed bus: %v", err)
			}
		})
	}
}

func TestDeliveredIsNamedByItsOutcome(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 1, time.UTC)
	base := greffe.Delivered{Document: "01JD0000000000000000000000-1",
		Outcome: greffe.Outcome{State: greffe.StateWaiting, Code: "AR 207", At: at}}
	later, other, paris, ris := base, base, base, base
	ris.Outcome.DI = "ris"
	later.Outcome.At = at.Add(time.Nanosecond)
	other.Outcome.State = greffe.StateDelivered
	paris.Outcome.At = at.In(time.FixedZone("", 3600))
	id := bus.Delivered.ID
	if id(base) == id(later) || id(base) == id(other) || id(base) == id(ris) {
		t.Error("two outcomes have one id")
	}
	if id(base) != id(paris) {
		t.Error("one outcome has two ids")
	}
}

// A message that was taken again has a second copy in the spool: what says that it is
// archived, too, must reach who drops the copy, however soon it comes after the first.
func TestEachSpooledCopyIsToldOf(t *testing.T) {
	b := open(t, bus.Config{Dir: t.TempDir()})
	got := make(chan string, 8)
	id := greffe.NewMessageID(greffe.Origin{UID: 1}, "")
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() {
		over <- bus.Pipe(ctx, b, bus.Parsed, bus.Archived, bus.Consumer{Name: "store"}, func(_ context.Context, p greffe.Parsed) (greffe.Archived, error) {
			return greffe.Archived{ID: p.Received.ID, Spool: p.Received.Spool}, nil
		})
	}()
	for _, spool := range []string{"a", "a", "b"} {
		if err := bus.Publish(t.Context(), b, bus.Parsed, greffe.Parsed{Received: greffe.Received{ID: id, Spool: spool}}); err != nil {
			t.Fatal(err)
		}
	}
	drop := make(chan error, 1)
	go func() {
		drop <- bus.Consume(ctx, b, bus.Archived, bus.Consumer{Name: "drop"}, func(_ context.Context, a greffe.Archived) error { got <- a.Spool; return nil })
	}()
	if all := receive(t, got) + receive(t, got); all != "ab" {
		t.Errorf("told of %s", all)
	}
	cancel()
	if err := errors.Join(receive(t, over), receive(t, drop)); err != nil {
		t.Error(err)
	}
}
