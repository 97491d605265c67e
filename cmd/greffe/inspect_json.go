package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
)

// inspection is one file as "greffe inspect --json" tells it. It is a promise to those
// who read it by program (api/inspect.schema.json), so it is mapped from the types of
// the house by hand: a field that is renamed there keeps its name here.
type inspection struct {
	File      string              `json:"file"`
	Reader    string              `json:"reader"`
	Kind      string              `json:"kind"`
	Verdict   greffe.Verdict      `json:"verdict"`
	Size      int64               `json:"size"`
	SHA256    greffe.Digest       `json:"sha256,omitempty"`
	Message   *inspectedMessage   `json:"message,omitempty"`
	Antivirus *inspectedAntivirus `json:"antivirus,omitempty"`
	Documents []inspectedDocument `json:"documents"`
	Parts     []inspectedPart     `json:"parts"`
	Findings  []inspectedFinding  `json:"findings"`
}

type inspectedMessage struct {
	IDs           []string       `json:"ids"`
	Dates         inspectedDates `json:"dates"`
	From          []inspectedBox `json:"from"`
	To            []inspectedBox `json:"to"`
	Cc            []inspectedBox `json:"cc"`
	ReplyTo       []inspectedBox `json:"reply_to"`
	ReturnPath    string         `json:"return_path,omitempty"`
	Subject       string         `json:"subject"`
	XDMMarker     bool           `json:"xdm_marker"`
	XMSS          inspectedXMSS  `json:"x_mss"`
	Links         inspectedLinks `json:"links"`
	ReceiptTo     []inspectedBox `json:"receipt_to"`
	AutoSubmitted string         `json:"auto_submitted,omitempty"`
}

type inspectedAntivirus struct {
	Engine   string    `json:"engine"`
	Base     string    `json:"base,omitempty"`
	BaseDate time.Time `json:"base_date,omitzero"`
}

type inspectedDates struct {
	Sent     time.Time `json:"sent,omitzero"`
	Received time.Time `json:"received,omitzero"`
}

type inspectedBox struct {
	Name    string `json:"name,omitempty"`
	Address string `json:"address"`
}

type inspectedXMSS struct {
	CodeCDA []string `json:"codecda"`
	INS     string   `json:"ins,omitempty"`
	NIL     string   `json:"nil,omitempty"`
	MES     string   `json:"mes,omitempty"`
}

type inspectedLinks struct {
	InReplyTo   []string `json:"in_reply_to"`
	References  []string `json:"references"`
	Forwarded   []string `json:"forwarded"`
	OriginalIDs []string `json:"original_ids"`
}

type inspectedPart struct {
	Path         string             `json:"path"`
	Name         string             `json:"name,omitempty"`
	DeclaredType string             `json:"declared_type,omitempty"`
	DetectedType string             `json:"detected_type,omitempty"`
	Kind         greffe.PartKind    `json:"kind"`
	Size         int64              `json:"size"`
	SHA256       greffe.Digest      `json:"sha256,omitempty"`
	Verdict      greffe.Verdict     `json:"verdict"`
	Reason       string             `json:"reason,omitempty"`
	TwinOf       string             `json:"twin_of,omitempty"`
	Read         bool               `json:"read"`
	PDF          *inspectedPDF      `json:"pdf,omitempty"`
	Findings     []inspectedFinding `json:"findings"`
}

type inspectedPDF struct {
	Pages      int    `json:"pages"`
	Version    string `json:"version,omitempty"`
	PDFA       string `json:"pdfa,omitempty"`
	Encrypted  bool   `json:"encrypted"`
	Signatures int    `json:"signatures"`
}

type inspectedDocument struct {
	ID              string            `json:"id,omitempty"`
	Version         int               `json:"version,omitempty"`
	SetID           string            `json:"set_id,omitempty"`
	Action          greffe.Action     `json:"action"`
	ReplacedID      string            `json:"replaced_id,omitempty"`
	Format          greffe.Format     `json:"format"`
	Level           int               `json:"level,omitempty"`
	Type            *inspectedCode    `json:"type,omitempty"`
	Class           *inspectedCode    `json:"class,omitempty"`
	Title           string            `json:"title,omitempty"`
	Created         string            `json:"created,omitempty"`
	Author          *inspectedAuthor  `json:"author,omitempty"`
	OtherAuthors    []inspectedAuthor `json:"other_authors,omitempty"`
	Organisation    *inspectedOrg     `json:"organisation,omitempty"`
	Patient         *inspectedPatient `json:"patient,omitempty"`
	Confidentiality []inspectedCode   `json:"confidentiality"`
	Masking         []string          `json:"masking"`
	SourcePart      string            `json:"source_part"`
	BodyPart        string            `json:"body_part,omitempty"`
	TwinParts       []string          `json:"twin_parts"`
	MediaType       string            `json:"media_type,omitempty"`
	Verdict         greffe.Verdict    `json:"verdict"`
}

type inspectedCode struct {
	Code   string `json:"code"`
	Label  string `json:"label,omitempty"`
	System string `json:"system,omitempty"`
}

type inspectedID struct {
	OID   string `json:"oid"`
	Value string `json:"value,omitempty"`
}

type inspectedAuthor struct {
	ID        *inspectedID   `json:"id,omitempty"`
	Prefix    string         `json:"prefix,omitempty"`
	Family    string         `json:"family,omitempty"`
	Given     string         `json:"given,omitempty"`
	Specialty *inspectedCode `json:"specialty,omitempty"`
	Device    string         `json:"device,omitempty"`
}

type inspectedOrg struct {
	ID   *inspectedID `json:"id,omitempty"`
	Name string       `json:"name,omitempty"`
}

type inspectedPatient struct {
	IDs    []inspectedID   `json:"ids"`
	INS    inspectedINS    `json:"ins"`
	Traits inspectedTraits `json:"traits"`
}

type inspectedINS struct {
	Matricule string `json:"matricule,omitempty"`
	OID       string `json:"oid,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Verdict   string `json:"verdict"`
}

type inspectedTraits struct {
	BirthFamily string `json:"birth_family,omitempty"`
	UsedFamily  string `json:"used_family,omitempty"`
	FirstGiven  string `json:"first_given,omitempty"`
	Givens      string `json:"givens,omitempty"`
	UsedGiven   string `json:"used_given,omitempty"`
	Sex         string `json:"sex,omitempty"`
	BirthDate   string `json:"birth_date,omitempty"`
	BirthPlace  string `json:"birth_place,omitempty"`
	Complete    bool   `json:"complete"`
}

type inspectedFinding struct {
	Rule     string          `json:"rule"`
	Severity greffe.Severity `json:"severity"`
	Text     string          `json:"text"`
	Where    string          `json:"where,omitempty"`
}

// inspectionOf maps what was read of a file.
func inspectionOf(file string, p greffe.Parsed) inspection {
	out := inspection{
		File: file, Reader: p.Parser, Kind: kindOf(p), Verdict: p.Verdict, Size: p.Received.Size, SHA256: p.Received.SHA256,
		Documents: []inspectedDocument{}, Parts: []inspectedPart{}, Findings: findingsOf(everyFinding(p)),
	}
	if p.Message.Kind != "" {
		out.Message = messageOf(p)
	}
	for i := range p.Documents {
		out.Documents = append(out.Documents, documentOf(&p.Documents[i]))
	}
	if a := p.Antivirus; a != nil {
		out.Antivirus = &inspectedAntivirus{Engine: a.Engine, Base: a.Base, BaseDate: a.BaseDate}
	}
	for _, part := range p.Parts {
		var facts *inspectedPDF
		if f := part.PDF; f != nil {
			facts = &inspectedPDF{Pages: f.Pages, Version: f.Version, PDFA: f.PDFA, Encrypted: f.Encrypted, Signatures: f.Signatures}
		}
		out.Parts = append(out.Parts, inspectedPart{
			Path: part.Path, Name: part.Name, DeclaredType: part.Declared, DetectedType: part.Detected, Kind: part.Kind, Size: part.Size,
			SHA256: part.SHA256, Verdict: part.Verdict, Reason: part.Reason, TwinOf: part.TwinOf, Read: !part.Skipped, PDF: facts, Findings: findingsOf(part.Findings),
		})
	}
	return out
}

// kindOf says what a file is: the sort of mail, or what it is by its content.
func kindOf(p greffe.Parsed) string {
	if p.Message.Kind != "" {
		return string(p.Message.Kind)
	}
	if len(p.Parts) == 0 {
		return string(greffe.PartOther)
	}
	return string(p.Parts[0].Kind)
}

func messageOf(p greffe.Parsed) *inspectedMessage {
	m := p.Message
	out := &inspectedMessage{
		IDs: list(m.MessageIDs), From: boxes(m.From), To: boxes(m.To), Cc: boxes(m.Cc), ReplyTo: boxes(m.ReplyTo), ReturnPath: m.ReturnPath,
		Dates: inspectedDates{Sent: m.Date}, Subject: m.Subject, XDMMarker: m.XDMMarker, ReceiptTo: boxes(m.ReceiptTo), AutoSubmitted: m.AutoSubmit,
		XMSS:  inspectedXMSS{CodeCDA: list(m.MSSCodeCDA), INS: m.MSSINS, NIL: m.MSSNIL, MES: m.MSSMES},
		Links: inspectedLinks{InReplyTo: list(m.InReplyTo), References: list(m.References), Forwarded: []string{}, OriginalIDs: list(m.OriginalIDs)},
	}
	if len(m.MessageIDs) > 1 { // the mail's own comes first, then those of the mails inside it
		out.IDs, out.Links.Forwarded = m.MessageIDs[:1], m.MessageIDs[1:]
	}
	if p.Received.Origin.Mailbox != "" { // of an archived message; a file has no such date
		out.Dates.Received = p.Received.Origin.InternalDate
	}
	return out
}

func documentOf(d *greffe.Document) inspectedDocument {
	out := inspectedDocument{
		ID: id(d.UniqueID), Version: max(0, d.Version), SetID: id(d.SetID), Action: d.Action, ReplacedID: id(d.Replaces), Format: d.Format,
		Type: code(d.Type), Class: code(d.Class), Title: d.Title, Created: d.Created, Confidentiality: []inspectedCode{}, Masking: []string{},
		SourcePart: d.Part, BodyPart: d.Body, TwinParts: list(d.Twins), MediaType: d.MediaType, Verdict: d.Verdict, Organisation: organisationOf(d),
	}
	switch d.Format {
	case greffe.FormatCDA1:
		out.Level = 1
	case greffe.FormatCDA3:
		out.Level = 3
	}
	for i, a := range d.Authors {
		author := inspectedAuthor{ID: identifier(a.ID), Prefix: a.Prefix, Family: a.Family, Given: a.Given, Specialty: code(a.Specialty), Device: a.Device}
		if i == 0 {
			out.Author = &author
			continue
		}
		out.OtherAuthors = append(out.OtherAuthors, author)
	}
	for _, c := range d.Confidentiality {
		switch c.Code {
		case greffe.MaskedToProfessionals, greffe.HiddenFromPatient, greffe.HiddenFromGuardians:
			out.Masking = append(out.Masking, c.Code)
		default:
			out.Confidentiality = append(out.Confidentiality, inspectedCode{Code: c.Code, Label: c.Label, System: c.System})
		}
	}
	if p := d.Patient; !p.IsZero() {
		out.Patient = &inspectedPatient{
			IDs: []inspectedID{}, INS: inspectedINS{Matricule: p.INS.Extension, OID: p.INS.Root, Kind: string(ins.KindOf(p.INS.Root)), Verdict: insVerdict(d)},
			Traits: inspectedTraits{BirthFamily: p.BirthFamily, UsedFamily: p.UsedFamily, FirstGiven: p.FirstGiven, Givens: p.Givens, UsedGiven: p.UsedGiven,
				Sex: p.Sex, BirthDate: p.BirthDate, BirthPlace: p.BirthPlace, Complete: p.HasTraits()},
		}
		for _, i := range p.IDs {
			out.Patient.IDs = append(out.Patient.IDs, inspectedID{OID: i.Root, Value: i.Extension})
		}
	}
	return out
}

// organisationOf is that of the first author who has one, else the custodian.
func organisationOf(d *greffe.Document) *inspectedOrg {
	org := d.Custodian
	for _, a := range d.Authors {
		if a.Organization.Name != "" || !a.Organization.ID.IsZero() {
			org = a.Organization
			break
		}
	}
	if org.Name == "" && org.ID.IsZero() {
		return nil
	}
	return &inspectedOrg{ID: identifier(org.ID), Name: org.Name}
}

// insVerdict sums up what was found about the identity of the patient: "none" without
// an INS, else a verdict.
func insVerdict(d *greffe.Document) string {
	if d.Patient.INS.IsZero() {
		return "none"
	}
	var about []greffe.Finding
	for _, f := range d.Findings {
		if strings.HasPrefix(f.Rule, "ins.") && !slices.Contains(registerRules, f.Rule) {
			about = append(about, f)
		}
	}
	return string(greffe.VerdictOf(about))
}

// registerRules are those of package ins that speak of professionals and structures.
var registerRules = []string{"ins.rpps", "ins.adeli", "ins.finess", "ins.siren", "ins.siret", "ins.national", "ins.structure"}

// everyFinding returns each finding once, the gravest first.
func everyFinding(p greffe.Parsed) []greffe.Finding {
	var all []greffe.Finding
	add := func(findings []greffe.Finding) {
		for _, f := range findings {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	add(p.Findings)
	for _, d := range p.Documents {
		add(d.Findings)
	}
	for _, part := range p.Parts {
		add(part.Findings)
	}
	slices.SortStableFunc(all, func(a, b greffe.Finding) int { return cmp.Compare(gravity[b.Severity], gravity[a.Severity]) })
	return all
}

var gravity = map[greffe.Severity]int{greffe.Info: 0, greffe.Warning: 1, greffe.Hold: 2, greffe.Refuse: 3}

func findingsOf(findings []greffe.Finding) []inspectedFinding {
	out := make([]inspectedFinding, 0, len(findings))
	for _, f := range findings {
		out = append(out, inspectedFinding{Rule: f.Rule, Severity: f.Severity, Text: f.Text, Where: f.Where})
	}
	return out
}

// list returns s, and never null in JSON.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func boxes(addresses []greffe.Address) []inspectedBox {
	out := make([]inspectedBox, 0, len(addresses))
	for _, a := range addresses {
		out = append(out, inspectedBox{Name: a.Name, Address: a.Address})
	}
	return out
}

func id(o greffe.OID) string {
	if o.IsZero() {
		return ""
	}
	return o.String()
}

func identifier(o greffe.OID) *inspectedID {
	if o.IsZero() {
		return nil
	}
	return &inspectedID{OID: o.Root, Value: o.Extension}
}

func code(c greffe.Code) *inspectedCode {
	if c == (greffe.Code{}) {
		return nil
	}
	return &inspectedCode{Code: c.Code, Label: c.Label, System: c.System}
}
