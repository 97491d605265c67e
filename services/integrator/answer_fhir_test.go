package integrator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
)

func complaint(severity, code, app, text string) string {
	return fmt.Sprintf(`{"resourceType":"OperationOutcome","issue":[{"severity":%q,"code":%q,"details":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0533","code":%q}],"text":%q}}]}`, severity, code, app, text)
}

// Each row of the table of answers.
func TestFHIRAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		header string // Retry-After
		body   string
		state  greffe.State
		code   string
		text   string // part of it
		after  time.Duration
		silent bool
		stops  bool
	}{
		{status: 400, state: greffe.StateIncident, code: "400", text: "erreur technique 400", stops: true},
		{status: 400, body: complaint("error", "structure", "", "mal formé"), state: greffe.StateIncident, code: "400", text: "« mal formé »", stops: true},
		{status: 400, body: complaint("error", "business-rule", "904", ""), state: greffe.StateRefused, code: "400 904", text: "traits d'identité"},
		{status: 401, state: greffe.StateWaiting, code: "401", text: "jeton ou le certificat", silent: true},
		{status: 403, state: greffe.StateWaiting, code: "403", text: "jeton ou le certificat", silent: true},
		{status: 404, state: greffe.StateIncident, code: "404", stops: true},
		{status: 405, state: greffe.StateIncident, code: "405", stops: true},
		{status: 408, state: greffe.StateWaiting, code: "408", text: "plus tard"},
		{status: 409, state: greffe.StateWaiting, code: "409", text: "nouvel essai"},
		{status: 409, body: complaint("error", "duplicate", "", "déjà là"), state: greffe.StateRefused, code: "409", text: "« déjà là »"},
		{status: 410, state: greffe.StateIncident, code: "410", stops: true},
		{status: 412, body: complaint("error", "multiple-matches", "", "plusieurs"), state: greffe.StateRefused, code: "412", text: "« plusieurs »"},
		{status: 413, state: greffe.StateRefused, code: "413", text: "trop volumineux"},
		{status: 415, state: greffe.StateIncident, code: "415", stops: true},
		{status: 422, body: complaint("error", "invalid", "", "type absent"), state: greffe.StateRefused, code: "422", text: "« type absent »"},
		{status: 422, body: complaint("error", "business-rule", "902", "inconnu"), state: greffe.StateRefused, code: "422 902", text: "patient est inconnu"},
		{status: 422, body: complaint("warning", "business-rule", "902", "à noter"), state: greffe.StateRefused, code: "422", text: "« à noter »"},
		{status: 423, state: greffe.StateWaiting, code: "423"},
		{status: 429, header: "30", state: greffe.StateWaiting, code: "429", text: "plus tard", after: 30 * time.Second, silent: true},
		{status: 429, header: "86400", state: greffe.StateWaiting, code: "429", after: time.Hour, silent: true},
		{status: 500, state: greffe.StateWaiting, code: "500"},
		{status: 500, body: complaint("error", "exception", "900", ""), state: greffe.StateRefused, code: "500 900"},
		{status: 501, state: greffe.StateIncident, code: "501", stops: true},
		{status: 502, state: greffe.StateWaiting, code: "502", silent: true},
		{status: 503, header: time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), state: greffe.StateWaiting, code: "503", after: -1, silent: true},
		{status: 504, state: greffe.StateWaiting, code: "504", silent: true},
		{status: 507, state: greffe.StateWaiting, code: "507"},
		{status: 200, body: complaint("fatal", "processing", "", "pas gardé"), state: greffe.StateIncident, code: "200", text: "« pas gardé »", stops: true},
		{status: 302, state: greffe.StateIncident, code: "302", stops: true},
	} {
		t.Run(fmt.Sprint(c.status, c.header != "", len(c.body)), func(t *testing.T) {
			t.Parallel()
			s := script(t, "reference", func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/_search") { // nothing is there
					io.WriteString(w, `{"resourceType":"Bundle"}`)
					return
				}
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			r := s.send(t, document(1))
			if r.State != c.state || r.Code != c.code || !strings.Contains(r.Text, c.text) || r.Silent != c.silent || r.Stops != c.stops {
				t.Errorf("%+v", r)
			}
			if c.after >= 0 && r.After != c.after || c.after < 0 && (r.After <= 0 || r.After > time.Minute) {
				t.Errorf("come back after %s", r.After)
			}
		})
	}
}

// scripted is a sender to a server that answers as a test says.
type scripted struct {
	sender Sender
	mu     sync.Mutex
	asked  []string
}

func script(t *testing.T, mode string, f http.HandlerFunc) *scripted {
	t.Helper()
	s := &scripted{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/fhir"))
		s.mu.Unlock()
		f(w, r)
	}))
	t.Cleanup(server.Close)
	d := DI{Name: "dpi", Protocol: "fhir", FHIR: FHIR{Base: server.URL + "/fhir", Mode: mode, Deletion: "entered-in-error", Timeout: 20 * time.Second}}
	var err error
	if s.sender, err = d.open(Config{ConsoleURL: "https://greffe.example"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sender.Close)
	return s
}

func (s *scripted) send(t *testing.T, d greffe.Document, change ...func(*Delivery)) Result {
	t.Helper()
	delivery := (&bench{bytes: map[string][]byte{}}).delivery(d)
	for _, f := range change {
		f(&delivery)
	}
	r, err := s.sender.Send(t.Context(), delivery)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shelf answers a search with references of the identifier that is asked for.
func shelf(w http.ResponseWriter, r *http.Request, status string, subject greffe.OID, ids ...string) {
	system, value, _ := strings.Cut(r.PostFormValue("identifier"), "|")
	b := fhir.Bundle{ResourceType: "Bundle", Type: "searchset"}
	for _, id := range ids {
		who := fhir.Master(subject)
		raw, _ := json.Marshal(fhir.DocumentReference{ResourceType: "DocumentReference", ID: id, Status: status,
			Identifier: []fhir.Identifier{{System: system, Value: value}}, Subject: &fhir.Reference{Identifier: &who}})
		b.Entry = append(b.Entry, fhir.Entry{Resource: raw})
	}
	json.NewEncoder(w).Encode(b)
}

func isEntry(r *http.Request) bool {
	return strings.Contains(r.PostFormValue("identifier"), "urn:uuid:")
}

// A server that says that it may have the document is asked whether it has.
func TestFHIRDuplicates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		there []string
		body  string
		code  int
		state greffe.State
		want  string
	}{
		{"it has it", []string{"7"}, "", 409, greffe.StateDelivered, "200"},
		{"it has it, by its own word", []string{"7"}, complaint("error", "duplicate", "", ""), 400, greffe.StateDelivered, "200"},
		{"it has it twice", []string{"7", "8"}, "", 412, greffe.StateRefused, "412"},
		{"it has not", nil, "", 412, greffe.StateRefused, "412"},
		{"it works on it", nil, "", 409, greffe.StateWaiting, "409"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := script(t, "reference", func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/_search") {
					shelf(w, r, "current", patient().INS, c.there...)
					return
				}
				w.WriteHeader(c.code)
				io.WriteString(w, c.body)
			})
			r := s.send(t, document(1))
			if r.State != c.state || r.Code != c.want || c.state == greffe.StateDelivered && r.Reference != "DocumentReference/7" {
				t.Errorf("%+v", r)
			}
			if len(c.there) == 2 && r.Text != textTwice {
				t.Errorf("%s", r.Text)
			}
		})
	}
}

// A repeat in mode mhd sends nothing again: a Binary would be there twice.
func TestMHDRepeatSendsNothing(t *testing.T) {
	t.Parallel()
	s := script(t, "mhd", func(w http.ResponseWriter, r *http.Request) { shelf(w, r, "current", patient().INS, "7") })
	if r := s.send(t, document(1)); r.State != greffe.StateDelivered || r.Reference != "DocumentReference/7" || !slices.Equal(s.asked, []string{"POST /DocumentReference/_search"}) {
		t.Errorf("%+v after %v", r, s.asked)
	}
}

func replacement() greffe.Document {
	d := document(2)
	d.Action, d.Version, d.Replaces = greffe.ActionReplace, 2, document(1).UniqueID
	return d
}

// What a replacement or deletion is about is looked for with care: it is another
// document's status that is changed.
func TestFHIRParents(t *testing.T) {
	t.Parallel()
	other := greffe.OID{Root: rootINS, Extension: "155082A99912348"}
	known := func(d *Delivery) { d.ParentReference, d.Reference = "DocumentReference/old", "DocumentReference/old" }
	for _, c := range []struct {
		name   string
		status string
		who    greffe.OID
		there  []string // answers to a search by the document's number
		change func(*Delivery)
		state  greffe.State
		code   string
		sent   bool
	}{
		{name: "one", status: "current", who: patient().INS, there: []string{"p"}, state: greffe.StateDelivered, code: "200", sent: true},
		{name: "none", state: greffe.StateRefused, code: "900"},
		{name: "two", status: "current", who: patient().INS, there: []string{"p", "q"}, state: greffe.StateRefused, code: "900"},
		{name: "superseded", status: "superseded", who: patient().INS, there: []string{"p"}, state: greffe.StateRefused, code: "900"},
		{name: "another patient's", status: "current", who: other, there: []string{"p"}, state: greffe.StateRefused, code: "904"},
		{name: "moved since", status: "current", who: patient().INS, there: []string{"p"}, change: known, state: greffe.StateDelivered, code: "200", sent: true},
		{name: "gone since", change: known, state: greffe.StateRefused, code: "900"},
	} {
		for _, mode := range []string{"reference", "mhd"} {
			t.Run(mode+" "+c.name, func(t *testing.T) {
				t.Parallel()
				posted := 0
				s := script(t, mode, func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "/_search") {
						if isEntry(r) {
							shelf(w, r, "", other)
						} else {
							shelf(w, r, c.status, c.who, c.there...)
						}
						return
					}
					var b fhir.Bundle
					if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
						t.Error(err)
					}
					out := fhir.Bundle{ResourceType: "Bundle"}
					for _, e := range b.Entry {
						if e.Request.URL == "DocumentReference/old" {
							w.WriteHeader(http.StatusNotFound)
							io.WriteString(w, complaint("error", "not-found", "", ""))
							return
						}
						out.Entry = append(out.Entry, fhir.Entry{Response: &fhir.Response{Status: "200", Location: "DocumentReference/new"}})
					}
					posted++
					json.NewEncoder(w).Encode(out)
				})
				var change []func(*Delivery)
				if c.change != nil {
					change = append(change, c.change)
				}
				r := s.send(t, replacement(), change...)
				if r.State != c.state || r.Code != c.code || (posted == 1) != c.sent {
					t.Errorf("%+v, sent %d times", r, posted)
				}
			})
		}
	}
}

// A server that takes the document and not the replacement is told of.
func TestFHIRHalfReplacements(t *testing.T) {
	t.Parallel()
	const partly = `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"processing","details":{"coding":[{"code":"PartialReplaceContentNotProcessed"}]}}]}`
	for _, c := range []struct {
		name, mode string
		patch      int
		state      greffe.State
		still      bool
	}{
		{"says so", "mhd", 0, greffe.StateDelivered, true},
		{"cannot", "simplified", 405, greffe.StateDelivered, true},
		{"can", "simplified", 200, greffe.StateDelivered, false},
		{"not now", "simplified", 503, greffe.StateWaiting, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := script(t, c.mode, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/_search"):
					shelf(w, r, "current", patient().INS, map[bool][]string{true: nil, false: {"p"}}[isEntry(r)]...)
				case r.Method == http.MethodPatch:
					w.WriteHeader(c.patch)
				case c.mode == "simplified":
					w.Header().Set("Location", "DocumentReference/new")
					w.WriteHeader(http.StatusCreated)
				default:
					one := `{"response":{"status":"201","location":"DocumentReference/new","outcome":` + partly + `}}`
					fmt.Fprintf(w, `{"resourceType":"Bundle","entry":[%s,%s,%s,%s]}`, one, one, one, one)
				}
			})
			r := s.send(t, replacement())
			if r.State != c.state || strings.HasSuffix(r.Text, textStillThere) != c.still {
				t.Errorf("%+v after %v", r, s.asked)
			}
		})
	}
}

// Without a token nothing is sent, and it is not the DI that is said to be away.
func TestFHIRWithoutToken(t *testing.T) {
	t.Parallel()
	d := DI{Name: "dpi", Protocol: "fhir", FHIR: FHIR{Base: "http://127.0.0.1:1/fhir", Mode: "mhd", TokenFile: "/nulle/part"}}
	sender, err := d.open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	s := &scripted{sender: sender}
	if r := s.send(t, document(1)); r.State != greffe.StateWaiting || r.Code != "no token" || r.Text != textNoToken || !r.Silent {
		t.Errorf("%+v", r)
	}
}
