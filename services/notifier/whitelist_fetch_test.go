package notifier

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// listServer serves what it is told to.
type listServer struct {
	*httptest.Server
	ca string

	mu       sync.Mutex
	body     string
	status   int
	requests int
	unread   int // answered 304
}

func newListServer(t *testing.T) *listServer {
	t.Helper()
	s := &listServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests++
		tag := `"` + keyOf(s.body) + `"`
		switch {
		case s.status != 0:
			w.WriteHeader(s.status)
		case r.URL.Path == "/plain":
			http.Redirect(w, r, "http://"+r.Host+"/", http.StatusFound)
		case r.Header.Get("If-None-Match") == tag:
			s.unread++
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("ETag", tag)
			fmt.Fprint(w, s.body)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *listServer) give(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "d%d.mssante.example\n", i)
	}
	return b.String()
}

// The list of an address is asked for only when it is another one; what is wrong with the
// address, or with what it gives, leaves the last good list in force, over a restart, too.
func TestWhiteListFromAnAddress(t *testing.T) {
	t.Parallel()
	s := newListServer(t)
	s.give(0, numbered(100))
	cfg := WhiteList{Source: s.URL, CA: s.ca, Copy: filepath.Join(t.TempDir(), "white-list.last"), Shrink: 0.2}
	w := newWhiteList(cfg)
	if w.loaded() || w.has("d1.mssante.example") || checkWhiteList(w).OK && w.loaded() {
		t.Error("a list before the first fetch")
	}
	for range 2 {
		if err := w.fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.requests != 2 || s.unread != 1 || !w.has("d99.mssante.example") {
		t.Errorf("%d requests, %d without a list", s.requests, s.unread)
	}
	if c := checkWhiteList(w); !c.OK || !strings.Contains(c.Text, "100 domaines, liste d’il y a 0 min") {
		t.Errorf("%+v", c)
	}
	again := newWhiteList(cfg)
	if !again.has("d99.mssante.example") {
		t.Error("a restart forgets the list")
	}
	for _, bad := range []struct {
		name   string
		status int
		body   string
		shrunk bool
	}{
		{"away", 503, "", false}, {"empty", 0, "", false}, {"a page", 0, "<html><body>Bonjour</body></html>", false},
		{"torn", 0, "<ListeBlanche><Domaine><Nom>d1.mssante.example</Nom>", false}, {"too long", 0, strings.Repeat("x", maxWhiteList+1), false},
		{"shrunk", 0, numbered(79), true}, {"others", 0, strings.ReplaceAll(numbered(100), "d", "e"), true},
	} {
		s.give(bad.status, bad.body)
		err := w.fetch(t.Context())
		if err == nil || errors.Is(err, errShrunk) != bad.shrunk || !w.has("d99.mssante.example") {
			t.Errorf("%s: %v", bad.name, err)
		}
		if c := checkWhiteList(w); c.OK || !strings.Contains(c.Text, "100 domaines") || strings.Contains(c.Text, "perdu") != bad.shrunk {
			t.Errorf("%s: %+v", bad.name, c)
		}
	}
	s.give(0, numbered(81))
	if err := w.fetch(t.Context()); err != nil || w.has("d99.mssante.example") || !checkWhiteList(w).OK {
		t.Errorf("a list that lost less than may be: %v", err)
	}
	// Old, because nobody could be asked for days.
	old := time.Now().Add(-8 * 24 * time.Hour)
	if err := os.Chtimes(cfg.Copy, old, old); err != nil {
		t.Fatal(err)
	}
	if c := checkWhiteList(newWhiteList(cfg)); c.OK || !strings.Contains(c.Text, "il y a 8 jours") {
		t.Errorf("%+v", c)
	}

	cfg.Copy = ""
	for name, change := range map[string]func(*WhiteList){
		"of another authority": func(w *WhiteList) { w.CA = "" }, "sent on without TLS": func(w *WhiteList) { w.Source += "/plain" },
		"no such authority": func(w *WhiteList) { w.CA = "/nowhere" },
	} {
		cfg := cfg
		change(&cfg)
		if w := newWhiteList(cfg); w.fetch(t.Context()) == nil || w.loaded() {
			t.Errorf("a list %s is taken", name)
		}
	}
}

// A file that is torn at a restart does not take the list away.
func TestWhiteListOfAFileOutlivesIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := WhiteList{Source: filepath.Join(dir, "list"), Copy: filepath.Join(dir, "white-list.last")}
	if err := os.WriteFile(cfg.Source, []byte(numbered(20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if !newWhiteList(cfg).has("d19.mssante.example") {
		t.Fatal("not read")
	}
	for _, b := range []string{"<ListeBlanche>", numbered(10), ""} {
		if err := os.WriteFile(cfg.Source, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		w := newWhiteList(cfg)
		if _, _, err := w.check(); err == nil || !w.has("d19.mssante.example") {
			t.Errorf("%.20q: %v", b, err)
		}
	}
}
