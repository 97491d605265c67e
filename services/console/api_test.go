package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// The routes and the description say the same, both ways.
func TestAPIRoutesAreDescribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	routes := map[string]bool{}
	for _, rt := range w.console.routes() {
		if _, p, _ := strings.Cut(rt.pattern, " "); strings.HasPrefix(p, apiPath) {
			routes[rt.pattern] = true
		} else if rt.who&token != 0 {
			t.Errorf("%s: a token opens a page", rt.pattern)
		}
	}
	for path, item := range theSpec().tree["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			pattern := strings.ToUpper(method) + " " + path
			if !routes[pattern] {
				t.Errorf("%s is described and not there", pattern)
			}
			delete(routes, pattern)
		}
	}
	for pattern := range routes {
		t.Errorf("%s is not described", pattern)
	}
	// The description is there for everybody, as it is in the tree.
	a := w.visitor().get("/api/openapi.yaml")
	theSpec().hold(t, "GET", "/api/openapi.yaml", a)
	if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.body, "openapi: 3.1.0") {
		t.Errorf("status %d: %.100s", a.StatusCode, a.body)
	}
	if a := w.visitor().get("/api/openapi.yaml", "If-None-Match", a.Header.Get("ETag")); a.StatusCode != http.StatusNotModified {
		t.Errorf("known already: status %d", a.StatusCode)
	}
}

// apiRights is the table of who may do what by token, written a second time on purpose.
// s secretary, d professional (doctor), a auditor, r admin (root)
var apiRights = map[string]string{
	"GET /api/v1/queue":                     "sda",
	"POST /api/v1/queue/search":             "sda",
	"GET /api/v1/queue/choices":             "sda",
	"GET /api/v1/messages/{id}":             "sda",
	"GET /api/v1/messages/{id}/history":     "sda",
	"GET /api/v1/messages/{id}/original":    "sda",
	"GET /api/v1/messages/{id}/parts/{n}":   "sda",
	"POST /api/v1/messages/{id}/decisions":  "s",
	"GET /api/v1/documents/{id}":            "sda",
	"GET /api/v1/documents/{id}/history":    "sda",
	"GET /api/v1/documents/{id}/content":    "sda",
	"GET /api/v1/documents/{id}/readable":   "sda",
	"GET /api/v1/documents/{id}/candidates": "s",
	"POST /api/v1/documents/{id}/decisions": "s",
	"POST /api/v1/search":                   "sda",
	"POST /api/v1/journal/search":           "a",
	"GET /api/v1/health":                    "r",
}

// apiCalls is what a request of each route must carry to be taken, and what it leaves in
// the journal: an action, and a detail where it says more.
var apiCalls = map[string]struct{ body, action, detail string }{
	"GET /api/v1/queue":                     {"", "listed", ""},
	"POST /api/v1/queue/search":             {`{"text":"kervella"}`, "listed", "text"},
	"GET /api/v1/queue/choices":             {"", "listed", "choices"},
	"GET /api/v1/messages/{id}":             {"", "read", ""},
	"GET /api/v1/messages/{id}/history":     {"", "read", "history"},
	"GET /api/v1/messages/{id}/original":    {"", "downloaded", "message"},
	"GET /api/v1/messages/{id}/parts/{n}":   {"", "downloaded", "part 1"},
	"POST /api/v1/messages/{id}/decisions":  {`{"decision":"hold","revision":%d,"reason":"dossier 12"}`, "asked", ""},
	"GET /api/v1/documents/{id}":            {"", "read", ""},
	"GET /api/v1/documents/{id}/history":    {"", "read", "history"},
	"GET /api/v1/documents/{id}/content":    {"", "downloaded", "document"},
	"GET /api/v1/documents/{id}/readable":   {"", "downloaded", "body"},
	"GET /api/v1/documents/{id}/candidates": {"", "compared", ""},
	"POST /api/v1/documents/{id}/decisions": {`{"decision":"retry","revision":%d}`, "asked", ""},
	"POST /api/v1/search":                   {`{"name":"essai kerv"}`, "searched", "name"},
	"POST /api/v1/journal/search":           {`{"actor":"claire"}`, "read", "journal actor"},
	"GET /api/v1/health":                    {"", "read", "health"},
}

var refusedByDI = greffe.Outcome{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu."}

func (w *world) refusedDocument(n int, mailbox, folder, title string) greffe.Archived {
	w.t.Helper()
	return w.receive(mail{mailbox: mailbox, folder: folder, subject: title, body: "texte", docs: []doc{{facts: cda1(fmt.Sprint(n), 1, title, maelle), bytes: fmt.Appendf(nil, "<d%d/>", n), body: reportPDF(title), outcomes: []greffe.Outcome{refusedByDI}}}})
}

// TestEveryAPIRouteWithEveryToken walks the table with a token of each role, without one,
// with one that ended, and with the identifiers of what a token may not see. What is given
// and what is refused is in the journal, under the token's name.
func TestEveryAPIRouteWithEveryToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := w.refusedDocument(1, cardio, "INBOX/Dr Martin", "Lettre")
	theirs := w.refusedDocument(2, radio, "", "Scanner")
	beside := w.refusedDocument(3, cardio, "INBOX/Dr Ott", "Confidence")
	address := func(pattern string, m greffe.MessageID) (method, p string) {
		method, p, _ = strings.Cut(pattern, " ")
		id := string(m)
		if strings.Contains(p, "/documents/") {
			id = string(greffe.NewDocumentID(m, 1))
		}
		return method, strings.NewReplacer("{id}", id, "{n}", "0").Replace(p)
	}
	n := 0
	call := func(s *script, pattern string, m greffe.MessageID) answer {
		t.Helper()
		method, p := address(pattern, m)
		var body any
		if c := apiCalls[pattern]; c.body != "" {
			text := c.body
			if strings.Contains(text, "%d") {
				d, err := w.db.Message(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				rev := revision(d)
				if strings.Contains(p, "/documents/") {
					rev = documentRevision(d, greffe.NewDocumentID(m, 1))
				}
				text = fmt.Sprintf(text, rev)
			}
			body = []byte(text)
		}
		n++
		return s.ask(method, p, body, "Idempotency-Key", fmt.Sprintf("cle-%d-%d", n, time.Now().UnixNano()))
	}
	entry := func(s *script, action, subject, result, detail string) bool {
		for _, e := range w.journal() {
			if e.Actor == s.token.Actor() && e.Action == action && e.Subject == subject && e.Result == result && (detail == "" || e.Detail == detail) && e.From != "" {
				return true
			}
		}
		return false
	}
	scripts := map[string]*script{"s": w.script("secretary", cardio), "d": w.script("professional", cardio+"/INBOX/Dr Martin"), "a": w.script("auditor", index.Everywhere), "r": w.script("admin", index.Everywhere)}
	claire := w.as("claire")
	var routes []string
	for _, rt := range w.console.apiRoutes() {
		if rt.who&token == 0 {
			continue
		}
		routes = append(routes, rt.pattern)
		if apiRights[rt.pattern] == "" || apiCalls[rt.pattern].action == "" {
			t.Fatalf("%s is not in the tables of the test", rt.pattern)
		}
	}
	if len(routes) != len(apiRights) {
		t.Errorf("%d routes, %d in the table of the test", len(routes), len(apiRights))
	}
	for _, pattern := range routes {
		method, p := address(pattern, mine.ID)
		for letter, s := range scripts {
			a := call(s, pattern, mine.ID)
			subject := safeID(lastID(p))
			if strings.Contains(apiRights[pattern], letter) {
				if a.StatusCode >= 300 {
					t.Errorf("%s by %s: status %d: %s", pattern, letter, a.StatusCode, a.body)
				}
				if c := apiCalls[pattern]; !entry(s, c.action, subject, map[string]string{"asked": map[bool]string{true: "hold", false: "retry"}[strings.Contains(p, "/messages/")]}[c.action], c.detail) && !entry(s, c.action, subject, "ok", c.detail) {
					t.Errorf("%s by %s: no entry %s %s %q", pattern, letter, c.action, subject, c.detail)
				}
			} else if a.StatusCode != http.StatusForbidden || !entry(s, "denied", subject, "refused", pattern) {
				t.Errorf("%s by %s: status %d, journalled %v", pattern, letter, a.StatusCode, entry(s, "denied", subject, "refused", pattern))
			}
			for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Access-Control-Allow-Origin": "", "Set-Cookie": ""} {
				if got := a.Header.Get(name); got != want {
					t.Errorf("%s: %s: %q", pattern, name, got)
				}
			}
		}
		// A session is none here.
		if a := claire.do(method, p, strings.NewReader("{}"), "Content-Type", "application/json"); a.StatusCode != http.StatusUnauthorized || !strings.Contains(a.body, `"code":"token"`) || a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s by a session: status %d: %s", pattern, a.StatusCode, a.body)
		}
	}
	// Identifiers of another service do not exist.
	for _, x := range []struct {
		role string
		at   []string
		not  []greffe.MessageID
	}{
		{"secretary", []string{cardio}, []greffe.MessageID{theirs.ID}}, {"professional", []string{cardio + "/INBOX/Dr Martin"}, []greffe.MessageID{theirs.ID, beside.ID}},
		{"auditor", []string{radio}, []greffe.MessageID{mine.ID, beside.ID}}, {"secretary", nil, []greffe.MessageID{mine.ID, theirs.ID}},
	} {
		s := w.script(x.role, x.at...)
		for _, pattern := range routes {
			letter := map[string]string{"secretary": "s", "professional": "d", "auditor": "a"}[x.role]
			if !strings.Contains(pattern, "{id}") || !strings.Contains(apiRights[pattern], letter) {
				continue
			}
			for _, id := range x.not {
				_, p := address(pattern, id)
				a := call(s, pattern, id)
				if a.StatusCode != http.StatusNotFound || !entry(s, "denied", lastID(p), "refused", pattern) {
					t.Errorf("%s by %s of %v with an id that is not its: status %d", pattern, x.role, x.at, a.StatusCode)
				}
			}
		}
		for _, a := range []answer{s.ask("GET", "/api/v1/queue", nil), s.ask("POST", "/api/v1/queue/search", []byte(`{"text":"essai"}`)), s.ask("POST", "/api/v1/search", []byte(`{"name":"essai"}`)), s.ask("POST", "/api/v1/search", []byte(`{"ins":"`+maelle.INS.Extension+`"}`)), s.ask("POST", "/api/v1/search", []byte(`{"from":"2020-01-01"}`))} {
			for _, id := range x.not {
				if a.StatusCode != http.StatusOK || strings.Contains(a.body, string(id)) {
					t.Errorf("%s of %v: status %d, shows %s", x.role, x.at, a.StatusCode, id)
				}
			}
		}
	}
	// A token opens no page.
	for _, p := range []string{"/file", "/journal", "/systeme", "/messages/" + string(mine.ID), "/documents/" + string(mine.Documents[0]) + "/file", "/metrics", "/di/documents/" + string(mine.Documents[0])} {
		for _, s := range scripts {
			if a := s.get(p, "Authorization", "Bearer "+s.secret); a.StatusCode != http.StatusUnauthorized && !strings.HasPrefix(a.Header.Get("Location"), "/connexion") {
				t.Errorf("%s by a token: status %d", p, a.StatusCode)
			}
		}
	}
	for _, e := range w.journal() {
		for _, never := range []string{"kervella", "KERVELLA", "Lettre", cardio, maelle.INS.Extension, "greffe_"} {
			if strings.Contains(e.Subject+e.Detail+e.Result+e.From, never) {
				t.Errorf("the journal holds %q: %+v", never, e)
			}
		}
	}
}

// TestAPITokensEnd: at once when they are revoked, by themselves at their end; who goes on
// with one, or guesses, is journalled and told to wait.
func TestAPITokensEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.script("secretary", cardio)
	s.must(http.StatusOK, nil, "GET", "/api/v1/queue", nil)
	if k, err := w.db.TokenOf(t.Context(), s.token.Digest); err != nil || k.Used.IsZero() || k.From != "127.0.0.1" {
		t.Errorf("its last use is not noted: %+v %v", k, err)
	}
	if err := w.db.RevokeToken(t.Context(), s.token.ID, "root", func(index.Token) []index.Entry { return nil }); err != nil {
		t.Fatal(err)
	}
	s.refused(http.StatusUnauthorized, "token", "GET", "/api/v1/queue", nil)
	if !w.journalled(s.token.Actor(), "denied", "", "refused") {
		t.Error("the use of a revoked token is not in the journal")
	}
	late := w.script("secretary", cardio)
	late.secret, late.token = NewToken()
	late.token.Name, late.token.Role, late.token.Expires = "Fini", "secretary", time.Now().Add(-time.Second)
	if err := w.db.AddToken(t.Context(), late.token); err != nil {
		t.Fatal(err)
	}
	late.refused(http.StatusUnauthorized, "token", "GET", "/api/v1/queue", nil)
	if !w.journalled(late.token.Actor(), "denied", "", "refused") {
		t.Error("the use of a token that ended is not in the journal")
	}
	// Guessing.
	good, guess := w.script("secretary", cardio), w.script("secretary", cardio)
	guess.secret = "greffe_" + strings.Repeat("x", 43)
	for range maxPair {
		guess.refused(http.StatusUnauthorized, "token", "GET", "/api/v1/queue", nil)
	}
	for range 3 {
		guess.refused(http.StatusTooManyRequests, "locked-out", "GET", "/api/v1/queue", nil)
	}
	good.must(http.StatusOK, nil, "GET", "/api/v1/queue", nil)
	refused, locked := 0, 0
	for _, e := range w.journal() {
		if e.Action == "denied" && e.Detail == "api token" {
			refused += map[string]int{"refused": 1}[e.Result]
			locked += map[string]int{"locked": 1}[e.Result]
		}
	}
	if refused != maxPair-1 || locked != 1 {
		t.Errorf("%d refusals and %d lockouts in the journal", refused, locked)
	}
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic Y2xhaXJlOnNlY3JldA==", "Token " + good.secret} {
		a := w.visitor().get("/api/v1/queue", "Authorization", header)
		theSpec().hold(t, "GET", "/api/v1/queue", a)
		if a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: status %d", header, a.StatusCode)
		}
	}
}
