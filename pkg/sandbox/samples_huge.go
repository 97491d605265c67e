package sandbox

import (
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// HugeMessage returns a mail of about size bytes, never more: one archive with a
// CDA of level 1 that carries a PDF as large as that allows, about a patient of
// KnownPatients. size must be at least 1 MiB.
func HugeMessage(size int) []byte {
	at := time.Date(2026, 11, 2, 6, 0, 0, 0, time.UTC)
	p := Patient(0)
	set := fmt.Sprintf("%s.901.%d", oidDocuments, size)
	d := CDASpec{
		Document: greffe.Document{
			UniqueID: greffe.OID{Root: set + ".1"}, SetID: greffe.OID{Root: set}, Version: 1, Action: greffe.ActionNew,
			Type: typeImaging, Class: classImaging, FormatCode: formatPDF, Title: "Compte rendu d'imagerie très volumineux", Language: "fr-FR",
			Created: at.Format(hl7Time), ServiceStart: at.Add(-time.Hour).Format(hl7Time), Event: typeImaging,
			Authors: []greffe.Person{leroux.person}, Facility: leroux.facility, Practice: leroux.practice,
			Confidentiality: []greffe.Code{normal}, Patient: p,
		},
	}
	// Base64 in the CDA is deflated again to about three quarters and a little
	// more; the mail adds base64 with its line ends.
	d.PDF = PDF(d.Title, heading(leroux, p, d), size/141*100)
	m := MailSpec{
		ID: fmt.Sprintf("charge.enorme.%d@imagerie-rade.example", size), From: leroux.mailbox(), Subject: subjectOf(d), Date: at,
		Text:        courtesy(leroux, []CDASpec{d}),
		Attachments: []MailPart{attachment(zipType, "IHE_XDM.zip", XDM(archiveOf(at, d)))},
	}
	m.To.Address = MailboxDPI
	return Mail(m)
}
