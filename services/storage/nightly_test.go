package storage

import (
	"strings"
	"testing"
	"time"

	"greffe/pkg/index"
)

// A run is due once for each passing of its hour, whoever looks how often.
func TestNightlyRunsOnceADay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.cfg.Nightly = Nightly{On: true, At: 2 * time.Hour, Options: VerifyOptions{Full: true, Sample: 50}}
	raw := sampleMail(t, 1, 1000)
	r := h.receive(t, 1, raw)
	if _, err := h.storeMessage(t.Context(), parse(t, r, raw)); err != nil {
		t.Fatal(err)
	}
	runs := func() int {
		list, err := h.db.JournalOf(t.Context(), verifiedSubject, verifiedAction, 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	tomorrow := time.Now().AddDate(0, 0, 1)
	at := func(hour int) time.Time {
		return time.Date(tomorrow.Year(), tomorrow.Month(), tomorrow.Day(), hour, 0, 0, 0, tomorrow.Location())
	}
	// The entries that runs write are of today: each later hour of tomorrow is one more.
	for _, c := range []struct {
		now  time.Time
		want int
	}{{time.Now(), 0}, {at(3), 1}} {
		if err := h.verifyDue(t.Context(), c.now); err != nil || runs() != c.want {
			t.Errorf("at %v: %d runs, want %d, %v", c.now, runs(), c.want, err)
		}
	}
	h.verified.note(t.Context(), h.db, nil, time.Now())
	s := h.verified.standings()
	if len(s) != 1 || s[0].Trouble != "" || !strings.Contains(s[0].Text, "rien ne manque") {
		t.Errorf("standing %+v", s)
	}
}

func TestLastHour(t *testing.T) {
	t.Parallel()
	day := func(d, h, m int) time.Time { return time.Date(2026, 11, d, h, m, 0, 0, time.UTC) }
	for _, c := range []struct{ now, want time.Time }{
		{day(23, 2, 0), day(23, 2, 0)}, {day(23, 1, 59), day(22, 2, 0)}, {day(23, 23, 0), day(23, 2, 0)}, {day(1, 0, 0), time.Date(2026, 10, 31, 2, 0, 0, 0, time.UTC)},
	} {
		if got := lastHour(c.now, 2*time.Hour); !got.Equal(c.want) {
			t.Errorf("at %v: %v, want %v", c.now, got, c.want)
		}
	}
}

// What was found stays on the page until a run over all, in full, finds nothing.
func TestStandingOfVerification(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	run := func(hoursAgo int, result, detail string) index.Entry {
		return index.Entry{At: now.Add(-time.Duration(hoursAgo) * time.Hour), Actor: "storage", Result: result, Detail: detail}
	}
	bad := run(50, "broken", "full sample=5% seed=1 messages=1 objects=1 holes=1 object.bytes")
	sample := run(26, "ok", "full sample=5% seed=2 messages=1 objects=1 holes=0")
	quick := run(4, "ok", "quick all messages=1 objects=1 holes=0")
	full := run(2, "ok", "full all messages=1 objects=1 holes=0")
	for name, c := range map[string]struct {
		runs    []index.Entry // newest first
		night   time.Time
		failed  error
		trouble string
	}{
		"never":             {nil, now.Add(-time.Hour), nil, ""},
		"good":              {[]index.Entry{sample}, sample.At, nil, ""},
		"found":             {[]index.Entry{bad}, sample.At, nil, "object.bytes"},
		"another sample":    {[]index.Entry{sample, bad}, sample.At, nil, "object.bytes"},
		"a quick look":      {[]index.Entry{quick, sample, bad}, sample.At, nil, "object.bytes"},
		"mended":            {[]index.Entry{full, quick, sample, bad}, sample.At, nil, ""},
		"broken again":      {[]index.Entry{run(1, "broken", "full all journal.chain"), full, bad}, sample.At, nil, "journal.chain"},
		"cannot":            {[]index.Entry{sample}, sample.At, errStep, "n’a pas pu se faire"},
		"not for some time": {[]index.Entry{bad, run(51, "ok", "full all")}[1:], now.Add(-51 * time.Hour), nil, "depuis plus d’un jour"},
	} {
		s := nightStanding(c.runs, c.night, c.failed, now, now)
		if s.Trouble == "" != (c.trouble == "") || !strings.Contains(s.Trouble, c.trouble) || s.Text == "" || s.Trouble != "" && s.Since.IsZero() {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
