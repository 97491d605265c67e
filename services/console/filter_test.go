package console

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// TestFiltersByServiceAndType: what the choices of the page leave of the queue, for who
// sees several services, one, or one folder of one.
func TestFiltersByServiceAndType(t *testing.T) {
	t.Parallel()
	const rhythm = "rythmologie@ch-exemple.mssante.example"
	w := newWorldWith(t, func(c *Config) {
		c.Mailboxes = append(c.Mailboxes, rhythm)
		c.About = map[string]About{cardio: {Service: "3435 Cardiologie", Folders: []string{"INBOX", "INBOX/Dr Martin"}}, rhythm: {Service: "3435 Cardiologie"}, radio: {Service: "3436 Radiologie"}}
	})
	if err := w.db.SaveUser(t.Context(), index.User{Login: "deux", Name: "Deux SERVICES", Role: "secretary", Places: []string{cardio, radio}, Hash: hashed()}); err != nil {
		t.Fatal(err)
	}
	const report, letter = "34752-6", "11488-4"
	for name, m := range map[string]struct{ mailbox, folder, kind string }{
		"Échographie": {cardio, "", report}, "Lettre de sortie": {cardio, "", letter}, "Pour Martin": {cardio, "INBOX/Dr Martin", letter},
		"Holter": {rhythm, "", report}, "Scanner": {radio, "", report}, "Lettre de radiologie": {radio, "", letter},
	} {
		f := cda1(name, 1, name, maelle)
		f.Type = greffe.Code{Code: m.kind, System: "2.16.840.1.113883.6.1", Label: m.kind}
		w.receive(mail{mailbox: m.mailbox, folder: m.folder, subject: name, docs: []doc{{facts: f, bytes: []byte("<d>" + name + "</d>"), outcomes: []greffe.Outcome{unknownPatient}}}})
	}
	cardiology, radiology := greffe.MailboxKey("3435 Cardiologie"), greffe.MailboxKey("3436 Radiologie")
	for _, c := range []struct {
		who  string
		form url.Values
		want []string
	}{
		{"paul", url.Values{"service": {cardiology}}, []string{"Holter", "Lettre de sortie", "Pour Martin", "Échographie"}},
		{"paul", url.Values{"service": {radiology}}, []string{"Lettre de radiologie", "Scanner"}},
		{"paul", url.Values{"type": {report}}, []string{"Holter", "Scanner", "Échographie"}},
		{"paul", url.Values{"service": {cardiology}, "type": {letter}}, []string{"Lettre de sortie", "Pour Martin"}},
		{"paul", url.Values{"service": {cardiology}, "type": {letter}, "etat": {"a-traiter"}}, []string{"Lettre de sortie", "Pour Martin"}},
		{"paul", url.Values{"service": {cardiology}, "etat": {"integre"}}, nil},
		{"paul", url.Values{"service": {cardiology}, "bal": {greffe.MailboxKey(rhythm)}}, []string{"Holter"}},
		{"paul", url.Values{"service": {radiology}, "bal": {greffe.MailboxKey(rhythm)}}, nil},
		{"martin", url.Values{"service": {cardiology}, "bal": {greffe.MailboxKey(cardio + "/INBOX/Dr Martin")}}, []string{"Pour Martin"}},
		{"paul", url.Values{"type": {"18748-4"}}, nil},
		{"deux", url.Values{"service": {cardiology}}, []string{"Lettre de sortie", "Pour Martin", "Échographie"}},
		{"claire", url.Values{"service": {cardiology}, "type": {report}}, []string{"Échographie"}},
		// A service that is not hers is no filter, and shows nothing of it.
		{"claire", url.Values{"service": {radiology}}, []string{"Lettre de sortie", "Pour Martin", "Échographie"}},
		{"martin", url.Values{"service": {cardiology}}, []string{"Pour Martin"}},
		{"martin", url.Values{"service": {cardiology}, "type": {report}}, nil},
	} {
		v := w.as(c.who)
		to := v.post("/file", c.form).Header.Get("Location")
		page := v.page(to)
		var got []string
		for _, a := range find(page, "#lignes a.open") {
			got = append(got, text(a))
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%s, %v: %q, want %q", c.who, c.form, got, c.want)
		}
		// The page says what it is narrowed by, and the address names nobody.
		for _, field := range []string{"service", "type"} {
			for _, o := range find(page, "#"+field+" option") {
				if chosen := slices.ContainsFunc(o.Attr, func(a html.Attribute) bool { return a.Key == "selected" }); chosen && attr(o, "value") != c.form.Get(field) || !chosen && attr(o, "value") != "" && attr(o, "value") == c.form.Get(field) {
					t.Errorf("%s, %v: the choice of the %s shows otherwise", c.who, c.form, field)
				}
			}
		}
		if strings.Contains(strings.ToLower(to), "cardio") || strings.Contains(to, "3435") {
			t.Errorf("the address names the service: %s", to)
		}
	}
}
