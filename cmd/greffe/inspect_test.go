package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	// A validator that is not ours says whether the output keeps the promise.
	"github.com/santhosh-tekuri/jsonschema/v6"

	"greffe/api"
	"greffe/pkg/greffe"
	"greffe/pkg/sandbox"
)

// cli runs one command line as a user does.
func cli(stdin io.Reader, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = realMain(args, stdin, &o, &e)
	return code, o.String(), e.String()
}

// sampleFiles writes every sample of the sandbox into a folder.
func sampleFiles(t testing.TB) (files []string, samples []sandbox.Sample) {
	t.Helper()
	dir := t.TempDir()
	samples = sandbox.Samples(sandbox.SampleOptions{Now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), Seed: 1})
	for i, s := range samples {
		file := filepath.Join(dir, fmt.Sprintf("%03d.eml", i))
		if err := os.WriteFile(file, s.Raw, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files, samples
}

// corpusFiles are the official and vendor files, where they are.
func corpusFiles(t testing.TB) (files []string) {
	t.Helper()
	for _, pattern := range []string{"xdm/*/*", "xdm-vendor/*", "hl7/*"} {
		list, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "corpus", pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	return files
}

func inspectSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.InspectSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("inspect.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("inspect.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	closed(t, "", doc)
	return schema
}

// closed holds that no object of the schema lets a field pass that it does not name.
func closed(t testing.TB, path string, node any) {
	switch n := node.(type) {
	case map[string]any:
		if n["type"] == "object" && n["additionalProperties"] != false {
			t.Errorf("schema: %s takes any field", path)
		}
		for k, v := range n {
			closed(t, path+"/"+k, v)
		}
	case []any:
		for _, v := range n {
			closed(t, path, v)
		}
	}
}

// TestInspectKeepsItsPromise: what inspect --json writes about every sample and every
// official file follows the published schema.
func TestInspectKeepsItsPromise(t *testing.T) {
	t.Parallel()
	schema := inspectSchema(t)
	files, samples := sampleFiles(t)
	files = append(files, corpusFiles(t)...)
	code, out, errs := cli(nil, append([]string{"inspect", "--json"}, files...)...)
	if code != exitOK || errs != "" {
		t.Fatalf("exit %d, %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(files) {
		t.Fatalf("%d objects for %d files", len(lines), len(files))
	}
	known := knownRules()
	for i, line := range lines {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v\n%s", files[i], err, line)
		}
		var got inspection
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if got.File != files[i] {
			t.Errorf("object %d is about %s, not %s", i, got.File, files[i])
		}
		if i < len(samples) && samples[i].Want.Kind != "" && got.Kind != string(samples[i].Want.Kind) {
			t.Errorf("%s: kind %s, want %s", samples[i].Name, got.Kind, samples[i].Want.Kind)
		}
		for _, f := range got.Findings {
			if _, ok := known[f.Rule]; !ok {
				t.Errorf("%s: the finding %s has no rule that greffe rules lists", files[i], f.Rule)
			}
		}
	}
}

// TestInspectTellsAllOfADocument reads one delivery whose every fact is known.
func TestInspectTellsAllOfADocument(t *testing.T) {
	t.Parallel()
	_, out, _ := cli(bytes.NewReader(sandbox.PipelineMessage(0)), "inspect", "--json", "-")
	var got inspection
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	m := got.Message
	if got.File != "-" || got.Kind != "delivery" || got.Verdict != greffe.VerdictOK || len(got.SHA256) != 64 || m == nil {
		t.Fatalf("%s", out)
	}
	if !slices.Equal(m.IDs, []string{"charge.0@imagerie-rade.example"}) || m.Dates.Sent.IsZero() || len(m.From) != 1 || len(m.To) != 1 || !m.XDMMarker {
		t.Errorf("message %+v", m)
	}
	if len(got.Documents) != 1 {
		t.Fatalf("%d documents", len(got.Documents))
	}
	d, p := got.Documents[0], sandbox.Patient(0)
	if d.ID == "" || d.SetID == "" || d.Version != 1 || d.Action != greffe.ActionNew || d.Level != 1 || d.Type == nil || d.Type.Label == "" || d.Class == nil ||
		d.Title != "Compte rendu d'imagerie n° 000000" || d.Created == "" || d.Author == nil || d.Author.Family == "" || d.Organisation == nil || d.Organisation.Name == "" {
		t.Errorf("document %+v", d)
	}
	if d.SourcePart == "" || d.BodyPart != d.SourcePart+"#0" || !slices.Equal(d.TwinParts, []string{"3"}) || len(d.Confidentiality) != 1 || len(d.Masking) != 0 {
		t.Errorf("parts of the document %+v", d)
	}
	if q := d.Patient; q == nil || q.INS.Matricule != p.INS.Extension || q.INS.Verdict != "ok" || !q.Traits.Complete || q.Traits.BirthFamily != p.BirthFamily || len(q.IDs) != len(p.IDs) {
		t.Errorf("patient %+v", d.Patient)
	}
}

// TestInspectExits: 0 whatever the verdict, 1 for what could not be read, 2 for a
// wrong use. What can be read is told all the same.
func TestInspectExits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	letter, damaged := file("lettre.txt", "Cher confrère,"), file("abîmé.zip", "PK\x03\x04 rien de bon")
	for _, c := range []struct {
		name     string
		args     []string
		code     int
		out, err string
	}{
		{"good", []string{letter}, exitOK, "à vérifier", ""},
		{"refused", []string{damaged}, exitOK, "inutilisable", ""},
		{"missing", []string{letter, filepath.Join(dir, "absent.eml"), damaged}, exitWrong, "inutilisable", "absent.eml"},
		{"folder", []string{dir}, exitWrong, "", "dossier"},
		{"nothing", nil, exitUsage, "", "un fichier est attendu"},
		{"unknown option", []string{"--format", letter}, exitUsage, "", "option inconnue"},
		{"unknown environment", []string{"--environment", "essai", letter}, exitUsage, "", "production"},
		{"configuration that is not there", []string{"--config", filepath.Join(dir, "x.yaml"), letter}, exitUsage, "", "x.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{{"inspect"}, {"inspect", "--json"}} {
				code, out, errs := cli(strings.NewReader(""), append(args, c.args...)...)
				if code != c.code || len(args) == 1 && !strings.Contains(out, c.out) || !strings.Contains(errs, c.err) || (c.err == "") != (errs == "") {
					t.Errorf("exit %d\n%s\n%s", code, out, errs)
				}
			}
		})
	}
}

// TestReportsObeyNobody: what a report shows cannot drive the terminal it is shown on.
func TestReportsObeyNobody(t *testing.T) {
	t.Parallel()
	raw := "From: \"\x1b[2J\x9b31m\u202e\" <a@b.example>\r\nTo: c@d.example\r\nSubject: =?utf-8?B?G10wO3BpcsOpBwo=?=\r\n" +
		"Content-Type: application/pdf; name=\"\x1b]0;x\x07.pdf\"\r\n\r\n%PDF-1.4 \x1b[31m"
	code, out, _ := cli(strings.NewReader(raw), "inspect", "-")
	if code != exitOK || strings.ContainsAny(out, "\x1b\x07\u202e\u009b\r") {
		t.Errorf("exit %d, %q", code, out)
	}
}
