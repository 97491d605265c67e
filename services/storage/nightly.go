package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/index"
)

// Nightly says when the service verifies by itself, and what.
type Nightly struct {
	// At is the time of day, after midnight of the host's time zone; On is false when
	// nothing is verified by itself.
	At time.Duration
	On bool
	// Options are those of each run; the seed is drawn anew, and of the sealed
	// journal the last week is read.
	Options VerifyOptions
}

const (
	nightlyLook  = time.Minute
	nightlyLease = 30 * time.Second
	nightlyBack  = 7 * 24 * time.Hour // of the journal
	nightlyLate  = 36 * time.Hour     // since the last run: something keeps it from running
)

// Subject and action of the entries that runs leave in the journal.
const (
	verifiedSubject = "archive"
	verifiedAction  = "verified"
)

// NoteVerified writes the result of a verification into the journal: who ran it,
// what it looked at and which checks did not hold.
func NoteVerified(ctx context.Context, db *index.DB, actor string, r Report) error {
	scope := []string{"quick"}
	if r.Scope.Full {
		scope[0] = "full"
	}
	switch {
	case r.Scope.Message != "":
		scope = append(scope, "message="+string(r.Scope.Message))
	case r.Scope.Sample > 0:
		scope = append(scope, fmt.Sprintf("sample=%.4g%% seed=%s", r.Scope.Sample, r.Scope.Seed))
	}
	if !r.Scope.Since.IsZero() {
		scope = append(scope, "since="+r.Scope.Since.Format(time.DateOnly))
	}
	if len(scope) == 1 {
		scope = append(scope, wholeArchive)
	}
	scope = append(scope, fmt.Sprintf("messages=%d objects=%d holes=%d", r.Messages, r.Objects, r.HoleCount))
	if r.WarningCount > 0 {
		scope = append(scope, fmt.Sprintf("warnings=%d", r.WarningCount))
	}
	for _, c := range r.Checks {
		if c.Status == StatusBroken {
			scope = append(scope, string(c.ID))
		}
	}
	result := "ok"
	if !r.OK() {
		result = "broken"
	}
	return db.Append(ctx, index.Entry{Actor: actor, Action: verifiedAction, Subject: verifiedSubject, Result: result, Detail: strings.Join(scope, " ")})
}

// wholeArchive marks a run that left nothing out.
const wholeArchive = "all"

// nightly verifies once a day until ctx is done. Nothing that goes wrong with it
// stops the archiving of messages: the standing tells it.
func (s *Storage) nightly(ctx context.Context) {
	changed := make(chan struct{}, 1)
	var telling sync.WaitGroup
	telling.Go(func() { s.bus.Tell(ctx, changed, s.verified.standings) })
	defer telling.Wait()
	t := time.NewTicker(nightlyLook)
	defer t.Stop()
	for {
		err := s.verifyDue(ctx, time.Now())
		if err != nil && ctx.Err() == nil {
			s.log.Error("the nightly verification failed", slog.Any("error", err))
		}
		s.verified.note(ctx, s.index, err, time.Now())
		select {
		case changed <- struct{}{}:
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// verifyDue verifies when the time of today's run has come and nobody did.
func (s *Storage) verifyDue(ctx context.Context, now time.Time) error {
	if due, err := s.nightDue(ctx, now); err != nil || !due {
		return err
	}
	lease, err := s.bus.Lease(ctx, "storage nightly verification", nightlyLease)
	if errors.Is(err, bus.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lease.Release()
	// Another process may have finished before the lease was ours.
	if due, err := s.nightDue(ctx, now); err != nil || !due {
		return err
	}
	held, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(lease.Context(), cancel)()
	opt := s.cfg.Nightly.Options
	opt.Seed, opt.JournalSince = rand.Uint64(), now.Add(-nightlyBack)
	r, err := Verify(held, s.store, s.index, opt)
	if err != nil {
		return err
	}
	s.log.Info("archive verified", slog.Int("messages", r.Messages), slog.Int("objects", r.Objects), slog.Int("holes", r.HoleCount))
	return NoteVerified(held, s.index, "storage", r)
}

// nightDue reports whether a run is due: since the last one, or since the journal
// began, the hour has come.
func (s *Storage) nightDue(ctx context.Context, now time.Time) (bool, error) {
	since, err := lastNight(ctx, s.index)
	if err != nil || since.IsZero() {
		return false, err
	}
	return since.Before(lastHour(now, s.cfg.Nightly.At)), nil
}

// lastHour returns when it was last that time of day, now included.
func lastHour(now time.Time, at time.Duration) time.Time {
	y, m, d := now.Date()
	hour := func(day int) time.Time {
		return time.Date(y, m, day, int(at/time.Hour), int(at/time.Minute)%60, 0, 0, now.Location())
	}
	if t := hour(d); !t.After(now) {
		return t
	}
	return hour(d - 1)
}

// lastNight returns when the service verified last; when it never did, the time of
// the first entry of the journal, zero without any.
func lastNight(ctx context.Context, db *index.DB) (time.Time, error) {
	list, err := db.JournalOf(ctx, verifiedSubject, verifiedAction, 100)
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range list {
		if e.Actor == "storage" {
			return e.At, nil
		}
	}
	list, err = db.JournalAfter(ctx, 0, 1)
	if err != nil || len(list) == 0 {
		return time.Time{}, err
	}
	return list[0].At, nil
}

// verified is what the System page says of the verifications.
type verified struct {
	mu    sync.Mutex
	said  bus.Standing
	since time.Time // of the error
}

func (v *verified) standings() []bus.Standing {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.said.Service == "" {
		return nil
	}
	return []bus.Standing{v.said}
}

// note reads what the journal says of the runs, and keeps what is to be said.
func (v *verified) note(ctx context.Context, db *index.DB, failed error, now time.Time) {
	list, err := db.JournalOf(ctx, verifiedSubject, verifiedAction, 1000)
	night, err2 := lastNight(ctx, db)
	if ctx.Err() != nil {
		return
	}
	failed = errors.Join(failed, err, err2)
	v.mu.Lock()
	defer v.mu.Unlock()
	if failed == nil {
		v.since = time.Time{}
	} else if v.since.IsZero() {
		v.since = now
	}
	v.said = nightStanding(list, night, failed, v.since, now)
}

// nightStanding says how it stands with the archive. What a run found stays until a
// run over all, in full, finds nothing: another sample proves nothing about it.
func nightStanding(runs []index.Entry, night time.Time, failed error, since, now time.Time) bus.Standing {
	s := bus.Standing{Service: "verify"}
	for _, e := range slices.Backward(runs) { // oldest first
		words := strings.Fields(e.Detail)
		switch {
		case e.Result != "ok":
			if s.Trouble == "" {
				s.Since = e.At
			}
			s.Trouble = fmt.Sprintf("La vérification du %s a trouvé des anomalies (%s). Lancez « greffe verify --full », qui les nomme toutes, et faites ce qu’il dit ; cet avis disparaît quand il ne trouve plus rien.",
				local(e.At), strings.Join(broken(words), ", "))
		case slices.Contains(words, "full") && slices.Contains(words, wholeArchive):
			s.Trouble, s.Since = "", time.Time{}
		}
	}
	if len(runs) > 0 {
		last := runs[0]
		s.Text = "Dernière vérification le " + local(last.At)
		if last.Result == "ok" {
			s.Text += " : rien ne manque, rien ne diffère."
		} else {
			s.Text += "."
		}
	} else {
		s.Text = "Aucune vérification n’a encore eu lieu."
	}
	switch {
	case s.Trouble != "":
	case failed != nil:
		s.Trouble, s.Since = "La vérification de la nuit n’a pas pu se faire : l’archive, l’index ou le bus ne répond pas. Elle sera refaite d’elle-même ; si cela dure, « greffe check » dit ce qui ne répond pas.", since
	case !night.IsZero() && now.Sub(night) > nightlyLate:
		s.Trouble, s.Since = "Aucune vérification de la nuit n’a abouti depuis plus d’un jour. Lancez « greffe verify » et regardez s’il va à son terme.", night
	}
	return s
}

// broken returns the names of the checks in the detail of an entry.
func broken(words []string) []string {
	var list []string
	for _, w := range words {
		if _, ok := place[CheckID(w)]; ok {
			list = append(list, w)
		}
	}
	return list
}

func local(t time.Time) string { return t.Local().Format("02/01/2006 à 15:04") }
