package console

import (
	"net/http"
	"time"

	"greffe/pkg/greffe"
)

// apiState is how Greffe goes, for who watches the machine: no message, no document.
type apiState struct {
	Status      string          `json:"status"` // ok, warning or trouble: the worst of what follows
	At          time.Time       `json:"at"`
	Version     string          `json:"version"`
	Checks      []apiCheck      `json:"checks"` // index, bus, seals and timestamps of the journal
	Services    []apiService    `json:"services"`
	Mailboxes   []apiMailbox    `json:"mailboxes"`
	DIs         []apiDI         `json:"dis"`
	DeadLetters int             `json:"dead_letters"`
	States      []apiStateCount `json:"states"`
}

type apiCheck struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// apiService is what a service says: the reading of messages (with its antivirus), the
// archive with its locks, each mailbox…
type apiService struct {
	Service  string    `json:"service"`
	Instance string    `json:"instance"`
	Name     string    `json:"name"`
	Status   string    `json:"status"`
	Silent   bool      `json:"silent"`
	Trouble  string    `json:"trouble,omitempty"`
	Warning  string    `json:"warning,omitempty"`
	Text     string    `json:"text,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Success  time.Time `json:"success,omitzero"`
}

type apiMailbox struct {
	Address     string      `json:"address"`
	Kind        string      `json:"kind,omitempty"`
	Service     string      `json:"service,omitempty"`
	Responsible string      `json:"responsible,omitempty"`
	Status      string      `json:"status"`
	Success     time.Time   `json:"success,omitzero"` // when it was last wholly compared
	Server      int         `json:"server"`           // messages on the server
	Archived    int         `json:"archived"`         // of them, those that the archive has
	Waiting     int         `json:"waiting"`          // of them, the others
	Oldest      time.Time   `json:"oldest,omitzero"`  // of the others
	Todo        int         `json:"todo"`             // messages that a person must see to
	Consulted   time.Time   `json:"consulted,omitzero"`
	Unattended  bool        `json:"unattended"`
	Expiries    []apiExpiry `json:"expiries"`
}

type apiExpiry struct {
	What string    `json:"what"`
	At   time.Time `json:"at"`
	Days int       `json:"days"`
	Near bool      `json:"near"`
}

type apiDI struct {
	Name    string    `json:"name"`
	Status  string    `json:"status"`
	Text    string    `json:"text"`
	Test    bool      `json:"test"`
	Waiting int       `json:"waiting"`
	Oldest  time.Time `json:"oldest,omitzero"`
	Paused  time.Time `json:"paused,omitzero"`
	Stopped time.Time `json:"stopped,omitzero"`
	Down    time.Time `json:"down,omitzero"`

	Refusal   string            `json:"refusal,omitempty"` // code of the last one
	RefusalAt time.Time         `json:"refusal_at,omitzero"`
	Document  greffe.DocumentID `json:"document,omitempty"` // that it is about
}

type apiStateCount struct {
	State     greffe.State `json:"state"`
	Messages  int          `json:"messages"`
	Documents int          `json:"documents"`
}

// statuses are the words of the API for the classes of the pages.
var statuses = map[string]string{"good": "ok", "care": "warning", "bad": "trouble"}

func (s *apiState) worse(status string) {
	if status == "trouble" || status == "warning" && s.Status == "ok" {
		s.Status = status
	}
}

// apiHealth tells an administrator's script how Greffe goes. What cannot be read is told
// as trouble: the answer is there as long as the console is.
func (c *Console) apiHealth(w http.ResponseWriter, r *http.Request, v *visit) error {
	now := time.Now()
	s := apiState{Status: "ok", At: now.UTC().Truncate(time.Second), Version: c.cfg.Version, Checks: []apiCheck{}, Services: []apiService{}, Mailboxes: []apiMailbox{}, DIs: []apiDI{}, States: []apiStateCount{}}
	if err := c.record(v, "read", "", "ok", "health"); err != nil {
		return err
	}
	checks := append(c.checks(r.Context()), c.sealing(r.Context(), now)...)
	lines, err := c.serviceLines(r.Context())
	if err != nil {
		checks = append(checks, check{Name: "Services", Text: "ce que disent les services n’a pas pu être lu ; vérifier le bus"})
	}
	if s.DeadLetters, err = c.bus.CountDeadLetters(r.Context()); err != nil {
		checks = append(checks, check{Name: "Traitements en échec", Text: "n’ont pas pu être comptés ; vérifier le bus"})
	} else if s.DeadLetters > 0 {
		s.worse("trouble")
	}
	for _, k := range checks {
		if s.Checks = append(s.Checks, apiCheck(k)); !k.OK {
			s.worse("trouble")
		}
	}
	for _, l := range lines {
		status := statuses[l.Class]
		s.worse(status)
		s.Services = append(s.Services, apiService{l.Service, l.Instance, l.Name, status, l.Silent, l.Trouble, l.Warning, l.Text, l.Since, l.Success})
	}
	boxes, err := c.mailboxViews(r.Context(), lines, now)
	if err != nil {
		return err
	}
	for _, b := range boxes {
		m := apiMailbox{b.Address, b.Kind, b.Service, b.Responsible, statuses[b.Class], b.Standing.Success, b.Server, b.Archived, b.ToCome, b.Oldest, b.Todo, b.Consulted, b.Unattended, []apiExpiry{}}
		for _, e := range b.Expiries {
			m.Expiries = append(m.Expiries, apiExpiry{string(e.What), e.At, e.Days, e.Near})
		}
		s.Mailboxes = append(s.Mailboxes, m)
	}
	queues, err := c.queueLines(r.Context())
	if err != nil {
		return err
	}
	for _, q := range queues {
		s.worse(statuses[q.Class])
		s.DIs = append(s.DIs, apiDI{q.Name, statuses[q.Class], q.Text, q.Test, q.Waiting, q.Oldest, q.PausedAt, q.StoppedAt, q.DownAt, q.Last.Code, q.Last.At, q.Document})
	}
	messages, documents, err := c.db.Tally(r.Context())
	if err != nil {
		return err
	}
	for _, state := range greffe.States {
		s.States = append(s.States, apiStateCount{state, messages[state], documents[state]})
	}
	return answerJSON(w, r, http.StatusOK, s)
}
