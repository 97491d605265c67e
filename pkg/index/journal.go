package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"greffe/pkg/greffe"
)

// ErrJournal is returned by VerifyJournal for a journal that was changed.
var ErrJournal = greffe.ErrChain

// note adds an entry to the journal of the transaction; a service caused it.
func (t *tx) note(actor, action, subject, result, detail string) {
	t.entries = append(t.entries, Entry{
		Actor: actor, Action: action, Subject: subject, From: t.db.host, Result: result, Detail: detail,
	})
}

// noteFact is note for an entry that is about more than the journal may hold: its detail
// gets the digest of the matter, which is kept whole beside it.
func (t *tx) noteFact(actor, action, subject, result, detail string, m greffe.Matter) error {
	text, err := encode(m)
	if err != nil {
		return err
	}
	t.note(actor, action, subject, result, greffe.WithFact(clean(detail, 256), greffe.DigestOf([]byte(text))))
	if t.facts == nil {
		t.facts = map[int]string{}
	}
	t.facts[len(t.entries)-1] = text
	return nil
}

// writeEntries appends the gathered entries to the chain. Writers take turns, so
// the newest entry it reads is the newest; were that ever untrue, the primary
// key on seq would refuse the fork.
func (t *tx) writeEntries() error {
	if len(t.entries) == 0 {
		return nil
	}
	var seq int64
	prev := string(greffe.FirstPrev)
	err := t.row([]any{&seq, &prev}, `SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1`)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	now := t.now()
	rows := make([][]any, 0, len(t.entries))
	var facts [][]any
	for i, e := range t.entries {
		seq++
		if text, ok := t.facts[i]; ok {
			facts = append(facts, []any{seq, text})
		}
		e.Seq, e.At, e.Prev = seq, now, greffe.Digest(prev)
		for _, s := range []*string{&e.Actor, &e.Action, &e.Subject, &e.From, &e.Result, &e.Detail} {
			*s = clean(*s, 256)
		}
		e.Hash = e.Digest()
		prev = string(e.Hash)
		rows = append(rows, []any{e.Seq, e.At.UnixMilli(), e.Actor, e.Action, e.Subject, e.From, e.Result, e.Detail,
			string(e.Prev), string(e.Hash)})
	}
	if err := t.insert(insertJournalFacts, facts, ``); err != nil {
		return err
	}
	return t.insert(insertJournal, rows, ``)
}

const (
	insertJournal      = `INSERT INTO journal (seq, at, actor, action, subject, origin, result, detail, prev, hash) VALUES `
	insertJournalFacts = `INSERT INTO journal_facts (seq, fact) VALUES `
)

// Append writes an entry that stands for itself: a login, a page that was read.
// Seq, At, Prev and Hash are given by the index; texts are cut at 256 bytes. The
// entry is durable when Append returns: call it before showing what it records.
func (db *DB) Append(ctx context.Context, e Entry) error {
	err := db.update(ctx, func(t *tx) error {
		if e.From == "" {
			e.From = db.host
		}
		t.entries = append(t.entries, e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}

// AppendReason is Append for an entry with a reason that a person wrote, which may hold a
// name: it is kept beside the journal, which has its digest.
func (db *DB) AppendReason(ctx context.Context, e Entry, reason string) error {
	err := db.update(ctx, func(t *tx) error {
		if err := t.noteFact(e.Actor, e.Action, e.Subject, e.Result, e.Detail, greffe.Matter{Reason: clean(reason, 1000)}); err != nil {
			return err
		}
		if e.From != "" {
			t.entries[len(t.entries)-1].From = e.From
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}

const entryColumns = `seq, at, actor, action, subject, origin, result, detail, prev, hash`

func (db *DB) entries(ctx context.Context, query string, args ...any) ([]Entry, error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Entry
	for rows.Next() {
		var e Entry
		var at int64
		if err := rows.Scan(&e.Seq, &at, &e.Actor, &e.Action, &e.Subject, &e.From, &e.Result, &e.Detail, &e.Prev, &e.Hash); err != nil {
			return nil, err
		}
		// Not moment: an entry of 1970 must keep its hash.
		e.At = time.UnixMilli(at).UTC()
		list = append(list, e)
	}
	return list, rows.Err()
}

// Journal returns entries from the newest, at most limit (at most 1,000), before
// seq (0: from the newest).
func (db *DB) Journal(ctx context.Context, before int64, limit int) ([]Entry, error) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	list, err := db.entries(ctx, `SELECT `+entryColumns+` FROM journal WHERE seq < $1 ORDER BY seq DESC LIMIT $2`,
		before, min(max(limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return list, nil
}

// JournalAfter returns the entries that follow seq (0: from the first), oldest
// first, at most limit (at most 10,000): for sealing and export.
func (db *DB) JournalAfter(ctx context.Context, seq int64, limit int) ([]Entry, error) {
	list, err := db.entries(ctx, `SELECT `+entryColumns+` FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2`,
		seq, min(max(limit, 1), 10000))
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return list, nil
}

// history returns the entries about a message and its documents, whose ids begin
// with the id of the message and a hyphen; "." is the character after it. A
// message that is looked at often keeps its newest 500 entries here.
func (db *DB) history(ctx context.Context, id greffe.MessageID) ([]Entry, error) {
	list, err := db.entries(ctx, `SELECT `+entryColumns+` FROM journal WHERE subject >= $1 AND subject < $2 ORDER BY seq DESC LIMIT 500`,
		string(id), string(id)+".")
	slices.Reverse(list)
	return list, err
}

// VerifyJournal reads the whole journal and checks that its entries are chained
// without a gap. It returns ErrJournal, with the number of the first entry that
// does not fit, when the journal was changed. A journal cut at its end still
// chains: compare its last entry with the sealed segments of the archive.
// progress, when not nil, is told how many entries were checked, now and then.
func (db *DB) VerifyJournal(ctx context.Context, progress func(checked int64)) error {
	var seq int64
	prev := greffe.FirstPrev
	for {
		list, err := db.JournalAfter(ctx, seq, 2000)
		if err != nil {
			return fmt.Errorf("verify journal: %w", err)
		}
		if err := greffe.CheckChain(seq, prev, list); err != nil {
			return fmt.Errorf("verify journal: %w", err)
		}
		if n := len(list); n > 0 {
			seq, prev = list[n-1].Seq, list[n-1].Hash
		}
		if progress != nil {
			progress(seq)
		}
		if len(list) == 0 {
			return nil
		}
	}
}
