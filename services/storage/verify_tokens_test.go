package storage

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
)

// Each thing that is wrong with the time stamps is found and named.
func TestVerifyNamesWhatBrokeInTheStamps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(t *testing.T, h *house, a *Authority)
		want  []CheckID
	}{
		"nothing": {func(*testing.T, *house, *Authority) {}, nil},
		"a missing token": {func(t *testing.T, h *house, _ *Authority) {
			h.overwrite(t, h.objectsOf(t, evidence.KindToken)[1], remove)
		}, []CheckID{CheckToken}},
		"a missing stamp": {func(t *testing.T, h *house, _ *Authority) {
			h.overwrite(t, h.objectsOf(t, evidence.KindStamp)[1], remove)
		}, []CheckID{CheckToken}},
		"the token of another checkpoint": {func(t *testing.T, h *house, _ *Authority) {
			for _, kind := range []string{evidence.KindStamp, evidence.KindToken} {
				keys := h.objectsOf(t, kind)
				other, err := os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(keys[0])))
				if err != nil {
					t.Fatal(err)
				}
				h.overwrite(t, keys[1], func([]byte) []byte { return other })
			}
		}, []CheckID{CheckStamped, CheckLinks}},
		"a token over other bytes": {func(t *testing.T, h *house, _ *Authority) {
			keys := h.objectsOf(t, evidence.KindToken)
			other, err := os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(keys[0])))
			if err != nil {
				t.Fatal(err)
			}
			h.overwrite(t, keys[1], func([]byte) []byte { return other })
		}, []CheckID{CheckImprint}},
		"another authority": {func(t *testing.T, _ *house, a *Authority) { b, _ := newAuthority(t, nil); a.Roots = b.Roots }, []CheckID{CheckImprint, CheckImprint}},
		"an older token replaced": {func(t *testing.T, h *house, _ *Authority) {
			keys := h.objectsOf(t, evidence.KindToken)
			other, err := os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(keys[1])))
			if err != nil {
				t.Fatal(err)
			}
			h.overwrite(t, keys[0], func([]byte) []byte { return other })
		}, []CheckID{CheckImprint, CheckLinks}},
		"no token for long": {func(_ *testing.T, _ *house, a *Authority) { a.Every = time.Nanosecond }, []CheckID{CheckStamping}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, sealer := stampHouse(t)
			a, _ := newAuthority(t, nil)
			s := NewStamper(h.store, h.db, a, slog.New(slog.DiscardHandler))
			for range 2 {
				if done, err := s.stamp(t.Context()); err != nil || !done {
					t.Fatal(done, err)
				}
				say(t, h.db, 1)
				if _, err := sealer.SealAll(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			c.fault(t, h, &a)
			rep, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Authority: a})
			if err != nil {
				t.Fatal(err)
			}
			var got []CheckID
			for _, p := range append(rep.Holes, rep.Surplus...) {
				got = append(got, p.Check)
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v\n%s", got, c.want, rep)
			}
		})
	}
}

// aged is a house whose journal has a token of fourteen months ago, of six weeks ago and
// of today: what the newest links to.
func aged(t *testing.T) (*house, Authority) {
	t.Helper()
	h := newHouse(t)
	sealer := NewSealer(h.store, h.db, newJournalKey(t, "essai"), slog.New(slog.DiscardHandler))
	at := time.Now()
	a, _ := newAuthorityAt(t, func() time.Time { return at }, nil)
	s := NewStamper(h.store, h.db, a, slog.New(slog.DiscardHandler))
	n := int64(0)
	for _, at = range []time.Time{time.Now().AddDate(-1, -2, 0), time.Now().AddDate(0, 0, -42), time.Now()} {
		say(t, h.db, 2)
		// As if said then. What came before keeps its time.
		for seq := n + 1; seq <= n+2; seq++ {
			h.rewrite(t, seq, func(e *greffe.Entry) { e.At = at.Add(-time.Minute).Truncate(time.Millisecond) })
		}
		n += 2
		if _, err := sealer.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if done, err := s.stamp(t.Context()); err != nil || !done {
			t.Fatal(done, err)
		}
		// The stamp has an entry, which belongs to the same day.
		n++
		h.rewrite(t, n, func(e *greffe.Entry) { e.At = at.Truncate(time.Millisecond) })
	}
	return h, a
}

// A token is linked to those of a month and of a year ago; the times without one are
// listed, and are no fault.
func TestVerifyFollowsOldTokens(t *testing.T) {
	t.Parallel()
	h, a := aged(t)
	rep, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Authority: a})
	if err != nil || !rep.OK() || rep.Tokens != 3 || rep.WarningCount != 2 || rep.Warnings[0].Check != CheckStamping {
		t.Errorf("%v\n%s", err, rep)
	}
	stamps := h.objectsOf(t, evidence.KindStamp)
	_, b, err := readObject(t.Context(), h.store, stamps[2], evidence.MaxCheckpoint)
	if err != nil {
		t.Fatal(err)
	}
	tokens := h.objectsOf(t, evidence.KindToken)
	if st, err := evidence.ParseStamp(b); err != nil || st.Year.Key != tokens[0] || st.Month.Key != tokens[1] || st.Previous.Key != tokens[1] {
		t.Errorf("the newest token follows %+v, %v", st, err)
	}
	if err := reportSchema(t).Validate(asJSON(t, rep)); err != nil {
		t.Error(err)
	}
	// The token of the year before is another one now: nothing else names it any more.
	h.overwrite(t, tokens[0], flip)
	if rep, err = Verify(t.Context(), h.store, h.db, VerifyOptions{Authority: a}); err != nil || !slices.ContainsFunc(rep.Holes, func(p Problem) bool {
		return p.Check == CheckLinks && p.Key == stamps[2] && strings.HasPrefix(p.Cause, "year is "+tokens[0])
	}) {
		t.Errorf("%v\n%s", err, rep)
	}
}

// Every object of the sealed journal is promised the same lock.
func TestVerifyLooksAtTheLocksOfTheJournal(t *testing.T) {
	t.Parallel()
	h, sealer := stampHouse(t)
	h.archived(t, 1, fakeMail()) // has a fact
	if _, err := sealer.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := newAuthority(t, nil)
	if done, err := NewStamper(h.store, h.db, a, slog.New(slog.DiscardHandler)).stamp(t.Context()); err != nil || !done {
		t.Fatal(done, err)
	}
	rep, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Retention: 365 * 24 * time.Hour}) // they are locked for a minute
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{evidence.KindSegment, evidence.KindFacts, evidence.KindCheckpoint, evidence.KindStamp, evidence.KindToken} {
		for _, key := range h.objectsOf(t, kind) {
			if !slices.ContainsFunc(rep.Holes, func(p Problem) bool { return p.Check == CheckRetention && p.Key == key }) {
				t.Errorf("%s is not named", key)
			}
		}
	}
}
