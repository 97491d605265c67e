package evidence

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// makeZip writes files, name and content by turns.
func makeZip(t testing.TB, files ...string) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "z"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := NewZipWriter(f)
	for i := 0; i < len(files); i += 2 {
		if _, err := z.Add(files[i], strings.NewReader(files[i+1])); err != nil {
			t.Fatal(err)
		}
		// What fails leaves nothing behind.
		if _, err := z.Add("failed", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrClosedPipe))); !errors.Is(err, io.ErrClosedPipe) {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"", "/a", "a/", "a//b", "../a", "a/.b", "é", strings.Repeat("a", maxZipName+1), strings.ToUpper(files[0])} {
		if _, err := z.Add(name, strings.NewReader("")); !errors.Is(err, ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestZipIsReadByOthersAndScanned(t *testing.T) {
	t.Parallel()
	b := makeZip(t, "a.txt", "un", "dir/b", strings.Repeat("deux", 50_000), "dir/vide", "")
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(z.File) != 3 {
		t.Fatalf("%d files: %v", len(z.File), err)
	}
	for _, f := range z.File {
		if r, err := f.Open(); err != nil {
			t.Error(err)
		} else if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
	}
	files, faults, err := scanZip(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
	if err != nil || len(faults) > 0 || len(files) != 3 {
		t.Errorf("%d files, %v, %v", len(files), faults, err)
	}
}

// TestScanFindsEveryChangedByte changes each byte in turn, cuts and lengthens.
func TestScanFindsEveryChangedByte(t *testing.T) {
	t.Parallel()
	b := makeZip(t, "a.txt", "un", "dir/b", "deux", "c", "")
	clean, _, _ := scanZip(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
	for i := range b {
		for _, mask := range []byte{0x01, 0x20, 0xff} {
			bad := bytes.Clone(b)
			bad[i] ^= mask
			_, faults, err := scanZip(t.Context(), bytes.NewReader(bad), int64(len(bad)), nil)
			if err != nil || len(faults) == 0 {
				t.Errorf("byte %d changed by %#x: %v, %v", i, mask, faults, err)
			}
			for _, f := range clean {
				if at := int64(i); at >= f.content() && at < f.content()+f.size && faults[0].File != f.name {
					t.Errorf("byte %d of %s: %v", i, f.name, faults)
				}
			}
		}
		if _, faults, err := scanZip(t.Context(), bytes.NewReader(b[:i]), int64(i), nil); err != nil || len(faults) == 0 {
			t.Errorf("cut at %d: %v, %v", i, faults, err)
		}
	}
	longer := append(bytes.Clone(b), 'x')
	if _, faults, err := scanZip(t.Context(), bytes.NewReader(longer), int64(len(longer)), nil); err != nil || len(faults) == 0 {
		t.Errorf("a byte more: %v, %v", faults, err)
	}
}

func FuzzScanZip(f *testing.F) {
	f.Add(makeZip(f, "a.txt", "un", "dir/b", "deux"))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		files, faults, err := scanZip(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(faults) > 0 {
			return
		}
		// What has no fault is what the writer writes, byte by byte.
		again := []string{}
		for _, x := range files {
			again = append(again, x.name, string(b[x.content():x.content()+x.size]))
		}
		if len(files) > 0 && len(again[0]) > 0 {
			if got := writeAgain(t, again); !bytes.Equal(got, b) {
				t.Errorf("%d bytes, written again %d", len(b), len(got))
			}
		}
	})
}

// writeAgain writes files without trying anything else.
func writeAgain(t *testing.T, files []string) []byte {
	var m memoryFile
	z := NewZipWriter(&m)
	for i := 0; i < len(files); i += 2 {
		if _, err := z.Add(files[i], strings.NewReader(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

// memoryFile is a file in memory.
type memoryFile []byte

func (m *memoryFile) Write(p []byte) (int, error) { *m = append(*m, p...); return len(p), nil }
func (m *memoryFile) WriteAt(p []byte, at int64) (int, error) {
	return copy((*m)[at:], p), nil
}
func (m *memoryFile) Truncate(n int64) error                   { *m = (*m)[:n]; return nil }
func (m *memoryFile) Seek(at int64, whence int) (int64, error) { return at, nil }
