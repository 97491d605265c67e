package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"greffe/pkg/greffe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type digester struct{ hash.Hash }

func newDigester() digester              { return digester{sha256.New()} }
func (d digester) digest() greffe.Digest { return greffe.DigestFrom(d.Sum(nil)) }

func openDir(t testing.TB) (Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "archive")
	s, err := OpenDir(dir, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

func TestDir(t *testing.T) {
	t.Parallel()
	s, dir := openDir(t)
	t.Run("suite", func(t *testing.T) { testStore(t, s) })
	// The parallel cases are over here: what they left behind is only objects.
	left, err := os.ReadDir(filepath.Join(dir, tempDir))
	if err != nil || len(left) != 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
	err = filepath.WalkDir(filepath.Join(dir, "suite"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if strings.HasSuffix(path, ".lock") {
			return nil
		}
		if fi, err := e.Info(); err != nil || fi.Mode().Perm() != 0o400 {
			t.Errorf("%s has rights %v, %v", e.Name(), fi.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDirSurvivesReopening(t *testing.T) {
	t.Parallel()
	s, dir := openDir(t)
	o := put(t, s, "content/a", []byte("kept"))
	old, young := filepath.Join(dir, tempDir, "OLD"), filepath.Join(dir, tempDir, "YOUNG")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, []byte("half"), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * tempAge)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	again, err := OpenDir(dir, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := get(t, again, o); string(got) != "kept" {
		t.Errorf("read %q", got)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an old temporary file is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the temporary file of a living writer was removed: %v", err)
	}
}

// A symbolic link in the directory must not lead anywhere else.
func TestDirDoesNotFollowLinksOut(t *testing.T) {
	t.Parallel()
	s, dir := openDir(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "content")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), greffe.Object{Key: "content/secret"}); err == nil {
		t.Error("a link out of the archive was followed")
	}
	if _, err := s.Put(t.Context(), "content/b", strings.NewReader("b"), 1, greffe.DigestOf([]byte("b"))); err == nil {
		t.Error("an object was written outside the archive")
	}
}

func TestDirSaysWhenItIsDown(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		// Rights do not stop root: an errno stands for them.
		for _, e := range outages {
			if err := outage(&fs.PathError{Op: "write", Path: "x", Err: e}); !errors.Is(err, ErrUnavailable) || !errors.Is(err, e) {
				t.Errorf("%v gives %v", e, err)
			}
		}
		return
	}
	s, dir := openDir(t)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	if _, err := s.Put(t.Context(), "a", strings.NewReader("a"), 1, greffe.DigestOf([]byte("a"))); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Put in a read-only directory: %v", err)
	}
}

func TestDirCheck(t *testing.T) {
	t.Parallel()
	s, dir := openDir(t)
	for _, c := range s.Check(t.Context()) {
		if !c.OK || c.Name == "" || c.Text == "" {
			t.Errorf("%+v", c)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	bad := 0
	for _, c := range s.Check(t.Context()) {
		if !c.OK {
			bad++
			if !strings.Contains(c.Text, "chmod") {
				t.Errorf("does not say how to mend it: %+v", c)
			}
		}
	}
	if bad != 1 {
		t.Errorf("%d checks failed for a directory that others may enter", bad)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c := s.Check(ctx); len(c) == 0 || c[0].OK {
		t.Errorf("an interrupted check says %+v", c)
	}
}

func BenchmarkDirPut200K(b *testing.B) {
	s, _ := openDir(b)
	body := bytes.Repeat([]byte("0123456789abcdef"), 200<<10/16)
	b.SetBytes(int64(len(body)))
	b.RunParallel(func(pb *testing.PB) {
		own := bytes.Clone(body)
		for pb.Next() {
			h := newDigester()
			copy(own, time.Now().String())
			h.Write(own)
			if _, err := s.Put(b.Context(), ContentKey(h.digest()), bytes.NewReader(own), int64(len(own)), h.digest()); err != nil {
				b.Error(err)
			}
		}
	})
}
