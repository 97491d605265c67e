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

// seals runs the sealer until ctx is done. Nothing that goes wrong with it stops the
// archiving of messages: entries wait in the index, the System page says so.
func (s *Storage) seals(ctx context.Context) {
	changed := make(chan struct{}, 1)
	var telling sync.WaitGroup
	telling.Go(func() { s.bus.Tell(ctx, changed, s.sealing.standings) })
	defer telling.Wait()
	t := time.NewTicker(sealLook)
	defer t.Stop()
	for {
		if err := s.sealDue(ctx); s.sealing.note(err) {
			if err != nil && ctx.Err() == nil {
				s.log.Error("the journal is not sealed", slog.Any("error", err))
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

// sealing is how it goes with sealing.
type sealing struct {
	mu    sync.Mutex
	err   error
	since time.Time
	done  time.Time // when it last went well
}

// note keeps what came of a look and reports whether people must hear of it.
func (s *sealing) note(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.err
	s.err = err
	switch {
	case err == nil:
		s.done = time.Now()
		return was != nil
	case was == nil:
		s.since = time.Now()
		return true
	}
	return sealTrouble(was) != sealTrouble(err)
}

func (s *sealing) standings() []bus.Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	st := bus.Standing{Service: "storage", Instance: host, Success: s.done.UTC()}
	if s.err != nil {
		st.Trouble, st.Since = sealTrouble(s.err), s.since.UTC()
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
	return "Le journal n’est pas scellé pour l’instant : l’archive ou l’index ne répond pas. Rien n’est perdu, le scellement reprendra seul ; « greffe check » dit ce qui ne répond pas."
}
