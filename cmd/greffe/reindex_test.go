package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/index"
	"greffe/services/storage"
)

// reindexed rebuilds the index of a halted installation beside it, from the archive
// alone, and compares the two row by row: a clean stop has sealed the whole journal.
// Where it is another database than SQLite, pkg/index holds the same.
func (in *installation) reindexed() {
	in.t.Helper()
	if in.cfg.Index.DSN != "" {
		return
	}
	ctx := in.t.Context()
	a := &app{cfg: in.cfg, log: in.log}
	defer a.close()
	if err := a.openArchive(ctx); err != nil {
		in.t.Fatal(err)
	}
	file := filepath.Join(in.t.TempDir(), "again.db")
	db, err := index.OpenToRebuild(ctx, file, in.log)
	if err != nil {
		in.t.Fatal(err)
	}
	defer db.Close()
	r, err := storage.Reindex(ctx, a.store, db, storage.ReindexOptions{})
	if err != nil {
		in.t.Fatalf("reindex: %v", err)
	}
	if r.Messages == 0 || r.Entries == 0 || r.Life == 0 || len(r.Unlisted)+len(r.Damaged) > 0 {
		in.t.Errorf("reindexed %+v", r)
	}
	for _, table := range []string{"messages", "message_facts", "message_words", "sender_words", "doctypes", "documents", "document_keys", "document_names", "claims", "outcomes", "decisions", "triages", "answers", "tallies", "journal", "journal_facts", "seals", "journal_tiles"} {
		lost, again := tableRows(in.t, in.cfg.dir("index.db"), table, r.Entries), tableRows(in.t, file, table, r.Entries)
		if slices.Equal(lost, again) {
			continue
		}
		in.t.Errorf("reindex: %s: %d rows were lost, %d came back", table, len(lost), len(again))
		for i := range min(len(lost), len(again)) {
			if lost[i] != again[i] {
				in.t.Errorf("  lost    %.500s\n  rebuilt %.500s", lost[i], again[i])
				break
			}
		}
	}
}

// tableRows returns the rows of a table, sorted, each as one text; of the journal
// those up to an entry.
func tableRows(t testing.TB, file, table string, until int64) []string {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	where := map[string]string{"journal": fmt.Sprintf(" WHERE seq <= %d", until), "journal_facts": fmt.Sprintf(" WHERE seq <= %d", until), "tallies": " WHERE n <> 0"}[table]
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table+where)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for rows.Next() {
		values := make([]any, len(names))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i, v := range values {
			fmt.Fprintf(&b, "%s=%v ", names[i], *v.(*any))
		}
		list = append(list, b.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}
