package fetcher

import (
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// TestPendingFollowsTheArchive: what waits goes down with each message that is archived,
// also when the event was faster than the ledger that the comparison read.
func TestPendingFollowsTheArchive(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	old, young := now.Add(-3*time.Hour), now.Add(-time.Hour)
	var set uidSet
	for uid := range uint32(5) {
		set.add(uid + 1)
	}
	p := newPending()
	at := func(uid uint32) greffe.Origin {
		return greffe.Origin{Mailbox: "a@b.example", Folder: "INBOX", UIDValidity: 7, UID: uid}
	}
	if got := p.figures([]string{"INBOX"}); len(got) != 0 {
		t.Errorf("before a comparison: %+v", got)
	}
	p.archived(at(5), now) // the ledger did not know it yet
	p.compared("INBOX", 7, 40, set, now)
	p.dated("INBOX", 7, map[uint32]time.Time{1: old, 2: young})
	want := func(waiting int, oldest time.Time) {
		t.Helper()
		got := p.figures([]string{"INBOX", "Autre"})
		if len(got) != 1 || got[0].Server != 40 || got[0].Waiting != waiting || !got[0].Oldest.Equal(oldest) || !got[0].Compared.Equal(now) {
			t.Errorf("%+v, want %d waiting since %v", got, waiting, oldest)
		}
	}
	want(4, old)
	p.archived(at(1), now)
	want(3, young)
	p.compared("INBOX", 7, 40, set, now) // dates stay known, and what landed stays away
	want(3, young)
	now = now.Add(2 * landedAge)
	p.compared("INBOX", 7, 40, set, now) // it did not reach the archive after all
	want(5, young)
	p.compared("INBOX", 8, 40, nil, now)
	want(0, time.Time{})
}

// TestExpiriesAreToldAhead: 90, 60, 30 and 7 days before, each once in the log, with
// what to do, and after the end.
func TestExpiriesAreToldAhead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, c := range []struct {
		what greffe.Expirable
		in   time.Duration
		days int
		says string
	}{
		{greffe.Password, 91 * day, -1, ""},
		{greffe.Password, 90 * day, 90, "Le mot de passe n'est valable que jusqu'au 21/02/2027 (90 jours)"},
		{greffe.ServerCertificate, 45 * day, 60, "Le certificat du serveur n'est valable que jusqu'au 07/01/2027 (45 jours) : demander à l'opérateur"},
		{greffe.ClientCertificate, 30 * day, 30, "renouveler maintenant auprès de l'IGC-Santé"},
		{greffe.ClientCertificate, time.Hour, 7, "Le certificat client n'est valable que jusqu'au 23/11/2026 : "},
		{greffe.Password, -day, 0, "Le mot de passe n'est plus valable depuis le 22/11/2026 : le changer"},
	} {
		e := greffe.Expiry{What: c.what, At: now.Add(c.in)}
		if got := e.Ahead(now); got != c.days {
			t.Errorf("%s in %v: %d days ahead, want %d", c.what, c.in, got, c.days)
		}
		if got := notice([]greffe.Expiry{e}, now); !strings.Contains(got, c.says) || (got == "") != (c.says == "") {
			t.Errorf("%s in %v: %q, want %q", c.what, c.in, got, c.says)
		}
	}
}
