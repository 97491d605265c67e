package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"greffe/pkg/greffe"
)

// SaveOutcome records what became of a document with its journal entry and
// returns the state of its message after it. duplicateOf is set for
// StateDuplicate. Recording the same outcome again (same state, code and
// control as the last of that DI) changes nothing.
//
// The state of the document is that of the gravest of its deliveries, one for each DI
// (greffe.Deliveries). An outcome that is older than the one of its DI is
// recorded and changes no state, so that an event delivered late does not undo
// what came after. No outcome leads from another state back to StateArchived.
//
// Until Told says that it was published, a machine has the outcome of a DI to tell.
// ErrNotFound when there is no such document.
func (db *DB) SaveOutcome(ctx context.Context, id greffe.DocumentID, o greffe.Outcome, duplicateOf greffe.DocumentID) (greffe.State, error) {
	var state greffe.State
	err := db.update(ctx, func(t *tx) (err error) {
		state, err = t.saveOutcome(id, o, duplicateOf, false)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("save outcome of %s: %w", id, err)
	}
	return state, nil
}

func (t *tx) saveOutcome(id greffe.DocumentID, o greffe.Outcome, duplicateOf greffe.DocumentID, told bool) (greffe.State, error) {
	var (
		mailbox, desk  string
		state, message greffe.State
		kind           greffe.MessageKind
	)
	err := t.row([]any{&mailbox, &desk, &state, &message, &kind}, `SELECT d.mailbox, m.desk, d.state, m.state, m.kind
		FROM documents d JOIN messages m ON m.id = d.message_id WHERE d.id = $1`, string(id))
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", err
	}
	before, err := t.standing(id)
	if err != nil {
		return "", err
	}
	if o.At.IsZero() {
		o.At = t.now()
	}
	after, what := following(before, o)
	if what == outcomeKnown {
		return message, nil
	}
	outcome, err := encode(o)
	if err != nil {
		return "", err
	}
	if what == outcomeLate {
		// Told again, and not the last any more: once is enough.
		var told int64
		if err := t.row([]any{&told}, `SELECT COUNT(*) FROM outcomes WHERE document_id = $1 AND outcome_json = $2`,
			string(id), outcome); err != nil || told > 0 {
			return message, err
		}
	}
	if err := t.later(`INSERT INTO outcomes (document_id, number, outcome_json)
		SELECT $1, COALESCE(MAX(number), 0) + 1, $2 FROM outcomes WHERE document_id = $1`, string(id), outcome); err != nil {
		return "", err
	}
	detail := outcomeDetail(o)
	if what == outcomeLate {
		detail += " (late)"
	}
	if err := t.noteFact("integrator", "delivered", string(id), string(o.State), detail, greffe.Matter{Outcome: &o, DuplicateOf: duplicateOf}); err != nil {
		return "", err
	}
	if what == outcomeLate {
		return message, nil
	}
	if err := t.saveDelivery(id, before, after, o, outcome, told); err != nil {
		return "", err
	}
	if o = after.Gravest(); o.DI != "" {
		duplicateOf = ""
	}
	if outcome, err = encode(o); err != nil {
		return "", err
	}
	if err := t.later(`UPDATE documents SET state=$2, reason=$3, duplicate_of=$4, outcome_json=$5, decided_at=$6 WHERE id=$1`,
		string(id), string(o.State), clean(o.Text, 2000), string(duplicateOf), outcome, millis(o.At)); err != nil {
		return "", err
	}
	if o.State == state {
		return message, t.recause(id.Message())
	}
	if _, err := t.exec(`UPDATE document_keys SET state=$2 WHERE document_id=$1`, string(id), string(o.State)); err != nil {
		return "", err
	}
	t.count("document", mailbox, state, -1)
	t.count("document", mailbox, o.State, 1)
	states, err := t.documentStates(id.Message())
	if err != nil {
		return "", err
	}
	then, err := t.summary(id.Message(), kind, states)
	if err != nil {
		return "", err
	}
	if then == message {
		return message, t.recause(id.Message())
	}
	if err := t.later(`UPDATE messages SET state=$2 WHERE id=$1`, string(id.Message()), string(then)); err != nil {
		return "", err
	}
	if !then.Waits() {
		// What was put off or passed on is settled; it would be anybody's again.
		if err := t.later(`UPDATE messages SET assignee='', later_at=0 WHERE id=$1`, string(id.Message())); err != nil {
			return "", err
		}
	}
	t.count("message", desk, message, -1)
	t.count("message", desk, then, 1)
	return then, t.recause(id.Message())
}

// What an outcome means to a document.
const (
	outcomeNext  = iota // changes its deliveries
	outcomeLate         // is recorded and changes nothing else, unless it was recorded before
	outcomeKnown        // changes nothing
)

// following returns the deliveries of a document after outcome o, and what it means to it.
func following(before greffe.Deliveries, o greffe.Outcome) (after greffe.Deliveries, what int) {
	last, told := before.At(o.DI)
	if told && (o.State == greffe.StateArchived || last.State == o.State && last.Code == o.Code && last.Control == o.Control) {
		return before, outcomeKnown
	}
	after, changes := before.With(o)
	if !changes {
		return before, outcomeLate
	}
	return after, outcomeNext
}

const (
	insertOutcomes  = `INSERT INTO outcomes (document_id, number, outcome_json) VALUES `
	insertDecisions = `INSERT INTO decisions (id, document_id, at, decision_json, remembered) VALUES `
)

func (t *tx) documentStates(id greffe.MessageID) ([]greffe.State, error) {
	rows, err := t.QueryContext(t.ctx, `SELECT state FROM documents WHERE message_id = $1`, string(id))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var states []greffe.State
	for rows.Next() {
		var s greffe.State
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		states = append(states, s)
	}
	return states, rows.Err()
}

// attempts returns the outcomes of the documents of a message, oldest first.
func (db *DB) attempts(ctx context.Context, id greffe.MessageID) ([]Attempt, error) {
	rows, err := db.query(ctx, `SELECT o.document_id, o.outcome_json FROM outcomes o
		JOIN documents d ON d.id = o.document_id WHERE d.message_id = $1 ORDER BY d.number, o.number`, string(id))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Attempt
	for rows.Next() {
		var a Attempt
		var outcome string
		if err := rows.Scan(&a.Document, &outcome); err != nil {
			return nil, err
		}
		if err := decode(outcome, &a.Outcome); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	slices.SortStableFunc(list, func(a, b Attempt) int { return a.Outcome.At.Compare(b.Outcome.At) })
	return list, rows.Err()
}

// SaveDecision records a person's decision once, with its journal entry; false
// when it was recorded before. The state of the document changes with the
// outcome that follows. ErrNotFound when there is no such document.
func (db *DB) SaveDecision(ctx context.Context, d greffe.Decided) (bool, error) {
	recorded := false
	err := db.update(ctx, func(t *tx) (err error) {
		recorded, err = t.saveDecision(d)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("save decision on %s: %w", d.Document, err)
	}
	return recorded, nil
}

func (t *tx) saveDecision(d greffe.Decided) (bool, error) {
	decision, err := encode(d)
	if err != nil {
		return false, err
	}
	var one int
	err = t.row([]any{&one}, `SELECT 1 FROM documents WHERE id = $1`, string(d.Document))
	if errors.Is(err, sql.ErrNoRows) {
		return false, ErrNotFound
	}
	if err != nil {
		return false, err
	}
	remembered := ""
	if d.Verb == greffe.VerbAttach && d.Remember {
		if err := t.row([]any{&remembered}, `SELECT lineage FROM documents WHERE id = $1`, string(d.Document)); err != nil {
			return false, err
		}
	}
	n, err := t.exec(insertDecisions+`($1,$2,$3,$4,$5) ON CONFLICT (id) DO NOTHING`,
		clean(d.ID, 200), string(d.Document), millis(d.At), decision, remembered)
	if err != nil || n == 0 {
		return false, err
	}
	if d.Verb == greffe.VerbAttach && d.Patient != nil {
		if err := t.choose(d.Document, *d.Patient); err != nil {
			return false, err
		}
	}
	return true, t.noteFact(d.By, "decided", string(d.Document), string(d.Verb), clean(d.ID, 100), greffe.Matter{Decision: &d})
}

// choose notes whom a document is about: it is found by that patient, too.
func (t *tx) choose(id greffe.DocumentID, p greffe.Patient) error {
	chosen, err := encode(p)
	if err != nil {
		return err
	}
	var mailbox, desk, text string
	var received int64
	if err := t.row([]any{&mailbox, &desk, &received, &text}, `SELECT d.mailbox, m.desk, d.received_at, d.facts_json`+fromDocuments+`WHERE d.id = $1`, string(id)); err != nil {
		return err
	}
	var facts greffe.Document
	if err := decode(text, &facts); err != nil {
		return err
	}
	number, birth := searched(facts.Patient, &p)
	if _, err := t.exec(`UPDATE documents SET chosen_json=$2, ins=$3, birth_date=$4 WHERE id=$1`, string(id), chosen, number, birth); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM document_names WHERE document_id=$1`, string(id)); err != nil {
		return err
	}
	if err := t.insertNames(id, &facts.Patient, mailbox, desk, received); err != nil {
		return err
	}
	return t.insertNames(id, &p, mailbox, desk, received)
}

// searched returns the matricule and birth date that a document is found by: its own, else
// those of whom a person chose.
func searched(own greffe.Patient, chosen *greffe.Patient) (number, birth string) {
	number, birth = insKey(own.INS.Extension), clean(own.BirthDate, 8)
	if chosen != nil && number == "" {
		number = insKey(chosen.INS.Extension)
	}
	if chosen != nil && birth == "" {
		birth = clean(chosen.BirthDate, 8)
	}
	return number, birth
}

// decisions returns what people decided about the documents of a message.
func (db *DB) decisions(ctx context.Context, id greffe.MessageID) ([]greffe.Decided, error) {
	rows, err := db.query(ctx, `SELECT c.decision_json FROM decisions c
		JOIN documents d ON d.id = c.document_id WHERE d.message_id = $1 ORDER BY c.at, c.id`, string(id))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []greffe.Decided
	for rows.Next() {
		var d greffe.Decided
		var decision string
		if err := rows.Scan(&decision); err != nil {
			return nil, err
		}
		if err := decode(decision, &d); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}
