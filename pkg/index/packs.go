package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// PackState is where a proof pack stands.
type PackState string

// States of a pack, in the order in which it goes through them; those from PackFailed on
// are ends.
const (
	PackWaiting   PackState = "waiting"  // for a second auditor
	PackQueued    PackState = "queued"   // to be built
	PackBuilding  PackState = "building" // by the storage service
	PackReady     PackState = "ready"    // to be downloaded, until Expires
	PackFailed    PackState = "failed"
	PackRefused   PackState = "refused" // by the second auditor
	PackCancelled PackState = "cancelled"
	PackExpired   PackState = "expired"
)

// Ended reports whether nothing can become of a pack any more.
func (s PackState) Ended() bool {
	return s == PackFailed || s == PackRefused || s == PackCancelled || s == PackExpired
}

// Pack is a proof pack that an auditor asked for.
type Pack struct {
	ID        string // random; its name in the journal and on the bus
	Requester string // login
	From      string // network address of the request
	Reason    string // as the requester wrote it; nowhere else
	Kind      string // what was chosen by: document, message or selection
	Messages  int
	Documents int
	State     PackState
	Asked     time.Time
	DecidedBy string // login of the second auditor; "" when none was asked, or until then
	Decided   time.Time
	Noted     bool   // the journal says of each document that it is exported
	Tries     int    // to build it
	Done      int    // messages that are in it, while it is built
	Problem   string // French: why it failed, or why building it takes longer
	Verdict   string // of the checks that are in it: OK, KO or warning, as evidence.Status
	Size      int64  // bytes
	SHA256    greffe.Digest
	CoverKey  string    // what uncovers its bytes; "" once it ended
	Stored    bool      // its bytes may be on the bus
	Built     time.Time // zero until it is ready
	Expires   time.Time // zero until it is ready
	Taken     time.Time // first download; zero: none
	Ended     time.Time
}

// PackItem is a message of a pack, or one of its documents.
type PackItem struct {
	Message  greffe.MessageID
	Document greffe.DocumentID // "": the whole message
}

const packColumns = `id, requester, asked_from, reason, kind, messages, documents, state, asked_at, decided_by, decided_at, noted, tries, done,
	problem, verdict, size, sha256, cover_key, stored, built_at, expires_at, taken_at, ended_at`

// MaxPacks is how many packs of one person may wait, be built or lie ready at once.
const MaxPacks = 10

// AskPack writes a request with what it is about and the entries that say so. ErrPending
// when the requester has MaxPacks that did not end.
func (db *DB) AskPack(ctx context.Context, p Pack, items []PackItem, entries ...Entry) error {
	err := db.update(ctx, func(t *tx) error {
		var n int
		if err := t.row([]any{&n}, `SELECT COUNT(*) FROM packs WHERE requester = $1 AND ended_at = 0`, p.Requester); err != nil {
			return err
		}
		if n >= MaxPacks {
			return ErrPending
		}
		p.Asked, p.Reason = t.now(), clean(p.Reason, 1000)
		if _, err := t.exec(`INSERT INTO packs (`+packColumns+`) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24)`, p.row()...); err != nil {
			return err
		}
		var rows [][]any
		for _, i := range items {
			rows = append(rows, []any{p.ID, string(i.Message), string(i.Document)})
		}
		t.entries = append(t.entries, entries...)
		return t.insert(`INSERT INTO pack_items (pack_id, message_id, document_id) VALUES `, rows, ` ON CONFLICT (pack_id, message_id, document_id) DO NOTHING`)
	})
	if err != nil {
		return fmt.Errorf("ask pack: %w", err)
	}
	return nil
}

// ErrPending is returned for a request of who has too many that did not end.
var ErrPending = errors.New("index: too many requests of this person wait")

func (p *Pack) row() []any {
	return []any{p.ID, p.Requester, clean(p.From, 100), p.Reason, p.Kind, p.Messages, p.Documents, string(p.State), millis(p.Asked), p.DecidedBy, millis(p.Decided), flag(p.Noted), p.Tries, p.Done,
		clean(p.Problem, 2000), p.Verdict, p.Size, string(p.SHA256), p.CoverKey, flag(p.Stored), millis(p.Built), millis(p.Expires), millis(p.Taken), millis(p.Ended)}
}

// ChangePack lets change alter a pack and writes the result with the entries that it
// returns, all in one transaction: nobody else alters it meanwhile. An error of change is
// given back and nothing is written. With the end of a pack goes what uncovers its bytes,
// and the list of what it is about. ErrNotFound when there is no such pack.
func (db *DB) ChangePack(ctx context.Context, id string, change func(*Pack) ([]Entry, error)) error {
	err := db.update(ctx, func(t *tx) error {
		p, err := scanPack(func(dest ...any) error {
			return t.row(dest, `SELECT `+packColumns+` FROM packs WHERE id = $1`, id)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		asked := p
		entries, err := change(&p)
		if err != nil {
			return err
		}
		p.ID, p.Requester, p.From, p.Reason, p.Kind, p.Asked = asked.ID, asked.Requester, asked.From, asked.Reason, asked.Kind, asked.Asked
		t.entries = append(t.entries, entries...)
		if p.State.Ended() {
			p.CoverKey = ""
			if p.Ended.IsZero() {
				p.Ended = t.now()
			}
			if _, err := t.exec(`DELETE FROM pack_items WHERE pack_id = $1`, id); err != nil {
				return err
			}
		}
		_, err = t.exec(`UPDATE packs SET messages=$2, documents=$3, state=$4, decided_by=$5, decided_at=$6, noted=$7, tries=$8, done=$9, problem=$10, verdict=$11,
			size=$12, sha256=$13, cover_key=$14, stored=$15, built_at=$16, expires_at=$17, taken_at=$18, ended_at=$19 WHERE id = $1`,
			id, p.Messages, p.Documents, string(p.State), p.DecidedBy, millis(p.Decided), flag(p.Noted), p.Tries, p.Done, clean(p.Problem, 2000), p.Verdict,
			p.Size, string(p.SHA256), p.CoverKey, flag(p.Stored), millis(p.Built), millis(p.Expires), millis(p.Taken), millis(p.Ended))
		return err
	})
	if err != nil {
		return fmt.Errorf("change pack: %w", err)
	}
	return nil
}

// Pack returns one pack; ErrNotFound when there is none.
func (db *DB) Pack(ctx context.Context, id string) (Pack, error) {
	list, err := db.packs(ctx, `WHERE id = $1`, clean(id, 100))
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("read packs: %w", ErrNotFound)
	}
	if err != nil {
		return Pack{}, err
	}
	return list[0], nil
}

// Packs returns the newest n packs of a person, newest first.
func (db *DB) Packs(ctx context.Context, requester string, n int) ([]Pack, error) {
	return db.packs(ctx, `WHERE requester = $1 ORDER BY asked_at DESC, id DESC LIMIT $2`, requester, n)
}

// PacksIn returns the oldest n packs in a state, oldest first.
func (db *DB) PacksIn(ctx context.Context, s PackState, n int) ([]Pack, error) {
	return db.packs(ctx, `WHERE state = $1 ORDER BY asked_at, id LIMIT $2`, string(s), n)
}

// PacksDecided returns the newest n packs that a second auditor granted or refused.
func (db *DB) PacksDecided(ctx context.Context, n int) ([]Pack, error) {
	return db.packs(ctx, `WHERE decided_by <> '' ORDER BY asked_at DESC, id DESC LIMIT $1`, n)
}

// PacksToRemove returns at most n packs that ended and whose bytes may still be on the bus.
func (db *DB) PacksToRemove(ctx context.Context, n int) ([]Pack, error) {
	return db.packs(ctx, `WHERE stored = 1 AND ended_at > 0 ORDER BY ended_at LIMIT $1`, n)
}

// ForgetPacks removes the rows of packs that ended before a time and have no bytes left.
func (db *DB) ForgetPacks(ctx context.Context, before time.Time) error {
	err := db.update(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM packs WHERE stored = 0 AND ended_at > 0 AND ended_at < $1`, millis(before))
		return err
	})
	if err != nil {
		return fmt.Errorf("forget packs: %w", err)
	}
	return nil
}

// PackItems returns what a pack is about, in the order of the ids.
func (db *DB) PackItems(ctx context.Context, id string) ([]PackItem, error) {
	rows, err := db.query(ctx, `SELECT message_id, document_id FROM pack_items WHERE pack_id = $1 ORDER BY message_id, document_id`, clean(id, 100))
	if err != nil {
		return nil, fmt.Errorf("read pack: %w", err)
	}
	defer rows.Close()
	var list []PackItem
	for rows.Next() {
		var i PackItem
		if err := rows.Scan(&i.Message, &i.Document); err != nil {
			return nil, fmt.Errorf("read pack: %w", err)
		}
		list = append(list, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read pack: %w", err)
	}
	return list, nil
}

func (db *DB) packs(ctx context.Context, where string, args ...any) ([]Pack, error) {
	rows, err := db.query(ctx, `SELECT `+packColumns+` FROM packs `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read packs: %w", err)
	}
	defer rows.Close()
	var list []Pack
	for rows.Next() {
		p, err := scanPack(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read packs: %w", err)
		}
		list = append(list, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read packs: %w", err)
	}
	return list, nil
}

func scanPack(scan func(dest ...any) error) (p Pack, err error) {
	var asked, decided, built, expires, taken, ended int64
	var noted, stored int
	err = scan(&p.ID, &p.Requester, &p.From, &p.Reason, &p.Kind, &p.Messages, &p.Documents, &p.State, &asked, &p.DecidedBy, &decided, &noted, &p.Tries, &p.Done,
		&p.Problem, &p.Verdict, &p.Size, &p.SHA256, &p.CoverKey, &stored, &built, &expires, &taken, &ended)
	p.Asked, p.Decided, p.Built, p.Expires, p.Taken, p.Ended = moment(asked), moment(decided), moment(built), moment(expires), moment(taken), moment(ended)
	p.Noted, p.Stored = noted != 0, stored != 0
	return p, err
}
