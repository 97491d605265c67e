package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"greffe/api"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// hospital is the folder of an installation that every sample went through, as
// "greffe demo --once" leaves it. Tests share it: they may add to its journal, and
// change nothing else. Who needs one to change copies the one at rest beside it, which
// no command has written to: of one in use the files may be of different moments.
var hospital = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "greffe-test-hospital-")
	if err != nil {
		return "", err
	}
	hospitalDir = dir
	code, out, errs := cli(nil, "demo", "--once", "--listen", "127.0.0.1:0", "--data", dir)
	if code != exitOK {
		return dir, fmt.Errorf("demo: exit %d: %s", code, errs)
	}
	hospitalSaid = out
	return dir, os.CopyFS(atRest(dir), os.DirFS(dir))
})

// atRest is the folder of the copy of the shared installation that nothing opens.
func atRest(dir string) string { return dir + "-at-rest" }

var hospitalDir, hospitalSaid string // where it is, and what the demo printed

// leaveHospital removes the shared installation when all tests have run.
func leaveHospital() {
	if hospitalDir != "" {
		os.RemoveAll(hospitalDir)
		os.RemoveAll(atRest(hospitalDir))
	}
}

func useHospital(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	dir, err := hospital()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func openIndexOf(t testing.TB, dir string) *index.DB {
	t.Helper()
	db, err := index.Open(t.Context(), filepath.Join(dir, "index.db"), testLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// someDocuments returns documents of the installation that suit.
func someDocuments(t testing.TB, db *index.DB, suits func(index.Document) bool) []index.Document {
	t.Helper()
	list, _, err := db.Documents(t.Context(), index.DocumentFilter{Limit: 200})
	if err != nil {
		t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(d index.Document) bool { return !suits(d) })
	if len(list) == 0 {
		t.Fatal("no such document")
	}
	return list
}

func compileSchema(t testing.TB, name string, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, "", doc)
	return schema
}

func holds(t testing.TB, schema *jsonschema.Schema, text []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("%.300s: %v", text, err)
	}
}

// sumsHold checks SHA256SUMS as anyone would and that it names every file.
func sumsHold(t testing.TB, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{"SHA256SUMS": true, "SHA256SUMS.note": true}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		sum, name, _ := strings.Cut(s.Text(), "  ")
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || greffe.DigestOf(b) != greffe.Digest(sum) {
			t.Errorf("%s is not as SHA256SUMS says: %v", name, err)
		}
		named[name] = true
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); err == nil && !d.IsDir() && !named[filepath.ToSlash(rel)] {
			t.Errorf("%s is not in SHA256SUMS", rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("sha256sum"); err == nil {
		cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("sha256sum: %v: %s", err, out)
		}
	}
}

func TestExportPatient(t *testing.T) {
	t.Parallel()
	data := useHospital(t)
	db := openIndexOf(t, data)
	one := someDocuments(t, db, func(d index.Document) bool {
		return d.Facts.Patient.INS.Extension != "" && !d.BodyObject.IsZero() && !greffe.Unsafe(d.Facts.Findings) && d.Facts.Patient.BirthFamily != ""
	})[0]
	matricule := one.Facts.Patient.INS.Extension
	out := filepath.Join(t.TempDir(), "export")
	code, text, errs := cli(nil, "export", "--data", data, "--patient", matricule, "-o", out, "--json")
	if code != exitOK {
		t.Fatalf("exit %d: %s%s", code, text, errs)
	}
	sumsHold(t, out)
	raw, err := os.ReadFile(filepath.Join(out, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	holds(t, compileSchema(t, "export.schema.json", api.ExportSchema), raw)
	var x exportIndex
	if err := json.Unmarshal(raw, &x); err != nil {
		t.Fatal(err)
	}
	all := someDocuments(t, db, func(d index.Document) bool { return d.Facts.Patient.INS.Extension == matricule })
	if len(x.Documents) != len(all) {
		t.Errorf("%d documents exported, the patient has %d", len(x.Documents), len(all))
	}
	for _, d := range x.Documents {
		if d.Patient.INS != matricule {
			t.Errorf("document %s is of another patient", d.ID)
		}
		doc, err := db.Document(t.Context(), d.ID)
		if err != nil || len(d.Files) == 0 || d.Files[0].SHA256 != doc.Facts.SHA256 || !strings.Contains(d.Files[0].File, string(d.ID)) {
			t.Errorf("document %s: %+v, %v", d.ID, d.Files, err)
		}
		if d.ID == one.ID && (len(d.Files) != 2 || !strings.HasSuffix(d.Files[0].File, ".xml") || !strings.Contains(d.Files[0].File, safeName(one.Facts.Patient.BirthFamily, 40))) {
			t.Errorf("a CDA and what it shows under the name of the patient: %+v", d.Files)
		}
		m, err := db.Message(t.Context(), d.Message)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(m.History, func(e index.Entry) bool {
			return e.Action == "exported" && e.Subject == string(d.ID) && e.Actor == localActor
		}) {
			t.Errorf("the export of %s is not in the journal", d.ID)
		}
		for _, e := range m.History {
			if strings.Contains(e.Detail, matricule) {
				t.Errorf("the journal holds an INS")
			}
		}
	}
	table, err := os.ReadFile(filepath.Join(out, "index.csv"))
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(table, []byte("\ufeff"))))
	r.Comma = ';'
	rows, err := r.ReadAll()
	files := 0
	for _, d := range x.Documents {
		files += len(d.Files)
	}
	if err != nil || len(rows) != files+1 {
		t.Errorf("index.csv: %d rows for %d files: %v", len(rows), files, err)
	}
	// What is there is never replaced.
	if code, _, errs := cli(nil, "export", "--data", data, "--patient", matricule, "-o", out); code == exitOK || !strings.Contains(errs, "existe déjà") {
		t.Errorf("a second export to the same place: exit %d: %s", code, errs)
	}
}

func TestExportZipOfAllMessages(t *testing.T) {
	t.Parallel()
	data := useHospital(t)
	db := openIndexOf(t, data)
	out := filepath.Join(t.TempDir(), "tout.zip")
	code, text, errs := cli(nil, "export", "--data", data, "--from", "2020-01-01", "--to", "2040-12-31", "-o", out)
	if code != exitOK {
		t.Fatalf("exit %d: %s%s", code, text, errs)
	}
	dir := unpack(t, out)
	sumsHold(t, dir)
	_, documents, err := db.Tally(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, n := range documents {
		want += n
	}
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	holds(t, compileSchema(t, "export.schema.json", api.ExportSchema), raw)
	var x exportIndex
	if err := json.Unmarshal(raw, &x); err != nil || len(x.Documents) != want {
		t.Errorf("%d documents of %d: %v", len(x.Documents), want, err)
	}
	for _, d := range x.Documents {
		for _, f := range d.Files {
			if d.Suspect != strings.HasSuffix(f.File, ".suspect") {
				t.Errorf("%s: suspect %v", f.File, d.Suspect)
			}
		}
	}
}

// unpack unpacks a ZIP with the library and returns the folder.
func unpack(t testing.TB, name string) string {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	dir := t.TempDir()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestExportWrongUse(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"nothing selected":  {"-o", "x"},
		"no output":         {"--message", "01JD0000000000000000000000"},
		"two things":        {"--message", "01JD0000000000000000000000", "--patient", "1850299999077", "-o", "x"},
		"half a period":     {"--from", "2026-11-22", "-o", "x"},
		"period backwards":  {"--from", "2026-11-22", "--to", "2026-11-21", "-o", "x"},
		"not a day":         {"--from", "22/11/2026", "--to", "2026-11-23", "-o", "x"},
		"not a document id": {"--document", "01JD0000000000000000000000", "-o", "x"},
	} {
		if code, _, errs := cli(nil, append([]string{"export"}, args...)...); code != exitUsage || errs == "" {
			t.Errorf("%s: exit %d, %q", name, code, errs)
		}
	}
}

func TestNamesOfFilesAreSafe(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Compte rendu d’hospitalisation": "Compte-rendu-d-hospitalisation",
		"ÉLÉONORE œdème":                 "ELEONORE-oedeme",
		"../../etc/passwd":               "etc-passwd",
		"a\u202egnp.exe":                 "a-gnp-exe",
		"…":                              "",
		strings.Repeat("é", 500):         strings.Repeat("e", 60),
	} {
		if got := safeName(in, 60); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"=1+1": "'=1+1", "@x": "'@x", "a\r\nb": "a b", "-": "'-"} {
		if got := cell(in); got != want {
			t.Errorf("cell %q: %q", in, got)
		}
	}
}
