package sandbox

import (
	"fmt"
	"math/rand/v2"
	"net/mail"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Mailboxes of the samples: a service that people read, and one that only
// software reads.
const (
	MailboxService = "cardiologie@ch-exemple.mssante.example"
	MailboxDPI     = "dpi@ch-exemple.mssante.example"
)

// FolderDoctor is a folder of MailboxService beside INBOX.
const FolderDoctor = "INBOX/Dr Martin"

// Sample is a mail as a hospital receives it, with what must become of it.
type Sample struct {
	Name    string // in French, what the sample is about; unique
	Raw     []byte
	Mailbox string // MailboxService or MailboxDPI
	Folder  string // INBOX or FolderDoctor
	At      time.Time
	// Late is set for what arrives when every sample before it has reached its state.
	Late bool
	Want Expectation
}

// Expectation is what must become of a sample when it goes through Greffe with a
// DI that knows KnownPatients, another one for TypeImaging that writes ISO 8859-15, and
// the samples come in their order.
type Expectation struct {
	Kind      greffe.MessageKind
	Verdict   greffe.Verdict // of the message when it was read, before anything is delivered
	State     greffe.State   // of the message in the end
	Documents []greffe.State // of its documents in the end, in their order
	// Open is set when how many documents are shown is not what the sample is
	// about: only Kind and State hold then.
	Open bool
	Rule string // a finding that must be there, on the message, a part or a document; empty for none
	// Same names the sample that carries the same document. When both are read at
	// once, either may come first: one is intégré, the other doublon.
	Same string
}

// SampleOptions says when and with which variations samples are made.
type SampleOptions struct {
	Now  time.Time // samples are dated over the five days before
	Seed uint64    // varies numbers and times; the same seed gives the same bytes
}

// Samples returns the sample mails, oldest first. The same options give the same
// bytes.
func Samples(o SampleOptions) []Sample {
	s := &sampler{rand: rand.New(rand.NewPCG(o.Seed, 7)), seed: o.Seed, now: o.Now.Truncate(time.Second), at: o.Now.Add(-5 * 24 * time.Hour).Truncate(time.Second)}
	s.deliveries()
	s.chains()
	s.passedOn()
	s.untidy()
	s.identities()
	s.files()
	s.wrapped()
	s.untidyDocuments()
	s.robots()
	s.broken()
	s.twins()
	s.outOfStep()
	return s.list
}

// sampler gathers samples.
type sampler struct {
	rand *rand.Rand
	seed uint64
	now  time.Time
	at   time.Time // of the sample being made
	n    int       // documents and mails numbered so far
	list []Sample
}

// tick moves on to the time of the next sample: about an hour and a half later,
// never after now.
func (s *sampler) tick() time.Time {
	s.at = s.at.Add(time.Hour + time.Duration(s.rand.IntN(1800))*time.Second)
	if s.at.After(s.now) {
		s.at = s.now
	}
	return s.at
}

// number returns a new number for ids.
func (s *sampler) number() int { s.n++; return s.n }

// want is the short form of an expectation.
func want(kind greffe.MessageKind, state greffe.State, rule string, documents ...greffe.State) Expectation {
	return Expectation{Kind: kind, Verdict: greffe.VerdictOK, State: state, Rule: rule, Documents: documents}
}

// noted and refused give the verdict of an expectation that is not the usual one.
func noted(e Expectation) Expectation { e.Verdict = greffe.VerdictWarning; return e }

func refused(e Expectation) Expectation { e.Verdict = greffe.VerdictRefused; return e }

// delivered is the expectation of a delivery whose n documents all go in.
func delivered(n int, rule string) Expectation {
	e := want(greffe.KindDelivery, greffe.StateDelivered, rule)
	for range n {
		e.Documents = append(e.Documents, greffe.StateDelivered)
	}
	return e
}

// held is the expectation of a delivery that a person must look at.
func held(rule string, documents ...greffe.State) Expectation {
	e := want(greffe.KindDelivery, greffe.StateTodo, rule, documents...)
	e.Verdict = greffe.VerdictHeld
	return e
}

func (s *sampler) add(name, mailbox, folder string, raw []byte, e Expectation) {
	s.list = append(s.list, Sample{Name: name, Raw: raw, Mailbox: mailbox, Folder: folder, At: s.at, Want: e})
}

// toDPI and toService add a mail to the INBOX of a mailbox.
func (s *sampler) toDPI(name string, m MailSpec, e Expectation) {
	m.To = mail.Address{Name: "DPI CH Exemple", Address: MailboxDPI}
	s.add(name, MailboxDPI, "INBOX", Mail(m), e)
}

func (s *sampler) toService(name string, m MailSpec, e Expectation) {
	m.To = mail.Address{Name: "Cardiologie CH Exemple", Address: MailboxService}
	s.add(name, MailboxService, "INBOX", Mail(m), e)
}

// mail returns a mail of a sender, at the time of a new sample.
func (s *sampler) mail(from sender, subject, text string) MailSpec {
	at := s.tick()
	_, host, _ := strings.Cut(from.address, "@")
	return MailSpec{
		ID:   fmt.Sprintf("%s.%d@%s", at.Format("20060102150405"), s.number(), host),
		From: from.mailbox(), Subject: subject, Date: at, Text: text,
		Header: []string{"X-MSS-NIL: " + from.software},
	}
}

// mailbox returns the From of a sender (ECO.2.2.7: title, given name, family name, entity).
func (f sender) mailbox() mail.Address {
	return mail.Address{Name: fmt.Sprintf("%s %s %s - %s", f.person.Prefix, f.person.Given, f.person.Family, f.person.Organization.Name), Address: f.address}
}

// document returns a new document about p of version 1, without its body.
func (s *sampler) document(from sender, p greffe.Patient, kind, class, format greffe.Code, title string) CDASpec {
	n := s.number()
	at := s.at.Add(-time.Duration(20+s.rand.IntN(300)) * time.Minute)
	set := fmt.Sprintf("%s.%d.%d", oidDocuments, s.seed, n)
	return CDASpec{Document: greffe.Document{
		UniqueID: greffe.OID{Root: set + ".1"}, SetID: greffe.OID{Root: set}, Version: 1, Action: greffe.ActionNew,
		Type: kind, Class: class, FormatCode: format, Title: title, Language: "fr-FR",
		Created: at.Format(hl7Time), ServiceStart: at.Add(-15 * time.Minute).Format(hl7Time), Event: kind,
		Authors: []greffe.Person{from.person}, Facility: from.facility, Practice: from.practice,
		Confidentiality: []greffe.Code{normal}, Patient: p,
	}}
}

// level1 returns a document whose body is a PDF.
func (s *sampler) level1(from sender, p greffe.Patient, kind, class greffe.Code, title string, lines ...string) CDASpec {
	d := s.document(from, p, kind, class, formatPDF, title)
	d.PDF = PDF(title, append(heading(from, p, d), lines...), 20_000)
	return d
}

// next returns the version of d that follows it.
func (s *sampler) next(d CDASpec, title string, lines ...string) CDASpec {
	n := d
	n.Version, n.Action, n.Replaces, n.Title = d.Version+1, greffe.ActionReplace, d.UniqueID, title
	n.UniqueID = greffe.OID{Root: fmt.Sprintf("%s.%d", d.SetID.Root, n.Version)}
	n.Created = s.at.Add(-10 * time.Minute).Format(hl7Time)
	n.PDF = PDF(title, append([]string{fmt.Sprintf("Version %d, annule et remplace la précédente.", n.Version), ""}, lines...), 20_000)
	return n
}

// heading is what a report begins with.
func heading(from sender, p greffe.Patient, d CDASpec) []string {
	return []string{
		from.person.Organization.Name, fmt.Sprintf("%s %s %s", from.person.Prefix, from.person.Given, from.person.Family), "",
		fmt.Sprintf("Patient : %s %s, né(e) le %s", p.BirthFamily, p.FirstGiven, frenchDate(p.BirthDate)),
		"Date de l'acte : " + frenchDate(d.ServiceStart), "",
	}
}

// frenchDate returns the day of an HL7 date as dd/mm/yyyy.
func frenchDate(ts string) string {
	if len(ts) < 8 {
		return ""
	}
	return ts[6:8] + "/" + ts[4:6] + "/" + ts[:4]
}

// archiveOf returns documents as they go into an archive.
func archiveOf(at time.Time, documents ...CDASpec) XDMSpec {
	x := XDMSpec{Time: at}
	for _, d := range documents {
		x.Files = append(x.Files, XDMFile{Facts: d.Document, Data: CDA(d)})
	}
	return x
}

// subjectOf returns the subject of a delivery (domain: ECO.2.1.3).
func subjectOf(d CDASpec) string {
	p := d.Patient
	given := ""
	if p.FirstGiven != "" {
		given = p.FirstGiven[:1] + strings.ToLower(p.FirstGiven[1:])
	}
	return strings.TrimSpace(fmt.Sprintf("XDM/1.0/DDM+%s %s %s %s", d.Title, p.BirthFamily, given, frenchDate(p.BirthDate)))
}

// copyName returns the name of the PDF copy of a document (ECO.2.1.6).
func (s *sampler) copyName(d CDASpec) string {
	title := []rune(d.Type.Label)
	if len(title) > 40 {
		title = title[:40]
	}
	label := strings.NewReplacer("/", "-", "(", "", ")", "").Replace(string(title))
	return fmt.Sprintf("%s_%s_%s_%s_%06d.pdf", d.ServiceStart[:8], label, d.Patient.BirthFamily, d.Patient.FirstGiven, s.rand.IntN(1_000_000))
}

const zipType = "application/zip"

// delivery returns a mail as a conforming sender writes it: the archive, and a
// PDF copy of each document that has one. It does not tick: the documents were
// made for this time.
func (s *sampler) delivery(from sender, documents ...CDASpec) MailSpec {
	d := documents[0]
	var codes []string
	for _, d := range documents {
		if !slices.Contains(codes, d.Type.Code) {
			codes = append(codes, d.Type.Code)
		}
	}
	_, host, _ := strings.Cut(from.address, "@")
	m := MailSpec{
		ID:   fmt.Sprintf("%s.%d@%s", s.at.Format("20060102150405"), s.number(), host),
		From: from.mailbox(), Subject: subjectOf(d), Date: s.at, ReceiptTo: from.address, ReplyTo: from.address,
		Header: []string{"X-MSS-NIL: " + from.software, "X-MSS-CODECDA: " + strings.Join(codes, ","), "X-MSS-INS: " + map[bool]string{true: "O", false: "N"}[!d.Patient.INS.IsZero()]},
		Text:   courtesy(from, documents),
		Attachments: []MailPart{
			attachment(zipType, "IHE_XDM.zip", XDM(archiveOf(s.at, documents...))),
		},
	}
	for _, d := range documents {
		if d.PDF != nil {
			m.Attachments = append(m.Attachments, attachment("application/pdf", s.copyName(d), d.PDF))
		}
	}
	return m
}

// withArchive replaces the archive of a delivery and drops its PDF copies.
func withArchive(m MailSpec, zip []byte) MailSpec {
	m.Attachments = []MailPart{attachment(zipType, "IHE_XDM.zip", zip)}
	return m
}

func courtesy(from sender, documents []CDASpec) string {
	what := "le document suivant"
	if len(documents) > 1 {
		what = "les documents suivants"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Bonjour,\n\nVeuillez trouver ci-joint %s :\n", what)
	for _, d := range documents {
		fmt.Fprintf(&b, " - %s, du %s\n", d.Title, frenchDate(d.ServiceStart))
	}
	fmt.Fprintf(&b, "\nBien confraternellement,\n%s %s %s\n%s\n", from.person.Prefix, from.person.Given, from.person.Family, from.person.Organization.Name)
	return b.String()
}
