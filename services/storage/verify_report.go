package storage

import (
	"fmt"
	"math"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// ReportFormat is the version of Report as JSON; api/verify.schema.json is its schema.
const ReportFormat = "greffe-verify/1"

// Problem is one thing that Verify found. It holds opaque ids only.
type Problem struct {
	Check    CheckID           `json:"check"`
	Message  greffe.MessageID  `json:"message,omitempty"`
	Document greffe.DocumentID `json:"document,omitempty"`
	Part     string            `json:"part,omitempty"` // path; empty for the raw message
	Entry    int64             `json:"entry,omitempty"`
	Key      string            `json:"key,omitempty"`
	Text     string            `json:"text"`            // French: what it means
	Todo     string            `json:"todo"`            // French: what to do
	Cause    string            `json:"cause,omitempty"` // for a technician
}

// String returns the problem as one line.
func (p Problem) String() string {
	var where []string
	for _, w := range []struct{ word, id string }{
		{"message", string(p.Message)}, {"document", string(p.Document)}, {"partie", p.Part},
	} {
		if w.id != "" {
			where = append(where, w.word+" "+w.id)
		}
	}
	if p.Entry != 0 {
		where = append(where, fmt.Sprintf("entrée %d", p.Entry))
	}
	if p.Key != "" {
		where = append(where, p.Key)
	}
	s := fmt.Sprintf("[%s] ", p.Check)
	if len(where) > 0 {
		s += strings.Join(where, ", ") + " : "
	}
	s += p.Text + " " + p.Todo
	if p.Cause != "" {
		s += " (" + p.Cause + ")"
	}
	return s
}

// Status says how a check ended.
type Status string

// States of a check.
const (
	StatusOK      Status = "ok"
	StatusBroken  Status = "broken"
	StatusWarning Status = "warning" // to be known, and nothing that can be mended
	StatusSurplus Status = "surplus" // more than needed, nothing missing
	StatusNone    Status = "none"    // nothing to look at, or left out by what was asked for
)

// Result is how one check ended.
type Result struct {
	ID      CheckID `json:"id"`
	Must    string  `json:"must"` // French: what must hold
	Status  Status  `json:"status"`
	Looked  int64   `json:"looked"`            // how many times it was looked at
	Failed  int64   `json:"failed"`            // how many of them it did not hold
	Warned  int64   `json:"warned,omitempty"`  // how many more are to be known
	Skipped string  `json:"skipped,omitempty"` // French: why it was not looked at
}

// Scope is what Verify was asked to look at.
type Scope struct {
	Full    bool             `json:"full"`             // all bytes were read again
	Since   time.Time        `json:"since,omitzero"`   // by the date of the mail server and of the entries
	Sample  float64          `json:"sample,omitempty"` // per cent of the messages
	Seed    string           `json:"seed,omitempty"`   // which: the same seed chooses the same
	Message greffe.MessageID `json:"message,omitempty"`
}

// Report is what Verify found.
type Report struct {
	Format      string    `json:"format"` // ReportFormat
	Whole       bool      `json:"ok"`     // what OK returns
	Scope       Scope     `json:"scope"`
	Began       time.Time `json:"began"`
	Took        float64   `json:"seconds"`
	Messages    int       `json:"messages"`    // of the index, looked at
	Pending     int       `json:"pending"`     // of them, received and not yet archived
	Erased      int       `json:"erased"`      // messages of the archive whose keys were destroyed, certified
	Objects     int       `json:"objects"`     // different objects that are there and right
	Bytes       int64     `json:"bytes"`       // read again
	Journal     int64     `json:"entries"`     // of the journal, checked
	Unsealed    int64     `json:"unsealed"`    // of them, not yet in a sealed segment
	Checkpoints int       `json:"checkpoints"` // looked at
	Tokens      int       `json:"tokens"`      // RFC 3161, looked at
	Checks      []Result  `json:"checks"`
	// Holes, Warnings and Surplus list at most 10,000 problems each, in the order of the checks;
	// the numbers count all.
	HoleCount    int       `json:"hole_count"`
	Holes        []Problem `json:"holes"`
	WarningCount int       `json:"warning_count"`
	Warnings     []Problem `json:"warnings"`
	SurplusCount int       `json:"surplus_count"`
	Surplus      []Problem `json:"surplus"`
	// Erasures lists at most 10,000 of the messages that Erased counts.
	Erasures []ErasedMessage `json:"erasures,omitempty"`
}

// ErasedMessage is a message whose keys were destroyed before its lock ended.
type ErasedMessage struct {
	Message     greffe.MessageID `json:"message"`
	At          time.Time        `json:"at"`
	Certificate string           `json:"certificate"` // key in the archive
}

// String says it in French.
func (e ErasedMessage) String() string {
	return fmt.Sprintf("message %s : effacé le %s (certificat %s)", e.Message, e.At.Local().Format("02/01/2006 à 15:04"), e.Certificate)
}

// OK reports whether nothing is missing and nothing differs. Warnings and surplus are fine.
func (r Report) OK() bool { return r.HoleCount == 0 }

// shown is how many problems of each sort String writes.
const shown = 50

// String returns the report for a person, in French, several lines.
func (r Report) String() string {
	var b strings.Builder
	for _, c := range r.Checks {
		switch c.Status {
		case StatusOK:
			fmt.Fprintf(&b, "  ✓ %-18s %s (%d)\n", c.ID, c.Must, c.Looked)
		case StatusBroken:
			fmt.Fprintf(&b, "  ✗ %-18s %s %d anomalie(s) sur %d.\n", c.ID, c.Must, c.Failed, c.Looked)
		case StatusWarning:
			fmt.Fprintf(&b, "  ! %-18s %s %d à savoir.\n", c.ID, c.Must, c.Warned)
		case StatusSurplus:
			fmt.Fprintf(&b, "  + %-18s %s %d en trop.\n", c.ID, c.Must, c.Failed)
		case StatusNone:
			fmt.Fprintf(&b, "  · %-18s %s %s\n", c.ID, c.Must, c.Skipped)
		}
	}
	fmt.Fprintf(&b, "\n%d messages vérifiés", r.Messages)
	if r.Pending > 0 {
		fmt.Fprintf(&b, " (dont %d reçus et pas encore archivés)", r.Pending)
	}
	fmt.Fprintf(&b, ", %d objets présents et conformes", r.Objects)
	if r.Scope.Full {
		fmt.Fprintf(&b, ", %d,%d Mo relus", r.Bytes/1e6, r.Bytes%1e6/1e5)
	}
	fmt.Fprintf(&b, ", %d entrées de journal (dont %d pas encore scellées), %d points de contrôle, %d jetons d’horodatage.\n", r.Journal, r.Unsealed, r.Checkpoints, r.Tokens)
	if r.Scope.Sample > 0 {
		fmt.Fprintf(&b, "Échantillon de %s %% des messages, tiré au hasard ; pour le retrouver : --seed %s\n", percent(r.Scope.Sample), r.Scope.Seed)
	}
	if !r.Scope.Full {
		b.WriteString("Présence et taille vérifiées ; relancez avec --full pour relire tous les octets.\n")
	}
	list := func(title string, n int, problems []Problem) {
		if n == 0 {
			return
		}
		fmt.Fprintf(&b, "%s : %d\n", title, n)
		for _, p := range problems[:min(len(problems), shown)] {
			fmt.Fprintf(&b, "  - %s\n", p)
		}
		if n > shown {
			fmt.Fprintf(&b, "  … et %d autres\n", n-shown)
		}
	}
	for i, e := range r.Erasures {
		if i == shown {
			fmt.Fprintf(&b, "… et %d autres messages effacés\n", r.Erased-shown)
			break
		}
		fmt.Fprintln(&b, e)
	}
	if r.OK() {
		b.WriteString("Rien ne manque, rien ne diffère.\n")
	}
	list("MANQUES ET DIFFÉRENCES", r.HoleCount, r.Holes)
	list("À SAVOIR", r.WarningCount, r.Warnings)
	list("Surplus sans conséquence", r.SurplusCount, r.Surplus)
	return b.String()
}

// percent writes a number as French does, without needless decimals.
func percent(f float64) string {
	s := fmt.Sprintf("%.3f", math.Round(f*1000)/1000)
	return strings.ReplaceAll(strings.TrimRight(strings.TrimRight(s, "0"), "."), ".", ",")
}
