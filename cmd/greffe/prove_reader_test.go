package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"greffe/api"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/pdf"
)

// A reader that shares no code with Greffe agrees with it.
func TestPackIsReadByPython(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not here")
	}
	data := useHospital(t)
	key := keyFile(t, data)
	pack := provePack(t, data, "--from", "2020-01-01", "--to", "2040-01-01")
	read := func(pack string) (string, error) {
		out, err := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "pack.py"), pack, key).CombinedOutput()
		return string(out), err
	}
	out, err := read(pack)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got struct {
		Messages, Entries, Objects, Checkpoints int
		Verdict                                 evidence.Status
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	_, rep := verifyPack(t, pack, key)
	if got.Messages != len(rep.Record.Messages) || got.Entries != rep.Record.Entries || got.Checkpoints != len(rep.Record.Checkpoints) || got.Objects == 0 || got.Verdict != rep.Record.Verdict {
		t.Errorf("python: %+v; greffe: %d messages, %d entries", got, len(rep.Record.Messages), rep.Record.Entries)
	}
	// And it is no rubber stamp.
	files := readPack(t, pack)
	for i := range files {
		if files[i].name == "journal/entries.jsonl" {
			files[i].b = bytes.Replace(files[i].b, []byte(`"result":"ok"`), []byte(`"result":"no"`), 1)
		}
	}
	if out, err := read(writePack(t, files, true)); err == nil {
		t.Errorf("a changed line: %s", out)
	}
}

type packFile struct {
	name string
	b    []byte
}

func readPack(t testing.TB, name string) (files []packFile) {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, packFile{f.Name, b})
	}
	return files
}

// writePack writes files as a pack, as a forger would who has the program and not the
// key: the ZIP is right, and SHA256SUMS, too, when sums is set.
func writePack(t testing.TB, files []packFile, sums bool) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "forged.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := evidence.NewZipWriter(f)
	var list strings.Builder
	for _, x := range files {
		if x.name == "SHA256SUMS" && sums {
			x.b = []byte(list.String())
		}
		fmt.Fprintf(&list, "%s  %s\n", greffe.DigestOf(x.b), x.name)
		if _, err := z.Add(x.name, bytes.NewReader(x.b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// names reports whether a KO of the report names the file.
func names(rep evidence.PackReport, file string) bool {
	return slices.ContainsFunc(rep.Checks, func(k evidence.Check) bool {
		return k.Status == evidence.StatusKO && slices.ContainsFunc(k.Faults, func(f evidence.Fault) bool { return strings.Contains(f.File, file) || strings.Contains(f.Text, file) })
	})
}

// TestOneChangedByteIsFound changes bytes of each file and of what is around them.
func TestOneChangedByteIsFound(t *testing.T) {
	t.Parallel()
	data := useHospital(t)
	keys, err := readVerifiers(keyFile(t, data))
	if err != nil {
		t.Fatal(err)
	}
	pack := provePack(t, data, "--document", string(aDocument(t, data).ID))
	b, err := os.ReadFile(pack)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	change := func(i int64, file string) {
		tried++
		old := b[i]
		b[i] ^= byte(1 << (i % 8))
		rep, err := evidence.VerifyPack(t.Context(), bytes.NewReader(b), int64(len(b)), evidence.Trust{Keys: keys}, nil)
		if err != nil || rep.Verdict != evidence.StatusKO || file != "" && !names(rep, file) {
			t.Errorf("byte %d of %q: %v, %s", i, file, err, rep.Verdict)
		}
		b[i] = old
	}
	end := int64(0)
	for _, f := range z.File {
		at, err := f.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		for i := end; i < at; i += 5 {
			change(i, "")
		}
		size := int64(f.UncompressedSize64)
		step := max(size/40, 1)
		for i := at; i < at+size; i += step {
			change(i, f.Name)
		}
		if size > 0 {
			change(at+size-1, f.Name)
		}
		end = at + size
	}
	for i := end; i < int64(len(b)); i += 5 {
		change(i, "")
	}
	t.Logf("%d bytes of %d in %d files", tried, len(b), len(z.File))
}

// TestForgedPacks: what a forger repairs shows elsewhere.
func TestForgedPacks(t *testing.T) {
	t.Parallel()
	data := useHospital(t)
	key := keyFile(t, data)
	other := filepath.Join(t.TempDir(), "other")
	if code, _, errs := cli(nil, "keys", "--data", data, "--new", other); code != exitOK {
		t.Fatal(errs)
	}
	text, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := evidence.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	pack := provePack(t, data, "--document", string(aDocument(t, data).ID))
	find := func(files []packFile, prefix string) int {
		i := slices.IndexFunc(files, func(f packFile) bool { return strings.HasPrefix(f.name, prefix) })
		if i < 0 {
			t.Fatalf("no %s", prefix)
		}
		return i
	}
	for name, forge := range map[string]func([]packFile) (files []packFile, named string, sums bool){
		"a file more": func(f []packFile) ([]packFile, string, bool) {
			return slices.Insert(f, 1, packFile{"objects/extra.txt", []byte("x")}), "objects/extra.txt", false
		},
		"a file more, listed": func(f []packFile) ([]packFile, string, bool) {
			return slices.Insert(f, 1, packFile{"objects/extra.txt", []byte("x")}), "SHA256SUMS", true
		},
		"a document less": func(f []packFile) ([]packFile, string, bool) {
			i := find(f, "objects/content/")
			gone := f[i].name
			return slices.Delete(f, i, i+1), gone, false
		},
		"a document less, not listed": func(f []packFile) ([]packFile, string, bool) {
			i := find(f, "objects/content/")
			gone := f[i].name
			return slices.Delete(f, i, i+1), gone, true
		},
		"a document changed, listed": func(f []packFile) ([]packFile, string, bool) {
			i := find(f, "objects/content/")
			f[i].b = append(bytes.Clone(f[i].b), ' ')
			return f, f[i].name, true
		},
		"two files change places": func(f []packFile) ([]packFile, string, bool) {
			f[0], f[1] = f[1], f[0]
			return f, f[1].name, false
		},
		"a record that says otherwise": func(f []packFile) ([]packFile, string, bool) {
			i := find(f, "preuve.json")
			f[i].b = bytes.Replace(f[i].b, []byte(`"entries": `), []byte(`"entries": 1`), 1)
			return f, "preuve.json", true
		},
		"a record with something hidden": func(f []packFile) ([]packFile, string, bool) {
			i := find(f, "preuve.json")
			f[i].b = append(bytes.Clone(f[i].b), ' ')
			return f, "preuve.json", true
		},
		"the key of a stranger": func(f []packFile) ([]packFile, string, bool) {
			i := find(f, "keys/")
			f[i] = packFile{"keys/" + stranger.ID() + ".pub", []byte(stranger.Public() + "\n")}
			return f, "keys/" + stranger.ID(), true
		},
		"no signature": func(f []packFile) ([]packFile, string, bool) {
			i := find(f, "SHA256SUMS.note")
			return slices.Delete(f, i, i+1), "SHA256SUMS.note", true
		},
		"no proofs": func(f []packFile) ([]packFile, string, bool) {
			i := find(f, "journal/proofs.txt")
			return slices.Delete(f, i, i+1), "journal/proofs.txt", true
		},
		"a line of the journal less": func(f []packFile) ([]packFile, string, bool) {
			i := find(f, "journal/entries.jsonl")
			f[i].b = f[i].b[bytes.IndexByte(f[i].b, '\n')+1:]
			return f, "journal/proofs.txt", true
		},
		"nothing": func([]packFile) ([]packFile, string, bool) { return nil, "SHA256SUMS", false },
	} {
		files, named, sums := forge(readPack(t, pack))
		code, rep := verifyPack(t, writePack(t, files, sums), key)
		if code != exitWrong || rep.Verdict != evidence.StatusKO || !names(rep, named) {
			t.Errorf("%s: exit %d, %s, %s is not named", name, code, rep.Verdict, named)
		}
	}
	// The right pack under the wrong key, without a key, and with one.
	wrong := filepath.Join(t.TempDir(), "wrong.pub")
	if err := os.WriteFile(wrong, []byte(stranger.Public()), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, rep := verifyPack(t, pack, wrong); code != exitWrong || rep.Verdict != evidence.StatusKO {
		t.Errorf("the key of a stranger: exit %d, %s", code, rep.Verdict)
	}
	if code, out, _ := cli(nil, "verify", "--pack", pack); code != exitWrong || !strings.Contains(out, "aucune clé n’a été donnée") {
		t.Errorf("without a key: exit %d", code)
	}
	if code, out, errs := cli(nil, "verify", "--pack", pack, "--key", key); code != exitOK {
		t.Errorf("as it is: exit %d: %s%s", code, out, errs)
	}
}

// TestPackFormats holds the published schemas, and that the report is a PDF that Greffe
// itself would take.
func TestPackFormats(t *testing.T) {
	t.Parallel()
	data := useHospital(t)
	files := readPack(t, provePack(t, data, "--from", "2020-01-01", "--to", "2040-01-01"))
	manifest := compileSchema(t, "manifest.schema.json", api.ManifestSchema)
	segment := compileSchema(t, "segment.schema.json", api.SegmentSchema)
	pack := compileSchema(t, "pack.schema.json", api.PackSchema)
	n := map[string]int{}
	for _, f := range files {
		switch {
		case strings.HasPrefix(f.name, "manifests/"):
			n["manifest"]++
			holds(t, manifest, f.b)
		case f.name == "journal/entries.jsonl":
			for line := range bytes.Lines(f.b) {
				n["line"]++
				holds(t, segment, line)
			}
		case f.name == "preuve.json":
			n["record"]++
			holds(t, pack, f.b)
		case f.name == "preuve.pdf":
			n["report"]++
			reportIsTagged(t, f.b)
		}
	}
	if n["manifest"] == 0 || n["line"] == 0 || n["record"] != 1 || n["report"] != 1 {
		t.Errorf("%v", n)
	}
}

func reportIsTagged(t *testing.T, b []byte) {
	t.Helper()
	checker := pdf.New(pdf.Config{Workers: 1})
	defer checker.Close()
	info, findings, err := checker.Check(t.Context(), bytes.NewReader(b))
	if err != nil || len(findings) > 0 {
		t.Errorf("our own reader: %+v, %v, %v", info, findings, err)
	}
	for _, want := range []string{"/Lang (fr-FR)", "/Marked true", "/StructTreeRoot", "/DisplayDocTitle true", "/S /H1", "/S /H2", "/S /TH", "/Scope /Column", "/Scope /Row", "/FontFile2", "/ToUnicode"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("the report has no %s", want)
		}
	}
	program, err := exec.LookPath("pdfinfo")
	if err != nil {
		return
	}
	name := filepath.Join(t.TempDir(), "preuve.pdf")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "-struct-text", name).CombinedOutput()
	text := string(out)
	if err != nil || !strings.Contains(text, "H1 (block)") || !strings.Contains(text, "Relevé de preuve") || !strings.Contains(text, "TH") || strings.Contains(text, "Syntax Error") {
		t.Errorf("pdfinfo: %v\n%.2000s", err, text)
	}
}
