package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/api"
	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
	"greffe/services/console"
	"greffe/services/storage"
)

// The life of an encrypted archive, by the commands and the console, in a directory with
// SQLite and on S3 with PostgreSQL: messages arrive, nothing readable is stored, they
// are verified, proved and exported, one is erased, the index is rebuilt.
func TestEncryptedArchive(t *testing.T) {
	t.Parallel()
	for _, dep := range []deployment{{name: "directory", sealed: true}, {name: "real servers", separate: true, real: true, sealed: true}} {
		t.Run(dep.name, func(t *testing.T) {
			t.Parallel()
			in := install(t, dep)
			samples := slices.DeleteFunc(sandbox.Samples(sandbox.SampleOptions{Now: time.Now()}), func(x sandbox.Sample) bool {
				return x.Want.State != greffe.StateDelivered || x.Want.Open
			})[:4]
			for _, x := range samples {
				if _, err := in.mail.Append(x.Mailbox, x.Folder, x.Raw, x.At); err != nil {
					t.Fatalf("%s: %v", x.Name, err)
				}
			}
			in.start()
			in.settled(len(samples))
			for _, login := range []string{"alice", "bob"} {
				hash, err := console.HashPassword(strings.Repeat(login, 12))
				if err == nil {
					err = in.db().SaveUser(t.Context(), index.User{Login: login, Name: login, Role: "admin", Hash: hash})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			l := &sealedLife{in: in, cfg: in.configFile()}
			l.choose(t)
			l.reads(t)
			in.halt()
			l.holdsNoPlaintext(t)
			l.run(t, nil, exitOK, "verify", "--full")
			l.proves(t)
			l.erases(t)
			l.rebuilds(t)
		})
	}
}

// configFile writes the configuration of the installation for the commands.
func (in *installation) configFile() string {
	in.t.Helper()
	text, err := annotated(in.cfg)
	if err != nil {
		in.t.Fatal(err)
	}
	return in.file("greffe.yaml", string(text))
}

type sealedLife struct {
	in    *installation
	cfg   string
	doc   index.Document // of the message that will be erased
	other index.Document
	cert  string
}

func (l *sealedLife) run(t *testing.T, stdin io.Reader, want int, args ...string) string {
	t.Helper()
	code, out, errs := cli(stdin, append([]string{args[0], "--config", l.cfg}, args[1:]...)...)
	if code != want {
		t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
	}
	return out + errs
}

func (l *sealedLife) choose(t *testing.T) {
	t.Helper()
	list := someDocuments(t, l.in.db(), func(d index.Document) bool {
		return d.State == greffe.StateDelivered && len(d.Facts.Patient.BirthFamily) > 3 && d.Facts.Patient.INS.Extension != ""
	})
	l.doc = list[0]
	i := slices.IndexFunc(list, func(d index.Document) bool { return d.Message != l.doc.Message })
	if i < 0 {
		t.Fatal("one message only")
	}
	l.other = list[i]
}

// reads gets a document from the console.
func (l *sealedLife) reads(t *testing.T) {
	t.Helper()
	resp, err := l.in.login("auditor").Get(l.in.console() + "/documents/" + string(l.doc.ID) + "/telechargement")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || greffe.DigestOf(b) != l.doc.Facts.SHA256 {
		t.Errorf("the console gives %s, %d bytes, %v", resp.Status, len(b), err)
	}
}

// stored opens the archive below its encryption.
func (l *sealedLife) stored(t *testing.T) archive.Store {
	t.Helper()
	store, err := openDriver(t.Context(), l.in.cfg, time.Duration(l.in.cfg.Archive.Retention), l.in.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func (l *sealedLife) holdsNoPlaintext(t *testing.T) {
	t.Helper()
	words := [][]byte{[]byte(l.doc.Facts.Patient.BirthFamily), []byte(l.doc.Facts.Patient.INS.Extension), []byte(l.other.Facts.Patient.BirthFamily), []byte("Content-Type"), []byte("SECRET-KEY")}
	store, n, sealed := l.stored(t), 0, 0
	for i, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := store.Open(t.Context(), i.Object)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		n++
		if strings.HasSuffix(i.Key, ".age") {
			sealed++
		}
		for _, w := range words {
			if bytes.Contains(b, w) {
				t.Errorf("%s holds %q", i.Key, w)
			}
		}
		if strings.HasPrefix(i.Key, "messages/") && !strings.HasSuffix(i.Key, ".age") {
			t.Errorf("%s is not encrypted", i.Key)
		}
	}
	if sealed < 20 {
		t.Errorf("%d objects, %d of them encrypted", n, sealed)
	}
}

// proves makes packs and an export and checks them without the archive.
func (l *sealedLife) proves(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "greffe.pub")
	if err := os.WriteFile(key, []byte(l.run(t, nil, exitOK, "keys")), 0o600); err != nil {
		t.Fatal(err)
	}
	pack, out := filepath.Join(dir, "pack.zip"), filepath.Join(dir, "export")
	l.run(t, nil, exitOK, "prove", "--message", string(l.doc.Message), "-o", pack)
	code, rep := verifyPack(t, pack, key)
	for _, k := range rep.Checks {
		if k.Status == evidence.StatusKO {
			t.Errorf("%+v", k)
		}
	}
	if code != exitOK {
		t.Errorf("exit %d", code)
	}
	z, err := zip.OpenReader(pack)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	found := false
	for _, f := range z.File {
		found = found || f.UncompressedSize64 == uint64(l.doc.Facts.Size)
	}
	if !found {
		t.Error("the document is not in the pack in clear")
	}
	l.run(t, nil, exitOK, "export", "--patient", l.doc.Facts.Patient.INS.Extension, "-o", out)
	sumsHold(t, out)
}

func (l *sealedLife) erases(t *testing.T) {
	t.Helper()
	id := string(l.doc.Message)
	schema := compileSchema(t, "retain.schema.json", api.RetainSchema)
	asJSON := func(stdin io.Reader, into any, args ...string) {
		t.Helper()
		out := l.run(t, stdin, exitOK, append([]string{"retain", "erase", "--json"}, args...)...)
		line, _, _ := strings.Cut(out, "\n")
		holds(t, schema, []byte(line))
		if err := json.Unmarshal([]byte(line), into); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	var asked eliminationAsked
	if asJSON(nil, &asked, "--ask", "--dry-run", "--by", "alice", "--message", id); asked.ID != "" || asked.Removed < 2 || !asked.DryRun {
		t.Errorf("dry: %+v", asked)
	}
	l.run(t, strings.NewReader("x\n"), exitWrong, "retain", "erase", "--ask", "--by", "alice", "--message", id)
	// A hold stops it.
	l.run(t, nil, exitOK, "retain", "hold", "on", "--message", id, "--reason", "recours 2026-1", "--by", "alice")
	if got := l.run(t, password("alice"), exitWrong, "retain", "erase", "--ask", "--by", "alice", "--message", id); !strings.Contains(got, "gelé") {
		t.Errorf("held: %s", got)
	}
	l.run(t, password("alice"), exitOK, "retain", "hold", "off", "--message", id, "--reason", "fin", "--by", "alice")
	asJSON(password("alice"), &asked, "--ask", "--by", "alice", "--message", id)
	if got := l.run(t, password("alice"), exitWrong, "retain", "erase", "--confirm", asked.ID, "--by", "alice"); !strings.Contains(got, "autre personne") {
		t.Errorf("confirmed by who asked: %s", got)
	}
	if got := l.run(t, password("bob"), exitUsage, "retain", "eliminate", "--confirm", asked.ID, "--by", "bob"); !strings.Contains(got, "retain erase") {
		t.Errorf("confirmed as an elimination: %s", got)
	}
	var done struct {
		storage.Elimination
		Certificate greffe.Object `json:"certificate"`
	}
	asJSON(password("bob"), &done, "--confirm", asked.ID, "--by", "bob")
	l.cert = done.Certificate.Key
	var rows []eliminationRow
	if asJSON(nil, &rows); len(rows) != 1 || !rows[0].Done {
		t.Errorf("%+v", rows)
	}
	// The certificate is in clear, names no one and is as its schema says.
	r, err := l.stored(t).Open(t.Context(), done.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	holds(t, compileSchema(t, "elimination.schema.json", api.EliminationSchema), b)
	if bytes.Contains(b, []byte(l.doc.Facts.Patient.BirthFamily)) {
		t.Error("the certificate names the patient")
	}
	l.saysErased(t)
}

// saysErased asks everything that could be asked about the message.
func (l *sealedLife) saysErased(t *testing.T) {
	t.Helper()
	id := string(l.doc.Message)
	for _, args := range [][]string{{"verify", "--full"}, {"verify", "--message", id}} {
		if got := l.run(t, nil, exitOK, args...); !strings.Contains(got, "effacé le") || !strings.Contains(got, l.cert) {
			t.Errorf("%v does not say that it was erased:\n%s", args, got)
		}
	}
	var rep storage.Report
	out := l.run(t, nil, exitOK, "verify", "--json")
	holds(t, compileSchema(t, "verify.schema.json", api.VerifySchema), []byte(out))
	if err := json.Unmarshal([]byte(out), &rep); err != nil || rep.Erased != 1 {
		t.Errorf("%v: %s", err, out)
	}
	for _, args := range [][]string{
		{"prove", "--message", id, "-o", filepath.Join(t.TempDir(), "x.zip")}, {"prove", "--document", string(l.doc.ID), "-o", filepath.Join(t.TempDir(), "x.zip")},
		{"export", "--document", string(l.doc.ID), "-o", filepath.Join(t.TempDir(), "x")}, {"retain", "show", "--message", id},
	} {
		if got := l.run(t, nil, exitWrong, args...); !strings.Contains(got, "effacé le") || !strings.Contains(got, l.cert) {
			t.Errorf("%v: %s", args, got)
		}
	}
	l.in.start()
	defer l.in.halt()
	for _, path := range []string{"/messages/" + id, "/documents/" + string(l.doc.ID)} {
		resp, err := l.in.login("auditor").Get(l.in.console() + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusGone || !strings.Contains(string(b), "a été effacé le") || !strings.Contains(string(b), l.cert) {
			t.Errorf("%s: %s: %.2000s", path, resp.Status, b)
		}
	}
}

// rebuilds loses the index and makes it again from the archive and the master key.
func (l *sealedLife) rebuilds(t *testing.T) {
	t.Helper()
	out := l.run(t, nil, exitOK, "reindex", "--replace", "--json")
	holds(t, compileSchema(t, "reindex.schema.json", api.ReindexSchema), []byte(out))
	var r storage.Reindexed
	if err := json.Unmarshal([]byte(out), &r); err != nil || !r.OK() || r.Erased != 1 || r.Messages < 3 {
		t.Errorf("%v: %s", err, out)
	}
	if got := l.run(t, nil, exitOK, "verify", "--full"); !strings.Contains(got, "effacé le") {
		t.Errorf("after reindex: %s", got)
	}
	// Without the master key, everything says so and nothing is taken for lost.
	without := *l.in.cfg
	without.Archive.Encryption.MasterKey = ""
	text, err := annotated(&without)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range checkAllOf(t.Context(), &without) {
		found = found || !r.OK && strings.Contains(r.Text, "master_key")
	}
	if !found {
		t.Error("greffe check does not say that the master key is missing")
	}
	if without.Archive.S3.Endpoint == "" {
		file := l.in.file("without.yaml", string(text))
		if code, _, errs := cli(nil, "verify", "--config", file); code != exitWrong || !strings.Contains(errs, "master_key") {
			t.Errorf("verify without the master key: exit %d, %s", code, errs)
		}
	}
	other, err := archive.NewMaster()
	if err != nil {
		t.Fatal(err)
	}
	without.Archive.Encryption.MasterKey = l.in.file("other.key", other)
	if text, err = annotated(&without); err != nil {
		t.Fatal(err)
	}
	file := l.in.file("other.yaml", string(text))
	for _, args := range [][]string{{"verify"}, {"reindex", "--replace"}} {
		code, out, errs := cli(nil, append([]string{args[0], "--config", file}, args[1:]...)...)
		if code != exitWrong || !strings.Contains(out+errs, "master key") {
			t.Errorf("%v with another master key: exit %d, %s%s", args, code, out, errs)
		}
	}
	l.run(t, nil, exitOK, "verify") // and the index is still there
}

// checkAllOf is what "greffe check" says of the archive.
func checkAllOf(ctx context.Context, cfg *Config) []result {
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "error", Format: "text"}, io.Discard)}
	defer a.close()
	return a.checkArchive(ctx)
}

// What the archive lost is said to be lost, with what to do, by prove and by export.
func TestDamagedObjectIsToldByProveAndExport(t *testing.T) {
	t.Parallel()
	dir, db := ownHospital(t, "20y")
	doc := someDocuments(t, db, func(d index.Document) bool { return d.State == greffe.StateDelivered && !d.Object.IsZero() })[0]
	path := filepath.Join(dir, "archive", filepath.FromSlash(doc.Object.Key))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	pack, out := filepath.Join(t.TempDir(), "pack.zip"), filepath.Join(t.TempDir(), "out")
	code, text, errs := cli(nil, "prove", "--data", dir, "--document", string(doc.ID), "-o", pack)
	if code != exitWrong || !strings.Contains(text, "archive.object") || !strings.Contains(text, "restaurer d’une sauvegarde") {
		t.Errorf("prove: exit %d\n%s%s", code, text, errs)
	}
	_, rep := verifyPack(t, pack, keyFile(t, dir))
	ko := map[string]string{}
	for _, k := range rep.Checks {
		if k.Status == evidence.StatusKO {
			ko[k.ID] = k.Text
		}
	}
	if !strings.Contains(ko["part.object"], "un nouveau pack n’y changerait rien") || ko["document.object"] == "" {
		t.Errorf("verify --pack: %v", ko)
	}
	code, text, errs = cli(nil, "export", "--data", dir, "--document", string(doc.ID), "-o", out)
	if code != exitWrong || !strings.Contains(errs, "greffe verify --message "+string(doc.Message)) {
		t.Errorf("export: exit %d\n%s%s", code, text, errs)
	}
	sumsHold(t, out)
	if got := fmt.Sprint(os.Stat(filepath.Join(out, "documents"))); strings.Contains(got, string(doc.ID)) {
		t.Error("the damaged document was copied")
	}
}
