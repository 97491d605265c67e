package main

import (
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// checkLines runs greffe check and returns its lines about the journal, by name.
func checkLines(t *testing.T, config string) map[string]result {
	t.Helper()
	_, out, errs := cli(nil, "check", "--config", config, "--json")
	var list []result
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	lines := map[string]result{}
	for _, r := range list {
		if r.Target == "journal de preuve" {
			lines[r.Name] = r
		}
	}
	return lines
}

// Each line about the journal says what is and, when it is wrong, what to do.
func TestCheckJournal(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, certificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		journal string // of the configuration
		prepare func(dir string) error
		want    map[string]string // name of the line to a word of it; "!": it is wrong
	}{
		"nothing yet":             {"", nil, map[string]string{"clé": "sera faite", "scellement": "à jour", "horodatage": "aucune autorité"}},
		"a key that is not there": {"key: DIR/none.key", nil, map[string]string{"clé": "!greffe keys --new"}},
		"a key that is none": {"key: DIR/bad.key", func(dir string) error { return os.WriteFile(filepath.Join(dir, "bad.key"), []byte("x\n"), 0o600) },
			map[string]string{"clé": "!greffe keys --new"}},
		"an authority that does not answer": {"timestamp: { url: 'http://127.0.0.1:1/', ca: " + ca + " }", nil, map[string]string{"autorité d'horodatage": "!ne répond pas", "horodatage": "à jour"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if c.prepare != nil {
				if err := c.prepare(dir); err != nil {
					t.Fatal(err)
				}
			}
			config := filepath.Join(dir, "greffe.yaml")
			text := "data_dir: " + dir + "\n"
			if c.journal != "" {
				text += "journal:\n  " + strings.ReplaceAll(c.journal, "DIR", dir) + "\n"
			}
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			lines := checkLines(t, config)
			for name, word := range c.want {
				word, wrong := strings.CutPrefix(word, "!")
				if r, ok := lines[name]; !ok || r.OK == wrong || !strings.Contains(r.Text, word) {
					t.Errorf("%s: %+v of %+v, want %q", name, r, lines, word)
				}
			}
		})
	}
}

// A key is made once, for the journal that is configured, and the public one is shown.
func TestKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, _, errs := cli(nil, "keys", "--data", dir); code == exitOK || !strings.Contains(errs, "greffe keys --new") {
		t.Errorf("without a key: exit %d, %s", code, errs)
	}
	file := filepath.Join(dir, "journal.key")
	line := regexp.MustCompile(`^ch-essai\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+\n$`)
	code, public, errs := cli(nil, "keys", "--data", dir, "--new", file, "--name", "ch-essai")
	if code != exitOK || !line.MatchString(public) {
		t.Fatalf("exit %d: %q %s", code, public, errs)
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	if code, _, errs := cli(nil, "keys", "--data", dir, "--new", file); code != exitUsage || !strings.Contains(errs, "existe déjà") {
		t.Errorf("replaced: exit %d, %s", code, errs)
	}
	if code, _, _ := cli(nil, "keys", "--data", dir, "--new", file+"2", "--name", "deux mots"); code != exitUsage {
		t.Errorf("a name of two words: exit %d", code)
	}
	if code, out, errs := cli(nil, "keys", "--data", dir); code != exitOK || out != public {
		t.Errorf("shown: exit %d, %q, %s", code, out, errs)
	}
	// The next one is of the same journal.
	if _, next, _ := cli(nil, "keys", "--data", dir, "--new", file+"3"); !line.MatchString(next) || next == public {
		t.Errorf("the next key: %q", next)
	}
	code, out, _ := cli(nil, "keys", "--data", dir, "--json")
	var list []publicKey
	if err := json.Unmarshal([]byte(out), &list); code != exitOK || err != nil || len(list) != 1 || !list[0].Active || list[0].Journal != "ch-essai" || list[0].Key+"\n" != public {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
}

// certificate returns one that is signed by itself, as PEM.
func certificate(t *testing.T) []byte {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}
