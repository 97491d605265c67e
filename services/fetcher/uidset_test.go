package fetcher

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The set is compared with a plain map over a small universe.
func TestUIDSetAgreesWithAMap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var s, o uidSet
		want, other := map[uint32]bool{}, map[uint32]bool{}
		for range r.IntN(30) {
			first := uint32(1 + r.IntN(60))
			last := first + uint32(r.IntN(6))
			set, m := &s, want
			if r.IntN(2) == 0 {
				set, m = &o, other
			}
			set.addSpan(first, last)
			for u := first; u <= last; u++ {
				m[u] = true
			}
		}
		less := s.minus(o)
		for u := uint32(1); u < 80; u++ {
			if s.has(u) != want[u] {
				t.Fatalf("%s has %d: %v", s, u, s.has(u))
			}
			if less.has(u) != (want[u] && !other[u]) {
				t.Fatalf("%s minus %s = %s is wrong about %d", s, o, less, u)
			}
		}
		if s.count() != len(want) || len(slices.Collect(s.all())) != len(want) {
			t.Fatalf("%s counts %d, want %d", s, s.count(), len(want))
		}
		back, err := parseUIDSet(s.String())
		if err != nil || !slices.Equal(back, s) {
			t.Fatalf("%s came back as %s, %v", s, back, err)
		}
		for i := 1; i < len(s); i++ {
			if s[i].first <= s[i-1].last+1 {
				t.Fatalf("%s is not compact", s)
			}
		}
	}
}

func TestUIDSetEdges(t *testing.T) {
	t.Parallel()
	const top = ^uint32(0)
	var s uidSet
	s.add(top)
	s.add(top - 1)
	s.add(0)
	if got := s.String(); got != "4294967294:4294967295" || len(slices.Collect(s.all())) != 2 {
		t.Errorf("got %s", got)
	}
	if got := s.minus(uidSet{{top, top}}).String(); got != "4294967294" {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"0", "1,", "a", "3:1", "1:2:3", "*", "4294967296", "-1"} {
		if _, err := parseUIDSet(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseUIDSet(f *testing.F) {
	for _, s := range []string{"", "1", "1:500,502", "3:1", "1,1,1", "4294967295"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseUIDSet(text)
		if err != nil {
			return
		}
		if again, err := parseUIDSet(s.String()); err != nil || !slices.Equal(again, s) {
			t.Fatalf("%q gave %s, then %s, %v", text, s, again, err)
		}
	})
}
