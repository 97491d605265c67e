package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// SaveTriage records a person's decision about a message as a whole, once, with its
// journal entry, and does what it says to the queue; false when it was recorded before.
// What no longer fits the state of the message is recorded and changes nothing. A legal
// hold is recorded here and carried out by who may write the archive. ErrNotFound when
// there is no such message.
func (db *DB) SaveTriage(ctx context.Context, d greffe.Triaged) (bool, error) {
	recorded := false
	err := db.update(ctx, func(t *tx) (err error) {
		recorded, err = t.saveTriage(d)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("save decision on %s: %w", d.Message, err)
	}
	return recorded, nil
}

func (t *tx) saveTriage(d greffe.Triaged) (bool, error) {
	text, err := encode(d)
	if err != nil {
		return false, err
	}
	var state greffe.State
	var desk string
	var kind greffe.MessageKind
	err = t.row([]any{&state, &desk, &kind}, `SELECT state, desk, kind FROM messages WHERE id = $1`, string(d.Message))
	if errors.Is(err, sql.ErrNoRows) {
		return false, ErrNotFound
	}
	if err != nil {
		return false, err
	}
	states, err := t.documentStates(d.Message)
	if err != nil {
		return false, err
	}
	n, err := t.exec(`INSERT INTO triages (id, message_id, at, triage_json) VALUES ($1,$2,$3,$4) ON CONFLICT (id) DO NOTHING`,
		clean(d.ID, 200), string(d.Message), millis(d.At), text)
	if err != nil || n == 0 {
		return false, err
	}
	if err := t.noteFact(d.By, "decided", string(d.Message), string(d.Verb), clean(d.ID, 100), greffe.Matter{Triage: &d}); err != nil {
		return false, err
	}
	become := func(to greffe.State) error {
		if _, err := t.exec(`UPDATE messages SET state=$2, later_at=0, assignee='' WHERE id=$1`, string(d.Message), string(to)); err != nil {
			return err
		}
		t.count("message", desk, state, -1)
		t.count("message", desk, to, 1)
		return t.recause(d.Message)
	}
	read := greffe.ToRead(kind, states)
	switch {
	case d.Verb == greffe.VerbClose && read && state == greffe.StateTodo:
		err = become(greffe.StateDismissed)
	case d.Verb == greffe.VerbReopen && read && state == greffe.StateDismissed:
		err = become(greffe.StateTodo)
	case d.Verb == greffe.VerbLater:
		_, err = t.exec(`UPDATE messages SET later_at=$2 WHERE id=$1`, string(d.Message), millis(d.Until))
	case d.Verb == greffe.VerbPass:
		_, err = t.exec(`UPDATE messages SET assignee=$2, later_at=0 WHERE id=$1`, string(d.Message), clean(d.To, 200))
	case d.Verb == greffe.VerbMove && d.To != "" && d.To != desk:
		_, err1 := t.exec(`UPDATE messages SET desk=$2, tray='INBOX', assignee='', later_at=0 WHERE id=$1`, string(d.Message), clean(d.To, 320))
		_, err2 := t.exec(`UPDATE document_keys SET desk=$2, tray='INBOX' WHERE document_id IN (SELECT id FROM documents WHERE message_id = $1)`, string(d.Message), clean(d.To, 320))
		_, err3 := t.exec(`UPDATE document_names SET desk=$2 WHERE document_id IN (SELECT id FROM documents WHERE message_id = $1)`, string(d.Message), clean(d.To, 320))
		err = errors.Join(err1, err2, err3)
		t.count("message", desk, state, -1)
		t.count("message", clean(d.To, 320), state, 1)
	}
	return true, err
}

// summary returns the state of a message whose documents have these states: what a person
// has to read is settled once she closed it, whatever its documents went through since.
func (t *tx) summary(id greffe.MessageID, kind greffe.MessageKind, documents []greffe.State) (greffe.State, error) {
	state := greffe.Summary(kind, documents)
	if !greffe.ToRead(kind, documents) {
		return state, nil
	}
	rows, err := t.QueryContext(t.ctx, `SELECT triage_json FROM triages WHERE message_id = $1 ORDER BY at, id`, string(id))
	if err != nil {
		return "", err
	}
	list, err := scanTriages(rows)
	if err == nil && greffe.Closed(list) {
		state = greffe.StateDismissed
	}
	return state, err
}

// recause writes why a message waits for a person, from what its documents and their
// outcomes are now.
func (t *tx) recause(id greffe.MessageID) error {
	var state greffe.State
	var kind greffe.MessageKind
	if err := t.row([]any{&state, &kind}, `SELECT state, kind FROM messages WHERE id = $1`, string(id)); err != nil {
		return err
	}
	cause := greffe.Cause("")
	if state.Waits() {
		outcome := ""
		err := t.row([]any{&outcome}, `SELECT outcome_json FROM documents WHERE message_id = $1 AND state = $2 ORDER BY number LIMIT 1`, string(id), string(state))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			cause = greffe.CauseOfMessage(kind)
		case err != nil:
			return err
		default:
			var o greffe.Outcome
			if err := decode(outcome, &o); err != nil {
				return err
			}
			cause = o.Cause()
		}
	}
	return t.later(`UPDATE messages SET cause=$2 WHERE id=$1 AND cause <> $2`, string(id), string(cause))
}

// insertDoctypes remembers the names of the types of document.
func (t *tx) insertDoctypes(p *greffe.Parsed) error {
	return t.insert(insertDoctypes, unlike(doctypeRows(p), 1), ` ON CONFLICT (code) DO NOTHING`)
}

// doctypeRows are the types of the documents of a message with their names.
func doctypeRows(p *greffe.Parsed) (rows [][]any) {
	for i := range p.Documents {
		if code, label := doctypeOf(&p.Documents[i]); code != "" && label != "" {
			rows = append(rows, []any{code, label})
		}
	}
	return rows
}

const insertDoctypes = `INSERT INTO doctypes (code, label) VALUES `

// doctype returns the type of the first document of a message with its name: the code
// that its author gives, else the form of the file.
func doctype(p *greffe.Parsed) (code, label string) {
	if len(p.Documents) == 0 {
		return "", ""
	}
	return doctypeOf(&p.Documents[0])
}

func doctypeOf(d *greffe.Document) (code, label string) {
	if d.Type.Code != "" {
		if label = d.Type.Label; label == "" {
			label = d.Type.Code
		}
		return clean(d.Type.Code, 60), clean(label, 200)
	}
	return "format." + string(d.Format), d.Format.French()
}

// SenderKey is what stands for a sender in addresses of pages: an address can hold a
// name. "" for a message without sender.
func SenderKey(m *greffe.Message) string {
	if len(m.From) == 0 || m.From[0].Address == "" {
		return ""
	}
	return greffe.MailboxKey(clean(m.From[0].Address, 320))
}

// triages returns what people decided about a message as a whole, oldest first.
func (db *DB) triages(ctx context.Context, id greffe.MessageID) ([]greffe.Triaged, error) {
	rows, err := db.query(ctx, `SELECT triage_json FROM triages WHERE message_id = $1 ORDER BY at, id`, string(id))
	if err != nil {
		return nil, err
	}
	return scanTriages(rows)
}

func scanTriages(rows *sql.Rows) ([]greffe.Triaged, error) {
	defer rows.Close()
	var list []greffe.Triaged
	for rows.Next() {
		var d greffe.Triaged
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if err := decode(text, &d); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// HoldOf returns the legal hold of a message; false when it is under none.
func (db *DB) HoldOf(ctx context.Context, id greffe.MessageID) (Hold, bool, error) {
	h := Hold{Message: id}
	var at int64
	err := db.read.QueryRowContext(ctx, `SELECT at, actor, reason FROM holds WHERE message_id = $1`, string(id)).Scan(&at, &h.By, &h.Reason)
	if errors.Is(err, sql.ErrNoRows) {
		return Hold{}, false, nil
	}
	if err != nil {
		return Hold{}, false, fmt.Errorf("read hold: %w", err)
	}
	h.At = moment(at)
	return h, true, nil
}

// Taking says who has a message open to decide about it. It is no lock: it ends by
// itself, and another person may take over.
type Taking struct {
	Message greffe.MessageID
	Login   string
	Name    string
	Until   time.Time
}

// Take gives a message to a person until a moment, unless another one has it and over is
// not set. It returns who has it now.
func (db *DB) Take(ctx context.Context, k Taking, over bool) (Taking, error) {
	now := time.Now()
	err := db.update(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM takings WHERE until <= $1`, now.UnixMilli()); err != nil {
			return err
		}
		taken := 0
		if over {
			taken = 1
		}
		_, err := t.exec(`INSERT INTO takings (message_id, login, name, until) VALUES ($1,$2,$3,$4)
			ON CONFLICT (message_id) DO UPDATE SET login=excluded.login, name=excluded.name, until=excluded.until
			WHERE takings.login = excluded.login OR $5 = 1`, string(k.Message), clean(k.Login, 200), clean(k.Name, 200), millis(k.Until), taken)
		if err != nil {
			return err
		}
		var until int64
		holder := Taking{Message: k.Message}
		if err := t.row([]any{&holder.Login, &holder.Name, &until}, `SELECT login, name, until FROM takings WHERE message_id = $1`, string(k.Message)); err != nil {
			return err
		}
		holder.Until = moment(until)
		k = holder
		return nil
	})
	if err != nil {
		return Taking{}, fmt.Errorf("take message: %w", err)
	}
	return k, nil
}

// Leave gives back a message that a person has; with "" all that the person has. It
// returns those that were given back.
func (db *DB) Leave(ctx context.Context, login string, id greffe.MessageID) ([]greffe.MessageID, error) {
	var list []greffe.MessageID
	had, err := db.Takings(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	for _, k := range had {
		if k.Login == login && (id == "" || k.Message == id) {
			list = append(list, k.Message)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	err = db.update(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM takings WHERE login = $1 AND ($2 = '' OR message_id = $2)`, clean(login, 200), string(id))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("leave message: %w", err)
	}
	return list, nil
}

// Takings returns what people have open at a moment.
func (db *DB) Takings(ctx context.Context, at time.Time) ([]Taking, error) {
	rows, err := db.query(ctx, `SELECT message_id, login, name, until FROM takings WHERE until > $1`, at.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read takings: %w", err)
	}
	defer rows.Close()
	var list []Taking
	for rows.Next() {
		var k Taking
		var until int64
		if err := rows.Scan(&k.Message, &k.Login, &k.Name, &until); err != nil {
			return nil, fmt.Errorf("read takings: %w", err)
		}
		k.Until = moment(until)
		list = append(list, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read takings: %w", err)
	}
	return list, nil
}

// askedFor is how long a decision that was published keeps others from deciding about
// the same revision: who should carry it out may be away.
const askedFor = 2 * time.Minute

// Ask notes that a person decides about one revision of an item (a document or a
// message); false when another decision about it was published just before.
func (db *DB) Ask(ctx context.Context, item string, revision int, login string) (bool, error) {
	return db.ask(ctx, item, revision, login, 0)
}

// AskAgain is Ask for one decision, which may be asked for again: name is its own.
func (db *DB) AskAgain(ctx context.Context, item string, revision int, name string) (bool, error) {
	return db.ask(ctx, item, revision, name, 1)
}

func (db *DB) ask(ctx context.Context, item string, revision int, by string, again int) (bool, error) {
	now := time.Now()
	n := int64(0)
	err := db.update(ctx, func(t *tx) (err error) {
		n, err = t.exec(`INSERT INTO asked (item, revision, at, login) VALUES ($1,$2,$3,$4)
			ON CONFLICT (item) DO UPDATE SET revision=excluded.revision, at=excluded.at, login=excluded.login
			WHERE asked.revision < excluded.revision OR asked.at < $5 OR (asked.revision = excluded.revision AND asked.login = excluded.login AND $6 = 1)`,
			clean(item, 100), revision, now.UnixMilli(), clean(by, 200), now.Add(-askedFor).UnixMilli(), again)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("note decision: %w", err)
	}
	return n > 0, nil
}

// Unask takes back what Ask noted: the decision could not be published.
func (db *DB) Unask(ctx context.Context, item string, revision int) error {
	err := db.update(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM asked WHERE item = $1 AND revision = $2`, clean(item, 100), revision)
		return err
	})
	if err != nil {
		return fmt.Errorf("take back decision: %w", err)
	}
	return nil
}
