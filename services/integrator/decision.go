package integrator

import (
	"context"
	"errors"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// copyOf says that doc is the same as a document that the DI has, on a person's word.
// Without that the sender could be told that the DI has what it does not.
func (i *Integrator) copyOf(ctx context.Context, doc index.Document, d greffe.Decided) error {
	of, err := i.index.Document(ctx, d.Of)
	if errors.Is(err, index.ErrNotFound) || err == nil && (of.State != greffe.StateDelivered || of.ID == doc.ID) {
		return i.tell(ctx, doc, doc.Outcome, greffe.Outcome{State: greffe.StateTodo, Code: greffe.CodeReopened,
			Text: "L’autre document n’est pas dans le DI : ce document n’a pas été classé comme doublon. Le traiter, ou traiter d’abord l’autre."}, "")
	}
	if err != nil {
		return fault("apply decision", err)
	}
	return i.tell(ctx, doc, doc.Outcome, greffe.Outcome{State: greffe.StateDuplicate, Code: greffe.CodeDecision, Text: d.Reason}, of.ID)
}

// reopen takes back that a person put doc aside. Whatever else settled it stays.
func (i *Integrator) reopen(ctx context.Context, doc index.Document, d greffe.Decided) error {
	if doc.State != greffe.StateDismissed || doc.Outcome.Code != greffe.CodeDecision {
		return nil
	}
	return i.tell(ctx, doc, doc.Outcome, greffe.Outcome{State: greffe.StateTodo, Code: greffe.CodeReopened, Text: "Classement annulé : le document est de nouveau à traiter."}, "")
}
