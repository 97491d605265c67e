package index

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// TestNoPlanReadsAWholeTable: every search and every page of the queue goes through an
// index that its order or its condition leads into.
func TestNoPlanReadsAWholeTable(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		boxes := []string{"a@ch.example", "b@ch.example"}
		folders := []string{"a@ch.example/INBOX/Dr Martin", "b@ch.example"}
		week := start.AddDate(0, 0, -7)
		someDocument := greffe.NewDocumentID(greffe.NewMessageID(greffe.Origin{}, ""), 1)
		queries := map[string]struct {
			query string
			args  arguments
		}{}
		add := func(name, query string, a arguments, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			queries[name] = struct {
				query string
				args  arguments
			}{query, a}
		}
		// Each page may be read through each of its leads, and from the end of the table.
		walked := func(name string, w walk) {
			t.Helper()
			for i, l := range append(w.leads, w.every()) {
				if l.at == "" {
					query, a, err := w.all(l)
					add(fmt.Sprint(name, ", lead ", i), query, a, err)
					continue
				}
				query, a, _, err := w.next(l, defaultReach)
				add(fmt.Sprint(name, ", lead ", i), query, a, err)
				query, a = w.tested(l, []position{{1, "x"}, {2, "y"}})
				add(fmt.Sprint(name, ", lead ", i, ", tests"), query, a, nil)
			}
		}
		for name, f := range map[string]DocumentFilter{
			"newest": {}, "mailboxes": {Places: boxes}, "week": {From: week, To: start}, "ins": {INS: "299999999999999"},
			"ins without key": {INS: "2999999999999"}, "ins of mailboxes": {INS: "299999999999999", Places: boxes},
			"birth": {BirthDate: "19500101"}, "name": {Name: "ma"}, "two words": {Name: "ker ma"}, "name and birth": {Name: "ma", BirthDate: "19500101"},
			"name of mailboxes, a week": {Name: "martin", Places: boxes, From: week, To: start}, "name and ins": {Name: "martin", INS: "299999999999999"},
			"folders": {Places: folders}, "name of folders": {Name: "martin", Places: folders}, "ins of folders": {INS: "299999999999999", Places: folders},
			"dated": {DatedFrom: week, DatedTo: start, Type: "11488-4"}, "archived": {ArchivedFrom: week, ArchivedTo: start, Name: "martin", Format: greffe.FormatPDF},
			"sender": {Sender: "martel", State: greffe.StateTodo, Places: boxes}, "few senders": {Sender: "few", Type: "11488-4"},
			"message-id": {MessageID: "<1@cabinet.example>", BirthDate: "19500101"}, "before": {Name: "martin", Before: position{1, string(someDocument)}.cursor()},
			"after": {Places: folders, After: position{1, string(someDocument)}.cursor()},
		} {
			walked("documents, "+name, f.walk(nameParts(strings.Fields(f.Name)), map[bool][]string{true: {"k1", "k2"}}[f.Sender == "few"]))
		}
		for name, f := range map[string]MessageFilter{
			"newest": {}, "mailboxes": {Places: boxes}, "todo": {States: []greffe.State{greffe.StateTodo}},
			"todo of mailboxes": {States: []greffe.State{greffe.StateTodo}, Places: boxes}, "week": {From: week, To: start},
			"folders": {Places: folders}, "todo of folders": {States: []greffe.State{greffe.StateTodo}, Places: folders},
			"sender": {Sender: "0123456789", States: []greffe.State{greffe.StateDelivered}, Places: boxes}, "type": {Type: "11488-4", Places: folders},
			"cause":     {Cause: greffe.CauseNoINS, States: []greffe.State{greffe.StateTodo, greffe.StateRefused}, Places: boxes, Due: start},
			"follow-up": {FollowUp: true}, "follow-up of mailboxes": {FollowUp: true, Places: boxes},
		} {
			for _, text := range []string{"", "martin compte"} {
				words := strings.Fields(text)
				forms := make([][]string, len(words))
				for i := range words {
					forms[i] = slices.Repeat([]string{"x"}, 1+i*manyForms) // the second are many
				}
				walked("queue, "+name+" "+text, f.walk(words, forms))
			}
		}
		add("words that begin with a word", `SELECT MIN(word) FROM message_words WHERE word > $1 AND word < $2`, arguments{"ma", "mb"}, nil)
		add("day of a mailbox", `SELECT l.uid FROM listed l LEFT JOIN messages m ON m.id = l.message_id WHERE l.mailbox = $1 AND l.day_at >= $2 AND l.day_at < $3`,
			arguments{boxes[0], int64(1), int64(2)}, nil)
		add("oldest in the queue of a mailbox", oldestAtDesk, arguments{boxes[0], string(greffe.StateTodo)}, nil)
		add("copies", `SELECT d.id FROM documents d WHERE d.duplicate_of = $1 AND d.duplicate_of <> '' ORDER BY d.id LIMIT 100`, arguments{"x"}, nil)
		add("answer of a mail", `SELECT key FROM answers WHERE mail_id = $1`, arguments{"x"}, nil)
		for name, where := range map[string]string{
			"of a person": `WHERE requester = 'x' ORDER BY asked_at DESC, id DESC LIMIT 1`, "in a state": `WHERE state = 'x' ORDER BY asked_at, id LIMIT 1`,
			"to remove": `WHERE stored = 1 AND ended_at > 0 ORDER BY ended_at LIMIT 1`,
		} {
			add("packs "+name, `SELECT `+packColumns+` FROM packs `+where, nil, nil)
		}
		add("items of a pack", `SELECT document_id FROM pack_items WHERE pack_id = $1 ORDER BY message_id, document_id`, arguments{"x"}, nil)
		add("next verification", `SELECT `+checkupColumns+` FROM checkups WHERE done_at = 0 ORDER BY asked_at, id LIMIT 1`, nil, nil)
		add("verification of a message", `SELECT `+checkupColumns+` FROM checkups WHERE message_id = $1 ORDER BY asked_at DESC, id DESC LIMIT 1`, arguments{"x"}, nil)
		add("statements", `SELECT statement_json FROM statements WHERE 1 = 1 ORDER BY day DESC, mailbox LIMIT 50`, nil, nil)
		add("statements of a mailbox, a page on", `SELECT statement_json FROM statements WHERE mailbox IN ('', $1) AND day <= $2 AND (day < $2 OR mailbox > $3) ORDER BY day DESC, mailbox LIMIT 50`,
			arguments{boxes[0], "2026-11-22", boxes[0]}, nil)
		add("entry of a statement", `SELECT `+entryColumns+` FROM journal WHERE subject = $1 AND action = 'stated' AND substr(detail, 1, 11) = $2 ORDER BY seq DESC LIMIT 100`, arguments{"x", "2026-11-22 "}, nil)
		for name, where := range map[string]string{"actor": "actor = $1", "action": "action = $1", "subject": "subject = $1"} {
			add("journal, "+name, `SELECT `+entryColumns+` FROM journal WHERE `+where+` ORDER BY seq DESC LIMIT 100`, arguments{"x"}, nil)
		}
		add("journal, date", `SELECT seq FROM journal WHERE at >= $1 ORDER BY at, seq LIMIT 1`, arguments{int64(1)}, nil)
		for name, q := range queries {
			for _, line := range plan(t, db, q.query, q.args) {
				if scansTable(db.postgres, line) {
					t.Errorf("%s reads a whole table: %s", name, line)
				}
			}
		}
	})
}

// plan returns the lines of the plan of a query. PostgreSQL is told to avoid reading
// whole tables, which it rightly does with small ones: what is left has no index.
func plan(t *testing.T, db *DB, query string, args arguments) (lines []string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := db.read.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	explain := `EXPLAIN QUERY PLAN `
	if db.postgres {
		explain = `EXPLAIN `
		if _, err := conn.ExecContext(ctx, `SET enable_seqscan = off`); err != nil {
			t.Fatal(err)
		}
		defer conn.ExecContext(ctx, `RESET enable_seqscan`)
	}
	rows, err := conn.QueryContext(ctx, explain+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		dest := []any{&line}
		if !db.postgres {
			var id, parent, unused sql.NullInt64
			dest = []any{&id, &parent, &unused, &line}
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil || len(lines) == 0 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	return lines
}

// scansTable reports whether a line of a plan reads a table from its beginning to its
// end, not by an index: results of inner queries are small.
func scansTable(postgres bool, line string) bool {
	if postgres {
		return strings.Contains(line, "Seq Scan on ")
	}
	name, found := strings.CutPrefix(line, "SCAN ")
	name, _, indexed := strings.Cut(name, " USING ")
	switch name {
	case "messages", "documents", "document_keys", "document_names", "message_words", "sender_words", "x", "journal", "listed", "answers", "m", "d", "l", "a", "packs", "pack_items", "checkups", "statements":
		return found && !indexed
	}
	return false
}
