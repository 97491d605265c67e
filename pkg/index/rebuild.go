package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"greffe/pkg/greffe"
)

// ErrRebuilding is returned by Open for an index whose rebuilding did not end: what
// it does not hold yet would be delivered again.
var ErrRebuilding = errors.New("index: rebuilding did not end")

// ErrNotEmpty is returned by BeginRebuild for an index that holds something.
var ErrNotEmpty = errors.New("index: not empty")

// rebuildMark is the setting that is there while an index is rebuilt.
const rebuildMark = "rebuilding"

// OpenToRebuild is Open for who rebuilds the index, or tries again to.
func OpenToRebuild(ctx context.Context, dsn string, log *slog.Logger) (*DB, error) {
	return openDB(ctx, dsn, log)
}

// rebuilding reports whether a rebuilding did not end.
func (db *DB) rebuilding(ctx context.Context) (bool, error) {
	var n int64
	err := db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM settings WHERE name = '`+rebuildMark+`'`).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read settings: %w", err)
	}
	return n > 0, nil
}

// rebuilt are the tables that the archive gives back, those that refer to others
// first. What is in no other place stays: accounts, answers to senders, holds and
// eliminations.
var rebuilt = []string{"message_words", "sender_words", "document_keys", "document_names", "triages", "asked", "takings", "outcomes", "deliveries", "decisions", "claims", "documents", "message_facts", "messages", "tallies"}

// rebuiltJournal are those of them that are read while they are written anew.
var rebuiltJournal = []string{"stamps", "journal_tiles", "journal_facts", "seals", "journal"}

// Sealed is a sealed range of the journal as the archive holds it, with the tiles of
// the tree that it changed.
type Sealed struct {
	Seal    Seal    // not Done: was being sealed
	Entries []Entry // empty when they are lost
	Facts   []greffe.Fact
	Tiles   []Tile
}

// BeginRebuild empties the index and writes the sealed journal anew, in one transaction:
// all ranges that journal hands to add, in their order. While it does, the reading
// methods still see the index as it was, which journal is told to be empty or not; when
// it fails, nothing was changed. What the index held after the last range, not sealed
// yet, stays when it follows it; kept is how many entries that were. From then on no
// service can use the index before EndRebuild. ErrNotEmpty when it holds messages or a
// journal, unless replace is set. No service may run.
func (db *DB) BeginRebuild(ctx context.Context, replace bool, journal func(empty bool, add func(Sealed) error) error) (kept int, err error) {
	empty, err := db.empty(ctx)
	if err == nil && !empty && !replace {
		err = ErrNotEmpty
	}
	if err == nil {
		kept, err = db.begin(ctx, func(add func(Sealed) error) error { return journal(empty, add) })
	}
	if err != nil {
		return 0, fmt.Errorf("begin to rebuild: %w", err)
	}
	return kept, nil
}

func (db *DB) empty(ctx context.Context) (bool, error) {
	var full int64
	err := db.read.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM messages LIMIT 1) AS m) +
		(SELECT COUNT(*) FROM (SELECT 1 FROM journal LIMIT 1) AS j) + (SELECT COUNT(*) FROM (SELECT 1 FROM seals LIMIT 1) AS s)`).Scan(&full)
	return full == 0, err
}

// begin is one transaction that may be long.
func (db *DB) begin(ctx context.Context, journal func(add func(Sealed) error) error) (kept int, err error) {
	if err := db.relax(ctx); err != nil {
		return 0, err
	}
	sqlTx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer sqlTx.Rollback()
	t := &tx{Tx: sqlTx, ctx: ctx, db: db}
	if err := t.clear(); err != nil {
		return 0, err
	}
	seq, hash := int64(0), greffe.FirstPrev
	err = journal(func(s Sealed) error {
		seq, hash = s.Seal.Last, s.Seal.Hash
		if err := t.insertSealed(s); err != nil {
			return fmt.Errorf("entries %d to %d: %w", s.Seal.First, s.Seal.Last, err)
		}
		return nil
	})
	if err == nil {
		kept, err = t.keepTail(seq, hash)
	}
	if err != nil {
		return 0, err
	}
	return kept, sqlTx.Commit()
}

// clear empties the tables and sets the mark.
func (t *tx) clear() error {
	// The answers refer to messages: they wait beside until these are back.
	list := []string{`CREATE TABLE IF NOT EXISTS answers_kept AS SELECT * FROM answers`}
	if t.db.postgres {
		// What was truncated cannot be read, not even as it was.
		list = append(list, `TRUNCATE answers, `+strings.Join(rebuilt, ", "), `ALTER TABLE journal DISABLE TRIGGER journal_no_change`)
	} else {
		list = append(list, `DELETE FROM answers`, `DROP TRIGGER IF EXISTS journal_no_delete`)
		for _, table := range rebuilt {
			list = append(list, `DELETE FROM `+table)
		}
	}
	for _, table := range rebuiltJournal {
		list = append(list, `DELETE FROM `+table)
	}
	if t.db.postgres {
		list = append(list, `ALTER TABLE journal ENABLE TRIGGER journal_no_change`)
	} else {
		list = append(list, `CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END`)
	}
	list = append(list, `INSERT INTO settings (name, value) VALUES ('`+rebuildMark+`', '1') ON CONFLICT (name) DO NOTHING`)
	for _, query := range list {
		if _, err := t.ExecContext(t.ctx, query); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return nil
}

// keepTail writes what the index held after entry seq back, when it follows it.
func (t *tx) keepTail(seq int64, hash greffe.Digest) (int, error) {
	n := 0
	for {
		list, err := t.db.JournalAfter(t.ctx, seq, 2000)
		if err != nil || len(list) == 0 || greffe.CheckChain(seq, hash, list) != nil {
			return n, err
		}
		last := list[len(list)-1]
		facts, err := t.db.Facts(t.ctx, list[0].Seq, last.Seq)
		if err == nil {
			err = t.insertJournal(list, facts)
		}
		if err != nil {
			return n, err
		}
		seq, hash, n = last.Seq, last.Hash, n+len(list)
	}
}

// relax makes the writing connection of SQLite fast and careless: what a crash tears
// is rebuilt from the start, and every reference comes from the code below. EndRebuild
// makes it careful again.
func (db *DB) relax(ctx context.Context) error {
	if db.postgres {
		return nil
	}
	return db.pragmas(ctx, "foreign_keys=OFF", "cache_size=-131072")
}

func (db *DB) pragmas(ctx context.Context, list ...string) error {
	for _, p := range list {
		if _, err := db.write.ExecContext(ctx, "PRAGMA "+p); err != nil {
			return fmt.Errorf("PRAGMA %s: %w", p, err)
		}
	}
	return nil
}

// load writes a piece of an index that is being rebuilt: alone, for as long as it
// takes, and not durable before EndRebuild.
func (db *DB) load(ctx context.Context, f func(t *tx) error) error {
	if !db.postgres {
		if err := db.pragmas(ctx, "synchronous=OFF"); err != nil {
			return err
		}
	}
	sqlTx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer sqlTx.Rollback()
	t := &tx{Tx: sqlTx, ctx: ctx, db: db, counts: map[count]int64{}}
	if db.postgres {
		if _, err := t.exec(`SET LOCAL synchronous_commit = off`); err != nil {
			return err
		}
	}
	if err := f(t); err != nil {
		return err
	}
	if err := t.writeEntries(); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := sqlTx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, query := range t.missing {
		db.prepare(ctx, query)
	}
	return nil
}

// harden makes durable what load wrote. SQLite syncs its files when it means to only:
// what was checkpointed without care is synced here. On PostgreSQL the commit that
// follows carries all before it to the disk.
func (db *DB) harden(ctx context.Context) error {
	if db.postgres {
		return nil
	}
	var bad int
	if err := db.write.QueryRowContext(ctx, `SELECT COUNT(*) FROM pragma_foreign_key_check`).Scan(&bad); err != nil {
		return fmt.Errorf("check references: %w", err)
	}
	if bad > 0 {
		return fmt.Errorf("%d rows refer to rows that are not there", bad)
	}
	if err := db.pragmas(ctx, "foreign_keys=ON", "cache_size=-16384", "synchronous=FULL"); err != nil {
		return err
	}
	for _, name := range []string{db.path, db.path + "-wal"} {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// EndRebuild takes the mark away and notes in the journal that the index was rebuilt.
func (db *DB) EndRebuild(ctx context.Context, detail string) error {
	err := db.load(ctx, func(t *tx) error {
		for _, query := range []string{
			`DELETE FROM answers WHERE key IN (SELECT key FROM answers_kept)`, // they know what is not sealed yet
			`INSERT INTO answers SELECT * FROM answers_kept WHERE message_id IN (SELECT id FROM messages)`,
			`DROP TABLE answers_kept`,
			`DELETE FROM tallies`,
			`INSERT INTO tallies (kind, mailbox, state, n) SELECT 'message', desk, state, COUNT(*) FROM messages GROUP BY desk, state`,
			`INSERT INTO tallies (kind, mailbox, state, n) SELECT 'document', mailbox, state, COUNT(*) FROM documents GROUP BY mailbox, state`,
		} {
			if _, err := t.ExecContext(t.ctx, query); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = db.harden(ctx)
	}
	if err != nil {
		return fmt.Errorf("end rebuilding: %w", err)
	}
	err = db.update(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM settings WHERE name = '` + rebuildMark + `'`); err != nil {
			return err
		}
		t.note("greffe", "reindexed", "index", "ok", detail)
		return nil
	})
	if err != nil {
		return fmt.Errorf("end rebuilding: %w", err)
	}
	return nil
}

// insertSealed writes a sealed range back as it was.
func (t *tx) insertSealed(s Sealed) error {
	segment, err1 := encode(s.Seal.Segment)
	checkpoint, err2 := encode(s.Seal.Checkpoint)
	facts, err3 := "", error(nil)
	if !s.Seal.Facts.IsZero() {
		facts, err3 = encode(s.Seal.Facts)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if err := t.insertJournal(s.Entries, s.Facts); err != nil {
		return err
	}
	done := 1
	if !s.Seal.Done {
		done, segment, facts, checkpoint = 0, "", "", ""
	}
	if _, err := t.exec(`INSERT INTO seals (last, first, at, hash, done, root, segment_json, facts_json, checkpoint_json) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)`,
		s.Seal.Last, s.Seal.First, s.Seal.At.UnixMilli(), string(s.Seal.Hash), done, s.Seal.Root, segment, facts, checkpoint); err != nil {
		return err
	}
	return t.insertTiles(s.Tiles)
}

// insertJournal writes entries and their facts as they are.
func (t *tx) insertJournal(entries []Entry, facts []greffe.Fact) error {
	rows := make([][]any, len(entries))
	for i, e := range entries {
		rows[i] = []any{e.Seq, e.At.UnixMilli(), e.Actor, e.Action, e.Subject, e.From, e.Result, e.Detail, string(e.Prev), string(e.Hash)}
	}
	if err := t.insert(insertJournal, rows, ``); err != nil {
		return err
	}
	rows = make([][]any, len(facts))
	for i, f := range facts {
		rows[i] = []any{f.Seq, string(f.Text)}
	}
	return t.insert(insertJournalFacts, rows, ``)
}

// RestoreStamp writes a stamp back, after its seal; the journal has its entry.
func (db *DB) RestoreStamp(ctx context.Context, s Stamp) error {
	stamp, err1 := encode(s.Stamp)
	token, err2 := encode(s.Token)
	err := errors.Join(err1, err2)
	if err == nil {
		err = db.load(ctx, func(t *tx) error {
			_, err := t.exec(`INSERT INTO stamps (last, at, stamp_json, token_json) VALUES ($1,$2,$3,$4)`, s.Last, s.At.UnixMilli(), stamp, token)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("restore stamp of %d: %w", s.Last, err)
	}
	return nil
}
