package greffe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Severity says what a Finding does to the part or document it is about.
type Severity string

// Severities, from the mildest to the gravest.
const (
	Info    Severity = "info"    // worth knowing, changes nothing
	Warning Severity = "warning" // shown; the document goes its way
	Hold    Severity = "hold"    // a person must decide before the document goes on
	Refuse  Severity = "refuse"  // the part or document cannot be used; it is kept and shown
)

// Verdict is the sum of the findings about a part, a document or a message.
type Verdict string

// Verdicts, from the best to the worst. Ignored is for a part that is kept but
// carries nothing (a logo, the second copy of a text).
const (
	VerdictIgnored Verdict = "ignored"
	VerdictOK      Verdict = "ok"
	VerdictWarning Verdict = "warning"
	VerdictHeld    Verdict = "held"
	VerdictRefused Verdict = "refused"
)

var verdictRank = map[Verdict]int{VerdictIgnored: 0, VerdictOK: 1, VerdictWarning: 2, VerdictHeld: 3, VerdictRefused: 4}

// Worse returns the graver of v and w. The empty verdict is the mildest.
func (v Verdict) Worse(w Verdict) Verdict {
	if verdictRank[w] > verdictRank[v] || v == "" {
		return w
	}
	return v
}

// Rule is one thing that Greffe checks. Each format package declares its rules
// once, as variables, and lists them in its Rules function.
type Rule struct {
	ID       string   `json:"id"`       // package.word, for example "xdm.hash"; never changes once published
	Severity Severity `json:"severity"` // what breaking it does
	Text     string   `json:"text"`     // French, for a secretary; may hold fmt verbs
	Source   string   `json:"source"`   // document and clause, or "Greffe" for a limit of our own
}

// Sentence returns the Text as a list of rules shows it: an ellipsis stands for each
// value that only a finding knows, and for the full stop after it.
func (r Rule) Sentence() string {
	text := verb.ReplaceAllStringFunc(r.Text, func(v string) string {
		if v == "%%" {
			return "%"
		}
		return "…"
	})
	return strings.ReplaceAll(text, "….", "…")
}

// verb is a verb of package fmt. The flag that is a blank is left out: French writes
// one before a noun ("100 % des pièces").
var verb = regexp.MustCompile(`%%|%[-+#0]*(?:\[\d+\])?[\d.]*[a-zA-Z]`)

// At returns the finding that the rule is broken at where: a part path, or the
// path of an element inside it. args fill the verbs of the rule's Text; they may
// be shown to users but are never logged.
func (r Rule) At(where string, args ...any) Finding {
	text := r.Text
	if len(args) > 0 {
		text = fmt.Sprintf(r.Text, args...)
	}
	return Finding{Rule: r.ID, Severity: r.Severity, Text: text, Where: where}
}

// Finding is one thing that is wrong or worth knowing about what was received.
// Bad input gives findings, never errors.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`            // French, for the queue
	Where    string   `json:"where,omitempty"` // part path, or a place inside the part
}

// VerdictOf returns the verdict that the findings add up to; VerdictOK for none.
func VerdictOf(findings []Finding) Verdict {
	v := VerdictOK
	for _, f := range findings {
		switch f.Severity {
		case Warning:
			v = v.Worse(VerdictWarning)
		case Hold:
			v = v.Worse(VerdictHeld)
		case Refuse:
			v = v.Worse(VerdictRefused)
		}
	}
	return v
}

// Unsafe reports whether the findings say that the antivirus did not call something
// clean: it found malware in it or in what it holds, or could not scan it. Such a thing
// is kept as evidence; it is never delivered, shown or handed out by the way.
func Unsafe(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool {
		return f.Severity == Hold && strings.HasPrefix(f.Rule, "antivirus.")
	})
}
