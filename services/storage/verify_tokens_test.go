package storage

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"greffe/pkg/evidence"
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
