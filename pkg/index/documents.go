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

// insertDocument writes the i-th document (from 0) of a message in
// StateArchived, with its journal entry and the names it can be found by.
func (t *tx) insertDocument(p *greffe.Parsed, i int, at time.Time, objects map[string]greffe.Object) error {
	d := &p.Documents[i]
	id := greffe.NewDocumentID(p.Received.ID, i+1)
	row, err := documentRow(p, i, at, objects)
	if err != nil {
		return err
	}
	if _, err := t.exec(insertDocuments+values(1, len(row)), row...); err != nil {
		return err
	}
	if err := t.insert(insertKeys, [][]any{keyRow(p, i, at)}, ``); err != nil {
		return err
	}
	mailbox := clean(p.Received.Origin.Mailbox, 320)
	if err := t.insertNames(id, &d.Patient, mailbox, mailbox, millis(p.Received.At)); err != nil {
		return err
	}
	t.count("document", mailbox, greffe.StateArchived, 1)
	t.note("storage", "archived", string(id), string(greffe.StateArchived), string(d.SHA256))
	return nil
}

const insertDocuments = `INSERT INTO documents (id, message_id, number, mailbox, received_at, archived_at, decided_at, identity, lineage,
	unique_id, ins, birth_date, state, reason, duplicate_of, outcome_json, facts_json, object_json, body_json, chosen_json) VALUES `

// documentRow is the row of a document that was archived and nothing else.
func documentRow(p *greffe.Parsed, i int, at time.Time, objects map[string]greffe.Object) ([]any, error) {
	d := &p.Documents[i]
	facts, err1 := encode(d)
	object, err2 := encode(objects[d.Part])
	body, err3 := "", error(nil)
	if d.Body != "" {
		body, err3 = encode(objects[d.Body])
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	return []any{string(greffe.NewDocumentID(p.Received.ID, i+1)), string(p.Received.ID), i + 1, clean(p.Received.Origin.Mailbox, 320),
		millis(p.Received.At), millis(at), int64(0), d.Identity(), d.Lineage(),
		uniqueKey(d.UniqueID), insKey(d.Patient.INS.Extension), clean(d.Patient.BirthDate, 8), string(greffe.StateArchived),
		"", "", "", facts, object, body, ""}, nil
}

// insertNames writes the family names of a patient with all given names.
func (t *tx) insertNames(id greffe.DocumentID, p *greffe.Patient, mailbox, desk string, received int64) error {
	return t.insert(insertNames, nameRows(id, p, mailbox, desk, received), ` ON CONFLICT DO NOTHING`)
}

const insertNames = `INSERT INTO document_names (document_id, family, givens, birth_date, mailbox, desk, received_at) VALUES `

func nameRows(id greffe.DocumentID, p *greffe.Patient, mailbox, desk string, received int64) [][]any {
	givens := " " + clean(normalise(p.Givens+" "+p.FirstGiven+" "+p.UsedGiven), 300) + " "
	birth := clean(normalise(p.BirthFamily), 120)
	used := clean(normalise(p.UsedFamily), 120)
	var rows [][]any
	for i, family := range []string{birth, used} {
		if family != "" && (i == 0 || family != birth) {
			rows = append(rows, []any{string(id), family, givens, clean(p.BirthDate, 8), mailbox, desk, received})
		}
	}
	return rows
}

// uniqueKey returns the column value of a CDA id. An absurdly long one is
// replaced by its digest: index entries are bounded.
func uniqueKey(o greffe.OID) string {
	if o.IsZero() {
		return ""
	}
	s := o.String()
	if c := clean(s, 300); c == s {
		return s
	}
	return "sha256:" + string(greffe.DigestOf([]byte(s)))
}

// insKey returns a matricule as its column holds it: without blanks, upper case.
func insKey(s string) string {
	return clean(strings.ToUpper(strings.Join(strings.Fields(s), "")), 40)
}

const documentColumns = `d.id, d.message_id, m.desk, m.tray, m.mailbox, m.folder, m.uidvalidity, m.uid, m.internal_date,
	d.identity, d.lineage, d.state, d.reason, d.duplicate_of, d.received_at, d.archived_at, d.decided_at,
	d.outcome_json, d.facts_json, d.object_json, d.body_json, d.chosen_json`

// documents runs a query of documentColumns.
func (db *DB) documents(ctx context.Context, query string, args ...any) ([]Document, error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Document
	for rows.Next() {
		d, err := scanDocument(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

func scanDocument(rows *sql.Rows) (Document, error) {
	var d Document
	var internal, received, archived, decided int64
	var outcome, facts, object, body, chosen string
	if err := rows.Scan(&d.ID, &d.Message, &d.Queue.Mailbox, &d.Queue.Folder, &d.Origin.Mailbox, &d.Origin.Folder, &d.Origin.UIDValidity, &d.Origin.UID, &internal,
		&d.Identity, &d.Lineage, &d.State, &d.Reason, &d.DuplicateOf, &received, &archived, &decided,
		&outcome, &facts, &object, &body, &chosen); err != nil {
		return d, err
	}
	d.Origin.InternalDate = moment(internal)
	d.ReceivedAt, d.ArchivedAt, d.DecidedAt = moment(received), moment(archived), moment(decided)
	if err := errors.Join(decode(outcome, &d.Outcome), decode(facts, &d.Facts), decode(object, &d.Object), decode(body, &d.BodyObject), decode(chosen, &d.Chosen)); err != nil {
		return d, fmt.Errorf("facts of %s: %w", d.ID, err)
	}
	return d, nil
}

const fromDocuments = ` FROM documents d JOIN messages m ON m.id = d.message_id `

// documentsOf returns the documents of messages (at most 200), in the order of
// their ids and numbers.
func (db *DB) documentsOf(ctx context.Context, ids []greffe.MessageID) ([]Document, error) {
	var a arguments
	return db.documents(ctx, `SELECT `+documentColumns+fromDocuments+`WHERE d.message_id IN (`+marks(&a, ids)+`) ORDER BY d.message_id, d.number`, a...)
}

// Document returns one document; ErrNotFound when there is none.
func (db *DB) Document(ctx context.Context, id greffe.DocumentID) (Document, error) {
	if !id.Valid() {
		return Document{}, fmt.Errorf("read document: %w", ErrNotFound)
	}
	list, err := db.documents(ctx, `SELECT `+documentColumns+fromDocuments+`WHERE d.id = $1`, string(id))
	if err != nil {
		return Document{}, fmt.Errorf("read document %s: %w", id, err)
	}
	if len(list) == 0 {
		return Document{}, fmt.Errorf("read document: %w", ErrNotFound)
	}
	return list[0], nil
}

// SameLineage returns the documents of a lineage, oldest first (at most 1,000).
func (db *DB) SameLineage(ctx context.Context, lineage string) ([]Document, error) {
	list, err := db.documents(ctx, `SELECT `+documentColumns+fromDocuments+
		`WHERE d.lineage = $1 ORDER BY d.received_at, d.id LIMIT 1000`, lineage)
	if err != nil {
		return nil, fmt.Errorf("read lineage: %w", err)
	}
	return list, nil
}

// WithUniqueID returns the documents whose CDA id is o, oldest first (at most
// 1,000); none for the zero id.
func (db *DB) WithUniqueID(ctx context.Context, o greffe.OID) ([]Document, error) {
	if o.IsZero() {
		return nil, nil
	}
	list, err := db.documents(ctx, `SELECT `+documentColumns+fromDocuments+
		`WHERE d.unique_id = $1 ORDER BY d.received_at, d.id LIMIT 1000`, uniqueKey(o))
	if err != nil {
		return nil, fmt.Errorf("read documents of one id: %w", err)
	}
	return list, nil
}

// Unsettled is a document that a machine still has to settle.
type Unsettled struct {
	ID      greffe.DocumentID
	Mailbox string
}

// Unsettled returns documents after id (empty: from the first), in the order of their
// ids, at most 500: those in StateArchived that were archived before archived and are on
// their way to no DI.
func (db *DB) Unsettled(ctx context.Context, archived time.Time, after greffe.DocumentID) ([]Unsettled, error) {
	rows, err := db.query(ctx, `SELECT d.id, d.mailbox FROM documents d
		WHERE d.state IN ('archivé', 'en attente du DI') AND d.id > $1 AND d.state = $2 AND d.archived_at < $3
			AND NOT EXISTS (SELECT 1 FROM deliveries v WHERE v.document_id = d.id AND v.due_at > 0)
		ORDER BY d.id LIMIT 500`,
		string(after), string(greffe.StateArchived), millis(archived))
	if err != nil {
		return nil, fmt.Errorf("read unsettled documents: %w", err)
	}
	defer rows.Close()
	var list []Unsettled
	for rows.Next() {
		var u Unsettled
		if err := rows.Scan(&u.ID, &u.Mailbox); err != nil {
			return nil, fmt.Errorf("read unsettled documents: %w", err)
		}
		list = append(list, u)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read unsettled documents: %w", err)
	}
	return list, nil
}

// Claim makes id the occurrence that stands for identity, if none does yet, and
// returns the one that does: id itself, or the one that came first. Repeatable;
// of two claims at once exactly one wins. The claim is in the journal, because it
// is what keeps a document from being sent twice when the index is rebuilt.
func (db *DB) Claim(ctx context.Context, identity string, id greffe.DocumentID) (greffe.DocumentID, error) {
	holder, err := db.Holder(ctx, identity)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return holder, err
	}
	err = db.update(ctx, func(t *tx) error {
		holder, err = t.claim(identity, id)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("claim for document %s: %w", id, err)
	}
	return holder, nil
}

// Holder returns the document that stands for identity; ErrNotFound when none
// was claimed.
func (db *DB) Holder(ctx context.Context, identity string) (greffe.DocumentID, error) {
	var id greffe.DocumentID
	err := db.read.QueryRowContext(ctx, `SELECT document_id FROM claims WHERE identity = $1`, identity).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read claim: %w", ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("read claim: %w", err)
	}
	return id, nil
}
