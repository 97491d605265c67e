package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// press presses the button of a form: it posts the fields that the page has in the form of
// that action, with what a person fills in, and returns the page that comes then.
func press(t *testing.T, c *http.Client, at string, page []byte, action string, typed url.Values) (*http.Response, []byte) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	attr := func(n *html.Node, name string) string {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
		return ""
	}
	for form := range root.Descendants() {
		if form.Data != "form" || attr(form, "action") != action || attr(form, "method") != "post" {
			continue
		}
		fields := url.Values{}
		for n := range form.Descendants() {
			if name := attr(n, "name"); name != "" && n.Data == "input" && attr(n, "type") == "hidden" {
				fields.Add(name, attr(n, "value"))
			}
		}
		for name, values := range typed {
			fields[name] = values
		}
		resp, err := c.PostForm(at+action, fields)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("POST %s: %s %v\n%s", action, resp.Status, err, body)
		}
		return resp, body
	}
	t.Fatalf("the page has no form to %s:\n%s", action, page)
	return nil, nil
}

var packLink = regexp.MustCompile(`/preuves/[A-Z0-9]+/telechargement`)

// auditorProves: an auditor asks on the pages for a proof of all that a search finds; the
// storage service builds it; what is downloaded holds without this installation.
func auditorProves(t *testing.T, s *scene) {
	c, at, doc := s.login("auditor"), s.console(), s.aDelivered(t)
	resp, err := c.PostForm(at+"/recherche", url.Values{"ins": {doc.Facts.Patient.INS.Extension}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	found := resp.Request.URL.Query().Get("q")
	if found == "" {
		t.Fatalf("the search leads to %s", resp.Request.URL)
	}
	_, page := get(t, c, at+"/recherche?q="+found)
	_, page = press(t, c, at, page, "/preuves/choix", url.Values{"tout": {"1"}})
	_, page = press(t, c, at, page, "/preuves", url.Values{"motif": {"Réclamation d’essai"}})
	link := ""
	s.until("the pack is ready", func() (bool, string) {
		if strings.Contains(string(page), "N’a pas pu être fait") {
			t.Fatalf("the pack failed:\n%s", page)
		}
		link = packLink.FindString(string(page))
		if link == "" {
			_, page = get(t, c, at+"/preuves")
		}
		return link != "", "no link on the page"
	})
	resp, pack := get(t, c, at+link)
	if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Content-Disposition"), ".zip") {
		t.Fatalf("the pack: %s %v", resp.Status, resp.Header)
	}

	// The pack goes to a judge, who has it and the public key, and nothing else of ours.
	dir := t.TempDir()
	file, key := filepath.Join(dir, "pack.zip"), filepath.Join(dir, "greffe.pub")
	code, public, errs := cli(nil, "keys", "--config", s.configFile())
	if code != exitOK {
		t.Fatalf("keys: exit %d: %s", code, errs)
	}
	for name, b := range map[string][]byte{file: pack, key: []byte(public)} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, rep := verifyPack(t, file, key)
	if code != exitOK || rep.Verdict == evidence.StatusKO || rep.Unchecked {
		t.Errorf("verify --pack: exit %d, %s", code, rep.Verdict)
	}
	for _, k := range rep.Checks {
		switch {
		case k.Status == evidence.StatusOK, strings.HasPrefix(k.ID, "token."), strings.HasPrefix(k.ID, "stamp."): // no authority stamps this journal
		case s.dep.real && k.ID == "archive.lock" && k.Status == evidence.StatusWarning: // the locks are of one minute there
		default:
			t.Errorf("%s: %s: %+v", k.ID, k.Status, k.Faults)
		}
	}
	// What was asked for is in it, in clear, whatever the archive is like.
	if files := readPack(t, file); !slices.ContainsFunc(files, func(f packFile) bool { return greffe.DigestOf(f.b) == doc.Facts.SHA256 }) {
		t.Error("the document is not in the pack")
	}
	changed := bytes.Clone(pack)
	changed[len(changed)/2] ^= 1
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := cli(nil, "verify", "--pack", file, "--key", key); code != exitWrong {
		t.Errorf("a changed byte: verify --pack exits with %d", code)
	}
	for _, action := range []string{"pack-asked", "pack-built", "pack-downloaded"} {
		list, err := s.db().SearchJournal(context.Background(), index.JournalFilter{Action: action})
		if err != nil || len(list) != 1 || !strings.Contains(link, list[0].Subject) {
			t.Errorf("%q in the journal: %+v %v", action, list, err)
		}
	}
}

// auditorVerifies: one message is verified on the spot, from its document's page.
func auditorVerifies(t *testing.T, s *scene) {
	c, at, doc := s.login("auditor"), s.console(), s.aDelivered(t)
	_, page := get(t, c, at+"/documents/"+string(doc.ID))
	_, page = press(t, c, at, page, "/documents/"+string(doc.ID)+"/verification", nil)
	s.until("the message is verified", func() (bool, string) {
		if strings.Contains(string(page), "Vérification en cours") {
			_, page = get(t, c, at+"/messages/"+string(doc.Message)+"/verification")
			return false, "it goes on"
		}
		return true, ""
	})
	if !strings.Contains(string(page), "Rien ne manque, rien ne diffère") || strings.Contains(string(page), "En défaut") {
		t.Errorf("the verification says:\n%s", page)
	}
	list, err := s.db().SearchJournal(context.Background(), index.JournalFilter{Action: "verified", Subject: string(doc.Message)})
	if err != nil || len(list) != 1 || list[0].Result != "ok" {
		t.Errorf("in the journal: %+v %v", list, err)
	}
}
