package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// rights is the table of who may do what, written a second time on purpose: a route
// that is added or opened without a thought fails here.
var rights = map[string]string{ // letters: p public, s secretary, a auditor, r admin (root), m machine
	"GET /connexion":                       "p",
	"POST /connexion":                      "p",
	"GET /session":                         "p",
	"GET /static/{file}":                   "p",
	"GET /healthz":                         "p",
	"GET /readyz":                          "p",
	"POST /deconnexion":                    "sar",
	"GET /{$}":                             "sar",
	"GET /aide":                            "sar",
	"GET /aide/regles":                     "sar",
	"GET /file":                            "sa",
	"POST /file":                           "sa",
	"GET /file/flux":                       "sa",
	"GET /messages/{id}":                   "sa",
	"GET /messages/{id}/original":          "sa",
	"POST /messages/{id}/original":         "a",
	"POST /messages/{id}/parties/{n}":      "a",
	"POST /documents/{id}/telechargement":  "a",
	"GET /messages/{id}/parties/{n}":       "sa",
	"GET /documents/{id}":                  "sa",
	"GET /documents/{id}/file":             "sa",
	"GET /documents/{id}/telechargement":   "sa",
	"POST /documents/{id}/decision":        "s",
	"POST /messages/{id}/accuse":           "s",
	"GET /recherche":                       "sa",
	"POST /recherche":                      "sa",
	"GET /journal":                         "a",
	"POST /journal":                        "a",
	"GET /systeme":                         "r",
	"POST /systeme/incidents/{id}/rejouer": "r",
	"GET /systeme/comptes":                 "r",
	"GET /di/documents/{id}":               "m",
}

// status asks for a route and returns the status; the body may never end (streams).
func (v *visitor) status(t *testing.T, method, path string, header ...string) (int, http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	body := ""
	if strings.HasSuffix(path, "/decision") {
		body = "decision=retry"
	}
	r, err := http.NewRequestWithContext(ctx, method, v.w.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := v.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header
}

func TestEveryRouteWithEveryRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused := greffe.Outcome{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu."}
	mine := w.receive(mail{subject: "À moi", body: "texte", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), body: reportPDF("a"), outcomes: []greffe.Outcome{refused}}}})
	theirs := w.receive(mail{mailbox: radio, subject: "À eux", body: "texte", docs: []doc{{facts: cda1("2", 1, "Scanner", dominique), bytes: []byte("<b/>"), body: reportPDF("b"), outcomes: []greffe.Outcome{refused}}}})

	for i, m := range []greffe.MessageID{mine.ID, theirs.ID} {
		asked := greffe.Answer{Key: fmt.Sprint(i), Message: m, Kind: "ask", State: greffe.AnswerAsked, Recipient: "x@cabinet.example"}
		if _, err := w.db.ClaimAnswer(t.Context(), asked); err != nil {
			t.Fatal(err)
		}
	}
	path := func(pattern string, m greffe.MessageID) (method, p string) {
		method, p, _ = strings.Cut(pattern, " ")
		switch {
		case strings.Contains(p, "/documents/"):
			p = strings.Replace(p, "{id}", string(greffe.NewDocumentID(m, 1)), 1)
		case strings.Contains(p, "/incidents/"):
			p = strings.Replace(p, "{id}", "inconnu", 1)
		}
		p = strings.NewReplacer("{id}", string(m), "{n}", "0", "{file}", "greffe.css", "{$}", "").Replace(p)
		return method, p
	}
	people := []struct {
		letter, login string
	}{{"s", "claire"}, {"a", "paul"}, {"r", "root"}, {"-", ""}}

	routes := w.console.routes()
	if len(routes) != len(rights) {
		t.Errorf("%d routes, %d in the table of the test", len(routes), len(rights))
	}
	for _, who := range people {
		v := w.visitor()
		if who.login != "" {
			v = w.as(who.login)
		}
		// Logging out comes last: it ends the session of the others.
		for _, last := range []bool{false, true} {
			for _, rt := range routes {
				if (rt.pattern == "POST /deconnexion") != last {
					continue
				}
				allowed, known := rights[rt.pattern]
				if !known {
					t.Errorf("%s is not in the table of the test", rt.pattern)
				}
				method, p := path(rt.pattern, mine.ID)
				got, h := v.status(t, method, p)
				switch {
				case allowed == "m":
					if got != http.StatusUnauthorized {
						t.Errorf("%s by %q without a token: status %d", rt.pattern, who.login, got)
					}
				case allowed == "p" || strings.Contains(allowed, who.letter):
					if got == http.StatusForbidden || got >= 500 || rt.pattern != "POST /connexion" && got >= 400 && !(rt.pattern == "GET /session" && who.login == "") && !(method == "POST" && got == http.StatusUnprocessableEntity) {
						t.Errorf("%s by %q: status %d, want allowed", rt.pattern, who.login, got)
					}
				case who.login == "":
					if toLogin := got == http.StatusSeeOther && strings.HasPrefix(h.Get("Location"), "/connexion"); !toLogin && got != http.StatusUnauthorized {
						t.Errorf("%s by nobody: status %d to %q", rt.pattern, got, h.Get("Location"))
					}
				default:
					if got != http.StatusForbidden {
						t.Errorf("%s by %q: status %d, want 403", rt.pattern, who.login, got)
					}
					if !w.journalled(who.login, "denied", safeID(lastID(p)), "refused") {
						t.Errorf("%s by %q: refusal not in the journal", rt.pattern, who.login)
					}
				}
				// Whatever the answer, it carries the defences.
				if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
					t.Errorf("%s by %q: policy %q", rt.pattern, who.login, csp)
				}
				if h.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%s by %q: no nosniff", rt.pattern, who.login)
				}
				if cc := h.Get("Cache-Control"); !strings.HasPrefix(p, "/static/") && cc != "no-store" {
					t.Errorf("%s by %q: Cache-Control %q", rt.pattern, who.login, cc)
				}
			}
		}
	}

	// The same routes with the identifiers of another service's message.
	claire := w.as("claire")
	for _, rt := range routes {
		if !strings.Contains(rt.pattern, "{id}") || rt.who&secretary == 0 {
			continue
		}
		method, p := path(rt.pattern, theirs.ID)
		if got, _ := claire.status(t, method, p); got != http.StatusNotFound {
			t.Errorf("%s with the id of another mailbox: status %d, want 404", rt.pattern, got)
		}
		if !w.journalled("claire", "denied", lastID(p), "refused") {
			t.Errorf("%s with the id of another mailbox: not in the journal", rt.pattern)
		}
	}
	if got := claire.page("/file"); strings.Contains(content(got), "Scanner") {
		t.Error("the queue shows a message of another mailbox")
	}
	a := claire.post("/recherche", url.Values{"nom": {"PAT"}})
	if got := content(claire.page(a.Header.Get("Location"))); strings.Contains(got, "Scanner") {
		t.Errorf("the search finds a document of another mailbox: %s", got)
	}
	if got, _ := w.as("radio").status(t, "GET", "/messages/"+string(theirs.ID)); got != http.StatusOK {
		t.Errorf("a secretary of the mailbox: status %d", got)
	}
}

// lastID returns the identifier in a path.
func lastID(path string) string {
	for s := range strings.SplitSeq(path, "/") {
		if safeID(s) != "" {
			return s
		}
	}
	return ""
}

func TestCrossSiteRequestsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claire := w.as("claire")
	for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://ailleurs.example"}} {
		if got, _ := claire.status(t, "POST", "/deconnexion", h...); got != http.StatusForbidden {
			t.Errorf("POST with %v: status %d, want 403", h, got)
		}
	}
	if got := claire.get("/file").StatusCode; got != http.StatusOK {
		t.Errorf("the session after it: status %d", got)
	}
	if a := claire.post("/recherche", url.Values{"nom": {strings.Repeat("a", maxBody+1)}}); a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body over the limit: status %d", a.StatusCode)
	}
}

func TestUnknownIdentifiersAreNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paul := w.as("paul")
	for _, p := range []string{"/messages/x", "/messages/" + strings.Repeat("0", 26), "/documents/" + strings.Repeat("0", 26) + "-1", "/documents/..%2f..%2fetc", "/messages/%00", "/static/..%2fconsole.go", "/rien", "/messages/" + strings.Repeat("0", 26) + "/parties/-1"} {
		if got, _ := paul.status(t, "GET", p); got != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404", p, got)
		}
	}
}
