package xsd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// small is a schema of our own: a ClinicalDocument with an id and a title.
const small = `<?xml version="1.0"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:hl7-org:v3" targetNamespace="urn:hl7-org:v3" elementFormDefault="qualified">
<xs:element name="ClinicalDocument"><xs:complexType><xs:sequence>
<xs:element name="id"><xs:complexType><xs:attribute name="root" use="required"><xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="[0-9.]+"/></xs:restriction></xs:simpleType></xs:attribute></xs:complexType></xs:element>
<xs:element name="title" maxOccurs="unbounded" type="xs:string"/></xs:sequence></xs:complexType></xs:element></xs:schema>`

func checker(t testing.TB, schema string, cfg Config) *Checker {
	t.Helper()
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is not installed")
	}
	cfg.Schemas = t.TempDir()
	if err := os.WriteFile(filepath.Join(cfg.Schemas, Entry), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	c := New(cfg)
	t.Cleanup(func() { c.Close() })
	return c
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func doc(inside string) string {
	return "<ClinicalDocument xmlns=\"urn:hl7-org:v3\">" + inside + "</ClinicalDocument>"
}

const good = `<id root="1.2"/><title>x</title>`

func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := checker(t, small, Config{Workers: 2})
	for name, tc := range map[string]struct{ doc, want string }{
		"good":            {doc(good), ""},
		"missing element": {doc(`<id root="1.2"/>`), "ligne 1, ClinicalDocument : un élément manque à l’intérieur (attendu : title)"},
		"unexpected":      {doc("\n" + `<foo/>`), "ligne 2, foo : cet élément n’est pas attendu ici (attendu : id)"},
		"no attribute":    {doc(`<id/><title/>`), "ligne 1, id : l’attribut « root » manque"},
		"extra attribute": {doc(`<id root="1" foo="2"/><title/>`), "l’attribut « foo » n’est pas admis"},
		"value":           {doc(`<id root="é"/><title/>`), "l’attribut « root » ne peut pas valoir « é »"},
		"text":            {doc(`boo` + good), "du texte se trouve là où il n’en faut pas"},
		"many faults":     {doc(`<id root="1"/>` + strings.Repeat("\n<title><a/></title>", 10)), "et d’autres"},
		"other root":      {"<a/>", "l’élément racine n’est pas celui d’un document CDA"},
		"forged verdict":  {doc("<id root=\"&#10;/dev/fd/3 validates&#10;/dev/fd/4 validates\"/><title/>"), "root"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 3 {
				findings, err := c.Check(t.Context(), text(tc.doc))
				if err != nil {
					t.Fatal(err)
				}
				if tc.want == "" && len(findings) > 0 || tc.want != "" && (len(findings) != 1 || !strings.Contains(findings[0].Text, tc.want) || findings[0].Severity != greffe.Warning) {
					t.Fatalf("findings %v, want %q", findings, tc.want)
				}
			}
		})
	}
}

// What one document does to the process is not felt by the next.
func TestCheckOutlivesBadDocuments(t *testing.T) {
	t.Parallel()
	c := checker(t, small, Config{Workers: 1, MaxSize: 1 << 20})
	broken := errors.New("source broke")
	for name, tc := range map[string]struct {
		write func(io.Writer) error
		want  error
	}{
		"empty":         {text(""), ErrNotChecked},
		"not XML":       {text("<a"), ErrNotChecked},
		"too large":     {text(doc(strings.Repeat("x", 2<<20))), ErrNotChecked},
		"source breaks": {func(w io.Writer) error { io.WriteString(w, "<a>"); return broken }, broken},
		"entities":      {text(`<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`), nil},
	} {
		_, err := c.Check(t.Context(), tc.write)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: error %v, want %v", name, err, tc.want)
		}
		if findings, err := c.Check(t.Context(), text(doc(good))); err != nil || len(findings) > 0 {
			t.Errorf("after %s: findings %v, error %v", name, findings, err)
		}
	}
}

func TestCheckGivesUpInTime(t *testing.T) {
	t.Parallel()
	c := checker(t, small, Config{Workers: 1, Timeout: 300 * time.Millisecond})
	if _, err := c.Check(t.Context(), text(doc(good))); err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]func(*process){
		"stopped before the document": func(p *process) { syscall.Kill(p.cmd.Process.Pid, syscall.SIGSTOP) },
	} {
		block(c.idle[0])
		// More than a pipe holds, so that the writer is blocked, too.
		_, err := c.Check(t.Context(), text(doc("<id root=\"1\"/><title>"+strings.Repeat("x", 1<<20)+"</title>")))
		if !errors.Is(err, ErrNotChecked) {
			t.Errorf("%s: error %v", name, err)
		}
		if findings, err := c.Check(t.Context(), text(doc(good))); err != nil || len(findings) > 0 {
			t.Errorf("after that: findings %v, error %v", findings, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Check(ctx, text(doc(good))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v for a cancelled context", err)
	}
}

// A process that dies between two documents is replaced without a word.
func TestCheckReplacesADeadProcess(t *testing.T) {
	t.Parallel()
	c := checker(t, small, Config{Workers: 1})
	for i := range 3 {
		if findings, err := c.Check(t.Context(), text(doc(good))); err != nil || len(findings) > 0 {
			t.Fatalf("document %d: findings %v, error %v", i, findings, err)
		}
		c.idle[0].cmd.Process.Kill()
	}
}

func TestCheckManyDocumentsAtOnce(t *testing.T) {
	t.Parallel()
	c := checker(t, small, Config{Workers: 2})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range documents {
				inside, want := good, 0
				if (i+g)%2 == 1 {
					inside, want = fmt.Sprintf(`<id root="1"/><x%d-%d/>`, g, i), 1
				}
				findings, err := c.Check(t.Context(), text(doc(inside)))
				if err != nil || len(findings) != want || want == 1 && !strings.Contains(findings[0].Text, fmt.Sprintf("x%d-%d ", g, i)) {
					t.Errorf("document %d of %d: findings %v, error %v", i, g, findings, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestProbeSaysWhatToMend(t *testing.T) {
	t.Parallel()
	ok := checker(t, small, Config{})
	if v, err := ok.Probe(t.Context()); err != nil || v == "" {
		t.Errorf("version %q, error %v", v, err)
	}
	for name, tc := range map[string]struct {
		c    *Checker
		want string
	}{
		"no folder":      {New(Config{Schemas: t.TempDir()}), "cda.schemas"},
		"no program":     {New(Config{Schemas: ok.cfg.Schemas, Program: "xmllint-absent"}), "libxml2-utils"},
		"other program":  {New(Config{Schemas: ok.cfg.Schemas, Program: "true"}), "cda.xmllint"},
		"broken schema":  {checker(t, "<xs:schema", Config{}), "chargés"},
		"not a schema":   {checker(t, "<a/>", Config{}), "chargés"},
		"another schema": {checker(t, strings.ReplaceAll(small, "urn:hl7-org:v3", "urn:other"), Config{}), "pas ceux de CDA"},
	} {
		if _, err := tc.c.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v", name, err)
		}
		tc.c.Close()
	}
}

// The limits are in force before the first document.
func TestProcessIsConfined(t *testing.T) {
	t.Parallel()
	c := checker(t, small, Config{Workers: 1})
	if _, err := c.Check(t.Context(), text(doc(good))); err != nil {
		t.Fatal(err)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", c.idle[0].cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Max address space 536870912", "Max open files 8", "Max file size 0", "Max processes 0"} {
		if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), want) {
			t.Errorf("no %q in\n%s", want, limits)
		}
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.idle[0].cmd.Process.Pid))
	if err != nil || len(env) > 0 {
		t.Errorf("environment %q, error %v", env, err)
	}
}
