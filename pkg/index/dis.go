package index

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// ErrUnknownDI is returned for a DI that was never configured.
var ErrUnknownDI = errors.New("index: unknown DI")

// Gate is what holds the queue of a DI. Zero times: nothing does.
type Gate struct {
	Name       string
	Configured bool // by the integrator that started last
	Test       bool // gets what is replayed by hand, never live documents

	PausedAt time.Time // a person asked for it
	PausedBy string    // login

	StoppedAt       time.Time // the DI found a message wrong in a way that each one would be
	Stopped         greffe.Outcome
	StoppedDocument greffe.DocumentID

	DownAt   time.Time // since when the DI has not answered
	DownText string    // French
}

// Open reports whether documents may be sent as they come.
func (g Gate) Open() bool { return !g.Held() && g.DownAt.IsZero() }

// Held reports whether only a person can have it go on.
func (g Gate) Held() bool { return !g.PausedAt.IsZero() || !g.StoppedAt.IsZero() }

// Queue is a Gate with what stands behind it.
type Queue struct {
	Gate
	Waiting  int               // documents that a machine has to send
	Oldest   time.Time         // when the one that waits longest was received; zero when none waits
	Last     greffe.Outcome    // the last refusal or incident; zero when there was none
	Document greffe.DocumentID // that it is about
	Answered time.Time         // when the DI last said yes or no to a document; zero: it never did
}

// ConfigureDIs notes which DIs there are now. What holds the queue of one stays.
func (db *DB) ConfigureDIs(ctx context.Context, live, test []string) error {
	err := db.update(ctx, func(t *tx) error {
		if _, err := t.exec(`UPDATE dis SET configured=0`); err != nil {
			return err
		}
		for n, name := range append(append([]string{}, live...), test...) {
			flag := 0
			if n >= len(live) {
				flag = 1
			}
			if err := t.insertDI(name, flag); err != nil {
				return err
			}
			if _, err := t.exec(`UPDATE dis SET configured=1, test=$2 WHERE name=$1`, name, flag); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("configure DIs: %w", err)
	}
	return nil
}

func (t *tx) insertDI(name string, test int) error {
	_, err := t.exec(`INSERT INTO dis (name, configured, test, paused_at, paused_by, stopped_at, stopped_json, stopped_document, down_at, down_text)
		VALUES ($1,0,$2,0,'',0,'','',0,'') ON CONFLICT (name) DO NOTHING`, name, test)
	return err
}

// Gates returns what holds the queue of each DI, in the order of their names.
func (db *DB) Gates(ctx context.Context) ([]Gate, error) {
	rows, err := db.query(ctx, `SELECT name, configured, test, paused_at, paused_by, stopped_at, stopped_json, stopped_document, down_at, down_text
		FROM dis ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read DIs: %w", err)
	}
	defer rows.Close()
	var list []Gate
	for rows.Next() {
		var g Gate
		var configured, test, paused, stopped, down int64
		var outcome string
		err := rows.Scan(&g.Name, &configured, &test, &paused, &g.PausedBy, &stopped, &outcome, &g.StoppedDocument, &down, &g.DownText)
		if err == nil {
			err = decode(outcome, &g.Stopped)
		}
		if err != nil {
			return nil, fmt.Errorf("read DIs: %w", err)
		}
		g.Configured, g.Test = configured != 0, test != 0
		g.PausedAt, g.StoppedAt, g.DownAt = moment(paused), moment(stopped), moment(down)
		list = append(list, g)
	}
	return list, rows.Err()
}

// Queues returns the DIs with what stands behind their gates, in the order of their
// names. It counts what waits: some milliseconds for 100,000 documents.
func (db *DB) Queues(ctx context.Context) ([]Queue, error) {
	gates, err := db.Gates(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Queue, len(gates))
	for i, g := range gates {
		q := Queue{Gate: g}
		var oldest int64
		err := db.read.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(MIN(d.received_at), 0) FROM deliveries v JOIN documents d ON d.id = v.document_id
			WHERE v.di = $1 AND v.due_at > 0 AND (v.attempt <> '' OR v.state IN ('archivé', 'en attente du DI'))`, g.Name).Scan(&q.Waiting, &oldest)
		if err != nil {
			return nil, fmt.Errorf("count what waits for %s: %w", g.Name, err)
		}
		q.Oldest = moment(oldest)
		last, err := db.deliveries(ctx, `SELECT `+deliveryColumns+` FROM deliveries v WHERE v.di = $1 AND v.state IN ('refusé par le DI', 'incident')
			ORDER BY v.at DESC LIMIT 1`, g.Name)
		if err != nil {
			return nil, fmt.Errorf("read last refusal of %s: %w", g.Name, err)
		}
		if len(last) > 0 {
			q.Last, q.Document = last[0].Outcome, last[0].Document
		}
		var answered int64
		err = db.read.QueryRowContext(ctx, `SELECT COALESCE(MAX(at), 0) FROM (
			SELECT MAX(at) AS at FROM deliveries WHERE di = $1 AND state = 'intégré'
			UNION ALL SELECT MAX(at) FROM deliveries WHERE di = $1 AND state = 'refusé par le DI') AS a`, g.Name).Scan(&answered)
		if err != nil {
			return nil, fmt.Errorf("read last answer of %s: %w", g.Name, err)
		}
		q.Answered = moment(answered)
		list[i] = q
	}
	return list, nil
}

// PauseDI holds the queue of a DI until ResumeDI, across restarts; false when it was held
// by a person already. ErrUnknownDI when there is none of that name.
func (db *DB) PauseDI(ctx context.Context, name, by, from string) (bool, error) {
	return db.gate(ctx, "di-paused", name, by, from, "", greffe.Matter{}, `UPDATE dis SET paused_at=$2, paused_by=$3 WHERE name=$1 AND paused_at=0`, name, nowMark, clean(by, 200))
}

// ResumeDI has the queue of a DI go on, whatever held it: also one that is down is tried
// at once. false when nothing held it.
func (db *DB) ResumeDI(ctx context.Context, name, by, from string) (bool, error) {
	return db.gate(ctx, "di-resumed", name, by, from, "", greffe.Matter{}, `UPDATE dis SET paused_at=0, paused_by='', stopped_at=0, stopped_json='', stopped_document='', down_at=0, down_text=''
		WHERE name=$1 AND (paused_at>0 OR stopped_at>0 OR down_at>0)`, name)
}

// StopDI holds the queue of a DI because of what it said about a document; false when it
// was stopped already.
func (db *DB) StopDI(ctx context.Context, name string, id greffe.DocumentID, o greffe.Outcome) (bool, error) {
	text, err := encode(o)
	if err != nil {
		return false, fmt.Errorf("stop %s: %w", name, err)
	}
	return db.gate(ctx, "di-stopped", name, "integrator", "", string(id), greffe.Matter{Outcome: &o},
		`UPDATE dis SET stopped_at=$2, stopped_json=$3, stopped_document=$4 WHERE name=$1 AND stopped_at=0`, name, nowMark, text, string(id))
}

// DIDown notes that a DI does not answer; false when that was known. text is French.
func (db *DB) DIDown(ctx context.Context, name, text string) (bool, error) {
	text = clean(text, 500)
	return db.gate(ctx, "di-down", name, "integrator", "", "", greffe.Matter{Reason: text}, `UPDATE dis SET down_at=$2, down_text=$3 WHERE name=$1 AND down_at=0`, name, nowMark, text)
}

// DIUp notes that a DI answers again; false when it was not known to be down.
func (db *DB) DIUp(ctx context.Context, name string) (bool, error) {
	return db.gate(ctx, "di-up", name, "integrator", "", "", greffe.Matter{}, `UPDATE dis SET down_at=0, down_text='' WHERE name=$1 AND down_at>0`, name)
}

// nowMark stands for the time of the transaction among the values of a statement.
var nowMark = new(int)

// gate changes the row of a DI, with its journal entry when it changed.
func (db *DB) gate(ctx context.Context, action, name, by, from, about string, m greffe.Matter, query string, args ...any) (changed bool, err error) {
	err = db.update(ctx, func(t *tx) error {
		var one int
		if err := t.row([]any{&one}, `SELECT COUNT(*) FROM dis WHERE name = $1`, name); err != nil {
			return err
		}
		if one == 0 {
			return ErrUnknownDI
		}
		for i := range args {
			if args[i] == nowMark {
				args[i] = millis(t.now())
			}
		}
		n, err := t.exec(query, args...)
		if err != nil || n == 0 {
			return err
		}
		changed = true
		detail := about
		if m.Outcome != nil {
			detail += " " + clean(m.Outcome.Code, 60)
		}
		if m.Outcome == nil && m.Reason == "" {
			t.note(by, action, name, "ok", "")
		} else if err := t.noteFact(by, action, name, "ok", strings.TrimSpace(detail), m); err != nil {
			return err
		}
		if from != "" {
			t.entries[len(t.entries)-1].From = from
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("%s %s: %w", action, name, err)
	}
	return changed, nil
}

// ToldGates returns what holds the queue of each DI as the journal tells it: of Gate
// what a person, an error or silence did.
func (db *DB) ToldGates(ctx context.Context) (map[string]Gate, error) {
	gates := map[string]Gate{}
	err := db.eachTold(ctx, func(list []told) error {
		for _, x := range list {
			name := x.entry.Subject
			g := gates[name]
			g.Name = name
			switch x.entry.Action {
			case "di-paused":
				g.PausedAt, g.PausedBy = x.at, clean(x.entry.Actor, 200)
			case "di-resumed":
				g = Gate{Name: name}
			case "di-stopped":
				document, _, _ := strings.Cut(x.entry.Detail, " ")
				g.StoppedAt, g.StoppedDocument = x.at, greffe.DocumentID(document)
				if x.matter.Outcome != nil {
					g.Stopped = *x.matter.Outcome
				}
			case "di-down":
				g.DownAt, g.DownText = x.at, x.matter.Reason
			case "di-up":
				g.DownAt, g.DownText = time.Time{}, ""
			}
			gates[name] = g
		}
		return nil
	}, "di-paused", "di-resumed", "di-stopped", "di-down", "di-up")
	if err != nil {
		return nil, fmt.Errorf("read what holds DIs: %w", err)
	}
	return gates, nil
}

// restoreGates writes back what held the queues of DIs that the index does not know (any
// more), as the journal says: a pause outlives the loss of the index.
func (db *DB) restoreGates(ctx context.Context) error {
	gates, err := db.ToldGates(ctx)
	if err != nil || len(gates) == 0 {
		return err
	}
	return db.load(ctx, func(t *tx) error {
		for name, g := range gates {
			stopped := ""
			if !g.StoppedAt.IsZero() {
				var err error
				if stopped, err = encode(g.Stopped); err != nil {
					return err
				}
			}
			_, err := t.exec(`INSERT INTO dis (name, configured, test, paused_at, paused_by, stopped_at, stopped_json, stopped_document, down_at, down_text)
				VALUES ($1,0,0,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT (name) DO NOTHING`,
				name, millis(g.PausedAt), g.PausedBy, millis(g.StoppedAt), stopped, string(g.StoppedDocument), millis(g.DownAt), g.DownText)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
