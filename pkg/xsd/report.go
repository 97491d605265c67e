package xsd

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// maxFaults is how many of the faults of a document are told.
const maxFaults = 3

// report is what libxml2 says about a document.
type report struct {
	valid  bool
	faults []fault // the first ones, one for each element
	more   bool
}

// fault is one place where the schema is broken.
type fault struct {
	line    string
	element string // local name
	text    string // French
}

var errUnreadable = errors.New("libxml2 cannot read the document")

// faultLine is a message of xmllint: path, line, element and what is wrong.
var faultLine = regexp.MustCompile(`^(\d{1,10}): element ([^:\s]{1,200}): Schemas validity error : (.*)$`)

// readReport reads the messages about the document of the path.
func readReport(said []byte, path string) (report, error) {
	var r report
	verdict := ""
	for line := range strings.Lines(string(said)) {
		rest, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), path)
		if !ok {
			continue
		}
		switch {
		case rest == " validates", rest == " fails to validate":
			verdict = rest
			continue
		case !strings.HasPrefix(rest, ":"):
			continue
		}
		m := faultLine.FindStringSubmatch(rest[1:])
		if m == nil {
			continue
		}
		f := fault{line: m[1], element: clip(m[2]), text: translate(m[3])}
		if n := len(r.faults); n > 0 && r.faults[n-1].line == f.line && r.faults[n-1].element == f.element {
			continue // the same thing, said of the type and of its facet
		}
		if len(r.faults) == maxFaults {
			r.more = true
			continue
		}
		r.faults = append(r.faults, f)
	}
	switch {
	case verdict == "":
		return r, errUnreadable
	case verdict == " validates":
		r.valid = true
	}
	return r, nil
}

// summary tells the faults in words.
func (r report) summary() string {
	if len(r.faults) == 0 {
		return "sans précision"
	}
	var all []string
	for _, f := range r.faults {
		all = append(all, fmt.Sprintf("ligne %s, %s : %s", f.line, f.element, f.text))
	}
	if r.more {
		all = append(all, "et d’autres")
	}
	return strings.Join(all, " ; ")
}

// sayings are the messages of libxml2 (xmlschemas.c) in French.
var sayings = []struct {
	pattern *regexp.Regexp
	french  string
}{
	{regexp.MustCompile(`This element is not expected\.(?: Expected is (?:one of )?\( (.*) \)\.)?`), "cet élément n’est pas attendu ici|attendu : $1"},
	{regexp.MustCompile(`Missing child element\(s\)\.(?: Expected is (?:one of )?\( (.*) \)\.)?`), "un élément manque à l’intérieur|attendu : $1"},
	{regexp.MustCompile(`The attribute '([^']*)' is required but missing`), "l’attribut « $1 » manque"},
	{regexp.MustCompile(`attribute '([^']*)': The attribute '[^']*' is not allowed`), "l’attribut « $1 » n’est pas admis"},
	{regexp.MustCompile(`attribute '([^']*)': .*?The value '(.*)' (?:is not accepted|is not an element|has a length)`), "l’attribut « $1 » ne peut pas valoir « $2 »"},
	{regexp.MustCompile(`attribute '([^']*)': '(.*)' is not a valid value`), "l’attribut « $1 » ne peut pas valoir « $2 »"},
	{regexp.MustCompile(`attribute '([^']*)': .*The QName value '(.*)' .*does not resolve`), "l’attribut « $1 » nomme un type inconnu, « $2 »"},
	{regexp.MustCompile(`The type definition is abstract`), "son type est abstrait : xsi:type manque"},
	{regexp.MustCompile(`Character content (?:other than whitespace )?is not allowed`), "du texte se trouve là où il n’en faut pas"},
	{regexp.MustCompile(`Element content is not allowed`), "un élément se trouve là où il n’en faut pas"},
	{regexp.MustCompile(`No matching global declaration available for the validation root`), "l’élément racine n’est pas celui d’un document CDA"},
	{regexp.MustCompile(`'(.*)' is not a valid value`), "la valeur « $1 » n’est pas admise"},
}

// translate says a message of libxml2 in French; as it is when it is not known.
func translate(text string) string {
	text = strings.ReplaceAll(text, "{urn:hl7-org:v3}", "")
	for _, s := range sayings {
		m := s.pattern.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		says, detail, _ := strings.Cut(s.french, "|")
		for i := 1; i < len(m); i++ {
			v := m[i]
			if v == "" && i > 1 {
				says = strings.ReplaceAll(says, "ne peut pas valoir « $2 »", "ne peut pas être vide")
			}
			says = strings.ReplaceAll(says, fmt.Sprintf("$%d", i), v)
		}
		if len(m) > 1 && m[1] != "" && detail != "" {
			says += " (" + strings.ReplaceAll(detail, "$1", m[1]) + ")"
		}
		return clip(says)
	}
	return clip(text)
}

// clip shortens what comes from a document.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > 160 {
		return string(r[:160]) + "…"
	}
	return s
}
