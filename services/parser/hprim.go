package parser

import (
	"fmt"
	"io"
	"strings"

	"greffe/pkg/eml"
)

// hint is what the header of an HPRIM result says, as its sender filled it in. It
// helps the person who files the result; it is never an identity: the header knows no
// INS, and each vendor fills it differently (domain §2.6).
type hint struct {
	family, given, birth, reference, date, sender, recipient string
}

// text writes what is known in words.
func (h hint) text() string {
	var out []string
	add := func(format, value string) {
		if value != "" {
			out = append(out, fmt.Sprintf(format, value))
		}
	}
	add("%s", strings.TrimSpace(h.family+" "+h.given))
	add("né(e) le %s", h.birth)
	add("dossier %s", h.reference)
	add("daté du %s", h.date)
	add("envoyé par %s", h.sender)
	add("pour %s", h.recipient)
	return strings.Join(out, ", ")
}

// hprim reads the header of an HPRIM part.
func (r *reading) hprim(it *item) error {
	b, err := io.ReadAll(io.LimitReader(it.content.reader(), prefixSize))
	if err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	charset := ""
	if it.leaf != nil {
		charset = it.leaf.Charset
	}
	if s := hprimHint(eml.Text("text/plain", charset, b)).text(); s != "" {
		it.Findings = append(it.Findings, ruleHPRIMHeader.At(it.Path, s))
	}
	return nil
}

// hprimHint reads the header of either format.
func hprimHint(text string) hint {
	if hprimH.MatchString(text) {
		return hprimSante(text)
	}
	return hprimMedecins(text)
}

// hprimMedecins reads the twelve lines of HPRIM Médecins 3.0: code or title, family
// name, given name, two of address, town, birth date, social security number,
// reference, date, sender, recipient.
func hprimMedecins(text string) hint {
	lines := strings.Split(text, "\n")
	if len(lines) < 12 {
		return hint{}
	}
	for i, line := range lines[:12] {
		if lines[i] = short(line); strings.HasPrefix(line, "****") {
			return hint{}
		}
	}
	if !isDate(lines[6]) && !isDate(lines[9]) {
		return hint{} // a result without the header, or one filled in otherwise
	}
	h := hint{family: lines[1], given: lines[2], reference: lines[8], sender: lines[10], recipient: lines[11]}
	if isDate(lines[6]) {
		h.birth = lines[6]
	}
	if isDate(lines[9]) {
		h.date = lines[9]
	}
	return h
}

// hprimSante reads the segments H and P of HPRIM Santé 2.x (ASTM E1238): the header
// declares the delimiters after its letter.
func hprimSante(text string) (h hint) {
	field, component := text[1:2], text[2:3]
	values := func(line string) func(int) string {
		v := strings.Split(line, field)
		return func(n int) string {
			if n >= len(v) {
				return ""
			}
			return v[n]
		}
	}
	person := func(v string) string { return short(strings.ReplaceAll(v, component, " ")) }
	for n, line := range strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == '\r' }) {
		if n == 50 {
			break
		}
		f := values(line)
		switch f(0) {
		case "H":
			h.sender, h.recipient, h.date = person(f(4)), person(f(9)), hprimDate(f(13))
		case "P":
			names := strings.Split(f(5), component)
			h.family = short(names[0])
			if len(names) > 1 {
				h.given = short(names[1])
			}
			h.birth = hprimDate(f(7))
			h.reference = person(f(3))
		case "OBR":
			return h
		}
	}
	return h
}

// hprimDate writes a date YYYYMMDD… the French way; anything else as it is.
func hprimDate(s string) string {
	s = short(s)
	if len(s) >= 8 && strings.Trim(s[:8], "0123456789") == "" {
		return s[6:8] + "/" + s[4:6] + "/" + s[:4]
	}
	return s
}

// isDate reports whether s looks like 12/06/1950, 12-06-50 or 12061950.
func isDate(s string) bool {
	digits := 0
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c != '/' && c != '-' && c != '.' && c != ' ':
			return false
		}
	}
	return digits >= 6 && digits <= 8
}

// short bounds a field.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return s
}
