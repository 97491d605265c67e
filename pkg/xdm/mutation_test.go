package xdm

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// usable lists the documents that an archive gives with nothing that stops them, and fails
// for one whose bytes are not those that its metadata announce.
func usable(t *testing.T, what string, b []byte) (digests []string) {
	t.Helper()
	a, findings, err := Open(bytes.NewReader(b), int64(len(b)), Limits{})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if a == nil {
		if greffe.VerdictOf(findings) != greffe.VerdictRefused {
			t.Errorf("%s: nothing was read and nothing refused: %v", what, findings)
		}
		return nil
	}
	for _, s := range a.Sets {
		for _, d := range s.Documents {
			all := slices.Concat(findings, s.Findings, d.Findings)
			if v := greffe.VerdictOf(all); v == greffe.VerdictRefused || v == greffe.VerdictHeld {
				continue
			}
			data, err := readEntry(a, d.Entry)
			sum := sha1.Sum(data)
			got := hex.EncodeToString(sum[:])
			switch {
			case err != nil:
				t.Errorf("%s: document %d: %v", what, d.Entry, err)
			case d.Size >= 0 && d.Size != int64(len(data)), d.SHA1 != "" && d.SHA1 != got:
				t.Errorf("%s: document %d is not as announced, and nothing says so", what, d.Entry)
			case d.SHA1 == "" && !hasRule(d.Findings, ruleNoHash):
				t.Errorf("%s: document %d was not verified, and nothing says so", what, d.Entry)
			}
			digests = append(digests, got)
		}
	}
	return digests
}

// unpacked returns the entries of a ZIP, to be stored in another one.
func unpacked(t *testing.T, b []byte) (entries []entry) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(f.Name, "__MACOSX") {
			entries = append(entries, entry{name: f.Name, content: string(data), header: func(h *zip.FileHeader) { h.Method = zip.Store }})
		}
	}
	return entries
}

// TestDamagedArchives: real archives with one thing changed. None gives a document that
// differs from the one that was sent without saying so.
func TestDamagedArchives(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(corpus(t, "xdm"), "*", "IHE_XDM.ZIP"))
	if err != nil || len(files) != 14 {
		t.Fatalf("%d archives, %v", len(files), err)
	}
	vendors, err := filepath.Glob(filepath.Join(corpus(t, "xdm-vendor"), "*.zip"))
	if err != nil || len(vendors) != 3 {
		t.Fatalf("%d archives, %v", len(vendors), err)
	}
	for n, path := range append(files, vendors...) {
		official := n < len(files)
		t.Run(filepath.Base(filepath.Dir(path))+"-"+filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sent := usable(t, "as sent", b)
			if official && len(sent) != 1 {
				t.Fatalf("%d documents", len(sent))
			}
			rnd := rand.New(rand.NewPCG(uint64(n), 1))
			check := func(what string, mutant []byte) []string {
				got := usable(t, what, mutant)
				for _, d := range got {
					if !slices.Contains(sent, d) {
						t.Errorf("%s: another document", what)
					}
				}
				return got
			}
			for range 3 {
				at := rnd.IntN(len(b))
				check(fmt.Sprintf("cut at %d", at), b[:at])
				check(fmt.Sprintf("without the first %d", at), b[at:])
				flipped := bytes.Clone(b)
				flipped[at] ^= byte(1 << rnd.IntN(8))
				check(fmt.Sprintf("byte %d flipped", at), flipped)
				length := rnd.IntN(min(4096, len(b)-at) + 1)
				check(fmt.Sprintf("without %d bytes at %d", length, at), slices.Concat(b[:at], b[at+length:]))
				check(fmt.Sprintf("%d bytes at %d twice", length, at), slices.Concat(b[:at+length], b[at:]))
			}
			// A byte of the directory and the headers does more harm than one of a file.
			headers := slices.Concat(places(b, sigLocal), places(b, sigCentral), places(b, sigEnd))
			slices.Reverse(headers)
			for _, header := range headers[:min(5, len(headers))] {
				for range 3 {
					at := min(header+4+rnd.IntN(lenCentral), len(b)-1)
					flipped := bytes.Clone(b)
					flipped[at] ^= byte(1 << rnd.IntN(8))
					check(fmt.Sprintf("byte %d flipped", at), flipped)
				}
			}
			entries := unpacked(t, b)
			for i, e := range entries {
				check("without "+e.name, build(t, slices.Delete(slices.Clone(entries), i, i+1)...))
				if strings.HasSuffix(e.name, "/") {
					continue
				}
				with := func(e entry) []byte {
					changed := slices.Clone(entries)
					changed[i] = e
					return build(t, changed...)
				}
				renamed := e
				renamed.name += ".BAK"
				got := check("other name for "+e.name, with(renamed))
				metadata := strings.HasSuffix(strings.ToUpper(e.name), "METADATA.XML")
				if official && len(got) == 0 && !metadata {
					t.Errorf("other name for %s: the document is lost", e.name)
				}
				if metadata || len(e.content) == 0 {
					continue // what the metadata say is not known from elsewhere
				}
				altered := e
				at := rnd.IntN(len(e.content))
				altered.content = e.content[:at] + string([]byte{e.content[at] ^ 1}) + e.content[at+1:]
				if official {
					check("other bytes in "+e.name, with(altered))
				} else {
					usable(t, "other bytes in "+e.name, with(altered)) // some vendors give no hash
				}
			}
		})
	}
}
