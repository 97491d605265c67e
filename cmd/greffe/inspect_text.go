package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"greffe/pkg/greffe"
)

// reportWidth is where lines of a report are folded.
const reportWidth = 110

// sheet writes a report for a person, line by line. What it shows comes from outside:
// no character of it may drive a terminal or turn the direction of the line.
type sheet struct {
	w   io.Writer
	err error
}

func (s *sheet) line(format string, args ...any) {
	if s.err != nil {
		return
	}
	text := strings.TrimRight(visible(fmt.Sprintf(format, args...)), " ")
	_, s.err = io.WriteString(s.w, text+"\n")
}

// fold writes text in lines of reportWidth, the first behind head, the others as far
// to the right.
func (s *sheet) fold(head, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(head))
	line := head
	empty := true
	for _, word := range strings.Fields(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > reportWidth {
			s.line("%s", line)
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	s.line("%s", line)
}

// visible replaces what a terminal would obey: control characters and those that
// turn the direction of writing.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(text, "·"))
}

// report writes what was read of one file.
func report(w io.Writer, file string, p greffe.Parsed) error {
	s := &sheet{w: w}
	i := inspectionOf(file, p)
	s.line("%s : %s", file, p.Verdict.French())
	what := greffe.PartKind(i.Kind).French()
	if i.Message != nil {
		what = greffe.MessageKind(i.Kind).French()
	}
	s.line("  %s, %s ; %s, %s", what, bytesText(i.Size), count(len(i.Documents), "document"), count(len(i.Parts), "partie"))
	if i.Message != nil {
		reportMessage(s, i.Message)
	}
	for n := range i.Documents {
		reportDocument(s, n+1, &i.Documents[n], &p)
	}
	reportParts(s, p.Parts)
	reportFindings(s, i.Findings)
	return s.err
}

func reportMessage(s *sheet, m *inspectedMessage) {
	field := func(name, value string) {
		if value != "" {
			s.fold(fmt.Sprintf("  %-12s", name), value)
		}
	}
	field("De", boxesText(m.From))
	field("À", boxesText(append(m.To, m.Cc...)))
	field("Objet", m.Subject)
	if !m.Dates.Sent.IsZero() {
		field("Envoyé", momentText(m.Dates.Sent))
	}
	if !m.Dates.Received.IsZero() {
		field("Reçu", momentText(m.Dates.Received))
	}
	field("Message-ID", strings.Join(m.IDs, " "))
	field("Répond à", strings.Join(m.Links.InReplyTo, " "))
	field("Contient", strings.Join(m.Links.Forwarded, " "))
	field("Concerne", strings.Join(m.Links.OriginalIDs, " "))
	field("Accusé à", boxesText(m.ReceiptTo))
	var mss []string
	for _, h := range []struct{ name, value string }{{"NIL", m.XMSS.NIL}, {"CODECDA", strings.Join(m.XMSS.CodeCDA, ",")}, {"INS", m.XMSS.INS}, {"MES", m.XMSS.MES}} {
		if h.value != "" {
			mss = append(mss, h.name+" "+h.value)
		}
	}
	field("X-MSS", strings.Join(mss, ", "))
}

var actionText = map[greffe.Action]string{greffe.ActionNew: "nouveau document", greffe.ActionReplace: "remplace une version précédente", greffe.ActionDelete: "demande de suppression"}

func reportDocument(s *sheet, n int, d *inspectedDocument, p *greffe.Parsed) {
	field := func(name, value string) {
		if value != "" {
			s.fold(fmt.Sprintf("    %-12s", name), value)
		}
	}
	title := d.Title
	if title == "" {
		title = d.Format.French()
	}
	s.line("")
	s.line("  Document %d : %s", n, title)
	field("Verdict", d.Verdict.French())
	if d.Patient != nil {
		field("Patient", patientText(d.Patient))
	} else {
		field("Patient", "le fichier ne le dit pas sous une forme fiable")
	}
	field("Type", codeText(d.Type))
	field("Classe", codeText(d.Class))
	action := actionText[d.Action]
	if d.Version > 0 {
		action += ", version " + strconv.Itoa(d.Version)
	}
	if d.ReplacedID != "" {
		action += ", à la place de " + d.ReplacedID
	}
	field("Action", action)
	field("Identifiant", d.ID)
	if d.SetID != "" {
		field("Série", d.SetID)
	}
	var by []string
	if d.Author != nil {
		by = append(by, strings.Join(strings.Fields(d.Author.Prefix+" "+d.Author.Given+" "+d.Author.Family+" "+d.Author.Device), " "))
	}
	if d.Organisation != nil && d.Organisation.Name != "" {
		by = append(by, d.Organisation.Name)
	}
	field("Auteur", strings.Join(by, ", "))
	field("Créé", hl7Text(d.Created))
	var secret []string
	for i := range d.Confidentiality {
		if d.Confidentiality[i].Code != "N" {
			secret = append(secret, codeText(&d.Confidentiality[i]))
		}
	}
	field("Diffusion", strings.Join(append(secret, d.Masking...), ", "))
	where := fmt.Sprintf("partie %s (%s)", d.SourcePart, d.Format.French())
	if d.BodyPart != "" {
		where += ", à lire dans la partie " + d.BodyPart
	}
	if len(d.TwinParts) > 0 {
		where += " ; copie : partie " + strings.Join(d.TwinParts, ", ")
	}
	field("Fichier", where)
}

func patientText(p *inspectedPatient) string {
	t := p.Traits
	name := strings.Join(strings.Fields(t.BirthFamily+" "+t.Givens), " ")
	if t.Givens == "" {
		name = strings.Join(strings.Fields(t.BirthFamily+" "+t.FirstGiven), " ")
	}
	if t.UsedFamily != "" && t.UsedFamily != t.BirthFamily {
		name = strings.TrimSpace(name + " (utilise " + t.UsedFamily + ")")
	}
	about := []string{name}
	if t.Sex != "" {
		about = append(about, "sexe "+t.Sex)
	}
	if t.BirthDate != "" {
		about = append(about, "date de naissance "+hl7Text(t.BirthDate))
	}
	if t.BirthPlace != "" {
		about = append(about, "lieu "+t.BirthPlace)
	}
	switch {
	case p.INS.Verdict == "none":
		about = append(about, "sans INS")
	default:
		about = append(about, fmt.Sprintf("%s %s : %s", p.INS.Kind, p.INS.Matricule, greffe.Verdict(p.INS.Verdict).French()))
	}
	return strings.Join(about, ", ")
}

// reportParts draws the tree: what is inside an archive or a document stands under it.
func reportParts(s *sheet, parts []greffe.Part) {
	if len(parts) == 0 {
		return
	}
	s.line("")
	s.line("  Parties")
	rows := make([][4]string, 0, len(parts))
	var width [4]int
	for _, p := range parts {
		name := shorten(p.Name, 44)
		if name == "" {
			name = "(" + p.Kind.French() + ")"
		}
		if p.PDF != nil {
			name += " (" + pdfText(p.PDF) + ")"
		}
		row := [4]string{strings.Repeat("  ", strings.Count(p.Path, "!")+strings.Count(p.Path, "#")) + p.Path, name, shorten(p.Detected, 40), bytesText(p.Size)}
		if p.Skipped {
			row[3] = "non lue"
		}
		for k, cell := range row {
			width[k] = max(width[k], utf8.RuneCountInString(visible(cell)))
		}
		rows = append(rows, row)
	}
	for k, p := range parts {
		verdict := p.Verdict.French()
		switch {
		case p.Verdict == greffe.VerdictIgnored:
			verdict = "ignorée : " + p.Reason
			if p.TwinOf != "" {
				verdict += " (partie " + p.TwinOf + ")"
			}
		case p.Declared != "" && p.Declared != p.Detected && p.Declared != "application/octet-stream" && p.Detected != "" && !strings.HasSuffix(p.Detected, "xml"):
			verdict += ", annoncée comme " + p.Declared
		}
		r := rows[k]
		s.line("    %s  %s  %s  %s  %s", pad(r[0], width[0]), pad(r[1], width[1]), pad(r[2], width[2]), padLeft(r[3], width[3]), verdict)
	}
}

// pdfText says in few words what a PDF is: "3 pages, PDF/A-1B, chiffré".
func pdfText(f *greffe.PDF) string {
	facts := []string{count(f.Pages, "page")}
	if f.PDFA != "" {
		facts = append(facts, "PDF/A-"+f.PDFA)
	}
	if f.Encrypted {
		facts = append(facts, "chiffré")
	}
	if f.Signatures > 0 {
		facts = append(facts, "signé")
	}
	return strings.Join(facts, ", ")
}

func reportFindings(s *sheet, findings []inspectedFinding) {
	if len(findings) == 0 {
		return
	}
	s.line("")
	s.line("  Constats")
	for _, f := range findings {
		where := ""
		if f.Where != "" {
			where = "  (partie " + f.Where + ")"
		}
		s.line("    %s  %s%s", pad(f.Severity.French(), 12), f.Rule, where)
		s.fold("                  ", f.Text)
	}
}

func boxesText(list []inspectedBox) string {
	var out []string
	for i, a := range list {
		if i == 5 {
			out = append(out, fmt.Sprintf("et %d autres", len(list)-i))
			break
		}
		if a.Name != "" {
			out = append(out, a.Name+" <"+a.Address+">")
		} else {
			out = append(out, a.Address)
		}
	}
	return strings.Join(out, ", ")
}

func codeText(c *inspectedCode) string {
	if c == nil {
		return ""
	}
	return strings.TrimSpace(c.Label + " (" + c.Code + ")")
}

// hl7Text writes the day, and the hour if there is one, of an HL7 TS.
func hl7Text(ts string) string {
	digits := ts
	if i := strings.IndexAny(ts, ".+-"); i >= 0 {
		digits = ts[:i]
	}
	for _, f := range []struct{ in, out string }{{"20060102150405", "02/01/2006 15:04"}, {"200601021504", "02/01/2006 15:04"}, {"20060102", "02/01/2006"}} {
		if t, err := time.Parse(f.in, digits); err == nil {
			return t.Format(f.out)
		}
	}
	return ts
}

// momentText writes a moment in the time of this machine.
func momentText(t time.Time) string { return t.Local().Format("02/01/2006 15:04 MST") }

func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d o", n)
	case n < 999_500:
		return fmt.Sprintf("%d Ko", (n+500)/1000)
	}
	return strings.Replace(fmt.Sprintf("%.1f Mo", float64(n)/1e6), ".", ",", 1)
}

// count writes a number with its noun: 0 and 1 are singular in French.
func count(n int, noun string) string {
	if n > 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func shorten(text string, limit int) string {
	r := []rune(visible(text))
	if len(r) <= limit {
		return string(r)
	}
	return string(r[:limit-12]) + "…" + string(r[len(r)-11:])
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(visible(text))))
}

func padLeft(text string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(visible(text)))) + text
}
