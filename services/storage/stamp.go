package storage

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Authority is a time-stamping authority.
type Authority struct {
	URL    string         // http or https, RFC 3161 §3.4
	Roots  *x509.CertPool // whom its certificate must come from
	Policy string         // OID that is asked for and expected; empty: any
	Every  time.Duration  // between two tokens, at most

	// Who asks: with a name and a password (HTTP Basic, RFC 7617), read from its file for
	// each token, or with a certificate, or both; empty and nil: anybody may.
	User, PasswordFile string
	Certificate        *tls.Certificate

	servers *x509.CertPool // whom the server's certificate comes from; nil: those of the system
}

// How the authority is asked.
const (
	askLimit = 30 * time.Second
	askPause = 10 * time.Minute // before it is asked again after a failure
)

// Ask returns a token over data and the answer it came in, after all checks: imprint,
// nonce, policy, signature and who signed it. It waits at most 30 seconds and reads at
// most 64 KiB; only the SHA-256 of data goes out.
func (a *Authority) Ask(ctx context.Context, data []byte) (*evidence.Token, []byte, error) {
	der, nonce, err := evidence.NewRequest(data, a.Policy)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(der))
	if err != nil {
		return nil, nil, fmt.Errorf("ask for a time stamp: %w", err)
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	req.Header.Set("Accept", "application/timestamp-reply")
	if a.User != "" {
		password, err := os.ReadFile(a.PasswordFile)
		if err != nil {
			return nil, nil, fmt.Errorf("ask for a time stamp: %w", err)
		}
		req.SetBasicAuth(a.User, strings.TrimRight(string(password), "\r\n"))
	}
	// Nothing is kept open between two requests of a day; a redirection would not repeat the body.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig = &tls.Config{RootCAs: a.servers, MinVersion: tls.VersionTLS12}
	if a.Certificate != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{*a.Certificate}
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for a time stamp: %w", err)
	}
	defer res.Body.Close()
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); res.StatusCode != http.StatusOK || kind != "application/timestamp-reply" {
		return nil, nil, fmt.Errorf("%w: HTTP %d, %.60q", evidence.ErrRefused, res.StatusCode, kind)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, evidence.MaxToken+1))
	if err != nil {
		return nil, nil, fmt.Errorf("ask for a time stamp: %w", err)
	}
	t, err := evidence.ParseToken(answer)
	if err == nil {
		err = t.Check(data, a.Roots, a.Policy)
	}
	if err == nil && (t.Nonce == nil || t.Nonce.Cmp(nonce) != 0) {
		err = fmt.Errorf("%w: the token answers another request", evidence.ErrMismatch)
	}
	if err != nil {
		return nil, nil, err
	}
	return t, answer, nil
}

// Stamper has the newest checkpoint stamped when it is time.
type Stamper struct {
	store     archive.Store
	index     *index.DB
	authority Authority
	log       *slog.Logger
}

// NewStamper returns a stamper. store and db stay the caller's.
func NewStamper(store archive.Store, db *index.DB, a Authority, log *slog.Logger) *Stamper {
	return &Stamper{store: store, index: db, authority: a, log: log}
}

// Late returns since when the journal should have had a token, the zero time when it has
// one that is young enough or when nothing is sealed yet.
func (s *Stamper) Late(ctx context.Context, now time.Time) (time.Time, error) {
	due, err := s.due(ctx)
	if err != nil || due.IsZero() || now.Before(due) {
		return time.Time{}, err
	}
	return due, nil
}

// due returns until when the next token is needed: one period after the last one, or
// after the first seal; zero when nothing is sealed.
func (s *Stamper) due(ctx context.Context) (time.Time, error) {
	last, err := s.index.StampBefore(ctx, time.Now().AddDate(1, 0, 0))
	if err == nil {
		return last.At.Add(s.authority.Every), nil
	}
	if !errors.Is(err, index.ErrNotFound) {
		return time.Time{}, err
	}
	first, err := s.index.Seals(ctx, 0, 1)
	if err != nil || len(first) == 0 || !first[0].Done {
		return time.Time{}, err
	}
	return first[0].At.Add(s.authority.Every), nil
}

// StampDue has the newest checkpoint stamped when the last token is nearly one period
// old, or when there is none; it reports whether it did. It may be called at any time by
// many: after a failure the authority is left in peace for ten minutes.
func (s *Stamper) StampDue(ctx context.Context) (bool, error) {
	due, err := s.due(ctx)
	if err != nil || due.IsZero() {
		return false, err
	}
	had, err := s.index.Stamps(ctx, 0, 1)
	if err != nil {
		return false, err
	}
	// A little early, so that a failure or two do not make it late.
	if len(had) > 0 && time.Now().Before(due.Add(-s.authority.Every/24)) {
		return false, nil
	}
	if may, err := s.index.TryStamp(ctx, min(askPause, s.authority.Every/24)); err != nil || !may {
		return false, err
	}
	return s.stamp(ctx)
}

func (s *Stamper) stamp(ctx context.Context) (bool, error) {
	seal, err := s.index.LastSeal(ctx)
	if err != nil {
		return false, err
	}
	if had, err := s.index.Stamps(ctx, seal.Last-1, 1); err != nil || len(had) > 0 {
		return false, err // nothing is new
	}
	st, err := s.about(ctx, seal)
	if err != nil {
		return false, err
	}
	b := st.Bytes()
	token, answer, err := s.authority.Ask(ctx, b)
	if err != nil {
		return false, err
	}
	// The stamp comes first: a stamp without a token is surplus, a token without its stamp
	// would prove nothing. Another process may have been faster with a token of its own.
	r := st.Range()
	object, err := s.store.Put(ctx, r.Key(evidence.KindStamp), bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
	if err != nil {
		return false, fmt.Errorf("keep stamp: %w", err)
	}
	tokenObject, err := s.store.Put(ctx, r.Key(evidence.KindToken), bytes.NewReader(answer), int64(len(answer)), greffe.DigestOf(answer))
	if errors.Is(err, archive.ErrExists) {
		if tokenObject, answer, err = readObject(ctx, s.store, r.Key(evidence.KindToken), evidence.MaxToken); err == nil {
			token, err = evidence.ParseToken(answer)
		}
		if err == nil {
			err = token.Check(b, s.authority.Roots, s.authority.Policy)
		}
	}
	if err != nil {
		return false, fmt.Errorf("keep token: %w", err)
	}
	return true, s.index.SaveStamp(ctx, index.Stamp{Last: seal.Last, At: token.Time, Stamp: object, Token: tokenObject})
}

// about returns what is to be stamped: the checkpoint of the seal and the tokens before.
func (s *Stamper) about(ctx context.Context, seal index.Seal) (*evidence.Stamp, error) {
	root, err := tlog.ParseHash(seal.Root)
	if err != nil {
		return nil, fmt.Errorf("root of seal %d: %w", seal.Last, err)
	}
	st := &evidence.Stamp{Checkpoint: evidence.Link{Key: seal.Checkpoint.Key, SHA256: seal.Checkpoint.SHA256}, Root: root}
	for link, before := range map[*evidence.Link]time.Time{
		&st.Previous: seal.At.AddDate(100, 0, 0), &st.Month: seal.At.AddDate(0, -1, 0), &st.Year: seal.At.AddDate(-1, 0, 0),
	} {
		old, err := s.index.StampBefore(ctx, before)
		if errors.Is(err, index.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		*link = evidence.Link{Key: old.Token.Key, SHA256: old.Token.SHA256}
	}
	return st, nil
}
