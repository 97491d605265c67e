package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/sandbox"
	"greffe/services/parser"
)

// selftest runs the command and returns what it wrote as JSON.
func selftest(t *testing.T, args ...string) (int, selftestReport) {
	t.Helper()
	code, out, errs := cli(nil, append([]string{"selftest", "--json"}, args...)...)
	if errs != "" {
		t.Fatal(errs)
	}
	var rep selftestReport
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatal(err)
	}
	return code, rep
}

// TestSelftestReadsEverySampleAsExpected is what a support engineer sees on a machine
// that works.
func TestSelftestReadsEverySampleAsExpected(t *testing.T) {
	t.Parallel()
	known := knownRules()
	code, rep := selftest(t)
	if code != exitOK || !rep.OK || len(rep.Series) != 1 || len(rep.Series[0].Trials) != len(sandbox.Samples(sandbox.SampleOptions{})) {
		t.Errorf("exit %d, ok %v, %d series", code, rep.OK, len(rep.Series))
	}
	for _, x := range rep.Series[0].Trials {
		if len(x.Differs) > 0 || x.Error != "" {
			t.Errorf("%s: %q %s (%v)", x.Name, x.Differs, x.Error, x.Rules)
		}
		for _, rule := range x.Rules {
			if _, ok := known[rule]; !ok {
				t.Errorf("%s: the finding %s has no rule", x.Name, rule)
			}
		}
	}
}

// TestSelftestTellsWhatDiffers: a reading that is not as expected is told in words.
func TestSelftestTellsWhatDiffers(t *testing.T) {
	t.Parallel()
	x := sandbox.Samples(sandbox.SampleOptions{})[0]
	x.Want = sandbox.Expectation{Kind: greffe.KindMDN, Verdict: greffe.VerdictHeld, Documents: make([]greffe.State, 3), Rule: "xdm.hash"}
	p := parser.New(parser.Config{}, nil, nil, slog.New(slog.DiscardHandler))
	got := trySample(t.Context(), p, x)
	rep := selftestReport{Series: []series{seriesOf("essai", []trial{got})}}
	var out strings.Builder
	if err := rep.write(&sheet{w: &out}); err != nil {
		t.Fatal(err)
	}
	if len(got.Differs) != 4 || rep.Series[0].Differs != 1 {
		t.Errorf("%q", got.Differs)
	}
	for _, want := range []string{"≠ " + x.Name, "nature : Accusé de lecture attendu, Envoi de documents lu", "verdict : à vérifier attendu, correct lu", "documents : 3 attendu, 1 lu", "constat : xdm.hash attendu", "0 messages d'essai sur 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestSelftestReadsFolders: every file is judged, whatever it is; only one that cannot
// be read at all is a fault.
func TestSelftestReadsFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"a/b/c/message.eml": sandbox.PipelineMessage(1), "a/lettre.txt": []byte("Cher confrère"), "vide": nil,
		"a/archive.zip": []byte("PK\x03\x04 rien de bon"), ".caché": []byte("%PDF-1.4 coupé"),
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "a", "boucle")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "lien")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{dir, link} {
		code, rep := selftest(t, root)
		if code != exitOK || len(rep.Series) != 2 {
			t.Fatalf("exit %d, %d series", code, len(rep.Series))
		}
		s := rep.Series[1]
		var names []string
		for _, x := range s.Trials {
			names = append(names, filepath.ToSlash(x.Name)+" "+x.Kind)
		}
		want := []string{".caché pdf", "a/archive.zip zip", "a/b/c/message.eml delivery", "a/lettre.txt text", "vide empty"}
		if !slices.Equal(names, want) || s.Unread != 0 || s.Verdicts[greffe.VerdictOK] != 1 || s.Verdicts[greffe.VerdictHeld]+s.Verdicts[greffe.VerdictRefused] != 4 {
			t.Errorf("%q %+v", names, s)
		}
	}
	written := filepath.Join(t.TempDir(), "essais")
	if code, _ := selftest(t, "--samples", written); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if code, rep := selftest(t, written); code != exitOK || len(rep.Series[1].Trials) != len(rep.Series[0].Trials) {
		t.Errorf("exit %d: the samples that were written are not read back", code)
	}
	if code, _, errs := cli(nil, "selftest", "--samples", written); code != exitWrong || errs == "" {
		t.Errorf("exit %d: samples were written over others", code)
	}
	missing := filepath.Join(dir, "absent.eml")
	code, rep := selftest(t, missing, filepath.Join(dir, "vide"))
	if code != exitWrong || rep.OK || rep.Series[1].Unread != 1 || rep.Series[2].Unread != 0 {
		t.Errorf("exit %d, %+v", code, rep)
	}
	code, out, _ := cli(nil, "selftest", missing)
	if code != exitWrong || !strings.Contains(out, "≠ absent.eml") || !strings.Contains(out, "illisible") || strings.Count(out, "✓") < 50 {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, _, errs := cli(nil, "selftest", "--environment", "essai"); code != exitUsage || !strings.Contains(errs, "production") {
		t.Errorf("exit %d, %s", code, errs)
	}
}
