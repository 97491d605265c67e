package archive

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// The cases of the suite about locks. The store locks for a minute or more.

func stat(t *testing.T, s Store, o greffe.Object) Info {
	t.Helper()
	i, err := s.Retain(t.Context(), o, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func testRetain(t *testing.T, s Store, prefix string) {
	o := put(t, s, prefix+"a", []byte("kept"))
	first := stat(t, s, o)
	if !first.RetainUntil.After(time.Now()) || first.Held || first.Key != o.Key || first.Version != o.Version {
		t.Errorf("what was stored is %+v", first)
	}
	later := first.RetainUntil.Add(48*time.Hour + 300*time.Millisecond)
	i, err := s.Retain(t.Context(), o, later)
	if err != nil || i.RetainUntil.Before(later) || i.RetainUntil.After(later.Add(time.Second)) {
		t.Errorf("extended to %v: %+v, %v", later, i, err)
	}
	for _, until := range []time.Time{later, first.RetainUntil, time.Now().Add(-time.Hour), {}} {
		if again, err := s.Retain(t.Context(), o, until); err != nil || !again.RetainUntil.Equal(i.RetainUntil) {
			t.Errorf("then asked for %v: %+v, %v", until, again, err)
		}
	}
	if got, err := s.Stat(t.Context(), o.Key); err != nil || !got.RetainUntil.Equal(i.RetainUntil) {
		t.Errorf("Stat gives %+v, %v", got, err)
	}
	if _, err := s.Retain(t.Context(), o, time.Now().Add(maxRetention+48*time.Hour)); err == nil {
		t.Error("a lock of over 200 years is accepted")
	}
	if _, err := s.Retain(t.Context(), greffe.Object{Key: prefix + "none"}, later); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not there: %v, want ErrNotFound", err)
	}
	if _, err := s.Retain(t.Context(), greffe.Object{Key: "../x"}, later); !errors.Is(err, ErrKey) {
		t.Errorf("a hostile key: %v, want ErrKey", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Retain(ctx, o, later.Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Retain: %v", err)
	}
	for i, err := range s.List(t.Context(), prefix) {
		if err != nil || i.Key != o.Key {
			t.Errorf("List gives %+v, %v", i, err)
		}
	}
}

func testRetainRace(t *testing.T, s Store, prefix string) {
	o := put(t, s, prefix+"a", []byte("kept"))
	last := time.Now().Add(time.Hour).Truncate(time.Second)
	var wg sync.WaitGroup
	for n := range 12 {
		wg.Go(func() {
			until := last.Add(-time.Duration(n) * time.Minute)
			// A server may be busy with another one: then it is asked again.
			for range 50 {
				i, err := s.Retain(t.Context(), o, until)
				if err == nil && i.RetainUntil.Before(until) {
					t.Errorf("asked for %v, got %v", until, i.RetainUntil)
				}
				if !errors.Is(err, ErrUnavailable) {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
			t.Error("50 times unavailable")
		})
	}
	wg.Wait()
	if i := stat(t, s, o); !i.RetainUntil.Equal(last) {
		t.Errorf("locked until %v, want %v", i.RetainUntil, last)
	}
}

func testRetainRepeat(t *testing.T, s Store, prefix string) {
	for _, size := range []int{20, 100_000} {
		b := bytes.Repeat([]byte("again"), size/5)
		o := put(t, s, prefix+"a"+string(rune('0'+size%7)), b)
		first := stat(t, s, o).RetainUntil
		// It ends a second later when it arrives a second later.
		deadline := time.Now().Add(20 * time.Second)
		for {
			if put(t, s, o.Key, b) != o {
				t.Error("the repeat is another object")
			}
			if stat(t, s, o).RetainUntil.After(first) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("still locked until %v", first)
			}
		}
		far := first.Add(time.Hour)
		if _, err := s.Retain(t.Context(), o, far); err != nil {
			t.Fatal(err)
		}
		put(t, s, o.Key, b)
		if got := stat(t, s, o).RetainUntil; !got.Equal(far) {
			t.Errorf("the repeat changed %v to %v", far, got)
		}
	}
}

func testHold(t *testing.T, s Store, prefix string) {
	o := put(t, s, prefix+"a", []byte("kept"))
	until := stat(t, s, o).RetainUntil
	for _, on := range []bool{true, true, false, false, true} {
		i, err := s.Hold(t.Context(), o, on)
		if err != nil || i.Held != on || !i.RetainUntil.Equal(until) {
			t.Errorf("hold %v: %+v, %v", on, i, err)
		}
		if got, err := s.Stat(t.Context(), o.Key); err != nil || got.Held != on {
			t.Errorf("hold %v: Stat gives %+v, %v", on, got, err)
		}
	}
	// A hold and a lock do not know each other.
	if i, err := s.Retain(t.Context(), o, until.Add(time.Hour)); err != nil || !i.Held || i.RetainUntil.Before(until.Add(time.Hour)) {
		t.Errorf("extended while held: %+v, %v", i, err)
	}
	if _, err := s.Hold(t.Context(), o, false); err != nil {
		t.Error(err)
	}
	if _, err := s.Hold(t.Context(), greffe.Object{Key: prefix + "none"}, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not there: %v, want ErrNotFound", err)
	}
	if _, err := s.Hold(t.Context(), greffe.Object{Key: ""}, true); !errors.Is(err, ErrKey) {
		t.Errorf("no key: %v, want ErrKey", err)
	}
}

func testEliminateRefused(t *testing.T, s Store, prefix string) {
	e := s.(Eliminator)
	o := put(t, s, prefix+"a", []byte("kept"))
	if err := e.Eliminate(t.Context(), o); !errors.Is(err, ErrLocked) {
		t.Errorf("a locked object: %v, want ErrLocked", err)
	}
	if got := get(t, s, o); string(got) != "kept" {
		t.Errorf("read %q", got)
	}
	if err := e.Eliminate(t.Context(), greffe.Object{Key: prefix + "none"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not there: %v, want ErrNotFound", err)
	}
	if err := e.Eliminate(t.Context(), greffe.Object{Key: "../x"}); !errors.Is(err, ErrKey) {
		t.Errorf("a hostile key: %v, want ErrKey", err)
	}
}

// testElimination is for a store that locks for a second.
func testElimination(t *testing.T, s Store, prefix string) {
	e := s.(Eliminator)
	held, free := put(t, s, prefix+"held", []byte("held")), put(t, s, prefix+"free", []byte("free"))
	if _, err := s.Hold(t.Context(), held, true); err != nil {
		t.Fatal(err)
	}
	eliminated := func(o greffe.Object) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for {
			err := e.Eliminate(t.Context(), o)
			if err == nil {
				break
			}
			if !errors.Is(err, ErrLocked) && !errors.Is(err, ErrUnavailable) || time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		if _, err := s.Open(t.Context(), o); !errors.Is(err, ErrNotFound) {
			t.Errorf("what was eliminated: %v, want ErrNotFound", err)
		}
	}
	eliminated(free)
	if err := e.Eliminate(t.Context(), free); !errors.Is(err, ErrNotFound) {
		t.Errorf("eliminated twice: %v, want ErrNotFound", err)
	}
	// The lock of the other one ended before; its hold did not.
	if err := e.Eliminate(t.Context(), held); !errors.Is(err, ErrLocked) {
		t.Errorf("a held object: %v, want ErrLocked", err)
	}
	if _, err := s.Hold(t.Context(), held, false); err != nil {
		t.Fatal(err)
	}
	// What arrives again is locked again.
	if again := put(t, s, held.Key, []byte("held")); again != held {
		t.Errorf("the repeat is %+v, not %+v", again, held)
	}
	if !stat(t, s, held).RetainUntil.After(time.Now().Add(-100 * time.Millisecond)) {
		t.Error("the repeat did not lock")
	}
	eliminated(held)
	// And may come back.
	if o := put(t, s, free.Key, []byte("free")); !bytes.Equal(get(t, s, o), []byte("free")) {
		t.Error("it did not come back")
	}
}

func TestDirElimination(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := OpenDir(dir, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	testElimination(t, s, "suite/")
	left, err := filepath.Glob(filepath.Join(dir, "suite", ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestS3Elimination(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, cfg S3Config) {
		cfg.Retention = 3 * time.Second
		testElimination(t, openS3(t, cfg), "elimination/"+strings.ToLower(time.Now().UTC().Format("150405.000000"))+"/")
	})
}

func TestNothingIsLockedInModeNone(t *testing.T) {
	t.Parallel()
	dir, err := OpenDir(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cfg, _ := newStrictS3(t)
	cfg.Mode = ModeNone
	for name, s := range map[string]Store{"directory": dir, "S3": openS3(t, cfg)} {
		o := put(t, s, "a", []byte("x"))
		put(t, s, "a", []byte("x"))
		if i, err := s.Stat(t.Context(), "a"); err != nil || !i.RetainUntil.IsZero() || i.Mode != "" {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
		if _, err := s.Retain(t.Context(), o, time.Now().Add(time.Hour)); !errors.Is(err, ErrNoLock) {
			t.Errorf("%s: Retain: %v", name, err)
		}
		if _, err := s.Hold(t.Context(), o, true); !errors.Is(err, ErrNoLock) {
			t.Errorf("%s: Hold: %v", name, err)
		}
		if err := s.(Eliminator).Eliminate(t.Context(), o); !errors.Is(err, ErrNoLock) {
			t.Errorf("%s: Eliminate: %v", name, err)
		}
	}
}

// Settings that change count for what is stored from then on.
func TestDirShorterSettingShortensNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var until time.Time
	for n, retention := range []time.Duration{100 * day, time.Minute, 0, time.Minute} {
		s, err := OpenDir(dir, retention)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			put(t, s, "old", []byte("old"))
			past := time.Now().Add(-time.Hour) // not in the second in which the settings change
			if err := os.Chtimes(filepath.Join(dir, "old"), past, past); err != nil {
				t.Fatal(err)
			}
		}
		i, err := s.Stat(t.Context(), "old")
		if n == 0 {
			until = i.RetainUntil
		}
		if err != nil || !i.RetainUntil.Equal(until) || time.Until(until) < 99*day {
			t.Errorf("with %v: %+v, %v, want %v", retention, i, err, until)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file of locks that a crash tore is read to the tear; one that somebody changed
// keeps its object.
func TestDirTornLockFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := OpenDir(dir, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o := put(t, s, "a", []byte("x"))
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	if _, err := s.Retain(t.Context(), o, until); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, ".a.lock")
	add := func(text string) {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(text)
		f.Close()
	}
	add("greffe-lock/1 until 2999-")
	if i := stat(t, s, o); !i.RetainUntil.Equal(until) {
		t.Errorf("torn: %+v", i)
	}
	if i, err := s.Hold(t.Context(), o, true); err != nil || !i.Held || !i.RetainUntil.Equal(until) {
		t.Errorf("after a tear: %+v, %v", i, err)
	}
	if l, err := s.(*dirStore).readLock("a"); err != nil || l.damaged {
		t.Errorf("%+v, %v", l, err)
	}
	add("rubbish\n")
	if l, err := s.(*dirStore).readLock("a"); err != nil || !l.damaged || !l.held || !l.until.Equal(until) {
		t.Errorf("%+v, %v", l, err)
	}
}

// An extension whose answer is lost is there.
func TestS3ExtensionAnswerLost(t *testing.T) {
	t.Parallel()
	cfg, server := newStrictS3(t)
	s := openS3(t, cfg)
	o := put(t, s, "a", []byte("x"))
	set := func(lie string) {
		server.mu.Lock()
		server.lie = lie
		server.mu.Unlock()
	}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	set("loses answers")
	i, err := s.Retain(t.Context(), o, until)
	if err != nil || !i.RetainUntil.Equal(until) {
		t.Errorf("the server shows it, so it is so: %+v, %v", i, err)
	}
	set("forgets extension")
	if _, err := s.Retain(t.Context(), o, until.Add(time.Hour)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errNotLocked) {
		t.Errorf("an extension that was not done: %v", err)
	}
}

func FuzzLockFile(f *testing.F) {
	for _, s := range []string{"", "greffe-lock/1 until 2046-11-22T00:00:00Z\n", "greffe-lock/1 hold on\ngreffe-lock/1 hold off\n", "greffe-lock/1 unt torn\n", "x"} {
		f.Add(s)
	}
	dir := f.TempDir()
	s, err := OpenDir(dir, time.Second)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, ".a.lock"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := s.(*dirStore).readLock("a")
		if err == nil && !l.damaged && len(text) > 0 && !strings.Contains(text, "greffe-lock/1") && strings.Contains(strings.ReplaceAll(text, " torn\n", ""), "\n") {
			t.Errorf("%q is read as %+v", text, l)
		}
	})
}
