package eml

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // register what signers use
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"

	"greffe/pkg/greffe"
)

// Signatures says how the signatures of S/MIME are verified (RFC 8551, RFC 5652). The
// bytes are hashed as they go by, whatever their size; at most 512 KiB of
// certificates and signatures are looked at. Revocation is not asked for: nothing
// here has a network.
type Signatures struct {
	// Authorities are those that a signer's certificate must come from. With nil,
	// Greffe says that a signature is intact and that it does not know the signer.
	Authorities *x509.CertPool
}

// Bounds of one signature.
const (
	maxSigners = 8
	maxCerts   = 50
	maxKey     = 8192 // bits of an RSA key: larger ones cost seconds
)

// digests hashes signed bytes. A relay may have changed the line ends of a detached
// text, which is signed with CRLF (RFC 8551 §3.1.1): both forms are hashed.
type digests struct {
	exact, canonical []digest
	last             byte
}

type digest struct {
	algorithm crypto.Hash
	hash      hash.Hash
}

// algorithms in the words of micalg (RFC 8551 §3.5.3.2) and as OIDs in DER.
var algorithms = []struct {
	hash  crypto.Hash
	words []string
	oid   string
}{
	{crypto.SHA256, []string{"sha256", "sha-256"}, "\x60\x86\x48\x01\x65\x03\x04\x02\x01"},
	{crypto.SHA1, []string{"sha1", "sha-1"}, "\x2b\x0e\x03\x02\x1a"},
	{crypto.SHA384, []string{"sha384", "sha-384"}, "\x60\x86\x48\x01\x65\x03\x04\x02\x02"},
	{crypto.SHA512, []string{"sha512", "sha-512"}, "\x60\x86\x48\x01\x65\x03\x04\x02\x03"},
}

// newDigests returns digests in the algorithms that announced, micalg or DER, speaks
// of, and always in SHA-256.
func newDigests(announced string) *digests {
	d := &digests{}
	low := strings.ToLower(announced)
	for _, a := range algorithms {
		if a.hash == crypto.SHA256 || strings.Contains(announced, a.oid) || slices.ContainsFunc(a.words, func(w string) bool { return strings.Contains(low, w) }) {
			d.exact = append(d.exact, digest{a.hash, a.hash.New()})
		}
	}
	return d
}

// Write hashes p. It does not fail.
func (d *digests) Write(p []byte) (int, error) {
	if d.canonical == nil {
		k := bareLF(p, d.last)
		if k < 0 {
			d.write(d.exact, p)
		} else {
			d.write(d.exact, p[:k])
			for _, e := range d.exact {
				if c, ok := e.hash.(hash.Cloner); ok {
					if copied, err := c.Clone(); err == nil {
						d.canonical = append(d.canonical, digest{e.algorithm, copied})
					}
				}
			}
			d.write(d.exact, p[k:])
			d.canonicalise(p[k:], 'x')
		}
	} else {
		d.write(d.exact, p)
		d.canonicalise(p, d.last)
	}
	if len(p) > 0 {
		d.last = p[len(p)-1]
	}
	return len(p), nil
}

func (d *digests) write(to []digest, p []byte) {
	for _, e := range to {
		e.hash.Write(p)
	}
}

// canonicalise hashes p, which follows the byte last, with each bare LF as CRLF.
func (d *digests) canonicalise(p []byte, last byte) {
	for {
		k := bareLF(p, last)
		if k < 0 {
			d.write(d.canonical, p)
			return
		}
		d.write(d.canonical, p[:k])
		d.write(d.canonical, lineEnd)
		p, last = p[k+1:], '\n'
	}
}

var lineEnd = []byte("\r\n")

// bareLF returns where the first line end without CR stands in p, which follows last.
func bareLF(p []byte, last byte) int {
	for k := 0; k < len(p); k++ {
		n := bytes.IndexByte(p[k:], '\n')
		if n < 0 {
			return -1
		}
		k += n
		if k == 0 && last != '\r' || k > 0 && p[k-1] != '\r' {
			return k
		}
	}
	return -1
}

// errAlgorithm says that the signed bytes were not hashed in the signer's algorithm.
var errAlgorithm = errors.New("eml: digest not computed")

// sums gives the library what was hashed.
type sums []digest

// Hash implements pkcs7.Hasher.
func (s sums) Hash(algorithm crypto.Hash, _ io.Reader) ([]byte, error) {
	for _, d := range s {
		if d.algorithm == algorithm {
			return d.hash.Sum(nil), nil
		}
	}
	return nil, errAlgorithm
}

// check verifies the signature der, signed data without content, over the bytes that
// d hashed. from are the addresses that the mail claims to come from; nil does not
// compare. sent is the date for a signature that carries none.
func (v *Signatures) check(der []byte, d *digests, from []greffe.Address, sent time.Time) (f greffe.Finding) {
	defer func() {
		if recover() != nil { // of the library, on hostile bytes
			f = ruleSignatureUnread.At("")
		}
	}()
	p, err := pkcs7.Parse(der)
	if err != nil || len(p.Signers) == 0 || len(p.Signers) > maxSigners || len(p.Certificates) > maxCerts || slices.ContainsFunc(p.Certificates, tooLarge) {
		return ruleSignatureUnread.At("")
	}
	for _, s := range p.Signers {
		if len(s.AuthenticatedAttributes) == 0 { // then the bytes themselves are needed
			return ruleSignatureUnread.At("")
		}
	}
	p.Hasher = sums(d.exact)
	err = p.Verify()
	if mismatch := new(pkcs7.MessageDigestMismatchError); errors.As(err, &mismatch) && d.canonical != nil {
		p.Hasher = sums(d.canonical)
		err = p.Verify()
	}
	name, cert := signer(p)
	switch late, mismatch := new(pkcs7.SigningTimeNotValidError), new(pkcs7.MessageDigestMismatchError); {
	case err == nil:
	case errors.As(err, &mismatch), errors.Is(err, rsa.ErrVerification), strings.Contains(err.Error(), "verification failure"):
		return ruleSignatureInvalid.At("", name)
	case errors.As(err, &late):
		return ruleSignatureUntrusted.At("", name)
	default:
		return ruleSignatureUnread.At("")
	}
	if cert != nil && from != nil && len(cert.EmailAddresses) > 0 && !slices.ContainsFunc(from, func(a greffe.Address) bool {
		return slices.ContainsFunc(cert.EmailAddresses, func(s string) bool { return strings.EqualFold(s, a.Address) })
	}) {
		return ruleSignatureSender.At("", name)
	}
	if v.Authorities == nil {
		return ruleSignatureIntact.At("", name)
	}
	if err := p.UnmarshalSignedAttribute(pkcs7.OIDAttributeSigningTime, &sent); err != nil && sent.IsZero() && cert != nil {
		sent = cert.NotBefore
	}
	if err := p.VerifyWithChainAtTime(v.Authorities, sent); err != nil {
		return ruleSignatureUntrusted.At("", name)
	}
	return ruleSignatureValid.At("", name)
}

func tooLarge(c *x509.Certificate) bool {
	k, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && k.N.BitLen() > maxKey
}

// signer names who signed, for a person; several are named one after the other.
func signer(p *pkcs7.PKCS7) (string, *x509.Certificate) {
	var names []string
	var first *x509.Certificate
	for _, s := range p.Signers {
		for _, c := range p.Certificates {
			if c.SerialNumber.Cmp(s.IssuerAndSerialNumber.SerialNumber) != 0 || string(c.RawIssuer) != string(s.IssuerAndSerialNumber.IssuerName.FullBytes) {
				continue
			}
			if first == nil {
				first = c
			}
			name := c.Subject.CommonName
			if name == "" {
				name = c.Subject.String()
			}
			if len(c.EmailAddresses) > 0 {
				name = fmt.Sprintf("%s <%s>", name, c.EmailAddresses[0])
			}
			names = append(names, cut(clean(name), 150))
			break
		}
	}
	return strings.Join(names, ", "), first
}
