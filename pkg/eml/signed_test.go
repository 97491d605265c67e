package eml

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/smallstep/pkcs7"
)

// identityOf is an authority and somebody with a certificate of it.
type identityOf struct {
	authority, cert *x509.Certificate
	key             *ecdsa.PrivateKey
}

var identities = sync.OnceValue(func() identityOf {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	issue := func(tmpl, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		tmpl.NotBefore, tmpl.NotAfter = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
		if parent == nil {
			parent, parentKey = tmpl, key
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, parentKey)
		must(err)
		c, err := x509.ParseCertificate(der)
		must(err)
		return c, key
	}
	ca, caKey := issue(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Autorité d’essai"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	cert, key := issue(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Dr Essai"}, EmailAddresses: []string{"a@b.example"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}}, ca, caKey)
	return identityOf{ca, cert, key}
})

// sign makes signed data over content, with it or without.
func sign(t testing.TB, content string, detached bool) []byte {
	t.Helper()
	who := identities()
	s, err := pkcs7.NewSignedData([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	s.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := s.AddSigner(who.cert, who.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	if detached {
		s.Detach()
	}
	der, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// streamed rewrites opaque signed data as programs do that sign while they read:
// indefinite lengths, the content in pieces of n bytes.
func streamed(t testing.TB, der []byte, n int) []byte {
	t.Helper()
	o, ok := readOpaque(newBufio(der))
	if !ok {
		t.Fatal("not opaque signed data")
	}
	content, err := io.ReadAll(o)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(o.br)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString("\x30\x80")
	b.Write(oidSignedData)
	b.WriteString("\xa0\x80\x30\x80")
	b.Write(o.version)
	b.Write(o.algs)
	b.WriteString("\x30\x80")
	b.Write(oidData)
	b.WriteString("\xa0\x80\x24\x80")
	for piece := range slices.Chunk(content, n) {
		b.Write(wrap(0x04, piece))
	}
	b.WriteString("\x00\x00\x00\x00\x00\x00")
	b.Write(rest)
	b.WriteString("\x00\x00\x00\x00\x00\x00")
	return b.Bytes()
}

func newBufio(b []byte) *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(b), cmsHead) }

func lines(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	for s != "" {
		n := min(76, len(s))
		out.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
	return out.String()
}

func opaqueMail(data []byte) string {
	return plainHeader + "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines(data)
}

func detachedMail(content, signature string) string {
	return plainHeader + "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=s\r\n\r\nCeci est signé\r\n--s\r\n" +
		content + "\r\n--s\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n" + signature + "--s--\r\n"
}

func TestSignedMailIsOpenedAndVerified(t *testing.T) {
	t.Parallel()
	const entity = "Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBonjour à tous\r\n--i\r\n" +
		"Content-Type: application/pdf; name=cr.pdf\r\n\r\n%PDF-1.4\r\n--i--\r\n"
	const text = "Content-Type: text/plain\r\n\r\nBonjour\r\n"
	opaque, detached := sign(t, entity, false), sign(t, entity, true)
	damaged := bytes.Replace(opaque, []byte("%PDF-1.4"), []byte("%PDF-1.5"), 1)
	leaves := []string{"1.1=Bonjour à tous", "1.2=%PDF-1.4"}
	flat := []string{"1.1=Bonjour à tous", "1.2=%PDF-1.4", "2=" + string(detached)}
	pdf := plainHeader + "Content-Type: application/octet-stream; name=\"cr.pdf.p7m\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	who := identities()
	trusted, stranger := x509.NewCertPool(), x509.NewCertPool()
	trusted.AddCert(who.authority)
	for name, c := range map[string]struct {
		raw         string
		authorities *x509.CertPool
		leaves      []string
		rules       []string
	}{
		"opaque":                   {opaqueMail(opaque), nil, leaves, []string{"eml.signature-intact"}},
		"opaque, authority":        {opaqueMail(opaque), trusted, leaves, []string{"eml.signature"}},
		"opaque, other authority":  {opaqueMail(opaque), stranger, leaves, []string{"eml.signature-untrusted"}},
		"opaque, other sender":     {strings.Replace(opaqueMail(opaque), "a@b.example", "x@b.example", 1), trusted, leaves, []string{"eml.signature-sender"}},
		"opaque, changed":          {opaqueMail(damaged), nil, []string{"1.1=Bonjour à tous", "1.2=%PDF-1.5"}, []string{"eml.signature-invalid"}},
		"opaque, in pieces":        {opaqueMail(streamed(t, opaque, 10)), trusted, leaves, []string{"eml.signature"}},
		"opaque, one part":         {opaqueMail(sign(t, text, false)), nil, []string{"1.1=Bonjour\r\n"}, []string{"eml.signature-intact"}},
		"opaque, as bytes":         {strings.Replace(opaqueMail(opaque), "application/pkcs7-mime; smime-type=signed-data", "application/octet-stream", 1), nil, leaves, []string{"eml.signature-intact"}},
		"opaque twice":             {opaqueMail(sign(t, strings.TrimPrefix(opaqueMail(opaque), plainHeader), false)), nil, []string{"1.1.1=Bonjour à tous", "1.1.2=%PDF-1.4"}, []string{"eml.signature-intact", "eml.signature-intact"}},
		"opaque, no longer base64": {strings.Replace(opaqueMail(opaque), "\r\n\r\n", "\r\n\r\n*", 1), nil, leaves, []string{"eml.signature-intact", "eml.base64"}},
		"a signed file":            {pdf + lines(sign(t, "%PDF-1.4 signé", false)), nil, []string{"1.1=%PDF-1.4 signé"}, []string{"eml.signature-intact"}},
		"certificates only":        {opaqueMail(sign(t, "", true)), nil, []string{"1=" + string(sign(t, "", true))[:0]}, nil},
		"detached":                 {detachedMail(entity, lines(detached)), trusted, flat, []string{"eml.signature"}},
		"detached, line ends":      {strings.ReplaceAll(detachedMail(entity, lines(detached)), "\r\n", "\n"), trusted, flat, []string{"eml.signature"}},
		"detached, changed":        {detachedMail(strings.Replace(entity, "PDF-1.4", "PDF-1.5", 1), lines(detached)), trusted, []string{"1.1=Bonjour à tous", "1.2=%PDF-1.5", flat[2]}, []string{"eml.signature-invalid"}},
		"detached, changed header": {detachedMail(strings.Replace(entity, "name=cr.pdf", "name=CR.pdf", 1), lines(detached)), nil, flat, []string{"eml.signature-invalid"}},
		"detached, junk":           {detachedMail(entity, "AAAA\r\n"), nil, []string{flat[0], flat[1], "2=\x00\x00\x00"}, []string{"eml.signature-unread"}},
		"detached, no signature":   {strings.Split(detachedMail(entity, ""), "--s\r\nContent-Type: application/pkcs7")[0] + "--s--", nil, leaves, []string{"eml.signature-unread"}},
		"detached, in a list":      {plainHeader + "Content-Type: multipart/mixed; boundary=l\r\n\r\n--l\r\n" + strings.TrimPrefix(detachedMail(entity, lines(detached)), plainHeader) + "\r\n--l\r\n\r\nfooter\r\n--l--", nil, []string{"1.1.1=Bonjour à tous", "1.1.2=%PDF-1.4", "1.2=" + string(detached), "2=footer"}, []string{"eml.signature-intact"}},
		"PGP":                      {strings.NewReplacer("pkcs7", "pgp", "base64", "7bit").Replace(detachedMail(text, "-----BEGIN PGP SIGNATURE-----\r\n")), nil, []string{"1=Bonjour\r\n", "2=-----BEGIN PGP SIGNATURE-----"}, []string{"eml.signature-pgp"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "certificates only" { // ECDSA signatures differ each time
				c.leaves = nil
			}
			for _, lim := range []Limits{{Signatures: &Signatures{Authorities: c.authorities}}, {}} {
				got, res := walk(t, c.raw, lim)
				var have []string
				rules := ids(res.Findings)
				for _, l := range got {
					have = append(have, l.Path+"="+l.data)
					rules = append(rules, ids(l.Findings)...)
				}
				if c.leaves != nil && !slices.Equal(have, c.leaves) {
					t.Errorf("leaves %q\nwant   %q", have, c.leaves)
				}
				if lim.Signatures == nil {
					continue
				}
				slices.Sort(rules)
				slices.Sort(c.rules)
				if !slices.Equal(rules, c.rules) {
					t.Errorf("findings %q, want %q", rules, c.rules)
				}
			}
		})
	}
	got, _ := walk(t, pdf+lines(sign(t, "%PDF-1.4 signé", false)), Limits{})
	if got[0].Name != "cr.pdf" {
		t.Errorf("a signed file is named %q", got[0].Name)
	}
	_, res := walk(t, opaqueMail(opaque), Limits{})
	if res.Message.Body != "Bonjour à tous" {
		t.Errorf("body %q", res.Message.Body)
	}
}

// TestSignedMailIsReadWhereverItIsCut: nothing is lost before the cut, and the cut is
// said.
func TestSignedMailIsReadWhereverItIsCut(t *testing.T) {
	t.Parallel()
	whole := streamed(t, sign(t, "Content-Type: text/plain\r\n\r\n"+strings.Repeat("Bonjour à tous. ", 30), false), 50)
	for n := range len(whole) - 6 { // the last six bytes are end marks, which nothing needs
		raw := plainHeader + "Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n" + string(whole[:n])
		leaves, res := walk(t, raw, Limits{Signatures: &Signatures{}})
		rules := ids(res.Findings)
		opened := len(leaves) == 1 && leaves[0].Path == "1.1"
		if opened && len(rules) == 0 || slices.Contains(rules, "eml.signature-intact") {
			t.Fatalf("cut at %d of %d: findings %v", n, len(whole), rules)
		}
	}
}

// TestLongSignatures: what would cost the library the square of its size is refused.
func TestLongSignatures(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("\x30\x80", 200_000)
	many := "\x30\x80" + string(oidSignedData) + "\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80" + string(oidData) + "\x00\x00\x31\x80" + strings.Repeat("\x05\x00", 200_000) + "\x00\x00"
	begin := time.Now()
	for _, s := range []string{deep, many, many + strings.Repeat("\x00\x00", 8)} {
		_, res := walk(t, detachedMail("\r\nx", lines([]byte(s))), Limits{Signatures: &Signatures{}})
		if !slices.Contains(ids(res.Findings), "eml.signature-unread") {
			t.Errorf("findings %v", ids(res.Findings))
		}
	}
	// What grows with the square takes hours; a busy machine is no fault.
	if d := time.Since(begin); d > time.Minute {
		t.Errorf("took %v", d)
	}
}

func FuzzSigned(f *testing.F) {
	entity := "Content-Type: text/plain\r\n\r\nBonjour\r\n"
	f.Add(sign(f, entity, false))
	f.Add(streamed(f, sign(f, entity, false), 7))
	f.Add(sign(f, entity, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(r io.Reader) string {
			var b strings.Builder
			res, err := Walk(r, Limits{Signatures: &Signatures{}}, func(l *Leaf, r io.Reader) error {
				data, err := io.ReadAll(r)
				fmt.Fprintf(&b, "%s %s %q %v %x\n", l.Path, l.Declared, l.Name, ids(l.Findings), data)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%+v", res)
			return b.String()
		}
		for _, raw := range []string{opaqueMail(data), detachedMail(entity, lines(data))} {
			if a, b := read(strings.NewReader(raw)), read(iotest.OneByteReader(strings.NewReader(raw))); a != b {
				t.Errorf("two walks differ:\n%s\n---\n%s", a, b)
			}
		}
	})
}
