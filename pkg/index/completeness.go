package index

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Watched is a mailbox and the folders that are taken from.
type Watched struct {
	Address string
	Folders []string
}

// maxListed bounds the messages of one mailbox and day; a server that lists more on
// one day is not believed.
const maxListed = 1_000_000

const msPerHour = int64(time.Hour / time.Millisecond)

// list notes that a message was taken: then it was seen, too.
func (t *tx) list(o greffe.Origin, id greffe.MessageID, at time.Time) error {
	row, hour := listedRowOf(o, id, at)
	if _, err := t.exec(insertListed+values(1, len(row))+takenListed, row...); err != nil {
		return err
	}
	return t.unstated(row[0].(string), map[int64]bool{hour: true})
}

const insertListed = `INSERT INTO listed (mailbox, folder, uidvalidity, uid, internal_date, day_at, by_server, message_id) VALUES `

// takenListed ends insertListed for messages that were taken.
const takenListed = ` ON CONFLICT (mailbox, folder, uidvalidity, uid, internal_date) DO UPDATE
	SET message_id = excluded.message_id WHERE listed.message_id = ''`

// listedRowOf returns the row of a message that was taken, and the hour that it is of.
func listedRowOf(o greffe.Origin, id greffe.MessageID, at time.Time) (row []any, hour int64) {
	day := millis(o.InternalDate)
	if day == 0 {
		day = millis(at)
	}
	return []any{clean(o.Mailbox, 320), clean(o.Folder, 1000), int64(o.UIDValidity), int64(o.UID), millis(o.InternalDate), day, 0, string(id)}, day / msPerHour
}

// unstated notes that the days of these hours must be stated again.
func (t *tx) unstated(mailbox string, hours map[int64]bool) error {
	var rows [][]any
	now := time.Now().UnixMilli()
	for h := range hours {
		rows = append(rows, []any{mailbox, h, now})
	}
	return t.insert(insertUnstated, rows, newerUnstated)
}

const (
	insertUnstated = `INSERT INTO unstated (mailbox, hour, changed_at) VALUES `
	newerUnstated  = ` ON CONFLICT (mailbox, hour) DO UPDATE SET changed_at = excluded.changed_at`
)

// SaveListed records what a server listed in a folder. Repeating it changes nothing.
func (db *DB) SaveListed(ctx context.Context, l greffe.Listed) error {
	mailbox, folder := clean(l.Mailbox, 320), clean(l.Folder, 1000)
	err := db.update(ctx, func(t *tx) error {
		var rows [][]any
		hours := map[int64]bool{}
		for _, m := range l.Messages {
			day := millis(m.InternalDate)
			if day == 0 {
				day = millis(l.At)
			}
			hours[day/msPerHour] = true
			rows = append(rows, []any{mailbox, folder, int64(l.UIDValidity), int64(m.UID), millis(m.InternalDate), day, 1, ""})
		}
		err := t.insert(insertListed, rows,
			` ON CONFLICT (mailbox, folder, uidvalidity, uid, internal_date) DO UPDATE SET by_server = 1`)
		if err != nil {
			return err
		}
		if err := t.unstated(mailbox, hours); err != nil || !l.Complete {
			return err
		}
		_, err = t.exec(`INSERT INTO compared (mailbox, folder, first_at, last_at) VALUES ($1,$2,$3,$3)
			ON CONFLICT (mailbox, folder) DO UPDATE SET last_at = excluded.last_at WHERE compared.last_at < excluded.last_at`,
			mailbox, folder, millis(l.At))
		return err
	})
	if err != nil {
		return fmt.Errorf("save what a server listed: %w", err)
	}
	return nil
}

// Completeness says whether everything that was seen in a mailbox on the day that
// begins at day (midnight in the time zone of the hospital) is in the archive. For a
// day that has not ended it says how things stand, and is not complete.
func (db *DB) Completeness(ctx context.Context, w Watched, day time.Time) (greffe.Statement, error) {
	s, err := db.completeness(ctx, w, day)
	if err != nil {
		return s, fmt.Errorf("completeness of a day: %w", err)
	}
	return s, nil
}

// listedRow is what was seen of one message and what became of it.
type listedRow struct {
	folder        string
	validity, uid uint32
	date          int64 // 0: not known
	byServer      bool
	id            greffe.MessageID
	state         greffe.State
	kind          greffe.MessageKind
	elsewhere     bool
}

func (db *DB) completeness(ctx context.Context, w Watched, day time.Time) (greffe.Statement, error) {
	end := day.AddDate(0, 0, 1)
	s := greffe.Statement{Mailbox: w.Address, Day: day.Format(time.DateOnly), At: time.Now().UTC().Truncate(time.Millisecond)}
	if err := db.compared(ctx, w, end, &s); err != nil {
		return s, err
	}
	rows, err := db.listedOn(ctx, w.Address, day, end)
	if err != nil {
		return s, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "greffe-statement/1 %s %s\n", s.Day, map[bool]string{true: "complete", false: "incomplete"}[s.Complete])
	for _, r := range rows {
		s.Seen++
		if r.byServer {
			s.Listed++
		}
		name := string(r.id)
		switch {
		case r.id == "":
			name = "-"
			s.Missing++
			if len(s.MissingUIDs) < greffe.MaxMissing {
				s.MissingUIDs = append(s.MissingUIDs, greffe.MissingUID{Folder: r.folder, UIDValidity: r.validity, UID: r.uid, InternalDate: moment(r.date)})
			}
		case r.kind == greffe.KindUnread:
			s.Unread++
		default:
			s.Archived++
		}
		switch r.state {
		case "":
			if r.id != "" { // eliminated after its retention, or erased
				s.Settled++
			}
		case greffe.StateDelivered:
			s.Delivered++
		case greffe.StateTodo, greffe.StateRefused, greffe.StateIncident:
			s.Held++
		case greffe.StateDismissed, greffe.StateDuplicate:
			s.Settled++
		default:
			s.Pending++
		}
		fmt.Fprintf(h, "%s %d %d %s\n", greffe.DigestOf([]byte(r.folder)), r.validity, r.uid, name)
	}
	s.Digest = greffe.DigestFrom(h.Sum(nil))
	return s, nil
}

// compared fills in whether each folder was compared with its server after end.
func (db *DB) compared(ctx context.Context, w Watched, end time.Time, s *greffe.Statement) error {
	rows, err := db.query(ctx, `SELECT folder, last_at FROM compared WHERE mailbox = $1`, clean(w.Address, 320))
	if err != nil {
		return err
	}
	defer rows.Close()
	last := map[string]int64{}
	for rows.Next() {
		var folder string
		var at int64
		if err := rows.Scan(&folder, &at); err != nil {
			return err
		}
		last[folder] = at
	}
	if err := rows.Err(); err != nil {
		return err
	}
	s.Complete = len(w.Folders) > 0
	earliest := int64(1<<63 - 1)
	for _, f := range w.Folders {
		at := last[clean(f, 1000)]
		if earliest = min(earliest, at); at < end.UnixMilli() {
			s.Complete = false
			s.Late = append(s.Late, f)
		}
	}
	if len(w.Folders) > 0 {
		s.Compared = moment(earliest)
	}
	return nil
}

// listedOn reads what was seen on a day, by folder, UIDVALIDITY and UID.
func (db *DB) listedOn(ctx context.Context, mailbox string, from, to time.Time) ([]listedRow, error) {
	rows, err := db.query(ctx, `SELECT l.folder, l.uidvalidity, l.uid, l.internal_date, l.by_server, l.message_id, COALESCE(m.state, ''), COALESCE(m.kind, '')
		FROM listed l LEFT JOIN messages m ON m.id = l.message_id
		WHERE l.mailbox = $1 AND l.day_at >= $2 AND l.day_at < $3 LIMIT $4`,
		clean(mailbox, 320), from.UnixMilli(), to.UnixMilli(), maxListed+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []listedRow
	for rows.Next() {
		var r listedRow
		var byServer int64
		if err := rows.Scan(&r.folder, &r.validity, &r.uid, &r.date, &byServer, &r.id, &r.state, &r.kind); err != nil {
			return nil, err
		}
		r.byServer = byServer != 0
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(list) > maxListed {
		return nil, fmt.Errorf("more than %d messages on one day", maxListed)
	}
	for i := range list {
		if r := &list[i]; r.id == "" {
			if r.elsewhere, err = db.listedElsewhere(ctx, mailbox, *r); err != nil {
				return nil, err
			}
		}
	}
	list = slices.DeleteFunc(list, func(r listedRow) bool { return r.elsewhere })
	slices.SortFunc(list, func(a, b listedRow) int {
		if c := strings.Compare(a.folder, b.folder); c != 0 {
			return c
		}
		if c := int64(a.validity) - int64(b.validity); c != 0 {
			return int(min(max(c, -1), 1))
		}
		return int(min(max(int64(a.uid)-int64(b.uid), -1), 1))
	})
	return list, nil
}

// listedElsewhere reports whether a message that nothing stands for was taken under the
// same UID when one of the two looks could not tell its date: it is counted there.
func (db *DB) listedElsewhere(ctx context.Context, mailbox string, r listedRow) (bool, error) {
	query := `SELECT COUNT(*) FROM listed WHERE mailbox = $1 AND folder = $2 AND uidvalidity = $3 AND uid = $4 AND message_id <> ''`
	if r.date != 0 {
		query += ` AND internal_date = 0`
	}
	var n int
	err := db.read.QueryRowContext(ctx, query, clean(mailbox, 320), r.folder, int64(r.validity), int64(r.uid)).Scan(&n)
	return n > 0, err
}
