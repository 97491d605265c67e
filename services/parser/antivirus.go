package parser

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/clamd"
	"greffe/pkg/greffe"
)

// Antivirus says what scans the parts.
type Antivirus struct {
	Client  *clamd.Client // nil: nothing is scanned
	Time    time.Duration // for all scans of one message; 0 means 5 minutes
	BaseAge time.Duration // a signature base older than this is reported; 0 means 7 days
}

// errAntivirus marks an antivirus that does not answer: the message waits for it.
var errAntivirus = errors.New("antivirus")

const (
	// probeUp and probeDown are between two looks at an antivirus that answers, and at
	// one that does not.
	probeUp   = 10 * time.Second
	probeDown = time.Second
	// probeTime is how long it may take to say its version. While clamd loads a new
	// base it may be silent for longer; then the messages wait that long.
	probeTime = 10 * time.Second
	// scanTries is how often a message is read again because a part could not be
	// scanned by an antivirus that scans others. Then the part is held.
	scanTries = 3
	maxFailed = 1000 // messages and parts whose tries are remembered
)

// guard watches the antivirus, so that no message is read while it does not answer.
type guard struct {
	Antivirus
	log     *slog.Logger
	poke    chan struct{} // look at once
	changed chan struct{} // the standing has changed

	mu      sync.Mutex
	looked  bool // at least once
	up      bool
	since   time.Time // when it was first not up
	version clamd.Version
	turn    chan struct{}  // closed when up changes
	failed  map[string]int // tries that failed, by message id, and by digest of a part
}

// newGuard returns nil when there is no antivirus.
func newGuard(cfg Antivirus, log *slog.Logger) *guard {
	if cfg.Client == nil {
		return nil
	}
	if cfg.Time <= 0 {
		cfg.Time = 5 * time.Minute
	}
	if cfg.BaseAge <= 0 {
		cfg.BaseAge = 7 * 24 * time.Hour
	}
	return &guard{Antivirus: cfg, log: log, poke: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		turn: make(chan struct{}), failed: map[string]int{}}
}

// watch looks at the antivirus from time to time until ctx is done.
func (g *guard) watch(ctx context.Context) {
	for {
		try, cancel := context.WithTimeout(ctx, probeTime)
		v, err := g.Client.Version(try)
		cancel()
		if ctx.Err() != nil {
			return
		}
		g.set(v, err)
		wait := probeUp
		if err != nil {
			wait = probeDown
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-g.poke:
			t.Stop()
		case <-t.C:
		}
	}
}

func (g *guard) set(v clamd.Version, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	up := err == nil
	news := !g.looked || up != g.up || up && v != g.version
	if !g.looked || up != g.up {
		close(g.turn)
		g.turn = make(chan struct{})
		if up {
			g.log.Info("antivirus answers", slog.String("engine", v.Engine), slog.String("base", v.Base))
		} else {
			g.since = time.Now()
			g.log.Error("antivirus does not answer: messages wait", slog.Any("error", err))
		}
	}
	g.looked, g.up = true, up
	if up {
		g.version = v
	}
	if news {
		select {
		case g.changed <- struct{}{}:
		default:
		}
	}
}

// doubt has the antivirus looked at now.
func (g *guard) doubt() {
	select {
	case g.poke <- struct{}{}:
	default:
	}
}

// state returns whether the antivirus answers, and a channel that is closed when that
// changes.
func (g *guard) state() (up bool, turn <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.up, g.turn
}

// whileUp calls run each time the antivirus answers; its context ends when it does not
// any more. So the messages stay on the bus, untried and in their order, and go on at
// once when it is back.
func (g *guard) whileUp(ctx context.Context, run func(context.Context) error) error {
	for ctx.Err() == nil {
		up, turn := g.state()
		if !up {
			select {
			case <-ctx.Done():
			case <-turn:
			}
			continue
		}
		open, shut := context.WithCancel(ctx)
		go func() {
			select {
			case <-open.Done():
			case <-turn:
				shut()
			}
		}()
		err := run(open)
		shut()
		if err != nil {
			return err
		}
	}
	return nil
}

// works asks for the scan of a few harmless bytes: what fails now is clamd's trouble,
// not that of the part that failed before.
func (g *guard) works(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	res, err := g.Client.Scan(ctx, strings.NewReader("Greffe\n"))
	return err == nil && res.Clean()
}

// fail notes that a message could not be scanned, or that clamd hung up on a part, and
// reports whether that is worth another try.
func (g *guard) fail(key string) (again bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.failed) >= maxFailed {
		clear(g.failed) // then some are tried more often
	}
	g.failed[key]++
	return g.failed[key] < scanTries
}

// hopeless reports whether a part is not to be scanned any more: each time clamd was
// given it, clamd hung up. Perhaps it ends clamd, for everybody.
func (g *guard) hopeless(part greffe.Digest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed[string(part)] >= scanTries
}

func (g *guard) forget(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.failed, key)
}

// standing says how the reading of messages goes, for the pages.
func (g *guard) standing() bus.Standing {
	s := bus.Standing{Service: "parser", Instance: hostname()}
	if g == nil {
		s.Warning = "Aucun antivirus n’est configuré : les pièces sont lues sans être analysées. Installer clamd et donner son adresse (antivirus.clamd)."
		return s
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.looked:
		s.Text = "Démarrage."
	case !g.up:
		s.Since = g.since.UTC()
		s.Trouble = "Antivirus injoignable : aucune pièce n’est lue sans lui, les messages attendent. Vérifier que clamd fonctionne et que antivirus.clamd donne son adresse."
		s.Waiting = "L’antivirus est injoignable : les messages reçus sont conservés et attendent d’être analysés. Rien n’est perdu ; ils avanceront d’eux-mêmes."
	default:
		s.Text = "Antivirus : " + g.version.French() + "."
		if age := g.version.Age(time.Now()); age > g.BaseAge {
			s.Warning = fmt.Sprintf("La base de signatures de l’antivirus a %d jours : vérifier que freshclam la met à jour.", int(age.Hours()/24))
		}
	}
	return s
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "?"
	}
	return name
}
