package notifier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Daily says when the persons responsible for mailboxes are told by mail what waits there
// for a person: numbers and dates, never a content. The mail goes once a day to an address
// of the white list, and not at all when there is nothing to say.
//
// A mail is sent first and journalled then, by one process at a time: a crash in between
// sends it again, with the same Message-ID, rather than never.
type Daily struct {
	At         time.Duration // since midnight in Config.Zone; negative: never
	Always     bool          // also when nothing waits
	Unattended time.Duration // what waits in a mailbox that nobody looked into for that long is told; 0: not
	Console    string        // address of the console, for links; empty: no links
	Persons    []Responsible
}

// Responsible is a person who answers for mailboxes.
type Responsible struct {
	Address   string
	Mailboxes []Watched
}

// Watched is a mailbox as its responsible person knows it.
type Watched struct{ Address, Service string }

const (
	dailyLook   = time.Minute
	dailyLease  = time.Minute
	dailyAction = "summarised"
)

// validDaily reports, in French, who may not be told.
func (n *Notifier) validDaily() error {
	if n.cfg.Daily.At < 0 || n.cfg.WhiteList.Source == "" {
		return nil
	}
	for _, p := range n.cfg.Daily.Persons {
		f := Facts{Message: greffe.Message{ReturnPath: p.Address}}
		box, ours := n.boxes[strings.ToLower(p.Address)]
		switch {
		case ours && box.Applicative:
			return fmt.Errorf("responsible.address %s : cette boîte est applicative, personne ne la lit ; donner l’adresse d’une personne", p.Address)
		case patient(&f):
			return fmt.Errorf("responsible.address %s : c’est l’adresse d’un patient ; donner celle d’un professionnel", p.Address)
		case !n.cfg.WhiteList.remote() && n.white.loaded() && !n.white.has(domain(p.Address)):
			// A list that is fetched may have changed since yesterday: that stops no service, the
			// System page tells it.
			return fmt.Errorf("responsible.address %s : ce domaine n’est pas sur la liste blanche MSSanté (answers.white_list) ; donner une adresse MSSanté, ou compléter la liste", p.Address)
		}
	}
	return nil
}

// daily tells the persons each day until ctx is done. What goes wrong is tried again and
// told on the System page; nothing of it stops the answers to senders.
func (n *Notifier) daily(ctx context.Context) {
	if n.cfg.Daily.At < 0 || n.cfg.WhiteList.Source == "" {
		return
	}
	next := map[string]time.Time{} // of an address: when the next try is due
	begun := map[string]time.Time{}
	t := time.NewTicker(dailyLook)
	defer t.Stop()
	for {
		for _, p := range n.cfg.Daily.Persons {
			now := time.Now().In(n.cfg.Zone)
			if now.Before(next[p.Address]) {
				continue
			}
			done, err := n.tell(ctx, p, now)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				if begun[p.Address].IsZero() {
					begun[p.Address] = now
				}
				next[p.Address] = now.Add(pause(now.Sub(begun[p.Address])))
				n.log.Warn("daily summary not sent", slog.String("person", dailyKey(p)), slog.Any("error", err))
				n.state.set(dailyKey(p), &bus.Standing{Service: "notifier", Instance: "rappel quotidien " + p.Address, Since: now.UTC(), Trouble: dailyTrouble(p, err)})
			case done:
				delete(begun, p.Address)
				n.state.clear(dailyKey(p))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

var (
	errNoSender   = errors.New("none of the mailboxes has a submission server")
	errNotAllowed = errors.New("not on the white list")
)

// dailyTrouble says why a person is not told what waits, and what to do.
func dailyTrouble(p Responsible, err error) string {
	what := "Le rappel quotidien de ce qui attend n’a pas pu être envoyé à " + p.Address + " : "
	switch {
	case errors.Is(err, errNoSender):
		return what + "aucune des boîtes dont cette personne répond n’a de serveur d’envoi (mailboxes.smtp)."
	case errors.Is(err, errNotAllowed):
		return what + "son domaine n’est pas sur la liste blanche MSSanté. Corriger responsible.address, ou vérifier la liste (answers.white_list)."
	case errors.Is(err, errFinal):
		return what + "le serveur d’envoi refuse cette adresse. La vérifier (responsible.address). Nouvel essai demain."
	}
	return what + "Greffe réessaie de lui-même. Si cela dure, vérifier le serveur d’envoi de ses boîtes."
}

// dailyKey names a person in the journal and in leases without her address.
func dailyKey(p Responsible) string {
	return "daily-" + keyOf("daily", strings.ToLower(p.Address))[:16]
}

// tell sends what is due to a person by now; done means that nothing is left for today.
func (n *Notifier) tell(ctx context.Context, p Responsible, now time.Time) (done bool, err error) {
	key := dailyKey(p)
	if due, err := n.dailyDue(ctx, key, now); err != nil || !due {
		return err == nil, err
	}
	lease, err := n.bus.Lease(ctx, key, dailyLease)
	if errors.Is(err, bus.ErrHeld) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lease.Release()
	ctx = lease.Context()
	// Another process may have told her before the lease was ours.
	if due, err := n.dailyDue(ctx, key, now); err != nil || !due {
		return err == nil, err
	}
	i := slices.IndexFunc(p.Mailboxes, func(m Watched) bool { _, ok := n.boxes[strings.ToLower(m.Address)]; return ok })
	switch {
	case i < 0:
		return false, errNoSender
	case !n.white.has(domain(p.Address)):
		return false, errNotAllowed
	}
	box := n.boxes[strings.ToLower(p.Mailboxes[i].Address)]
	s, err := n.summary(ctx, p, now)
	if err != nil {
		return false, err
	}
	entry := index.Entry{Actor: "notifier", Action: dailyAction, Subject: key, Result: "nothing"}
	if s.told() || n.cfg.Daily.Always {
		l := &letter{kind: Summary, from: box.Address, to: p.Address, id: dailyID(key, now, box.Address), subject: s.title(), text: s.text(n.cfg.Daily.Console), at: now}
		entry.Result, entry.Detail = "sent", fmt.Sprint("waiting=", s.waiting())
		if err := box.send(ctx, l, n.envelope(box, Summary), 0, nil); errors.Is(err, errFinal) {
			entry.Result = "failed"
			n.state.set(key, &bus.Standing{Service: "notifier", Instance: "rappel quotidien " + p.Address, Since: now.UTC(), Trouble: dailyTrouble(p, err)})
		} else if err != nil {
			return false, err
		}
	}
	if err := n.index.Append(context.WithoutCancel(ctx), entry); err != nil {
		return false, err
	}
	n.log.Info("daily summary", slog.String("person", key), slog.String("result", entry.Result))
	return entry.Result != "failed", nil
}

// dailyID is the Message-ID of the mail of a day.
func dailyID(key string, now time.Time, box string) string {
	return key + "." + now.Format("20060102") + ".daily@" + domain(box)
}

// dailyDue reports whether the hour has come since a person was last told, or, when she
// never was, since the journal began.
func (n *Notifier) dailyDue(ctx context.Context, key string, now time.Time) (bool, error) {
	list, err := n.index.JournalOf(ctx, key, dailyAction, 1)
	if err == nil && len(list) == 0 {
		list, err = n.index.JournalAfter(ctx, 0, 1)
	}
	if err != nil || len(list) == 0 {
		return false, err
	}
	return list[0].At.Before(lastAt(now, n.cfg.Daily.At)), nil
}

// lastAt returns when it was last that time of day where now is, now included.
func lastAt(now time.Time, at time.Duration) time.Time {
	y, m, d := now.Date()
	on := func(day int) time.Time {
		return time.Date(y, m, day, int(at/time.Hour), int(at/time.Minute)%60, int(at/time.Second)%60, int(at%time.Second), now.Location())
	}
	if t := on(d); !t.After(now) {
		return t
	}
	return on(d - 1)
}

// summary is what one person is told on one day.
type summary struct {
	now        time.Time
	unattended time.Duration
	boxes      []boxSummary
}

// boxSummary is how one mailbox stands.
type boxSummary struct {
	Watched
	state    index.MailboxState
	waiting  index.Waiting
	followUp int
	standing bus.Standing
	said     bool // a fetcher says how it goes
}

// summary reads how the mailboxes of a person stand.
func (n *Notifier) summary(ctx context.Context, p Responsible, now time.Time) (s summary, err error) {
	s.now, s.unattended = now, n.cfg.Daily.Unattended
	standings, err := n.bus.Standings(ctx)
	if err != nil {
		return s, err
	}
	for _, m := range p.Mailboxes {
		b := boxSummary{Watched: m}
		place := []string{m.Address}
		if b.state, err = n.index.Mailbox(ctx, m.Address); err != nil {
			return s, err
		}
		if b.waiting, err = n.index.Waiting(ctx, place, "", now); err != nil {
			return s, err
		}
		if b.followUp, err = n.index.CountFollowUps(ctx, place); err != nil {
			return s, err
		}
		for _, t := range standings {
			if t.Service == "fetcher" && strings.EqualFold(t.Instance, m.Address) {
				b.standing, b.said = t, true
			}
		}
		s.boxes = append(s.boxes, b)
	}
	return s, nil
}

// due are the messages of a mailbox that wait for a person now, without incidents.
func (b *boxSummary) due() (n int) {
	for _, c := range greffe.Causes {
		n += b.waiting.Of(c, greffe.StateTodo, greffe.StateRefused)
	}
	return n
}

func (b *boxSummary) incidents() (n int) {
	for _, c := range greffe.Causes {
		n += b.waiting.Of(c, greffe.StateIncident)
	}
	return n
}

// unseen reports whether something waits and nobody looked for too long.
func (b *boxSummary) unseen(s *summary) bool {
	return b.state.UnattendedFor(s.unattended, s.now)
}

// ends are what ends soon, in French.
func (b *boxSummary) ends(now time.Time) (lines []string) {
	if b.standing.Mailbox == nil {
		return nil
	}
	for _, e := range b.standing.Mailbox.Expiries {
		switch days := int(e.At.Sub(now) / (24 * time.Hour)); {
		case e.Ahead(now) < 0:
		case now.After(e.At):
			lines = append(lines, fmt.Sprintf("Le %s n’est plus valable depuis le %s.", e.What.French(), e.At.In(now.Location()).Format("02/01/2006")))
		default:
			lines = append(lines, fmt.Sprintf("Le %s n’est valable que jusqu’au %s (%s).", e.What.French(), e.At.In(now.Location()).Format("02/01/2006"), plural(days, "jour", "jours")))
		}
	}
	return lines
}

// told reports whether there is something to say.
func (s *summary) told() bool {
	return slices.ContainsFunc(s.boxes, func(b boxSummary) bool {
		return b.due()+b.incidents()+b.followUp > 0 || len(b.ends(s.now)) > 0 || b.trouble() != ""
	})
}

// waiting are the messages that wait for a person, in all mailboxes.
func (s *summary) waiting() (n int) {
	for _, b := range s.boxes {
		n += b.due() + b.incidents()
	}
	return n
}

func (s *summary) title() string {
	if n := s.waiting(); n > 0 {
		return fmt.Sprintf("Greffe : %s une personne", plural(n, "message attend", "messages attendent"))
	}
	return "Greffe : rappel quotidien de vos boîtes"
}

// trouble is why nothing is fetched from the mailbox now; empty when all goes well.
func (b *boxSummary) trouble() string {
	switch {
	case !b.said:
		return "Greffe ne relève pas cette boîte en ce moment : prévenir le service informatique."
	case b.standing.Trouble != "":
		return "Greffe n’arrive pas à relever cette boîte : la page « Boîtes » de la console dit pourquoi. Prévenir le service informatique."
	}
	return ""
}

// text is the mail. It names mailboxes and counts; no sender, subject, patient or document.
// The link names a mailbox by its key, as the queue of the console does: addresses of pages
// are written to logs.
func (s *summary) text(console string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Bonjour,\n\nVoici ce qui attend une personne dans les boîtes dont vous répondez, le %s à %s.\n", s.now.Format("02/01/2006"), s.now.Format("15 h 04"))
	line := func(n int, what string, more string) {
		if n > 0 {
			fmt.Fprintf(&b, "  %s : %d%s\n", what, n, more)
		}
	}
	for _, m := range s.boxes {
		fmt.Fprintf(&b, "\n%s%s\n", oneLine(m.Address, 320), named(Mailbox{Service: m.Service}))
		oldest := ""
		if !m.state.OldestAt.IsZero() {
			oldest = ", dont le plus ancien est arrivé " + ago(s.now.Sub(m.state.OldestAt))
		}
		line(m.due(), "À traiter", oldest)
		for _, c := range greffe.Causes {
			line(m.waiting.Of(c, greffe.StateTodo, greffe.StateRefused), "  "+c.French(), "")
		}
		line(m.incidents(), "Incidents (un technicien doit regarder)", "")
		line(m.followUp, "Réponses à suivre", "")
		line(m.state.Counts[greffe.StateWaiting], "En attente du DI (rien à faire)", "")
		line(m.waiting.Later, "Remis à plus tard", "")
		if m.due()+m.incidents()+m.followUp == 0 {
			b.WriteString("  Rien n’attend.\n")
		}
		if m.unseen(s) {
			seen := "Personne n’a encore consulté cette boîte."
			if !m.state.Consulted.IsZero() {
				seen = "Personne n’a consulté cette boîte depuis le " + m.state.Consulted.In(s.now.Location()).Format("02/01/2006") + "."
			}
			fmt.Fprintf(&b, "  %s\n", seen)
		}
		for _, e := range m.ends(s.now) {
			fmt.Fprintf(&b, "  %s\n", e)
		}
		if t := m.trouble(); t != "" {
			fmt.Fprintf(&b, "  %s\n", t)
		}
		if console != "" {
			fmt.Fprintf(&b, "  %s/file?%s\n", strings.TrimRight(console, "/"), url.Values{"etat": {"a-traiter"}, "bal": {greffe.MailboxKey(m.Address)}}.Encode())
		}
	}
	b.WriteString("\nCe message est envoyé automatiquement, une fois par jour : n’y répondez pas.\n")
	return b.String()
}

func plural(n int, one, many string) string {
	if n < 2 {
		return fmt.Sprint(n, " ", one)
	}
	return fmt.Sprint(n, " ", many)
}

// ago says how long something is past.
func ago(d time.Duration) string {
	if d < 24*time.Hour {
		return "il y a moins d’un jour"
	}
	return "il y a " + plural(int(d/(24*time.Hour)), "jour", "jours")
}
