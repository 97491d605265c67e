package console

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

func TestDIFetchesByReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := []byte("<ClinicalDocument>contenu</ClinicalDocument>")
	a := w.receive(mail{subject: "x", docs: []doc{
		{facts: cda1("1", 1, "Lettre", maelle), bytes: body},
		{facts: cda1("2", 1, "Masquée", maelle), bytes: []byte("<m/>"), outcomes: []greffe.Outcome{{State: greffe.StateTodo}}},
	}})
	path := "/di/documents/" + string(a.Documents[0])
	token := []string{"Authorization", "Bearer " + diToken1}
	v := w.visitor()

	got := v.get(path, token...)
	if got.StatusCode != http.StatusOK || got.body != string(body) || got.Header.Get("Content-Type") != "text/xml" || got.Header.Get("Repr-Digest") != reprDigest(greffe.DigestOf(body)) {
		t.Errorf("status %d, %v", got.StatusCode, got.Header)
	}
	if !w.journalled("dpi", "fetched", string(a.Documents[0]), "ok") {
		t.Error("the fetch is not in the journal")
	}
	part := v.get(path, append(token, "Range", "bytes=1-16")...)
	if part.StatusCode != http.StatusPartialContent || part.body != "ClinicalDocument" {
		t.Errorf("range: status %d, %q", part.StatusCode, part.body)
	}
	if same := v.get(path, append(token, "If-None-Match", got.Header.Get("ETag"))...); same.StatusCode != http.StatusNotModified {
		t.Errorf("same ETag: status %d", same.StatusCode)
	}
	for _, bad := range []string{"", "Bearer", "Bearer faux", "Basic " + diToken1, diToken1} {
		if r := v.get(path, "Authorization", bad); r.StatusCode != http.StatusUnauthorized || strings.Contains(r.body, "contenu") || r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("Authorization %q: status %d", bad, r.StatusCode)
		}
	}
	if !w.journalled("", "denied", string(a.Documents[0]), "refused") {
		t.Error("the refusal is not in the journal")
	}
	if r := v.get("/di/documents/"+string(a.Documents[1]), token...); r.StatusCode != http.StatusForbidden {
		t.Errorf("a document that waits for a person: status %d", r.StatusCode)
	}
	if r := v.get("/di/documents/"+strings.Repeat("0", 26)+"-1", token...); r.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown document: status %d", r.StatusCode)
	}
	// A session is no token, and a token opens no page.
	if r := w.as("paul").get(path); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a person: status %d", r.StatusCode)
	}
	if r := v.get("/documents/"+string(a.Documents[0]), token...); r.StatusCode != http.StatusSeeOther {
		t.Errorf("a page with the token: status %d", r.StatusCode)
	}
}

func TestDITokensAreChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"court": "abc", "vide": "", "deux mots": "jeton-de-vingt-caracteres et plus"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadDITokens([]DIAccess{{Name: "dpi", TokenFile: path}}); err == nil {
			t.Errorf("token %q is accepted", content)
		} else if content != "" && strings.Contains(err.Error(), content) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
	if _, err := loadDITokens([]DIAccess{{Name: "dpi", TokenFile: filepath.Join(dir, "absent")}}); err == nil {
		t.Error("a missing file is accepted")
	}
}
