package notifier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// WhiteList says where the domains of the MSSanté trust space come from:
// listeblanchemssante.xml as the ANS publishes it (elements Domaine/Nom of
// https://listeblanche.mssante.fr/schema, domain §3.4), or a text with one domain a line.
type WhiteList struct {
	Source string // path of a file that somebody keeps up to date, or https address; empty: nobody is answered
	CA     string // path of a PEM file: the only authorities trusted for the address. Empty: those of the system
	Copy   string // path where the last good list is kept
	// Shrink is the share of its domains that a list may lose at once, 0 to 1; one that
	// lost more is not believed. 0 means 0.1.
	Shrink float64
}

func (w WhiteList) remote() bool { return strings.HasPrefix(w.Source, "https://") }

// whiteList is the list in force: the last one that could be read and did not lose too
// many domains at once. It is kept on disk, so that a restart does not depend on its
// source. Domains are compared in their ASCII form (A-labels). Methods may be called at
// once.
type whiteList struct {
	WhiteList

	mu      sync.Mutex
	domains map[string]bool
	good    time.Time // when the source last said what is in force; of a file, when it was written
	etag    string
	seen    string // size and time of the file that was read last, good or not
	err     error  // what is wrong with the source now
}

const (
	fetchEvery = 6 * time.Hour
	fetchAgain = 10 * time.Minute    // after a failure
	listStale  = 7 * 24 * time.Hour  // the ANS publishes a list each working day
	fileStale  = 31 * 24 * time.Hour // somebody replaces a file by hand
)

var (
	errShrunk = errors.New("too many of the domains are gone at once")
	errKeep   = errors.New("the list could not be kept")
)

func newWhiteList(cfg WhiteList) *whiteList {
	if cfg.Shrink == 0 {
		cfg.Shrink = 0.1
	}
	w := &whiteList{WhiteList: cfg}
	w.recall()
	return w
}

// has reports whether a domain is on the list; no list allows none.
func (w *whiteList) has(domain string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reread()
	return w.domains[ascii(domain)]
}

// loaded reports whether a list is in force.
func (w *whiteList) loaded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reread()
	return len(w.domains) > 0
}

// check returns how many domains are in force, of when they are, and what is wrong with
// the source.
func (w *whiteList) check() (n int, good time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reread()
	return len(w.domains), w.good, w.err
}

// keep asks the address for a newer list until ctx is done. A file is looked at when it
// is needed.
func (w *whiteList) keep(ctx context.Context, log *slog.Logger) {
	for w.remote() && ctx.Err() == nil {
		wait := fetchEvery
		if err := w.fetch(ctx); err != nil && ctx.Err() == nil {
			log.Warn("white list not fetched", slog.Any("error", err))
			wait = fetchAgain
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// reread reads the file when it is another one than before.
func (w *whiteList) reread() {
	if w.Source == "" || w.remote() {
		return
	}
	fi, err := os.Stat(w.Source)
	if err != nil {
		w.err = err
		return
	}
	seen := fmt.Sprint(fi.Size(), " ", fi.ModTime().UnixNano())
	if seen == w.seen {
		return
	}
	b, err := readFile(w.Source)
	if w.err = err; err == nil {
		w.seen = seen
		w.err = w.believe(b, fi.ModTime())
	}
}

// believe puts a list in force unless it is torn or shrank, and keeps a copy of it.
func (w *whiteList) believe(b []byte, at time.Time) error {
	domains, err := readWhiteList(bytes.NewReader(b))
	if err != nil {
		return err
	}
	kept := 0
	for d := range w.domains {
		if domains[d] {
			kept++
		}
	}
	if lost := len(w.domains) - kept; float64(lost) > w.Shrink*float64(len(w.domains)) {
		return fmt.Errorf("%w: %d of %d", errShrunk, lost, len(w.domains))
	}
	w.domains, w.good = domains, at
	return w.remember(b)
}

// remember writes the copy: a crash leaves the one before it.
func (w *whiteList) remember(b []byte) error {
	if w.Copy == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(w.Copy), ".white-list-*")
	if err != nil {
		return fmt.Errorf("%w: %w", errKeep, err)
	}
	defer os.Remove(f.Name()) // gone after the renaming
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close(), os.Chtimes(f.Name(), w.good, w.good)); err == nil {
		err = os.Rename(f.Name(), w.Copy)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errKeep, err)
	}
	return nil
}

// touch notes on the copy that it is still what the source says.
func (w *whiteList) touch() error {
	if w.Copy == "" {
		return nil
	}
	if err := os.Chtimes(w.Copy, w.good, w.good); err != nil {
		return fmt.Errorf("%w: %w", errKeep, err)
	}
	return nil
}

// recall puts the copy in force, at a start.
func (w *whiteList) recall() {
	if w.Copy == "" || w.Source == "" {
		return
	}
	fi, err := os.Stat(w.Copy)
	if err != nil {
		return // there was none yet
	}
	if b, err := readFile(w.Copy); err == nil {
		if domains, err := readWhiteList(bytes.NewReader(b)); err == nil {
			w.domains, w.good = domains, fi.ModTime()
		}
	}
}

func readFile(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxWhiteList {
		return nil, errLong
	}
	return os.ReadFile(path)
}

// stale reports whether the list in force is older than it ought to be.
func (w WhiteList) stale(good time.Time) bool {
	if w.remote() {
		return time.Since(good) > listStale
	}
	return time.Since(good) > fileStale
}
