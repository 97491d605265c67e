package evidence

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"
)

// MaxToken bounds the bytes of an answer of an authority. Tokens have 1 to 8 KiB.
const MaxToken = 64 << 10

// Errors of tokens.
var (
	// ErrRefused: the authority answered and gave no token.
	ErrRefused = errors.New("evidence: the authority refused to stamp")
	// ErrUntrusted: the token is well made, by someone that is not trusted to stamp.
	ErrUntrusted = errors.New("evidence: not by a trusted time-stamping authority")
)

var (
	oidSHA1        = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidContentType = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidTSTInfo     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidSigningCert = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningV2   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidStamping    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
)

// messageImprint, timeStampReq, timeStampResp and tstInfo are those of RFC 3161 §2.4.
type messageImprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Hashed    []byte
}

type timeStampReq struct {
	Version  int
	Imprint  messageImprint
	Policy   asn1.ObjectIdentifier `asn1:"optional"`
	Nonce    *big.Int              `asn1:"optional"`
	CertsReq bool                  `asn1:"optional,default:false"`
}

type timeStampResp struct {
	Status struct {
		Status int
		Text   []asn1.RawValue `asn1:"optional"`
		Fail   asn1.BitString  `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

type tstInfo struct {
	Version  int
	Policy   asn1.ObjectIdentifier
	Imprint  messageImprint
	Serial   *big.Int
	Time     asn1.RawValue // GeneralizedTime, perhaps with a fraction, which package asn1 refuses
	Accuracy struct {
		Seconds int `asn1:"optional"`
		Millis  int `asn1:"optional,tag:0"`
		Micros  int `asn1:"optional,tag:1"`
	} `asn1:"optional"`
	Ordering   bool             `asn1:"optional,default:false"`
	Nonce      *big.Int         `asn1:"optional"`
	TSA        asn1.RawValue    `asn1:"optional,tag:0"`
	Extensions []pkix.Extension `asn1:"optional,tag:1"`
}

// Token is an RFC 3161 time-stamp token.
type Token struct {
	Time         time.Time // UTC, as the authority says it
	Accuracy     time.Duration
	Policy       string // OID
	Serial       string // decimal
	Imprint      []byte // SHA-256 of what was stamped
	Nonce        *big.Int
	Signer       *x509.Certificate
	Certificates []*x509.Certificate // all that the token brings
}

// NewRequest returns an RFC 3161 request for a token over data, with a random nonce
// that the token must repeat. policy is an OID, or empty for that of the authority.
func NewRequest(data []byte, policy string) (der []byte, nonce *big.Int, err error) {
	id, err := ParsePolicy(policy)
	if err != nil {
		return nil, nil, err
	}
	var b [16]byte
	rand.Read(b[:])
	nonce = new(big.Int).SetBytes(b[:])
	sum := sha256.Sum256(data)
	der, err = asn1.Marshal(timeStampReq{
		Version: 1, Imprint: messageImprint{pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}, sum[:]},
		Policy: id, Nonce: nonce, CertsReq: true,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("evidence: make time-stamp request: %w", err)
	}
	return der, nonce, nil
}

// ParsePolicy reads an OID in dotted decimals; nil for the empty text.
func ParsePolicy(policy string) (asn1.ObjectIdentifier, error) {
	if policy == "" {
		return nil, nil
	}
	o, err := x509.ParseOID(policy)
	id, ok := asn1.ObjectIdentifier(nil), false
	if err == nil {
		for s := range strings.SplitSeq(o.String(), ".") {
			n := 0
			if _, err := fmt.Sscan(s, &n); err != nil || n < 0 || n > 1<<31-1 {
				return nil, fmt.Errorf("%w: policy %.60q", ErrFormat, policy)
			}
			id, ok = append(id, n), true
		}
	}
	if !ok {
		return nil, fmt.Errorf("%w: policy %.60q is not an OID", ErrFormat, policy)
	}
	return id, nil
}

// ParseToken reads the answer of an authority (TimeStampResp) and checks that its token
// is signed by the certificate in it. ErrRefused when there is no token; ErrFormat;
// ErrSignature. Who signed what is for Check.
func ParseToken(response []byte) (t *Token, err error) {
	defer func() { // the parser of CMS is old and was written for friendly input
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("%w: token", ErrFormat)
		}
	}()
	bad := func(why string) (*Token, error) { return nil, fmt.Errorf("%w: token: %s", ErrFormat, why) }
	var resp timeStampResp
	if len(response) > MaxToken {
		return bad("too long")
	}
	if rest, err := asn1.Unmarshal(response, &resp); err != nil || len(rest) > 0 {
		return bad("not a TimeStampResp")
	}
	if resp.Status.Status > 1 || len(resp.Token.FullBytes) == 0 {
		return nil, fmt.Errorf("%w: status %d, reason %x", ErrRefused, resp.Status.Status, resp.Status.Fail.Bytes)
	}
	p7, err := pkcs7.Parse(resp.Token.FullBytes)
	if err != nil {
		return bad("not CMS")
	}
	var info tstInfo
	if rest, err := asn1.Unmarshal(p7.Content, &info); err != nil || len(rest) > 0 || info.Version != 1 {
		return bad("not a TSTInfo")
	}
	at, ok := generalizedTime(info.Time)
	if !ok || !info.Imprint.Algorithm.Algorithm.Equal(oidSHA256) || len(info.Imprint.Hashed) != sha256.Size || info.Serial == nil {
		return bad("time, imprint or serial number")
	}
	for _, e := range info.Extensions {
		if e.Critical {
			return bad("critical extension " + e.Id.String())
		}
	}
	a := info.Accuracy
	t = &Token{
		Time:     at,
		Accuracy: time.Duration(a.Seconds)*time.Second + time.Duration(a.Millis)*time.Millisecond + time.Duration(a.Micros)*time.Microsecond,
		Policy:   info.Policy.String(), Serial: info.Serial.String(), Imprint: info.Imprint.Hashed, Nonce: info.Nonce,
		Signer: p7.GetOnlySigner(), Certificates: p7.Certificates,
	}
	if t.Signer == nil {
		return bad("not one signer whose certificate is in the token")
	}
	return t, checkSignature(p7, t.Signer)
}

// checkSignature checks the signature of a token, and that the signature covers what it
// signs as, and with which certificate (RFC 5035): without that another certificate of
// the same key could take its place.
func checkSignature(p7 *pkcs7.PKCS7, signer *x509.Certificate) error {
	if p7.Signers[0].DigestAlgorithm.Algorithm.Equal(oidSHA1) {
		return fmt.Errorf("%w: token signed over SHA-1", ErrSignature)
	}
	if err := p7.Verify(); err != nil {
		return fmt.Errorf("%w: token: %w", ErrSignature, err)
	}
	var kind asn1.ObjectIdentifier
	if err := p7.UnmarshalSignedAttribute(oidContentType, &kind); err != nil || !kind.Equal(oidTSTInfo) {
		return fmt.Errorf("%w: token: not signed as a time stamp", ErrSignature)
	}
	var v2 struct {
		Certs []struct {
			Algorithm pkix.AlgorithmIdentifier `asn1:"optional"`
			Hash      []byte
			Issuer    asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	if err := p7.UnmarshalSignedAttribute(oidSigningV2, &v2); err == nil && len(v2.Certs) > 0 {
		c := v2.Certs[0]
		var sum []byte
		switch alg := c.Algorithm.Algorithm; {
		case len(alg) == 0 || alg.Equal(oidSHA256):
			s := sha256.Sum256(signer.Raw)
			sum = s[:]
		case alg.Equal(oidSHA384):
			s := sha512.Sum384(signer.Raw)
			sum = s[:]
		case alg.Equal(oidSHA512):
			s := sha512.Sum512(signer.Raw)
			sum = s[:]
		}
		if sum == nil || !bytes.Equal(sum, c.Hash) {
			return fmt.Errorf("%w: token: signed with another certificate", ErrSignature)
		}
		return nil
	}
	var v1 struct {
		Certs []struct {
			Hash   []byte
			Issuer asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	if err := p7.UnmarshalSignedAttribute(oidSigningCert, &v1); err != nil || len(v1.Certs) == 0 {
		return fmt.Errorf("%w: token: the signature does not name its certificate", ErrSignature)
	}
	if s := sha1.Sum(signer.Raw); !bytes.Equal(s[:], v1.Certs[0].Hash) {
		return fmt.Errorf("%w: token: signed with another certificate", ErrSignature)
	}
	return nil
}

// Check checks that the token is over data, under the policy (empty: any), and that its
// signer was trusted by roots, at the time of the token, to stamp time and nothing else
// (RFC 3161 §2.3). ErrMismatch or ErrUntrusted. A certificate that was revoked before is
// not found out: no list of revocations is read.
func (t *Token) Check(data []byte, roots *x509.CertPool, policy string) error {
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], t.Imprint) {
		return fmt.Errorf("%w: the token is over other bytes", ErrMismatch)
	}
	if policy != "" && policy != t.Policy {
		return fmt.Errorf("%w: the token is under policy %s, not %s", ErrMismatch, t.Policy, policy)
	}
	if !stampsOnly(t.Signer) {
		return fmt.Errorf("%w: the certificate is not for time stamps alone, marked critical", ErrUntrusted)
	}
	if roots == nil {
		return fmt.Errorf("%w: no authority is known", ErrUntrusted)
	}
	between := x509.NewCertPool()
	for _, c := range t.Certificates {
		between.AddCert(c)
	}
	_, err := t.Signer.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: t.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return nil
}

// stampsOnly reports whether the extended key usage of c is critical and timeStamping alone.
func stampsOnly(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(oidExtKeyUsage) {
			var usages []asn1.ObjectIdentifier
			rest, err := asn1.Unmarshal(e.Value, &usages)
			return err == nil && len(rest) == 0 && e.Critical && len(usages) == 1 && usages[0].Equal(oidStamping)
		}
	}
	return false
}

// generalizedTime reads a time as RFC 3161 §2.4.2 writes it: 20261122100000.123Z.
func generalizedTime(v asn1.RawValue) (time.Time, bool) {
	if v.Class != asn1.ClassUniversal || v.Tag != asn1.TagGeneralizedTime {
		return time.Time{}, false
	}
	t, err := time.Parse("20060102150405Z", string(v.Bytes)) // takes a fraction, too
	return t, err == nil
}
