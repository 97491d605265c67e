package parser

import (
	"path"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
)

// evidence is how much the name and the title of a PDF speak for its being a rendering of
// one document. points is 0 unless the patient is named.
type evidence struct {
	points   int
	named    bool // family and given name of the patient are there
	somebody bool // the name follows the grammar and names somebody else
}

// described is what the name of a rendering can be compared with.
type described struct {
	families, givens []string // folded
	dates            []string // YYYYMMDD
	birth            string
	words            []string // of title and type
	title            string   // folded
	numbers          []string
}

// describe gathers it from a document.
func describe(d *greffe.Document) described {
	p := d.Patient
	s := described{birth: p.BirthDate, title: squash(d.Title)}
	for _, f := range []string{p.BirthFamily, p.UsedFamily} {
		if f = squash(f); f != "" {
			s.families = append(s.families, f)
		}
	}
	for _, g := range []string{p.FirstGiven, p.UsedGiven, p.Givens} {
		if g = squash(g); g != "" && !slices.Contains(s.givens, g) {
			s.givens = append(s.givens, g)
		}
	}
	for _, t := range []string{d.Created, d.ServiceStart, d.ServiceStop} {
		if len(t) >= 8 {
			s.dates = append(s.dates, t[:8])
		}
	}
	s.words = meaning(tokens(strings.Join([]string{d.Title, d.Type.Label, d.Class.Label, d.Event.Label}, " ")))
	ids := append([]greffe.OID{d.UniqueID, d.Encounter}, append(p.IDs, d.Orders...)...)
	for _, id := range ids {
		if ins.KindOf(id.Root) == "" && len(id.Extension) >= 4 {
			s.numbers = append(s.numbers, strings.TrimLeft(ins.Normalise(id.Extension), "0"))
		}
	}
	return s
}

// fileName is the name of a PDF, taken apart. By the grammar of ECO.2.1.6 it is
// date_type_NOM_prénom_numéro; names of other forms are read word by word.
type fileName struct {
	fields []string // between underscores, when it follows the grammar
	words  []string // all of it
	dates  []string // YYYYMMDD
	sent   string   // day of the message
}

// parseName reads a file name; sent is the day of the message, YYYYMMDD.
func parseName(name, sent string) fileName {
	name = ins.Normalise(strings.TrimSuffix(name, path.Ext(name)))
	n := fileName{words: tokens(name), sent: sent}
	if f := strings.Split(name, "_"); len(f) >= 4 && day(f[0]) != "" {
		n.fields = f
	}
	n.dates = datesIn(name)
	return n
}

// speaksFor weighs the evidence that the PDF of this name renders a document.
func (n fileName) speaksFor(s *described, pdf *greffe.PDF) evidence {
	rest, ok := n.without(s)
	if !ok {
		return evidence{somebody: n.fields != nil && len(s.families) > 0}
	}
	e := evidence{named: true}
	points := 0
	switch known, other := n.dated(s); {
	case known:
		points += 2
	case other:
		return e // another day: another document about the same patient
	}
	if pdf != nil && s.title != "" && squash(pdf.Title) == s.title {
		points += 3
	}
	switch all, some, none := agree(meaning(rest), s.words); {
	case all:
		points += 3
	case some:
		points += 2
	case none && points < 3: // another kind of document, unless its own title says otherwise
		return e
	case generic(rest, s.words):
		points++
	}
	for _, w := range rest {
		if slices.Contains(s.numbers, strings.TrimLeft(w, "0")) {
			points += 2
			break
		}
	}
	e.points = points
	return e
}

// without returns the words of the name besides those of the patient; ok is false when
// the patient is not named. In a name of the grammar, family and given name must be the
// whole of their fields, so that a brother with a longer name is not taken for him.
func (n fileName) without(s *described) (rest []string, ok bool) {
	if n.fields != nil {
		f := n.fields[1:]
		for _, end := range []int{len(f) - 1, len(f)} { // with and without a number at the end
			for k := 1; k < end; k++ {
				for i := 0; i < k; i++ {
					if slices.Contains(s.families, squash(strings.Join(f[i:k], ""))) && slices.Contains(s.givens, squash(strings.Join(f[k:end], ""))) {
						return append(tokens(strings.Join(f[:i], " ")), f[end:]...), true
					}
				}
			}
		}
		return nil, false
	}
	for i := range n.words {
		a := run(n.words[i:], s.families)
		b := run(n.words[i:], s.givens)
		if a > 0 {
			b = run(n.words[i+a:], s.givens)
		} else if b > 0 {
			a = run(n.words[i+b:], s.families)
		}
		if a > 0 && b > 0 {
			return slices.Concat(n.words[:i], n.words[i+a+b:]), true
		}
	}
	return nil, false
}

// run returns how many of the first words make up one of the names; 0 when none does. The
// longest counts.
func run(words, names []string) int {
	joined, found := "", 0
	for i, w := range words {
		if joined += squash(w); i > 5 {
			break
		}
		if slices.Contains(names, joined) {
			found = i + 1
		}
	}
	return found
}

// dated reports whether a date of the name is one of the document, and whether one is of
// neither the document, the message, nor the patient's birth.
func (n fileName) dated(s *described) (known, other bool) {
	for _, d := range n.dates {
		switch {
		case slices.Contains(s.dates, d):
			known = true
		case d != n.sent && d != s.birth:
			other = true
		}
	}
	return known, other && !known
}

// agree compares the telling words of a name with those of a document.
func agree(name, document []string) (all, some, none bool) {
	found, telling := 0, 0
	for _, w := range name {
		if slices.Contains(vague, w) {
			continue
		}
		telling++
		if slices.ContainsFunc(document, func(v string) bool { return akin(w, v) }) {
			found++
		}
	}
	return telling > 0 && found == telling, found*2 >= telling && found > 0, telling > 0 && found == 0
}

// generic reports whether a name says no more than "compte rendu", and the document is one.
func generic(name, document []string) bool {
	return slices.ContainsFunc(meaning(name), func(w string) bool { return slices.Contains(vague, w) && slices.Contains(document, w) })
}

// vague are the words that most kinds of document have in common; silent those that mean
// nothing.
var (
	vague  = []string{"COMPTE", "RENDU", "EXAMEN", "EXAMENS", "MEDICAL", "MEDICALE", "RESULTAT", "RESULTATS", "FICHE"}
	silent = []string{"LES", "DES", "UNE", "POUR", "AVEC", "SUR", "AUX", "PDF", "DOC", "DOCUMENT", "COPIE", "MME", "MLLE", "NEE"}
)

// meaning returns the words that say what a document is: without numbers and articles,
// abbreviations written out.
func meaning(words []string) []string {
	var out []string
	for _, w := range words {
		switch w {
		case "CR":
			out = append(out, "COMPTE", "RENDU")
			continue
		case "CRH":
			out = append(out, "COMPTE", "RENDU", "HOSPITALISATION")
			continue
		}
		for v := range strings.SplitSeq(w, "-") {
			if len(v) >= 3 && !slices.Contains(silent, v) && !strings.ContainsAny(v, "0123456789") {
				out = append(out, v)
			}
		}
	}
	return out
}

// akin reports whether two words have one stem: BIO and BIOLOGIQUES, IMAGERIE and IMAGERIES.
func akin(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) < 3 {
		return false
	}
	n := 0
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n == len(a) || n >= 6
}

// tokens are the words of a text, normalised: letters, digits and the hyphens inside.
func tokens(text string) []string {
	words := strings.FieldsFunc(ins.Normalise(text), func(c rune) bool {
		return (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	})
	out := words[:0]
	for _, w := range words {
		if w = strings.Trim(w, "-"); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// squash writes a name with nothing but its letters and digits.
func squash(name string) string {
	return strings.Map(func(c rune) rune {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return -1
		}
		return c
	}, ins.Normalise(name))
}

// day returns a date of eight digits, YYYYMMDD or DDMMYYYY, as YYYYMMDD; "" for any other.
func day(s string) string {
	if len(s) != 8 {
		return ""
	}
	for _, layout := range []string{"20060102", "02012006"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1900 && t.Year() < 2100 {
			return t.Format("20060102")
		}
	}
	return ""
}

// datesIn returns the dates that a name holds, with or without marks between day, month
// and year.
func datesIn(name string) []string {
	var dates []string
	numbers := strings.FieldsFunc(name, func(c rune) bool { return c < '0' || c > '9' })
	for i, s := range numbers {
		if d := day(s); d != "" {
			dates = append(dates, d)
		} else if i+2 < len(numbers) && len(s)+len(numbers[i+1])+len(numbers[i+2]) == 8 {
			if d := day(s + numbers[i+1] + numbers[i+2]); d != "" {
				dates = append(dates, d)
			}
		}
	}
	return dates
}
