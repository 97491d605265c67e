package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// activity keeps what became of the documents of each day, mailbox by mailbox: counted
// once for all who look, and again when it may have changed.
type activity struct {
	mu   sync.Mutex
	days map[string]*activeDay // by time.DateOnly
}

// activeDay is what became of the documents that came on a day.
type activeDay struct {
	counted time.Time
	boxes   map[greffe.Origin]*tallied // by mailbox and folder
}

// tallied is what became of some documents.
type tallied struct {
	Documents int // all but duplicates
	Machine   int // integrated without a hand
	Hand      int // integrated after a person's decision
	Waiting   int // no person has to do anything: archived, on its way, or the DI does not answer
	held          // a person had to see to it, and it is not integrated
	Closed    int // put aside, by a person or because of a newer version
	Twice     int // duplicates

	declined int             // of those refused, by a person: nothing is left to do
	delays   []time.Duration // from arrival to the DI's answer, of those integrated without a hand
	reasons  map[string]held // by code of the outcome; of the first maxKinds
	senders  map[string]held // by address; of the first maxKinds
}

// held is how many documents did not go to the DI, by how they stand.
type held struct {
	Todo     int // a person must decide
	Refused  int // by the DI, or by a person, so that the sender was told
	Incident int
}

// All is how many they are together.
func (h held) All() int { return h.Todo + h.Refused + h.Incident }

func (h held) plus(o held) held {
	return held{h.Todo + o.Todo, h.Refused + o.Refused, h.Incident + o.Incident}
}

func (h held) minus(o held) held {
	return held{h.Todo - o.Todo, h.Refused - o.Refused, h.Incident - o.Incident}
}

// shown is for how many days back what is counted is kept.
const shownDays = 90

// maxKinds bounds the different reasons and senders that are kept of a day and mailbox;
// what comes after them counts among the others.
const maxKinds = 1000

// stale says after how long a day is counted again: what is old seldom changes.
func stale(age int) time.Duration {
	switch {
	case age < 2:
		return time.Minute
	case age < 8:
		return 10 * time.Minute
	}
	return 2 * time.Hour
}

// midnight returns the beginning of the day of t, by days later.
func midnight(t time.Time, days int, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	return time.Date(y, m, d+days, 0, 0, 0, 0, zone)
}

// refresh counts the last n days again where it is due and returns them, oldest first,
// each summed over the mailboxes that sees says.
func (a *activity) refresh(ctx context.Context, db *index.DB, n int, zone *time.Location, now time.Time, sees func(greffe.Origin) bool) ([]dayTally, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.days == nil {
		a.days = map[string]*activeDay{}
	}
	oldest := midnight(now, -shownDays, zone).Format(time.DateOnly)
	maps.DeleteFunc(a.days, func(day string, _ *activeDay) bool { return day < oldest })
	out := make([]dayTally, 0, n)
	for age := n - 1; age >= 0; age-- {
		from := midnight(now, -age, zone)
		key := from.Format(time.DateOnly)
		d := a.days[key]
		if d == nil || now.Sub(d.counted) > stale(age) || now.Before(d.counted) {
			var err error
			if d, err = countDay(ctx, db, from, midnight(now, 1-age, zone)); err != nil {
				return nil, err
			}
			d.counted = now
			a.days[key] = d
		}
		t := dayTally{Day: from}
		for box, b := range d.boxes {
			if sees(box) {
				t.add(b)
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// countDay reads the documents of one day.
func countDay(ctx context.Context, db *index.DB, from, to time.Time) (*activeDay, error) {
	d := &activeDay{boxes: map[greffe.Origin]*tallied{}}
	err := db.Activities(ctx, from, to, func(a index.Activity) error {
		box := greffe.Origin{Mailbox: a.Mailbox, Folder: a.Folder}
		b := d.boxes[box]
		if b == nil {
			b = &tallied{reasons: map[string]held{}, senders: map[string]held{}}
			d.boxes[box] = b
		}
		b.count(a)
		return nil
	})
	return d, err
}

func (b *tallied) count(a index.Activity) {
	if a.State == greffe.StateDuplicate {
		b.Twice++
		return
	}
	b.Documents++
	switch a.State {
	case greffe.StateDelivered:
		if a.ByHand {
			b.Hand++
			return
		}
		b.Machine++
		if d := a.Outcome.At.Sub(a.ReceivedAt); !a.Outcome.At.IsZero() && d >= 0 {
			b.delays = append(b.delays, d)
		}
	case greffe.StateTodo:
		b.hold(a, held{Todo: 1})
	case greffe.StateRefused:
		b.hold(a, held{Refused: 1})
	case greffe.StateIncident:
		b.hold(a, held{Incident: 1})
	case greffe.StateDismissed:
		if !a.Outcome.Refused() {
			b.Closed++
			return
		}
		b.declined++
		b.hold(a, held{Refused: 1})
	default:
		b.Waiting++
	}
}

func (b *tallied) hold(a index.Activity, one held) {
	b.held = b.plus(one)
	note := func(m map[string]held, key string) {
		if h, ok := m[key]; ok || len(m) < maxKinds {
			m[key] = h.plus(one)
		}
	}
	note(b.reasons, a.Outcome.Code)
	note(b.senders, a.Sender)
}

// dayTally is what became of the documents of one day, or of several.
type dayTally struct {
	Day time.Time
	tallied
}

func (t *dayTally) add(b *tallied) {
	t.Documents += b.Documents
	t.Machine += b.Machine
	t.Hand += b.Hand
	t.Waiting += b.Waiting
	t.held = t.plus(b.held)
	t.declined += b.declined
	t.Closed += b.Closed
	t.Twice += b.Twice
	t.delays = append(t.delays, b.delays...)
	if t.reasons == nil {
		t.reasons, t.senders = map[string]held{}, map[string]held{}
	}
	for k, n := range b.reasons {
		t.reasons[k] = t.reasons[k].plus(n)
	}
	for k, n := range b.senders {
		t.senders[k] = t.senders[k].plus(n)
	}
}

// Share is how many of a hundred documents were integrated without a hand, rounded down:
// 100 means all. It is 0 without documents.
func (t tallied) Share() int {
	if t.Documents == 0 {
		return 0
	}
	return 100 * t.Machine / t.Documents
}

// Open is what still waits, for a machine or a person.
func (t tallied) Open() int { return t.Waiting + t.All() - t.declined }

// Pending says of what Open counts how it stands; "" for nothing.
func (t tallied) Pending() string {
	h := t.minus(held{Refused: t.declined})
	said := h.words()
	if t.Waiting > 0 {
		said = append([]string{plural(t.Waiting, "archivé ou en attente du DI", "archivés ou en attente du DI")}, said...)
	}
	return strings.Join(said, ", ")
}

// Median is the time from arrival to the DI that half of the documents took at most.
func (t tallied) Median() string { return t.percentile(50) }

// Most is the time that 95 of a hundred took at most.
func (t tallied) Most() string { return t.percentile(95) }

func (t tallied) percentile(p int) string {
	d, ok := t.delay(p)
	if !ok {
		return "—"
	}
	return span(d)
}

// delay returns a percentile of the delays by the nearest-rank method.
func (t tallied) delay(p int) (time.Duration, bool) {
	if len(t.delays) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(t.delays))
	return sorted[(len(sorted)*p+99)/100-1], true
}

// span writes a duration for a person.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "moins de 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d", int(d.Hours()), int(d.Minutes())%60)
	}
	return plural(int(d/(24*time.Hour)), "jour", "jours")
}

// ranked is a line of a table of the most frequent.
type ranked struct {
	Name string
	held
}

// rank returns the most frequent, at most limit, and of all that total counts what is not
// among them.
func rank(counts map[string]held, total held, limit int) (top []ranked, others held) {
	for name, n := range counts {
		top = append(top, ranked{name, n})
	}
	slices.SortFunc(top, func(a, b ranked) int { return cmp.Or(b.All()-a.All(), cmp.Compare(a.Name, b.Name)) })
	top = top[:min(len(top), limit)]
	for _, r := range top {
		total = total.minus(r.held)
	}
	return top, total
}
