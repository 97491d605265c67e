package storage

import (
	"context"
	"strings"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
)

// What the archive promises is said as it was last seen: proved, not to be had, refused, or
// not known because it did not answer.
func TestPromiseIsTold(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 3600)
	start := time.Date(2026, 11, 23, 14, 4, 0, 0, time.UTC)
	good := archive.Check{Name: "Effacement refusé", OK: true, Text: "Refusé."}
	bare := archive.Check{Name: "Protection contre l’effacement", OK: true, Unlocked: true, Text: "Un administrateur le peut : utilisez S3."}
	away := archive.Check{Name: "Connexion", Text: "Ne répond pas. Vérifiez l’adresse.", Later: true}
	bad := archive.Check{Name: "Effacement refusé", Text: "Le serveur a effacé. N’y placez pas l’archive."}
	for name, c := range map[string]struct {
		checks        []archive.Check
		text, trouble string
		wait          time.Duration
	}{
		"not yet":          {nil, "en cours", "", 0},
		"proved":           {[]archive.Check{good, good}, "Verrou du stockage vérifié le 23/11/2026 15:04", "", promiseEvery},
		"a directory":      {[]archive.Check{good, bare}, "sans verrou du stockage. Protection contre l’effacement : Un administrateur le peut : utilisez S3.", "", promiseEvery},
		"away":             {[]archive.Check{away}, "Dernier essai le 23/11/2026", "L’essai « Connexion » échoue. Ne répond pas. Vérifiez l’adresse.", promiseAgain},
		"deletes":          {[]archive.Check{bare, bad}, "Dernier essai", "L’essai « Effacement refusé » échoue. Le serveur a effacé. N’y placez pas l’archive.", promiseAgain},
		"away and deletes": {[]archive.Check{away, bad}, "Dernier essai", "L’essai « Effacement refusé » échoue. Le serveur a effacé. N’y placez pas l’archive.", promiseAgain},
	} {
		var p promise
		if c.checks != nil {
			p.set(c.checks, start)
		}
		st := p.standing(zone)
		if st.Service != "archive" || st.Trouble != c.trouble || !strings.Contains(st.Text, c.text) || (c.trouble == "") != st.Since.IsZero() {
			t.Errorf("%s: %+v", name, st)
		}
		if got := p.wait(promiseEvery, promiseAgain, start); got != c.wait {
			t.Errorf("%s: again in %v, want %v", name, got, c.wait)
		}
		if got := p.wait(promiseEvery, promiseAgain, start.Add(2*promiseEvery)); got != 0 {
			t.Errorf("%s: later again in %v", name, got)
		}
	}
	// A trouble lasts since it was first seen.
	var p promise
	for i, c := range []struct {
		check archive.Check
		news  bool
	}{{good, false}, {bad, true}, {away, false}, {good, true}} {
		if news, failed := p.set([]archive.Check{c.check}, start.Add(time.Duration(i)*time.Minute)); news != c.news || (failed == "") != c.check.OK {
			t.Errorf("check %d: news %v, failed %q", i, news, failed)
		}
		if st := p.standing(zone); !c.check.OK && !st.Since.Equal(start.Add(time.Minute)) {
			t.Errorf("check %d: since %v", i, st.Since)
		}
	}
}

// A bucket whose lock is taken away while Greffe runs is told of, and nothing stops.
func TestPromiseIsCheckedAgain(t *testing.T) {
	t.Parallel()
	good := archive.Check{Name: "Effacement refusé", OK: true}
	bad := archive.Check{Name: "Effacement refusé", Text: "Le serveur a effacé un objet verrouillé. N’y placez pas l’archive."}
	h := newHouse(t)
	j := &judged{Store: h.store, lists: [][]archive.Check{{good}, {good}, {bad}}}
	h.cfg.Proven, h.Storage.store, h.every, h.again = true, j, time.Millisecond, time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	waitFor(t, "it is said", func() bool {
		all, err := h.bus.Standings(ctx)
		return err == nil && len(all) == 1 && all[0].Service == "archive" && strings.HasSuffix(all[0].Trouble, bad.Text)
	})
	r := h.receive(t, 1, fakeMail())
	if err := bus.Publish(ctx, h.bus, bus.Received, r); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a message is kept all the same", func() bool {
		_, err := h.store.Stat(ctx, archive.RawKey(r.ID))
		return err == nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The directory says what it cannot promise, as the check command does.
func TestDirectoryPromise(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.promise.set(h.store.Check(t.Context()), time.Now())
	if st := h.promise.standing(time.UTC); st.Trouble != "" || !strings.Contains(st.Text, "un administrateur de la machine le peut") || strings.Contains(st.Text, "Verrou du stockage vérifié") {
		t.Errorf("%+v", st)
	}
}
