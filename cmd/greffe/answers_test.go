package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// sendersAreAnswered reads what came back to the correspondents: who asked for a
// receipt has one, who was refused knows why, nobody else hears anything.
func sendersAreAnswered(t *testing.T, s *scene) {
	answers := map[string]*mail.Message{} // by Message-ID of what is answered
	for _, m := range s.out.Sent() {
		msg := parseMail(t, m.Raw)
		media, _, _ := mime.ParseMediaType(msg.Header.Get("Content-Type"))
		switch to := msg.Header.Get("In-Reply-To"); {
		case to == "", media == "text/plain":
			continue // to people: personsAreHeard
		case (m.From != "") != (media == "multipart/mixed"):
			t.Errorf("the envelope of a %s is from %q", media, m.From)
		}
		to := msg.Header.Get("In-Reply-To")
		if answers[to] != nil {
			t.Errorf("%s was answered twice", to)
		}
		answers[to] = msg
	}
	mdn, ko := 0, 0
	for _, x := range s.samples {
		d := s.details[x.Name]
		if d.Parsed == nil || len(d.Parsed.Message.MessageIDs) == 0 {
			continue
		}
		id := "<" + d.Parsed.Message.MessageIDs[0] + ">"
		answer := answers[id]
		refused := d.State == greffe.StateRefused
		all := true
		for _, doc := range d.Documents {
			all = all && (doc.State == greffe.StateDelivered || doc.State == greffe.StateDuplicate)
		}
		asked := len(d.Parsed.Message.ReceiptTo) == 1
		switch {
		case s.configured(d.Origin.Mailbox) == "":
			continue
		case d.Parsed.Message.Kind != greffe.KindDelivery && d.Parsed.Message.Kind != greffe.KindForward && d.Parsed.Message.Kind != greffe.KindReply, len(d.Documents) == 0:
			if answer != nil && !sharedID(s, x.Name, id) {
				t.Errorf("%s: a %s was answered", x.Name, d.Parsed.Message.Kind)
			}
			continue
		case refused && answer == nil:
			t.Errorf("%s: refused, and the sender does not know", x.Name)
			continue
		case all && asked && answer == nil:
			t.Errorf("%s: integrated, and the receipt that was asked for was not sent", x.Name)
			continue
		case all && !asked && answer != nil && !sharedID(s, x.Name, id):
			t.Errorf("%s: answered without having been asked", x.Name)
		}
		if answer == nil {
			continue
		}
		if !sharedID(s, x.Name, id) { // of two copies either may be the one that is answered
			checkAnswer(t, x.Name, answer, x.Raw, refused, s.dep.real)
		}
		if refused {
			ko++
		} else {
			mdn++
		}
	}
	// Where only the first mailbox can answer, nothing of what it receives is refused.
	if mdn < 5 || ko < 1 && !s.dep.real {
		t.Errorf("%d receipts and %d refusals: the samples have more", mdn, ko)
	}
}

func parseMail(t *testing.T, raw []byte) *mail.Message {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v\n%.500s", err, raw)
	}
	return m
}

// personsAreHeard: who writes to the mailbox of the software learns once that nobody
// reads it, and what she wrote is in the mailbox of the service, whole.
func personsAreHeard(t *testing.T, s *scene) {
	told := map[string]int{}
	forwarded := map[string][]byte{} // by Message-ID of what is forwarded
	for _, m := range s.out.Sent() {
		msg := parseMail(t, m.Raw)
		media, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		if msg.Header.Get("Auto-Submitted") == "auto-generated" {
			if m.From != sandbox.MailboxDPI || m.To != sandbox.MailboxService || media != "multipart/mixed" {
				t.Errorf("a forward from %q to %q, %s", m.From, m.To, media)
			}
			r := multipart.NewReader(msg.Body, params["boundary"])
			for {
				p, err := r.NextPart()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(p)
				if err != nil {
					t.Fatal(err)
				}
				forwarded[msg.Header.Get("References")] = b // the last
			}
		}
		if media == "text/plain" {
			text, err := io.ReadAll(quotedprintable.NewReader(msg.Body))
			if told[m.To]++; err != nil || m.From != "" || !bytes.Contains(text, []byte("ne reçoit pas de réponse")) || !bytes.Contains(text, []byte(sandbox.MailboxService)) {
				t.Errorf("from %q: %s, %v", m.From, text, err)
			}
		}
	}
	n := 0
	for _, x := range s.samples {
		d := s.details[x.Name]
		if x.Mailbox != sandbox.MailboxDPI || d.Kind != greffe.KindReply || s.configured(x.Mailbox) == "" {
			continue
		}
		n++
		id := "<" + d.Parsed.Message.MessageIDs[0] + ">"
		if got := forwarded[id]; !bytes.Equal(bytes.TrimRight(got, "\r\n"), bytes.TrimRight(x.Raw, "\r\n")) {
			t.Errorf("%s: what was forwarded is not what was written (%d and %d bytes)", x.Name, len(got), len(x.Raw))
		}
		if told[bare(d.Parsed.Message.ReturnPath)] != 1 {
			t.Errorf("%s: its sender was told %d times that nobody reads this", x.Name, told[bare(d.Parsed.Message.ReturnPath)])
		}
	}
	if n != len(forwarded) || n != len(told) || n == 0 && !s.dep.real {
		t.Errorf("%d people wrote, %d mails were forwarded, %d people were told", n, len(forwarded), len(told))
	}
	if n == 0 {
		return
	}
	if _, page := get(t, s.login("secretary"), s.console()+"/file?etat=a-traiter&motif=reply"); !bytes.Contains(page, []byte("réponse à un compte-rendu")) || !bytes.Contains(page, []byte("transmise à "+sandbox.MailboxService)) {
		t.Error("the queue does not show the answer of a person")
	}
}

func bare(path string) string { return strings.Trim(path, "<>") }

// failuresAreShown: the operator says that the address of a sender is gone; a secretary
// finds that in the queue, says that she has told him otherwise, and it is no longer open.
func failuresAreShown(t *testing.T, s *scene) {
	d := s.details["Refusé, et l'adresse de l'expéditeur n'existe plus"]
	if s.dep.real || d.ID == "" {
		return // Dovecot gets no report from the submission server of the sandbox
	}
	state := func(want greffe.AnswerState) func() (bool, string) {
		return func() (bool, string) {
			list, err := s.db().Answers(context.Background(), d.ID)
			return err == nil && len(list) == 1 && list[0].State == want && list[0].Kind == "ko", fmt.Sprintf("%+v %v", list, err)
		}
	}
	s.until("the report is read", state(greffe.AnswerFailed))
	c := s.login("secretary")
	page := s.console() + "/messages/" + string(d.ID)
	if _, body := get(t, c, s.console()+"/file?etat=reponses"); !bytes.Contains(body, []byte("/messages/"+string(d.ID))) || !bytes.Contains(body, []byte("5.1.1")) {
		t.Error("the queue does not show it among the answers to look after")
	}
	resp, err := c.PostForm(page+"/accuse", url.Values{"sans": {"1"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	s.until("it is closed", state(greffe.AnswerDropped))
	if _, body := get(t, c, s.console()+"/file?etat=reponses"); bytes.Contains(body, []byte("/messages/"+string(d.ID))) {
		t.Error("it is still open")
	}
}

// sharedID reports whether another sample has the same Message-ID.
func sharedID(s *scene, name, id string) bool {
	for other, d := range s.details {
		if other != name && d.Parsed != nil && len(d.Parsed.Message.MessageIDs) > 0 && "<"+d.Parsed.Message.MessageIDs[0]+">" == id {
			return true
		}
	}
	return false
}

// configured returns the submission server of a mailbox.
func (in *installation) configured(box string) string {
	for _, m := range in.cfg.Mailboxes {
		if strings.EqualFold(m.Address, box) {
			return m.SMTP
		}
	}
	return ""
}

var errorLine = regexp.MustCompile(`(?m)^Error: 90[0-6]\^[^^]+\^applicationErrorCondition\| E\^Error\^errorSeverity\r$`)

// checkAnswer looks at one answer as its reader does.
func checkAnswer(t *testing.T, name string, m *mail.Message, raw []byte, refused, rewritten bool) {
	t.Helper()
	if m.Header.Get("Auto-Submitted") != "auto-replied" || m.Header.Get("Disposition-Notification-To") != "" {
		t.Errorf("%s: %v", name, m.Header)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || strings.HasPrefix(subject, "[KO Intégration système !][90") != refused {
		t.Errorf("%s: subject %q, %v", name, subject, err)
	}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	var parts [][]byte
	var types []string
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextPart()
		if err != nil {
			if err != io.EOF {
				t.Errorf("%s: %v", name, err)
			}
			break
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		parts, types = append(parts, b), append(types, p.Header.Get("Content-Type"))
	}
	last := len(parts) - 1
	switch {
	case media == "multipart/report":
		if len(parts) != 3 || types[1] != "message/disposition-notification" || params["report-type"] != "disposition-notification" {
			t.Errorf("%s: parts %q", name, types)
			return
		}
		fields := string(parts[1])
		if !strings.Contains(fields, "Original-Message-ID: "+m.Header.Get("In-Reply-To")+"\r\n") || strings.Contains(fields, "processed/error\r\n") != refused || errorLine.MatchString(fields) != refused {
			t.Errorf("%s: %s", name, fields)
		}
	case media == "multipart/mixed" && refused:
		if len(parts) != 2 {
			t.Errorf("%s: parts %q", name, types)
			return
		}
	default:
		t.Errorf("%s: %s", name, media)
		return
	}
	want := bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	if types[last] != "message/rfc822" || (!rewritten && !bytes.Equal(bytes.TrimRight(parts[last], "\r\n"), bytes.TrimRight(want, "\r\n"))) {
		t.Errorf("%s: what is answered is not in the answer, byte for byte (%d and %d bytes)", name, len(parts[last]), len(want))
	}
}

// TestAnswersWaitForTheirServer: a submission server that is away or full gets the
// answer later, once; one that refuses for good is not asked again, and a person can
// see it.
func TestAnswersWaitForTheirServer(t *testing.T) {
	t.Parallel()
	in := install(t, deployment{name: "all in one"})
	in.out.Refuse("RCPT", 550)
	var unknown sandbox.Sample
	for _, x := range sandbox.Samples(sandbox.SampleOptions{}) {
		if strings.Contains(x.Name, "902") {
			unknown = x
		}
	}
	if _, err := in.mail.Append(unknown.Mailbox, unknown.Folder, unknown.Raw, unknown.At); err != nil {
		t.Fatal(err)
	}
	in.start()
	defer in.halt()
	in.settled(1)
	var id greffe.MessageID
	in.until("the refusal is known", func() (bool, string) {
		ctx := context.Background()
		if err := in.db().EachMessage(ctx, detailID(&id)); err != nil {
			return false, err.Error()
		}
		list, err := in.db().Answers(ctx, id)
		if err != nil || len(list) != 1 {
			return false, "no answer yet"
		}
		return list[0].State == "failed" && list[0].Reason != "", string(list[0].State)
	})
	if n := len(in.out.Sent()); n != 0 {
		t.Errorf("%d mails were taken by a server that refuses", n)
	}
}

func detailID(id *greffe.MessageID) func(index.Detail) error {
	return func(d index.Detail) error { *id = d.ID; return nil }
}

// TestReceiptForAnotherAddressNeedsAPerson: nothing goes until somebody says so, and
// then one receipt goes, however often she says it.
func TestReceiptForAnotherAddressNeedsAPerson(t *testing.T) {
	t.Parallel()
	in := install(t, deployment{name: "all in one"})
	var asks sandbox.Sample
	for _, x := range sandbox.Samples(sandbox.SampleOptions{}) {
		if x.Name == "CDA de niveau 1 avec sa copie PDF" {
			asks = x
		}
	}
	raw := regexp.MustCompile(`Return-Path: <[^>]*>`).ReplaceAll(asks.Raw, []byte("Return-Path: <retour@cabinet-martel.example>"))
	if bytes.Equal(raw, asks.Raw) || !bytes.Contains(raw, []byte("Disposition-Notification-To")) {
		t.Fatal("the sample is not what this test is about")
	}
	if _, err := in.mail.Append(asks.Mailbox, asks.Folder, raw, asks.At); err != nil {
		t.Fatal(err)
	}
	in.start()
	defer in.halt()
	in.settled(1)
	var id greffe.MessageID
	answer := func(want greffe.AnswerState) func() (bool, string) {
		return func() (bool, string) {
			if err := in.db().EachMessage(context.Background(), detailID(&id)); err != nil {
				return false, err.Error()
			}
			list, err := in.db().Answers(context.Background(), id)
			if err != nil || len(list) != 1 {
				return false, "no answer"
			}
			return list[0].State == want, string(list[0].State)
		}
	}
	in.until("a person is asked", answer(greffe.AnswerAsked))
	if n := len(in.out.Sent()); n != 0 {
		t.Fatalf("%d mails went without a person's word", n)
	}
	c := in.login("secretary")
	page := in.console() + "/messages/" + string(id)
	_, body := get(t, c, page)
	if !bytes.Contains(body, []byte(`action="/messages/`+string(id)+`/accuse"`)) {
		t.Error("the page has no button for it")
	}
	for range 2 {
		resp, err := c.Post(page+"/accuse", "application/x-www-form-urlencoded", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusConflict {
			t.Errorf("%s", resp.Status)
		}
	}
	in.until("the receipt goes", answer(greffe.AnswerSent))
	if sent := in.out.Sent(); len(sent) != 1 || !bytes.Contains(sent[0].Raw, []byte("; processed\r\n")) {
		t.Errorf("%d mails", len(sent))
	}
	if _, body = get(t, c, page); bytes.Contains(body, []byte("/accuse")) || !bytes.Contains(body, []byte("Accusé d’intégration : envoyé")) {
		t.Error("the page does not say that it went")
	}
}
