package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// keyFile writes what "greffe keys" shows, as a judge gets it.
func keyFile(t testing.TB, data string) string {
	t.Helper()
	code, out, errs := cli(nil, "keys", "--data", data)
	if code != exitOK {
		t.Fatalf("keys: exit %d: %s", code, errs)
	}
	path := filepath.Join(t.TempDir(), "greffe.pub")
	if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// provePack makes a pack of the shared installation.
func provePack(t testing.TB, data string, args ...string) string {
	t.Helper()
	pack := filepath.Join(t.TempDir(), "pack.zip")
	if code, out, errs := cli(nil, append([]string{"prove", "--data", data, "-o", pack}, args...)...); code != exitOK {
		t.Fatalf("prove: exit %d: %s%s", code, out, errs)
	}
	return pack
}

func verifyPack(t testing.TB, pack, key string) (int, evidence.PackReport) {
	t.Helper()
	code, out, errs := cli(nil, "verify", "--pack", pack, "--key", key, "--json")
	var rep evidence.PackReport
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatalf("verify: exit %d: %s%s", code, out, errs)
	}
	return code, rep
}

func aDocument(t testing.TB, data string) index.Document {
	return someDocuments(t, openIndexOf(t, data), func(d index.Document) bool {
		return d.State == greffe.StateDelivered && d.Facts.Patient.INS.Extension != "" && !d.BodyObject.IsZero()
	})[0]
}

func TestProve(t *testing.T) {
	t.Parallel()
	data := useHospital(t)
	d := aDocument(t, data)
	key := keyFile(t, data)
	for _, selection := range [][]string{
		{"--document", string(d.ID)}, {"--message", string(d.Message)}, {"--patient", d.Facts.Patient.INS.Extension}, {"--from", "2020-01-01", "--to", "2040-01-01"},
	} {
		pack := provePack(t, data, selection...)
		code, rep := verifyPack(t, pack, key)
		for _, k := range rep.Checks {
			if k.Status == evidence.StatusKO {
				t.Errorf("%v: %+v", selection, k)
			}
		}
		if code != exitOK || rep.Verdict == evidence.StatusKO || rep.Record == nil || len(rep.Record.Checks) < 20 {
			t.Fatalf("%v: exit %d, %s", selection, code, rep.Verdict)
		}
		dir := unpack(t, pack)
		sumsHold(t, dir)
		runReadme(t, dir)
	}
}

// runReadme types the commands of LISEZMOI.txt.
func runReadme(t *testing.T, dir string) {
	t.Helper()
	for _, program := range []string{"sh", "sha256sum", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not here", program)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "LISEZMOI.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var script bytes.Buffer
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "    "); ok && strings.TrimLeft(command, " \n") != "" && command[0] != ' ' {
			script.WriteString(command)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-e")
	cmd.Dir, cmd.Stdin = dir, &script
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "Signature Verified Successfully") < 2 || strings.Contains(string(out), "DIFFERENT") {
		t.Errorf("LISEZMOI.txt: %v\n%s", err, out)
	}
}
