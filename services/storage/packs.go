package storage

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Packs says how the proof packs are built that people ask for in the console.
type Packs struct {
	// Dir is where the file is that a pack is built in, as large as the pack; empty means
	// that of temporary files. See scratch for what can be read there: nothing.
	Dir string
	// Size is how many bytes a pack has at most; 0 means 2 GiB.
	Size int64
	// Keep is for how long a pack lies ready, and for how long a request waits for a second
	// auditor; 0 means 7 days, at most bus.MaxPackAge.
	Keep time.Duration
	// Authorities are those that time stamps must come from; nil when none is configured.
	Authorities *x509.CertPool
	// By names the program and its version.
	By string
}

const (
	packTries  = 120 // each up to a minute after the one before: two hours
	packTold   = 500 * time.Millisecond
	packTidied = time.Minute
	packRows   = 90 * 24 * time.Hour // for how long the page shows what ended
)

// errStopped: somebody cancelled the pack while it was built.
var errStopped = errors.New("storage: the pack was cancelled")

func (s *Storage) packDue(ctx context.Context) (bool, error) {
	if time.Since(s.tidied) > packTidied {
		if err := s.tidyPacks(ctx, time.Now()); err != nil {
			return false, err
		}
		s.tidied = time.Now()
	}
	for _, state := range []index.PackState{index.PackBuilding, index.PackQueued} {
		if list, err := s.index.PacksIn(ctx, state, 1); err != nil || len(list) > 0 {
			return err == nil, err
		}
	}
	list, err := s.index.PacksToRemove(ctx, 1)
	return len(list) > 0, err
}

// packNext removes the bytes of packs that ended, then builds the pack that was begun, or
// the one that waits longest.
func (s *Storage) packNext(ctx context.Context) error {
	gone, err := s.index.PacksToRemove(ctx, 100)
	if err != nil {
		return err
	}
	for _, p := range gone {
		err := s.bus.DropPack(ctx, p.ID)
		if err == nil {
			err = s.index.ChangePack(ctx, p.ID, func(p *index.Pack) ([]index.Entry, error) { p.Stored = false; return nil, nil })
		}
		if err != nil {
			return err
		}
	}
	for _, state := range []index.PackState{index.PackBuilding, index.PackQueued} {
		list, err := s.index.PacksIn(ctx, state, 1)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			return s.buildPack(ctx, list[0].ID)
		}
	}
	return nil
}

// buildPack builds a pack, or says why it cannot be built. What passes by itself is tried
// again, from the beginning: nothing of an unfinished pack is kept.
func (s *Storage) buildPack(ctx context.Context, id string) error {
	cover, err := archive.NewCover()
	if err != nil {
		return err
	}
	var p index.Pack
	err = s.index.ChangePack(ctx, id, func(now *index.Pack) ([]index.Entry, error) {
		if now.State != index.PackQueued && now.State != index.PackBuilding {
			return nil, errStopped
		}
		now.State, now.Done, now.CoverKey, now.Stored = index.PackBuilding, 0, cover, true
		now.Tries++
		p = *now
		return nil, nil
	})
	if err == nil {
		err = s.makePack(ctx, p)
	}
	switch {
	case err == nil, errors.Is(err, errStopped): // its bytes are removed with those that ended
		return nil
	case ctx.Err() != nil:
		return err
	}
	text, final := packProblem(err)
	if p.Tries >= packTries && !final {
		text, final = "Ce dossier n’a pas pu être fait malgré deux heures d’essais : l’archive, l’index ou le bus ne répond pas. Prévenez l’administrateur (« greffe check »), puis refaites la demande.", true
	}
	s.log.Warn("proof pack not built", slog.String("pack", id), slog.Bool("final", final), slog.Any("error", err))
	told := s.index.ChangePack(ctx, id, func(now *index.Pack) ([]index.Entry, error) {
		if now.State != index.PackBuilding {
			return nil, errStopped
		}
		if now.Problem = text; !final {
			return nil, nil
		}
		now.State = index.PackFailed
		return []index.Entry{{Actor: "storage", Action: "pack-failed", Subject: id, Result: "failed"}}, nil
	})
	if errors.Is(told, errStopped) {
		told = nil
	}
	if told == nil && !final {
		pause(ctx, min(time.Duration(p.Tries)*5*time.Second, time.Minute))
	}
	return told
}

// errChosen: something that was chosen is not there any more.
var errChosen = errors.New("storage: something that was chosen for a pack is gone")

// packProblem says in French why a pack could not be built and what to do, and whether
// trying again is of no use.
func packProblem(err error) (text string, final bool) {
	switch {
	case errors.Is(err, errChosen):
		return "Un des messages choisis a été éliminé ou effacé depuis la demande. Refaites la recherche, puis la demande.", true
	case errors.Is(err, errFull), errors.Is(err, evidence.ErrTooLarge):
		return "Ce dossier serait plus grand que ce que la configuration admet (proofs.size). Demandez-en plusieurs, chacun sur moins de documents.", true
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "La place manque sur le serveur d’archivage pour faire ce dossier. Prévenez l’administrateur, puis refaites la demande.", true
	case errors.Is(err, ErrForked), errors.Is(err, greffe.ErrChain), errors.Is(err, evidence.ErrMismatch):
		return "Le journal de l’index et celui de l’archive ne disent pas la même chose : aucune preuve ne peut être faite avant qu’on ait compris pourquoi. Prévenez l’administrateur (« greffe verify »), puis refaites la demande.", true
	case errors.Is(err, archive.ErrNotFound), errors.Is(err, archive.ErrDigest), errors.Is(err, archive.ErrKey):
		return "Un morceau du journal scellé manque ou est abîmé dans l’archive. Prévenez l’administrateur (« greffe verify » le nomme), puis refaites la demande.", true
	}
	return "L’archive, l’index ou le bus ne répond pas : nouvel essai dans moins d’une minute.", false
}

// makePack gathers the pack into a scratch file and puts it, covered, on the bus.
func (s *Storage) makePack(ctx context.Context, p index.Pack) error {
	chosen, err := s.chosen(ctx, p.ID)
	if err != nil {
		return err
	}
	out, err := newScratch(s.cfg.Packs.Dir, s.cfg.Packs.Size)
	if err != nil {
		return err
	}
	defer out.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	last := time.Now()
	what := Proof{
		Chosen: chosen, Scope: evidence.Scope{Kind: p.Kind}, By: s.cfg.Packs.By, Authorities: s.cfg.Packs.Authorities,
		Actor: p.Requester, From: p.From, Name: p.ID,
		Note: func(ctx context.Context, entries []index.Entry) error {
			return s.index.ChangePack(ctx, p.ID, func(now *index.Pack) ([]index.Entry, error) {
				if now.State != index.PackBuilding {
					return nil, errStopped
				}
				if now.Noted {
					return nil, nil
				}
				now.Noted = true
				return entries, nil
			})
		},
		Progress: func(done, total int) {
			if done < total && time.Since(last) < packTold {
				return
			}
			last = time.Now()
			err := s.index.ChangePack(ctx, p.ID, func(now *index.Pack) ([]index.Entry, error) {
				if now.State != index.PackBuilding {
					return nil, errStopped
				}
				now.Done, now.Problem = done, ""
				return nil, nil
			})
			if err != nil {
				stop(err)
			}
		},
	}
	_, rep, err := s.cfg.Sealer.Prove(ctx, out, what)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errStopped) {
		return errStopped
	}
	if err != nil {
		return err
	}
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	sum := sha256.New()
	covered, err := archive.Cover(p.CoverKey, io.TeeReader(io.NewSectionReader(out, 0, size), sum))
	if err != nil {
		return err
	}
	if err := s.bus.PutPack(ctx, p.ID, covered); err != nil {
		return err
	}
	return s.index.ChangePack(ctx, p.ID, func(now *index.Pack) ([]index.Entry, error) {
		if now.State != index.PackBuilding {
			return nil, errStopped
		}
		now.State, now.Problem, now.Verdict = index.PackReady, "", string(rep.Verdict)
		now.Size, now.SHA256, now.Done = size, greffe.DigestFrom(sum.Sum(nil)), len(chosen)
		now.Built = time.Now().UTC()
		now.Expires = now.Built.Add(s.cfg.Packs.Keep)
		return []index.Entry{{Actor: "storage", Action: "pack-built", Subject: p.ID, Result: strings.ToLower(now.Verdict), Detail: fmt.Sprintf("messages=%d documents=%d sha256=%s", p.Messages, p.Documents, now.SHA256)}}, nil
	})
}

// chosen reads what a pack is about.
func (s *Storage) chosen(ctx context.Context, id string) ([]Chosen, error) {
	items, err := s.index.PackItems(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, errChosen
	}
	var list []Chosen
	for len(items) > 0 { // by message, in their order
		n := 1
		for n < len(items) && items[n].Message == items[0].Message {
			n++
		}
		d, err := s.index.Message(ctx, items[0].Message)
		if errors.Is(err, index.ErrNotFound) {
			return nil, errChosen
		}
		if err != nil {
			return nil, err
		}
		c := Chosen{Detail: d, Whole: items[0].Document == "", Documents: d.Documents}
		if !c.Whole {
			wanted := map[greffe.DocumentID]bool{}
			for _, i := range items[:n] {
				wanted[i.Document] = true
			}
			c.Documents = nil
			for _, doc := range d.Documents {
				if wanted[doc.ID] {
					c.Documents = append(c.Documents, doc)
				}
			}
			if len(c.Documents) < n {
				return nil, errChosen
			}
		}
		list = append(list, c.Lean())
		items = items[n:]
	}
	return list, nil
}

// tidyPacks ends what was not taken in time, and forgets what ended long ago.
func (s *Storage) tidyPacks(ctx context.Context, now time.Time) error {
	for _, state := range []index.PackState{index.PackReady, index.PackWaiting} {
		list, err := s.index.PacksIn(ctx, state, 10_000)
		if err != nil {
			return err
		}
		for _, p := range list {
			over := func(p *index.Pack) bool {
				return p.State == index.PackReady && now.After(p.Expires) || p.State == index.PackWaiting && now.Sub(p.Asked) > s.cfg.Packs.Keep
			}
			if !over(&p) {
				continue
			}
			err := s.index.ChangePack(ctx, p.ID, func(p *index.Pack) ([]index.Entry, error) {
				if !over(p) {
					return nil, nil
				}
				p.State = index.PackExpired
				return []index.Entry{{Actor: "storage", Action: "pack-expired", Subject: p.ID, Result: "ok"}}, nil
			})
			if err != nil {
				return err
			}
		}
	}
	if now.Sub(s.forgot) < time.Hour {
		return nil
	}
	s.forgot = now
	return s.index.ForgetPacks(ctx, now.Add(-packRows))
}

// packDefaults fills in what a configuration leaves out.
func packDefaults(p *Packs) {
	if p.Size <= 0 {
		p.Size = 2 << 30
	}
	if p.Keep <= 0 {
		p.Keep = 7 * 24 * time.Hour
	}
	p.Keep = min(p.Keep, bus.MaxPackAge)
}
