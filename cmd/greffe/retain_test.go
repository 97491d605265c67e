package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"greffe/api"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/services/console"
	"greffe/services/storage"
)

// ownHospital is a copy of the shared installation whose locks last for retention, with
// two accounts, alice and bob, whose password is their name twelve times.
func ownHospital(t *testing.T, retention string) (string, *index.DB) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hospital")
	if err := os.CopyFS(dir, os.DirFS(atRest(useHospital(t)))); err != nil {
		t.Fatal(err)
	}
	// The locks of the copy begin now.
	err := filepath.WalkDir(filepath.Join(dir, "archive"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && (strings.HasSuffix(path, ".lock") || e.Name() == ".retention") {
			err = os.Remove(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "greffe.yaml")
	config, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var kept []string
	skip := false
	for line := range strings.Lines(string(config)) {
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "#") {
			skip = strings.HasPrefix(line, "archive:")
		}
		if !skip {
			kept = append(kept, line)
		}
	}
	if err := os.WriteFile(file, []byte(strings.Join(kept, "")+"\narchive: { retention: "+retention+" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	db := openIndexOf(t, dir)
	for _, login := range []string{"alice", "bob"} {
		hash, err := console.HashPassword(strings.Repeat(login, 12))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.SaveUser(t.Context(), index.User{Login: login, Name: login, Role: "admin", Hash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	return dir, db
}

func password(login string) *strings.Reader {
	return strings.NewReader(strings.Repeat(login, 12) + "\n")
}

func TestRetainExtendsAndHolds(t *testing.T) {
	t.Parallel()
	dir, db := ownHospital(t, "20y")
	doc := someDocuments(t, db, func(d index.Document) bool { return len(d.Facts.Patient.BirthDate) == 8 })[0]
	id := string(doc.Message)
	schema := compileSchema(t, "retain.schema.json", api.RetainSchema)
	run := func(stdin *strings.Reader, want int, args ...string) retainResult {
		t.Helper()
		var r retainResult
		code, out, errs := cli(stdin, append([]string{"retain", "--data", dir, "--json"}, args...)...)
		if code != want {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
		}
		if code == exitOK {
			holds(t, schema, []byte(out))
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
		}
		return r
	}
	shown := run(nil, exitOK, "show", "--message", id)
	if len(shown.Messages) != 1 || shown.Messages[0].Objects < 3 || time.Until(shown.Messages[0].Until) < 19*365*day || shown.Messages[0].Held != 0 {
		t.Fatalf("%+v", shown)
	}
	objects := shown.Messages[0].Objects
	if r := run(nil, exitOK, "extend", "--document", string(doc.ID), "--until", "2099-01-01", "--dry-run"); r.Messages[0].Changed != objects || !r.DryRun {
		t.Errorf("dry: %+v", r)
	}
	if r := run(nil, exitOK, "show", "--message", id); !r.Messages[0].Until.Equal(shown.Messages[0].Until) {
		t.Error("a dry run changed something")
	}
	if r := run(nil, exitOK, "extend", "--document", string(doc.ID), "--until", "2099-01-01"); r.Messages[0].Changed != objects || r.Messages[0].Journal == 0 {
		t.Errorf("extended: %+v", r)
	}
	want := time.Date(2099, 1, 2, 0, 0, 0, 0, time.Local)
	if r := run(nil, exitOK, "show", "--message", id); !r.Messages[0].Until.Equal(want) {
		t.Errorf("kept until %v, want the end of that day", r.Messages[0].Until)
	}
	if r := run(nil, exitOK, "extend", "--message", id, "--years", "30", "--last-visit", "2026-03-01", "--by", "alice"); r.Changed != 0 || !r.Messages[0].End.Equal(time.Date(2056, 3, 2, 0, 0, 0, 0, time.Local)) {
		t.Errorf("an earlier end: %+v", r)
	}
	if r := run(nil, exitOK, "extend", "--message", id, "--birthday", "--dry-run"); r.Messages[0].End.Format("0102") == "" || r.Messages[0].End.Year() != birthYear(t, doc)+28 {
		t.Errorf("28th birthday: %+v of %s", r.Messages[0].End, doc.Facts.Patient.BirthDate)
	}

	if r := run(nil, exitOK, "hold", "on", "--message", id, "--reason", "recours 2026-114", "--by", "alice"); r.Changed == 0 {
		t.Errorf("held: %+v", r)
	}
	if r := run(nil, exitOK, "show", "--message", id); r.Messages[0].Held != objects {
		t.Errorf("%+v", r)
	}
	run(strings.NewReader("guess\n"), exitWrong, "hold", "off", "--message", id, "--reason", "fin", "--by", "alice")
	if r := run(nil, exitOK, "show", "--message", id); r.Messages[0].Held != objects {
		t.Errorf("released with a wrong password: %+v", r)
	}
	run(password("alice"), exitOK, "hold", "off", "--message", id, "--reason", "fin", "--by", "alice")
	if r := run(nil, exitOK, "show", "--message", id); r.Messages[0].Held != 0 {
		t.Errorf("%+v", r)
	}
	var actions []string
	d, err := db.Message(t.Context(), doc.Message)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range d.History {
		switch e.Action {
		case "retained", "held", "released":
			actions = append(actions, e.Actor+" "+e.Action)
		}
	}
	if got := strings.Join(actions, ", "); got != localActor+" retained, alice retained, alice held, alice released" {
		t.Errorf("journal: %s", got)
	}
	if code, out, errs := cli(nil, "verify", "--data", dir); code != exitOK {
		t.Errorf("verify: %s%s", out, errs)
	}
}

func birthYear(t *testing.T, d index.Document) int {
	t.Helper()
	b, err := time.Parse("20060102", d.Facts.Patient.BirthDate)
	if err != nil {
		t.Fatal(err)
	}
	return b.AddDate(28, 0, 1).Year() - 28
}

func TestRetainRefusesWrongUse(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                   "action",
		"forget --message x": "action",
		"extend --from 2026-01-01 --to 2026-01-02":                                    "terme",
		"extend --from 2026-01-01 --to 2026-01-02 --until 2099-01-01 --birthday":      "un seul terme",
		"extend --from 2026-01-01 --to 2026-01-02 --until 2020-01-01":                 "passé",
		"extend --from 2026-01-01 --to 2026-01-02 --until demain":                     "JOUR",
		"extend --from 2026-01-01 --to 2026-01-02 --years 20":                         "--last-visit",
		"extend --from 2026-01-01 --to 2026-01-02 --years 20 --last-visit 2099-01-01": "avenir",
		"extend --until 2099-01-01":                                                   "choisi",
		"hold on --from 2026-01-01 --to 2026-01-02":                                   "--reason",
		"hold on --from 2026-01-01 --to 2026-01-02 --reason 1.85.05.78.006.084":       "INS",
		"hold off --from 2026-01-01 --to 2026-01-02 --reason fin":                     "--by",
		"eliminate --ask --from 2026-01-01 --to 2026-01-02":                           "--by",
		"eliminate --ask --confirm x --by alice --from 2026-01-01 --to 2026-01-02":    "pas les deux",
		"eliminate --ask --by alice":                                                  "choisi",
	} {
		code, _, errs := cli(nil, append([]string{"retain", "--data", t.TempDir()}, strings.Fields(args)...)...)
		if want == "JOUR" {
			want = "un jour"
		}
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("retain %s: exit %d, %s", args, code, errs)
		}
	}
}

func TestLatestBirth(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"20100305": "2010-03-05", "201003": "2010-03-31", "2010": "2010-12-31", "20100000": "2010-12-31", "20120200": "2012-02-29",
		"": "", "abcd": "", "20101305": "", "20100332": "", "00000000": "",
	} {
		got, ok := latestBirth(s)
		if ok != (want != "") || ok && got.Format("2006-01-02") != want {
			t.Errorf("latestBirth(%q) = %v, %v, want %s", s, got, ok, want)
		}
	}
}

// Two persons eliminate what is no longer kept; the rest of the installation stays whole.
func TestRetainEliminates(t *testing.T) {
	t.Parallel()
	dir, db := ownHospital(t, "1s")
	doc := someDocuments(t, db, func(d index.Document) bool { return d.State == greffe.StateDelivered })[0]
	id := string(doc.Message)
	run := func(stdin *strings.Reader, want int, args ...string) string {
		t.Helper()
		code, out, errs := cli(stdin, append([]string{"retain", "eliminate", "--data", dir}, args...)...)
		if code != want {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
		}
		return out + errs
	}
	var asked eliminationAsked
	deadline := time.Now().Add(30 * time.Second)
	for {
		code, out, errs := cli(nil, "retain", "eliminate", "--data", dir, "--json", "--ask", "--dry-run", "--by", "alice", "--message", id)
		if err := json.Unmarshal([]byte(out), &asked); err != nil {
			t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
		}
		if code == exitOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %+v", asked)
		}
	}
	if asked.ID != "" || asked.Removed < 2 {
		t.Errorf("dry: %+v", asked)
	}
	run(strings.NewReader("x\n"), exitWrong, "--ask", "--by", "alice", "--message", id)
	run(password("alice"), exitWrong, "--ask", "--by", "carol", "--message", id)
	text := run(password("alice"), exitOK, "--ask", "--by", "alice", "--message", id)
	list, err := db.Eliminations(t.Context())
	if err != nil || len(list) != 1 || !strings.Contains(text, list[0].ID) {
		t.Fatalf("%+v, %v, %s", list, err, text)
	}
	if got := run(password("alice"), exitWrong, "--confirm", list[0].ID, "--by", "alice"); !strings.Contains(got, "autre personne") {
		t.Errorf("confirmed by who asked: %s", got)
	}
	if got := run(nil, exitOK); !strings.Contains(got, "attend une autre personne") {
		t.Errorf("list: %s", got)
	}
	run(password("bob"), exitOK, "--confirm", list[0].ID, "--by", "bob")
	e, err := db.Elimination(t.Context(), list[0].ID)
	if err != nil || e.DoneAt.IsZero() {
		t.Fatalf("%+v, %v", e, err)
	}
	// The certificate is in the archive, readable without Greffe, and names nobody else.
	b, err := os.ReadFile(filepath.Join(dir, "archive", filepath.FromSlash(e.Certificate.Key)))
	var certificate storage.Elimination
	if err := json.Unmarshal(b, &certificate); err != nil || certificate.AskedBy != "alice" || certificate.ConfirmedBy != "bob" || string(certificate.Messages[0].ID) != id {
		t.Errorf("%v, %s", err, b)
	}
	schema := compileSchema(t, "elimination.schema.json", api.EliminationSchema)
	holds(t, schema, b)
	holds(t, schema, []byte(e.Order))
	for _, word := range []string{doc.Facts.Patient.BirthFamily, doc.Facts.Title} {
		if word != "" && strings.Contains(string(b), word) {
			t.Errorf("the certificate holds %q", word)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "archive", filepath.FromSlash(doc.Object.Key))); !os.IsNotExist(err) {
		t.Errorf("the document is still there: %v", err)
	}
	if err != nil {
		t.Error(err)
	}
	if got := run(nil, exitOK); !strings.Contains(got, "faite") {
		t.Errorf("list: %s", got)
	}
	if code, out, errs := cli(nil, "verify", "--data", dir, "--full"); code != exitOK {
		t.Errorf("verify: %s%s", out, errs)
	}
}
