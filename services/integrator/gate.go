package integrator

import (
	"math/rand/v2"
	"sync"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const (
	// silences is how many documents in a row a DI may leave without an answer before it
	// counts as down: one alone may be at fault itself.
	silences = 3
	// probeMost is the longest time between two tries of a DI that is down. One document
	// a minute disturbs nobody, and what waits should not wait for long after its end.
	probeMost = time.Minute
	maxAfter  = time.Hour // that a DI may ask to be left alone for
)

// gate says whether documents may go to one DI. What a person, an error or silence did
// to it is in the index, for all processes (index.Gate); what is counted here is of this
// process alone.
type gate struct {
	mu      sync.Mutex
	state   index.Gate
	silent  int       // documents in a row without an answer
	until   time.Time // the DI asked to be left alone until then
	probeAt time.Time // when the next document tries a DI that is down
	wake    func()
}

// closed is why no document may go now; nil when they may. It is a document's outcome,
// but for its DI.
func (g *gate) closed(now time.Time) *greffe.Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.state
	switch {
	case !s.StoppedAt.IsZero():
		return &greffe.Outcome{State: greffe.StateWaiting, Code: "stopped",
			Text: "Les envois à ce DI sont arrêtés depuis une erreur technique : un administrateur doit la faire corriger, puis reprendre les envois (page Système)."}
	case !s.PausedAt.IsZero():
		return &greffe.Outcome{State: greffe.StateWaiting, Code: "paused",
			Text: "Les envois à ce DI sont en pause : un administrateur les reprendra (page Système)."}
	case !s.DownAt.IsZero():
		return &greffe.Outcome{State: greffe.StateWaiting, Code: "down", Text: textUnreachable}
	case now.Before(g.until):
		return &greffe.Outcome{State: greffe.StateWaiting, Code: "later", Text: textLater}
	}
	return nil
}

// probing reports whether the DI is down and its next try is due, and if so plans the
// one after it.
func (g *gate) probing(now time.Time, pace time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state.DownAt.IsZero() || g.state.Held() || now.Before(g.probeAt) {
		return false
	}
	g.probeAt = now.Add(time.Duration(float64(pace) * (0.9 + 0.2*rand.Float64())))
	return true
}

// set takes what the index says, and wakes the queue when the gate opens.
func (g *gate) set(s index.Gate) {
	g.mu.Lock()
	before := g.state
	g.state = s
	if s.DownAt.IsZero() && !before.DownAt.IsZero() {
		g.silent = 0
	}
	g.mu.Unlock()
	if s.Open() && !before.Open() {
		g.wake()
	}
}

// change changes what this process knows before the index says it again.
func (g *gate) change(f func(s *index.Gate)) {
	g.mu.Lock()
	s := g.state
	g.mu.Unlock()
	f(&s)
	g.set(s)
}

// said counts what came of a try, and reports whether the DI counts as down from now on,
// or as up again.
func (g *gate) said(r Result, now time.Time) (down, up bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.After > 0 {
		g.until = now.Add(min(r.After, maxAfter))
	}
	if !r.Silent {
		g.silent = 0
		return false, !g.state.DownAt.IsZero()
	}
	g.silent++
	return g.silent >= silences && g.state.DownAt.IsZero(), false
}
