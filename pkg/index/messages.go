package index

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// SaveReceived records that the raw message is in the archive (zero raw: refused
// unread), with a journal entry. Repeating it changes nothing; nor does calling
// it after SaveArchived, which records the same first when it comes earlier.
func (db *DB) SaveReceived(ctx context.Context, r greffe.Received, raw greffe.Object) error {
	err := db.update(ctx, func(t *tx) error {
		_, err := t.insertReceived(r, raw)
		return err
	})
	if err != nil {
		return fmt.Errorf("save received %s: %w", r.ID, err)
	}
	return nil
}

// insertReceived writes the row of a message unless there is one; it reports
// whether it did.
func (t *tx) insertReceived(r greffe.Received, raw greffe.Object) (bool, error) {
	row := receivedRow(&r)
	n, err := t.exec(insertMessages+values(1, len(row))+` ON CONFLICT (id) DO NOTHING`, row...)
	if err != nil || n == 0 {
		return false, err
	}
	received, err1 := encode(r)
	rawJSON, err2 := encode(raw)
	if err := errors.Join(err1, err2); err != nil {
		return false, err
	}
	if _, err := t.exec(insertFacts+`($1,$2,$3,'','','')`, string(r.ID), received, rawJSON); err != nil {
		return false, err
	}
	if err := t.list(r.Origin, r.ID, r.At); err != nil {
		return false, err
	}
	state, _, _ := receivedState(&r)
	t.count("message", clean(r.Origin.Mailbox, 320), state, 1)
	return true, t.noteReceived(r, raw)
}

const insertMessages = `INSERT INTO messages (id, mailbox, folder, uidvalidity, uid, internal_date, received_at, archived_at,
	state, verdict, kind, size, subject, sender, header_id, desk, tray, cause, doctype, sender_key, assignee, later_at) VALUES `

const insertFacts = `INSERT INTO message_facts (message_id, received_json, raw_json, parsed_json, manifest_json, objects_json) VALUES `

// receivedRow is the row of a message that was received and not read.
func receivedRow(r *greffe.Received) []any {
	state, verdict, kind := receivedState(r)
	cause := greffe.Cause("")
	if state.Waits() {
		cause = greffe.CauseOfMessage(kind)
	}
	mailbox, folder := clean(r.Origin.Mailbox, 320), clean(r.Origin.Folder, 1000)
	return []any{string(r.ID), mailbox, folder, int64(r.Origin.UIDValidity), int64(r.Origin.UID),
		millis(r.Origin.InternalDate), millis(r.At), int64(0), string(state), string(verdict), string(kind), r.Size, "", "", "",
		mailbox, folder, string(cause), "", "", "", int64(0)}
}

func receivedState(r *greffe.Received) (greffe.State, greffe.Verdict, greffe.MessageKind) {
	if r.Refused != nil {
		// Nothing more happens to it by itself: a person sees it.
		return greffe.StateTodo, greffe.VerdictRefused, greffe.KindUnread
	}
	return greffe.StateReceived, "", ""
}

// noteReceived notes that a message was received; zero raw: refused unread.
func (t *tx) noteReceived(r greffe.Received, raw greffe.Object) error {
	m, detail := greffe.Matter{Received: &r}, string(r.SHA256)
	if !raw.IsZero() {
		m.Raw = &raw
	}
	if r.Refused != nil {
		detail = r.Refused.Rule
	}
	state, _, _ := receivedState(&r)
	return t.noteFact("storage", "received", string(r.ID), string(state), detail, m)
}

// SaveArchived records a message, its parts and documents and the journal
// entries in one transaction. Repeating it changes nothing and returns the same.
// Documents start in StateArchived (the integrator decides), the message as
// greffe.Summary says: archivé when it has documents, else à traiter or classé
// sans suite by its kind. objects are the archived parts, by part path.
func (db *DB) SaveArchived(ctx context.Context, p greffe.Parsed, manifest, raw greffe.Object, objects map[string]greffe.Object) (greffe.Archived, error) {
	var a greffe.Archived
	err := db.update(ctx, func(t *tx) (err error) {
		a, err = t.saveArchived(p, manifest, raw, objects)
		return err
	})
	if err != nil {
		return greffe.Archived{}, fmt.Errorf("save archived %s: %w", p.Received.ID, err)
	}
	return a, nil
}

func (t *tx) saveArchived(p greffe.Parsed, manifest, raw greffe.Object, objects map[string]greffe.Object) (greffe.Archived, error) {
	id := p.Received.ID
	states := make([]greffe.State, len(p.Documents))
	documents := make([]greffe.DocumentID, len(p.Documents))
	for i := range p.Documents {
		states[i], documents[i] = greffe.StateArchived, greffe.NewDocumentID(id, i+1)
	}
	a := greffe.Archived{
		ID: id, Origin: p.Received.Origin, Manifest: manifest, Documents: documents,
		State: greffe.Summary(p.Message.Kind, states), At: t.now(),
	}
	before, received := greffe.StateReceived, millis(p.Received.At)
	var archived int64
	fresh, err := t.insertReceived(p.Received, raw)
	if err != nil {
		return a, err
	}
	if !fresh || p.Received.Refused != nil {
		err := t.row([]any{&archived, &before, &received}, `SELECT archived_at, state, received_at FROM messages WHERE id = $1`, string(id))
		if err != nil {
			return a, err
		}
	}
	if archived != 0 {
		return t.archivedBefore(a, moment(archived))
	}

	parsed, err1 := encode(p)
	manifestJSON, err2 := encode(manifest)
	rawJSON, err3 := encode(raw)
	objectsJSON, err4 := encode(objects)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return a, err
	}
	m := &p.Message
	sender, header := shown(m)
	kind, _ := doctype(&p)
	cause := greffe.Cause("")
	if a.State.Waits() {
		cause = greffe.CauseOfMessage(m.Kind)
	}
	if _, err := t.exec(`UPDATE messages SET archived_at=$2, state=$3, verdict=$4, kind=$5, subject=$6, sender=$7, header_id=$8,
			cause=$9, doctype=$10, sender_key=$11 WHERE id=$1`,
		string(id), millis(a.At), string(a.State), string(p.Verdict), string(m.Kind),
		clean(m.Subject, 2000), clean(sender, 500), clean(header, 1000), string(cause), kind, SenderKey(m)); err != nil {
		return a, err
	}
	if err := t.insertDoctypes(&p); err != nil {
		return a, err
	}
	if _, err := t.exec(`UPDATE message_facts SET raw_json=$2, parsed_json=$3, manifest_json=$4, objects_json=$5 WHERE message_id=$1`,
		string(id), rawJSON, parsed, manifestJSON, objectsJSON); err != nil {
		return a, err
	}
	mailbox := clean(p.Received.Origin.Mailbox, 320)
	t.count("message", mailbox, before, -1)
	t.count("message", mailbox, a.State, 1)
	t.note("parser", "parsed", string(id), string(p.Verdict), p.Parser)
	t.note("storage", "archived", string(id), string(a.State), string(manifest.SHA256))
	for i := range p.Documents {
		if err := t.insertDocument(&p, i, a.At, objects); err != nil {
			return a, fmt.Errorf("document %d: %w", i+1, err)
		}
	}
	return a, errors.Join(t.insertWords(&p, received), t.insertSender(m))
}

// shown returns the sender and the Message-ID as the queue shows them.
func shown(m *greffe.Message) (sender, header string) {
	if len(m.From) > 0 {
		if sender = m.From[0].Name; strings.TrimSpace(sender) == "" {
			sender = m.From[0].Address
		}
	}
	if len(m.MessageIDs) > 0 {
		header = m.MessageIDs[0]
	}
	return sender, header
}

// archivedBefore completes a with what the first SaveArchived returned.
func (t *tx) archivedBefore(a greffe.Archived, at time.Time) (greffe.Archived, error) {
	var parsedJSON, manifestJSON string
	if err := t.row([]any{&parsedJSON, &manifestJSON}, `SELECT parsed_json, manifest_json FROM message_facts WHERE message_id = $1`, string(a.ID)); err != nil {
		return a, err
	}
	var p greffe.Parsed
	var manifest greffe.Object
	if err := errors.Join(decode(parsedJSON, &p), decode(manifestJSON, &manifest)); err != nil {
		return a, err
	}
	states := slices.Repeat([]greffe.State{greffe.StateArchived}, len(p.Documents))
	documents := make([]greffe.DocumentID, len(p.Documents))
	for i := range documents {
		documents[i] = greffe.NewDocumentID(a.ID, i+1)
	}
	return greffe.Archived{
		ID: a.ID, Origin: p.Received.Origin, Manifest: manifest, Documents: documents,
		State: greffe.Summary(p.Message.Kind, states), At: at,
	}, nil
}

// insertWords writes the words that the queue's text filter finds the message by.
// received is the time in its row, which is its place among the others.
func (t *tx) insertWords(p *greffe.Parsed, received int64) error {
	var rows [][]any
	for _, w := range messageWords(p) {
		rows = append(rows, []any{w, received, string(p.Received.ID)})
	}
	return t.insert(insertWords, rows, ` ON CONFLICT DO NOTHING`)
}

const insertWords = `INSERT INTO message_words (word, received_at, message_id) VALUES `

func messageWords(p *greffe.Parsed) []string {
	texts := []string{p.Message.Subject}
	for _, from := range p.Message.From {
		texts = append(texts, from.Name, from.Address)
	}
	for i := range p.Documents {
		d := &p.Documents[i]
		texts = append(texts, d.Patient.BirthFamily, d.Patient.UsedFamily, d.Patient.Givens, d.Patient.UsedGiven, d.Title)
	}
	return searchWords(texts...)
}

const messageColumns = `m.id, m.mailbox, m.folder, m.uidvalidity, m.uid, m.internal_date, m.received_at, m.archived_at,
	m.state, m.verdict, m.kind, m.size, m.subject, m.sender, m.header_id, m.desk, m.tray, m.cause, m.sender_key, m.assignee, m.later_at`

func scanMessage(rows *sql.Rows, m *Message) error {
	var internal, received, archived, later int64
	if err := rows.Scan(&m.ID, &m.Origin.Mailbox, &m.Origin.Folder, &m.Origin.UIDValidity, &m.Origin.UID, &internal, &received, &archived,
		&m.State, &m.Verdict, &m.Kind, &m.Size, &m.Subject, &m.From, &m.MessageID, &m.Queue.Mailbox, &m.Queue.Folder, &m.Cause, &m.Sender, &m.Assignee, &later); err != nil {
		return err
	}
	m.Origin.InternalDate, m.ReceivedAt, m.ArchivedAt = moment(internal), moment(received), moment(archived)
	m.Later = moment(later)
	return nil
}

// messages runs a query of messageColumns and adds the documents of what it
// finds: two queries for any number of messages.
func (db *DB) messages(ctx context.Context, query string, args ...any) ([]Message, error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Message
	for rows.Next() {
		var m Message
		if err := scanMessage(rows, &m); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	if err := rows.Err(); err != nil || len(list) == 0 {
		return list, err
	}
	place := make(map[greffe.MessageID]int, len(list))
	ids := make([]greffe.MessageID, len(list))
	for i := range list {
		place[list[i].ID], ids[i] = i, list[i].ID
	}
	documents, err := db.documentsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, d := range documents {
		m := &list[place[d.Message]]
		m.Documents = append(m.Documents, d)
	}
	return list, nil
}

// Message returns one message; ErrNotFound when there is none.
func (db *DB) Message(ctx context.Context, id greffe.MessageID) (Detail, error) {
	if !id.Valid() {
		return Detail{}, fmt.Errorf("read message: %w", ErrNotFound)
	}
	list, err := db.details(ctx, `WHERE m.id = $1`, string(id))
	if err != nil {
		return Detail{}, fmt.Errorf("read message %s: %w", id, err)
	}
	if len(list) == 0 {
		return Detail{}, fmt.Errorf("read message: %w", ErrNotFound)
	}
	d := list[0]
	attempts, err1 := db.attempts(ctx, id)
	decisions, err2 := db.decisions(ctx, id)
	history, err3 := db.history(ctx, id)
	ids := make([]greffe.DocumentID, len(d.Documents))
	for i := range d.Documents {
		ids[i] = d.Documents[i].ID
	}
	triages, err5 := db.triages(ctx, id)
	deliveries, err4 := db.Deliveries(ctx, ids...)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return Detail{}, fmt.Errorf("read message %s: %w", id, err)
	}
	d.Deliveries, d.Outcomes, d.Decisions, d.History, d.Triages = deliveries, attempts, decisions, history, triages
	if d.Answers, err = db.Answers(ctx, id); err != nil {
		return Detail{}, fmt.Errorf("read message %s: %w", id, err)
	}
	return d, nil
}

// Mail returns what the mail of one message says, without its parts and documents;
// zero while it is not archived, ErrNotFound when there is no such message.
func (db *DB) Mail(ctx context.Context, id greffe.MessageID) (greffe.Message, error) {
	rows, err := db.query(ctx, `SELECT parsed_json FROM message_facts WHERE message_id = $1`, string(id))
	if err != nil {
		return greffe.Message{}, fmt.Errorf("read mail %s: %w", id, err)
	}
	defer rows.Close()
	if !rows.Next() {
		return greffe.Message{}, fmt.Errorf("read mail %s: %w", id, cmp.Or(rows.Err(), ErrNotFound))
	}
	var text string
	var parsed struct {
		Message greffe.Message `json:"message"`
	}
	if err := errors.Join(rows.Scan(&text), decode(text, &parsed), rows.Close()); err != nil {
		return greffe.Message{}, fmt.Errorf("read mail %s: %w", id, err)
	}
	return parsed.Message, nil
}

// EachMessage calls f for every message in id order, which is the order of their
// internal dates, with its facts, objects and documents but without outcomes,
// decisions and history. An error of f ends the walk and is returned. The walk
// reads a hundred messages at a time and sees those that arrive behind it not at all.
func (db *DB) EachMessage(ctx context.Context, f func(Detail) error) error {
	last := ""
	for {
		list, err := db.details(ctx, `WHERE m.id > $1 ORDER BY m.id LIMIT 100`, last)
		if err != nil {
			return fmt.Errorf("read messages after %q: %w", last, err)
		}
		if len(list) == 0 {
			return nil
		}
		for _, d := range list {
			if err := f(d); err != nil {
				return err
			}
			last = string(d.ID)
		}
	}
}

// details reads messages with their facts.
func (db *DB) details(ctx context.Context, where string, args ...any) ([]Detail, error) {
	messages, err := db.messages(ctx, `SELECT `+messageColumns+` FROM messages m `+where, args...)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	list := make([]Detail, len(messages))
	place := make(map[string]int, len(messages))
	ids := make([]greffe.MessageID, len(messages))
	for i, m := range messages {
		list[i].Message, place[string(m.ID)], ids[i] = m, i, m.ID
	}
	var a arguments
	rows, err := db.query(ctx, `SELECT message_id, received_json, raw_json, parsed_json, manifest_json, objects_json
		FROM message_facts WHERE message_id IN (`+marks(&a, ids)+`)`, a...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, received, raw, parsed, manifest, objects string
		if err := rows.Scan(&id, &received, &raw, &parsed, &manifest, &objects); err != nil {
			return nil, err
		}
		d := &list[place[id]]
		err := errors.Join(decode(received, &d.Received), decode(raw, &d.Raw), decode(parsed, &d.Parsed),
			decode(manifest, &d.Manifest), decode(objects, &d.Objects))
		if err != nil {
			return nil, fmt.Errorf("facts of %s: %w", id, err)
		}
	}
	return list, rows.Err()
}
