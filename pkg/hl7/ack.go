package hl7

import (
	"fmt"
	"strings"
	"time"
)

// ACK is the answer to a message.
type ACK struct {
	Code    string // MSA-1: AA, AE or AR (CE and CR of the enhanced mode are read as AE and AR; CA stays)
	Control string // MSA-2: the MSH-10 that is answered
	ID      string // MSH-10 of the answer itself
	Text    string // MSA-3
	Errors  []ACKError
}

// ACKError is one ERR segment.
type ACKError struct {
	Location string // ERR-2, as received
	Code     string // ERR-3.1, HL7 table 0357
	Label    string // ERR-3.2
	Severity string // ERR-4: E, F, W or I
	App      string // ERR-5.1, HL7 table 0533: 900 to 906
	AppLabel string // ERR-5.2
	Text     string // ERR-7 or ERR-8
}

// Application returns the application error of an answer: the first ERR with a code
// in ERR-5, else the first that says in ERR-3 that there is one (207) and leaves it
// out. The name of the code system is not looked at: the volet and its examples
// print three. What is only a warning or an information (ERR-4) is no error.
func (a ACK) Application() (ACKError, bool) {
	for _, e := range a.Errors {
		if e.App != "" && e.Severity != "W" && e.Severity != "I" {
			return e, true
		}
	}
	for _, e := range a.Errors {
		if e.Code == "207" {
			return e, true
		}
	}
	return ACKError{}, false
}

// errorLimit bounds how many ERR segments are kept.
const errorLimit = 50

// ParseACK reads an answer. ErrSyntax when it has no MSA with a code of table 0008.
func ParseACK(b []byte) (ACK, error) {
	segments, err := Parse(b)
	if err != nil {
		return ACK{}, fmt.Errorf("read acknowledgement: %w", err)
	}
	var a ACK
	for _, s := range segments {
		switch s.Name {
		case "MSH":
			a.ID = s.Text(10, 1)
		case "MSA":
			a.Code, a.Control, a.Text = strings.TrimSpace(s.Text(1, 1)), strings.TrimSpace(s.Text(2, 1)), s.Text(3, 1)
		case "ERR":
			if len(a.Errors) < errorLimit {
				a.Errors = append(a.Errors, ACKError{
					Location: s.Field(2),
					Code:     s.Text(3, 1), Label: s.Text(3, 2),
					Severity: s.Text(4, 1),
					App:      s.Text(5, 1), AppLabel: s.Text(5, 2),
					Text: or(s.Text(8, 1), s.Text(7, 1)),
				})
			}
		}
	}
	switch a.Code {
	case "AA", "AE", "AR", "CA":
	case "CE":
		a.Code = "AE"
	case "CR":
		a.Code = "AR"
	default:
		return ACK{}, fmt.Errorf("read acknowledgement: %w: MSA-1 is %.10q", ErrSyntax, a.Code)
	}
	return a, nil
}

// Answer writes the acknowledgement of the message with this MSH segment.
// a.Control and the parties come from msh; a.ID is the answer's own MSH-10.
func Answer(msh Segment, a ACK, at time.Time) []byte {
	event := msh.Text(9, 2)
	head := newDraft("MSH").set(2, `^~\&`).
		set(3, escape(msh.Text(5, 1))).set(4, escape(msh.Text(6, 1))).
		set(5, escape(msh.Text(3, 1))).set(6, escape(msh.Text(4, 1))).
		set(7, stamp(at)).
		set(9, comp("ACK", escape(event), "ACK")).
		set(10, escape(a.ID)).
		set(11, escape(or(msh.Text(11, 1), "P"))).
		set(12, "2.6").set(15, "AL").set(16, "AL").set(17, "FRA").set(18, string(UTF8))
	segments := []*draft{head, newDraft("MSA").set(1, escape(a.Code)).set(2, escape(msh.Text(10, 1))).set(3, escape(a.Text))}
	for _, e := range a.Errors {
		d := newDraft("ERR").set(2, e.Location).
			set(3, comp(escape(e.Code), escape(e.Label), "messageErrorCondition")).
			set(4, or(e.Severity, "E"))
		if e.App != "" {
			d.set(5, comp(escape(e.App), escape(e.AppLabel), "applicationErrorCode"))
		}
		segments = append(segments, d.set(8, escape(e.Text)))
	}
	var out strings.Builder
	for _, d := range segments {
		out.WriteString(d.String() + "\r")
	}
	return []byte(out.String())
}
