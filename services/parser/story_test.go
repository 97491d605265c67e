package parser

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/sandbox"
)

var (
	someDay   = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	structure = greffe.Org{ID: greffe.OID{Root: "1.2.250.1.71.4.2.2", Extension: "1990000010"}, Name: "Laboratoire des Essais"}
	author    = greffe.Person{ID: greffe.OID{Root: "1.2.250.1.71.4.2.1", Extension: "899900000011"}, Family: "MARTEL", Given: "Yvon", Prefix: "DR",
		Specialty: greffe.Code{Code: "G15_10/SM03", System: "1.2.250.1.213.1.1.4.5", Label: "Médecin"}, Organization: structure}
)

// facts are those of document n of patient i.
func facts(i, n int) greffe.Document {
	return greffe.Document{
		UniqueID: greffe.OID{Root: fmt.Sprintf("1.2.3.4.%d.%d.1", i, n)}, SetID: greffe.OID{Root: fmt.Sprintf("1.2.3.4.%d.%d", i, n)}, Version: 1,
		Action: greffe.ActionNew, Type: greffe.Code{Code: "11502-2", System: "2.16.840.1.113883.6.1", Label: "CR d'examens biologiques"},
		Class:      greffe.Code{Code: "10", System: "1.2.250.1.213.1.1.4.1", Label: "Compte rendu"},
		FormatCode: greffe.Code{Code: "urn:ihe:iti:xds-sd:pdf:2008", System: "1.2.250.1.213.1.1.4.12", Label: "PDF"},
		Title:      "Compte rendu", Created: "20261120100000+0100", ServiceStart: "20261120100000+0100", ServiceStop: "20261120100000+0100",
		Authors: []greffe.Person{author}, Patient: sandbox.Patient(i),
		Facility: greffe.Code{Code: "SA25", System: "1.2.250.1.71.4.2.4", Label: "Laboratoire"}, Practice: greffe.Code{Code: "ETABLISSEMENT", System: "1.2.250.1.213.1.1.4.9", Label: "ES"},
		Confidentiality: []greffe.Code{{Code: "N", System: "2.16.840.1.113883.5.25", Label: "Normal"}},
	}
}

func level1(d greffe.Document, pdf []byte) sandbox.XDMFile {
	return sandbox.XDMFile{Facts: d, Data: sandbox.CDA(sandbox.CDASpec{Document: d, PDF: pdf})}
}

func level3(d greffe.Document) sandbox.XDMFile {
	const body = `<component><section><title>Résultats</title><text>Glycémie</text></section></component>`
	return sandbox.XDMFile{Facts: d, Data: sandbox.CDA(sandbox.CDASpec{Document: d, Sections: body})}
}

func archived(files ...sandbox.XDMFile) attachment {
	return xdmFile(sandbox.XDM(sandbox.XDMSpec{Files: files, Time: someDay}))
}

// outcome writes a result in lines, for comparison: documents, then parts.
func outcome(out greffe.Parsed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", out.Message.Kind)
	for _, d := range out.Documents {
		var grave []string
		for _, f := range d.Findings {
			if f.Severity == greffe.Hold || f.Severity == greffe.Refuse {
				grave = append(grave, f.Rule)
			}
		}
		slices.Sort(grave)
		fmt.Fprintf(&b, "doc %s %s %s %s", d.Part, d.Format, d.Action, d.Verdict)
		if d.Body != "" {
			fmt.Fprintf(&b, " body=%s", d.Body)
		}
		if len(d.Twins) > 0 {
			fmt.Fprintf(&b, " twins=%s", strings.Join(d.Twins, ","))
		}
		fmt.Fprintf(&b, " %s\n", strings.Join(slices.Compact(grave), ","))
	}
	for _, p := range out.Parts {
		if strings.Contains(p.Path, "!") && p.Verdict == greffe.VerdictIgnored && p.TwinOf == "" {
			continue // README and the like
		}
		fmt.Fprintf(&b, "%s %s %s", p.Path, p.Kind, p.Verdict)
		if p.TwinOf != "" {
			fmt.Fprintf(&b, " =%s", p.TwinOf)
		}
		if p.Skipped {
			b.WriteString(" skipped")
		}
		b.WriteString("\n")
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

// TestStories tells what becomes of the messages that a mailbox receives.
func TestStories(t *testing.T) {
	t.Parallel()
	pdf := sandbox.PDF("Compte rendu", []string{"Glycémie"}, 0)
	otherPDF := sandbox.PDF("Autre", []string{"Autre"}, 0)
	one := level1(facts(1, 1), pdf)
	family := facts(1, 1).Patient.BirthFamily
	archive := archived(one)
	png := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 3000)...)
	change := func(d greffe.Document, f func(*greffe.Document)) greffe.Document { f(&d); return d }
	metadata := func(old, new string) attachment {
		return xdmFile(sandbox.XDM(sandbox.XDMSpec{Files: []sandbox.XDMFile{one}, Time: someDay, Metadata: func(x []byte) []byte {
			if !bytes.Contains(x, []byte(old)) {
				t.Errorf("METADATA.XML has no %q", old)
			}
			return bytes.ReplaceAll(x, []byte(old), []byte(new))
		}}))
	}
	var series []string
	for i := range 30 {
		series = append(series, fmt.Sprintf("I%d.pdf", i), fmt.Sprintf("%%PDF-1.4 %d", i))
	}
	inner := func(headers string, parts ...attachment) attachment {
		return attachment{media: "message/rfc822", data: mail(headers, parts...)}
	}

	winmail := func(data []byte) attachment {
		return attachment{name: "winmail.dat", media: "application/ms-tnef", data: data}
	}

	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"level 1 and its PDF": {mail("Subject: XDM/1.0/DDM+CR\r\n", archive, pdfFile("a.pdf", pdf)), `delivery
			doc 2!3 cda-n1 new ok body=2!3#0 twins=3
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			2!3#0 pdf ok
			3 pdf ignored =2!3#0`},
		"level 1 and another PDF": {mail("", archive, pdfFile("a.pdf", otherPDF)), `delivery
			doc 2!3 cda-n1 new ok body=2!3#0
			doc 3 pdf new held parser.pdf
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			2!3#0 pdf ok
			3 pdf held`},
		"level 3 and its rendering": {mail("", archived(level3(facts(1, 1))), pdfFile("20261120_CR_"+family+"_ALAIN_1.pdf", otherPDF)), `delivery
			doc 2!3 cda-n3 new ok twins=3
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			3 pdf ignored =2!3`},
		"level 3 and a PDF of someone else": {mail("", archived(level3(facts(1, 1))), pdfFile("20261120_CR_MARTIN_ANNE_1.pdf", otherPDF)), `delivery
			doc 2!3 cda-n3 new ok
			doc 3 pdf new held parser.pdf.patient
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			3 pdf held`},
		"level 3 and two PDFs": {mail("", archived(level3(facts(1, 1))), pdfFile(family+".pdf", pdf), pdfFile(family+" 2.pdf", otherPDF)), `delivery
			doc 2!3 cda-n3 new ok
			doc 3 pdf new held parser.pdf
			doc 4 pdf new held parser.pdf
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			3 pdf held
			4 pdf held`},
		"two documents": {mail("", archived(one, level3(facts(1, 2)))), `delivery
			doc 2!3 cda-n1 new ok body=2!3#0
			doc 2!4 cda-n3 new ok
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			2!3#0 pdf ok
			2!4 cda ok`},
		"two patients in two archives": {mail("", archive, archived(level3(facts(2, 1)))), `delivery
			doc 2!3 cda-n1 new held body=2!3#0 parser.patients
			doc 3!3 cda-n3 new held parser.patients
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda held
			2!3#0 pdf ok
			3 xdm ok
			3!2 metadata ok
			3!3 cda held`},
		"the archive twice": {mail("", archive, archive), `delivery
			doc 2!3 cda-n1 new ok body=2!3#0 twins=3
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			2!3#0 pdf ok
			3 xdm ignored =2`},
		"the CDA beside its archive": {mail("", attachment{name: "cr.xml", media: "text/xml", data: one.Data}, archive), `delivery
			doc 3!3 cda-n1 new ok body=3!3#0 twins=2
			1 text ignored
			2 cda ignored =3!3
			2#0 pdf ignored =3!3#0
			3 xdm ok
			3!2 metadata ok
			3!3 cda ok
			3!3#0 pdf ok`},
		"a bare CDA": {mail("", attachment{name: "cr.bin", media: "application/octet-stream", data: one.Data}), `delivery
			doc 2 cda-n1 new warning body=2#0
			1 text ignored
			2 cda warning
			2#0 pdf ok`},
		"replacement": {mail("", archived(level3(change(facts(1, 1), func(d *greffe.Document) {
			d.UniqueID.Root, d.Version, d.Action, d.Replaces = "1.2.3.4.1.1.2", 2, greffe.ActionReplace, greffe.OID{Root: "1.2.3.4.1.1.1"}
		})))), `delivery
			doc 2!3 cda-n3 replace ok
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok`},
		"deletion": {mail("", archived(level3(change(facts(1, 1), func(d *greffe.Document) { d.Action = greffe.ActionDelete })))), `delivery
			doc 2!3 cda-n3 delete ok
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok`},
		"masked": {mail("", archived(level3(change(facts(1, 1), func(d *greffe.Document) {
			d.Confidentiality = append(d.Confidentiality, greffe.Code{Code: "MASQUE_PS", System: "1.2.250.1.213.1.1.4.13", Label: "Masqué"})
		})))), `delivery
			doc 2!3 cda-n3 new held parser.masked
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda held`},
		"no INS": {mail("", archived(level3(change(facts(1, 1), func(d *greffe.Document) {
			d.Patient.IDs, d.Patient.INS = []greffe.OID{{Root: "1.2.3.4.567.8.9.10", Extension: "42"}}, greffe.OID{}
		})))), `delivery
			doc 2!3 cda-n3 new held ins.missing
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda held`},
		"metadata of another patient": {mail("", metadata(sandbox.Patient(1).INS.Extension, sandbox.Patient(2).INS.Extension)), `delivery
			doc 2!3 cda-n1 new held body=2!3#0 ins.conflict,xdm.cda.patient
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda held
			2!3#0 pdf ok`},
		"changed on the way": {mail("", metadata(fmt.Sprintf("%X", sha1.Sum(one.Data)), strings.Repeat("0A", 20)), pdfFile("a.pdf", pdf)), `delivery
			doc 2!3 cda-n1 new refused body=2!3#0 twins=3 xdm.hash
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda refused
			2!3#0 pdf ok
			3 pdf ignored =2!3#0`},
		"a document that is not there": {mail("", archived(one, sandbox.XDMFile{Facts: facts(1, 2)})), `delivery
			doc 2 unknown new refused xdm.document
			doc 2!3 cda-n1 new ok body=2!3#0
			1 text ignored
			2 xdm refused
			2!2 metadata ok
			2!3 cda ok
			2!3#0 pdf ok`},
		"no metadata": {mail("", xdmFile(zipOf(t, "IHE_XDM/SUBSET01/DOC0001.XML", string(one.Data))), pdfFile("a.pdf", pdf)), `delivery
			doc 2 unknown new refused xdm.metadata
			doc 3 pdf new held parser.pdf
			1 text ignored
			2 xdm refused
			3 pdf held`},
		"plain PDF named as bytes": {mail("", attachment{name: "fichier.tout.pdf", media: "application/octet-stream", data: pdf}), `delivery
			doc 2 pdf new held parser.pdf
			1 text ignored
			2 pdf held`},
		"inline PDF without a name": {mail("", attachment{media: "application/pdf", headers: "Content-Disposition: inline\r\n", data: pdf}), `delivery
			doc 2 pdf new held parser.pdf
			1 text ignored
			2 pdf held`},
		"the same PDF twice": {mail("", pdfFile("a.pdf", pdf), pdfFile("b.pdf", pdf)), `delivery
			doc 2 pdf new held twins=3 parser.pdf
			1 text ignored
			2 pdf held
			3 pdf ignored =2`},
		"logo, card, signature": {mail("", attachment{media: "image/png", headers: "Content-ID: <logo>\r\nContent-Disposition: inline; filename=logo.png\r\n", data: png},
			attachment{name: "moi.vcf", media: "text/vcard", data: []byte("BEGIN:VCARD\r\nEND:VCARD\r\n")},
			attachment{name: "smime.p7s", media: "application/pkcs7-signature", data: []byte("\x30\x80")}), `text
			1 text ignored
			2 image ignored
			3 other ignored
			4 signature ignored`},
		"attached image": {mail("", attachment{name: "scan.png", media: "image/png", data: png}), `delivery
			doc 2 image new held parser.image
			1 text ignored
			2 image held`},
		"HPRIM by its name": {mail("", attachment{name: "resultat.hpr", media: "text/plain", data: []byte("ESSAI\r\nMAELLE\r\n")}), `delivery
			doc 2 hprim new held parser.hprim
			1 text ignored
			2 hprim held`},
		"HPRIM by its end": {mail("", attachment{name: "r.txt", media: "text/plain", data: append(bytes.Repeat([]byte("ligne\r\n"), 10000), "****FIN****\r\n"...)}), `delivery
			doc 2 hprim new held parser.hprim
			1 text ignored
			2 hprim held`},
		"uuencode in the text": {[]byte("From: a@b.example\nSubject: x\n\nBonjour\n\nbegin 644 cr.txt\n#0V%T\n`\nend\n"), `delivery
			doc 1!0 text new held parser.text
			1 text ignored
			1!0 text held`},
		"yEnc in the text": {[]byte("From: a@b.example\nSubject: x\n\n=ybegin line=128 size=3 name=cr.pdf\nabc\n=yend size=3\n"), `delivery
			doc 1 unknown new held parser.yenc
			1 other held`},
		"a sentence like uuencode": {[]byte("From: a@b.example\nSubject: x\n\nbegin 600 mg de paracétamol\n"), `text
			1 text ignored`},
		"attached text": {mail("", attachment{name: "notes.txt", media: "text/plain", data: []byte("à lire")}), `delivery
			doc 2 text new held parser.text
			1 text ignored
			2 text held`},
		"Word": {mail("", attachment{name: "cr.docx", media: "application/octet-stream", data: zipOf(t, "[Content_Types].xml", "x", "word/document.xml", "x")}), `delivery
			doc 2 unknown new held parser.unknown
			1 text ignored
			2 other held`},
		"winmail.dat": {mail("", attachment{name: "winmail.dat", media: "application/ms-tnef", data: []byte("\x78\x9f\x3e\x22abc")}), `delivery
			doc 2 unknown new held eml.tnef,parser.tnef
			1 text ignored
			2 other held`},
		"archive and its PDF in winmail.dat": {mail("", winmail(sandbox.TNEF("Bonjour", "", nil,
			sandbox.TNEFFile{Name: "IHE_XDM.ZIP", Data: archive.data}, sandbox.TNEFFile{Name: "cr.pdf", Data: pdf}))), `delivery
			doc 2!0!3 cda-n1 new ok body=2!0!3#0 twins=2!1
			1 text ignored
			2 other ignored
			2!0 xdm ok
			2!0!2 metadata ok
			2!0!3 cda ok
			2!0!3#0 pdf ok
			2!1 pdf ignored =2!0!3#0`},
		"a mail in winmail.dat": {mail("", winmail(sandbox.TNEF("", "<p>x</p>", nil,
			sandbox.TNEFFile{Name: "TR CR", Mail: true, Data: sandbox.TNEF("Bonjour", "", nil, sandbox.TNEFFile{Name: "cr.pdf", Data: pdf})}))), `delivery
			doc 2!0!0 pdf new held parser.pdf
			1 text ignored
			2 other ignored
			2!0!0 pdf held`},
		"a winmail.dat that was cut": {mail("", winmail(sandbox.TNEF("", "", nil, sandbox.TNEFFile{Name: "cr.pdf", Data: pdf})[:800])), `delivery
			doc 2 unknown new held eml.tnef
			doc 2!0 pdf new held eml.tnef,parser.pdf
			1 text ignored
			2 other held
			2!0 pdf held`},
		"texts in winmail.dat": {mail("", winmail(sandbox.TNEF("Bonjour", "<p>Bonjour</p>", nil))), `text
			1 text ignored
			2 other ignored`},
		"a program": {mail("", attachment{name: "cr.pdf", media: "application/pdf", data: []byte("MZ\x90\x00program")}), `delivery
			doc 2 unknown new held parser.program
			1 text ignored
			2 other held`},
		"empty attachment": {mail("", pdfFile("a.pdf", nil)), `delivery
			doc 2 unknown new held parser.empty
			1 text ignored
			2 empty held`},
		"a broken archive": {mail("", xdmFile([]byte("PK\x03\x04 abîmée"))), `delivery
			doc 2 unknown new refused parser.archive,xdm.truncated
			1 text ignored
			2 zip refused`},
		"files in a plain archive": {mail("", attachment{name: "docs.zip", media: "application/zip", data: zipOf(t, "a.pdf", string(pdf), "b.xml", string(one.Data), "dir/c.txt", "x")}), `delivery
			doc 2!1 cda-n1 new warning body=2!1#0 twins=2!0
			doc 2!2 text new held parser.text
			1 text ignored
			2 zip ignored
			2!0 pdf ignored =2!1#0
			2!1 cda warning
			2!1#0 pdf ok
			2!2 text held`},
		"a damaged file in an archive": {mail("", attachment{name: "docs.zip", media: "application/zip",
			data: bytes.Replace(stored(t, "a.txt", "abc", "b.txt", "def"), []byte("def"), []byte("dxf"), 1)}), `delivery
			doc 2 unknown new refused parser.entry
			doc 2!0 text new held parser.text
			1 text ignored
			2 zip refused
			2!0 text held
			2!1 text refused skipped`},
		"a series of images": {mail("", attachment{name: "dicom.zip", media: "application/zip", data: zipOf(t, series...)}), `delivery
			doc 2 unknown new held parser.archive
			1 text ignored
			2 zip held`},
		"archive in an archive": {mail("", attachment{name: "docs.zip", media: "application/zip", data: zipOf(t, "IHE_XDM.ZIP", string(archive.data))}), `delivery
			doc 2!0!3 cda-n1 new ok body=2!0!3#0
			1 text ignored
			2 zip ignored
			2!0 xdm ok
			2!0!2 metadata ok
			2!0!3 cda ok
			2!0!3#0 pdf ok`},
		"archive in an archive, beside itself": {mail("", archive, attachment{name: "docs.zip", media: "application/zip", data: zipOf(t, "IHE_XDM.ZIP", string(archive.data), "b.pdf", string(otherPDF))}), `delivery
			doc 2!3 cda-n1 new ok body=2!3#0 twins=3!0
			doc 3!1 pdf new held parser.pdf
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			2!3#0 pdf ok
			3 zip ignored
			3!0 xdm ignored =2
			3!1 pdf held`},
		"archive in an XDM archive": {mail("", xdmFile(sandbox.XDM(sandbox.XDMSpec{Files: []sandbox.XDMFile{one}, Time: someDay,
			Extra: []sandbox.ZipEntry{{Name: "IHE_XDM/SUBSET01/AUTRE.ZIP", Data: archived(level3(facts(1, 2))).data}}}))), `delivery
			doc 2!3 cda-n1 new ok body=2!3#0
			doc 2!4!3 cda-n3 new warning
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			2!3#0 pdf ok
			2!4 xdm warning
			2!4!2 metadata ok
			2!4!3 cda warning`},
		"archive in an archive in an archive": {mail("", attachment{name: "docs.zip", media: "application/zip", data: zipOf(t, "envoi.zip", string(zipOf(t, "IHE_XDM.ZIP", string(archive.data))))}), `delivery
			doc 2!0!0 unknown new held parser.nested-zip
			1 text ignored
			2 zip ignored
			2!0!0 zip held`},
		"a broken archive in an archive": {mail("", attachment{name: "docs.zip", media: "application/zip", data: zipOf(t, "IHE_XDM.ZIP", "PK\x03\x04 abîmée")}), `delivery
			doc 2!0 unknown new refused parser.archive,xdm.truncated
			1 text ignored
			2 zip ignored
			2!0 zip refused`},
		"forward as attachment": {mail("Subject: TR: CR\r\n", inner("Subject: XDM/1.0/DDM+CR\r\n", archive)), `forward
			doc 2.2!3 cda-n1 new ok body=2.2!3#0
			1 text ignored
			2.1 text ignored
			2.2 xdm ok
			2.2!2 metadata ok
			2.2!3 cda ok
			2.2!3#0 pdf ok`},
		"reply that still carries the archive": {mail("Subject: RE: CR\r\nIn-Reply-To: <0@ch.example>\r\n", archive), `reply
			doc 2!3 cda-n1 new ok body=2!3#0
			1 text ignored
			2 xdm ok
			2!2 metadata ok
			2!3 cda ok
			2!3#0 pdf ok`},
		"KO mail": {mail("Subject: [KO =?utf-8?Q?Int=C3=A9gration_syst=C3=A8me_!?=][902] CR\r\n", archive), `ko
			1 text ignored
			2 xdm ignored`},
		"patient": {mail("From: 285022999907751@patient.mssante.fr\r\n", pdfFile("a.pdf", pdf)), `patient
			1 text ignored
			2 pdf ignored`},
		"text only": {mail("Subject: question\r\n"), `text
			1 text ignored`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := strings.ReplaceAll(c.want, "\t", "")
			if got := strings.TrimSpace(outcome(parse(t, quiet(), c.raw))); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestSniff: content decides what a part is, whatever it is called.
func TestSniff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prefix, declared, name string
		want                   greffe.PartKind
	}{
		{"%PDF-1.7\n", "application/octet-stream", "a.doc", greffe.PartPDF},
		{"\r\n\x80\x81\x82\x83 %PDF-1.4", "application/pdf", "a.pdf", greffe.PartPDF},
		{"Voir le fichier %PDF-1.4 joint", "text/plain", "", greffe.PartText},
		{"BMI : 25", "text/plain", "imc.txt", greffe.PartText},
		{"BM\x36\x00\x0c\x00\x00\x00\x00\x00", "image/bmp", "", greffe.PartImage},
		{"MZ\x90\x00\x03", "application/pdf", "a.pdf", greffe.PartOther},
		{"PK\x03\x04", "application/pdf", "", greffe.PartZip},
		{"<html><body>x", "text/plain", "", greffe.PartHTML},
		{"<!-- c --><!DOCTYPE html><p>", "application/octet-stream", "", greffe.PartHTML},
		{"<a@b.example> a écrit :", "text/plain", "", greffe.PartText},
		{"<?xml version='1.0'?><a/>", "text/plain", "", greffe.PartXML},
		{"\xef\xbb\xbf  <?xml version='1.0'?><!-- x --><ClinicalDocument xmlns='urn:hl7-org:v3'>", "text/plain", "", greffe.PartCDA},
		{"<lcm:SubmitObjectsRequest xmlns:lcm='urn:x'>", "", "METADATA.XML", greffe.PartMetadata},
		{`H|~^\&|file.HPR||001~ORIGINE||ORU|`, "text/plain", "", greffe.PartHPRIM},
		{"H|p|", "text/plain", "", greffe.PartText},
		{"été", "text/plain", "", greffe.PartText},
		{"\xe9t\xe9 comme hiver", "text/plain", "", greffe.PartText},
		{"\x00\x01\x02\x03", "text/plain", "", greffe.PartOther},
		{"", "application/pdf", "a.pdf", greffe.PartEmpty},
		{"x", "message/partial", "", greffe.PartMessage},
		{"0\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", "application/octet-stream", "smime.p7s", greffe.PartSignature},
		{"0\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03", "application/octet-stream", "smime.p7m", greffe.PartOther},
	} {
		if got := sniff([]byte(c.prefix), c.declared, c.name).kind; got != c.want {
			t.Errorf("%q declared %s, named %s: %s, want %s", c.prefix, c.declared, c.name, got, c.want)
		}
	}
}

// TestMarksAreFoundWhereverTheyAreCut: a text arrives in pieces of any size.
func TestMarksAreFoundWhereverTheyAreCut(t *testing.T) {
	t.Parallel()
	for _, m := range marks {
		text := append(bytes.Repeat([]byte("x"), 50), m.mark...)
		for size := 1; size <= len(text); size++ {
			var s scanner
			for piece := range slices.Chunk(text, size) {
				s.scan(piece)
			}
			if s.found == nil || s.found.kind != m.typ.kind {
				t.Errorf("%q is not found in pieces of %d", m.mark, size)
			}
		}
	}
}
