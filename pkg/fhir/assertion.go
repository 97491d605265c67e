package fhir

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// assertionLife is how long a signed assertion may be used; authorization servers
// refuse more than five minutes.
const assertionLife = 4 * time.Minute

// assertion returns a signed JWT that says who asks for a token (RFC 7523 §3). The
// algorithm is that of the key: RS384, ES256 or ES384.
func (o OAuth) assertion(now time.Time) (string, error) {
	b, err := os.ReadFile(o.KeyFile)
	if err != nil {
		return "", fmt.Errorf("read private key: %w", err)
	}
	key, alg, hash, err := signingKey(b)
	if err != nil {
		return "", fmt.Errorf("read private key: %w", err)
	}
	header := map[string]string{"alg": alg, "typ": "JWT"}
	if o.KeyID != "" {
		header["kid"] = o.KeyID
	}
	claims := map[string]any{
		"iss": o.ClientID, "sub": o.ClientID, "aud": o.TokenURL, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	}
	signed := part(header) + "." + part(claims)
	h := hash.New()
	h.Write([]byte(signed))
	var signature []byte
	switch k := key.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, k, hash, h.Sum(nil))
	case *ecdsa.PrivateKey: // RFC 7518 §3.4: r and s side by side, not ASN.1
		r, s, e := ecdsa.Sign(rand.Reader, k, h.Sum(nil))
		if err = e; err == nil {
			n := (k.Params().BitSize + 7) / 8
			signature = make([]byte, 2*n)
			r.FillBytes(signature[:n])
			s.FillBytes(signature[n:])
		}
	}
	if err != nil {
		return "", fmt.Errorf("sign assertion: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// signingKey reads the first private key of a PEM file.
func signingKey(b []byte) (key any, alg string, hash crypto.Hash, err error) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, "", 0, errors.New("it cannot be read") // the error might show of it
		}
		switch k := key.(type) {
		case *rsa.PrivateKey:
			return k, "RS384", crypto.SHA384, nil
		case *ecdsa.PrivateKey:
			switch k.Curve {
			case elliptic.P256():
				return k, "ES256", crypto.SHA256, nil
			case elliptic.P384():
				return k, "ES384", crypto.SHA384, nil
			}
		}
		return nil, "", 0, errors.New("it is not RSA, P-256 or P-384")
	}
	return nil, "", 0, errors.New("the file holds none")
}
