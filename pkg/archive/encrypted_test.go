package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

func newMasters(t testing.TB) (*Masters, string) {
	t.Helper()
	text, err := NewMaster()
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMasters(text)
	if err != nil {
		t.Fatal(err)
	}
	return m, text
}

func encrypted(t testing.TB, inner Store, m *Masters, retention time.Duration) *Encrypted {
	t.Helper()
	e, err := Encrypt(inner.(Eliminator), m, retention)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// encryptedDir is an encrypted archive in a directory.
func encryptedDir(t testing.TB) (*Encrypted, *Masters, string) {
	t.Helper()
	m, _ := newMasters(t)
	inner, dir := openDir(t)
	return encrypted(t, inner, m, time.Minute), m, dir
}

// eachEncrypted runs f over every driver.
func eachEncrypted(t *testing.T, f func(t *testing.T, e *Encrypted, m *Masters)) {
	t.Run("dir", func(t *testing.T) {
		t.Parallel()
		e, m, _ := encryptedDir(t)
		f(t, e, m)
	})
	servers(t, func(t *testing.T, cfg S3Config) {
		m, _ := newMasters(t)
		cfg.Bucket = ownBucket(t, cfg)
		f(t, encrypted(t, openS3(t, cfg), m, cfg.Retention), m)
	})
}

func TestEncrypted(t *testing.T) {
	t.Parallel()
	eachEncrypted(t, func(t *testing.T, e *Encrypted, _ *Masters) { testStore(t, e) })
}

func TestEncryptedElimination(t *testing.T) {
	t.Parallel()
	m, _ := newMasters(t)
	check := func(t *testing.T, e *Encrypted, prefix string) {
		testElimination(t, e, prefix)
		o := put(t, e, prefix+"gone", []byte("gone"))
		for deadline := time.Now().Add(30 * time.Second); ; {
			err := e.Eliminate(t.Context(), o)
			if err == nil {
				break
			}
			if !errors.Is(err, ErrLocked) && !errors.Is(err, ErrUnavailable) || time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		for i, err := range e.inner.List(t.Context(), KeysPrefix+o.Key) {
			t.Errorf("the key of what was eliminated is still there: %+v, %v", i, err)
		}
	}
	t.Run("dir", func(t *testing.T) {
		t.Parallel()
		s, err := OpenDir(t.TempDir(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		check(t, encrypted(t, s, m, time.Second), "suite/x/")
	})
	servers(t, func(t *testing.T, cfg S3Config) {
		cfg.Retention, cfg.Bucket = 2*time.Second, ownBucket(t, cfg)
		check(t, encrypted(t, openS3(t, cfg), m, cfg.Retention), "suite/"+strings.ToLower(rand.Text())+"/")
	})
}

// Nothing that is stored, under no name, holds a word of what was put.
func TestEncryptedBytesHoldNoPlaintext(t *testing.T) {
	t.Parallel()
	eachEncrypted(t, func(t *testing.T, e *Encrypted, _ *Masters) {
		secret := []byte("Compte rendu de Mme DUPONT, née en 1985")
		for _, key := range []string{"messages/a/message.eml", "messages/a/manifest.json", "content/aa/b", "journal/2026/11/22/x.facts.jsonl"} {
			put(t, e, key, bytes.Repeat(secret, 4000))
			put(t, e, "messages/small/"+key, secret)
		}
		put(t, e, "journal/2026/11/22/x.jsonl", []byte("ids only"))
		n, clear := 0, 0
		for i, err := range e.inner.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			n++
			b := get(t, e.inner, i.Object)
			if bytes.Contains(b, []byte("DUPONT")) || bytes.Contains(b, []byte("Compte")) || bytes.Contains(b, []byte("SECRET-KEY")) {
				t.Errorf("%s holds what was put", i.Key)
			}
			if string(b) == "ids only" {
				clear++
			}
		}
		if n < 17 || clear != 1 { // objects, keys, the master key's name, the journal
			t.Errorf("%d objects, %d in clear", n, clear)
		}
	})
}

// The key is durable before the object, and the same bytes twice have one object.
func TestEncryptedOrder(t *testing.T) {
	t.Parallel()
	inner, _ := openDir(t)
	m, _ := newMasters(t)
	rec := &recorder{Eliminator: inner.(Eliminator)}
	e := encrypted(t, rec, m, time.Minute)
	o := put(t, e, "content/aa/b", []byte("letter"))
	if put(t, e, "content/aa/b", []byte("letter")) != o {
		t.Error("the repeat is another object")
	}
	want := "keys/masters/" + m.ID() + ".pub keys/content/aa/b.age content/aa/b.age"
	if got := strings.Join(rec.puts, " "); got != want {
		t.Errorf("put %s\nwant %s", got, want)
	}
}

type recorder struct {
	Eliminator
	mu   sync.Mutex
	puts []string
	fail func(key string, stored bool) error
}

func (r *recorder) Put(ctx context.Context, key string, in io.Reader, size int64, sha greffe.Digest) (greffe.Object, error) {
	r.mu.Lock()
	r.puts = append(r.puts, key)
	r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(key, false); err != nil {
			return greffe.Object{}, err
		}
	}
	o, err := r.Eliminator.Put(ctx, key, in, size, sha)
	if err == nil && r.fail != nil {
		if err := r.fail(key, true); err != nil {
			return greffe.Object{}, err
		}
	}
	return o, err
}

func (r *recorder) Eliminate(ctx context.Context, o greffe.Object) error {
	if r.fail != nil {
		if err := r.fail(o.Key, false); err != nil {
			return err
		}
	}
	err := r.Eliminator.Eliminate(ctx, o)
	if err == nil && r.fail != nil {
		err = r.fail(o.Key, true)
	}
	return err
}

// Each step of storing and of erasing fails twice, before and after it was done; the
// repeat brings about the whole, and nothing readable is lost on the way.
func TestEncryptedFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("the power went out")
	for _, stored := range []bool{false, true} {
		for n := range 6 {
			inner, _ := openDir(t)
			m, _ := newMasters(t)
			count, on := 0, true
			rec := &recorder{Eliminator: inner.(Eliminator)}
			rec.fail = func(_ string, done bool) error {
				if !on || done != stored {
					return nil
				}
				count++
				if count == n+1 {
					return broken
				}
				return nil
			}
			e := encrypted(t, rec, m, time.Minute)
			b := []byte("letter")
			steps := []func() error{
				func() error {
					_, err := e.Put(t.Context(), "content/aa/b", bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
					return err
				},
				func() error {
					return e.Condemn(t.Context(), greffe.Object{Key: "content/aa/b"}, "e1")
				},
				func() error { return e.Erase(t.Context(), "content/aa/b", "e1") },
			}
			failed := 0
			for i, step := range steps {
				if err := step(); errors.Is(err, broken) {
					failed++
					if i == 0 {
						// After a crash it is readable or not there, never there and lost.
						if r, err := e.Open(t.Context(), greffe.Object{Key: "content/aa/b"}); err == nil {
							r.Close()
						} else if !errors.Is(err, ErrNotFound) {
							t.Errorf("after step %d: %v", n, err)
						}
					}
					on = false
					if err := step(); err != nil {
						t.Errorf("the repeat after step %d: %v", n, err)
					}
				} else if err != nil {
					t.Error(err)
				}
			}
			if want := 1; n < 5 && failed != want {
				t.Errorf("step %d: %d failures", n, failed)
			}
			if _, err := e.Open(t.Context(), greffe.Object{Key: "content/aa/b"}); !isErased(err, "e1") {
				t.Errorf("step %d: %v, want erased", n, err)
			}
		}
	}
}

func isErased(err error, order string) bool {
	e, ok := errors.AsType[*ErasedError](err)
	return ok && e.Order == order && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDigest)
}

// What is erased can be read by nobody; what arrives again is stored again, but for a
// message that was erased as such.
func TestErase(t *testing.T) {
	t.Parallel()
	eachEncrypted(t, func(t *testing.T, e *Encrypted, _ *Masters) {
		content, raw := "content/aa/letter", "messages/x/message.eml"
		b := []byte("a letter about somebody")
		o, r := put(t, e, content, b), put(t, e, raw, b)
		other := put(t, e, "content/aa/other", []byte("somebody else"))
		for _, o := range []greffe.Object{o, r} {
			if err := e.Erase(t.Context(), o.Key, "e1"); !errors.Is(err, ErrNotFound) {
				t.Errorf("erased without being condemned: %v", err)
			}
			for _, before := range []string{"", "e1"} {
				if got, err := e.Condemned(t.Context(), o); err != nil || got != before {
					t.Errorf("condemned %s: %q, %v", o.Key, got, err)
				}
				if err := e.Condemn(t.Context(), o, "e1"); err != nil {
					t.Errorf("condemn %s: %v", o.Key, err)
				}
			}
			if got := get(t, e, o); !bytes.Equal(got, b) {
				t.Error("condemned is not erased yet")
			}
		}
		if err := e.Condemn(t.Context(), o, "e2"); err != nil {
			t.Errorf("asked again: %v", err)
		}
		if err := e.Erase(t.Context(), content, "e1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("erased by a request that another one replaced: %v", err)
		}
		// It arrives again before it is erased: for another message.
		again := put(t, e, content, b)
		if _, err := e.Put(t.Context(), raw, bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b)); !isErased(err, "e1") {
			t.Errorf("a message that is being erased is stored again: %v", err)
		}
		if err := e.Erase(t.Context(), content, "e2"); err != nil {
			t.Fatal(err)
		}
		if err := e.Erase(t.Context(), content, "e2"); err != nil {
			t.Errorf("erased twice: %v", err)
		}
		if err := e.Erase(t.Context(), raw, "e1"); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"open": second(e.Open(t.Context(), r)), "stat": second(e.Stat(t.Context(), raw)), "retain": second(e.Retain(t.Context(), r, time.Time{})),
			"put": second(e.Put(t.Context(), raw, bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))),
		} {
			if !isErased(err, "e1") {
				t.Errorf("%s of what was erased: %v", what, err)
			}
		}
		if got := get(t, e, again); !bytes.Equal(got, b) {
			t.Error("what arrived again was lost")
		}
		if got := put(t, e, content, b); got != again {
			t.Errorf("a third arrival is %+v, want %+v", got, again)
		}
		if got := get(t, e, other); string(got) != "somebody else" {
			t.Error("something else was erased")
		}
		n := 0
		for i, err := range e.List(t.Context(), "content/aa/") {
			if n++; err != nil || i.Size != int64(len(get(t, e, i.Object))) {
				t.Errorf("%+v, %v", i, err)
			}
		}
		if n != 2 {
			t.Errorf("%d keys are listed", n)
		}
		if err := e.Condemn(t.Context(), greffe.Object{Key: "content/none"}, "e1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("what is not there: %v", err)
		}
		// Erased after it arrived again: the second key goes, too.
		if err := e.Condemn(t.Context(), again, "e3"); err != nil {
			t.Fatal(err)
		}
		if err := e.Erase(t.Context(), content, "e3"); err != nil {
			t.Fatal(err)
		}
		if err := second(e.Open(t.Context(), again)); !isErased(err, "e3") {
			t.Errorf("%v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// A key that is lost or damaged is named, and what arrives again is readable.
func TestKeyLost(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(string) error{
		"missing":   os.Remove,
		"truncated": func(p string) error { os.Chmod(p, 0o600); return os.Truncate(p, 20) },
		"empty":     func(p string) error { os.Chmod(p, 0o600); return os.Truncate(p, 0) },
		"changed": func(p string) error {
			b, err := os.ReadFile(p)
			b[len(b)-1] ^= 1
			os.Chmod(p, 0o600)
			return errors.Join(err, os.WriteFile(p, b, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _, dir := encryptedDir(t)
			b := []byte("a letter")
			o := put(t, e, "content/aa/letter", b)
			if err := spoil(filepath.Join(dir, "keys/content/aa/letter.age")); err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{"open": second(e.Open(t.Context(), o)), "stat": second(e.Stat(t.Context(), o.Key))} {
				if !errors.Is(err, ErrKeyLost) || !errors.Is(err, ErrDigest) || !strings.Contains(err.Error(), "keys/content/aa/letter.age") {
					t.Errorf("%s: %v", what, err)
				}
			}
			put(t, e, o.Key, b)
			if got := get(t, e, o); !bytes.Equal(got, b) {
				t.Error("what arrived again cannot be read")
			}
		})
	}
}

func TestDamagedCiphertext(t *testing.T) {
	t.Parallel()
	e, _, dir := encryptedDir(t)
	b := bytes.Repeat([]byte("letter "), 40_000)
	o := put(t, e, "content/aa/letter", b)
	path := filepath.Join(dir, "content/aa/letter.age")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o600)
	for name, spoil := range map[string]func([]byte) []byte{
		"header":    func(b []byte) []byte { b[40] ^= 1; return b },
		"first":     func(b []byte) []byte { b[300] ^= 1; return b },
		"last":      func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"truncated": func(b []byte) []byte { return b[:len(b)-70_000] },
		"empty":     func([]byte) []byte { return nil },
		"longer":    func(b []byte) []byte { return append(b, 'x') },
		"clear":     func([]byte) []byte { return b },
	} {
		if err := os.WriteFile(path, spoil(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := e.Open(t.Context(), o)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			if n, seek := r.Seek(100_000, io.SeekStart); seek == nil && name != "first" && name != "header" && err != nil {
				_, again := io.ReadAll(r)
				if again == nil || n != 100_000 {
					t.Errorf("%s: read from the middle without a word", name)
				}
			}
			r.Close()
		}
		if !errors.Is(err, ErrDigest) {
			t.Errorf("%s: %v, want ErrDigest", name, err)
		}
		if _, err := e.Put(t.Context(), o.Key, bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b)); !errors.Is(err, ErrExists) {
			t.Errorf("%s: put again gives %v, want ErrExists", name, err)
		}
	}
}

// Several master keys are read, the first one wraps; one that is missing is noticed at
// the first put and by every read that needs it.
func TestMasterRotation(t *testing.T) {
	t.Parallel()
	inner, _ := openDir(t)
	_, old := newMasters(t)
	_, next := newMasters(t)
	load := func(text string) *Encrypted {
		m, err := ParseMasters(text)
		if err != nil {
			t.Fatal(err)
		}
		return encrypted(t, inner, m, time.Minute)
	}
	first := put(t, load(old), "content/aa/first", []byte("first"))
	both := load("# after the rotation\n" + next + "\n" + old)
	late := put(t, both, "content/aa/late", []byte("late"))
	for _, o := range []greffe.Object{first, late} {
		if got := get(t, both, o); !strings.HasSuffix(o.Key, string(got)) {
			t.Errorf("%s reads %q", o.Key, got)
		}
	}
	only := load(next)
	if got := get(t, only, late); string(got) != "late" {
		t.Error("the new key does not wrap")
	}
	if err := second(only.Open(t.Context(), first)); !errors.Is(err, ErrNoMaster) || !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrDigest) {
		t.Errorf("without the old key: %v", err)
	}
	b := []byte("x")
	if _, err := only.Put(t.Context(), "content/aa/x", bytes.NewReader(b), 1, greffe.DigestOf(b)); !errors.Is(err, ErrNoMaster) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("put without the old key: %v", err)
	}
	defer func() {
		// The old key is lost for good, and its name is taken away: what it wrapped is lost,
		// and arrives anew.
		m, err := ParseMasters(old)
		if err != nil {
			t.Fatal(err)
		}
		if err := inner.(Eliminator).Eliminate(t.Context(), greffe.Object{Key: mastersPath + m.ID() + ".pub"}); err != nil {
			t.Fatal(err)
		}
		if err := second(only.Open(t.Context(), first)); !errors.Is(err, ErrKeyLost) || errors.Is(err, ErrUnavailable) {
			t.Errorf("given up: %v", err)
		}
		if o := put(t, only, first.Key, []byte("first")); string(get(t, only, o)) != "first" {
			t.Error("it did not arrive anew")
		}
	}()
	for name, e := range map[string]*Encrypted{"all": both, "one is missing": only} {
		bad := 0
		for _, c := range e.Check(t.Context()) {
			if !c.OK {
				bad++
				if !strings.Contains(c.Text, "master_key") || c.Later {
					t.Errorf("%s: %+v", name, c)
				}
			}
		}
		if want := map[string]int{"one is missing": 1}[name]; bad != want {
			t.Errorf("%s: %d checks failed", name, bad)
		}
	}
}

func TestParseMasters(t *testing.T) {
	t.Parallel()
	_, text := newMasters(t)
	const x25519 = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
	if m, err := ParseMasters(x25519 + "\n" + text); err != nil || m.Len() != 2 {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "\n# only a comment\n", "age1xyz", text + "rubbish", strings.ToLower(text), "AGE-SECRET-KEY-PQ-1XXXX"} {
		_, err := ParseMasters(bad)
		if !errors.Is(err, ErrMasters) {
			t.Errorf("%.30q: %v", bad, err)
		} else if strings.Contains(err.Error(), "XXXX") {
			t.Errorf("the error holds a part of the key: %v", err)
		}
	}
	if _, err := ReadMasters(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// What was stored before encryption was turned on is read, listed and locked as before.
func TestEncryptedAfterClear(t *testing.T) {
	t.Parallel()
	eachEncrypted(t, func(t *testing.T, e *Encrypted, _ *Masters) {
		if c := CheckClear(t.Context(), e.inner); !c.OK {
			t.Errorf("%+v", c)
		}
		b := []byte("from before")
		o := put(t, e.inner, "content/aa/old", b)
		if got := get(t, e, o); !bytes.Equal(got, b) {
			t.Errorf("%q", got)
		}
		if again := put(t, e, o.Key, b); again != o {
			t.Errorf("%+v, want %+v", again, o)
		}
		other := []byte("other bytes")
		if _, err := e.Put(t.Context(), o.Key, bytes.NewReader(other), int64(len(other)), greffe.DigestOf(other)); !errors.Is(err, ErrExists) {
			t.Errorf("%v, want ErrExists", err)
		}
		if i, err := e.Stat(t.Context(), o.Key); err != nil || i.Encrypted || i.Size != o.Size {
			t.Errorf("%+v, %v", i, err)
		}
		if i, err := e.Hold(t.Context(), o, true); err != nil || !i.Held {
			t.Errorf("%+v, %v", i, err)
		}
		if _, err := e.Hold(t.Context(), o, false); err != nil {
			t.Error(err)
		}
		if err := e.Condemn(t.Context(), o, "e1"); !errors.Is(err, ErrNoKey) {
			t.Errorf("condemn: %v", err)
		}
		put(t, e, "content/aa/new", b)
		n := 0
		for i, err := range e.List(t.Context(), "") {
			if n++; err != nil || i.Size != o.Size || strings.HasPrefix(i.Key, KeysPrefix) {
				t.Errorf("%+v, %v", i, err)
			}
		}
		if n != 2 {
			t.Errorf("%d keys", n)
		}
		if c := CheckClear(t.Context(), e.inner); c.OK || c.Later {
			t.Errorf("without encryption: %+v", c)
		}
	})
}

// A bucket that locks by default is refused: its keys could not be destroyed.
func TestS3DefaultRetentionIsRefused(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, cfg S3Config) {
		m, _ := newMasters(t)
		cfg.Bucket = ownBucket(t, cfg)
		s := openS3(t, cfg)
		e := encrypted(t, s, m, cfg.Retention)
		for _, c := range e.Check(t.Context()) {
			if !c.OK {
				t.Errorf("%+v", c)
			}
		}
		mode, days, unit := s.mode, uint(1), lockUnit
		if err := s.c.SetObjectLockConfig(t.Context(), s.bucket, &mode, &days, &unit); err != nil {
			t.Fatal(err)
		}
		bad := 0
		for _, c := range e.Check(t.Context()) {
			if !c.OK {
				if bad++; !strings.Contains(c.Text, "1 jours") || !strings.Contains(c.Text, "archive.encryption") || c.Later {
					t.Errorf("%+v", c)
				}
			}
		}
		if bad != 1 {
			t.Errorf("%d checks failed", bad)
		}
	})
}

// The age program and the master key read an object without Greffe.
func TestEncryptedReadWithoutGreffe(t *testing.T) {
	t.Parallel()
	program := os.Getenv("GREFFE_TEST_AGE")
	if program == "" {
		t.Skip("GREFFE_TEST_AGE is not set")
	}
	inner, dir := openDir(t)
	_, text := newMasters(t)
	m, err := ParseMasters(text)
	if err != nil {
		t.Fatal(err)
	}
	e := encrypted(t, inner, m, time.Minute)
	b := make([]byte, 200_000)
	rand.Read(b)
	o := put(t, e, "content/aa/letter", b)
	master, key := secret(t, text), filepath.Join(t.TempDir(), "object.key")
	run := func(args ...string) []byte {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), program, args...).Output()
		if err != nil {
			t.Fatalf("age %v: %v", args, err)
		}
		return out
	}
	if err := os.WriteFile(key, run("-d", "-i", master, filepath.Join(dir, "keys", o.Key+".age")), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run("-d", "-i", key, filepath.Join(dir, o.Key+".age")); !bytes.Equal(got, b) {
		t.Error("the age program reads something else")
	}
}

// Erasing the same bytes again and again never keeps them from being stored again.
func TestManyGenerations(t *testing.T) {
	t.Parallel()
	e, _, _ := encryptedDir(t)
	b := []byte("a picture that many mails have")
	for n := range 12 {
		o, order := put(t, e, "content/aa/b", b), fmt.Sprintf("e%d", n)
		if got := get(t, e, o); !bytes.Equal(got, b) {
			t.Fatalf("generation %d reads %q", n, got)
		}
		if err := errors.Join(e.Condemn(t.Context(), o, order), e.Erase(t.Context(), o.Key, order)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for i, err := range e.List(t.Context(), "content/") {
		if n++; err != nil || i.Key != "content/aa/b" || i.Size != int64(len(b)) {
			t.Errorf("%+v, %v", i, err)
		}
	}
	if n != 1 {
		t.Errorf("%d keys are listed", n)
	}
	for _, key := range []string{"content/aa/b.age", "content/aa/b.2", "keys/content/aa/b"} {
		if _, err := e.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b)); !errors.Is(err, ErrKey) {
			t.Errorf("%s, which could be a generation of another key: %v", key, err)
		}
	}
}

// Where an object is says which key it is of, whatever the key.
func FuzzSealedKey(f *testing.F) {
	f.Add("content/aa/b", 1)
	f.Add("messages/x/manifest.json", 2)
	f.Add("a.2", 10)
	f.Fuzz(func(t *testing.T, key string, gen int) {
		if !validKey(key) || !sealable(key) || gen < 1 || gen > generations {
			return
		}
		if back, ok := clearKey(sealedKey(key, gen)); !ok || back != key {
			t.Errorf("generation %d of %q is taken for %q", gen, key, back)
		}
	})
}

func FuzzParseMasters(f *testing.F) {
	_, text := newMasters(f)
	f.Add(text)
	f.Add("# x\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := ParseMasters(text); err == nil && (m.Len() == 0 || m.ID() == "") {
			t.Errorf("%q", text)
		}
	})
}

func BenchmarkPut300K(b *testing.B) {
	m, _ := newMasters(b)
	for _, on := range []bool{false, true} {
		name := map[bool]string{false: "clear", true: "encrypted"}[on]
		b.Run(name, func(b *testing.B) {
			var s Store
			s, _ = openDir(b)
			if on {
				s = encrypted(b, s, m, time.Minute)
			}
			body := make([]byte, 300<<10)
			rand.Read(body)
			b.SetBytes(int64(len(body)))
			b.RunParallel(func(pb *testing.PB) {
				own := bytes.Clone(body)
				for pb.Next() {
					rand.Read(own[:32])
					d := greffe.DigestOf(own)
					if _, err := s.Put(b.Context(), ContentKey(d), bytes.NewReader(own), int64(len(own)), d); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
