package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"greffe/pkg/archive"
)

// A master key is made once, readable by its owner only, and a configuration that names
// something else is refused with the key to mend.
func TestNewMasterKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "master.key")
	code, out, errs := cli(nil, "keys", "--new-master", file)
	if code != exitOK || !strings.Contains(out, file) {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	m, err := archive.ReadMasters(file)
	if err != nil || !strings.Contains(out, m.ID()) {
		t.Errorf("%v: %s", err, out)
	}
	if code, _, errs := cli(nil, "keys", "--new-master", file); code != exitUsage || !strings.Contains(errs, "existe déjà") {
		t.Errorf("replaced: exit %d, %s", code, errs)
	}
	if code, _, _ := cli(nil, "keys", "--new-master", file+"2", "--name", "x"); code != exitUsage {
		t.Errorf("with a name: exit %d", code)
	}
	wrong := filepath.Join(dir, "wrong.key")
	if err := os.WriteFile(wrong, []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{wrong: "--new-master", filepath.Join(dir, "none"): "n'existe pas"} {
		config := filepath.Join(dir, "greffe.yaml")
		if err := os.WriteFile(config, []byte("data_dir: "+dir+"\narchive: { encryption: { master_key: "+key+" } }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := cli(nil, "verify", "--config", config); code == exitOK || !strings.Contains(errs, "archive.encryption.master_key") || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %s", key, code, errs)
		}
	}
}
