package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// The demonstration shows every state that there is, and every kind of answer.
func TestDemoReachesEveryState(t *testing.T) {
	t.Parallel()
	dir := useHospital(t)
	db := openIndexOf(t, dir)
	seen := map[string]int{}
	for _, action := range []string{"received", "archived", "delivered"} {
		list, err := db.SearchJournal(t.Context(), index.JournalFilter{Action: action, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			seen[e.Result]++
		}
	}
	_, documents, err := db.Tally(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range greffe.States {
		if seen[string(s)] == 0 {
			t.Errorf("nothing was ever %q: %v", s, seen)
		}
		if s.Final() != (documents[s] > 0) {
			t.Errorf("%d documents are %q in the end", documents[s], s)
		}
	}
	_, back, _ := strings.Cut(hospitalSaid, "Revenu aux correspondants")
	for _, kind := range []string{"Accusé d’intégration (MDN)", "Accusé de refus (MDN)", "Courriel de KO\n", "Courriel de KO, non remis", "Réponse automatique", "Transfert à la boîte du service"} {
		if !strings.Contains(back, kind) {
			t.Errorf("no %q came back:\n%s", kind, back)
		}
	}
}

// ruleButton finds the buttons of the page of a DI by what a screen reader says of them.
var ruleButton = regexp.MustCompile(`<button name="(all)" value="([0-9]+)" aria-label="([^"]+), pour tous les messages"`)

// diPage is the page of a demo DI as a person uses it: in a browser when there is one.
type diPage struct {
	t       *testing.T
	di      *sandbox.DI
	browser context.Context // nil: none
}

func (p diPage) read() string {
	p.t.Helper()
	resp, err := http.Get(p.di.PageURL())
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return html.UnescapeString(string(b))
}

// press presses the button that sets one answer, by its number, for all messages; "normal"
// is the one that ends that.
func (p diPage) press(value string) {
	p.t.Helper()
	if p.browser != nil {
		if err := chromedp.Do(p.browser, chromedp.Navigate(p.di.PageURL()), chromedp.Click(`button[name="all"][value="`+value+`"]`),
			chromedp.WaitVisible(map[bool]string{true: `.now:not(.bad)`, false: `.now.bad`}[value == "normal"])); err != nil {
			p.t.Fatalf("press %s: %v", value, err)
		}
		return
	}
	resp, err := http.PostForm(p.di.PageURL()+"rule", url.Values{"all": {value}})
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("press %s: %s", value, resp.Status)
	}
}

// Each button of a demo DI's page has the effect in Greffe that it names, whether the DI
// is reached by MLLP, MLLP over TLS or FHIR; and when the DI answers normally again, what
// waited is integrated once.
func TestDemoButtons(t *testing.T) {
	t.Parallel()
	in := install(t, deployment{name: "all in one"})
	var pages []diPage
	for i := range 3 {
		di, err := sandbox.StartDI(sandbox.DIConfig{Patients: sandbox.KnownPatients(), Dir: in.cfg.DataDir + fmt.Sprint("/di", i)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { di.Close() })
		pages = append(pages, diPage{t: t, di: di})
	}
	dis := demoDIConfig([]*sandbox.DI{pages[0].di, pages[1].di, pages[2].di})
	for i := range dis {
		dis[i].Types, dis[i].MLLP.Timeout, dis[i].FHIR.Timeout = nil, Duration(8*time.Second), Duration(8*time.Second)
	}
	in.cfg.DI = dis
	in.cfg.setDefaults()
	if path := os.Getenv("GREFFE_TEST_CHROMIUM"); path != "" {
		actx, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox,
			chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-dev-shm-usage", true))...)
		t.Cleanup(stop)
		ctx, end := chromedp.NewContext(actx)
		t.Cleanup(end)
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(1366, 768)); err != nil {
			t.Fatal(err)
		}
		pages[0].browser = ctx
	}
	in.start()
	defer in.halt()

	buttons := ruleButton.FindAllStringSubmatch(pages[0].read(), -1)
	if len(buttons) != 16 {
		t.Fatalf("%d buttons", len(buttons))
	}
	technical := slices.IndexFunc(buttons, func(b []string) bool { return strings.Contains(b[3], "technique") })
	buttons = append(slices.Delete(slices.Clone(buttons), technical, technical+1), buttons[technical]) // it stops the queue: last
	for n, b := range buttons {
		label := html.UnescapeString(b[3])
		state, code := greffe.StateWaiting, "" // any code
		switch {
		case strings.HasPrefix(label, "Refuser"):
			state, code = greffe.StateRefused, label[len("Refuser : "):][:3]
		case strings.Contains(label, "technique"):
			state = greffe.StateIncident
		case strings.Contains(label, "5 secondes"):
			state = greffe.StateDelivered
		}
		for _, p := range pages {
			p.press(b[2])
			if !strings.Contains(p.read(), label+", pour tous les messages.") {
				t.Errorf("the page does not say %q", label)
			}
		}
		began := time.Now()
		if _, err := in.mail.Append(sandbox.MailboxService, "INBOX", sandbox.PipelineMessage(n), time.Now()); err != nil {
			t.Fatal(err)
		}
		at := func(want greffe.State) func() (bool, string) {
			return func() (bool, string) {
				list, said := in.deliveriesOf(n)
				return len(list) == len(pages) && !slices.ContainsFunc(list, func(d index.Delivery) bool {
					// FHIR is asked what it has before anything is sent again: found there, it is integrated.
					if d.DI == "pharmacie" && strings.HasPrefix(label, "Intégrer") && d.State == greffe.StateDelivered {
						return false
					}
					return d.State != want || !strings.Contains(d.Outcome.Code, code)
				}), said
			}
		}
		in.until(fmt.Sprintf("%q: %s", label, state), at(state))
		if strings.Contains(label, "5 secondes") && time.Since(began) < 5*time.Second {
			t.Errorf("%q: answered after %v", label, time.Since(began))
		}
		for _, p := range pages {
			p.press("normal")
		}
		if state == greffe.StateWaiting {
			in.until(fmt.Sprintf("%q: integrated", label), at(greffe.StateDelivered))
		}
	}
	for i, p := range pages {
		s := p.di.Stats()
		if s.New != len(buttons)-8 || s.Repeats < 3 && dis[i].Protocol == "hl7v2" { // 7 refused, 1 stopped; what it forgot came again
			t.Errorf("%s: %+v", dis[i].Name, s)
		}
	}
	queues, err := in.db().Queues(t.Context())
	if err != nil || slices.ContainsFunc(queues, func(q index.Queue) bool { return q.StoppedDocument == "" }) {
		t.Errorf("a technical error did not stop each queue: %+v, %v", queues, err)
	}
}

// deliveriesOf returns the deliveries of the document of the n-th message, in the order of
// their mailbox, without the one that is about the document itself.
func (in *installation) deliveriesOf(n int) ([]index.Delivery, string) {
	ctx := context.Background()
	rows, _, err := in.db().Messages(ctx, index.MessageFilter{Limit: 100})
	if err != nil {
		return nil, err.Error()
	}
	i := slices.IndexFunc(rows, func(m index.Message) bool { return m.Origin.UID == uint32(n+1) })
	if i < 0 || len(rows[i].Documents) != 1 {
		return nil, "not archived yet"
	}
	list, err := in.db().Deliveries(ctx, rows[i].Documents[0].ID)
	list = slices.DeleteFunc(list, func(d index.Delivery) bool { return d.DI == "" })
	var said strings.Builder
	for _, d := range list {
		fmt.Fprintf(&said, "%s: %s %s; ", d.DI, d.State, d.Outcome.Code)
	}
	return list, fmt.Sprint(said.String(), err)
}
