package storage

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// stampLook is the time between two looks whether a time stamp is due.
const stampLook = time.Minute

// seals seals and stamps until ctx is done. Nothing that goes wrong with it stops the
// archiving of messages: entries wait in the index, the System page says so.
func (s *Storage) seals(ctx context.Context) {
	changed := make(chan struct{}, 1)
	var g sync.WaitGroup
	defer g.Wait()
	g.Go(func() { s.bus.Tell(ctx, changed, s.sealing.standings) })
	repeat := func(pause time.Duration, work func(context.Context) error, message string, keep func(error) bool) {
		t := time.NewTicker(pause)
		defer t.Stop()
		for {
			err := work(ctx)
			if ctx.Err() != nil {
				return
			}
			if keep(err) {
				if err != nil {
					s.log.Error(message, slog.Any("error", err))
				}
				select {
				case changed <- struct{}{}:
				default:
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}
	if s.cfg.Stamper != nil {
		g.Go(func() { repeat(stampLook, s.stampDue, "the journal is not stamped", s.sealing.stamped) })
	}
	repeat(sealLook, s.sealDue, "the journal is not sealed", s.sealing.sealed)
}

// sealDue seals when it is time. A quiet journal gets an entry an hour, so that a
// silence in it is a silence of Greffe.
func (s *Storage) sealDue(ctx context.Context) error {
	newest, err := s.index.Journal(ctx, 0, 1)
	if err != nil {
		return err
	}
	if quiet := time.Now().Add(-sealQuiet); len(newest) > 0 && newest[0].At.Before(quiet) {
		e := index.Entry{Actor: "storage", Action: "watched", Subject: "journal", Result: "ok"}
		if _, err := s.index.AppendIfQuiet(ctx, e, quiet); err != nil {
			return err
		}
	}
	if due, err := s.cfg.Sealer.due(ctx); err != nil || !due {
		return err
	}
	_, err = s.cfg.Sealer.SealAll(ctx)
	return err
}

// stampDue has the journal stamped when it is time, and notes whether a stamp is late.
// Between two tries the last failure stands, unless another process had more luck.
func (s *Storage) stampDue(ctx context.Context) error {
	done, err := s.cfg.Stamper.StampDue(ctx)
	late, err2 := s.cfg.Stamper.Late(ctx, time.Now())
	failed := s.sealing.lateSince(late)
	if err == nil && !done && failed.err != nil {
		newest, err3 := s.index.StampBefore(ctx, time.Now().AddDate(1, 0, 0))
		if err3 != nil || newest.At.Before(failed.since) {
			err = failed.err
		}
	}
	return errors.Join(err, err2)
}

// sealing is how it goes with sealing and stamping.
type sealing struct {
	mu    sync.Mutex
	seal  trouble
	stamp trouble
	late  time.Time // a token was due then
	done  time.Time // when sealing last went well
}

// trouble is an error and since when it lasts.
type trouble struct {
	err   error
	since time.Time
}

// set keeps what came of a try and reports whether it is news.
func (t *trouble) set(err error) bool {
	was := t.err
	if t.err = err; err != nil && was == nil {
		t.since = time.Now()
	}
	return (err == nil) != (was == nil) || err != nil && err.Error() != was.Error()
}

func (s *sealing) sealed(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.done = time.Now()
	}
	return s.seal.set(err)
}

func (s *sealing) stamped(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stamp.set(err)
}

// lateSince keeps since when a token is late and returns the last failure.
func (s *sealing) lateSince(t time.Time) trouble {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = t
	return s.stamp
}

func (s *sealing) standings() []bus.Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	st := bus.Standing{Service: "storage", Instance: host, Success: s.done.UTC()}
	switch {
	case s.seal.err != nil:
		st.Trouble, st.Since = sealTrouble(s.seal.err), s.seal.since.UTC()
	case !s.late.IsZero():
		st.Trouble, st.Since = "Le journal n’a pas reçu l’horodatage prévu : "+StampTrouble(s.stamp.err), s.late.UTC()
	case s.stamp.err != nil:
		st.Warning = "Le dernier essai d’horodatage du journal a échoué : " + StampTrouble(s.stamp.err)
	}
	return []bus.Standing{st}
}

// sealTrouble says what is wrong and what to do.
func sealTrouble(err error) string {
	switch {
	case errors.Is(err, ErrForked):
		return "Le journal n’est plus scellé : l’archive contient un journal que l’index ne connaît pas (index restauré d’une sauvegarde, ou modifié). Lancez « greffe verify », puis reconstruisez l’index avec « greffe reindex »."
	case errors.Is(err, greffe.ErrChain):
		return "Le journal n’est plus scellé : des lignes du journal ont été modifiées ou supprimées dans l’index. Conservez la base telle quelle pour l’enquête et lancez « greffe verify »."
	case errors.Is(err, evidence.ErrMismatch):
		return "Le journal n’est plus scellé : l’index ne correspond plus à ce qui a été scellé, ou la clé n’est pas celle de ce journal. Lancez « greffe verify » et « greffe check »."
	}
	if errors.Is(err, index.ErrNotFound) {
		return "Le journal n’est plus scellé : l’index a été reconstruit sans une partie du journal scellé, que l’archive a perdue. Restaurez-la depuis une sauvegarde de l’archive, puis lancez « greffe reindex --replace » ; les entrées attendent dans l’index."
	}
	return "Le journal n’est pas scellé pour l’instant : l’archive ou l’index ne répond pas. Rien n’est perdu, le scellement reprendra seul ; « greffe check » dit ce qui ne répond pas."
}

// StampTrouble says what is wrong with the time-stamping authority and what to do.
func StampTrouble(err error) string {
	const later = " Le scellement continue ; l’horodatage sera fait plus tard."
	switch {
	case errors.Is(err, evidence.ErrUntrusted):
		return "le jeton ne vient pas d’une autorité admise, ou son certificat n’est pas fait pour l’horodatage seul. Vérifiez journal.timestamp.ca." + later
	case errors.Is(err, evidence.ErrRefused):
		return "l’autorité refuse la demande. Vérifiez journal.timestamp.url, la politique (policy) et le contrat." + later
	case errors.Is(err, evidence.ErrFormat), errors.Is(err, evidence.ErrSignature), errors.Is(err, evidence.ErrMismatch):
		return "la réponse n’est pas un jeton valable pour la demande. Vérifiez journal.timestamp.url et la politique (policy)." + later
	}
	return "l’autorité ne répond pas. Vérifiez journal.timestamp.url et le réseau." + later
}
