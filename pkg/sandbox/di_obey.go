package sandbox

import (
	"context"
	"slices"
	"time"
)

// DIBehaviour is how the demo record system treats one message.
type DIBehaviour string

// Behaviours. DIForget, DICut and DIGarbage integrate the document first, so that
// the sender's repeat shows whether anything goes twice.
const (
	DINormal    DIBehaviour = ""
	DIRefuse    DIBehaviour = "refuse"    // an application refusal: AE with 207 and a code; HTTP 422
	DIBusy      DIBehaviour = "busy"      // AR; HTTP 503
	DIThrottled DIBehaviour = "throttled" // AR; HTTP 429 with Retry-After
	DISilent    DIBehaviour = "silent"    // takes the message, drops it, never answers
	DIForget    DIBehaviour = "forget"    // integrates, closes without answering
	DICut       DIBehaviour = "cut"       // integrates, closes in the middle of the answer
	DIGarbage   DIBehaviour = "garbage"   // integrates, answers nonsense
	DITechnical DIBehaviour = "technical" // AE with a syntax error; HTTP 400
)

// DIRule is how the demo record system treats the messages to come, whatever the
// protocol. The zero rule is to answer as the tables say.
type DIRule struct {
	Behaviour DIBehaviour
	Code      string        // of DIRefuse: 900 to 906
	Delay     time.Duration // between integrating and answering; the longest is a minute
	Times     int           // how many messages it is for; 0: all until another rule
}

// diDelay is the longest delay of a rule.
const diDelay = time.Minute

// Obey sets the rule for the messages to come, and takes away what Behave said.
func (d *DI) Obey(r DIRule) {
	r.Delay = min(max(r.Delay, 0), diDelay)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behave, d.rule, d.left = nil, r, r.Times
}

// Behave decides how the n-th message, from 1, is treated; nil means normally.
func (d *DI) Behave(f func(n int) DIBehaviour) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behave, d.rule = f, DIRule{}
}

// next counts a message and says how to treat it.
func (d *DI) next() DIRule {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.messages++
	d.stats.Messages++
	if d.behave != nil {
		return DIRule{Behaviour: d.behave(d.messages)}
	}
	r := d.rule
	if r.Times > 0 {
		if d.left--; d.left <= 0 {
			d.rule = DIRule{}
		}
	}
	return r
}

// refusal is the application error of DIRefuse, else nil.
func (r DIRule) refusal() *diRefusal {
	if r.Behaviour != DIRefuse {
		return nil
	}
	if n := slices.IndexFunc(diRefusals, func(x diRefusal) bool { return x.code == r.Code }); n >= 0 {
		return &diRefusals[n]
	}
	return &diOther
}

// wait waits for the delay of the rule; false when ctx ended first.
func (r DIRule) wait(ctx context.Context) bool {
	if r.Delay <= 0 {
		return true
	}
	t := time.NewTimer(r.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
