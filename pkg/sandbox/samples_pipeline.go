package sandbox

import (
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// PipelineMessage returns the i-th mail of a load test: a PDF of about 150 KB and
// the archive with a CDA of level 1 that carries the same PDF. Each i gives another
// document, about one of the patients of KnownPatients; the same i the same bytes.
func PipelineMessage(i int) []byte {
	at := time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC).Add(time.Duration(i) * 20 * time.Second)
	p := Patient(i)
	title := fmt.Sprintf("Compte rendu d'imagerie n° %06d", i)
	set := fmt.Sprintf("%s.900.%d", oidDocuments, i)
	d := CDASpec{
		Document: greffe.Document{
			UniqueID: greffe.OID{Root: set + ".1"}, SetID: greffe.OID{Root: set}, Version: 1, Action: greffe.ActionNew,
			Type: typeImaging, Class: classImaging, FormatCode: formatPDF, Title: title, Language: "fr-FR",
			Created: at.Format(hl7Time), ServiceStart: at.Add(-time.Hour).Format(hl7Time), Event: typeImaging,
			Authors: []greffe.Person{leroux.person}, Facility: leroux.facility, Practice: leroux.practice,
			Confidentiality: []greffe.Code{normal}, Patient: p,
		},
	}
	d.PDF = PDF(title, heading(leroux, p, d), 150_000)
	m := MailSpec{
		ID: fmt.Sprintf("charge.%d@imagerie-rade.example", i), From: leroux.mailbox(), Subject: subjectOf(d), Date: at,
		Text: courtesy(leroux, []CDASpec{d}),
		Attachments: []MailPart{
			attachment(zipType, "IHE_XDM.zip", XDM(archiveOf(at, d))),
			attachment("application/pdf", fmt.Sprintf("%s_imagerie_%s_%s_%06d.pdf", d.ServiceStart[:8], p.BirthFamily, p.FirstGiven, i), d.PDF),
		},
	}
	m.To.Address = MailboxDPI
	return Mail(m)
}
