package sandbox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
)

// diButton finds the buttons of the page by what a screen reader says of them.
var diButton = regexp.MustCompile(`<button name="([a-z]+)" value="([a-z0-9]+)" aria-label="([^"]+)"`)

// press presses the button with this label on the page of the DI.
func press(t *testing.T, d *DI, label string) {
	t.Helper()
	page, _ := diGet(t, d.PageURL())
	form := url.Values{}
	if label == "Répondre normalement" {
		form.Set("all", "normal")
	}
	for _, m := range diButton.FindAllStringSubmatch(page, -1) {
		if html.UnescapeString(m[3]) == label {
			form.Set(m[1], m[2])
		}
	}
	if len(form) != 1 {
		t.Fatalf("%d buttons are called %q", len(form), label)
	}
	resp, err := http.PostForm(d.PageURL()+"rule", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK { // after the redirection
		t.Fatalf("%q answers %d", label, resp.StatusCode)
	}
}

var diControl atomic.Int64

// deliverTo sends document n about a known patient and returns the answer.
func deliverTo(t *testing.T, cfg hl7.ClientConfig, n int) (hl7.ACK, error) {
	t.Helper()
	c := hl7.NewClient(cfg)
	defer c.Close()
	m := hl7.MDM{Event: hl7.First, Control: fmt.Sprint("O", diControl.Add(1)), At: time.Now(), Mailbox: "a@b.example",
		Document: greffe.Document{UniqueID: greffe.OID{Root: fmt.Sprint("1.2.4.", n)}, Patient: diKnown(), Type: greffe.Code{Code: "1", Label: "CR"}}}
	return c.Send(t.Context(), m.Control, func(w io.Writer) error {
		return m.Encode(w, hl7.Settings{Sending: "A^B", Receiving: "C^D"}, strings.NewReader("<x/>"))
	})
}

// Every button of the page does what it says, to the next message or to all.
func TestDIPageButtons(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	type row struct {
		label string
		code  string // MSA-1; empty: no answer
		err   string // ERR-3 and ERR-5
		has   bool   // the DI has the document
		shows string // in the table of the page
	}
	rows := []row{
		{"Revenir plus tard (AR)", "AR", "", false, "AR : revenir plus tard"},
		{"Erreur technique (AE 103, TXA-2)", "AE", "103 ", false, "AE 103 : erreur technique (TXA^1^2)"},
		{"Ne jamais répondre", "", "", false, "aucune réponse"},
		{"Intégrer, puis fermer sans répondre", "", "", true, "intégré"},
		{"Intégrer, puis couper la réponse", "", "", true, "intégré"},
		{"Intégrer, puis répondre autre chose", "", "", true, "intégré"},
	}
	for n, r := range diRefusals {
		rows = append(rows, row{diChoices[n].Label, "AE", "207 " + r.code, false, r.code + " " + r.label})
	}
	for _, c := range rows {
		t.Run(c.label, func(t *testing.T) {
			t.Parallel()
			d := startDI(t)
			patient := hl7.ClientConfig{Address: d.MLLPAddr(), AckTimeout: 20 * time.Second}
			hasty := patient
			if c.code == "" {
				hasty.AckTimeout = time.Second
			}
			press(t, d, c.label+", pour le prochain message")
			if page, _ := diGet(t, d.PageURL()); !strings.Contains(html.UnescapeString(page), c.label+", pour le prochain message.") {
				t.Error("the page does not say what it does")
			}
			a, err := deliverTo(t, hasty, 1)
			if c.code == "" && !errors.Is(err, hl7.ErrNoAnswer) || c.code != "" && (err != nil || a.Code != c.code) {
				t.Fatalf("%+v, %v", a, err)
			}
			if c.err != "" && (len(a.Errors) != 1 || a.Errors[0].Code+" "+a.Errors[0].App != c.err) {
				t.Errorf("%+v", a.Errors)
			}
			if got := len(d.Documents()) == 1; got != c.has {
				t.Errorf("integrated: %v", got)
			}
			if page, _ := diGet(t, d.PageURL()); !strings.Contains(html.UnescapeString(page), c.shows) || !strings.Contains(page, "Normale") {
				t.Errorf("the page does not show %q", c.shows)
			}
			if a, err := deliverTo(t, patient, 2); err != nil || a.Code != "AA" {
				t.Errorf("the next one: %+v, %v", a, err)
			}
			press(t, d, c.label+", pour tous les messages")
			for n := range 2 {
				if a, _ := deliverTo(t, hasty, 3+n); a.Code != c.code {
					t.Errorf("for all: %+v", a)
				}
			}
			press(t, d, "Répondre normalement")
			if a, err := deliverTo(t, patient, 5); err != nil || a.Code != "AA" {
				t.Errorf("normally again: %+v, %v", a, err)
			}
		})
	}
}

// A late answer comes after the document is integrated, over FHIR too.
func TestDIAnswersLate(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	d := startDI(t)
	press(t, d, "Répondre 5 secondes plus tard, pour tous les messages")
	d.Obey(DIRule{Delay: 200 * time.Millisecond}) // the test need not wait for five seconds
	start := time.Now()
	if a, err := deliverTo(t, hl7.ClientConfig{Address: d.MLLPAddr(), AckTimeout: 20 * time.Second}, 1); err != nil || a.Code != "AA" || time.Since(start) < 200*time.Millisecond {
		t.Errorf("%+v, %v after %v", a, err, time.Since(start))
	}
	d.Obey(DIRule{Behaviour: DIRefuse, Code: "904", Delay: 100 * time.Millisecond, Times: 1})
	for _, want := range []int{http.StatusUnprocessableEntity, http.StatusBadRequest} {
		resp, err := http.Post(d.FHIRBase(), "application/fhir+json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("answered %d, want %d", resp.StatusCode, want)
		}
	}
}

func TestDIRuleIsNotSetFromElsewhere(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	d := startDI(t)
	for name, c := range map[string]struct {
		body, origin string
		want         int
	}{
		"another site": {"all=7", "https://evil.example", http.StatusForbidden},
		"no choice":    {"", "", http.StatusBadRequest},
		"out of range": {"once=99", "", http.StatusBadRequest},
		"too long":     {"all=" + strings.Repeat("7", 8<<10), "", http.StatusBadRequest},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", d.PageURL()+"rule", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, c.want)
		}
	}
	if r := d.next(); r != (DIRule{}) {
		t.Errorf("%+v", r)
	}
}

// The listener over TLS takes who has a certificate, and nobody else.
func TestDIOverTLS(t *testing.T) {
	t.Parallel()
	d, err := StartDI(DIConfig{Patients: []greffe.Patient{diKnown()}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	pem, err := os.ReadFile(d.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	cert, err := tls.LoadX509KeyPair(d.ClientFile(), d.ClientFile())
	if err != nil {
		t.Fatal(err)
	}
	cfg := hl7.ClientConfig{Address: d.MLLPSAddr(), AckTimeout: 20 * time.Second, TLS: func() (*tls.Config, error) { return &tls.Config{RootCAs: pool}, nil }}
	if _, err := deliverTo(t, cfg, 1); !errors.Is(err, hl7.ErrNoAnswer) {
		t.Errorf("without a certificate: %v", err)
	}
	cfg.TLS = func() (*tls.Config, error) {
		return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}, nil
	}
	if a, err := deliverTo(t, cfg, 1); err != nil || a.Code != "AA" || len(d.Documents()) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}
