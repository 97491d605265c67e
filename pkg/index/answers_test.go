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

// What a person has to look after is found in the queue, by place, until she has said what
// becomes of it; a mail that came back is found by its Message-ID.
func TestAnswersToLookAfter(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		first, second := message("a@ch.example", 1, document("1", 1, maelle)), message("b@ch.example", 2, document("2", 1, maelle))
		save(t, db, first)
		save(t, db, second)
		claim := func(key string, id greffe.MessageID, state greffe.AnswerState) {
			t.Helper()
			if _, err := db.ClaimAnswer(ctx, greffe.Answer{Key: key, Message: id, Kind: "ko", State: state, Recipient: "x@y.example", MailID: key + "@ch.example", Reason: "r"}); err != nil {
				t.Fatal(err)
			}
		}
		claim("asked", first.Received.ID, greffe.AnswerAsked)
		claim("sent", second.Received.ID, greffe.AnswerSent)
		open := func(want int, places ...string) {
			t.Helper()
			if n, err := db.CountFollowUps(ctx, places); n != want || err != nil {
				t.Errorf("%v: %d to look after, want %d, %v", places, n, want, err)
			}
			list, _, err := db.Messages(ctx, MessageFilter{FollowUp: true, Places: places})
			if len(list) != want || err != nil || want > 0 && len(list[0].Answers) == 0 {
				t.Errorf("%v: %d in the queue, want %d, %v", places, len(list), want, err)
			}
		}
		open(1)
		open(0, "b@ch.example")
		a, err := db.AnswerSentAs(ctx, "sent@ch.example")
		if err != nil || a.Message != second.Received.ID {
			t.Fatalf("%+v, %v", a, err)
		}
		if _, err := db.AnswerSentAs(ctx, "nope@ch.example"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		a.State, a.Reason = greffe.AnswerFailed, "Non remis."
		if err := db.SaveAnswer(ctx, a); err != nil {
			t.Fatal(err)
		}
		open(2)
		open(1, "b@ch.example")
		// Yes to the one, no to the other; the same word again changes nothing.
		for i, c := range []greffe.Confirmed{{ID: "1", Message: first.Received.ID, By: "anne"}, {ID: "2", Message: second.Received.ID, By: "anne", Drop: true}} {
			if n, err := db.ConfirmAnswer(ctx, c); n != 1 || err != nil {
				t.Errorf("%d: %d changed, %v", i, n, err)
			}
			if _, err := db.ConfirmAnswer(ctx, c); !errors.Is(err, ErrNotFound) {
				t.Errorf("%d: twice: %v", i, err)
			}
		}
		open(0)
		for id, want := range map[greffe.MessageID]greffe.AnswerState{first.Received.ID: greffe.AnswerDue, second.Received.ID: greffe.AnswerDropped} {
			if list, err := db.Answers(ctx, id); err != nil || len(list) != 1 || list[0].State != want {
				t.Errorf("%+v, want %s, %v", list, want, err)
			}
		}
	})
}
