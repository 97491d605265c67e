package index

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// TestStatementsOf: by mailbox and days, page by page without a gap or a repeat, and each
// with the entry of the journal that it was written with.
func TestStatementsOf(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		first := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		state := func(mailbox string, day time.Time, missing int) {
			t.Helper()
			s := greffe.Statement{Mailbox: mailbox, Day: day.Format(time.DateOnly), Seen: 3, Archived: 3 - missing, Missing: missing, Complete: true, At: start}
			s.Digest = greffe.DigestOf(fmt.Append(nil, mailbox, s.Day, missing))
			if ok, err := db.SaveStatement(t.Context(), s, day); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
		for n := range 4 {
			state("a@ch.example", first.AddDate(0, 0, n), 1)
			state("b@ch.example", first.AddDate(0, 0, n), 0)
		}
		state("a@ch.example", first, 0) // what was missing came
		all := []string{"2026-11-04 a", "2026-11-04 b", "2026-11-03 a", "2026-11-03 b", "2026-11-02 a", "2026-11-02 b", "2026-11-01 a", "2026-11-01 b"}
		for _, c := range []struct {
			f    StatementFilter
			want []string
		}{
			{StatementFilter{}, all},
			{StatementFilter{Mailboxes: []string{"b@ch.example", "c@ch.example"}}, []string{all[1], all[3], all[5], all[7]}},
			{StatementFilter{Mailboxes: []string{}}, nil},
			{StatementFilter{From: "2026-11-02", To: "2026-11-03"}, all[2:6]},
			{StatementFilter{From: "2026-11-03", Mailboxes: []string{"a@ch.example"}}, []string{all[0], all[2]}},
			{StatementFilter{To: "2026-10-31"}, nil},
		} {
			for _, limit := range []int{0, 1, 3} {
				f := c.f
				f.Limit = limit
				var got []string
				for range len(all) + 1 {
					list, err := db.StatementsOf(t.Context(), f)
					if err != nil {
						t.Fatal(err)
					}
					if limit > 0 && len(list) > limit {
						t.Fatalf("%d statements on a page of %d", len(list), limit)
					}
					for _, s := range list {
						got = append(got, s.Day+" "+s.Mailbox[:1])
						f.After = s
					}
					if len(list) == 0 {
						break
					}
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%+v: %q, want %q", c.f, got, c.want)
				}
			}
		}
		s, err := db.StatementOf(t.Context(), "2026-11-01", greffe.MailboxKey("a@ch.example"))
		if err != nil || s.Missing != 0 || s.Mailbox != "a@ch.example" {
			t.Fatalf("%+v, %v", s, err)
		}
		e, err := db.StatedEntry(t.Context(), s)
		if err != nil || e.Result != "ok" || e.Subject != greffe.MailboxKey("a@ch.example") || e.Seq != 9 {
			t.Errorf("%+v, %v", e, err)
		}
		s.Digest = greffe.DigestOf(nil)
		if _, err := db.StatedEntry(t.Context(), s); !errors.Is(err, ErrNotFound) {
			t.Errorf("of another: %v", err)
		}
		for _, x := range [][2]string{{"2026-11-01", "0000000000"}, {"2026-11-09", greffe.MailboxKey("a@ch.example")}} {
			if _, err := db.StatementOf(t.Context(), x[0], x[1]); !errors.Is(err, ErrNotFound) {
				t.Errorf("%v: %v", x, err)
			}
		}
	})
}
