package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// compared are the tables that a rebuilt index has to have as the lost one had them.
var compared = []string{"messages", "message_facts", "message_words", "sender_words", "doctypes", "documents", "document_keys", "document_names", "claims", "outcomes", "decisions", "triages", "answers", "deliveries", "dis", "tallies",
	"journal", "journal_facts", "journal_tiles", "seals", "stamps", "listed"}

// rowsOf returns the rows of a table, sorted, each as one text; of the journal those
// up to an entry.
func rowsOf(t testing.TB, file, table string, until int64) []string {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	where := ""
	switch table {
	case "journal", "journal_facts":
		where = fmt.Sprintf(" WHERE seq <= %d", until)
	case "tallies":
		where = " WHERE n <> 0"
	}
	columns := "*"
	switch table {
	case "deliveries":
		// When a machine goes on is not in the journal: all is due at once. What was on its
		// way for the first time is routed again (index.Unsettled), what a person asked for
		// again, too (index.Unapplied).
		columns, where = "document_id, di, state, at, outcome_json", " WHERE outcome_json <> ''"
	case "dis": // which there are is the configuration's to say
		where = " WHERE paused_at + stopped_at + down_at > 0"
		columns = "name, paused_at, paused_by, stopped_at, stopped_json, stopped_document, down_at, down_text"
	}
	rows, err := db.QueryContext(t.Context(), "SELECT "+columns+" FROM "+table+where)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for rows.Next() {
		values := make([]any, len(names))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i, v := range values {
			fmt.Fprintf(&b, "%s=%v ", names[i], *v.(*any))
		}
		list = append(list, b.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// sameIndex compares two indexes row by row.
func sameIndex(t testing.TB, lost, rebuilt string, until int64, tables []string) {
	t.Helper()
	for _, table := range tables {
		a, b := rowsOf(t, lost, table, until), rowsOf(t, rebuilt, table, until)
		if slices.Equal(a, b) {
			continue
		}
		t.Errorf("%s: %d rows were lost, %d came back", table, len(a), len(b))
		for i, n := 0, 0; i < max(len(a), len(b)) && n < 3; i++ {
			x, y := "", ""
			if i < len(a) {
				x = a[i]
			}
			if i < len(b) {
				y = b[i]
			}
			if x != y {
				n++
				t.Errorf("  lost    %.600s\n  rebuilt %.600s", x, y)
			}
		}
	}
}

// BenchmarkReindex rebuilds the index of messages with a document that was delivered.
func BenchmarkReindex(b *testing.B) {
	h := newHouse(b)
	const n = 500
	for uid := range uint32(n) {
		raw := sampleMail(b, uint64(uid), 1000)
		r := h.receive(b, uid+1, raw)
		p := parse(b, r, raw)
		p.Message.Subject, p.Message.From = "Compte rendu de consultation", []greffe.Address{{Name: "Dr Anne Lefèvre", Address: "a.lefevre@cabinet.example"}}
		p.Documents[0].Patient = greffe.Patient{BirthFamily: "Œuvrard", FirstGiven: "Maëlle", Givens: "Maëlle Anne", BirthDate: "19840312"}
		a, err := h.storeMessage(b.Context(), p)
		if err != nil {
			b.Fatal(err)
		}
		h.settle(b, a, 0)
	}
	if _, err := NewSealer(h.store, h.db, newJournalKey(b, "essai"), slog.New(slog.DiscardHandler)).SealAll(b.Context()); err != nil {
		b.Fatal(err)
	}
	db, err := index.OpenToRebuild(b.Context(), filepath.Join(b.TempDir(), "again.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	done := 0
	for b.Loop() {
		r, err := Reindex(b.Context(), h.store, db, ReindexOptions{Replace: true})
		if err != nil || r.Messages != n {
			b.Fatal(r, err)
		}
		done += r.Messages
	}
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "messages/s")
}

// settle gives documents outcomes and decisions as the integrator does, late, repeated
// and double ones among them.
func (h *house) settle(t testing.TB, a greffe.Archived, n int) {
	t.Helper()
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	answer := greffe.Answer{Key: string(a.ID), Message: a.ID, Kind: "ask", State: greffe.AnswerAsked, Recipient: "x@cabinet.example", MailID: "m@ch.example", Reason: "Une autre adresse."}
	answer, err := h.db.ClaimAnswer(t.Context(), answer)
	if err != nil {
		t.Fatal(err)
	}
	if n%2 == 0 {
		if n, err := h.db.ConfirmAnswer(t.Context(), greffe.Confirmed{ID: fmt.Sprint("c", n), Message: a.ID, By: "anne", At: at}); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		answer.Kind, answer.State = "mdn-success", greffe.AnswerSent
		answer.Reason = ""
		if err := h.db.SaveAnswer(t.Context(), answer); err != nil {
			t.Fatal(err)
		}
	} else if n%5 == 1 {
		if _, err := h.db.ConfirmAnswer(t.Context(), greffe.Confirmed{ID: fmt.Sprint("c", n), Message: a.ID, Drop: true, By: "anne", At: at}); err != nil {
			t.Fatal(err)
		}
	}
	h.triage(t, a.ID, n)
	h.gates(t, n)
	for i, id := range a.Documents {
		doc, err := h.db.Document(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		holder, err := h.db.Claim(t.Context(), doc.Identity, id)
		if err != nil {
			t.Fatal(err)
		}
		outcomes := []greffe.Outcome{
			{DI: "dpi", Action: "T02", Control: "c1", State: greffe.StateWaiting, Code: "AE 902", Text: "Patient inconnu", At: at},
			{DI: "dpi", Action: "T02", Control: "c2", State: greffe.StateDelivered, Code: "AA", Text: "Intégré", At: at.Add(time.Minute)},
			{DI: "dpi", Action: "T02", Control: "c3", State: greffe.StateWaiting, Code: "late", At: at.Add(time.Second)},
			{DI: "dpi", Action: "T02", Control: "c2", State: greffe.StateDelivered, Code: "AA", Text: "Intégré", At: at.Add(time.Minute)},
		}
		duplicate := greffe.DocumentID("")
		switch {
		case holder != id:
			outcomes, duplicate = []greffe.Outcome{{State: greffe.StateDuplicate, Code: "duplicate", Text: "Déjà reçu", At: at}}, holder
		case (n+i)%3 == 1:
			outcomes = []greffe.Outcome{{State: greffe.StateTodo, Code: "pdf", Text: "À la main", At: at}, {State: greffe.StateDismissed, Code: "decision", Text: "Vu", At: at.Add(time.Hour)}}
		case (n+i)%3 == 2:
			outcomes = nil
		}
		if n%3 == 0 {
			d := greffe.Decided{ID: fmt.Sprintf("p%d-%d", n, i), Document: id, Verb: greffe.VerbAttach, Remember: n == 3, By: "anne", At: at,
				Patient: &greffe.Patient{INS: greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"}, BirthFamily: "ESSAI", FirstGiven: "MAELLE", BirthDate: "19850214"}}
			if _, err := h.db.SaveDecision(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range outcomes {
			if o.Code == "decision" {
				d := greffe.Decided{ID: fmt.Sprintf("d%d-%d", n, i), Document: id, Verb: greffe.VerbDismiss, Reason: "déjà dans le dossier", By: "anne", At: o.At}
				if _, err := h.db.SaveDecision(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := h.db.SaveOutcome(t.Context(), id, o, duplicate); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// gates holds the queues of DIs in each way.
func (h *house) gates(t testing.TB, n int) {
	t.Helper()
	name := fmt.Sprint("di", n)
	if err := h.db.ConfigureDIs(t.Context(), []string{"dpi", name}, nil); err != nil {
		t.Fatal(err)
	}
	var err error
	switch n {
	case 0, 1, 2:
		_, err = h.db.PauseDI(t.Context(), name, "admin", "")
	case 3, 4:
		_, err = h.db.StopDI(t.Context(), name, "x", greffe.Outcome{DI: name, State: greffe.StateIncident, Code: "AE 101", Text: "Champ manquant : TXA-12"})
	case 5, 6:
		_, err = h.db.DIDown(t.Context(), name, "Le DI ne répond pas.")
	}
	if err == nil && n%2 == 0 {
		_, err = h.db.ResumeDI(t.Context(), name, "admin", "")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// triage decides about every fourth message as a whole.
func (h *house) triage(t testing.TB, id greffe.MessageID, n int) {
	t.Helper()
	for i, d := range []greffe.Triaged{
		{Verb: greffe.VerbMove, To: "b@b.example"}, {Verb: greffe.VerbPass, To: "yvon"}, {Verb: greffe.VerbLater, Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},
		{Verb: greffe.VerbClose, Reason: "lu"},
	} {
		if d.ID, d.Message, d.By, d.At = fmt.Sprintf("t%d-%d", n, i), id, "anne", time.Date(2026, 11, 22, 8, 30, i, 0, time.UTC); n%4 != 3 {
			continue
		}
		if _, err := h.db.SaveTriage(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
}

// A lost index comes back row by row: what was archived, what became of it, and the
// journal up to its last seal.
func TestReindexBringsBackWhatWasLost(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	sealer := NewSealer(h.store, h.db, newJournalKey(t, "essai"), slog.New(slog.DiscardHandler))
	seal := func() {
		if _, err := sealer.SealAll(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	authority, _ := newAuthority(t, nil)
	authority.Every = time.Nanosecond
	for uid := range uint32(9) {
		raw := sampleMail(t, uint64(uid)/2, 1000) // each document twice
		r := h.receive(t, uid+1, raw)
		if uid%2 == 0 {
			if err := h.onReceived(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		p := parse(t, r, raw)
		p.Message.Subject, p.Message.From = "Compte rendu", []greffe.Address{{Name: "Dr Anne Lefèvre", Address: "a.lefevre@cabinet.example"}}
		p.Documents[0].Patient = greffe.Patient{BirthFamily: "Œuvrard", FirstGiven: "Maëlle", Givens: "Maëlle Anne", BirthDate: "19840312"}
		a, err := h.storeMessage(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		h.settle(t, a, int(uid))
		if uid%3 == 0 {
			say(t, h.db, 100)
			seal()
			if _, err := NewStamper(h.store, h.db, authority, slog.New(slog.DiscardHandler)).stamp(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	// One was kept and not read; one was refused unread; the tail is not sealed.
	kept := h.receive(t, 50, fakeMail())
	if err := h.onReceived(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	refused := h.receive(t, 51, fakeMail([]byte("x")))
	refused.Refused, refused.SHA256, refused.Spool, refused.Size = &greffe.Finding{Rule: "mail.too-large"}, "", "", 1<<30
	refused.ID = greffe.NewMessageID(refused.Origin, "")
	if err := h.onReceived(t.Context(), refused); err != nil {
		t.Fatal(err)
	}
	h.triage(t, refused.ID, 3)
	seal()
	last, err := h.db.LastSeal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	say(t, h.db, 3)

	file := filepath.Join(t.TempDir(), "again.db")
	db, err := index.OpenToRebuild(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := Reindex(t.Context(), h.store, db, ReindexOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Messages != 9 || r.Received != 2 || r.Entries != last.Last || len(r.Unlisted)+len(r.Damaged)+r.Without != 0 {
		t.Errorf("reindexed %+v", r)
	}
	sameIndex(t, h.file, file, last.Last, compared)
	for name, db := range map[string]*index.DB{"lost": h.db, "rebuilt": db} {
		rep, err := Verify(t.Context(), h.store, db, VerifyOptions{Full: true})
		if err != nil || !rep.OK() {
			t.Errorf("%s: %v\n%s", name, err, rep)
		}
	}
	// It is not empty any more: it is only replaced when asked to, and then the same.
	if _, err := Reindex(t.Context(), h.store, db, ReindexOptions{}); !errors.Is(err, index.ErrNotEmpty) {
		t.Errorf("again: %v", err)
	}
	// The journal of a rebuilt index goes on, sealed after what was sealed.
	if _, err := NewSealer(h.store, db, sealer.key, slog.New(slog.DiscardHandler)).SealAll(t.Context()); err != nil {
		t.Errorf("sealing goes on: %v", err)
	}
	if _, err := Reindex(t.Context(), h.store, db, ReindexOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	sameIndex(t, h.file, file, last.Last, compared[:15]) // the journal was sealed further
}

// An index that is half rebuilt is refused by those who would deliver from it.
func TestReindexIsAllOrNothing(t *testing.T) {
	t.Parallel()
	h, _, _ := sealedHouse(t)
	if _, err := h.db.BeginRebuild(t.Context(), true, func(bool, func(index.Sealed) error) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := index.Open(t.Context(), h.file, nil); !errors.Is(err, index.ErrRebuilding) {
		t.Errorf("half rebuilt: %v", err)
	}
	if _, err := Reindex(t.Context(), h.store, h.db, ReindexOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	again, err := index.Open(t.Context(), h.file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// What the archive lost of the sealed journal is named. An index that is replaced mends
// it when it still holds it; one that is lost gets all the rest, and what may have been
// delivered waits for a person.
func TestReindexOfADamagedJournal(t *testing.T) {
	t.Parallel()
	third := func(kind string, change func([]byte) []byte) func(*testing.T, *house) {
		return func(t *testing.T, h *house) { h.overwrite(t, h.objectsOf(t, kind)[1], change) }
	}
	last := func(kind string) func(*testing.T, *house) {
		return func(t *testing.T, h *house) { h.overwrite(t, h.objectsOf(t, kind)[2], remove) }
	}
	for name, c := range map[string]struct {
		damage             func(*testing.T, *house)
		saved, lost, doubt int
		unusable           bool
	}{
		"torn segment":       {third(evidence.KindSegment, cut), 1, 1, 2, false},
		"missing segment":    {third(evidence.KindSegment, remove), 1, 1, 2, false},
		"changed segment":    {third(evidence.KindSegment, flip), 1, 1, 2, false},
		"missing facts":      {third(evidence.KindFacts, remove), 1, 1, 2, false},
		"changed facts":      {third(evidence.KindFacts, flip), 1, 1, 2, false},
		"missing checkpoint": {third(evidence.KindCheckpoint, remove), 0, 1, 2, false},
		"changed checkpoint": {third(evidence.KindCheckpoint, flip), 0, 1, 2, false},
		"nothing is left of it": {func(t *testing.T, h *house) {
			third(evidence.KindSegment, remove)(t, h)
			third(evidence.KindFacts, remove)(t, h)
			third(evidence.KindCheckpoint, remove)(t, h)
		}, 0, 1, 2, false},
		"last segment":     {last(evidence.KindSegment), 1, 1, 0, true},
		"was being sealed": {last(evidence.KindCheckpoint), 0, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, key, list := sealedHouse(t)
			c.damage(t, h)
			again := filepath.Join(t.TempDir(), "again.db")
			db, err := index.OpenToRebuild(t.Context(), again, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			r, err := Reindex(t.Context(), h.store, db, ReindexOptions{})
			if err != nil || len(r.Lost) != c.lost || len(r.Saved) != 0 || r.Doubtful != c.doubt || r.Usable == c.unusable || r.Messages != len(list) {
				t.Errorf("of nothing: %+v, %v", r, err)
			}
			if open, err := index.Open(t.Context(), again, nil); c.unusable != errors.Is(err, index.ErrRebuilding) {
				t.Errorf("opened: %v", err)
			} else if err == nil {
				open.Close()
			}
			// Nothing was touched of an index that knows more than could come back.
			before := rowsOf(t, h.file, "journal", 1<<40)
			r, err = Reindex(t.Context(), h.store, h.db, ReindexOptions{Replace: true})
			if mended := c.lost == c.saved; mended && (err != nil || len(r.Lost) != 0 || len(r.Saved) != c.saved || r.Doubtful != 0) || !mended && !errors.Is(err, ErrEvidence) {
				t.Errorf("of an index: %+v, %v", r, err)
			}
			if !slices.Equal(before, rowsOf(t, h.file, "journal", 910)) {
				t.Error("the journal was changed")
			}
			if c.lost != c.saved {
				r, err = Reindex(t.Context(), h.store, h.db, ReindexOptions{Replace: true, Partial: true})
				if err != nil || len(r.Lost) != 1 || r.Tail != 1 {
					t.Errorf("partial: %+v, %v", r, err)
				}
				return
			}
			// It goes on as if nothing had been.
			if _, err := NewSealer(h.store, h.db, key, slog.New(slog.DiscardHandler)).SealAll(t.Context()); err != nil {
				t.Errorf("sealing goes on: %v", err)
			}
		})
	}
}

// What people and servers said beside the mail comes back, too: legal holds,
// eliminations, what is complete and what is missing.
func TestReindexBringsBackWhatWasDecided(t *testing.T) {
	t.Parallel()
	h := newHouseFor(t, time.Second)
	store := h.store.(archive.Eliminator)
	var list []index.Detail
	for uid := range uint32(4) {
		list = append(list, h.archived(t, uid+1, fakeMail(fakeZip(t, fakeCDA(fakePDF(uint64(uid), 500))))))
		h.settled(t, list[uid])
	}
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	watched := index.Watched{Address: "a@b.example", Folders: []string{"INBOX"}}
	seen := greffe.Listed{Mailbox: watched.Address, Folder: "INBOX", UIDValidity: 1, Complete: true, At: day.AddDate(0, 0, 2)}
	for uid := range uint32(6) { // two more than were taken
		seen.Messages = append(seen.Messages, greffe.Sight{UID: uid + 1, InternalDate: day.Add(8 * time.Hour)})
	}
	if err := h.db.SaveListed(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	locks := NewLocks(h.store, h.db)
	for i, on := range []bool{true, true, false, true} {
		if _, err := locks.Hold(t.Context(), list[i/2], on, "alice", fmt.Sprint("référence ", i), false); err != nil {
			t.Fatal(err)
		}
	}
	h.ended(t, list[2].ID, list[3].ID)
	for i, id := range []greffe.MessageID{list[2].ID, list[3].ID} {
		e, bad, err := AskElimination(t.Context(), store, h.db, []greffe.MessageID{id}, "alice", false, nil)
		if err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
		if i == 0 { // the other one waits for its second person
			if _, _, err := Eliminate(t.Context(), store, h.db, e.ID, "bob", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	statement := func(db *index.DB) greffe.Statement {
		s, err := db.Completeness(t.Context(), watched, day)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	stated := statement(h.db)
	if stated.Missing != 2 || stated.Settled != 1 || !stated.Complete {
		t.Fatalf("%+v", stated)
	}
	if _, err := h.db.SaveStatement(t.Context(), stated, day); err != nil {
		t.Fatal(err)
	}
	if _, err := NewSealer(h.store, h.db, newJournalKey(t, "essai"), slog.New(slog.DiscardHandler)).SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "again.db")
	db, err := index.OpenToRebuild(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := Reindex(t.Context(), h.store, db, ReindexOptions{})
	if err != nil || !r.OK() || r.Holds != 2 || r.Asked != 2 || r.Stated != 1 || r.Messages != 3 {
		t.Errorf("reindexed %+v, %v", r, err)
	}
	sameIndex(t, h.file, file, 1<<40, []string{"messages", "documents", "holds", "eliminations", "statements", "compared"})
	if again := statement(db); again.Digest != stated.Digest {
		t.Errorf("was %+v\nis  %+v", stated, again)
	}
}
