package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/services/storage"
)

// selection says which messages and documents a command is about.
type selection struct{ document, message, patient, from, to string }

const selectionArgs = "(--document ID | --message ID | --patient INS | --from JOUR --to JOUR)"

func (s *selection) flags(fs *flag.FlagSet) {
	fs.StringVar(&s.document, "document", "", "un document, par son `ID`")
	fs.StringVar(&s.message, "message", "", "un message et ses documents, par son `ID`")
	fs.StringVar(&s.patient, "patient", "", "les documents d'un patient, par le matricule `INS` qu'ils portent")
	fs.StringVar(&s.from, "from", "", "les messages reçus depuis ce `JOUR` (AAAA-MM-JJ)")
	fs.StringVar(&s.to, "to", "", "… jusqu'à ce `JOUR` compris")
}

// days returns the period: from the begin of one day to the end of another, by the
// clock of this machine.
func (s *selection) days() (from, to time.Time, err error) {
	for _, d := range []struct {
		name, text string
		at         *time.Time
	}{{"--from", s.from, &from}, {"--to", s.to, &to}} {
		if d.text == "" {
			continue
		}
		if *d.at, err = time.ParseInLocation("2006-01-02", d.text, time.Local); err != nil {
			return from, to, fmt.Errorf("%w : %s attend un jour, par exemple 2026-11-22", errUsage, d.name)
		}
	}
	if !to.IsZero() {
		to = to.AddDate(0, 0, 1)
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, fmt.Errorf("%w : --from est après --to", errUsage)
	}
	return from, to, nil
}

// check refuses what selects nothing or more than one thing.
func (s *selection) check() error {
	n := 0
	for _, v := range []string{s.document, s.message, s.patient} {
		if v != "" {
			n++
		}
	}
	period := s.from != "" || s.to != ""
	_, _, err := s.days()
	switch {
	case n > 1, s.document != "" && period, s.message != "" && period, n == 0 && !period:
		return fmt.Errorf("%w : dites ce qui est choisi par --document, --message, --patient, ou --from et --to", errUsage)
	case n == 0 && (s.from == "" || s.to == ""):
		return fmt.Errorf("%w : --from et --to vont ensemble", errUsage)
	case s.document != "" && !greffe.DocumentID(s.document).Valid():
		return fmt.Errorf("%w : --document attend l'identifiant d'un document (26 caractères, un tiret, un numéro)", errUsage)
	case s.message != "" && !greffe.MessageID(s.message).Valid():
		return fmt.Errorf("%w : --message attend l'identifiant d'un message (26 caractères)", errUsage)
	}
	return err
}

// kind is what was selected by, in one word, without its value.
func (s *selection) kind() string {
	switch {
	case s.document != "":
		return "document"
	case s.message != "":
		return "message"
	case s.patient != "":
		return "patient"
	}
	return "period"
}

// chosen is one message and which of its documents were selected.
type chosen = storage.Chosen

// find returns the ids of the messages that are selected, in their order, with the
// documents that are; nil where the whole message is.
func (s *selection) find(ctx context.Context, db *index.DB) ([]greffe.MessageID, map[greffe.MessageID][]greffe.DocumentID, error) {
	from, to, err := s.days()
	if err != nil {
		return nil, nil, err
	}
	var ids []greffe.MessageID
	documents := map[greffe.MessageID][]greffe.DocumentID{}
	switch s.kind() {
	case "document":
		id := greffe.DocumentID(s.document)
		ids, documents[id.Message()] = []greffe.MessageID{id.Message()}, []greffe.DocumentID{id}
	case "message":
		ids = []greffe.MessageID{greffe.MessageID(s.message)}
	case "patient":
		f := index.DocumentFilter{INS: s.patient, From: from, To: to, Limit: 200}
		for more := true; more; more = f.Before != "" {
			var list []index.Document
			if list, f.Before, err = db.Documents(ctx, f); errors.Is(err, index.ErrTooShort) {
				return nil, nil, fmt.Errorf("%w : --patient attend un matricule INS entier (13 caractères, ou 15 avec sa clé)", errUsage)
			} else if err != nil {
				return nil, nil, err
			}
			for _, d := range list {
				if documents[d.Message] == nil {
					ids = append(ids, d.Message)
				}
				documents[d.Message] = append(documents[d.Message], d.ID)
			}
		}
	default:
		f := index.MessageFilter{From: from, To: to, Limit: 200}
		for more := true; more; more = f.Before != "" {
			var list []index.Message
			if list, f.Before, err = db.Messages(ctx, f); err != nil {
				return nil, nil, err
			}
			for _, m := range list {
				ids = append(ids, m.ID)
			}
		}
	}
	slices.Sort(ids)
	return ids, documents, nil
}

// each calls f for each selected message, in the order of their ids, and returns how
// many there were. A message or document that does not exist is an error, a patient
// or period without any is not.
func (s *selection) each(ctx context.Context, db *index.DB, f func(c chosen, done, total int) error) (int, error) {
	ids, documents, err := s.find(ctx, db)
	if err != nil {
		return 0, err
	}
	for i, id := range ids {
		d, err := db.Message(ctx, id)
		if errors.Is(err, index.ErrNotFound) {
			return 0, unknownMessage(ctx, db, id)
		}
		if err != nil {
			return 0, err
		}
		c := chosen{Detail: d, Whole: documents[id] == nil, Documents: d.Documents}
		if !c.Whole {
			c.Documents = slices.DeleteFunc(slices.Clone(d.Documents), func(x index.Document) bool { return !slices.Contains(documents[id], x.ID) })
			if len(c.Documents) < len(documents[id]) {
				return 0, fmt.Errorf("aucun document %s dans l'index", documents[id][0])
			}
		}
		if err := f(c, i, len(ids)); err != nil {
			return i, err
		}
	}
	return len(ids), nil
}

// unknownMessage says why the index does not hold a message: it was erased, or is not known.
func unknownMessage(ctx context.Context, db *index.DB, id greffe.MessageID) error {
	at, erasure, err := db.Erased(ctx, id)
	switch {
	case err == nil:
		return fmt.Errorf("le message %s a été effacé le %s (certificat %s dans l'archive) : il n'en reste que les lignes du journal", id, frenchDay(at), archive.CertificateKey(erasure))
	case !errors.Is(err, index.ErrNotFound):
		return err
	}
	return fmt.Errorf("aucun message %s dans l'index", id)
}

// none says that a patient or a period has nothing.
func (s *selection) none() error {
	if s.kind() == "patient" {
		return errors.New("aucun document ne porte ce matricule INS ; vérifiez-le sur la page du patient dans la console")
	}
	return fmt.Errorf("aucun message n'a été reçu du %s au %s", s.from, s.to)
}

// localActor is who acts when a command runs on the machine itself: whoever has it.
const localActor = "console-locale"
