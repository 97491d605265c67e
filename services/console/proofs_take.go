package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/index"
)

// errPackOver says that a pack is not, or no longer, there to be downloaded.
var errPackOver = errors.New("console: the pack is not ready, or was removed")

// takeProof gives a pack to who asked for it. It is uncovered on its way: nothing of it
// lies in clear on the machine of the console.
func (c *Console) takeProof(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := c.ownPack(r, v)
	if err != nil {
		return err
	}
	if p.State != index.PackReady || time.Now().After(p.Expires) {
		return errPackOver
	}
	// What the person may see may have changed since.
	if sees, err := c.seesPack(r, v, p.ID); err != nil || !sees {
		c.note(v, "denied", p.ID, "refused", r.Pattern)
		return errors.Join(errNothing, err)
	}
	covered, err := c.bus.OpenPack(r.Context(), p.ID)
	if errors.Is(err, bus.ErrNotFound) {
		return errPackOver // the bus lost it
	}
	if err != nil {
		return err
	}
	defer covered.Close()
	f, err := archive.Uncover(p.CoverKey, covered)
	if err != nil {
		return err
	}
	err = c.db.ChangePack(r.Context(), p.ID, func(p *index.Pack) ([]index.Entry, error) {
		if p.State != index.PackReady {
			return nil, errPackOver
		}
		if p.Taken.IsZero() {
			p.Taken = time.Now().UTC()
		}
		return []index.Entry{v.entry("pack-downloaded", p.ID, "ok", "sha256="+string(p.SHA256))}, nil
	})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", disposition("preuve-"+c.wall.day(p.Built)+".zip"))
	h.Set("Content-Length", fmt.Sprint(p.Size))
	h.Set("Repr-Digest", reprDigest(p.SHA256))
	extend(w, p.Size)
	n, err := io.Copy(w, f)
	if n < p.Size {
		if err != nil && r.Context().Err() == nil {
			c.log.Error("proof pack cut short", slog.String("pack", p.ID), slog.Any("error", err))
		}
		panic(http.ErrAbortHandler) // a browser must not take half of it for the whole
	}
	return nil
}

const (
	packsLive = time.Second     // between two looks while something is to come
	packsCalm = 5 * time.Second // and when nothing is
)

// packEvent is what the page of packs receives about one of them.
type packEvent struct {
	ID   string `json:"id"`
	Said string `json:"said"`
	HTML string `json:"html"`
}

// streamProofs sends the packs of the person as they change, as server-sent events. The
// page works without it, by reading it again.
func (c *Console) streamProofs(w http.ResponseWriter, r *http.Request, v *visit) error {
	emit, ok := openStream(w)
	if !ok {
		return nil
	}
	shown := map[string]string{}
	look := time.NewTimer(0)
	defer look.Stop()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		select {
		case <-r.Context().Done():
			return nil
		case <-c.live.closed:
			return nil
		case <-ping.C:
			s, err := c.again(r)
			if errors.Is(err, errLogin) || errors.Is(err, errLocked) {
				emit("event: fin\ndata: {}\n\n")
				return nil
			}
			if err == nil && (s.user.Role != v.user.Role || !slices.Equal(c.placesOf(s.user), v.places)) || !emit(": ping\n\n") {
				return nil
			}
		case <-look.C:
			wait := packsCalm
			list, err := c.db.Packs(r.Context(), v.user.Login, packsShown)
			if err != nil {
				look.Reset(wait)
				continue
			}
			for _, p := range list {
				l := newPackLine(p)
				if l.Live && p.State != index.PackReady {
					wait = packsLive
				}
				html, err := c.pages.fragment("preuves", "pack", l)
				if err != nil {
					return nil
				}
				if shown[p.ID] == html {
					continue
				}
				shown[p.ID] = html
				b, err := json.Marshal(packEvent{p.ID, l.Said, html})
				if err != nil || !emit("event: dossier\ndata: %s\n\n", b) {
					return nil
				}
			}
			look.Reset(wait)
		}
	}
}
