package index

import (
	"errors"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// A copy of the same mail finds the answer of the first one; what became of it is
// in the journal once.
func TestAnswers(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		first, copied := message("a@ch.example", 1, document("1", 1, maelle)), message("b@ch.example", 2, document("1", 1, maelle))
		save(t, db, first)
		save(t, db, copied)
		ctx := t.Context()
		due := greffe.Answer{Key: "k", Message: first.Received.ID, Kind: "ko", State: greffe.AnswerDue, Code: "902", Recipient: "x@y.example", MailID: "m@a"}
		a, err := db.ClaimAnswer(ctx, due)
		if err != nil || a.Message != first.Received.ID || a.Begun.IsZero() {
			t.Fatalf("%+v, %v", a, err)
		}
		other := due
		other.Message = copied.Received.ID
		if b, err := db.ClaimAnswer(ctx, other); err != nil || b.Message != first.Received.ID || b.State != greffe.AnswerDue || b.MailID != "m@a" || !b.Begun.Equal(a.Begun) {
			t.Errorf("the copy: %+v, %v", b, err)
		}
		a.State = greffe.AnswerSent
		for range 2 {
			if err := db.SaveAnswer(ctx, a); err != nil {
				t.Fatal(err)
			}
		}
		list, err := db.Answers(ctx, first.Received.ID)
		if err != nil || len(list) != 1 || list[0].State != greffe.AnswerSent || list[0].Recipient != "x@y.example" {
			t.Errorf("%+v, %v", list, err)
		}
		if n, err := db.AnswersTo(ctx, "x@y.example", time.Now().Add(-time.Hour)); n != 1 || err != nil {
			t.Errorf("%d answers, %v", n, err)
		}
		if n, err := db.AnswersTo(ctx, "x@y.example", time.Now().Add(time.Hour)); n != 0 || err != nil {
			t.Errorf("%d answers later, %v", n, err)
		}
		m, err := db.Message(ctx, first.Received.ID)
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, e := range m.History {
			if e.Action == "notified" {
				told++
				if e.Result != "sent" || !strings.HasPrefix(e.Detail, "ko 902 ") {
					t.Errorf("%+v", e)
				}
			}
		}
		if told != 1 {
			t.Errorf("the journal says it %d times", told)
		}
		if err := db.SaveAnswer(ctx, greffe.Answer{Key: "nope", Message: greffe.MessageID("x"), State: greffe.AnswerSent}); !errors.Is(err, ErrNotFound) {
			t.Errorf("an answer that was not claimed: %v", err)
		}
	})
}
