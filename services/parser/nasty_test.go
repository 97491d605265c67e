package parser

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/sandbox"
)

// told writes what became of a mail in one line: its kind, its parts, the rules that
// were broken (those that only inform are left out, but for signatures).
func told(out greffe.Parsed) string {
	var words, ids []string
	find := func(list []greffe.Finding) {
		for _, f := range list {
			if f.Severity != greffe.Info || strings.HasPrefix(f.Rule, "eml.signature") || f.Rule == "eml.base64-tail" {
				ids = append(ids, f.Rule)
			}
		}
	}
	find(out.Findings)
	for _, p := range out.Parts {
		find(p.Findings)
		if strings.Contains(p.Path, "!") && p.Verdict == greffe.VerdictIgnored && p.TwinOf == "" || p.Kind == greffe.PartMetadata {
			continue
		}
		w := fmt.Sprintf("%s %s %s", p.Path, p.Kind, p.Verdict)
		if p.Skipped {
			w += " skipped"
		}
		words = append(words, w)
	}
	for _, d := range out.Documents {
		find(d.Findings)
	}
	slices.Sort(ids)
	s := string(out.Message.Kind) + ": " + strings.Join(words, ", ")
	if len(ids) > 0 {
		s += "; " + strings.Join(slices.Compact(ids), " ")
	}
	return s
}

// part is one part of a hand-made multipart with the boundary b.
func part(headers, content string) string { return "--b\r\n" + headers + "\r\n\r\n" + content + "\r\n" }

func folded(data []byte) string {
	var b strings.Builder
	for s := base64.StdEncoding.EncodeToString(data); s != ""; {
		n := min(76, len(s))
		b.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
	return b.String()
}

// TestNastyMail is what real mailboxes hold, at its worst: nothing that was sent is
// lost, nothing that comes back is taken for new, and each kind is known.
func TestNastyMail(t *testing.T) {
	t.Parallel()
	pdf := sandbox.PDF("Compte rendu", nil, 0)
	zip := archived(level1(facts(1, 1), pdf)).data
	const (
		from    = "From: Labo <labo@ville.example>\r\nTo: cardio@ch.example\r\nDate: Sun, 22 Nov 2026 08:00:00 +0100\r\nMessage-ID: <1@ville.example>\r\n"
		mixed   = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
		end     = "--b--\r\n"
		b64     = "\r\nContent-Transfer-Encoding: base64"
		daemon  = "Return-Path: <>\r\nFrom: MAILER-DAEMON@ville.example (Mail Delivery System)\r\nTo: cardio@ch.example\r\nDate: Sun, 22 Nov 2026 08:00:00 +0100\r\nMessage-ID: <2@ville.example>\r\n"
		status  = "Reporting-MTA: dns; mx.ville.example\r\n\r\nFinal-Recipient: rfc822; x@ville.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		notice  = "Reporting-UA: pfi\r\nFinal-Recipient: rfc822;x@ville.example\r\nOriginal-Message-ID: <0@ch.example>\r\nDisposition: automatic-action/MDN-sent-automatically; processed/error\r\n"
		ko      = "Subject: =?UTF-8?Q?[KO_Int=C3=A9gration_syst=C3=A8me_!][902]_XDM/1.0/DDM+CR?=\r\n"
		receipt = "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n"
		bounce  = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
	)
	text := part("Content-Type: text/plain; charset=utf-8", "Bonjour")
	file := func(headers string, data []byte) string { return part(headers+b64, folded(data)) }
	cr := file("Content-Type: application/pdf; name=cr.pdf\r\nContent-Disposition: attachment; filename=cr.pdf", pdf)
	xdmPart := file("Content-Type: application/zip; name=IHE_XDM.zip\r\nContent-Disposition: attachment; filename=IHE_XDM.zip", zip)
	whole := from + "Subject: XDM/1.0/DDM+CR\r\n" + mixed + text + xdmPart + end
	sub := func(boundary, s string) string {
		return strings.NewReplacer("--b\r\n", "--"+boundary+"\r\n", "--b--", "--"+boundary+"--", "boundary=b", "boundary="+boundary).Replace(s)
	}
	returned := part("Content-Type: message/rfc822", sub("d", whole))
	says := func(subject, body string, parts ...string) string {
		return from + "Subject: " + subject + "\r\n" + mixed + part("Content-Type: text/plain; charset=utf-8", body) + strings.Join(parts, "") + end
	}
	delivered := "2 xdm ok, 2!3 cda ok, 2!3#0 pdf ok"
	const held = "1 text ignored, 2 pdf held; parser.pdf"

	for name, c := range map[string]struct{ raw, want string }{
		// Content decides, not name, type or disposition.
		"PDF as bytes":               {from + mixed + text + file("Content-Type: application/octet-stream; name=cr.2026.11.docx", pdf) + end, "delivery: " + held},
		"inline PDF":                 {from + mixed + text + file("Content-Type: application/pdf\r\nContent-Disposition: inline", pdf) + end, "delivery: " + held},
		"PDF that says text":         {from + mixed + text + file("Content-Type: text/plain; charset=utf-8", pdf) + end, "delivery: " + held},
		"PDF without any header":     {from + mixed + text + part("", string(pdf)) + end, "delivery: " + held},
		"PDF that says image":        {from + mixed + text + file("Content-Type: image/png\r\nContent-ID: <x>\r\nContent-Disposition: inline", pdf) + end, "delivery: " + held},
		"PDF that says signature":    {from + mixed + text + file("Content-Type: application/pkcs7-signature; name=smime.p7s", pdf) + end, "delivery: " + held},
		"PDF in an alternative":      {from + strings.Replace(mixed, "mixed", "alternative", 1) + text + file("Content-Type: application/pdf", pdf) + end, "delivery: " + held},
		"PDF in related":             {from + strings.Replace(mixed, "mixed", "related", 1) + part("Content-Type: text/html", "<img src=cid:x>") + file("Content-Type: application/pdf\r\nContent-ID: <x>", pdf) + end, "delivery: 1 html ignored, 2 pdf held; parser.pdf"},
		"PDF alone":                  {from + "Content-Type: application/pdf" + b64 + "\r\n\r\n" + folded(pdf), "delivery: 1 pdf held; parser.pdf"},
		"one name for two files":     {from + mixed + cr + file("Content-Type: application/pdf; name=cr.pdf", append(slices.Clone(pdf), '\n')) + end, "delivery: 1 pdf held, 2 pdf held; parser.pdf"},
		"the same file twice":        {from + mixed + text + cr + cr + end, "delivery: 1 text ignored, 2 pdf held, 3 pdf ignored; parser.pdf"},
		"program called PDF":         {from + mixed + text + file("Content-Type: application/pdf; name=cr.pdf", []byte("MZ\x90\x00\x03")) + end, "delivery: 1 text ignored, 2 other held; parser.program"},
		"CDA inline":                 {from + mixed + text + file("Content-Type: text/xml\r\nContent-Disposition: inline", level1(facts(1, 1), pdf).Data) + end, "delivery: 1 text ignored, 2 cda warning, 2#0 pdf ok; parser.bare"},
		"archive as a document":      {from + mixed + text + file("Content-Type: application/msword; name=a.doc", zip) + end, "delivery: 1 text ignored, " + delivered},
		"message/rfc822 that is PDF": {from + mixed + text + part("Content-Type: message/rfc822", string(pdf)) + end, "delivery: 1 text ignored, 2 message held; parser.mail"},

		// Structures that are broken.
		"no boundary parameter":        {from + strings.Replace(mixed, "; boundary=b", "", 1) + text + cr + end, "delivery: " + held[:len(held)-len("; parser.pdf")] + "; eml.boundary-found parser.pdf"},
		"another boundary":             {from + strings.Replace(mixed, "boundary=b", "boundary=c", 1) + text + cr + end, "delivery: 1 text ignored, 2 pdf held; eml.boundary-found parser.pdf"},
		"no end":                       {from + mixed + text + cr, "delivery: 1 text ignored, 2 pdf held; eml.end-missing parser.pdf"},
		"no parts at all":              {from + mixed + string(pdf), "delivery: 1 pdf held; eml.boundary-missing parser.pdf"},
		"base64 cut":                   {from + mixed + text + cr[:len(cr)-60], "delivery: 1 text ignored, 2 pdf held; eml.base64-cut eml.end-missing parser.pdf"},
		"base64 with a footer":         {from + mixed + text + strings.TrimSuffix(cr, "\r\n") + "\r\nVerifie par l'antivirus du CH\r\n" + end, "delivery: 1 text ignored, 2 pdf held; eml.base64-tail parser.pdf"},
		"base64 with junk":             {from + mixed + text + strings.Replace(cr, "JVBER", "*JV!BER", 1) + end, "delivery: 1 text ignored, 2 pdf held; eml.base64 parser.pdf"},
		"encoding nobody knows":        {from + mixed + text + part("Content-Type: application/pdf\r\nContent-Transfer-Encoding: x-yenc", "=ybegin line=128 size=3 name=a\r\nabc\r\n=yend") + end, "delivery: 1 text ignored, 2 other held; eml.encoding parser.yenc"},
		"line that is no header":       {from + "garbage\r\n" + mixed + text + cr + end, "delivery: 1 text ignored, 2 pdf held; eml.header-line parser.pdf"},
		"no blank line before text":    {from + mixed + "--b\r\nContent-Type: text/plain\r\nBonjour à tous\r\nmerci\r\n" + cr + end, "delivery: 1 text ignored, 2 pdf held; eml.header-end parser.pdf"},
		"parts after the end":          {from + mixed + text + end + cr + end, "delivery: 1 text ignored, 2 pdf held; eml.after-end parser.pdf"},
		"one boundary for two levels":  {from + mixed + "--b\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" + text + end + cr + end, "delivery: 2 text ignored, 3 pdf held; eml.after-end eml.boundary-found parser.pdf"},
		"line feeds only":              {strings.ReplaceAll(from+mixed+text+cr+end, "\r", ""), "delivery: " + held},
		"from a mbox":                  {"From labo@ville.example Sun Nov 22 08:00:00 2026\r\n" + from + mixed + text + cr + end, "delivery: " + held},
		"a PDF instead of a mail":      {string(pdf), "delivery: 1 pdf held; eml.not-mail parser.pdf"},
		"bytes":                        {"\x00\x01\x02\x03\xff\xfe", "delivery: 1 other held; eml.not-mail parser.unknown"},
		"nothing":                      {"", "empty: 1 empty ignored; eml.not-mail"},
		"header only":                  {from, "empty: 1 empty ignored"},
		"no Message-ID, no date":       {"From: a@b.example\r\n\r\nBonjour", "text: 1 text ignored"},
		"everything repeated":          {from + from + "Reply-To:\r\nReply-To: <>\r\n" + mixed + text + cr + end, "delivery: 1 text ignored, 2 pdf held; eml.from parser.pdf"},
		"header of ten thousand lines": {from + strings.Repeat("X: y\r\n", 10000) + mixed + text + cr + end, "delivery: 1 text ignored, 2 pdf held; eml.header-size parser.pdf"},
		"subject of a megabyte":        {from + "Subject: " + strings.Repeat("=?utf-8?q?a?= ", 60000) + "\r\n" + mixed + text + cr + end, "delivery: " + held},
		"zeros in a header":            {from + "Subject: a\x00b\r\nX-\x00: c\r\n" + mixed + text + cr + end, "delivery: 1 text ignored, 2 pdf held; eml.header-line parser.pdf"},
		"names within names":           {from + mixed + text + file("Content-Type: application/pdf; name*0*=iso-8859-15''r%E9; name*1*=%A4.pdf\r\nContent-Disposition: attachment; filename=../../etc/cr.pdf", pdf) + end, "delivery: " + held},

		// What programs wrap files into.
		"uuencode in the text":    {from + "Subject: x\r\n\r\nBonjour\r\n" + uuencoded("cr.pdf", pdf) + "\r\nMerci\r\n", "delivery: 1 text ignored, 1!0 pdf held; parser.pdf"},
		"uuencode, cut":           {from + "Subject: x\r\n\r\n" + uuencoded("cr.pdf", pdf)[:400], "delivery: 1 text ignored, 1!0 pdf held; eml.uuencode parser.pdf"},
		"uuencode as encoding":    {from + mixed + text + part("Content-Type: application/pdf\r\nContent-Transfer-Encoding: x-uuencode", uuencoded("cr.pdf", pdf)) + end, "delivery: " + held},
		"uuencode of the archive": {from + "Subject: x\r\n\r\n" + uuencoded("IHE_XDM.zip", zip), "delivery: 1 text ignored, 1!0 xdm ok, 1!0!3 cda ok, 1!0!3#0 pdf ok"},
		"yEnc in the text":        {from + "Subject: x\r\n\r\nBonjour\r\n=ybegin line=128 size=3 name=a\r\nabc\r\n=yend size=3\r\n", "delivery: 1 other held; parser.yenc"},
		"winmail.dat":             {from + mixed + text + file("Content-Type: application/ms-tnef; name=winmail.dat", sandbox.TNEF("Bonjour", "", nil, sandbox.TNEFFile{Name: "IHE_XDM.zip", Data: zip})) + end, "delivery: 1 text ignored, 2 other ignored, 2!0 xdm ok, 2!0!3 cda ok, 2!0!3#0 pdf ok"},
		"winmail.dat alone":       {from + "Content-Type: application/ms-tnef" + b64 + "\r\n\r\n" + folded(sandbox.TNEF("Bonjour", "", nil, sandbox.TNEFFile{Name: "cr.pdf", Data: pdf})), "delivery: 1 other ignored, 1!0 pdf held; parser.pdf"},
		"winmail.dat, cut":        {from + mixed + text + file("Content-Type: application/octet-stream; name=ATT001.dat", sandbox.TNEF("", "", nil, sandbox.TNEFFile{Name: "cr.pdf", Data: pdf})[:700]) + end, "delivery: 1 text ignored, 2 other held, 2!0 pdf held; eml.tnef parser.pdf"},
		"encrypted by S/MIME":     {from + "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m" + b64 + "\r\n\r\n" + folded([]byte("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80")), "delivery: 1 other held; parser.encrypted"},
		"encrypted by PGP":        {from + "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\r\n\r\n" + part("Content-Type: application/pgp-encrypted", "Version: 1") + part("Content-Type: application/octet-stream; name=encrypted.asc", "-----BEGIN PGP MESSAGE-----\r\n\r\nhQ\r\n-----END PGP MESSAGE-----") + end, "delivery: 1 signature ignored, 2 other held; parser.encrypted"},
		"encrypted in the text":   {from + "Subject: x\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQ\r\n-----END PGP MESSAGE-----", "delivery: 1 other held; parser.encrypted"},
		"signed in the text":      {from + "Subject: x\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nBonjour\r\n-----BEGIN PGP SIGNATURE-----\r\n\r\nhQ\r\n-----END PGP SIGNATURE-----", "text: 1 text ignored"},
		"signed by PGP":           {from + "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=b\r\n\r\n" + cr + part("Content-Type: application/pgp-signature", "-----BEGIN PGP SIGNATURE-----") + end, "delivery: 1 pdf held, 2 signature ignored; eml.signature-pgp parser.pdf"},
		"signed, no signature":    {from + "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=b\r\n\r\n" + cr + part("Content-Type: application/pkcs7-signature", "perdue") + end, "delivery: 1 pdf held, 2 signature ignored; eml.signature-unread parser.pdf"},
		"a piece of a mail":       {from + "Content-Type: message/partial; number=1; total=3; id=x\r\n\r\nSubject: x\r\n\r\nBonjour", "delivery: 1 message held; parser.external"},
		"a file elsewhere":        {from + mixed + text + part("Content-Type: message/external-body; access-type=URL; URL=\"http://x.example/cr.pdf\"", "Content-Type: application/pdf\r\n\r\n") + end, "delivery: 1 text ignored, 2 message held; parser.external"},
		"mails in mails":          {strings.Repeat(from+"Content-Type: message/rfc822\r\n\r\n", 7) + from + "\r\nx", "forward: 1.1.1.1.1.1 message held; eml.nested parser.mail"},
		"mail as a file":          {from + mixed + text + file("Content-Type: application/octet-stream; name=message.eml", []byte(whole)) + end, "forward: 1 text ignored, 2.1 text ignored, 2.2 xdm ok, 2.2!3 cda ok, 2.2!3#0 pdf ok"},

		// Texts.
		"text in UTF-7":        {from + "Content-Type: text/plain; charset=utf-7\r\n\r\nR+AOk-sultat", "text: 1 text ignored"},
		"text, 8-bit":          {from + "\r\nR\xe9sultat joint", "text: 1 text ignored"},
		"text with zeros":      {from + mixed + part("Content-Type: text/plain", "a\x00b") + end, "delivery: 1 other held; parser.unknown"},
		"HPRIM in the text":    {from + "\r\n" + strings.Repeat("ligne\r\n", 12) + "****FIN****\r\n", "delivery: 1 hprim held; parser.hprim"},
		"page with its text":   {from + strings.Replace(mixed, "mixed", "alternative", 1) + text + part("Content-Type: text/html", "<p>Bonjour</p>") + end, "text: 1 text ignored, 2 html ignored"},
		"page as a file":       {from + mixed + text + part("Content-Type: text/html; name=cr.html\r\nContent-Disposition: attachment", "<html><body>x") + end, "delivery: 1 text ignored, 2 html held; parser.unknown"},
		"invitation":           {from + strings.Replace(mixed, "mixed", "alternative", 1) + text + part("Content-Type: text/calendar", "BEGIN:VCALENDAR\r\nEND:VCALENDAR") + end, "text: 1 text ignored, 2 other ignored"},
		"photograph in a page": {from + strings.Replace(mixed, "mixed", "related", 1) + part("Content-Type: text/html", `<img src="cid:p%40x">`) + file("Content-Type: image/jpeg\r\nContent-ID: <p@x>\r\nContent-Disposition: inline; filename=IMG_1.jpg", drawn(t, "jpeg", 640, 480)) + end, "delivery: 1 html ignored, 2 image held; parser.image"},
		"logo in a page":       {from + strings.Replace(mixed, "mixed", "related", 1) + part("Content-Type: text/html", `<img src="cid:p%40x">`) + file("Content-Type: image/png\r\nContent-ID: <p@x>\r\nContent-Disposition: inline; filename=logo.png", drawn(t, "png", 160, 60)) + end, "text: 1 html ignored, 2 image ignored"},

		// Reports: nothing is taken from them, whatever their form.
		"bounce (Postfix)":               {daemon + "Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\n" + bounce + text + part("Content-Type: message/delivery-status", status) + returned + end, "dsn: 1 text ignored, 2 report ignored, 3.1 text ignored, 3.2 zip ignored"},
		"bounce (Exchange)":              {"From: <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@ch.example>\r\nSubject: Non remis : CR\r\n" + mixed + text + returned + end, "dsn: 1 text ignored, 2.1 text ignored, 2.2 xdm ignored"},
		"bounce without report-type":     {daemon + "Subject: x\r\n" + strings.Replace(bounce, "; report-type=delivery-status", "", 1) + text + part("Content-Type: message/delivery-status", status) + returned + end, "dsn: 1 text ignored, 2 report ignored, 3.1 text ignored, 3.2 zip ignored"},
		"bounce that says mixed":         {from + "Subject: x\r\n" + mixed + text + part("Content-Type: message/delivery-status", status) + returned + end, "dsn: 1 text ignored, 2 report ignored, 3.1 text ignored, 3.2 xdm ignored"},
		"bounce with headers only":       {daemon + "Subject: x\r\n" + bounce + text + part("Content-Type: message/delivery-status", status) + part("Content-Type: text/rfc822-headers", "Message-ID: <0@ch.example>") + end, "dsn: 1 text ignored, 2 report ignored, 3 report ignored"},
		"bounce in a list":               {from + "Subject: x\r\n" + mixed + part(strings.TrimSuffix(sub("c", bounce), "\r\n\r\n"), sub("c", text+part("Content-Type: message/delivery-status", status)+returned+end)) + part("", "pied de page") + end, "dsn: 1.1 text ignored, 1.2 report ignored, 1.3.1 text ignored, 1.3.2 zip ignored, 2 text ignored"},
		"bounce in words (qmail)":        {daemon + "Subject: failure notice\r\n\r\nHi. This is the qmail-send program.\r\n--- Below this line is a copy of the message.\r\n\r\n" + whole, "dsn: 1 text ignored"},
		"bounce in fields":               {from + "Subject: x\r\n\r\n" + status, "dsn: 1 text ignored"},
		"bounce of a patient's mail":     {"From: Mon espace =?utf-8?Q?sant=C3=A9?= <ne-pas-repondre@monespacesante.example>\r\nSubject: =?utf-8?Q?Message_non_distribu=C3=A9?=\r\n" + mixed + text + xdmPart + end, "dsn: 1 text ignored, " + "2 xdm ignored"},
		"receipt":                        {from + "Subject: Lu : CR\r\n" + receipt + text + part("Content-Type: message/disposition-notification", notice) + end, "mdn: 1 text ignored, 2 report ignored"},
		"receipt that sends all back":    {from + ko + receipt + text + part("Content-Type: message/disposition-notification", notice) + returned + end, "mdn: 1 text ignored, 2 report ignored, 3.1 text ignored, 3.2 zip ignored"},
		"receipt with the archive in it": {from + "Subject: CR\r\n" + receipt + text + part("Content-Type: message/disposition-notification", notice) + xdmPart + end, "mdn: 1 text ignored, 2 report ignored, 3 zip ignored"},
		"receipt, archive beside it":     {daemon + "Subject: CR\r\n" + mixed + part(strings.TrimSuffix(sub("c", receipt), "\r\n\r\n"), sub("c", text+part("Content-Type: message/disposition-notification", notice)+end)) + xdmPart + end, "mdn: 1.1 text ignored, 1.2 report ignored, " + "2 xdm ignored"},
		"receipt of a person, beside it": {from + "Subject: CR\r\n" + mixed + part(strings.TrimSuffix(sub("c", receipt), "\r\n\r\n"), sub("c", text+part("Content-Type: message/disposition-notification", notice)+end)) + xdmPart + end, "delivery: 1.1 text ignored, 1.2 report ignored, 2 xdm ok, 2!3 cda held, 2!3#0 pdf ok; parser.beside"},
		"receipt in fields":              {from + "Subject: XDM/1.0/DDM+CR\r\n\r\n" + notice, "mdn: 1 text ignored"},
		"receipt in words":               {from + "Subject: =?utf-8?Q?Accus=C3=A9_de_lecture_:_CR?=\r\n\r\nVotre message a été lu.", "mdn: 1 text ignored"},
		"receipt that says mixed":        {from + "Subject: CR\r\n" + mixed + text + part("Content-Type: message/disposition-notification", notice) + xdmPart + end, "mdn: 1 text ignored, 2 report ignored, " + "3 xdm ignored"},
		"KO mail":                        {from + ko + mixed + text + returned + end, "ko: 1 text ignored, 2.1 text ignored, 2.2 xdm ignored"},
		"old KO mail":                    {from + "Subject: [Erreur d'int=?utf-8?Q?=C3=A9gration_!?=][902] XDM/1.0/DDM+CR\r\n" + mixed + text + xdmPart + cr + end, "ko: "},
		"KO mail, tagged":                {says("[EXTERNE] [KO Intégration système !] CR", "x", xdmPart), "ko: 1 text ignored, " + "2 xdm ignored"},
		"KO mail passed on":              {says("TR : [KO Intégration système !][902] CR", "voir", xdmPart), "forward: 1 text ignored, " + "2 xdm ignored"},
		"KO mail passed on in the text":  {says("à traiter", "-------- Message transféré --------\r\nSujet : [KO Intégration système !][902] CR\r\nDe : pfi@ch.example\r\n", xdmPart), "forward: 1 text ignored, " + "2 xdm ignored"},
		"KO mail attached":               {from + "Subject: pour info\r\n" + mixed + text + part("Content-Type: message/rfc822", from+ko+sub("c", mixed+text+xdmPart+end)) + end, "text: 1 text ignored, 2.1 text ignored, 2.2 zip ignored"},

		// Robots and people.
		"out of office (Exchange)":     {says("Réponse automatique : CR", "Je suis absent."), "auto-reply: 1 text ignored"},
		"out of office (Zimbra)":       {from + "Subject: CR\r\nAuto-Submitted: auto-replied (zimbra; readreceipt=\"false\")\r\nPrecedence: bulk\r\n\r\nAbsent", "auto-reply: 1 text ignored"},
		"out of office, old":           {from + "Subject: CR\r\nX-Autoreply: yes\r\n\r\nAbsent", "auto-reply: 1 text ignored"},
		"quota":                        {"Return-Path: <>\r\nFrom: postmaster@operateur.example\r\nSubject: Votre boîte est pleine à 90 %\r\n\r\nx", "notice: 1 text ignored"},
		"certificate to renew":         {"From: no-reply@igc.example\r\nSubject: Votre certificat expire\r\n\r\nx", "notice: 1 text ignored"},
		"delivery by a robot":          {"From: no-reply@labo.example\r\nAuto-Submitted: auto-generated\r\nPrecedence: bulk\r\n" + mixed + text + xdmPart + end, "delivery: 1 text ignored, " + delivered},
		"a person who wants no answer": {from + "Subject: question\r\nX-Auto-Response-Suppress: All\r\n\r\nPouvez-vous rappeler ?", "text: 1 text ignored"},
		"patient":                      {"From: 285022999907751@patient.mssante.fr\r\n" + mixed + text + cr + end, "patient: 1 text ignored, 2 pdf ignored"},
		"patient, second sender":       {"From: x@ville.example\r\nFrom: 285022999907751@patient.mssante.fr\r\n" + mixed + text + xdmPart + end, "patient: 1 text ignored, " + "2 xdm ignored" + "; eml.from"},
		"patient, passed on as a file": {from + "Subject: TR: CR\r\n" + mixed + text + part("Content-Type: message/rfc822", "From: 285022999907751@patient.mssante.fr\r\nSubject: x\r\n"+sub("c", mixed+text+xdmPart+end)) + end, "forward: 1 text ignored, 2.1 text ignored, 2.2 xdm ok, 2.2!3 cda held, 2.2!3#0 pdf ok; eml.patient"},
		"patient, passed on in text":   {says("TR: CR", "De : Mme X <285022999907751@patient.mssante.fr>\r\nEnvoyé : lundi\r\nÀ : cardio\r\nObjet : CR\r\n", xdmPart), "forward: 1 text ignored, 2 xdm ok, 2!3 cda held, 2!3#0 pdf ok; parser.patient"},
		"empty":                        {from + "Subject: x\r\n\r\n", "empty: 1 empty ignored"},

		// Passing on and answering.
		"answer with the archive":   {from + "Subject: RE: CR\r\nIn-Reply-To: <0@ch.example>\r\n" + mixed + text + xdmPart + end, "reply: 1 text ignored, " + delivered},
		"answer, German":            {says("AW: CR", "x", xdmPart), "reply: 1 text ignored, " + delivered},
		"answer to a forward":       {says("Re[2]: TR: CR", "-----Message d'origine-----\r\nDe : x", xdmPart), "reply: 1 text ignored, " + delivered},
		"answer without a prefix":   {from + "Subject: CR\r\nIn-Reply-To: <0@ch.example>\r\n" + mixed + text + xdmPart + end, "reply: 1 text ignored, " + delivered},
		"forward (Outlook)":         {says("TR: XDM/1.0/DDM+CR", "x", xdmPart), "forward: 1 text ignored, " + delivered},
		"forward (Thunderbird)":     {says("CR", "Bonjour\r\n\r\n-------- Message transféré --------\r\nSujet : CR\r\nDate : lundi\r\nDe : x", xdmPart), "forward: 1 text ignored, " + delivered},
		"forward (Apple)":           {says("CR", "Début du message transféré :\r\n\r\nDe: x\r\nObjet: CR", xdmPart), "forward: 1 text ignored, " + delivered},
		"forward (Apple, English)":  {says("CR", "Begin forwarded message:\r\n\r\nFrom: x", xdmPart), "forward: 1 text ignored, " + delivered},
		"forward (Gmail)":           {says("CR", "---------- Forwarded message ---------\r\nDe : x", xdmPart), "forward: 1 text ignored, " + delivered},
		"forward (Zimbra)":          {says("CR", "----- Mail transféré -----\r\nDe: x", xdmPart), "forward: 1 text ignored, " + delivered},
		"forward (Outlook, marker)": {says("CR", "-----Message d'origine-----\r\nDe : x\r\nObjet : CR", xdmPart), "forward: 1 text ignored, " + delivered},
		"forward (Outlook, header)": {says("CR", "De : x\r\nEnvoyé : lundi\r\nÀ : y\r\nObjet : CR", xdmPart), "forward: 1 text ignored, " + delivered},
		"forward by a rule":         {from + "Resent-From: secretariat@ch.example\r\nSubject: CR\r\n" + mixed + text + xdmPart + end, "forward: 1 text ignored, " + delivered},
		"forward as a file":         {from + "Subject: CR\r\n" + mixed + text + part("Content-Type: message/rfc822", sub("c", whole)) + end, "forward: 1 text ignored, 2.1 text ignored, 2.2 xdm ok, 2.2!3 cda ok, 2.2!3#0 pdf ok"},
		"a title that says TR":      {says("Traitement en cours", "x", xdmPart), "delivery: 1 text ignored, " + delivered},
		"a person on a bounce":      {says("message non remis", "Avez-vous reçu mon message ?"), "text: 1 text ignored"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := parse(t, quiet(), []byte(c.raw))
			agreesAgain(t, []byte(c.raw), out)
			got := told(out)
			if strings.HasSuffix(c.want, ": ") { // nothing may be taken; the parts are not the point
				if !strings.HasPrefix(got, c.want) || strings.Contains(got, " ok") || strings.Contains(got, " held") {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				return
			}
			if got != c.want {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

// uuencoded codes a file as old mail programs put it into a text.
func uuencoded(name string, data []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "begin 644 %s\r\n", name)
	for line := range slices.Chunk(data, 45) {
		b.WriteByte(byte(len(line)) + ' ')
		for g := range slices.Chunk(line, 3) {
			g = append(slices.Clone(g), 0, 0)
			for _, v := range []byte{g[0] >> 2, g[0]&3<<4 | g[1]>>4, g[1]&15<<2 | g[2]>>6, g[2] & 63} {
				b.WriteByte((v+63)&63 + '!') // the grave accent stands for zero
			}
		}
		b.WriteString("\r\n")
	}
	return b.String() + "`\r\nend\r\n"
}
