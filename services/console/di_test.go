package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

func TestDIFetchesByReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := []byte("<ClinicalDocument>contenu</ClinicalDocument>")
	a := w.receive(mail{subject: "x", docs: []doc{
		{facts: cda1("1", 1, "Lettre", maelle), bytes: body},
		{facts: cda1("2", 1, "Masquée", maelle), bytes: []byte("<m/>"), outcomes: []greffe.Outcome{{DI: "dpi", State: greffe.StateTodo}}},
		{facts: cda1("3", 1, "Ailleurs", maelle), bytes: []byte("<n/>"), outcomes: []greffe.Outcome{{DI: "ris", State: greffe.StateDelivered}}},
	}})
	w.given(a.Documents[0], "")
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
	// Once a person decided that it goes, the DI reads it while it is sent.
	w.given(a.Documents[1], "decision-1")
	if r := v.get("/di/documents/"+string(a.Documents[1]), token...); r.StatusCode != http.StatusOK {
		t.Errorf("a document that a person wants sent: status %d", r.StatusCode)
	}
	if r := v.get("/di/documents/"+string(a.Documents[2]), token...); r.StatusCode != http.StatusForbidden {
		t.Errorf("a document that went elsewhere: status %d", r.StatusCode)
	}
	// A test DI is sent past days again without a delivery of its own in the index.
	dis := w.console.di.get()
	dis[0].name, dis[0].test = "essai", true
	if r := v.get("/di/documents/"+string(a.Documents[2]), token...); r.StatusCode != http.StatusOK {
		t.Errorf("a document for the test DI: status %d", r.StatusCode)
	}
	if r := v.get("/di/documents/"+string(a.Documents[1]), token...); r.StatusCode != http.StatusForbidden {
		t.Errorf("a document that waits for a person, for the test DI: status %d", r.StatusCode)
	}
	// A session is no token, and a token opens no page.
	if r := w.as("paul").get(path); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a person: status %d", r.StatusCode)
	}
	if r := v.get("/documents/"+string(a.Documents[0]), token...); r.StatusCode != http.StatusSeeOther {
		t.Errorf("a page with the token: status %d", r.StatusCode)
	}
}

// given says that a document is on its way to the DI, as the integrator does before it
// sends a reference.
func (w *world) given(id greffe.DocumentID, attempt string) {
	w.t.Helper()
	if _, err := w.db.Route(w.t.Context(), id, "", []string{"dpi"}, time.Now(), attempt); err != nil {
		w.t.Fatal(err)
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
		if _, err := loadDI([]DIAccess{{Name: "dpi", TokenFile: path}}); err == nil {
			t.Errorf("token %q is accepted", content)
		} else if content != "" && strings.Contains(err.Error(), content) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
	if _, err := loadDI([]DIAccess{{Name: "dpi", TokenFile: filepath.Join(dir, "absent")}}); err == nil {
		t.Error("a missing file is accepted")
	}
}

// A certificate is taken as it is: another one of the same authority is not, nor is
// one that has ended, and a person's browser is asked for none of another authority.
// A token that was renewed is taken at once, and the one before no more.
func TestDITokenIsRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>")}}})
	w.given(a.Documents[0], "")
	path := filepath.Join(t.TempDir(), "dpi.token")
	write := func(token string) {
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const first, then = "premier-jeton-du-dpi-0123", "second-jeton-du-dpi-01234"
	write(first)
	var err error
	if w.console.di, err = watchDI([]DIAccess{{Name: "dpi", TokenFile: path}}, w.console.log); err != nil {
		t.Fatal(err)
	}
	takes := func(token string) bool {
		return w.visitor().get("/di/documents/"+string(a.Documents[0]), "Authorization", "Bearer "+token).StatusCode == http.StatusOK
	}
	if !takes(first) || takes(then) {
		t.Error("the first token")
	}
	write(then + "5") // another length: a clock that ticks slowly hides nothing
	if takes(first) || !takes(then+"5") {
		t.Error("the renewed token")
	}
	write("court")
	if !takes(then + "5") {
		t.Error("a token that is none took its place")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !takes(then + "5") {
		t.Error("without the file")
	}
}

func TestDIShowsItsCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>")}}})
	w.given(a.Documents[0], "")
	dir := t.TempDir()
	authority := newAuthority(t)
	now := time.Now()
	dpi, other, ended := authority.issue(t, now.Add(time.Hour)), authority.issue(t, now.Add(time.Hour)), authority.issue(t, now.Add(-time.Minute))
	known := filepath.Join(dir, "dpi.pem")
	writePEM(t, known, dpi.Leaf, ended.Leaf)
	var err error
	if w.console.di, err = watchDI([]DIAccess{{Name: "dpi", CertificateFile: known}}, w.console.log); err != nil {
		t.Fatal(err)
	}
	lender := httptest.NewTLSServer(nil) // of its certificate
	server := httptest.NewUnstartedServer(w.console.Handler())
	server.TLS = askingForDI(&tls.Config{Certificates: lender.TLS.Certificates}, w.console.di)
	lender.Close()
	server.StartTLS()
	defer server.Close()
	get := func(own *tls.Certificate) (status, asked int) {
		client := server.Client()
		tr := client.Transport.(*http.Transport).Clone()
		defer tr.CloseIdleConnections()
		tr.TLSClientConfig.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if own != nil && r.SupportsCertificate(own) == nil {
				asked++
				return own, nil
			}
			return &tls.Certificate{}, nil
		}
		resp, err := (&http.Client{Transport: tr}).Get(server.URL + "/di/documents/" + string(a.Documents[0]))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode, asked
	}
	card := newAuthority(t).issue(t, now.Add(time.Hour))
	for name, c := range map[string]struct {
		own    *tls.Certificate
		status int
		asked  int
	}{
		"the DI": {dpi, 200, 1}, "another of its authority": {other, 401, 1}, "ended": {ended, 401, 1},
		"a person's card": {card, 401, 0}, "none": {nil, 401, 0},
	} {
		if status, asked := get(c.own); status != c.status || asked != c.asked {
			t.Errorf("%s: status %d, asked %d", name, status, asked)
		}
	}
	if !w.journalled("dpi", "fetched", string(a.Documents[0]), "ok") {
		t.Error("the fetch is not in the journal")
	}
	// Renewed, by another authority: the new one is asked for and taken, the old one is not.
	// What is half written changes nothing.
	next := newAuthority(t).issue(t, now.Add(time.Hour))
	writePEM(t, known, next.Leaf)
	if status, asked := get(next); status != 200 || asked != 1 {
		t.Errorf("renewed: status %d, asked %d", status, asked)
	}
	if status, asked := get(dpi); status != 401 || asked != 0 {
		t.Errorf("the one before: status %d, asked %d", status, asked)
	}
	if err := os.WriteFile(known, []byte("-----BEGIN CERTIF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(next); status != 200 {
		t.Errorf("while it is written: status %d", status)
	}
	for name, content := range map[string]string{"vide": "", "clé": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "abîmé": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadDI([]DIAccess{{Name: "dpi", CertificateFile: path}}); err == nil {
			t.Errorf("a file that is %s is accepted", name)
		}
	}
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Autorité " + rand.Text()}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func (a authority) issue(t *testing.T, until time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(until.UnixNano()), Subject: pkix.Name{CommonName: "dpi"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func writePEM(t *testing.T, path string, certs ...*x509.Certificate) {
	t.Helper()
	var b []byte
	for _, c := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
