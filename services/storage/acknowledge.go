package storage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Subject and action of the entries that acknowledge an anomaly.
const (
	acknowledgedSubject = "journal"
	acknowledgedAction  = "acknowledged"
)

// ErrNothing is returned by Acknowledge for an entry at which nothing is to acknowledge.
var ErrNothing = errors.New("storage: the clock did not go back at this entry")

// Acknowledge notes in the journal, with the reason, that by knows of the clock that
// went back at an entry, or that was ahead of the authority's when the entry was sealed.
// Verify shows it as a warning from then on: no one can mend it, and what comes anew must
// be seen. ErrNothing when Verify would not name it; it reads the journal to know.
func Acknowledge(ctx context.Context, store archive.Store, db *index.DB, opt VerifyOptions, seq int64, by, from, reason string) error {
	// The journal alone: such a sample holds no message.
	rep, err := Verify(ctx, store, db, VerifyOptions{Keys: opt.Keys, Authority: opt.Authority, Sample: 1e-9})
	if err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	for _, p := range rep.Holes {
		if p.Check == CheckClock && p.Entry == seq {
			return db.AppendReason(ctx, index.Entry{Actor: by, Action: acknowledgedAction, Subject: acknowledgedSubject, From: from, Result: "ok",
				Detail: fmt.Sprintf("%s %d", CheckClock, seq)}, reason)
		}
	}
	return fmt.Errorf("acknowledge entry %d: %w", seq, ErrNothing)
}

// Acknowledged returns the entries of the journal that acknowledge that the clock went
// back, by the number of the entry at which it did.
func Acknowledged(ctx context.Context, db *index.DB) (map[int64]greffe.Entry, error) {
	list, err := db.JournalOf(ctx, acknowledgedSubject, acknowledgedAction, 1000)
	if err != nil {
		return nil, err
	}
	known := map[int64]greffe.Entry{}
	for _, e := range list {
		_, detail := e.FactDigest()
		if check, n, _ := strings.Cut(detail, " "); check == string(CheckClock) {
			if seq, err := strconv.ParseInt(n, 10, 64); err == nil {
				known[seq] = e
			}
		}
	}
	return known, nil
}

// clock names an entry whose time cannot be right, or reminds of it when somebody
// acknowledged that.
func (w *journalWalk) clock(p Problem, cause error) {
	by, ok := w.known[p.Entry]
	if !ok {
		w.v.add(p, cause)
		return
	}
	w.v.warn(p, fmt.Sprintf("L’horloge a reculé ou avançait ; %s l’a reconnu le %s (entrée %d du journal, avec la raison).", by.Actor, by.At.Local().Format("02/01/2006"), by.Seq),
		"Rien à faire : l’ordre des entrées et les jetons d’horodatage restent la preuve.", cause)
}
