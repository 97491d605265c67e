package archive

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Modes of S3Config.
const (
	ModeCompliance = "compliance" // nobody can remove an object before its date, not even the owner of the account
	ModeGovernance = "governance" // an account with a special right can: for trials
	ModeNone       = "none"       // nothing is locked
)

// S3Config says where the bucket is and how its objects are locked.
type S3Config struct {
	Endpoint  string // http(s)://host:port, without a path
	Bucket    string
	Region    string        // empty: asked from the server
	AccessKey string        // path of a file
	SecretKey string        // path of a file
	CA        string        // path of a PEM file; empty: system authorities
	Mode      string        // ModeCompliance, ModeGovernance or ModeNone
	Retention time.Duration // from the moment an object is written; at least a second unless ModeNone
}

// s3Store is the S3 driver. Each put carries the SHA-256 of its bytes
// (x-amz-checksum-sha256, which servers check and keep), "If-None-Match: *" and,
// unless the mode is none, an explicit retention date, whatever the bucket's
// default is. Objects are read by version id: a delete marker or a later version
// that somebody with the bucket's key may add hides nothing from Greffe.
//
// Give Greffe a key without s3:DeleteObject, s3:DeleteObjectVersion,
// s3:PutBucketVersioning and s3:BypassGovernanceRetention, and with
// s3:GetObjectRetention, s3:PutObjectRetention, s3:GetObjectLegalHold and
// s3:PutObjectLegalHold. Only elimination needs s3:DeleteObjectVersion: give it a key
// of its own.
type s3Store struct {
	c      *minio.Core
	trans  *http.Transport
	bucket string
	mode   minio.RetentionMode // empty: none
	retain time.Duration
}

// OpenS3 prepares the driver for a bucket that exists. It checks cfg but does
// not reach out: a server that is down at start is like one that goes down
// later (ErrUnavailable). Check tries it. The files with the keys are read again
// for each request: to change a key, replace its file.
func OpenS3(_ context.Context, cfg S3Config, log *slog.Logger) (Store, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || (u.Path != "" && u.Path != "/") {
		return nil, fmt.Errorf("archive: S3 endpoint %q: want http(s)://host:port", cfg.Endpoint)
	}
	s := &s3Store{bucket: cfg.Bucket, retain: cfg.Retention}
	switch cfg.Mode {
	case ModeCompliance:
		s.mode = minio.Compliance
	case ModeGovernance:
		s.mode = minio.Governance
	case ModeNone:
		log.Warn("archive objects are not locked", slog.String("mode", cfg.Mode))
	default:
		return nil, fmt.Errorf("archive: S3 mode %q: want compliance, governance or none", cfg.Mode)
	}
	if s.mode != "" && (cfg.Retention < time.Second || cfg.Retention > maxRetention) {
		return nil, fmt.Errorf("archive: S3 retention %v: want one second to 200 years", cfg.Retention)
	}
	if s.trans, err = minio.DefaultTransport(u.Scheme == "https"); err != nil {
		return nil, fmt.Errorf("archive: S3 transport: %w", err)
	}
	if cfg.CA != "" {
		pem, err := os.ReadFile(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("archive: S3 authorities: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("archive: S3 authorities %s: no certificate in PEM form", cfg.CA)
		}
		if s.trans.TLSClientConfig == nil {
			return nil, fmt.Errorf("archive: S3 authorities are given but the endpoint %s is not https", cfg.Endpoint)
		}
		s.trans.TLSClientConfig.RootCAs = pool
	}
	s.c, err = minio.NewCore(u.Host, &minio.Options{
		Creds:           credentials.New(keyFiles{cfg.AccessKey, cfg.SecretKey}),
		Secure:          u.Scheme == "https",
		Transport:       s.trans,
		Region:          cfg.Region,
		TrailingHeaders: true, // without it minio-go refuses checksum headers
		MaxRetries:      3,    // of requests without a body; the bus does the rest
	})
	if err != nil {
		return nil, fmt.Errorf("archive: S3 client: %w", err)
	}
	return s, nil
}

// keyFiles is a credentials.Provider that reads the two files for each request.
type keyFiles struct{ access, secret string }

func (k keyFiles) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return k.Retrieve()
}

func (k keyFiles) Retrieve() (credentials.Value, error) {
	access, err := os.ReadFile(k.access)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("S3 access key: %w", err)
	}
	secret, err := os.ReadFile(k.secret)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("S3 secret key: %w", err)
	}
	return credentials.Value{
		AccessKeyID: string(bytes.TrimSpace(access)), SecretAccessKey: string(bytes.TrimSpace(secret)),
		SignerType: credentials.SignatureV4,
	}, nil
}

func (k keyFiles) IsExpired() bool { return true }

func (s *s3Store) Close() error {
	s.trans.CloseIdleConnections()
	return nil
}
