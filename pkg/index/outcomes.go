package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// SaveOutcome records what became of a document with its journal entry and
// returns the state of its message after it. duplicateOf is set for
// StateDuplicate. Recording the same outcome again (same state, code and
// control as the last) changes nothing.
//
// An outcome that is older than the one that gave the document its state is
// recorded and changes no state, so that an event delivered late does not undo
// what came after. No outcome leads from a final state back to StateArchived.
// ErrNotFound when there is no such document.
func (db *DB) SaveOutcome(ctx context.Context, id greffe.DocumentID, o greffe.Outcome, duplicateOf greffe.DocumentID) (greffe.State, error) {
	var state greffe.State
	err := db.update(ctx, func(t *tx) (err error) {
		state, err = t.saveOutcome(id, o, duplicateOf)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("save outcome of %s: %w", id, err)
	}
	return state, nil
}

func (t *tx) saveOutcome(id greffe.DocumentID, o greffe.Outcome, duplicateOf greffe.DocumentID) (greffe.State, error) {
	var (
		mailbox, lastJSON string
		desk              string
		state, message    greffe.State
		kind              greffe.MessageKind
	)
	err := t.row([]any{&mailbox, &desk, &state, &lastJSON, &message, &kind}, `SELECT d.mailbox, m.desk, d.state, d.outcome_json, m.state, m.kind
		FROM documents d JOIN messages m ON m.id = d.message_id WHERE d.id = $1`, string(id))
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", err
	}
	var last greffe.Outcome
	if err := decode(lastJSON, &last); err != nil {
		return "", err
	}
	if o.At.IsZero() {
		o.At = time.Now().UTC().Truncate(time.Millisecond)
	}
	before := &last
	if lastJSON == "" {
		before = nil
	}
	what := following(state, before, o)
	if what == outcomeKnown {
		return message, nil
	}
	outcome, err := encode(o)
	if err != nil {
		return "", err
	}
	late := what == outcomeLate
	if late {
		// Told again, and not the last any more: once is enough.
		var told int64
		if err := t.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM outcomes WHERE document_id = $1 AND outcome_json = $2`,
			string(id), outcome).Scan(&told); err != nil || told > 0 {
			return message, err
		}
	}
	if _, err := t.exec(`INSERT INTO outcomes (document_id, number, outcome_json)
		SELECT $1, COALESCE(MAX(number), 0) + 1, $2 FROM outcomes WHERE document_id = $1`, string(id), outcome); err != nil {
		return "", err
	}
	detail := strings.Join(strings.Fields(o.DI+" "+o.Action+" "+clean(o.Code, 60)), " ")
	if late {
		detail += " (late)"
	}
	if err := t.noteFact("integrator", "delivered", string(id), string(o.State), detail, greffe.Matter{Outcome: &o, DuplicateOf: duplicateOf}); err != nil {
		return "", err
	}
	if late {
		return message, nil
	}

	if _, err := t.exec(`UPDATE documents SET state=$2, reason=$3, duplicate_of=$4, outcome_json=$5, decided_at=$6 WHERE id=$1`,
		string(id), string(o.State), clean(o.Text, 2000), string(duplicateOf), outcome, millis(o.At)); err != nil {
		return "", err
	}
	if o.State == state {
		return message, t.recause(id.Message())
	}
	t.count("document", mailbox, state, -1)
	t.count("document", mailbox, o.State, 1)
	states, err := t.documentStates(id.Message())
	if err != nil {
		return "", err
	}
	after := greffe.Summary(kind, states)
	if after == message {
		return message, t.recause(id.Message())
	}
	if _, err := t.exec(`UPDATE messages SET state=$2 WHERE id=$1`, string(id.Message()), string(after)); err != nil {
		return "", err
	}
	if !after.Waits() {
		// What was put off or passed on is settled; it would be anybody's again.
		if _, err := t.exec(`UPDATE messages SET assignee='', later_at=0 WHERE id=$1`, string(id.Message())); err != nil {
			return "", err
		}
	}
	t.count("message", desk, message, -1)
	t.count("message", desk, after, 1)
	return after, t.recause(id.Message())
}

// What an outcome means to a document.
const (
	outcomeNext  = iota // gives it its state
	outcomeLate         // is recorded and changes no state, unless it was recorded before
	outcomeKnown        // changes nothing
)

// following says what outcome o means to a document in a state that last gave it; nil
// when none did yet.
func following(state greffe.State, last *greffe.Outcome, o greffe.Outcome) int {
	switch {
	case last != nil && last.State == o.State && last.Code == o.Code && last.Control == o.Control,
		o.State == greffe.StateArchived && state.Final():
		return outcomeKnown
	case last != nil && o.At.Before(last.At):
		return outcomeLate
	}
	return outcomeNext
}

const (
	insertOutcomes  = `INSERT INTO outcomes (document_id, number, outcome_json) VALUES `
	insertDecisions = `INSERT INTO decisions (id, document_id, at, decision_json) VALUES `
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
	n, err := t.exec(insertDecisions+`($1,$2,$3,$4) ON CONFLICT (id) DO NOTHING`,
		clean(d.ID, 200), string(d.Document), millis(d.At), decision)
	if err != nil || n == 0 {
		return false, err
	}
	return true, t.noteFact(d.By, "decided", string(d.Document), string(d.Verb), clean(d.ID, 100), greffe.Matter{Decision: &d})
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
