package parser

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// tarOf returns a tar of one file; old drops the mark that newer ones carry.
func tarOf(t *testing.T, old bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "cr.pdf", Mode: 0o644, Size: 5}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("%PDF-")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()
	if old {
		copy(raw[257:], make([]byte, 8)) // "ustar", NUL, "00": 559 + 96 less in the checksum
		copy(raw[148:], "        ")
		sum := 0
		for _, c := range raw[:512] {
			sum += int(c)
		}
		for i := range 6 {
			raw[153-i] = '0' + byte(sum>>(3*i)&7)
		}
		raw[154] = 0
	}
	return raw
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestOtherArchivesAreHeldByName: what Greffe does not open is kept, and the sentence
// tells the sender which format to leave.
func TestOtherArchivesAreHeldByName(t *testing.T) {
	t.Parallel()
	const tail = "\x00\x01\x02\xff\xfe"
	for want, c := range map[string]struct{ name, data string }{
		"au format 7z,":                       {"a.7z", "7z\xbc\xaf\x27\x1c\x00\x04" + tail},
		"au format RAR,":                      {"a.rar", "Rar!\x1a\x07\x01\x00" + tail},
		"au format CAB,":                      {"a.cab", "MSCF\x00\x00\x00\x00" + tail},
		"au format ACE,":                      {"a.ace", "\x12\x34\x31\x00\x00\x00\x90**ACE**" + tail},
		"au format ARJ,":                      {"a.arj", "\x60\xea\x2c\x00" + tail},
		"au format LZH,":                      {"a.lzh", "\x22\x10-lh5-" + tail},
		"au format cpio,":                     {"a", "070701" + tail},
		"au format XAR,":                      {"a.pkg", "xar!\x00\x1c" + tail},
		"au format bzip2,":                    {"a.bz2", "BZh91AY" + tail},
		"au format tar (bzip2),":              {"a.tar.bz2", "BZh91AY" + tail},
		"au format xz,":                       {"a.xz", "\xfd7zXZ\x00" + tail},
		"au format Zstandard,":                {"a.zst", "\x28\xb5\x2f\xfd" + tail},
		"au format compress (.Z),":            {"a.Z", "\x1f\x9d\x90" + tail},
		"au format gzip,":                     {"a.gz", string(gzipped(t, []byte("bonjour")))},
		"au format tar.gz,":                   {"envoi.bin", string(gzipped(t, tarOf(t, false)))},
		"au format tar,":                      {"envoi.bin", string(tarOf(t, false))},
		"au format tar, que":                  {"envoi.bin", string(tarOf(t, true))},
		"au format ISO (image de disque),":    {"cd.iso", strings.Repeat("\x00", 40_000) + "\x01CD001"},
		"au format ZIP en plusieurs morceaux": {"a.z01", "PK\x07\x08PK\x03\x04" + tail},
	} {
		out := parse(t, quiet(), mail("", attachment{name: c.name, media: "application/octet-stream", data: []byte(c.data)}))
		if len(out.Documents) != 1 || out.Documents[0].Verdict != greffe.VerdictHeld || len(out.Documents[0].Findings) != 1 {
			t.Errorf("%s: %+v", want, out.Documents)
			continue
		}
		if f := out.Documents[0].Findings[0]; f.Rule != "parser.archive.format" || !strings.Contains(f.Text, want) {
			t.Errorf("%s: %s", want, f.Text)
		}
	}
}

// TestTextIsNoArchive: short marks are also how a text may begin.
func TestTextIsNoArchive(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"070701 est le code", "ZOO de Vincennes", "SIT! dit-il", "BZh", "**ACE**"} {
		if got := sniff([]byte("Le "+text), "text/plain", ""); got.kind != greffe.PartText {
			t.Errorf("%q: %s", text, got.kind)
		}
		if got, ok := sniffArchive([]byte(text), "text/plain", "a.txt"); ok {
			t.Errorf("%q: %v", text, got.args)
		}
	}
}
