package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// ErasureGrace is how long after it was asked an erasure can be confirmed, at the
// earliest: from the moment it is asked the same content arriving again gets a key of its
// own, and a message that was being stored at that moment has its manifest by then, so
// that it is seen to share what it shares. See storing.
const ErasureGrace = 10 * time.Minute

// erasure removes by destroying keys, whatever locks there are.
type erasure struct {
	store *archive.Encrypted
	from  time.Time // confirmed no earlier than this; zero when it is asked
}

func (erasure) kind() string { return index.KindErasure }

func (e erasure) judge(ctx context.Context, o greffe.Object, order string) (string, error) {
	i, err := e.store.Stat(ctx, o.Key)
	if _, erased := errors.AsType[*archive.ErasedError](err); erased {
		return "déjà effacé en partie (" + o.Key + ") : « greffe retain erase » liste les effacements interrompus", nil
	}
	switch {
	case err != nil:
		return "", err
	case i.Held:
		return "gelé dans l'archive", nil
	case !i.Encrypted:
		return "archivé en clair, avant le chiffrement ou sans lui : il n'a pas de clé à détruire ; son terme passé, « greffe retain eliminate »", nil
	case order == "":
		return "", nil
	}
	noted, err := e.store.Condemned(ctx, o)
	switch {
	case err != nil:
		return "", err
	case noted != order:
		return "un contenu a changé depuis la demande : refaites-la", nil
	case time.Now().Before(e.from):
		return "à confirmer à partir du " + e.from.Local().Format("02/01/2006 à 15:04:05"), nil
	}
	return "", nil
}

func (e erasure) remove(ctx context.Context, o greffe.Object, order string) error {
	return e.store.Erase(ctx, o.Key, order)
}

// AskErasure records that by asks to destroy the keys of messages before their locks
// end, and returns which ones those are and why the others stay: a message that is held,
// has work or was stored in clear. What other messages name stays readable. With dry, or
// when there is none, it only says so; ID of the answer is then empty. Nothing is
// destroyed until another person confirms it.
func AskErasure(ctx context.Context, store *archive.Encrypted, db *index.DB, ids []greffe.MessageID, by string, dry bool, progress func(done, total int)) (Elimination, []NotYet, error) {
	e, bad, err := ask(ctx, erasure{store: store}, store, db, ids, by, dry, progress)
	if err != nil || e.ID == "" {
		return e, bad, err
	}
	for _, m := range e.Messages {
		for _, o := range m.Objects {
			if o.Kept != "" {
				continue
			}
			if err := store.Condemn(ctx, o.Object, e.ID); err != nil {
				return e, bad, fmt.Errorf("ask erasure %s: %w", e.ID, err)
			}
		}
	}
	return e, bad, nil
}

// Erase carries out the erasure id, confirmed by another person grace or longer after it
// was asked (ErasureGrace), and returns its certificate. The order is in the archive and
// in the journal before the first key goes; each message loses the key of its manifest,
// its rows in the index, and the keys of its raw mail and parts. The encrypted objects
// stay where they are until their locks end. It may be repeated, and has to be after an
// error. ErrNotYet as for Eliminate; nothing was destroyed then.
func Erase(ctx context.Context, store *archive.Encrypted, db *index.DB, id, by string, grace time.Duration, progress func(done, total int)) (Elimination, greffe.Object, error) {
	asked, err := db.Elimination(ctx, id)
	if err != nil {
		return Elimination{}, greffe.Object{}, fmt.Errorf("erase %s: %w", id, err)
	}
	return carryOut(ctx, erasure{store, asked.AskedAt.Add(grace)}, store, db, id, by, progress)
}

// certificates reads the certificates of erasures, each once.
type certificates struct {
	store archive.Store
	mu    sync.Mutex
	read  map[string]*Elimination // nil: there is none
}

// covers says whether the certificate of an erasure names an object whose key is gone:
// nil, or what is wrong. What could not be found out is archive.ErrUnavailable.
func (c *certificates) covers(ctx context.Context, e *archive.ErasedError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, known := c.read[e.Order]
	if !known {
		got, _, err := readCertificate(ctx, c.store, greffe.Object{Key: archive.CertificateKey(e.Order)})
		switch {
		case errors.Is(err, archive.ErrUnavailable), ctx.Err() != nil:
			return err
		case err == nil && got.ID == e.Order && got.Kind == index.KindErasure && !got.Certified.IsZero():
			cert = &got
		}
		if c.read == nil {
			c.read = map[string]*Elimination{}
		}
		c.read[e.Order] = cert
	}
	if cert == nil {
		return fmt.Errorf("erasure %s has no certificate: it was interrupted, or nobody asked for it", e.Order)
	}
	for _, m := range cert.Messages {
		if slices.ContainsFunc(m.Objects, func(o EliminatedObject) bool { return o.Key == e.Key && o.Kept == "" }) {
			return nil
		}
	}
	return fmt.Errorf("the certificate of erasure %s does not name it", e.Order)
}
