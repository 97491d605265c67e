package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// A token is made, written once, listed and revoked; each act is in the journal.
func TestTokensCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(want int, args ...string) string {
		t.Helper()
		var out, errw bytes.Buffer
		if code := realMain(append([]string{"tokens", "--data", dir}, args...), nil, &out, &errw); code != want {
			t.Fatalf("%v: exit %d, want %d: %s", args, code, want, errw.String())
		}
		return out.String()
	}
	for _, wrong := range [][]string{
		{}, {"make"}, {"add"}, {"revoke"}, {"add", "--name", "x", "--role", "roi", "--expires", "1d"}, {"add", "--name", "x", "--role", "admin"},
		{"add", "--role", "admin", "--expires", "1d"}, {"add", "--name", "x", "--role", "admin", "--expires", "0d"}, {"add", "--name", "x", "--role", "admin", "--expires", "367d"},
		{"add", "--name", "x", "--role", "admin", "--expires", "2020-01-01"}, {"add", "--name", "x", "--role", "admin", "--expires", "2999-01-01"}, {"add", "--name", "x", "--role", "admin", "--expires", "demain"},
		{"add", "--name", "x", "--role", "secretary", "--expires", "1d", "--mailboxes", "boite"},
	} {
		run(exitUsage, wrong...)
	}
	secret := strings.TrimSpace(run(exitOK, "add", "--name", "Suivi de nuit", "--role", "secretary", "--mailboxes", "a@ch.example, b@ch.example/INBOX/Dr Ott", "--expires", "30d"))
	if !strings.HasPrefix(secret, "greffe_") || len(secret) != len("greffe_")+43 {
		t.Fatalf("secret of %d characters", len(secret))
	}
	var other tokenRow
	if err := json.Unmarshal([]byte(run(exitOK, "add", "--name", "Veille", "--role", "admin", "--expires", time.Now().AddDate(0, 0, 10).Format(time.DateOnly), "--json")), &other); err != nil || other.Token == secret || other.State != "active" {
		t.Fatalf("%+v %v", other, err)
	}
	var list []tokenRow
	if err := json.Unmarshal([]byte(run(exitOK, "list", "--json")), &list); err != nil || len(list) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	i := slices.IndexFunc(list, func(r tokenRow) bool { return r.Name == "Suivi de nuit" })
	if k := list[i]; k.Token != "" || k.Role != "secretary" || !slices.Equal(k.Mailboxes, []string{"a@ch.example", "b@ch.example/INBOX/Dr Ott"}) || k.By != "console-locale" {
		t.Errorf("%+v", k)
	}
	run(exitOK, "revoke", list[i].ID)
	run(exitWrong, "revoke", "inconnu")
	if text := run(exitOK, "list"); !strings.Contains(text, "révoqué") || !strings.Contains(text, "actif") || strings.Contains(text, "greffe_") {
		t.Errorf("%s", text)
	}
	db, err := index.Open(t.Context(), filepath.Join(dir, "index.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if k, err := db.TokenOf(t.Context(), greffe.DigestOf([]byte(secret))); err != nil || k.ID != list[i].ID || k.Revoked.IsZero() {
		t.Errorf("%+v %v", k, err)
	}
	entries, err := db.Journal(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	acts := map[string]int{}
	for _, e := range entries {
		acts[e.Action]++
		if strings.Contains(e.Detail, "a@ch.example") || strings.Contains(e.Detail+e.Subject, secret) {
			t.Errorf("the journal holds an address or a secret: %+v", e)
		}
	}
	if acts["token-add"] != 2 || acts["token-revoked"] != 1 {
		t.Errorf("%v", acts)
	}
}
