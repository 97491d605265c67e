package storage

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
)

// judged is a store that gives these checks, one list after the other.
type judged struct {
	archive.Store
	asked atomic.Int32
	lists [][]archive.Check
}

func (j *judged) Check(context.Context) []archive.Check {
	return j.lists[min(int(j.asked.Add(1))-1, len(j.lists)-1)]
}

func TestStartInComplianceNeedsProof(t *testing.T) {
	t.Parallel()
	good := archive.Check{Name: "Effacement refusé", OK: true}
	away := archive.Check{Name: "Connexion", Text: "Le serveur ne répond pas.", Later: true}
	bad := archive.Check{Name: "Effacement refusé", Text: "Le serveur a effacé un objet verrouillé. N’y placez pas l’archive."}
	for name, c := range map[string]struct {
		lists   [][]archive.Check
		refuses bool
	}{
		"proved":                        {[][]archive.Check{{good, good}}, false},
		"away, then proved":             {[][]archive.Check{{away}, {good, away}, {good}}, false},
		"deletes":                       {[][]archive.Check{{good, bad}}, true},
		"away, then deletes":            {[][]archive.Check{{away}, {bad}}, true},
		"one does not answer, one lies": {[][]archive.Check{{away, bad}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			j := &judged{Store: h.store, lists: c.lists}
			h.cfg.Proven, h.Storage.store, h.pause = true, j, time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- h.Run(ctx) }()
			if c.refuses {
				if err := <-done; !errors.Is(err, ErrUnproven) || !errorSays(err, bad.Text) {
					t.Errorf("Run returned %v", err)
				}
				if h.Began() {
					t.Error("it says that it began")
				}
				return
			}
			raw := fakeMail()
			r := h.receive(t, 1, raw)
			if err := bus.Publish(ctx, h.bus, bus.Received, r); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "a message is kept", func() bool {
				_, err := h.store.Stat(ctx, archive.RawKey(r.ID))
				return err == nil
			})
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func errorSays(err error, text string) bool {
	return len(text) > 0 && len(err.Error()) >= len(text) && err.Error()[len(err.Error())-len(text):] == text
}

// While the archive does not answer, that is said where people look, nothing is
// written, and a stop is a stop.
func TestStartWaitsForTheArchive(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	j := &judged{Store: h.store, lists: [][]archive.Check{{{Name: "Connexion", Text: "Le serveur ne répond pas.", Later: true}}}}
	h.cfg.Proven, h.Storage.store, h.pause = true, j, time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	r := h.receive(t, 1, fakeMail())
	if err := bus.Publish(ctx, h.bus, bus.Received, r); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it is said", func() bool {
		all, err := h.bus.Standings(ctx)
		return err == nil && len(all) == 1 && all[0].Trouble == "Connexion : Le serveur ne répond pas."
	})
	waitFor(t, "it is asked again", func() bool { return j.asked.Load() > 3 })
	if _, err := h.store.Stat(ctx, archive.RawKey(r.ID)); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("something was written: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
