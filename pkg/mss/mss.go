// Package mss opens the door of an MSSanté operator: TLS as the référentiel socle
// MSSanté #2 asks (ECO.1.1.1, ECO.1.1.3, ECO.1.1.10), secrets from files, and the
// mechanisms of SASL that operators offer. The fetcher reads mail through it and
// the notifier sends.
//
// Every file is read again at each connection, so that a renewed certificate or a
// changed password is used without a restart.
//
// Dependency: github.com/emersion/go-sasl, the mechanisms that go-imap and go-smtp
// speak.
package mss

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrExpired is a client certificate outside its dates.
var ErrExpired = errors.New("the client certificate is outside its dates")

// FileError is a file of the configuration that cannot be used.
type FileError struct {
	Path string
	Err  error
}

// Error implements error.
func (e *FileError) Error() string { return "file " + e.Path + ": " + e.Err.Error() }

// Unwrap returns what is wrong with the file.
func (e *FileError) Unwrap() error { return e.Err }

// TLS returns the settings of a connection to host. ca is the path of a PEM file
// with the only authorities that are trusted, empty for those of the system;
// certificate that of a PEM file with the client's certificate and its key, empty
// for none. The error is a FileError or ErrExpired.
func TLS(host, ca, certificate string) (*tls.Config, error) {
	c := &tls.Config{
		ServerName: host,
		MinVersion: tls.VersionTLS12, // ECO.1.1.1
		// ECO.1.1.3: forward secrecy and authenticated encryption. TLS 1.3 has nothing else.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, &FileError{ca, err}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &FileError{ca, errors.New("no certificate in it")}
		}
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, certificate)
		if err != nil {
			return nil, &FileError{certificate, err}
		}
		if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
			return nil, fmt.Errorf("%w (until %s)", ErrExpired, pair.Leaf.NotAfter.Format(time.DateOnly))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Secret reads the first line of a file, at most 64 KiB and not empty. The error is
// a FileError.
func Secret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", &FileError{path, err}
	}
	if len(b) > 64<<10 {
		return "", &FileError{path, errors.New("too large for a secret")}
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return "", &FileError{path, errors.New("empty")}
	}
	return string(line), nil
}
