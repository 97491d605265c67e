package storage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
)

// tokenMark is a token that the walk came by.
type tokenMark struct {
	at   time.Time
	link evidence.Link
}

// token looks at the time stamp over a checkpoint, of the given digest, when it has one.
func (w *journalWalk) token(ctx context.Context, r sealedRange, c *evidence.Checkpoint, digest greffe.Digest) error {
	stampVersion, stamped := r.kinds[evidence.KindStamp]
	tokenVersion, there := r.kinds[evidence.KindToken]
	known, err := w.v.db.Stamps(ctx, r.Last-1, 1)
	if err != nil {
		return err
	}
	promised := len(known) == 1 && known[0].Last == r.Last
	switch {
	case !stamped && !there && !promised:
		return nil
	case stamped && !there && !promised:
		w.v.add(Problem{Check: OrphanJournal, Entry: r.Last, Key: r.Key(evidence.KindStamp)}, errors.New("stamp without a token"))
		return nil
	case !stamped:
		w.v.add(Problem{Check: CheckToken, Entry: r.Last, Key: r.Key(evidence.KindStamp)}, archive.ErrNotFound)
		return nil
	case !there:
		w.v.add(Problem{Check: CheckToken, Entry: r.Last, Key: r.Key(evidence.KindToken)}, archive.ErrNotFound)
		return nil
	}
	stampObject, text, err1 := readVersion(ctx, w.v.store, greffe.Object{Key: r.Key(evidence.KindStamp), Version: stampVersion}, evidence.MaxCheckpoint)
	o, answer, err2 := readVersion(ctx, w.v.store, greffe.Object{Key: r.Key(evidence.KindToken), Version: tokenVersion}, evidence.MaxToken)
	if err := errors.Join(err1, err2); err != nil {
		if unlessGone(err) == nil {
			w.v.add(Problem{Check: CheckToken, Entry: r.Last, Key: r.Key(evidence.KindToken)}, err)
		}
		return unlessGone(err)
	}
	w.v.mu.Lock()
	w.v.rep.Tokens++
	w.v.mu.Unlock()
	w.v.held(CheckToken, 1)
	for _, kept := range []greffe.Object{stampObject, o} {
		if err := w.v.retention(ctx, "", "", kept); err != nil {
			return err
		}
	}
	st, err := evidence.ParseStamp(text)
	if err != nil {
		w.v.add(Problem{Check: CheckStamped, Entry: r.Last, Key: r.Key(evidence.KindStamp)}, err)
		return nil
	}
	if st.Checkpoint != (evidence.Link{Key: c.Key(), SHA256: digest}) || st.Root != c.Root {
		w.v.add(Problem{Check: CheckStamped, Entry: r.Last, Key: r.Key(evidence.KindStamp)}, fmt.Errorf("stamped is %s %s", st.Checkpoint.Key, st.Checkpoint.SHA256))
	} else {
		w.v.held(CheckStamped, 1)
	}
	token, err := evidence.ParseToken(answer)
	if err == nil && w.v.opt.Authority.Roots != nil {
		err = token.Check(text, w.v.opt.Authority.Roots, "") // an older one may be under another policy
	} else if sum := sha256.Sum256(text); err == nil && string(sum[:]) != string(token.Imprint) {
		err = fmt.Errorf("%w: the token is over other bytes", evidence.ErrMismatch)
	}
	if err != nil {
		w.v.add(Problem{Check: CheckImprint, Entry: r.Last, Key: o.Key}, err)
		return nil
	}
	w.v.held(CheckImprint, 1)
	// What was sealed before the token cannot be younger than it.
	if token.Time.Add(token.Accuracy + clockSlack).Before(c.Time) {
		w.clock(Problem{Check: CheckClock, Entry: r.Last, Key: o.Key}, fmt.Errorf("the entry says %s, the authority stamped it at %s", stamp(c.Time), stamp(token.Time)))
	}
	err = w.links(ctx, st, c)
	w.tokens = append(w.tokens, tokenMark{token.Time, evidence.Link{Key: o.Key, SHA256: o.SHA256}})
	return err
}

// links holds the older tokens that a stamp names against the archive and, when the
// walk came by all of them, against those that it must name.
func (w *journalWalk) links(ctx context.Context, st *evidence.Stamp, c *evidence.Checkpoint) error {
	for _, l := range []struct {
		name   string
		got    evidence.Link
		before time.Time
	}{{"previous", st.Previous, c.Time.AddDate(100, 0, 0)}, {"month", st.Month, c.Time.AddDate(0, -1, 0)}, {"year", st.Year, c.Time.AddDate(-1, 0, 0)}} {
		p := Problem{Check: CheckLinks, Entry: c.Size, Key: c.Range().Key(evidence.KindStamp)}
		var want tokenMark
		for _, t := range w.tokens {
			if !t.at.After(l.before) && !t.at.Before(want.at) {
				want = t
			}
		}
		if w.complete && want.link != l.got {
			w.v.add(p, fmt.Errorf("%s is %s, must be %s", l.name, l.got.Key, want.link.Key))
			continue
		}
		if l.got == (evidence.Link{}) {
			continue
		}
		o, _, err := readVersion(ctx, w.v.store, greffe.Object{Key: l.got.Key}, evidence.MaxToken)
		if err := unlessGone(err); err != nil {
			return err
		}
		if err != nil || o.SHA256 != l.got.SHA256 {
			w.v.add(p, fmt.Errorf("%s: %s is not the token that it names", l.name, l.got.Key))
			continue
		}
		w.v.held(CheckLinks, 1)
	}
	return nil
}

// pastGaps names the times in which the journal had no token for too long. A token over
// what comes later proves these entries, too, only not that early: nothing can be mended.
func (w *journalWalk) pastGaps() {
	every := w.v.opt.Authority.Every
	if w.v.opt.Authority.URL == "" || every <= 0 {
		return
	}
	for i := 1; i < len(w.tokens); i++ {
		before, after := w.tokens[i-1], w.tokens[i]
		if after.at.Sub(before.at) > every+every/4 {
			w.v.warn(Problem{Check: CheckStamping, Key: after.link.Key}, "Le journal est resté sans jeton plus longtemps que prévu ; le jeton qui suit prouve ces entrées, mais plus tard.",
				"Rien à faire ; gardez la raison avec les incidents de cette période.", fmt.Errorf("no token from %s to %s", stamp(before.at), stamp(after.at)))
		}
	}
}

// gapOfStamps looks whether the journal was stamped in time.
func (w *journalWalk) gapOfStamps(ctx context.Context) error {
	every := w.v.opt.Authority.Every
	if w.v.opt.Authority.URL == "" || every <= 0 {
		w.v.skip("Aucune autorité d’horodatage n’est configurée (journal.timestamp).", CheckStamping)
		return nil
	}
	last, err := w.v.db.StampBefore(ctx, time.Now().AddDate(100, 0, 0))
	from := last.At
	if err != nil {
		first, err := w.v.db.JournalAfter(ctx, 0, 1)
		if err != nil || len(first) == 0 {
			return err
		}
		from = first[0].At
	}
	if late := every + every/4; time.Since(from) > late {
		w.v.add(Problem{Check: CheckStamping}, fmt.Errorf("not since %s", stamp(from)))
		return nil
	}
	w.v.held(CheckStamping, 1)
	return nil
}
