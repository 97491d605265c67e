package index

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// Seal is a run of journal entries, First and Last included, that is in the archive as
// one segment under one checkpoint, or about to be.
type Seal struct {
	First, Last int64
	At          time.Time     // of the entry Last
	Hash        greffe.Digest // of the entry Last
	Done        bool          // what follows is there
	Root        string        // of the tree of all entries up to Last, base64
	Segment     greffe.Object
	Facts       greffe.Object // zero when no entry has a fact
	Checkpoint  greffe.Object
}

// Tile is up to 256 hashes of the tree over the journal (package evidence).
type Tile struct {
	Level  int
	Number int64
	Data   []byte
}

const sealColumns = `first, last, at, hash, done, root, segment_json, facts_json, checkpoint_json`

func scanSeal(scan func(...any) error) (Seal, error) {
	var s Seal
	var at, done int64
	var segment, facts, checkpoint string
	if err := scan(&s.First, &s.Last, &at, &s.Hash, &done, &s.Root, &segment, &facts, &checkpoint); err != nil {
		return Seal{}, err
	}
	s.At, s.Done = time.UnixMilli(at).UTC(), done != 0
	return s, errors.Join(decode(segment, &s.Segment), decode(facts, &s.Facts), decode(checkpoint, &s.Checkpoint))
}

func (db *DB) seals(ctx context.Context, where string, args ...any) ([]Seal, error) {
	rows, err := db.query(ctx, `SELECT `+sealColumns+` FROM seals `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	defer rows.Close()
	var list []Seal
	for rows.Next() {
		s, err := scanSeal(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read seals: %w", err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	return list, nil
}

// Seals returns the seals whose Last is greater than seq (0: from the first), oldest
// first, at most limit (at most 1,000). Only the newest may not be Done.
func (db *DB) Seals(ctx context.Context, seq int64, limit int) ([]Seal, error) {
	return db.seals(ctx, `WHERE last > $1 ORDER BY last LIMIT $2`, seq, min(max(limit, 1), 1000))
}

// LastSeal returns the newest seal that is Done; ErrNotFound when nothing was sealed.
func (db *DB) LastSeal(ctx context.Context) (Seal, error) {
	return one(db.seals(ctx, `WHERE done = 1 ORDER BY last DESC LIMIT 1`))
}

// SealOf returns the seal that holds entry seq; ErrNotFound while it is not sealed.
func (db *DB) SealOf(ctx context.Context, seq int64) (Seal, error) {
	s, err := one(db.seals(ctx, `WHERE last >= $1 AND done = 1 ORDER BY last LIMIT 1`, seq))
	if err == nil && s.First > seq {
		err = fmt.Errorf("read seals: %w", ErrNotFound)
	}
	return s, err
}

func one(list []Seal, err error) (Seal, error) {
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("read seals: %w", ErrNotFound)
	}
	if err != nil {
		return Seal{}, err
	}
	return list[0], nil
}

// Unsealed returns how many entries are not under a seal that is Done, and the time of
// the oldest of them; 0 and the zero time when there are none.
func (db *DB) Unsealed(ctx context.Context) (n int64, oldest time.Time, err error) {
	var sealed, newest, at sql.NullInt64
	err = db.read.QueryRowContext(ctx, `SELECT (SELECT MAX(last) FROM seals WHERE done = 1), (SELECT MAX(seq) FROM journal)`).Scan(&sealed, &newest)
	if err == nil && newest.Int64 > sealed.Int64 {
		err = db.read.QueryRowContext(ctx, `SELECT MIN(at) FROM journal WHERE seq = $1`, sealed.Int64+1).Scan(&at)
	}
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count unsealed entries: %w", err)
	}
	if newest.Int64 <= sealed.Int64 {
		return 0, time.Time{}, nil
	}
	return newest.Int64 - sealed.Int64, moment(at.Int64), nil
}

// PlanSeal fixes the next run of entries to seal, at most limit, and returns it with the
// seal before (zero for the first). A run that was fixed and is not Done is returned
// again, whoever asks: so that of many sealers all write the same. ErrNotFound when
// every entry is sealed.
func (db *DB) PlanSeal(ctx context.Context, limit int) (next, before Seal, err error) {
	err = db.update(ctx, func(t *tx) error {
		next, before = Seal{}, Seal{}
		newest, err := scanSeal(func(dest ...any) error {
			return t.row(dest, `SELECT `+sealColumns+` FROM seals ORDER BY last DESC LIMIT 1`)
		})
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil && !newest.Done {
			next = newest
			if next.First == 1 {
				return nil
			}
			before, err = scanSeal(func(dest ...any) error {
				return t.row(dest, `SELECT `+sealColumns+` FROM seals WHERE last = $1`, next.First-1)
			})
			return err
		}
		before, next.First = newest, newest.Last+1
		var at int64
		err = t.row([]any{&next.Last, &at, &next.Hash}, `SELECT seq, at, hash FROM journal WHERE seq >= $1 AND seq < $2 ORDER BY seq DESC LIMIT 1`,
			next.First, next.First+int64(limit))
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		next.At = time.UnixMilli(at).UTC()
		_, err = t.exec(`INSERT INTO seals (last, first, at, hash, done, root, segment_json, facts_json, checkpoint_json) VALUES ($1,$2,$3,$4,0,'','','','')`,
			next.Last, next.First, at, string(next.Hash))
		return err
	})
	if err != nil {
		return Seal{}, Seal{}, fmt.Errorf("plan seal: %w", err)
	}
	return next, before, nil
}

// SaveSeal records that a planned seal is in the archive, with the tiles that it
// changed. Repeating it changes nothing. ErrNotFound for a seal that was not planned.
func (db *DB) SaveSeal(ctx context.Context, s Seal, tiles []Tile) error {
	segment, err1 := encode(s.Segment)
	checkpoint, err2 := encode(s.Checkpoint)
	facts, err3 := "", error(nil)
	if !s.Facts.IsZero() {
		facts, err3 = encode(s.Facts)
	}
	err := errors.Join(err1, err2, err3)
	if err == nil {
		err = db.update(ctx, func(t *tx) error {
			n, err := t.exec(`UPDATE seals SET done=1, root=$3, segment_json=$4, facts_json=$5, checkpoint_json=$6 WHERE last=$1 AND first=$2`,
				s.Last, s.First, s.Root, segment, facts, checkpoint)
			if err != nil {
				return err
			}
			if n == 0 {
				return ErrNotFound
			}
			return t.insertTiles(tiles)
		})
	}
	if err != nil {
		return fmt.Errorf("save seal %d to %d: %w", s.First, s.Last, err)
	}
	return nil
}

func (t *tx) insertTiles(tiles []Tile) error {
	rows := make([][]any, len(tiles))
	for i, x := range tiles {
		rows[i] = []any{x.Level, x.Number, len(x.Data) / 32, base64.StdEncoding.EncodeToString(x.Data)}
	}
	// A tile only grows; who comes late must not shorten it.
	return t.insert(`INSERT INTO journal_tiles (level, number, width, data) VALUES `, rows,
		` ON CONFLICT (level, number) DO UPDATE SET width=excluded.width, data=excluded.data WHERE excluded.width > journal_tiles.width`)
}

// Tile returns the hashes of a tile, as many as there are by now; ErrNotFound when
// there is none.
func (db *DB) Tile(ctx context.Context, level int, number int64) ([]byte, error) {
	rows, err := db.query(ctx, `SELECT data FROM journal_tiles WHERE level = $1 AND number = $2`, level, number)
	if err != nil {
		return nil, fmt.Errorf("read tile: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("read tile: %w", err)
		}
		return nil, fmt.Errorf("read tile %d of level %d: %w", number, level, ErrNotFound)
	}
	var text string
	if err := errors.Join(rows.Scan(&text), rows.Close()); err != nil {
		return nil, fmt.Errorf("read tile: %w", err)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("read tile %d of level %d: %w", number, level, err)
	}
	return data, nil
}

// Facts returns the facts of the entries first to last, in order.
func (db *DB) Facts(ctx context.Context, first, last int64) ([]greffe.Fact, error) {
	rows, err := db.query(ctx, `SELECT seq, fact FROM journal_facts WHERE seq >= $1 AND seq <= $2 ORDER BY seq`, first, last)
	if err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	defer rows.Close()
	var list []greffe.Fact
	for rows.Next() {
		var f greffe.Fact
		if err := rows.Scan(&f.Seq, &f.Text); err != nil {
			return nil, fmt.Errorf("read facts: %w", err)
		}
		list = append(list, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	return list, nil
}

// JournalAbout returns the entries about a message and its documents that follow seq (0:
// from the first), oldest first, at most limit (at most 10,000).
func (db *DB) JournalAbout(ctx context.Context, id greffe.MessageID, seq int64, limit int) ([]Entry, error) {
	list, err := db.entries(ctx, `SELECT `+entryColumns+` FROM journal WHERE subject >= $1 AND subject < $2 AND seq > $3 ORDER BY seq LIMIT $4`,
		string(id), string(id)+".", seq, min(max(limit, 1), 10000))
	if err != nil {
		return nil, fmt.Errorf("read journal about %s: %w", id, err)
	}
	return list, nil
}

// AppendIfQuiet appends e unless there is an entry since the given time; it reports
// whether it did. Of many that call it, one appends.
func (db *DB) AppendIfQuiet(ctx context.Context, e Entry, since time.Time) (bool, error) {
	appended := false
	err := db.update(ctx, func(t *tx) error {
		var at sql.NullInt64
		if err := t.row([]any{&at}, `SELECT MAX(at) FROM (SELECT at FROM journal ORDER BY seq DESC LIMIT 1) newest`); err != nil {
			return err
		}
		if appended = !at.Valid || at.Int64 < since.UnixMilli(); appended {
			t.note(e.Actor, e.Action, e.Subject, e.Result, e.Detail)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("append to journal: %w", err)
	}
	return appended, nil
}

// NoteConfiguration appends an entry when the configuration of a process is another than
// the one it had last: digest is that of its effective text, about names the process, so
// that each has its own. It reports whether it did.
func (db *DB) NoteConfiguration(ctx context.Context, about string, digest greffe.Digest) (bool, error) {
	changed := false
	err := db.update(ctx, func(t *tx) error {
		var last string
		name := "configuration " + clean(about, 100)
		err := t.row([]any{&last}, `SELECT value FROM settings WHERE name = $1`, name)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if changed = last != string(digest); !changed {
			return nil
		}
		t.note("greffe", "configured", clean(about, 100), "ok", string(digest))
		_, err = t.exec(`INSERT INTO settings (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, string(digest))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("note configuration: %w", err)
	}
	return changed, nil
}
