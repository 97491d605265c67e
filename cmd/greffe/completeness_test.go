package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"greffe/api"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// daysAreComplete: for each mailbox and day, as many messages were listed as were put
// there, and none is missing.
func daysAreComplete(t *testing.T, s *scene) {
	want, zone := map[string]map[time.Time]int{}, s.cfg.zone()
	put := func(box string, at time.Time) {
		y, m, d := at.In(zone).Date()
		if want[box] == nil {
			want[box] = map[time.Time]int{}
		}
		want[box][time.Date(y, m, d, 0, 0, 0, 0, zone)]++
	}
	for _, x := range s.samples {
		put(x.Mailbox, x.At)
	}
	for _, m := range s.came {
		put(m.Origin.Mailbox, m.Origin.InternalDate)
	}
	for _, w := range watched(s.cfg) {
		for day, n := range want[w.Address] {
			st, err := s.db().Completeness(context.Background(), w, day)
			if err != nil {
				t.Fatal(err)
			}
			if st.Seen != n || st.Listed != n || st.Missing != 0 || st.Archived+st.Unread != n || st.Compared.IsZero() {
				t.Errorf("%s: %d messages were put there: %+v", w.Address, n, st)
			}
		}
	}
}

func completenessSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.CompletenessSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("completeness.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("completeness.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	closed(t, "", doc)
	return schema
}

// TestCompletenessCommand: a message that was seen and is not archived is named and makes
// the command fail; a mailbox that nobody compared is a doubt; else all is well.
func TestCompletenessCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const box = "cardio@ch.mssante.example"
	config, password := filepath.Join(dir, "greffe.yaml"), filepath.Join(dir, "password")
	for name, text := range map[string]string{
		password: "x\n",
		config:   "data_dir: " + dir + "\nmailboxes:\n  - {address: " + box + ", imap: imaps://mail.example, auth: {password_file: " + password + "}}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (int, string, string) {
		return cli(nil, append([]string{"completeness", "--config", config}, args...)...)
	}
	if code, out, errs := run(); code != exitWrong || !strings.Contains(out, "DOUTE   le dossier INBOX") {
		t.Errorf("never compared: exit %d\n%s%s", code, out, errs)
	}
	db, err := index.Open(t.Context(), filepath.Join(dir, "index.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC) // the 23rd in Paris
	list := func(complete time.Time, uids ...uint32) {
		l := greffe.Listed{Mailbox: box, Folder: "INBOX", UIDValidity: 7, Complete: true, At: complete}
		for _, uid := range uids {
			l.Messages = append(l.Messages, greffe.Sight{UID: uid, InternalDate: at})
		}
		if err := db.SaveListed(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	list(at.AddDate(0, 0, 2), 41, 42)
	o := greffe.Origin{Mailbox: box, Folder: "INBOX", UIDValidity: 7, UID: 41, InternalDate: at}
	raw := greffe.DigestOf([]byte("mail"))
	received := greffe.Received{ID: greffe.NewMessageID(o, raw), Origin: o, Size: 4, SHA256: raw, At: at}
	if err := db.SaveReceived(t.Context(), received, greffe.Object{Key: "k", SHA256: raw, Size: 4}); err != nil {
		t.Fatal(err)
	}
	code, out, errs := run("--mailbox", box, "--day", "23/11/2026")
	for _, want := range []string{"2 messages vus sur le serveur, 1 archivés, 0 intégrés, 0 retenus, 1 UID manquant", "MANQUE  dossier INBOX, UIDVALIDITY 7, UID 42, déposé le 23/11/2026 à 00:30"} {
		if code != exitWrong || !strings.Contains(out, want) {
			t.Errorf("exit %d, want %q in\n%s%s", code, want, out, errs)
		}
	}
	schema := completenessSchema(t)
	for day, want := range map[string]int{"2026-11-23": exitWrong, "2026-11-22": exitOK} {
		code, out, errs := run("--day", day, "--json")
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
		if err == nil {
			err = schema.Validate(doc)
		}
		if code != want || err != nil {
			t.Errorf("%s: exit %d, want %d: %v\n%s%s", day, code, want, err, out, errs)
		}
		var said struct{ Statements []greffe.Statement }
		if err := json.Unmarshal([]byte(out), &said); err != nil || len(said.Statements) != 1 || !said.Statements[0].Complete {
			t.Errorf("%s: %v %s", day, err, out)
		}
	}
	for _, args := range [][]string{{"--mailbox", "autre@ch.example"}, {"--day", "demain"}, {"--day", "2999-01-01"}} {
		if code, out, _ := run(args...); code != exitUsage || out != "" {
			t.Errorf("%v: exit %d, %s", args, code, out)
		}
	}
}
