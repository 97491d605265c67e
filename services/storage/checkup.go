package storage

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"greffe/pkg/index"
)

const (
	checkupTime = 5 * time.Minute  // for one verification
	checkupWait = 15 * time.Minute // for an archive that does not answer
)

func (s *Storage) checkupDue(ctx context.Context) (bool, error) {
	_, err := s.index.NextCheckup(ctx)
	if errors.Is(err, index.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// checkupNext verifies the message that waits longest, every byte of it.
func (s *Storage) checkupNext(ctx context.Context) error {
	c, err := s.index.NextCheckup(ctx)
	if err != nil {
		return err
	}
	opt := s.cfg.Verify
	opt.Message, opt.Full, opt.Progress = c.Message, true, nil
	limited, cancel := context.WithTimeout(ctx, checkupTime)
	defer cancel()
	r, err := Verify(limited, s.store, s.index, opt)
	problem := ""
	switch {
	case err == nil:
		return s.endCheckup(ctx, c, r)
	case ctx.Err() != nil:
		return err
	case errors.Is(err, index.ErrNotFound):
		problem = "Ce message n’est plus ni dans l’index ni dans l’archive : il a été éliminé. Il n’y a rien à vérifier."
	case limited.Err() != nil:
		problem = "La vérification a été arrêtée au bout de cinq minutes : l’archive est trop lente. Réessayez plus tard, ou demandez à l’administrateur de lancer « greffe verify --full --message » suivi de l’identifiant du message."
	case time.Since(c.Asked) > checkupWait:
		problem = "L’archive ou l’index n’a pas répondu pendant un quart d’heure. Prévenez l’administrateur (« greffe check » dit ce qui ne répond pas), puis demandez de nouveau la vérification."
	default:
		return err // again at the next look
	}
	return s.index.EndCheckup(ctx, c.ID, problem, "", index.Entry{Actor: c.Requester, Action: verifiedAction, Subject: string(c.Message), From: c.From, Result: "failed", Detail: "full"})
}

// endCheckup writes what was found: beside the message, where it was asked for, and for
// those who watch the archive when something is wrong.
func (s *Storage) endCheckup(ctx context.Context, c index.Checkup, r Report) error {
	report, err := json.Marshal(r)
	if err != nil {
		return err
	}
	result, detail := "ok", []string{"full"}
	if !r.OK() {
		result = "broken"
		for _, k := range r.Checks {
			if k.Status == StatusBroken {
				detail = append(detail, string(k.ID))
			}
		}
		// First: a crash then notes it twice rather than never.
		if err := NoteVerified(ctx, s.index, c.Requester, r); err != nil {
			return err
		}
	}
	return s.index.EndCheckup(ctx, c.ID, "", string(report), index.Entry{Actor: c.Requester, Action: verifiedAction, Subject: string(c.Message), From: c.From, Result: result, Detail: strings.Join(detail, " ")})
}
