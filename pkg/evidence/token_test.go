package evidence

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
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"greffe/pkg/greffe"
)

// authority is a time-stamping authority in the process, on other code than ours.
type authority struct {
	root, cert *x509.Certificate
	key        *ecdsa.PrivateKey
}

// usage is the extended key usage of the certificate that stamps.
type usage struct {
	critical bool
	oids     []asn1.ObjectIdentifier
}

var onlyStamps = usage{true, []asn1.ObjectIdentifier{oidStamping}}

func newAuthority(t testing.TB, u usage, from, to time.Time) *authority {
	t.Helper()
	a := &authority{}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, rootKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Racine d’essai"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.root = sign(root, root, rootKey)
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	value, err := asn1.Marshal(u.oids)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Horodatage d’essai"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: oidExtKeyUsage, Critical: u.critical, Value: value}}}, a.root, a.key)
	return a
}

func (a *authority) roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.root)
	return p
}

// answer stamps a request.
func (a *authority) answer(t testing.TB, request []byte, at time.Time) []byte {
	t.Helper()
	r, err := timestamp.ParseRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	ts := timestamp.Timestamp{HashAlgorithm: r.HashAlgorithm, HashedMessage: r.HashedMessage, Time: at, Nonce: r.Nonce,
		Policy: asn1.ObjectIdentifier{1, 2, 3, 4}, Accuracy: time.Second, AddTSACertificate: r.Certificates}
	b, err := ts.CreateResponseWithOpts(a.cert, a.key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestToken(t *testing.T) {
	t.Parallel()
	data := []byte("greffe-stamp/1\n")
	from, to := noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)
	a := newAuthority(t, onlyStamps, from, to)
	request, nonce, err := NewRequest(data, "1.2.3.4")
	if err != nil {
		t.Fatal(err)
	}
	response := a.answer(t, request, noon)
	token, err := ParseToken(response)
	if err != nil {
		t.Fatal(err)
	}
	if !token.Time.Equal(noon) || token.Policy != "1.2.3.4" || token.Nonce.Cmp(nonce) != 0 || token.Accuracy != time.Second {
		t.Errorf("%+v", token)
	}
	if err := token.Check(data, a.roots(), "1.2.3.4"); err != nil {
		t.Error(err)
	}
	stranger := newAuthority(t, onlyStamps, from, to)
	for name, c := range map[string]struct {
		data   []byte
		roots  *x509.CertPool
		policy string
		want   error
	}{
		"other bytes":       {[]byte("x"), a.roots(), "", ErrMismatch},
		"another policy":    {data, a.roots(), "1.2.3.5", ErrMismatch},
		"another authority": {data, stranger.roots(), "", ErrUntrusted},
		"no authority":      {data, nil, "", ErrUntrusted},
	} {
		if err := token.Check(c.data, c.roots, c.policy); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		a  *authority
		at time.Time
	}{
		"stamps and more":             {newAuthority(t, usage{true, []asn1.ObjectIdentifier{oidStamping, {1, 3, 6, 1, 5, 5, 7, 3, 1}}}, from, to), noon},
		"not critical":                {newAuthority(t, usage{false, []asn1.ObjectIdentifier{oidStamping}}, from, to), noon},
		"a server":                    {newAuthority(t, usage{true, []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}}}, from, to), noon},
		"its certificate had expired": {a, to.AddDate(0, 1, 0)},
	} {
		token, err := ParseToken(c.a.answer(t, request, c.at))
		if err != nil {
			t.Fatal(name, err)
		}
		if err := token.Check(data, c.a.roots(), ""); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Whatever byte is changed: it is not a token over the same bytes, of that authority, any more, or it still says the same.
	for i := range response {
		b := bytes.Clone(response)
		b[i] ^= 1
		if got, err := ParseToken(b); err == nil && got.Check(data, a.roots(), "1.2.3.4") == nil && (!got.Time.Equal(token.Time) || got.Serial != token.Serial) {
			t.Errorf("byte %d changed: %+v", i, got)
		}
	}
	refusal, err := timestamp.CreateErrorResponse(timestamp.Rejection, timestamp.TimeNotAvailable)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseToken(refusal); !errors.Is(err, ErrRefused) {
		t.Errorf("refusal: %v", err)
	}
	for _, n := range []int{0, 1, 10, len(response) - 1} {
		if _, err := ParseToken(response[:n]); !errors.Is(err, ErrFormat) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	if _, err := ParseToken(make([]byte, MaxToken+1)); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	if id, err := ParsePolicy("1.2.250.1.1"); err != nil || id.String() != "1.2.250.1.1" {
		t.Errorf("%v %v", id, err)
	}
	for _, bad := range []string{"x", "1", "1..2", "1.2.", "9.9", "1.2.99999999999999999999"} {
		if id, err := ParsePolicy(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v %v", bad, id, err)
		}
	}
}

// openssl makes tokens that we read, with fractions of seconds, and reads tokens that others make.
func TestTokensOfOpenSSL(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not there")
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	data := (&Stamp{Checkpoint: Link{NewRange(1, 2, noon).Key(KindCheckpoint), sum("x")}}).Bytes()
	a := newAuthority(t, onlyStamps, time.Now().AddDate(0, 0, -1), time.Now().AddDate(1, 0, 0))
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	write("tsa.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	write("tsa.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw}))
	write("tsa.conf", []byte(`[ tsa ]
default_tsa = one
[ one ]
serial = serial
crypto_device = builtin
signer_cert = tsa.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
ess_cert_id_alg = sha256
`))
	write("x.stamp", data)
	request, _, err := NewRequest(data, "1.2.3.4")
	if err != nil {
		t.Fatal(err)
	}
	write("request.tsq", request)
	run("ts", "-reply", "-config", "tsa.conf", "-queryfile", "request.tsq", "-out", "x.tsr")
	run("ts", "-verify", "-data", "x.stamp", "-in", "x.tsr", "-CAfile", "ca.pem")
	response, err := os.ReadFile(path("x.tsr"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := ParseToken(response)
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Check(data, a.roots(), "1.2.3.4"); err != nil || token.Accuracy != 1500*time.Millisecond {
		t.Error(token.Accuracy, err)
	}
	write("ours.tsr", a.answer(t, request, time.Now()))
	run("ts", "-verify", "-data", "x.stamp", "-in", "ours.tsr", "-CAfile", "ca.pem")
}

func sum(s string) greffe.Digest { return greffe.DigestOf([]byte(s)) }

func TestStamp(t *testing.T) {
	t.Parallel()
	r := NewRange(3, 5, noon)
	token := Link{NewRange(1, 2, noon).Key(KindToken), sum("t")}
	for _, s := range []Stamp{
		{Checkpoint: Link{r.Key(KindCheckpoint), sum("c")}},
		{Checkpoint: Link{r.Key(KindCheckpoint), sum("c")}, Root: LeafHash(nil), Previous: token, Month: token, Year: token},
	} {
		got, err := ParseStamp(s.Bytes())
		if err != nil || *got != s || got.Range() != r {
			t.Errorf("%v: %+v", err, got)
		}
		for i := range s.Bytes() {
			b := s.Bytes()
			b[i] ^= 1
			if got, err := ParseStamp(b); err == nil && *got == s {
				t.Errorf("byte %d changed", i)
			}
			if _, err := ParseStamp(b[:i]); err == nil {
				t.Errorf("cut after %d bytes", i)
			}
		}
	}
	for _, bad := range []Stamp{{}, {Checkpoint: token}, {Checkpoint: Link{r.Key(KindCheckpoint), sum("c")}, Year: Link{r.Key(KindStamp), sum("c")}}} {
		if _, err := ParseStamp(bad.Bytes()); !errors.Is(err, ErrFormat) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	a := newAuthority(f, onlyStamps, noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0))
	request, _, err := NewRequest([]byte("x"), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.answer(f, request, noon))
	f.Add((&Stamp{Checkpoint: Link{NewRange(1, 2, noon).Key(KindCheckpoint), sum("c")}}).Bytes())
	roots := a.roots()
	f.Fuzz(func(t *testing.T, b []byte) {
		if token, err := ParseToken(b); err == nil {
			_ = token.Check(b, roots, "")
		}
		if s, err := ParseStamp(b); err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Error("another spelling was read")
		}
	})
}
