package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"greffe/pkg/evidence"
	"greffe/pkg/index"
	"greffe/services/storage"
)

// timeAuthority serves time stamps; it returns its address and the file of its root.
func timeAuthority(t testing.TB) (url, ca string) {
	t.Helper()
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	make := func(n int64, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(n), time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0)
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, key
	}
	root, rootKey := make(1, &x509.Certificate{Subject: pkix.Name{CommonName: "Racine d’essai"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	cert, key := make(2, &x509.Certificate{Subject: pkix.Name{CommonName: "Horodatage d’essai"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}, root, rootKey)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		q, err := timestamp.ParseRequest(b)
		if err != nil {
			t.Error(err)
			return
		}
		ts := timestamp.Timestamp{HashAlgorithm: q.HashAlgorithm, HashedMessage: q.HashedMessage, Time: time.Now().UTC(), Nonce: q.Nonce,
			Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: true}
		answer, err := ts.CreateResponseWithOpts(cert, key, crypto.SHA256)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write(answer)
	}))
	t.Cleanup(server.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, ca
}

// TestProveWithTimeStamps: an installation whose journal was stamped once; what came
// before is proven by its token, what came after is said to be without.
func TestProveWithTimeStamps(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	data := t.TempDir()
	if code, _, errs := cli(nil, "demo", "--once", "--listen", "127.0.0.1:0", "--data", data); code != exitOK {
		t.Fatal(errs)
	}
	url, ca := timeAuthority(t)
	config := filepath.Join(data, "greffe.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	set := func(key, value string) {
		text = regexp.MustCompile(`(?s)(\n  timestamp:.*?\n    `+key+`: )""`).ReplaceAll(text, []byte(`${1}"`+value+`"`))
	}
	set("url", url)
	set("ca", ca)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	d := aDocument(t, data)
	stampOnce(t, data)
	key := keyFile(t, data)
	pack := provePack(t, data, "--document", string(d.ID))
	dir := unpack(t, pack)
	authority, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(pack string, more ...string) (int, string) {
		code, out, errs := cli(nil, append([]string{"verify", "--pack", pack, "--key", key}, more...)...)
		return code, out + errs
	}
	code, out := verify(pack, "--tsa-ca", ca)
	if code != exitOK || !strings.Contains(out, "1 horodatages") || !strings.Contains(out, "token.coverage") {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, id := range []string{"stamp.checkpoint", "token.imprint", "token.authority", "token.time", "checkpoint.growth"} {
		if !strings.Contains(out, "✓ "+id) {
			t.Errorf("%s is not well: %s", id, out)
		}
	}
	if code, out := verify(pack); code != exitWrong || !strings.Contains(out, "son auteur n’est pas vérifié") {
		t.Errorf("without the authority: exit %d: %s", code, out)
	}
	_, stranger := timeAuthority(t)
	if code, out := verify(pack, "--tsa-ca", stranger); code != exitWrong || !strings.Contains(out, "autorité de confiance") {
		t.Errorf("another authority: exit %d: %s", code, out)
	}
	files := readPack(t, pack)
	for name, suffix := range map[string]string{"the token": ".tsr", "the stamp": ".stamp"} {
		list := slices.Clone(files)
		i := slices.IndexFunc(list, func(f packFile) bool { return strings.HasSuffix(f.name, suffix) })
		list[i].b = bytes.Clone(list[i].b)
		list[i].b[len(list[i].b)/2] ^= 1
		if code, rep := verifyPack(t, writePack(t, list, true), key); code != exitWrong || rep.Verdict != evidence.StatusKO || !names(rep, list[i].name) {
			t.Errorf("%s changed: exit %d, %s", name, code, rep.Verdict)
		}
	}
	sumsHold(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), authority, 0o600); err != nil {
		t.Fatal(err)
	}
	runReadme(t, dir)
}

// stampOnce seals and stamps the journal of an installation that does not run.
func stampOnce(t testing.TB, data string) {
	t.Helper()
	cfg, err := loadConfig("", data)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{cfg: cfg, log: testLogger(t)}
	defer a.close()
	k, err := readKey(keyPath(cfg))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.openArchive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.openIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.db.Append(t.Context(), index.Entry{Actor: localActor, Action: "start", Result: "ok"}); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.NewSealer(a.store, a.db, k, a.log).SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := newStamper(a)
	if err != nil || s == nil {
		t.Fatalf("no authority: %v", err)
	}
	if ok, err := s.StampDue(t.Context()); err != nil || !ok {
		t.Fatalf("stamped: %v, %v", ok, err)
	}
}
