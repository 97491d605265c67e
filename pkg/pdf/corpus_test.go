package pdf_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/pdf"
)

var embeddedPDF = regexp.MustCompile(`JVBERi0[A-Za-z0-9+/=\s]+`)

// TestCorpus checks the PDFs that the official archives carry: each can be read
// and goes its way.
func TestCorpus(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{})
	n := 0
	corpusFiles(t, func(name string, file []byte) {
		n++
		facts, findings, err := c.Check(t.Context(), bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes, %+v %v", name, len(file), facts, findings)
		if v := greffe.VerdictOf(findings); facts.Pages == 0 || v == greffe.VerdictHeld || v == greffe.VerdictRefused {
			t.Errorf("%s: %v", name, findings)
		}
	})
	if t.Logf("%d files", n); n == 0 {
		t.Skip("no shared corpus")
	}
}

// corpusFiles gives each PDF of the archives beside the repository, also those inside
// a CDA.
func corpusFiles(t testing.TB, each func(name string, file []byte)) {
	t.Helper()
	for _, archive := range archives(t) {
		z, err := zip.OpenReader(archive)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			r.Close()
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(archive) + " " + f.Name
			if bytes.HasPrefix(data, []byte("%PDF-")) {
				each(name, data)
				continue
			}
			for _, text := range embeddedPDF.FindAll(data, -1) {
				plain, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				each(name, plain)
			}
		}
		z.Close()
	}
}

// archives returns the ZIP archives beside the repository, none without them.
func archives(t testing.TB) (paths []string) {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return nil
		}
		root = filepath.Dir(root)
	}
	err = filepath.WalkDir(filepath.Join(root, "..", "shared", "corpus"), func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.EqualFold(filepath.Ext(path), ".zip") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return nil
	}
	return paths
}
