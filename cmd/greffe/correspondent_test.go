package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// Mailboxes of .ci/dovecot.sh for mail that goes both ways.
const (
	realBox     = "app@ch.example"
	realService = "service@ch.example"
	realWriter  = "correspondant@cabinet.example"
)

// received is a mail as Python's email reads it (testdata/correspondent.py).
type received struct {
	Subject, From, To, Auto, References, Type, Report, Inside string
	ReplyTo                                                   string `json:"reply_to"`
	InReplyTo                                                 string `json:"in_reply_to"`
	ReturnPath                                                string `json:"return_path"`
	Names, Defects                                            []string
	Parts                                                     []struct {
		Type, File, Text string
		Fields           map[string]string
	}
}

// correspondent is somebody with another mail program, at real servers.
type correspondent struct {
	t                            testing.TB
	imap, starttls, ca, password string
}

func (c correspondent) run(stdin []byte, args ...string) []byte {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "python3", append([]string{"testdata/correspondent.py"}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", args[0], err, stderr.Bytes())
	}
	return out
}

// send sends a mail and returns the names of its files as Python reads them.
func (c correspondent) send(from string, raw []byte) []string {
	c.t.Helper()
	var sent received
	if err := json.Unmarshal(c.run(raw, "send", c.starttls, c.ca, realWriter, c.password, from, realBox), &sent); err != nil {
		c.t.Fatal(err)
	}
	return sent.Names
}

func (c correspondent) read(user string) (list []received) {
	c.t.Helper()
	d := json.NewDecoder(bytes.NewReader(c.run(nil, "read", c.imap, c.ca, user, c.password)))
	for {
		var m received
		if err := d.Decode(&m); err == io.EOF {
			return list
		} else if err != nil {
			c.t.Fatal(err)
		}
		list = append(list, m)
	}
}

// TestBothWaysThroughRealServers: what a correspondent sends by a real SMTP server comes
// to Greffe by a real IMAP server, and what Greffe answers comes back the same way, where
// another program's reader takes it for what it is.
func TestBothWaysThroughRealServers(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	for _, name := range []string{"GREFFE_TEST_DOVECOT_ADDR", "GREFFE_TEST_DOVECOT_CA", "GREFFE_TEST_DOVECOT_PASSWORD", "GREFFE_TEST_DOVECOT_CERT", "GREFFE_TEST_SMTP_TLS", "GREFFE_TEST_SMTP_STARTTLS"} {
		if env[name] = os.Getenv(name); env[name] == "" {
			t.Skipf("%s is not set", name)
		}
	}
	in := install(t, deployment{name: "all in one"})
	in.cfg.Mailboxes = nil
	in.cfg.Answers.WhiteList = in.file("white-list", "cabinet.example\nch.example\n")
	in.addMailbox(sandbox.Mailbox{Address: realBox, Kind: "applicative", Folders: []string{"INBOX"}, Name: "Cardiologie"}, "imaps://"+env["GREFFE_TEST_DOVECOT_ADDR"],
		env["GREFFE_TEST_DOVECOT_CA"], AuthConfig{Mechanism: "external"}, filepath.Join(filepath.Dir(env["GREFFE_TEST_DOVECOT_CERT"]), realBox+".pem"))
	in.cfg.Mailboxes[0].SMTP, in.cfg.Mailboxes[0].RepliesTo = "smtps://"+env["GREFFE_TEST_SMTP_TLS"], realService
	box := &dovecot{t: t, addr: env["GREFFE_TEST_DOVECOT_ADDR"], ca: env["GREFFE_TEST_DOVECOT_CA"], password: env["GREFFE_TEST_DOVECOT_PASSWORD"],
		boxes: map[string]string{realBox: realBox, realService: realService, realWriter: realWriter}}
	for user := range box.boxes {
		box.clear(user, "INBOX")
	}
	c := correspondent{t, env["GREFFE_TEST_DOVECOT_ADDR"], env["GREFFE_TEST_SMTP_STARTTLS"], env["GREFFE_TEST_DOVECOT_CA"], env["GREFFE_TEST_DOVECOT_PASSWORD"]}

	samples := map[string]sandbox.Sample{}
	for _, x := range sandbox.Samples(sandbox.SampleOptions{}) {
		samples[x.Name] = x
	}
	names := map[string][]string{} // by Message-ID
	send := func(sample string, from string, change func([]byte) []byte) string {
		t.Helper()
		x, ok := samples[sample]
		if !ok {
			t.Fatalf("no sample %q", sample)
		}
		raw := regexp.MustCompile(`^Return-Path: [^\r]*\r\n`).ReplaceAll(x.Raw, nil) // the server writes it
		sender := regexp.MustCompile(`(?m)^From: .*<([^>]*)>`).FindSubmatch(raw)
		raw = change(bytes.ReplaceAll(raw, sender[1], []byte(from)))
		id := string(regexp.MustCompile(`(?mi)^Message-ID: (<[^>]*>)`).FindSubmatch(raw)[1])
		names[id] = c.send(from, raw)
		return id
	}
	same := func(b []byte) []byte { return b }
	noReceipt := regexp.MustCompile(`(?m)^Disposition-Notification-To: [^\r]*\r\n`)
	// The names of files come in both forms that are about: RFC 2231, and RFC 2047.
	named := func(form func(string) string) func([]byte) []byte {
		plain := regexp.MustCompile(`filename="([^"]*\.pdf)"`)
		return func(b []byte) []byte {
			if !plain.Match(b) {
				t.Fatal("no name to change")
			}
			return plain.ReplaceAllFunc(b, func(m []byte) []byte { return []byte(form("Échographie – " + string(plain.FindSubmatch(m)[1]))) })
		}
	}
	rfc2231 := named(func(name string) string { return "filename*=utf-8''" + url.PathEscape(name) })
	rfc2047 := named(func(name string) string { return `filename="` + mime.BEncoding.Encode("utf-8", name) + `"` })
	good := send("CDA de niveau 1 avec sa copie PDF", realWriter, rfc2231)
	unknown := send("Patient inconnu du DI (902)", realWriter, rfc2047)
	silent := send("Traits différents de ceux du DI (904)", realWriter, func(b []byte) []byte { return noReceipt.ReplaceAll(b, nil) })
	gone := send("Refusé, et l'adresse de l'expéditeur n'existe plus", "absent@cabinet.example", same)
	reply := send("Réponse d'un confrère à un compte rendu", realWriter, same)

	in.start()
	defer in.halt()
	in.settled(6) // with the report about the address that is gone
	var mine, service []received
	in.until("all answers came back", func() (bool, string) {
		mine, service = c.read(realWriter), c.read(realService)
		return len(mine) == 4 && len(service) == 1, fmt.Sprint(len(mine), " and ", len(service), " mails")
	})

	archived := map[string]string{} // digest of the archived mail by Message-ID
	ids := map[string]greffe.MessageID{}
	a := in.apps[0]
	if err := a.db.EachMessage(t.Context(), func(d index.Detail) error {
		f, err := a.store.Open(t.Context(), d.Raw)
		if err != nil {
			return err
		}
		defer f.Close()
		raw, err := io.ReadAll(f)
		sum := sha256.Sum256(bytes.TrimRight(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), "\n"))
		id := "<" + d.MessageID + ">"
		archived[id], ids[id] = hex.EncodeToString(sum[:]), d.ID
		return err
	}); err != nil {
		t.Fatal(err)
	}
	find := func(list []received, ref string, typ string) received {
		for _, m := range list {
			if (m.InReplyTo == ref || m.References == ref) && m.Type == typ {
				return m
			}
		}
		t.Fatalf("no %s about %s among %+v", typ, ref, list)
		return received{}
	}
	for _, m := range slices.Concat(mine, service) {
		if len(m.Defects) > 0 {
			t.Errorf("%s: %q", m.Subject, m.Defects)
		}
	}
	for id, failed := range map[string]bool{good: false, unknown: true} {
		m := find(mine, id, "multipart/report")
		if m.Report != "disposition-notification" || len(m.Parts) != 3 || m.Parts[0].Type != "text/plain" || m.Parts[1].Type != "message/disposition-notification" || m.Parts[2].Type != "message/rfc822" {
			t.Errorf("the parts of the receipt: %+v", m)
			continue
		}
		f := m.Parts[1].Fields
		if f["Original-Message-ID"] != id || f["Final-Recipient"] != "rfc822;"+realBox || m.ReturnPath != "<>" || m.Auto != "auto-replied" {
			t.Errorf("the receipt: %+v", m)
		}
		if failed != (f["Error"] == "902^Identifiant de patient inconnu^applicationErrorCondition| E^Error^errorSeverity") || failed != strings.HasSuffix(f["Disposition"], "processed/error") ||
			failed != strings.HasPrefix(m.Subject, "[KO Intégration système !][902] XDM/1.0/DDM+") {
			t.Errorf("the receipt says %+v under %q", f, m.Subject)
		}
		if m.Inside != archived[id] {
			t.Errorf("what came in is not inside the receipt, byte for byte")
		}
		if len(names[id]) == 0 || !slices.Equal(m.Names, names[id]) || !strings.Contains(strings.Join(m.Names, ""), "É") {
			t.Errorf("files are called %q, and %q where they came from", m.Names, names[id])
		}
	}
	ko := find(mine, silent, "multipart/mixed")
	if len(ko.Parts) != 2 || ko.Parts[1].File != "message_original.eml" || ko.Inside != archived[silent] || !strings.HasPrefix(ko.Subject, "[KO Intégration système !][904]") ||
		!strings.Contains(ko.Parts[0].Text, "904") || !strings.Contains(ko.Parts[0].Text, realService) || ko.ReturnPath != "<"+realBox+">" {
		t.Errorf("the KO mail: %+v", ko)
	}
	told := find(mine, reply, "text/plain")
	if !strings.Contains(told.Parts[0].Text, "ne reçoit pas de réponse") || !strings.Contains(told.Parts[0].Text, realService) || told.Auto != "auto-replied" || told.ReturnPath != "<>" {
		t.Errorf("the auto-reply: %+v", told)
	}
	forward := find(service, reply, "multipart/mixed")
	if forward.Inside != archived[reply] || forward.ReplyTo != realWriter || !strings.HasPrefix(forward.Subject, "TR: RE: ") || forward.Parts[1].File != "Message d’origine – réponse à un compte rendu.eml" {
		t.Errorf("the forward: %+v", forward)
	}
	in.until("the report is read", func() (bool, string) {
		list, err := in.db().Answers(context.Background(), ids[gone])
		return err == nil && len(list) == 1 && list[0].State == greffe.AnswerFailed && list[0].Kind == "ko", fmt.Sprintf("%+v %v", list, err)
	})
	in.halt()
	in.verify()
}
