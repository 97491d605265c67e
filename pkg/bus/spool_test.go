package bus_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"greffe/pkg/bus"
)

func TestSpoolGivesBackWhatWasPut(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		noise := make([]byte, 3<<20+17)
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		for _, size := range []int{0, 1, 4 << 10, 512 << 10, 512<<10 + 1, len(noise)} {
			name := unique("é/ raw message ")
			if _, err := b.Spool(t.Context(), name, bytes.NewReader(noise[:size])); err != nil {
				t.Fatal(err)
			}
			r, err := b.Unspool(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, r); !bytes.Equal(got, noise[:size]) {
				t.Errorf("%d bytes put, %d other bytes came back", size, len(got))
			}
		}
	})
}

func TestSpoolReplacesAndDrops(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		name := unique("m")
		for _, text := range []string{"first", "second"} {
			// One byte at a time: a slow connection makes no small chunks.
			if _, err := b.Spool(t.Context(), name, iotest.OneByteReader(strings.NewReader(text))); err != nil {
				t.Fatal(err)
			}
		}
		// A reader that fails half-way leaves what was there.
		cut := errors.New("connection cut")
		half := io.MultiReader(strings.NewReader(strings.Repeat("x", 2<<20)), iotest.ErrReader(cut))
		if _, err := b.Spool(t.Context(), name, half); !errors.Is(err, cut) {
			t.Errorf("cut put: %v", err)
		}
		r, err := b.Unspool(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, r); string(got) != "second" {
			t.Errorf("got %q", got)
		}
		for range 2 {
			if err := b.Drop(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Unspool(t.Context(), name); !errors.Is(err, bus.ErrNotFound) {
			t.Errorf("dropped object: %v", err)
		}
		if err := b.Drop(t.Context(), unique("never")); err != nil {
			t.Errorf("drop of nothing: %v", err)
		}
	})
}

func TestUnspoolNeverEndsEarlyWithoutAnError(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		name := unique("m")
		if _, err := b.Spool(t.Context(), name, bytes.NewReader(make([]byte, 2<<20))); err != nil {
			t.Fatal(err)
		}
		r, err := b.Unspool(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if err := b.Drop(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); err == nil {
			t.Errorf("a dropped object ended quietly after %d bytes", n)
		}
	})
}

func TestSpoolHoldsLittleInMemory(t *testing.T) {
	b := open(t, bus.Config{Dir: t.TempDir()})
	const size = 100 << 20
	src := &noise{left: size, sum: sha256.New()}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if _, err := b.Spool(t.Context(), "big", src); err != nil {
		t.Fatal(err)
	}
	r, err := b.Unspool(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	back := sha256.New()
	if n, err := io.Copy(back, r); n != size || err != nil {
		t.Fatal(n, err)
	}
	if !bytes.Equal(back.Sum(nil), src.sum.Sum(nil)) {
		t.Error("other bytes came back")
	}
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapSys) - int64(before.HeapSys)
	t.Logf("heap grew by %d MiB", grown>>20)
	if grown > 96<<20 {
		t.Errorf("heap grew by %d MiB for an object of %d MiB", grown>>20, size>>20)
	}
}

// noise is a reader of pseudo-random bytes that remembers their digest.
type noise struct {
	left int
	rng  rand.PCG
	sum  hash.Hash
}

func (n *noise) Read(p []byte) (int, error) {
	if n.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(len(p), n.left)]
	for i := range p {
		if i%8 == 0 {
			p[i] = byte(n.rng.Uint64())
		}
	}
	n.sum.Write(p)
	n.left -= len(p)
	return len(p), nil
}

func TestLargeEventsTravelByClaimCheck(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		topic, name := newTopic(), unique("c")
		big := event{ID: "big", Text: strings.Repeat("é", 600<<10)}
		watched := make(chan event, 4)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		over := make(chan error, 1)
		go func() { over <- bus.Watch(ctx, b, topic, func(e event) { watched <- e }) }()
		got := make(chan event, 4)
		fail := true
		consume(t, b, topic, bus.Consumer{Name: name, MaxAttempts: 1}, func(_ context.Context, e event) error {
			got <- e
			if fail {
				fail = false
				return errors.New("not yet")
			}
			return nil
		})
		// The watcher sees what comes from now on: publish until it is there.
		publish(t, b, topic, event{ID: "0"})
		receive(t, got)
		eventually(t, "the watcher", func() bool {
			publish(t, b, topic, event{ID: unique("tick")})
			select {
			case <-watched:
				return true
			default:
				return false
			}
		})
		publish(t, b, topic, big, big)
		for {
			if e := receive(t, got); e.ID == "big" {
				if e != big {
					t.Error("the consumer got other bytes")
				}
				break
			}
		}
		for {
			if e := receive(t, watched); e.ID == "big" {
				if e != big {
					t.Error("the watcher got other bytes")
				}
				break
			}
		}
		cancel()
		if err := receive(t, over); err != nil {
			t.Error(err)
		}
	})
}

func TestALargeEventMayDieAndComeBack(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		topic, name := newTopic(), unique("c")
		before := bytesOf(t, b, "OBJ_letters")
		big := event{ID: "big", Text: strings.Repeat("x", 2<<20)}
		publish(t, b, topic, big)
		got := make(chan event, 2)
		n := 0
		consume(t, b, topic, bus.Consumer{Name: name}, func(_ context.Context, e event) error {
			got <- e
			if n++; n == 1 {
				return bus.ErrPermanent
			}
			return nil
		})
		receive(t, got)
		settled(t, b, name)
		letter, ok := letterOf(t, b, name)
		if !ok || !strings.Contains(string(letter.Payload), big.Text) {
			t.Fatalf("letter %v of %d bytes", ok, len(letter.Payload))
		}
		if err := b.Replay(t.Context(), letter.ID); err != nil {
			t.Fatal(err)
		}
		if e := receive(t, got); e != big {
			t.Error("the replayed event has other bytes")
		}
		if _, ok := letterOf(t, b, name); ok {
			t.Error("the letter is still there")
		}
		if n := bytesOf(t, b, "OBJ_letters") - before; n > 1<<20 {
			t.Errorf("the letter left %d bytes behind", n)
		}
	})
}

func bytesOf(t testing.TB, b *bus.Bus, stream string) int64 {
	t.Helper()
	s, err := b.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range s.Streams {
		if st.Name == stream {
			return int64(st.Bytes)
		}
	}
	t.Fatalf("no stream %s", stream)
	return 0
}

func TestPublishRefusesWhatItCannotCarry(t *testing.T) {
	b := open(t, bus.Config{Dir: t.TempDir()})
	topic := newTopic()
	if err := bus.Publish(t.Context(), b, topic, event{}); err == nil {
		t.Error("an event without an id was taken")
	}
	huge := event{ID: "h", Text: strings.Repeat("x", bus.MaxEvent)}
	if err := bus.Publish(t.Context(), b, topic, huge); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("huge event: %v", err)
	}
}

func BenchmarkSpool(bm *testing.B) {
	for _, size := range []int{200 << 10, 40 << 20} {
		bm.Run(fmt.Sprintf("%dKiB", size>>10), func(bm *testing.B) {
			b := open(bm, bus.Config{Dir: bm.TempDir()})
			data := make([]byte, size)
			bm.SetBytes(int64(size))
			bm.ReportAllocs()
			for bm.Loop() {
				if _, err := b.Spool(bm.Context(), "m", bytes.NewReader(data)); err != nil {
					bm.Fatal(err)
				}
				r, err := b.Unspool(bm.Context(), "m")
				if err != nil {
					bm.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					bm.Fatal(err)
				}
			}
		})
	}
}
