package index

import (
	"context"
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// told is an entry of the journal with what it is about.
type told struct {
	seq    int64
	at     time.Time
	entry  Entry // actor, action, subject, detail
	matter greffe.Matter
}

// eachTold calls f for the entries of some actions, in their order. It reads a thousand
// at a time.
func (db *DB) eachTold(ctx context.Context, f func(list []told) error, actions ...string) error {
	for last := int64(0); ; {
		a := arguments{last}
		rows, err := db.query(ctx, `SELECT j.seq, j.at, j.actor, j.action, j.subject, j.detail, COALESCE(f.fact, '') FROM journal j LEFT JOIN journal_facts f ON f.seq = j.seq
			WHERE j.seq > $1 AND j.action IN (`+marks(&a, actions)+`) ORDER BY j.seq LIMIT 1000`, a...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var list []told
		for rows.Next() {
			var x told
			var at int64
			var text string
			if err := rows.Scan(&x.seq, &at, &x.entry.Actor, &x.entry.Action, &x.entry.Subject, &x.entry.Detail, &text); err != nil {
				return err
			}
			if err := decode(text, &x.matter); err != nil {
				return fmt.Errorf("fact of entry %d: %w", x.seq, err)
			}
			x.at, last = time.UnixMilli(at).UTC(), x.seq
			list = append(list, x)
		}
		if err := rows.Err(); err != nil || len(list) == 0 {
			return err
		}
		if err := f(list); err != nil {
			return err
		}
	}
}

// RestoreHolds writes back the legal holds that the journal tells of and nobody
// released, and returns how many there are then. Those that the index has stay.
func (db *DB) RestoreHolds(ctx context.Context) (int, error) {
	held := map[string]told{}
	err := db.eachTold(ctx, func(list []told) error {
		for _, x := range list {
			if _, is := held[x.entry.Subject]; x.entry.Action == "released" {
				delete(held, x.entry.Subject)
			} else if !is {
				held[x.entry.Subject] = x
			}
		}
		return nil
	}, "held", "released")
	var rows [][]any
	for id, x := range held {
		rows = append(rows, []any{id, millis(x.at), x.entry.Actor, x.matter.Reason})
	}
	if err == nil {
		err = db.load(ctx, func(t *tx) error {
			return t.insert(`INSERT INTO holds (message_id, at, actor, reason) VALUES `, rows, ` ON CONFLICT (message_id) DO NOTHING`)
		})
	}
	if err != nil {
		return 0, fmt.Errorf("restore holds: %w", err)
	}
	return len(rows), nil
}

// RestoreEliminations writes back the eliminations that the journal tells of, unless the
// index has them, and returns how many it tells of. read returns the order of one, with who confirmed it, and its certificate, from the archive;
// empty and zero when there is none.
func (db *DB) RestoreEliminations(ctx context.Context, read func(id string) (order, by string, certificate greffe.Object, err error)) (int, error) {
	var list []*Elimination
	byID := map[string]*Elimination{}
	err := db.eachTold(ctx, func(all []told) error {
		for _, x := range all {
			e := byID[x.entry.Subject]
			noun, step, _ := strings.Cut(x.entry.Action, "-")
			switch {
			case step == "asked":
				kind := ""
				if noun == KindErasure {
					kind = KindErasure
				}
				e = &Elimination{Kind: kind, ID: x.entry.Subject, AskedAt: x.at, AskedBy: x.entry.Actor, Messages: x.matter.Messages}
				byID[e.ID] = e
				list = append(list, e)
			case e == nil:
			case step == "confirmed":
				e.ConfirmedAt = x.at
			default:
				e.DoneAt = x.at
			}
		}
		return nil
	}, "elimination-asked", "elimination-confirmed", "elimination-certified", "erasure-asked", "erasure-confirmed", "erasure-certified")
	var rows [][]any
	for _, e := range list {
		if err != nil {
			break
		}
		var row []any
		if row, err = e.restored(read); err == nil {
			rows = append(rows, row)
		}
	}
	if err == nil {
		err = db.load(ctx, func(t *tx) error { return t.insert(insertEliminations, rows, ` ON CONFLICT (id) DO NOTHING`) })
	}
	if err != nil {
		return 0, fmt.Errorf("restore eliminations: %w", err)
	}
	return len(rows), nil
}

// restored is the row of an elimination. One whose order is not in the archive has
// removed nothing: it has to be confirmed again.
func (e *Elimination) restored(read func(string) (string, string, greffe.Object, error)) ([]any, error) {
	var err error
	if e.Order, e.ConfirmedBy, e.Certificate, err = read(e.ID); err != nil {
		return nil, fmt.Errorf("elimination %s: %w", e.ID, err)
	}
	if e.Order == "" {
		e.ConfirmedAt = time.Time{}
	}
	certificate := ""
	if e.Certificate.IsZero() {
		e.DoneAt = time.Time{}
	} else if !e.DoneAt.IsZero() {
		if certificate, err = encode(e.Certificate); err != nil {
			return nil, err
		}
	}
	messages, err := encode(e.Messages)
	return []any{e.ID, millis(e.AskedAt), clean(e.AskedBy, 256), millis(e.ConfirmedAt), clean(e.ConfirmedBy, 256), millis(e.DoneAt), messages, e.Order, certificate, e.Kind}, err
}

// RestoreStatements writes back what was stated of each mailbox and day, after the
// messages: the statements, what they say is missing, when folders were compared, and
// that messages were seen which were eliminated since. It returns how many statements
// there are.
func (db *DB) RestoreStatements(ctx context.Context) (int, error) {
	err := db.eachTold(ctx, func(list []told) error {
		return db.load(ctx, func(t *tx) error {
			for _, x := range list {
				if x.matter.Statement == nil {
					continue
				}
				if err := t.stated(x.matter.Statement, x.matter.Compared); err != nil {
					return fmt.Errorf("entry %d: %w", x.seq, err)
				}
			}
			return nil
		})
	}, "stated")
	if err == nil {
		err = db.restoreMissing(ctx)
	}
	n := 0
	if err == nil {
		err = db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM statements`).Scan(&n)
	}
	if err != nil {
		return 0, fmt.Errorf("restore statements: %w", err)
	}
	return n, nil
}

func (t *tx) stated(s *greffe.Statement, compared []greffe.Compare) error {
	text, err := encode(s)
	if err != nil {
		return err
	}
	mailbox, complete := clean(s.Mailbox, 320), 0
	if s.Complete {
		complete = 1
	}
	if _, err := t.exec(insertStatements+`($1,$2,$3,$4,$5,$6)`+newerStatements, mailbox, s.Day, millis(s.At), complete, s.Missing, text); err != nil {
		return err
	}
	for _, c := range compared {
		if _, err := t.exec(`INSERT INTO compared (mailbox, folder, first_at, last_at) VALUES ($1,$2,$3,$4)
			ON CONFLICT (mailbox, folder) DO UPDATE SET last_at = excluded.last_at WHERE compared.last_at < excluded.last_at`,
			mailbox, clean(c.Folder, 1000), millis(c.First), millis(c.Last)); err != nil {
			return err
		}
	}
	return nil
}

// restoreMissing writes back what was seen and has no message: what the last statements
// call missing, and what was eliminated or erased.
func (db *DB) restoreMissing(ctx context.Context) error {
	missing, err := db.readStatements(ctx, `WHERE missing > 0`)
	if err != nil {
		return err
	}
	var rows [][]any
	for _, s := range missing {
		for _, m := range s.MissingUIDs {
			day := millis(m.InternalDate)
			if day == 0 { // it was counted on the day that it was seen: noon is of that day in every hospital
				noon, err := time.Parse(time.DateOnly, s.Day)
				if err != nil {
					return err
				}
				day = noon.Add(12 * time.Hour).UnixMilli()
			}
			rows = append(rows, []any{clean(s.Mailbox, 320), clean(m.Folder, 1000), int64(m.UIDValidity), int64(m.UID), millis(m.InternalDate), day, 1, ""})
		}
	}
	err = db.load(ctx, func(t *tx) error {
		return t.insert(insertListed, rows, ` ON CONFLICT (mailbox, folder, uidvalidity, uid, internal_date) DO NOTHING`)
	})
	if err != nil {
		return err
	}
	return db.eachTold(ctx, func(list []told) error {
		return db.load(ctx, func(t *tx) error {
			for _, x := range list {
				first, err := t.receivedFact(greffe.MessageID(x.entry.Subject))
				if err != nil {
					return err
				}
				if first != nil {
					row, _ := listedRowOf(first.Origin, first.ID, first.At)
					if _, err := t.exec(insertListed+values(1, len(row))+takenListed, row...); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}, "eliminated", "erased")
}

// receivedFact returns what the journal says of the arrival of a message; nil when it
// says nothing.
func (t *tx) receivedFact(id greffe.MessageID) (*greffe.Received, error) {
	rows, err := t.QueryContext(t.ctx, `SELECT f.fact FROM journal j CROSS JOIN journal_facts f
		WHERE f.seq = j.seq AND j.subject = $1 AND j.action = 'received' ORDER BY j.seq LIMIT 1`, string(id))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var m greffe.Matter
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if err := decode(text, &m); err != nil {
			return nil, err
		}
	}
	return m.Received, rows.Err()
}
