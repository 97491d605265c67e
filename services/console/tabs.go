package console

import (
	"context"
	"sync"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// queueTab is one tab of the queue: the states it holds.
type queueTab struct {
	Slug   string
	Icon   string
	Name   string
	States []greffe.State
}

// tabs are the tabs of the queue in their order: first what waits for a person. What the
// DI refused waits for one, too: the cause says which it is.
var tabs = []queueTab{
	{"a-traiter", "todo", "À traiter", []greffe.State{greffe.StateTodo, greffe.StateRefused}},
	{"attente", "waiting", "En attente du DI", []greffe.State{greffe.StateWaiting}},
	{"integre", "delivered", "Intégrés", []greffe.State{greffe.StateDelivered}},
	{"doublon", "duplicate", "Doublons", []greffe.State{greffe.StateDuplicate}},
	{"incident", "incident", "Incidents", []greffe.State{greffe.StateIncident}},
	{"en-cours", "archived", "En cours", []greffe.State{greffe.StateReceived, greffe.StateArchived}},
	{"classe", "dismissed", "Classés", []greffe.State{greffe.StateDismissed}},
	{followUp, "send", "Réponses à suivre", nil},
}

// followUp is the tab of the messages whose answers a person has to look after.
const followUp = "reponses"

const todoTab = "a-traiter"

// tabOf returns the tab of a slug. A state has one of its own, too, so that an address
// may name one state.
func tabOf(slug string) (queueTab, bool) {
	for _, t := range tabs {
		if t.Slug == slug {
			return t, true
		}
	}
	if s, ok := stateOfSlug(slug); ok {
		w := wordsOf(s)
		return queueTab{w.Slug, w.Icon, w.Tab, []greffe.State{s}}, true
	}
	return queueTab{}, false
}

// causeWords name why something waits, for the tab of what is to be done.
var causeWords = func() map[greffe.Cause]string {
	words := map[greffe.Cause]string{}
	for _, c := range greffe.Causes {
		words[c] = c.French()
	}
	return words
}()

// counts are the numbers of the tabs by slug ("tous": all), of the causes as
// "motif.<cause>", of what is put off ("plus-tard") and passed to the person ("moi").
type counts map[string]int

// countFor is how long counts are good for: many pages that follow one queue ask at once.
const countFor = 900 * time.Millisecond

// counters remembers counts for a moment.
type counters struct {
	mu   sync.Mutex
	kept map[string]counted
}

type counted struct {
	at time.Time
	n  counts
}

func (c *Console) countsFor(ctx context.Context, places []string, login string, fresh bool) (counts, error) {
	key := login
	for _, p := range places {
		key += "\x00" + p
	}
	now := time.Now()
	if !fresh {
		c.counters.mu.Lock()
		k, ok := c.counters.kept[key]
		c.counters.mu.Unlock()
		if ok && now.Sub(k.at) < countFor {
			return k.n, nil
		}
	}
	states, err := c.db.Counts(ctx, places)
	if err != nil {
		return nil, err
	}
	waiting, err := c.db.Waiting(ctx, places, login, now)
	if err != nil {
		return nil, err
	}
	n := add(states, waiting)
	if n[followUp], err = c.db.CountFollowUps(ctx, places); err != nil {
		return nil, err
	}
	c.counters.mu.Lock()
	defer c.counters.mu.Unlock()
	if len(c.counters.kept) > maxClients || c.counters.kept == nil {
		c.counters.kept = map[string]counted{}
	}
	c.counters.kept[key] = counted{now, n}
	return n, nil
}

// add puts the numbers together. What waits is counted as it is due now.
func add(states map[greffe.State]int, w index.Waiting) counts {
	n := counts{"plus-tard": w.Later, "moi": w.Mine}
	for _, k := range states {
		n["tous"] += k
	}
	for _, t := range tabs {
		for _, s := range t.States {
			if !s.Waits() {
				n[t.Slug] += states[s]
				continue
			}
			for cause, k := range w.Causes[s] {
				n[t.Slug] += k
				if t.Slug == todoTab {
					n["motif."+string(cause)] += k
				}
			}
		}
	}
	return n
}
