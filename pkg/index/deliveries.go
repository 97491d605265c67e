package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Delivery is what became of a document at one DI, and what a machine has to do there.
type Delivery struct {
	Document greffe.DocumentID
	DI       string         // empty: about the document itself
	State    greffe.State   // StateArchived: not tried yet
	Outcome  greffe.Outcome // zero: none yet
	Due      time.Time      // when a machine goes on; zero: never
	Tries    int            // how often it was put off since its last outcome
	Attempt  string         // what asked for a repetition: the id of a decision; empty: nothing did
}

const deliveryColumns = `v.document_id, v.di, v.state, v.due_at, v.tries, v.attempt, v.outcome_json`

func (db *DB) deliveries(ctx context.Context, query string, args ...any) ([]Delivery, error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Delivery
	for rows.Next() {
		var d Delivery
		var due int64
		var outcome string
		if err := rows.Scan(&d.Document, &d.DI, &d.State, &due, &d.Tries, &d.Attempt, &outcome); err != nil {
			return nil, err
		}
		if err := decode(outcome, &d.Outcome); err != nil {
			return nil, fmt.Errorf("outcome of %s: %w", d.Document, err)
		}
		d.Due = moment(due)
		list = append(list, d)
	}
	return list, rows.Err()
}

// Deliveries returns the deliveries of documents (at most 2,000), in the order of their
// ids and DIs.
func (db *DB) Deliveries(ctx context.Context, ids ...greffe.DocumentID) ([]Delivery, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var a arguments
	list, err := db.deliveries(ctx, `SELECT `+deliveryColumns+` FROM deliveries v WHERE v.document_id IN (`+marks(&a, ids)+`) ORDER BY v.document_id, v.di`, a...)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return list, nil
}

// Due returns what a machine has to do at a DI by now, the longest due first, at most
// limit; of what was never tried only, when untried is set.
func (db *DB) Due(ctx context.Context, di string, now time.Time, limit int, untried bool) ([]Delivery, error) {
	and := ``
	if untried {
		and = ` AND v.state = 'archivé'`
	}
	list, err := db.deliveries(ctx, `SELECT `+deliveryColumns+` FROM deliveries v
		WHERE v.di = $1 AND v.due_at > 0 AND v.due_at <= $2`+and+` ORDER BY v.due_at, v.document_id LIMIT $3`, di, millis(now), limit)
	if err != nil {
		return nil, fmt.Errorf("read what is due at %s: %w", di, err)
	}
	return list, nil
}

// Route says that a document goes to these DIs, and that a machine works on it there at
// due: for each that it is not on its way to. attempt names what asks for it again, empty
// when nothing does. identity, when not empty, is claimed in the same breath as Claim does:
// nothing is routed when another document holds it, whose id is returned then.
//
// A document for several DIs has its state from all of them at once, so the journal says
// where it goes; one for a single DI keeps its state until the first outcome.
func (db *DB) Route(ctx context.Context, id greffe.DocumentID, identity string, dis []string, due time.Time, attempt string) (holder greffe.DocumentID, err error) {
	err = db.update(ctx, func(t *tx) error {
		holder = id
		if identity != "" {
			if holder, err = t.claim(identity, id); err != nil || holder != id {
				return err
			}
		}
		for _, di := range dis {
			if len(dis) > 1 {
				o := greffe.Outcome{DI: di, State: greffe.StateArchived, Code: "routed", Text: "À transmettre à ce DI.", At: t.now()}
				if _, err := t.saveOutcome(id, o, "", true); err != nil {
					return err
				}
			}
			err := t.later(insertDeliveries+`($1,$2,$3,$4,$5,0,$6,'')
				ON CONFLICT (document_id, di) DO UPDATE SET due_at = excluded.due_at, tries = 0,
					attempt = CASE WHEN excluded.attempt = '' THEN deliveries.attempt ELSE excluded.attempt END`,
				string(id), di, string(greffe.StateArchived), millis(t.now()), millis(due), clean(attempt, 200))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("route document %s: %w", id, err)
	}
	return holder, nil
}

// Postpone says when a machine goes on with a delivery, without an outcome. tried counts
// one more time that it was put off. It is not in the journal: an index that is rebuilt
// has everything due at once.
func (db *DB) Postpone(ctx context.Context, id greffe.DocumentID, di string, due time.Time, tried bool) error {
	more := 0
	if tried {
		more = 1
	}
	err := db.update(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE deliveries SET due_at=CAST($3 AS BIGINT), tries=tries+$4, attempt=CASE WHEN CAST($3 AS BIGINT)=0 THEN '' ELSE attempt END WHERE document_id=$1 AND di=$2`, string(id), di, millis(due), more)
		return err
	})
	if err != nil {
		return fmt.Errorf("put document %s off: %w", id, err)
	}
	return nil
}

// Hasten has everything that waits at a DI due at now, whatever its schedule.
func (db *DB) Hasten(ctx context.Context, di string, now time.Time) error {
	err := db.update(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE deliveries SET due_at=$2 WHERE di=$1 AND due_at>$2 AND state='en attente du DI'`, di, millis(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("hasten %s: %w", di, err)
	}
	return nil
}

// Told says that these outcomes were published: a machine has nothing to do about them
// any more, unless something was asked since. At most 200.
func (db *DB) Told(ctx context.Context, list []Delivery) error {
	err := db.update(ctx, func(t *tx) error {
		for _, d := range list {
			if _, err := t.exec(`UPDATE deliveries SET due_at=0 WHERE document_id=$1 AND di=$2 AND at=$3 AND state=$4 AND attempt=''`,
				string(d.Document), d.DI, millis(d.Outcome.At), string(d.Outcome.State)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what was told: %w", err)
	}
	return nil
}

// standing returns the deliveries of a document.
func (t *tx) standing(id greffe.DocumentID) (greffe.Deliveries, error) {
	rows, err := t.QueryContext(t.ctx, `SELECT outcome_json FROM deliveries WHERE document_id = $1 AND outcome_json <> '' ORDER BY di`, string(id))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list greffe.Deliveries
	for rows.Next() {
		var text string
		var o greffe.Outcome
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if err := decode(text, &o); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

// retellAfter is when an outcome that was recorded is published again, unless Told said
// that it was.
const retellAfter = 30 * time.Second

// saveDelivery writes the delivery of an outcome that changed the deliveries of a document
// from before to after. told: nobody has to publish it.
func (t *tx) saveDelivery(id greffe.DocumentID, before, after greffe.Deliveries, o greffe.Outcome, outcome string, told bool) error {
	for _, x := range before {
		if _, stays := after.At(x.DI); !stays {
			if _, err := t.exec(`DELETE FROM deliveries WHERE document_id=$1 AND di=$2`, string(id), x.DI); err != nil {
				return err
			}
		}
	}
	if o.DI == "" { // those that were on their way and had no outcome
		if _, err := t.exec(`DELETE FROM deliveries WHERE document_id=$1 AND outcome_json=''`, string(id)); err != nil {
			return err
		}
	}
	due := dueAfter(o)
	if due.IsZero() && !told && o.DI != "" {
		due = o.At.Add(retellAfter)
	}
	keep := `''`
	if o.State == greffe.StateWaiting {
		keep = `deliveries.attempt`
	}
	return t.later(insertDeliveries+`($1,$2,$3,$4,$5,0,'',$6)
		ON CONFLICT (document_id, di) DO UPDATE SET state=excluded.state, at=excluded.at, due_at=excluded.due_at, tries=0, attempt=`+keep+`,
			outcome_json=excluded.outcome_json`,
		string(id), o.DI, string(o.State), millis(o.At), millis(due), outcome)
}

// dueAfter is when a machine goes on after an outcome; zero: never.
func dueAfter(o greffe.Outcome) time.Time {
	switch {
	case o.DI == "":
		return time.Time{}
	case !o.Next.IsZero():
		return o.Next
	case o.State == greffe.StateWaiting || o.State == greffe.StateArchived:
		return o.At
	}
	return time.Time{}
}

const insertDeliveries = `INSERT INTO deliveries (document_id, di, state, at, due_at, tries, attempt, outcome_json) VALUES `

// claim is Claim within a transaction.
func (t *tx) claim(identity string, id greffe.DocumentID) (holder greffe.DocumentID, err error) {
	n, err := t.exec(`INSERT INTO claims (identity, document_id) VALUES ($1,$2) ON CONFLICT (identity) DO NOTHING`, identity, string(id))
	if err != nil {
		return "", err
	}
	if n == 1 {
		t.note("integrator", "claimed", string(id), "ok", identity)
		return id, nil
	}
	err = t.row([]any{&holder}, `SELECT document_id FROM claims WHERE identity = $1`, identity)
	return holder, err
}

// Remembered returns the newest decision about the patient that a person asked to be
// remembered for the lineage; ErrNotFound when there is none.
func (db *DB) Remembered(ctx context.Context, lineage string) (greffe.Decided, error) {
	var text string
	var d greffe.Decided
	err := db.read.QueryRowContext(ctx, `SELECT decision_json FROM decisions WHERE remembered = $1 ORDER BY at DESC LIMIT 1`, lineage).Scan(&text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return d, fmt.Errorf("read remembered decision: %w", ErrNotFound)
	case err == nil:
		err = decode(text, &d)
	}
	if err != nil {
		return d, fmt.Errorf("read remembered decision: %w", err)
	}
	return d, nil
}

// Unapplied returns the decisions of people made before a moment, oldest first, that
// nothing followed: no outcome of their document is younger, in the order of the journal,
// and no delivery is under way because of one. So it is when the event was lost with the
// bus, or the delivery with the index. At most 500.
func (db *DB) Unapplied(ctx context.Context, before time.Time) ([]greffe.Decided, error) {
	rows, err := db.query(ctx, `SELECT c.decision_json FROM decisions c JOIN documents d ON d.id = c.document_id
		WHERE c.at < $1 AND c.at > d.decided_at
			AND NOT EXISTS (SELECT 1 FROM deliveries v WHERE v.document_id = c.document_id AND v.attempt <> '')
			AND NOT EXISTS (SELECT 1 FROM journal j JOIN journal e ON e.subject = j.subject AND e.seq > j.seq AND e.action = 'delivered'
				WHERE j.subject = c.document_id AND j.action = 'decided' AND SUBSTR(j.detail, 1, LENGTH(c.id)) = c.id)
		ORDER BY c.at, c.id LIMIT 500`, millis(before))
	if err != nil {
		return nil, fmt.Errorf("read decisions to apply: %w", err)
	}
	defer rows.Close()
	var list []greffe.Decided
	for rows.Next() {
		var text string
		var d greffe.Decided
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("read decisions to apply: %w", err)
		}
		if err := decode(text, &d); err != nil {
			return nil, fmt.Errorf("read decisions to apply: %w", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read decisions to apply: %w", err)
	}
	return list, nil
}

// outcomeDetail is what the journal says of an outcome in clear.
func outcomeDetail(o greffe.Outcome) string {
	return strings.Join(strings.Fields(o.DI+" "+o.Action+" "+clean(o.Code, 60)), " ")
}

// EachReceived calls f for every document received from from until to (excluded), in the
// order in which they came. An error of f ends the walk and is returned.
func (db *DB) EachReceived(ctx context.Context, from, to time.Time, f func(Document) error) error {
	at, last := millis(from), ""
	for {
		list, err := db.documents(ctx, `SELECT `+documentColumns+fromDocuments+`WHERE d.received_at >= $1 AND d.received_at < $2
			AND (d.received_at > $1 OR d.id > $3) ORDER BY d.received_at, d.id LIMIT 200`, at, millis(to), last)
		if err != nil {
			return fmt.Errorf("read documents: %w", err)
		}
		if len(list) == 0 {
			return nil
		}
		for _, d := range list {
			if err := f(d); err != nil {
				return err
			}
			at, last = millis(d.ReceivedAt), string(d.ID)
		}
	}
}

// SaveReplayed notes in the journal what a test DI said about a document, and nothing
// else anywhere.
func (db *DB) SaveReplayed(ctx context.Context, id greffe.DocumentID, by string, o greffe.Outcome) error {
	err := db.update(ctx, func(t *tx) error {
		t.note(by, "replayed", string(id), string(o.State), outcomeDetail(o))
		return nil
	})
	if err != nil {
		return fmt.Errorf("save replay of %s: %w", id, err)
	}
	return nil
}
