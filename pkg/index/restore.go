package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"greffe/pkg/greffe"
)

// Restored is a message as its manifest says.
type Restored struct {
	Parsed   greffe.Parsed
	Manifest greffe.Object
	Raw      greffe.Object
	Objects  map[string]greffe.Object
}

// RestoreMessages writes messages back with what became of their documents, after the
// journal, whose times and facts it takes. What the journal does not say of them, because
// the end of it was never sealed, is noted anew. The list is sorted by id; the fewer other
// messages lie between the first and the last, the less is read in vain.
//
// It writes the rows as they are in the end, many at once: doing again each step of each
// message, as the services did, takes five times as long.
func (db *DB) RestoreMessages(ctx context.Context, list []Restored) error {
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b Restored) int { return cmp.Compare(a.Parsed.Received.ID, b.Parsed.Received.ID) })
	stories, err := db.stories(ctx, list[0].Parsed.Received.ID, list[len(list)-1].Parsed.Received.ID)
	if err == nil {
		err = db.load(ctx, func(t *tx) error {
			b := batch{t: t}
			for i := range list {
				id := list[i].Parsed.Received.ID
				if err := b.message(&list[i], stories[id]); err != nil {
					return fmt.Errorf("message %s: %w", id, err)
				}
			}
			return b.write()
		})
	}
	if err != nil {
		return fmt.Errorf("restore messages: %w", err)
	}
	return nil
}

// story is what the journal says of a message and its documents.
type story struct {
	received *greffe.Matter // the first of its arrival
	archived time.Time
	told     map[[2]string]bool // subject and action
	life     []event
	triaged  bool // people decided about the message as a whole
}

// event is an outcome or a decision.
type event struct {
	seq      int64
	document greffe.DocumentID
	matter   greffe.Matter
}

// stories reads what the journal says of the messages whose ids lie from first to last.
func (db *DB) stories(ctx context.Context, first, last greffe.MessageID) (map[greffe.MessageID]*story, error) {
	rows, err := db.query(ctx, `SELECT j.seq, j.at, j.action, j.subject, COALESCE(f.fact, '') FROM journal j LEFT JOIN journal_facts f ON f.seq = j.seq
		WHERE j.subject >= $1 AND j.subject < $2 AND j.action IN ('received', 'parsed', 'archived', 'delivered', 'decided')`, string(first), string(last)+".")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stories := map[greffe.MessageID]*story{}
	arrivals := map[greffe.MessageID]int64{}
	for rows.Next() {
		var seq, at int64
		var action, subject, text string
		if err := rows.Scan(&seq, &at, &action, &subject, &text); err != nil {
			return nil, err
		}
		id := greffe.DocumentID(subject).Message()
		s := stories[id]
		if s == nil {
			s = &story{told: map[[2]string]bool{}}
			stories[id] = s
		}
		s.told[[2]string{subject, action}] = true
		var m greffe.Matter
		if err := decode(text, &m); err != nil {
			return nil, fmt.Errorf("fact of entry %d: %w", seq, err)
		}
		switch {
		case action == "received" && m.Received != nil && m.Received.ID == id:
			if s.received == nil || seq < arrivals[id] {
				s.received, arrivals[id] = &m, seq
			}
		case action == "archived" && subject == string(id):
			if when := time.UnixMilli(at).UTC(); s.archived.IsZero() || when.Before(s.archived) {
				s.archived = when
			}
		case m.Outcome != nil || m.Decision != nil || m.Triage != nil:
			s.life = append(s.life, event{seq, greffe.DocumentID(subject), m})
			s.triaged = s.triaged || m.Triage != nil
		}
	}
	for _, s := range stories {
		slices.SortFunc(s.life, func(a, b event) int { return cmp.Compare(a.seq, b.seq) })
	}
	return stories, rows.Err()
}

// batch gathers the rows of messages.
type batch struct {
	t                                                                                                                    *tx
	messages, facts, words, senders, keys, doctypes, listed, unstated, documents, names, outcomes, deliveries, decisions [][]any
	again                                                                                                                []event // done again after the rows are there
}

func (b *batch) message(m *Restored, s *story) error {
	p, id := &m.Parsed, m.Parsed.Received.ID
	if s == nil {
		s = &story{}
	}
	first, at := p.Received, s.archived
	if s.received != nil {
		first = *s.received.Received
	}
	if at.IsZero() {
		at = b.t.now()
	}
	if err := b.note(m, s, first); err != nil {
		return err
	}
	life := s.life
	if s.triaged {
		// What people decide about the whole message depends on how its documents stood.
		life, b.again = nil, append(b.again, s.life...)
	}
	states, outcomes := make([]greffe.State, len(p.Documents)), make([]*greffe.Outcome, len(p.Documents))
	for i := range p.Documents {
		var err error
		if states[i], outcomes[i], err = b.document(m, i, at, life); err != nil {
			return fmt.Errorf("document %d: %w", i+1, err)
		}
	}
	row := receivedRow(&first)
	sender, header := shown(&p.Message)
	code, _ := doctype(p)
	state := greffe.Summary(p.Message.Kind, states)
	row[7], row[8], row[9], row[10] = millis(at), string(state), string(p.Verdict), string(p.Message.Kind)
	row[12], row[13], row[14] = clean(p.Message.Subject, 2000), clean(sender, 500), clean(header, 1000)
	row[17], row[18], row[19] = string(causeOf(state, p.Message.Kind, states, outcomes)), code, SenderKey(&p.Message)
	b.messages = append(b.messages, row)
	b.doctypes = append(b.doctypes, doctypeRows(p)...)
	b.senders = append(b.senders, senderWordRows(&p.Message)...)
	received, err1 := encode(first)
	raw, err2 := encode(m.Raw)
	parsed, err3 := encode(p)
	manifest, err4 := encode(m.Manifest)
	objects, err5 := encode(m.Objects)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	b.facts = append(b.facts, []any{string(id), received, raw, parsed, manifest, objects})
	seen, hour := listedRowOf(first.Origin, id, first.At)
	b.listed = append(b.listed, seen)
	b.unstated = append(b.unstated, []any{seen[0], hour, b.t.now().UnixMilli()})
	for _, w := range messageWords(p) {
		b.words = append(b.words, []any{w, millis(first.At), string(id)})
	}
	return nil
}

// note notes anew what the journal does not say.
func (b *batch) note(m *Restored, s *story, first greffe.Received) error {
	p, id := &m.Parsed, m.Parsed.Received.ID
	if !s.told[[2]string{string(id), "received"}] {
		if err := b.t.noteReceived(first, m.Raw); err != nil {
			return err
		}
	}
	if !s.told[[2]string{string(id), "parsed"}] {
		b.t.note("parser", "parsed", string(id), string(p.Verdict), p.Parser)
	}
	states := slices.Repeat([]greffe.State{greffe.StateArchived}, len(p.Documents))
	if !s.told[[2]string{string(id), "archived"}] {
		b.t.note("storage", "archived", string(id), string(greffe.Summary(p.Message.Kind, states)), string(m.Manifest.SHA256))
	}
	for i := range p.Documents {
		if d := string(greffe.NewDocumentID(id, i+1)); !s.told[[2]string{d, "archived"}] {
			b.t.note("storage", "archived", d, string(greffe.StateArchived), string(p.Documents[i].SHA256))
		}
	}
	return nil
}

// document adds the i-th document of a message and what became of it, and returns its
// state, and the outcome that gave it.
func (b *batch) document(m *Restored, i int, at time.Time, life []event) (greffe.State, *greffe.Outcome, error) {
	id := greffe.NewDocumentID(m.Parsed.Received.ID, i+1)
	row, err := documentRow(&m.Parsed, i, at, m.Objects)
	if err != nil {
		return "", nil, err
	}
	var stands greffe.Deliveries
	var duplicateOf greffe.DocumentID
	var chosen *greffe.Patient
	var told []string
	for _, e := range life {
		if e.document != id {
			continue
		}
		if d := e.matter.Decision; d != nil {
			decision, err := encode(d)
			if err != nil {
				return "", nil, err
			}
			remembered := ""
			if d.Verb == greffe.VerbAttach {
				chosen = cmp.Or(d.Patient, chosen)
				if d.Remember {
					remembered = row[8].(string)
				}
			}
			b.decisions = append(b.decisions, []any{clean(d.ID, 200), string(id), millis(d.At), decision, remembered})
			continue
		}
		o := *e.matter.Outcome
		outcome, err := encode(o)
		if err != nil {
			return "", nil, err
		}
		after, what := following(stands, o)
		if what == outcomeKnown || what == outcomeLate && slices.Contains(told, outcome) {
			continue
		}
		told = append(told, outcome)
		b.outcomes = append(b.outcomes, []any{string(id), len(told), outcome})
		if what == outcomeLate {
			continue
		}
		if stands = after; o.DI == "" {
			duplicateOf = e.matter.DuplicateOf
		}
	}
	state, last := greffe.StateArchived, (*greffe.Outcome)(nil)
	if o := stands.Gravest(); o.State != "" {
		outcome, err := encode(o)
		if err != nil {
			return "", nil, err
		}
		if o.DI != "" {
			duplicateOf = ""
		}
		state, last = o.State, &o
		row[6], row[12], row[13], row[14], row[15] = millis(o.At), string(state), clean(o.Text, 2000), string(duplicateOf), outcome
	}
	for _, o := range stands {
		outcome, err := encode(o)
		if err != nil {
			return "", nil, err
		}
		b.deliveries = append(b.deliveries, []any{string(id), o.DI, string(o.State), millis(o.At), millis(dueAfter(o)), 0, "", outcome})
	}
	own := m.Parsed.Documents[i].Patient
	names := nameRows(id, &own, row[3].(string), row[3].(string), row[4].(int64))
	if chosen != nil {
		if row[19], err = encode(chosen); err != nil {
			return "", nil, err
		}
		row[10], row[11] = searched(own, chosen)
		names = append(names, nameRows(id, chosen, row[3].(string), row[3].(string), row[4].(int64))...)
	}
	key := keyRow(&m.Parsed, i, at)
	key[8] = string(state)
	b.keys = append(b.keys, key)
	b.documents = append(b.documents, row)
	b.names = append(b.names, unlike(names, 2)...)
	return state, last, nil
}

// causeOf returns why a message waits for a person, as recause does.
func causeOf(state greffe.State, kind greffe.MessageKind, states []greffe.State, outcomes []*greffe.Outcome) greffe.Cause {
	if !state.Waits() {
		return ""
	}
	if i := slices.Index(states, state); i >= 0 && outcomes[i] != nil {
		return outcomes[i].Cause()
	}
	return greffe.CauseOfMessage(kind)
}

// replay does again what was done, through the code that did it.
func (t *tx) replay(life []event) error {
	for _, e := range life {
		var err error
		switch m := e.matter; {
		case m.Outcome != nil:
			_, err = t.saveOutcome(e.document, *m.Outcome, m.DuplicateOf, true)
		case m.Decision != nil:
			_, err = t.saveDecision(*m.Decision)
		case m.Triage != nil:
			_, err = t.saveTriage(*m.Triage)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("entry %d: %w", e.seq, err)
		}
	}
	return nil
}

// unnoted runs f without the entries that it notes: the journal has them.
func (t *tx) unnoted(f func() error) error {
	n := len(t.entries)
	err := f()
	for i := n; i < len(t.entries); i++ {
		delete(t.facts, i)
	}
	t.entries = t.entries[:n]
	return err
}

func (b *batch) write() error {
	for _, w := range []struct {
		head string
		rows [][]any
		tail string
	}{
		{insertMessages, b.messages, ""},
		{insertFacts, b.facts, ""},
		{insertDocuments, b.documents, ""},
		{insertNames, b.names, " ON CONFLICT DO NOTHING"},
		{insertKeys, b.keys, ""},
		{insertWords, b.words, " ON CONFLICT DO NOTHING"},
		{insertSenderWords, unlike(b.senders, 2), " ON CONFLICT DO NOTHING"},
		{insertDoctypes, unlike(b.doctypes, 1), " ON CONFLICT (code) DO NOTHING"},
		{insertOutcomes, b.outcomes, ""},
		{insertDeliveries, b.deliveries, ""},
		{insertDecisions, b.decisions, " ON CONFLICT (id) DO NOTHING"},
		{insertListed, unlike(b.listed, 5), takenListed},
		{insertUnstated, unlike(b.unstated, 2), newerUnstated},
	} {
		if err := b.t.insert(w.head, w.rows, w.tail); err != nil {
			return err
		}
	}
	return b.t.unnoted(func() error { return b.t.replay(b.again) })
}

// unlike leaves out rows whose first n values are those of one before: PostgreSQL does
// not change a row twice in one statement.
func unlike(rows [][]any, n int) [][]any {
	seen := map[string]bool{}
	return slices.DeleteFunc(rows, func(r []any) bool {
		key := fmt.Sprintf("%q", r[:n])
		was := seen[key]
		seen[key] = true
		return was
	})
}

// RestoreReceived writes back the messages that the journal says were received and
// that have no manifest, and returns how many there are. Those that were eliminated
// stay away.
func (db *DB) RestoreReceived(ctx context.Context) (int, error) {
	n := 0
	for last := int64(0); ; {
		rows, err := db.query(ctx, `SELECT j.seq, f.fact FROM journal j JOIN journal_facts f ON f.seq = j.seq
			WHERE j.seq > $1 AND j.action = 'received' AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = j.subject)
			AND NOT EXISTS (SELECT 1 FROM journal e WHERE e.subject = j.subject AND e.action IN ('eliminated', 'erased'))
			ORDER BY j.seq LIMIT 500`, last)
		if err != nil {
			return n, fmt.Errorf("restore received messages: %w", err)
		}
		var list []greffe.Matter
		more := false
		for err == nil && rows.Next() {
			var text string
			var m greffe.Matter
			if err = rows.Scan(&last, &text); err == nil {
				err = decode(text, &m)
			}
			if more = true; m.Received != nil {
				list = append(list, m)
			}
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return n, fmt.Errorf("restore received messages: %w", err)
		}
		if !more {
			return n, nil
		}
		life := make([][]event, len(list))
		for i, m := range list {
			stories, err := db.stories(ctx, m.Received.ID, m.Received.ID)
			if err != nil {
				return n, fmt.Errorf("restore received message %s: %w", m.Received.ID, err)
			}
			if s := stories[m.Received.ID]; s != nil {
				life[i] = s.life
			}
		}
		err = db.load(ctx, func(t *tx) error {
			return t.unnoted(func() error {
				for i, m := range list {
					var raw greffe.Object
					if m.Raw != nil {
						raw = *m.Raw
					}
					if _, err := t.insertReceived(*m.Received, raw); err != nil {
						return err
					}
					if err := t.replay(life[i]); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err != nil {
			return n, fmt.Errorf("restore received messages: %w", err)
		}
		n += len(list)
	}
}

// RestoreLife writes back what of the life of documents and messages is not in their own
// rows, after these: which document stands for its copies, and the answers to senders.
// done is how many outcomes, decisions, claims and answers the journal tells of, without
// how many more are about what the index does not hold (any more).
func (db *DB) RestoreLife(ctx context.Context) (done, without int, err error) {
	err = db.load(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO claims (identity, document_id) SELECT TRIM(j.detail), j.subject FROM journal j
			WHERE j.action = 'claimed' AND EXISTS (SELECT 1 FROM documents d WHERE d.id = j.subject) ORDER BY j.seq
			ON CONFLICT (identity) DO NOTHING`)
		return err
	})
	if err == nil {
		err = db.restoreAnswers(ctx)
	}
	if err == nil {
		err = db.restoreGates(ctx)
	}
	if err == nil {
		err = db.read.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN d.id IS NULL AND m.id IS NULL THEN 1 ELSE 0 END), 0)
			FROM journal j LEFT JOIN documents d ON d.id = j.subject LEFT JOIN messages m ON m.id = j.subject
			WHERE j.action IN ('claimed', 'delivered', 'decided', 'notified')`).Scan(&done, &without)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("restore what became of documents: %w", err)
	}
	return done - without, without, nil
}

// Doubt gives every document that a machine would settle to a person, with its journal
// entry, when what the journal said of it may be lost: it was archived, or told of last,
// not after until, or the journal does not say when (RestoreMessages noted it after
// began). It returns how many they are.
func (db *DB) Doubt(ctx context.Context, until, began time.Time, code, text string) (int, error) {
	n, last := 0, greffe.DocumentID("")
	for {
		list, err := db.documents(ctx, `SELECT `+documentColumns+fromDocuments+`WHERE d.state IN ('archivé', 'en attente du DI') AND d.id > $1
			AND (d.archived_at <= $2 AND d.decided_at <= $2 OR d.archived_at >= $3) ORDER BY d.id LIMIT 500`, string(last), millis(until), millis(began))
		if err == nil && len(list) > 0 {
			last = list[len(list)-1].ID
			err = db.load(ctx, func(t *tx) error {
				for _, d := range list {
					if _, err := t.saveOutcome(d.ID, greffe.Outcome{State: greffe.StateTodo, Code: code, Text: text, At: t.now()}, "", true); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			return n, fmt.Errorf("documents in doubt: %w", err)
		}
		if len(list) == 0 {
			return n, nil
		}
		n += len(list)
	}
}

// restoreAnswers writes back the answers to senders, each as the journal told it last.
// A person's word that it may go is in the state of the answer.
func (db *DB) restoreAnswers(ctx context.Context) error {
	for last := int64(0); ; {
		rows, err := db.query(ctx, `SELECT j.seq, f.fact FROM journal j JOIN journal_facts f ON f.seq = j.seq
			JOIN messages m ON m.id = j.subject WHERE j.seq > $1 AND j.action = 'notified' ORDER BY j.seq LIMIT 1000`, last)
		if err != nil {
			return err
		}
		var list [][]any
		more := false
		for err == nil && rows.Next() {
			var text string
			var m greffe.Matter
			if err = rows.Scan(&last, &text); err == nil {
				err = decode(text, &m)
			}
			if more = true; m.Answer != nil {
				a := m.Answer
				list = append(list, []any{a.Key, string(a.Message), a.Kind, string(a.State), clean(a.Code, 60), clean(a.Recipient, 320), clean(a.MailID, 320),
					clean(a.Reason, 1000), millis(a.Begun), millis(a.At)})
			}
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil || !more {
			return err
		}
		slices.Reverse(list) // the last of each key first
		err = db.load(ctx, func(t *tx) error {
			return t.insert(`INSERT INTO answers (key, message_id, kind, state, code, recipient, mail_id, reason, begun_at, at) VALUES `, unlike(list, 1),
				` ON CONFLICT (key) DO UPDATE SET kind=excluded.kind, state=excluded.state, code=excluded.code,
				recipient=excluded.recipient, reason=excluded.reason, at=excluded.at`)
		})
		if err != nil {
			return err
		}
	}
}
