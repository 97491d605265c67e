package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"greffe/pkg/greffe"
)

// MessageIDs returns the ids of messages after the given one (empty: from the
// first), in their order, at most limit (at most 10,000).
func (db *DB) MessageIDs(ctx context.Context, after greffe.MessageID, limit int) ([]greffe.MessageID, error) {
	rows, err := db.query(ctx, `SELECT id FROM messages WHERE id > $1 ORDER BY id LIMIT $2`, string(after), min(max(limit, 1), 10_000))
	if err != nil {
		return nil, fmt.Errorf("read message ids: %w", err)
	}
	defer rows.Close()
	var list []greffe.MessageID
	for rows.Next() {
		var id greffe.MessageID
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read message ids: %w", err)
		}
		list = append(list, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read message ids: %w", err)
	}
	return list, nil
}

// Audit returns one message with all that was decided about it. Its History holds
// the entries of facts alone (received, archived, delivered, decided, and of the answers
// notified and confirmed), all of them, oldest first: who looked at it does not matter
// here. Facts holds what they are about. ErrNotFound when there is no such message.
func (db *DB) Audit(ctx context.Context, id greffe.MessageID) (Detail, error) {
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
	triages, err4 := db.triages(ctx, id)
	history, err3 := db.entries(ctx, `SELECT `+entryColumns+` FROM journal WHERE subject >= $1 AND subject < $2
		AND action IN ('received', 'archived', 'delivered', 'decided', 'notified', 'confirmed') ORDER BY seq`, string(id), string(id)+".")
	facts, err6 := db.factsAbout(ctx, id)
	answers, err7 := db.Answers(ctx, id)
	deliveries, err5 := db.deliveries(ctx, `SELECT `+deliveryColumns+` FROM deliveries v JOIN documents d ON d.id = v.document_id
		WHERE d.message_id = $1 ORDER BY v.document_id, v.di`, string(id))
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return Detail{}, fmt.Errorf("read message %s: %w", id, err)
	}
	d.Outcomes, d.Decisions, d.History, d.Triages, d.Deliveries = attempts, decisions, history, triages, deliveries
	d.Facts, d.Answers = facts, answers
	return d, nil
}

// factsAbout returns what the entries about a message and its documents are about, by
// their numbers.
func (db *DB) factsAbout(ctx context.Context, id greffe.MessageID) (map[int64]string, error) {
	rows, err := db.query(ctx, `SELECT j.seq, f.fact FROM journal j JOIN journal_facts f ON f.seq = j.seq
		WHERE j.subject >= $1 AND j.subject < $2`, string(id), string(id)+".")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	facts := map[int64]string{}
	for rows.Next() {
		var seq int64
		var text string
		if err := rows.Scan(&seq, &text); err != nil {
			return nil, err
		}
		facts[seq] = text
	}
	return facts, rows.Err()
}

// Differences compares the rows of a message with what its manifest says and
// returns the columns that differ, as table.column or table of rows: nil when
// the index says what the archive says. What a retake of the message may have
// changed (when it was taken, the name of the spooled copy) is not compared, nor
// are states, which outcomes give.
func (db *DB) Differences(ctx context.Context, p *greffe.Parsed, manifest, raw greffe.Object, objects map[string]greffe.Object) ([]string, error) {
	var c comparison
	id := p.Received.ID
	err := errors.Join(c.message(ctx, db, p), c.facts(ctx, db, p, manifest, raw, objects), c.documents(ctx, db, p, objects),
		c.names(ctx, db, p), c.words(ctx, db, p))
	if err != nil {
		return nil, fmt.Errorf("compare message %s: %w", id, err)
	}
	slices.Sort(c.found)
	return slices.Compact(c.found), nil
}

// comparison gathers the names of what differs.
type comparison struct{ found []string }

func (c *comparison) same(name string, got, want any) {
	if got != want {
		c.found = append(c.found, name)
	}
}

// sameJSON compares facts as values: an older index may hold them in another form.
func sameJSON[T any](c *comparison, name, got string, want T) error {
	text, err := encode(want)
	if err != nil || got == text {
		return err
	}
	var v T
	if decode(got, &v) == nil {
		if again, err := encode(v); err == nil && again == text {
			return nil
		}
	}
	c.found = append(c.found, name)
	return nil
}

func (c *comparison) message(ctx context.Context, db *DB, p *greffe.Parsed) error {
	var (
		mailbox, folder, verdict, kind, subject, sender, header string
		doctypeColumn, senderKey                                string
		validity, uid, internal, size                           int64
	)
	err := db.read.QueryRowContext(ctx, `SELECT mailbox, folder, uidvalidity, uid, internal_date, verdict, kind, size, subject, sender, header_id, doctype, sender_key
		FROM messages WHERE id = $1`, string(p.Received.ID)).
		Scan(&mailbox, &folder, &validity, &uid, &internal, &verdict, &kind, &size, &subject, &sender, &header, &doctypeColumn, &senderKey)
	if errors.Is(err, sql.ErrNoRows) {
		c.found = append(c.found, "messages")
		return nil
	}
	if err != nil {
		return err
	}
	o := p.Received.Origin
	from, number := shown(&p.Message)
	c.same("messages.mailbox", mailbox, clean(o.Mailbox, 320))
	c.same("messages.folder", folder, clean(o.Folder, 1000))
	c.same("messages.uidvalidity", validity, int64(o.UIDValidity))
	c.same("messages.uid", uid, int64(o.UID))
	c.same("messages.internal_date", internal, millis(o.InternalDate))
	c.same("messages.verdict", verdict, string(p.Verdict))
	c.same("messages.kind", kind, string(p.Message.Kind))
	c.same("messages.size", size, p.Received.Size)
	c.same("messages.subject", subject, clean(p.Message.Subject, 2000))
	c.same("messages.sender", sender, clean(from, 500))
	c.same("messages.header_id", header, clean(number, 1000))
	code, _ := doctype(p)
	c.same("messages.doctype", doctypeColumn, code)
	c.same("messages.sender_key", senderKey, SenderKey(&p.Message))
	return nil
}

func (c *comparison) facts(ctx context.Context, db *DB, p *greffe.Parsed, manifest, raw greffe.Object, objects map[string]greffe.Object) error {
	var received, rawJSON, parsed, manifestJSON, objectsJSON string
	err := db.read.QueryRowContext(ctx, `SELECT received_json, raw_json, parsed_json, manifest_json, objects_json FROM message_facts WHERE message_id = $1`,
		string(p.Received.ID)).Scan(&received, &rawJSON, &parsed, &manifestJSON, &objectsJSON)
	if errors.Is(err, sql.ErrNoRows) {
		c.found = append(c.found, "message_facts")
		return nil
	}
	if err != nil {
		return err
	}
	var r greffe.Received
	if err := decode(received, &r); err != nil {
		c.found = append(c.found, "message_facts.received_json")
	}
	r.Spool, r.At = p.Received.Spool, p.Received.At
	text, err := encode(r)
	if err != nil {
		return err
	}
	return errors.Join(
		sameJSON(c, "message_facts.received_json", text, p.Received),
		sameJSON(c, "message_facts.raw_json", rawJSON, raw),
		sameJSON(c, "message_facts.parsed_json", parsed, *p),
		sameJSON(c, "message_facts.manifest_json", manifestJSON, manifest),
		sameJSON(c, "message_facts.objects_json", objectsJSON, objects))
}

func (c *comparison) documents(ctx context.Context, db *DB, p *greffe.Parsed, objects map[string]greffe.Object) error {
	rows, err := db.query(ctx, `SELECT id, number, mailbox, received_at, identity, lineage, unique_id, ins, birth_date, facts_json, object_json, body_json, chosen_json
		FROM documents WHERE message_id = $1 ORDER BY number`, string(p.Received.ID))
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var (
			id                                                                                            greffe.DocumentID
			number, received                                                                              int64
			mailbox, identity, lineage, unique, insColumn, birth, facts, objectJSON, bodyJSON, chosenJSON string
		)
		if err := rows.Scan(&id, &number, &mailbox, &received, &identity, &lineage, &unique, &insColumn, &birth, &facts, &objectJSON, &bodyJSON, &chosenJSON); err != nil {
			return err
		}
		n++
		if n > len(p.Documents) || number != int64(n) {
			c.found = append(c.found, "documents")
			return nil
		}
		d := &p.Documents[n-1]
		c.same("documents.id", id, greffe.NewDocumentID(p.Received.ID, n))
		c.same("documents.mailbox", mailbox, clean(p.Received.Origin.Mailbox, 320))
		c.same("documents.received_at", received, millis(p.Received.At))
		c.same("documents.identity", identity, d.Identity())
		c.same("documents.lineage", lineage, d.Lineage())
		c.same("documents.unique_id", unique, uniqueKey(d.UniqueID))
		var chosen *greffe.Patient
		err := decode(chosenJSON, &chosen)
		wantINS, wantBirth := searched(d.Patient, chosen)
		c.same("documents.ins", insColumn, wantINS)
		c.same("documents.birth_date", birth, wantBirth)
		err = errors.Join(err, sameJSON(c, "documents.facts_json", facts, *d), sameJSON(c, "documents.object_json", objectJSON, objects[d.Part]))
		if d.Body == "" {
			c.same("documents.body_json", bodyJSON, "")
		} else {
			err = errors.Join(err, sameJSON(c, "documents.body_json", bodyJSON, objects[d.Body]))
		}
		if err != nil {
			return err
		}
	}
	if n != len(p.Documents) {
		c.found = append(c.found, "documents")
	}
	return rows.Err()
}

func (c *comparison) names(ctx context.Context, db *DB, p *greffe.Parsed) error {
	stored, err := db.documentsOf(ctx, []greffe.MessageID{p.Received.ID})
	if err != nil {
		return err
	}
	chosen := map[greffe.DocumentID]*greffe.Patient{}
	for _, d := range stored {
		chosen[d.ID] = d.Chosen
	}
	want := map[[4]string]bool{}
	for i := range p.Documents {
		id := greffe.NewDocumentID(p.Received.ID, i+1)
		list := nameRows(id, &p.Documents[i].Patient, "", "", 0)
		if chosen[id] != nil {
			list = append(list, nameRows(id, chosen[id], "", "", 0)...)
		}
		families := map[any]bool{}
		for _, r := range list {
			if !families[r[1]] {
				want[[4]string{r[0].(string), r[1].(string), r[2].(string), r[3].(string)}] = true
			}
			families[r[1]] = true
		}
	}
	rows, err := db.query(ctx, `SELECT n.document_id, n.family, n.givens, n.birth_date FROM document_names n
		JOIN documents d ON d.id = n.document_id WHERE d.message_id = $1`, string(p.Received.ID))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r [4]string
		if err := rows.Scan(&r[0], &r[1], &r[2], &r[3]); err != nil {
			return err
		}
		if !want[r] {
			c.found = append(c.found, "document_names")
		}
		delete(want, r)
	}
	if len(want) > 0 {
		c.found = append(c.found, "document_names")
	}
	return rows.Err()
}

func (c *comparison) words(ctx context.Context, db *DB, p *greffe.Parsed) error {
	want := map[string]bool{}
	for _, w := range messageWords(p) {
		want[w] = true
	}
	rows, err := db.query(ctx, `SELECT word FROM message_words WHERE message_id = $1`, string(p.Received.ID))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var w string
		if err := rows.Scan(&w); err != nil {
			return err
		}
		if !want[w] {
			c.found = append(c.found, "message_words")
		}
		delete(want, w)
	}
	if len(want) > 0 {
		c.found = append(c.found, "message_words")
	}
	return rows.Err()
}

// Recount counts messages and documents by state, row by row, and returns the
// rows of the kept counts that say otherwise, as "kind state"; it reads the whole
// index, in one view of it.
func (db *DB) Recount(ctx context.Context) ([]string, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT kind, state, SUM(n) FROM (
			SELECT kind, mailbox, state, n FROM tallies
			UNION ALL SELECT 'message', desk, state, -1 FROM messages
			UNION ALL SELECT 'document', mailbox, state, -1 FROM documents) AS t
		GROUP BY kind, mailbox, state HAVING SUM(n) <> 0`)
	if err != nil {
		return nil, fmt.Errorf("count rows: %w", err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var kind, state string
		var n int64
		if err := rows.Scan(&kind, &state, &n); err != nil {
			return nil, fmt.Errorf("count rows: %w", err)
		}
		list = append(list, fmt.Sprintf("%s %s: %+d", kind, state, n))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count rows: %w", err)
	}
	slices.Sort(list)
	return list, nil
}

// JournalOf returns the newest entries of one action about one subject, newest
// first, at most limit (at most 1,000).
func (db *DB) JournalOf(ctx context.Context, subject, action string, limit int) ([]Entry, error) {
	list, err := db.entries(ctx, `SELECT `+entryColumns+` FROM journal WHERE subject = $1 AND action = $2 ORDER BY seq DESC LIMIT $3`,
		subject, action, min(max(limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return list, nil
}
