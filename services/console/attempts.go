package console

import (
	"sync"
	"time"
)

// attempts counts refused logins of the last window, per login and address, per
// login and per address, and says when to refuse without looking at the password.
// A login that fails from one place is not locked for its owner elsewhere until
// many more failures, so that nobody can lock a colleague out cheaply. Its methods
// may be called at once. It lives in the process: a restart forgets it.
type attempts struct {
	mu    sync.Mutex
	now   func() time.Time
	fail  map[string][]time.Time // oldest first
	swept time.Time
}

const (
	attemptWindow = 15 * time.Minute
	maxPair       = 5   // per login and address
	maxLogin      = 25  // per login, from anywhere
	maxAddress    = 50  // per address, for any login (a ward may share one address)
	maxAttempts   = 1e4 // keys remembered; beyond it the map is swept, then everyone new waits
)

func newAttempts() *attempts {
	return &attempts{now: time.Now, fail: map[string][]time.Time{}}
}

type attemptKey struct {
	key string
	max int
}

func attemptKeys(login, from string) [3]attemptKey {
	return [3]attemptKey{{"pair\x00" + login + "\x00" + from, maxPair}, {"login\x00" + login, maxLogin}, {"from\x00" + from, maxAddress}}
}

// begin counts one try as a failure beforehand, so that tries made at once cannot
// slip through together, and returns 0; or returns how long to wait, without
// counting.
func (a *attempts) begin(login, from string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	wait := a.wait(login, from, now)
	if len(a.fail) >= maxAttempts {
		if now.Sub(a.swept) >= time.Second { // a flood must not make each try cost a sweep
			a.swept = now
			for k := range a.fail {
				a.recent(k, now)
			}
		}
		if len(a.fail) >= maxAttempts {
			wait = max(wait, time.Minute)
		}
	}
	if wait > 0 {
		return wait
	}
	for _, k := range attemptKeys(login, from) {
		a.fail[k.key] = append(a.fail[k.key], now)
	}
	return 0
}

// locked reports whether the next try would have to wait.
func (a *attempts) locked(login, from string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wait(login, from, a.now()) > 0
}

func (a *attempts) wait(login, from string, now time.Time) time.Duration {
	var wait time.Duration
	for _, k := range attemptKeys(login, from) {
		recent := a.recent(k.key, now)
		if len(recent) >= k.max {
			wait = max(wait, recent[len(recent)-k.max].Add(attemptWindow).Sub(now))
		}
	}
	return wait
}

// accepted takes back what begin counted and forgets the failures of this login
// from this address.
func (a *attempts) accepted(login, from string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := attemptKeys(login, from)
	delete(a.fail, keys[0].key)
	for _, k := range keys[1:] {
		if f := a.fail[k.key]; len(f) > 1 {
			a.fail[k.key] = f[:len(f)-1]
		} else {
			delete(a.fail, k.key)
		}
	}
}

// recent drops what is older than the window and returns the rest.
func (a *attempts) recent(key string, now time.Time) []time.Time {
	f := a.fail[key]
	for len(f) > 0 && now.Sub(f[0]) >= attemptWindow {
		f = f[1:]
	}
	if len(f) == 0 {
		delete(a.fail, key)
		return nil
	}
	a.fail[key] = f
	return f
}
