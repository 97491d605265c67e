package sandbox

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// tnefFile returns a winmail.dat with one attachment, as Outlook writes it ([MS-OXTNEF] §2.1.3).
func tnefFile(name string, data []byte) []byte {
	var b bytes.Buffer
	b.Write([]byte{0x78, 0x9f, 0x3e, 0x22, 0x01, 0x00})
	attribute := func(level byte, id uint32, value []byte) {
		b.WriteByte(level)
		b.Write(binary.LittleEndian.AppendUint32(nil, id))
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(value))))
		b.Write(value)
		var sum uint16
		for _, c := range value {
			sum += uint16(c)
		}
		b.Write(binary.LittleEndian.AppendUint16(nil, sum))
	}
	const message, attached = 1, 2
	attribute(message, 0x00089006, []byte{0, 0, 1, 0})                          // attTnefVersion
	attribute(message, 0x00069007, binary.LittleEndian.AppendUint64(nil, 1252)) // attOemCodepage
	attribute(message, 0x00078008, []byte("IPM.Note\x00"))                      // attMessageClass
	attribute(attached, 0x00069002, append([]byte{1, 0, 0xff, 0xff, 0xff, 0xff}, make([]byte, 8)...))
	attribute(attached, 0x00018010, append([]byte(name), 0))
	attribute(attached, 0x0006800f, data)
	return b.Bytes()
}

// lockedPDF returns a PDF that opens with a password only (ISO 32000-1 §7.6, the
// standard security handler with RC4 of 40 bits).
func lockedPDF(title, password string) []byte {
	pad := func(s string) []byte {
		const filler = "\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A"
		return append([]byte(s), filler...)[:32]
	}
	code := func(key, data []byte) []byte {
		c, err := rc4.NewCipher(key)
		if err != nil {
			panic(err) // the key has five to ten bytes
		}
		out := make([]byte, len(data))
		c.XORKeyStream(out, data)
		return out
	}
	id := md5.Sum([]byte(title))
	ownerKey := md5.Sum(pad(password))
	owner := code(ownerKey[:5], pad(password))
	fileKey := md5.Sum(bytes.Join([][]byte{pad(password), owner, {0xfc, 0xff, 0xff, 0xff}, id[:]}, nil))
	user := code(fileKey[:5], pad(""))

	w := pdfWriter{trailer: fmt.Sprintf("/Encrypt 5 0 R /ID [ <%x> <%x> ]", id, id)}
	w.b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	w.object(1, "<< /Type /Catalog /Pages 2 0 R >>")
	w.object(2, "<< /Type /Pages /Count 1 /Kids [ 3 0 R ] >>")
	w.object(3, "<< /Type /Page /Parent 2 0 R /MediaBox [ 0 0 595 842 ] /Resources << /Font << /F1 6 0 R >> >> /Contents 4 0 R >>")
	key := md5.Sum(append(bytes.Clone(fileKey[:5]), 4, 0, 0, 0, 0)) // of object 4, generation 0
	w.stream(4, "", code(key[:10], []byte("BT /F1 16 Tf 56 780 Td "+pdfString(title)+" Tj ET\n")))
	w.object(5, fmt.Sprintf("<< /Filter /Standard /V 1 /R 2 /O <%x> /U <%x> /P -4 >>", owner, user))
	w.object(6, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	return w.end()
}

// pdfWithFile returns a PDF that carries a file (ISO 32000-1 §7.11.4).
func pdfWithFile(title, name string, data []byte) []byte {
	w := pdfWriter{}
	w.b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	w.object(1, "<< /Type /Catalog /Pages 2 0 R /Names << /EmbeddedFiles << /Names [ "+pdfString(name)+" 7 0 R ] >> >> >>")
	w.object(2, "<< /Type /Pages /Count 1 /Kids [ 3 0 R ] >>")
	w.object(3, "<< /Type /Page /Parent 2 0 R /MediaBox [ 0 0 595 842 ] /Resources << /Font << /F1 6 0 R >> >> /Contents 4 0 R >>")
	w.stream(4, "", []byte("BT /F1 16 Tf 56 780 Td "+pdfString(title)+" Tj ET\n"))
	w.object(5, "<< /Title "+pdfText(title)+" /Producer (Greffe) >>")
	w.object(6, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	w.object(7, "<< /Type /Filespec /F "+pdfString(name)+" /UF "+pdfText(name)+" /EF << /F 8 0 R >> >>")
	w.stream(8, fmt.Sprintf("/Type /EmbeddedFile /Params << /Size %d >>", len(data)), data)
	return w.end()
}

// signer is the key of a person of the sandbox: small and made from noise, so that it
// is the same each time, fast, and worth nothing.
var signer = sync.OnceValue(func() *rsa.PrivateKey {
	primes := noise("signataire du bac à sable", 4096)
	var pair []*big.Int
	for i := 0; len(pair) < 2; i++ {
		p := new(big.Int).SetBytes(noise(fmt.Sprintf("%x %d", primes[:8], i), 64))
		p.SetBit(p, 511, 1).SetBit(p, 510, 1).SetBit(p, 0, 1)
		if p.ProbablyPrime(10) {
			pair = append(pair, p)
		}
	}
	one := big.NewInt(1)
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(pair[0], pair[1]), E: 65537}, Primes: pair}
	k.D = new(big.Int).ModInverse(big.NewInt(65537), new(big.Int).Mul(new(big.Int).Sub(pair[0], one), new(big.Int).Sub(pair[1], one)))
	k.Precompute()
	return k
})

// signed returns body with a detached signature (RFC 8551 §3.5.3) by the holder of
// address, whom no authority vouches for.
func signed(body MailPart, seed, address string) *MailPart {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(20261122), Subject: pkix.Name{CommonName: "Yvon MARTEL (essai)", Country: []string{"FR"}}, EmailAddresses: []string{address},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}, SignatureAlgorithm: x509.SHA256WithRSA,
	}
	fail := func(err error) {
		if err != nil {
			panic(fmt.Sprintf("sandbox: sign: %v", err)) // the key and the template are constants
		}
	}
	var content bytes.Buffer
	body.write(&content, seed+" signé")
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer().Public(), signer())
	fail(err)
	certificate, err := x509.ParseCertificate(der)
	fail(err)
	signature, err := cms(certificate, signer(), content.Bytes(), template.NotBefore.AddDate(6, 0, 0))
	fail(err)
	body.raw = content.Bytes()
	return &MailPart{Type: `multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256`, Parts: []MailPart{
		body, {Type: "application/pkcs7-signature", Name: "smime.p7s", Data: signature},
	}}
}

// Object identifiers and types of CMS (RFC 5652), as far as a mail needs them.
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidEnvelopedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidAES256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
)

type cmsAlgorithm struct {
	Algorithm  asn1.ObjectIdentifier
	Parameters asn1.RawValue
}

var asn1Null = asn1.RawValue{FullBytes: []byte{5, 0}}

type cmsSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

// cms returns signed data about content, which stays outside of it (RFC 5652 §5), with
// the three attributes that mail programs sign.
func cms(c *x509.Certificate, key *rsa.PrivateKey, content []byte, at time.Time) ([]byte, error) {
	type attribute struct {
		Type   asn1.ObjectIdentifier
		Values []any `asn1:"set"`
	}
	sum := sha256.Sum256(content)
	attributes := []attribute{{oidContentType, []any{oidData}}, {oidMessageDigest, []any{sum[:]}}, {oidSigningTime, []any{at}}}
	der, err := asn1.MarshalWithParams(attributes, "set")
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(der)
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	type signerInfo struct {
		Version    int
		Serial     cmsSerial
		Digest     cmsAlgorithm
		Attributes []attribute `asn1:"set,tag:0"`
		Algorithm  cmsAlgorithm
		Signature  []byte
	}
	type signedData struct {
		Version      int
		Digests      []cmsAlgorithm `asn1:"set"`
		Content      struct{ Type asn1.ObjectIdentifier }
		Certificates []asn1.RawValue `asn1:"set,tag:0"`
		Signers      []signerInfo    `asn1:"set"`
	}
	data := signedData{Version: 1, Digests: []cmsAlgorithm{{oidSHA256, asn1Null}}, Certificates: []asn1.RawValue{{FullBytes: c.Raw}}}
	data.Content.Type = oidData
	data.Signers = []signerInfo{{1, cmsSerial{asn1.RawValue{FullBytes: c.RawIssuer}, c.SerialNumber}, cmsAlgorithm{oidSHA256, asn1Null}, attributes, cmsAlgorithm{oidRSA, asn1Null}, signature}}
	return asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content signedData `asn1:"explicit,tag:0"`
	}{oidSignedData, data})
}

// enveloped returns n bytes encrypted for somebody else (RFC 5652 §6.1): who has no
// key sees noise.
func enveloped(seed string, n int) []byte {
	type recipient struct {
		Version   int
		Serial    cmsSerial
		Algorithm cmsAlgorithm
		Key       []byte
	}
	type content struct {
		Type      asn1.ObjectIdentifier
		Algorithm struct {
			Algorithm asn1.ObjectIdentifier
			IV        []byte
		}
		Data []byte `asn1:"tag:0"`
	}
	type envelopedData struct {
		Version    int
		Recipients []recipient `asn1:"set"`
		Content    content
	}
	issuer, err := asn1.Marshal(pkix.Name{CommonName: "Autorité d'essai"}.ToRDNSequence())
	if err != nil {
		panic(fmt.Sprintf("sandbox: envelope: %v", err)) // a constant
	}
	data := content{Type: oidData, Data: noise(seed, n/16*16)}
	data.Algorithm.Algorithm, data.Algorithm.IV = oidAES256, noise(seed+" iv", 16)
	to := recipient{0, cmsSerial{asn1.RawValue{FullBytes: issuer}, big.NewInt(7)}, cmsAlgorithm{oidRSA, asn1Null}, noise(seed+" clé", 256)}
	der, err := asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content envelopedData `asn1:"explicit,tag:0"`
	}{oidEnvelopedData, envelopedData{0, []recipient{to}, data}})
	if err != nil {
		panic(fmt.Sprintf("sandbox: envelope: %v", err)) // its fields are constants and noise
	}
	return der
}
