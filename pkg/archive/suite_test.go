package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"greffe/pkg/greffe"
)

// testStore is the contract of Store as a test. Each case works below a prefix of
// its own, so that a store that cannot be emptied may be given again.
func testStore(t *testing.T, s Store) {
	t.Helper()
	run := func(name string, f func(t *testing.T, s Store, prefix string)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, s, "suite/"+strings.ToLower(rand.Text())+"/")
		})
	}
	run("what is put is there", testPutGet)
	run("a repeated put is fine", testRepeat)
	run("other bytes are refused", testOtherBytes)
	run("wrong bytes store nothing", testWrongBytes)
	run("of racing writers one wins", testRace)
	run("the same bytes may race", testRaceSame)
	run("a cancelled put leaves nothing", testCancel)
	run("a list is in order", testList)
	run("ranges can be read", testSeek)
	run("hostile keys are refused", testKeys)
	run("a big object does not fill the memory", testBig)
	run("what is not there is not found", testAbsent)
	run("a lock is extended and never shortened", testRetain)
	run("of racing extensions the latest stands", testRetainRace)
	run("what arrives again is locked again", testRetainRepeat)
	run("a hold is put and taken away", testHold)
	run("nothing locked is removed", testEliminateRefused)
}

func put(t *testing.T, s Store, key string, b []byte) greffe.Object {
	t.Helper()
	o, err := s.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func get(t *testing.T, s Store, o greffe.Object) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantAbsent(t *testing.T, s Store, key string) {
	t.Helper()
	if _, err := s.Stat(context.WithoutCancel(t.Context()), key); !errors.Is(err, ErrNotFound) {
		t.Errorf("Stat(%q) = %v, want ErrNotFound", key, err)
	}
}

func testPutGet(t *testing.T, s Store, prefix string) {
	for _, size := range []int{0, 1, 100, 300_000} {
		b := make([]byte, size)
		rand.Read(b)
		key := fmt.Sprintf("%sobject-%d.bin", prefix, size)
		o := put(t, s, key, b)
		if o.Key != key || o.Size != int64(size) || o.SHA256 != greffe.DigestOf(b) {
			t.Errorf("Put returned %+v", o)
		}
		if !bytes.Equal(get(t, s, o), b) {
			t.Errorf("%d bytes came back changed", size)
		}
		i, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if i.Key != key || i.Size != o.Size || i.Version != o.Version || i.Stored.IsZero() {
			t.Errorf("Stat returned %+v for %+v", i, o)
		}
		if i.SHA256 != "" && i.SHA256 != o.SHA256 {
			t.Errorf("Stat returned digest %s, want %s or none", i.SHA256, o.SHA256)
		}
	}
}

func testRepeat(t *testing.T, s Store, prefix string) {
	b := []byte("the same letter twice")
	first := put(t, s, prefix+"a", b)
	if again := put(t, s, prefix+"a", b); again != first {
		t.Errorf("the repeat returned %+v, the first put %+v", again, first)
	}
}

func testOtherBytes(t *testing.T, s Store, prefix string) {
	b, other := []byte("what was received"), []byte("what was sent now")
	o := put(t, s, prefix+"a", b)
	if len(b) != len(other) {
		t.Fatal("the sizes must not give it away")
	}
	_, err := s.Put(t.Context(), o.Key, bytes.NewReader(other), int64(len(other)), greffe.DigestOf(other))
	if !errors.Is(err, ErrExists) {
		t.Errorf("Put of other bytes: %v, want ErrExists", err)
	}
	if !bytes.Equal(get(t, s, o), b) {
		t.Error("the object was changed")
	}
	// The repeat must still carry the right bytes: a digest alone proves nothing.
	_, err = s.Put(t.Context(), o.Key, bytes.NewReader(other), int64(len(b)), greffe.DigestOf(b))
	if !errors.Is(err, ErrDigest) {
		t.Errorf("Put of bytes that are not those of the digest: %v, want ErrDigest", err)
	}
}

func testWrongBytes(t *testing.T, s Store, prefix string) {
	b := bytes.Repeat([]byte("letter "), 50_000)
	n, sha := int64(len(b)), greffe.DigestOf(b)
	flipped := bytes.Clone(b)
	flipped[len(b)-1] ^= 1
	broken := errors.New("the line is cut")
	for i, c := range []struct {
		name string
		r    io.Reader
		size int64
		sha  greffe.Digest
		want error
	}{
		{"one bit", bytes.NewReader(flipped), n, sha, ErrDigest},
		{"short", bytes.NewReader(b[:n-1]), n, sha, ErrDigest},
		{"empty", bytes.NewReader(nil), n, sha, ErrDigest},
		{"long", bytes.NewReader(append(bytes.Clone(b), 'x')), n, sha, ErrDigest},
		{"long where nothing was announced", strings.NewReader("x"), 0, greffe.DigestOf(nil), ErrDigest},
		{"negative size", bytes.NewReader(b), -1, sha, ErrDigest},
		{"no digest", bytes.NewReader(b), n, "", ErrDigest},
		{"cut", io.MultiReader(bytes.NewReader(b[:n/2]), iotest.ErrReader(broken)), n, sha, broken},
		{"cut before the end is seen", io.MultiReader(bytes.NewReader(b), iotest.ErrReader(broken)), n, sha, broken},
	} {
		key := fmt.Sprintf("%scase-%d", prefix, i)
		if _, err := s.Put(t.Context(), key, c.r, c.size, c.sha); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		wantAbsent(t, s, key)
		// The right bytes are welcome after it.
		put(t, s, key, b)
	}
}

func testRace(t *testing.T, s Store, prefix string) {
	const racers = 16
	var wins atomic.Int32
	var winner atomic.Int32
	var wg sync.WaitGroup
	body := func(n int) []byte { return fmt.Appendf(nil, "racer %02d", n) }
	for n := range racers {
		wg.Go(func() {
			b := body(n)
			_, err := s.Put(t.Context(), prefix+"a", bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
			switch {
			case err == nil:
				wins.Add(1)
				winner.Store(int32(n))
			case !errors.Is(err, ErrExists):
				t.Errorf("racer %d: %v", n, err)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d racers won", wins.Load())
	}
	if got := get(t, s, greffe.Object{Key: prefix + "a"}); !bytes.Equal(got, body(int(winner.Load()))) {
		t.Errorf("the store holds %q, the winner is %d", got, winner.Load())
	}
}

func testRaceSame(t *testing.T, s Store, prefix string) {
	b := bytes.Repeat([]byte("twin"), 10_000)
	objects := make([]greffe.Object, 16)
	var wg sync.WaitGroup
	for n := range objects {
		wg.Go(func() { objects[n] = put(t, s, prefix+"deep/er/a", b) })
	}
	wg.Wait()
	for _, o := range objects[1:] {
		if o != objects[0] {
			t.Errorf("two writers of the same bytes got %+v and %+v", objects[0], o)
		}
	}
}

func testCancel(t *testing.T, s Store, prefix string) {
	b := make([]byte, 400_000)
	rand.Read(b)
	for i, after := range []int{0, len(b) / 2, len(b)} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		key := fmt.Sprintf("%scase-%d", prefix, i)
		r := io.MultiReader(bytes.NewReader(b[:after]), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }), bytes.NewReader(b[after:]))
		if after == 0 {
			cancel()
		}
		if _, err := s.Put(ctx, key, r, int64(len(b)), greffe.DigestOf(b)); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled after %d bytes: %v, want context.Canceled", after, err)
		}
		wantAbsent(t, s, key)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func testList(t *testing.T, s Store, prefix string) {
	// '-' and '.' sort before '/', digits and letters after it.
	names := []string{"a/b", "a-b", "a.b", "a0", "a/c/d", "a/c-d", "b", "A", "a/b0/x"}
	for _, n := range names {
		put(t, s, prefix+n, []byte(n))
	}
	slices.Sort(names)
	for _, under := range []string{"", "a", "a/", "a/c", "a/c/d", "b", "zzz", "a/none/", "a/b/x"} {
		var want, got []string
		for _, n := range names {
			if strings.HasPrefix(n, under) {
				want = append(want, n)
			}
		}
		for i, err := range s.List(t.Context(), prefix+under) {
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimPrefix(i.Key, prefix)
			got = append(got, name)
			if i.Size != int64(len(name)) || i.Stored.IsZero() {
				t.Errorf("List gave %+v", i)
			}
			if !bytes.Equal(get(t, s, i.Object), []byte(name)) {
				t.Errorf("what List gave as %s reads as something else", name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, want %q", under, got, want)
		}
	}
	for range s.List(t.Context(), prefix) {
		break // stopping early is fine
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.List(ctx, prefix) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("List with a cancelled context: %v", err)
		}
	}
}

func testSeek(t *testing.T, s Store, prefix string) {
	b := make([]byte, 300_000)
	rand.Read(b)
	o := put(t, s, prefix+"a", b)
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, c := range []struct {
		offset int64
		whence int
		want   int64
	}{
		{0, io.SeekEnd, 300_000}, {100_000, io.SeekStart, 100_000}, {10, io.SeekCurrent, 101_010},
		{-5000, io.SeekEnd, 295_000}, {0, io.SeekStart, 0}, {0, io.SeekCurrent, 1000}, {299_500, io.SeekStart, 299_500},
	} {
		at, err := r.Seek(c.offset, c.whence)
		if err != nil || at != c.want {
			t.Fatalf("Seek(%d, %d) = %d, %v, want %d", c.offset, c.whence, at, err, c.want)
		}
		want := b[at:min(at+1000, int64(len(b)))]
		got := make([]byte, 1000)
		n, err := io.ReadFull(r, got)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:n], want) {
			t.Errorf("range at %d is wrong", at)
		}
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("seeking before the beginning is not refused")
	}
}

func testKeys(t *testing.T, s Store, prefix string) {
	for _, key := range []string{
		"", "/", "..", "../a", prefix + "../../a", "/etc/passwd", prefix, prefix + "/a", prefix + ".hidden", ".tmp/a",
		prefix + "a b", prefix + "é", prefix + "a\x00b", prefix + "a\nb", prefix + `a\b`, prefix + "a:b", prefix + "%2e%2e", strings.Repeat("k", 300),
	} {
		if _, err := s.Put(t.Context(), key, strings.NewReader(""), 0, greffe.DigestOf(nil)); !errors.Is(err, ErrKey) {
			t.Errorf("Put(%q): %v, want ErrKey", key, err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, ErrKey) {
			t.Errorf("Stat(%q): %v, want ErrKey", key, err)
		}
		if _, err := s.Open(t.Context(), greffe.Object{Key: key}); !errors.Is(err, ErrKey) {
			t.Errorf("Open(%q): %v, want ErrKey", key, err)
		}
	}
	for i, err := range s.List(t.Context(), "../") {
		t.Errorf("List of a hostile prefix gave %v, %v", i, err)
	}
}

// testBig streams 100 MiB in and out and looks at the heap meanwhile.
func testBig(t *testing.T, s Store, prefix string) {
	if testing.Short() {
		t.Skip("100 MiB")
	}
	const size = 100 << 20
	source := func() io.Reader {
		return io.LimitReader(mrand.NewChaCha8([32]byte{1}), size)
	}
	h := newDigester()
	if _, err := io.Copy(h, source()); err != nil {
		t.Fatal(err)
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	n := 0
	watch := readerFunc(nil)
	in := source()
	watch = func(p []byte) (int, error) {
		if n++; n%200 == 0 {
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapInuse)
		}
		return in.Read(p)
	}
	o, err := s.Put(t.Context(), prefix+"big", watch, size, h.digest())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in = r
	if _, err := io.Copy(io.Discard, Checked(watch, size, o.SHA256)); err != nil {
		t.Fatal(err)
	}
	if grown := int64(peak) - int64(before.HeapInuse); grown > 40<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

func testAbsent(t *testing.T, s Store, prefix string) {
	wantAbsent(t, s, prefix+"a")
	put(t, s, prefix+"dir/a", []byte("x"))
	for _, key := range []string{prefix + "a", prefix + "dir", prefix + "dir/b", prefix + "dir/a/b"} {
		if r, err := s.Open(t.Context(), greffe.Object{Key: key}); !errors.Is(err, ErrNotFound) {
			t.Errorf("Open(%s) = %v, %v, want ErrNotFound", key, r, err)
		}
		wantAbsent(t, s, key)
	}
}
