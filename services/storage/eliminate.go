package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// EliminationFormat is the format of the order and the certificate of an elimination:
// JSON in UTF-8, schema in api/elimination.schema.json. Both hold ids, keys and digests
// only, and the logins of those who asked and confirmed.
//
//	eliminations/2046/11/22/<id>.order.json        written before anything is removed
//	eliminations/2046/11/22/<id>.certificate.json  written when all that it names is gone
//
// The date is the one that the id begins with.
const EliminationFormat = "greffe-elimination/1"

// mostEliminated is how many messages one elimination may name.
const mostEliminated = 10_000

// maxElimination bounds what is read as a certificate: 64 MiB.
const maxElimination = 64 << 20

// Elimination is an order or, once Certified is set, a certificate.
type Elimination struct {
	Format      string              `json:"format"`
	ID          string              `json:"id"`
	Kind        string              `json:"kind,omitempty"` // index.KindErasure: the keys are destroyed, the encrypted objects stay locked
	AskedBy     string              `json:"asked_by"`
	AskedAt     time.Time           `json:"asked_at"`
	ConfirmedBy string              `json:"confirmed_by"`
	Messages    []EliminatedMessage `json:"messages"`

	Certified time.Time     `json:"certified_at,omitzero"`
	Order     greffe.Object `json:"order,omitzero"` // of a certificate: the order that it carries out
}

// EliminatedMessage is one message and its objects.
type EliminatedMessage struct {
	ID      greffe.MessageID   `json:"id"`
	Objects []EliminatedObject `json:"objects"`
}

// EliminatedObject is one object and what becomes of it.
type EliminatedObject struct {
	greffe.Object
	// Kept says why the object stays: "shared", another message names it; "locked", it
	// arrived again or was held since. Empty: it is removed.
	Kept string `json:"kept,omitempty"`
}

// NotYet says why a message cannot be eliminated.
type NotYet struct {
	Message greffe.MessageID `json:"message"`
	Text    string           `json:"text"` // French
}

// ErrKind is returned when what is confirmed was asked as something else.
var ErrKind = errors.New("storage: an elimination is not an erasure")

// ErrNotYet is returned when a message of an elimination cannot be eliminated any more.
var ErrNotYet = errors.New("storage: not every message of the elimination can be eliminated")

// removal is how a kind of elimination removes.
type removal interface {
	// kind is that of index.Elimination.
	kind() string
	// judge says in French why an object cannot go; empty when it can. order is the id
	// of a request that is being confirmed, empty for a new one.
	judge(ctx context.Context, o greffe.Object, order string) (string, error)
	// remove removes it for good, for order: archive.ErrNotFound when that was done before.
	remove(ctx context.Context, o greffe.Object, order string) error
}

// afterTerm removes what nothing locks any more.
type afterTerm struct{ store archive.Store }

func (afterTerm) kind() string { return "" }

func (a afterTerm) judge(ctx context.Context, o greffe.Object, _ string) (string, error) {
	i, err := a.store.Retain(ctx, o, time.Time{})
	switch {
	case err != nil:
		return "", err
	case i.Held:
		return "gelé dans l'archive", nil
	case i.RetainUntil.IsZero():
		return "sans date de conservation dans l'archive : « greffe retain extend » en donne une", nil
	case i.RetainUntil.After(time.Now()):
		return "conservé jusqu'au " + i.RetainUntil.Local().Format("02/01/2006 15:04:05"), nil
	}
	return "", nil
}

func (a afterTerm) remove(ctx context.Context, o greffe.Object, _ string) error {
	return a.store.(archive.Eliminator).Eliminate(ctx, o)
}

// judgeElimination says what would become of the objects of the messages. It walks the
// index once, to see what other messages name, and the archive beside it: a message
// that is there and not in the index might name anything. progress may be nil.
func judgeElimination(ctx context.Context, how removal, store archive.Store, db *index.DB, order string, ids []greffe.MessageID, progress func(done, total int)) ([]EliminatedMessage, []NotYet, error) {
	chosen := map[greffe.MessageID]index.Detail{}
	named := map[string]bool{} // objects of the chosen: whether others name them, too
	for _, id := range ids {
		d, err := db.Message(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		chosen[id] = d
		for _, o := range objectsOf(d) {
			named[o.Key] = false
		}
	}
	if err := othersName(ctx, store, db, chosen, named, progress); err != nil {
		return nil, nil, err
	}
	holds, err := db.Holds(ctx)
	if err != nil {
		return nil, nil, err
	}
	var good []EliminatedMessage
	var bad []NotYet
	for _, id := range ids {
		d := chosen[id]
		if slices.ContainsFunc(holds, func(h index.Hold) bool { return h.Message == id }) {
			bad = append(bad, NotYet{id, "gelé : « greffe retain hold off » le libère"})
			continue
		}
		m, text, err := judgeMessage(ctx, how, d, order, named)
		switch {
		case err != nil:
			return nil, nil, err
		case text != "":
			bad = append(bad, NotYet{id, text})
		default:
			good = append(good, m)
		}
	}
	return good, bad, nil
}

// othersName marks the objects that messages name which are not chosen.
func othersName(ctx context.Context, store archive.Store, db *index.DB, chosen map[greffe.MessageID]index.Detail, named map[string]bool, progress func(done, total int)) error {
	tally, _, err := db.Tally(ctx)
	if err != nil {
		return err
	}
	total, done := 0, 0
	for _, n := range tally {
		total += n
	}
	next, stop := iter.Pull2(manifests(ctx, store))
	defer stop()
	ahead, err, more := next()
	var strange []greffe.MessageID
	walk := db.EachMessage(ctx, func(d index.Detail) error {
		for ; more && err == nil && ahead <= d.ID; ahead, err, more = next() {
			if ahead != d.ID {
				strange = append(strange, ahead)
			}
		}
		if err != nil {
			return err
		}
		if _, mine := chosen[d.ID]; !mine {
			for _, o := range objectsOf(d) {
				if _, ok := named[o.Key]; ok {
					named[o.Key] = true
				}
			}
		}
		if done++; progress != nil {
			progress(done, max(done, total))
		}
		return nil
	})
	if walk != nil {
		return walk
	}
	for ; more && err == nil; ahead, err, more = next() {
		strange = append(strange, ahead)
	}
	if err != nil {
		return err
	}
	for _, id := range strange {
		// It may have arrived while we walked, or have been erased before.
		switch _, err := db.Message(ctx, id); {
		case errors.Is(err, index.ErrNotFound):
			_, err := store.Stat(ctx, archive.ManifestKey(id))
			if _, erased := errors.AsType[*archive.ErasedError](err); erased {
				continue
			}
			return fmt.Errorf("%w: message %s is in the archive and not in the index: rebuild the index first", ErrNotYet, id)
		case err != nil:
			return err
		}
	}
	return nil
}

// manifests walks the messages that have a manifest, in the order of their ids.
func manifests(ctx context.Context, store archive.Store) iter.Seq2[greffe.MessageID, error] {
	return func(yield func(greffe.MessageID, error) bool) {
		for i, err := range store.List(ctx, archive.MessagesPrefix) {
			id, manifest, ok := archive.KeyMessage(i.Key)
			if err == nil && (!ok || !manifest) {
				continue
			}
			if !yield(id, err) || err != nil {
				return
			}
		}
	}
}

// judgeMessage returns what becomes of one message, or in French why it stays.
func judgeMessage(ctx context.Context, how removal, d index.Detail, order string, named map[string]bool) (EliminatedMessage, string, error) {
	m := EliminatedMessage{ID: d.ID}
	if d.ArchivedAt.IsZero() || !d.State.Final() {
		return m, "encore en cours de traitement (" + string(d.State) + ")", nil
	}
	for _, o := range objectsOf(d) {
		if named[o.Key] {
			m.Objects = append(m.Objects, EliminatedObject{o, "shared"})
			continue
		}
		text, err := how.judge(ctx, o, order)
		if errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrKeyLost) {
			return m, "incomplet dans l'archive (" + o.Key + ") : « greffe verify --message " + string(d.ID) + " » dit ce qui manque", nil
		}
		if err != nil || text != "" {
			return m, text, err
		}
		m.Objects = append(m.Objects, EliminatedObject{o, ""})
	}
	return m, "", nil
}

// AskElimination records that by asks to eliminate the messages whose locks have ended,
// and returns which ones those are and why the others stay. With dry, or when there is
// none, it only says so; ID of the answer is then empty. At most 10,000 messages.
func AskElimination(ctx context.Context, store archive.Store, db *index.DB, ids []greffe.MessageID, by string, dry bool, progress func(done, total int)) (Elimination, []NotYet, error) {
	return ask(ctx, afterTerm{store}, store, db, ids, by, dry, progress)
}

func ask(ctx context.Context, how removal, store archive.Store, db *index.DB, ids []greffe.MessageID, by string, dry bool, progress func(done, total int)) (Elimination, []NotYet, error) {
	if len(ids) > mostEliminated {
		return Elimination{}, nil, fmt.Errorf("%d messages: at most %d at once", len(ids), mostEliminated)
	}
	good, bad, err := judgeElimination(ctx, how, store, db, "", ids, progress)
	if err != nil {
		return Elimination{}, nil, fmt.Errorf("ask elimination: %w", err)
	}
	e := Elimination{Format: EliminationFormat, Kind: how.kind(), AskedBy: by, Messages: good}
	if dry || len(good) == 0 {
		return e, bad, nil
	}
	e.ID = time.Now().UTC().Format("20060102") + strings.ToLower(rand.Text()[:10])
	ask := index.Elimination{ID: e.ID, Kind: e.Kind, AskedBy: by}
	for _, m := range good {
		ask.Messages = append(ask.Messages, m.ID)
	}
	return e, bad, db.AskElimination(ctx, ask)
}

// Eliminate carries out what was asked under id, confirmed by another person, and
// returns the certificate with the object that holds it. It begins with the order in
// the archive and in the journal; then each message loses its manifest, its rows in the
// index, its raw mail and its parts, in this order, so that a crash leaves surplus that
// the order names. It may be repeated, and has to be after an error: what was begun is
// finished then. ErrNotYet when a message got locked, held or work since it was asked;
// nothing was removed then.
func Eliminate(ctx context.Context, store archive.Eliminator, db *index.DB, id, by string, progress func(done, total int)) (Elimination, greffe.Object, error) {
	return carryOut(ctx, afterTerm{store}, store, db, id, by, progress)
}

func carryOut(ctx context.Context, how removal, store archive.Store, db *index.DB, id, by string, progress func(done, total int)) (Elimination, greffe.Object, error) {
	fail := func(err error) (Elimination, greffe.Object, error) {
		return Elimination{}, greffe.Object{}, fmt.Errorf("eliminate %s: %w", id, err)
	}
	asked, err := db.Elimination(ctx, id)
	if err == nil && asked.Kind != how.kind() {
		err = ErrKind
	}
	if err != nil {
		return fail(err)
	}
	if asked.Order == "" {
		if asked, err = confirm(ctx, how, store, db, asked, by, progress); err != nil {
			return fail(err)
		}
	}
	var e Elimination
	if err := json.Unmarshal([]byte(asked.Order), &e); err != nil {
		return fail(err)
	}
	if !asked.DoneAt.IsZero() {
		return readCertificate(ctx, store, asked.Certificate)
	}
	if e.Order, err = putBytes(ctx, store, archive.OrderKey(id), []byte(asked.Order)); err != nil {
		return fail(err)
	}
	for n := range e.Messages {
		if err := eliminateMessage(ctx, how, db, asked, e.ConfirmedBy, &e.Messages[n]); err != nil {
			return fail(err)
		}
		if progress != nil {
			progress(n+1, len(e.Messages))
		}
	}
	e.Certified = time.Now().UTC().Truncate(time.Second)
	b, err := encodeElimination(e)
	if err != nil {
		return fail(err)
	}
	certificate, err := putBytes(ctx, store, archive.CertificateKey(id), b)
	if errors.Is(err, archive.ErrExists) {
		// From a run that was interrupted after it: that one stands.
		var i archive.Info
		if i, err = store.Stat(ctx, archive.CertificateKey(id)); err == nil {
			e, certificate, err = readCertificate(ctx, store, i.Object)
		}
	}
	if err != nil {
		return fail(err)
	}
	if err := db.FinishElimination(ctx, asked, e.ConfirmedBy, certificate); err != nil {
		return fail(err)
	}
	return e, certificate, nil
}

// confirm judges once more and writes the order into the index and the journal.
func confirm(ctx context.Context, how removal, store archive.Store, db *index.DB, asked index.Elimination, by string, progress func(done, total int)) (index.Elimination, error) {
	if strings.EqualFold(asked.AskedBy, by) {
		return asked, index.ErrSamePerson
	}
	good, bad, err := judgeElimination(ctx, how, store, db, asked.ID, asked.Messages, progress)
	if err != nil {
		return asked, err
	}
	if len(bad) > 0 {
		return asked, fmt.Errorf("%w: %s : %s", ErrNotYet, bad[0].Message, bad[0].Text)
	}
	b, err := encodeElimination(Elimination{Format: EliminationFormat, ID: asked.ID, Kind: asked.Kind, AskedBy: asked.AskedBy, AskedAt: asked.AskedAt, ConfirmedBy: by, Messages: good})
	if err != nil {
		return asked, err
	}
	return db.ConfirmElimination(ctx, asked.ID, by, string(b))
}

// eliminateMessage removes one message. What cannot be removed any more is marked kept.
func eliminateMessage(ctx context.Context, how removal, db *index.DB, e index.Elimination, by string, m *EliminatedMessage) error {
	manifest := archive.ManifestKey(m.ID)
	remove := func(only bool) error {
		for n := range m.Objects {
			o := &m.Objects[n]
			if o.Kept != "" || (o.Key == manifest) != only {
				continue
			}
			switch err := how.remove(ctx, o.Object, e.ID); {
			case err == nil, errors.Is(err, archive.ErrNotFound): // an interrupted run did it
			case errors.Is(err, archive.ErrLocked) && !only:
				o.Kept = "locked"
			default:
				return err
			}
		}
		return nil
	}
	if err := remove(true); err != nil {
		return err
	}
	if err := db.EliminateMessage(ctx, e, by, m.ID); err != nil {
		return err
	}
	return remove(false)
}

func encodeElimination(e Elimination) ([]byte, error) {
	b, err := json.MarshalIndent(e, "", " ")
	if err == nil && len(b) >= maxElimination {
		err = fmt.Errorf("%d bytes, at most %d are read: eliminate fewer messages at once", len(b), maxElimination)
	}
	return append(b, '\n'), err
}

func putBytes(ctx context.Context, store archive.Store, key string, b []byte) (greffe.Object, error) {
	return store.Put(ctx, key, bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
}

// readElimination reads the order of an elimination as it is, with who confirmed it, and
// where its certificate is; empty and zero when they are not in the archive.
func readElimination(ctx context.Context, store archive.Store, id string) (order, by string, certificate greffe.Object, err error) {
	_, b, err := readObject(ctx, store, archive.OrderKey(id), maxElimination)
	if errors.Is(err, archive.ErrNotFound) {
		return "", "", greffe.Object{}, nil
	}
	var e Elimination
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil || e.ID != id {
		return "", "", greffe.Object{}, fmt.Errorf("order of elimination %s: %w", id, errors.Join(err, evidence.ErrFormat))
	}
	certificate, _, err = readObject(ctx, store, archive.CertificateKey(id), maxElimination)
	if errors.Is(err, archive.ErrNotFound) {
		err = nil
	}
	return string(b), e.ConfirmedBy, certificate, err
}

// readCertificate reads a certificate back; o.SHA256 is checked when it is known.
func readCertificate(ctx context.Context, store archive.Store, o greffe.Object) (Elimination, greffe.Object, error) {
	f, err := store.Open(ctx, o)
	if err != nil {
		return Elimination{}, greffe.Object{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxElimination))
	if err != nil {
		return Elimination{}, greffe.Object{}, err
	}
	got := greffe.DigestOf(b)
	if o.SHA256 != "" && o.SHA256 != got {
		return Elimination{}, greffe.Object{}, fmt.Errorf("certificate %s: %w", o.Key, archive.ErrDigest)
	}
	var e Elimination
	if err := json.Unmarshal(b, &e); err != nil || e.Format != EliminationFormat {
		return Elimination{}, greffe.Object{}, errors.Join(fmt.Errorf("certificate %s: not a certificate", o.Key), err)
	}
	o.SHA256, o.Size = got, int64(len(b))
	return e, o, nil
}
