package fhir

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrNoAnswer is returned when the server could not be reached or did not answer
// whole. It may have done what was asked: ask again with the same identifiers.
var ErrNoAnswer = errors.New("fhir: no answer")

// Error is an answer of the server that is not success.
type Error struct {
	Status     int // HTTP status, or that of the failed entry of a transaction
	Outcome    OperationOutcome
	RetryAfter time.Duration // 0: not said
}

// Error names the status only: what the server wrote may speak of the patient.
func (e *Error) Error() string { return fmt.Sprintf("fhir: server answered %d", e.Status) }

// Has reports whether an error of the answer has one of these codes (FHIR IssueType).
func (e *Error) Has(codes ...string) bool {
	return slices.ContainsFunc(e.Outcome.Issue, func(i Issue) bool { return i.Grave() && slices.Contains(codes, i.Code) })
}

// Duplicate reports whether the server says that it may have the resource already:
// a conflict, or several that meet the condition of a conditional create.
func (e *Error) Duplicate() bool {
	return e.Status == http.StatusConflict || e.Status == http.StatusPreconditionFailed || e.Has("duplicate", "multiple-matches")
}

// maxAnswer is the longest answer, in bytes, once long texts are left out (brief), maxRead
// before that. What is longer counts as no answer.
const (
	maxAnswer = 4 << 20
	maxRead   = 512 << 20
)

// Config says how a server is reached.
type Config struct {
	Base string // address of the service, http(s)://host/path
	// TLS returns what a new connection over TLS needs, as it is now: certificates are
	// renewed. nil: the system's authorities, no client certificate.
	TLS     func() (*tls.Config, error)
	Token   string        // path of a file with a bearer token, read for each request; empty: none
	OAuth   *OAuth        // how access tokens are had; nil: no such thing. Not beside Token
	Timeout time.Duration // without progress on one request; 0 means 60 s
	Conns   int           // connections at once; 0 means 4
}

// Client talks to one server. Its methods may be called at once.
type Client struct {
	base   *url.URL
	token  string
	tokens *tokens // nil without OAuth
	http   *http.Client
	tr     *http.Transport

	timeout time.Duration
	slots   chan struct{} // one for each connection: waiting for one is not the server's slowness
}

// New returns a client; it does not connect yet.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.Base)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("fhir: base %q: want http(s)://host/path", cfg.Base)
	}
	if base.User != nil || base.RawQuery != "" {
		return nil, fmt.Errorf("fhir: base of %s: want no user and no query", base.Host)
	}
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = 60 * time.Second
	}
	conns := cfg.Conns
	if conns == 0 {
		conns = 4
	}
	tr := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: timeout, // counted from the end of the request body
		MaxConnsPerHost:       conns,
		MaxIdleConnsPerHost:   conns,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	if cfg.TLS != nil {
		tr.DialTLSContext = dialTLS(cfg.TLS)
	}
	c := &Client{
		base: base, token: cfg.Token, tr: tr, timeout: timeout, slots: make(chan struct{}, conns),
		http: &http.Client{
			Transport: tr,
			// A redirect would carry the document and the token elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if cfg.OAuth != nil {
		if err := cfg.OAuth.check(); err != nil {
			return nil, err
		}
		if cfg.Token != "" {
			return nil, errors.New("fhir: a token file and oauth2: want one of the two")
		}
		c.tokens = newTokens(*cfg.OAuth, c.http, timeout)
	}
	return c, nil
}

// dialTLS makes each connection with the settings of its moment.
func dialTLS(settings func() (*tls.Config, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		tc, err := settings()
		if err != nil {
			return nil, err
		}
		tc.NextProtos = []string{"h2", "http/1.1"}
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		return (&tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: tc}).DialContext(ctx, network, address)
	}
}

// Close gives idle connections up.
func (c *Client) Close() { c.tr.CloseIdleConnections() }

// Result is what a server did.
type Result struct {
	Status   int
	Location string // "DocumentReference/4711"; empty when the server does not say
	Existed  bool   // the server had it already
	Issues   []Issue
}

// Create posts a document reference unless the server has it.
func (c *Client) Create(ctx context.Context, r *Creation) (Result, error) {
	a, err := c.do(ctx, request{method: "POST", path: "DocumentReference", contentType: fhirJSON, size: r.size(), body: r.body,
		header: http.Header{"If-None-Exist": {r.ifNoneExist}, "Prefer": {"return=OperationOutcome"}}})
	if err != nil {
		return Result{}, fmt.Errorf("create reference: %w", err)
	}
	location := a.location
	if location == "" { // on a match, some servers return the resource only
		var r struct{ ResourceType, ID string }
		if json.Unmarshal(a.body, &r) == nil && r.ResourceType == "DocumentReference" && safeID(r.ID) {
			location = r.ResourceType + "/" + r.ID
		}
	}
	o := outcome(a.body)
	switch {
	case location == "" && o.Failed(): // success in the status, failure in the text
		return Result{}, fmt.Errorf("create reference: %w", &Error{Status: a.status, Outcome: o})
	case location == "" && len(a.body) == 0:
		return Result{}, fmt.Errorf("create reference: %w: answered %d and neither a resource nor its address", ErrNoAnswer, a.status)
	}
	return Result{Status: a.status, Location: location, Existed: a.status == http.StatusOK, Issues: o.Issue}, nil
}

// SetStatus changes the status of one DocumentReference, "DocumentReference/4711".
func (c *Client) SetStatus(ctx context.Context, location, status string, form PatchForm) (Result, error) {
	b, contentType, _ := form.setStatus(status)
	a, err := c.do(ctx, request{method: "PATCH", path: location, contentType: contentType, size: int64(len(b)), body: text(string(b)),
		header: http.Header{"Prefer": {"return=OperationOutcome"}}})
	if err != nil {
		return Result{}, fmt.Errorf("change status: %w", err)
	}
	return Result{Status: a.status, Location: location, Issues: outcome(a.body).Issue}, nil
}

// Provide posts a transaction. It succeeds only when the answer has a success for
// each entry.
func (c *Client) Provide(ctx context.Context, t *Transaction) (Result, error) {
	a, err := c.do(ctx, request{method: "POST", contentType: fhirJSON, size: t.size(), body: t.body, header: http.Header{"Prefer": {"return=OperationOutcome"}}})
	if err != nil {
		return Result{}, fmt.Errorf("provide document: %w", err)
	}
	var b Bundle
	if err := json.Unmarshal(a.body, &b); err != nil || b.ResourceType != "Bundle" || len(b.Entry) != t.want {
		if o := outcome(a.body); o.Failed() {
			return Result{}, fmt.Errorf("provide document: %w", &Error{Status: a.status, Outcome: o})
		}
		return Result{}, fmt.Errorf("provide document: %w: the answer is not the response to the transaction", ErrNoAnswer)
	}
	r := Result{Status: a.status}
	for i, e := range b.Entry {
		if e.Response == nil {
			return Result{}, fmt.Errorf("provide document: %w: entry %d has no response", ErrNoAnswer, i)
		}
		code, _, _ := strings.Cut(strings.TrimSpace(e.Response.Status), " ")
		status, _ := strconv.Atoi(code)
		o := outcome(e.Response.Outcome)
		if status < 200 || status > 299 {
			return Result{}, fmt.Errorf("provide document: %w", &Error{Status: status, Outcome: o})
		}
		r.Issues = append(r.Issues, o.Issue...)
		if o := outcome(e.Resource); len(o.Issue) > 0 { // some servers say it here
			r.Issues = append(r.Issues, o.Issue...)
		}
		if i == t.reference {
			r.Location, r.Existed = c.relative(e.Response.Location), status == http.StatusOK
		}
	}
	return r, nil
}

// Found is a DocumentReference that a server knows.
type Found struct {
	Location string // "DocumentReference/4711"
	Status   string // current, superseded, entered-in-error
	Subject  Reference
}

// FindReferences returns the references with this identifier, of the document or of
// its entry, at most 50. What does not carry it is left out: a server that does not
// understand the question may answer with everything.
func (c *Client) FindReferences(ctx context.Context, id Identifier) ([]Found, error) {
	entries, err := c.search(ctx, "DocumentReference", url.Values{"identifier": {id.Token()}}, id.Value)
	if err != nil {
		return nil, err
	}
	var out []Found
	for _, e := range entries {
		var r DocumentReference
		if json.Unmarshal(e.Resource, &r) != nil || r.ResourceType != "DocumentReference" || !safeID(r.ID) {
			continue
		}
		if r.MasterIdentifier != nil {
			r.Identifier = append(r.Identifier, *r.MasterIdentifier)
		}
		if !slices.ContainsFunc(r.Identifier, func(i Identifier) bool { return i.System == id.System && i.Value == id.Value }) {
			continue
		}
		f := Found{Location: r.ResourceType + "/" + r.ID, Status: r.Status}
		if r.Subject != nil {
			f.Subject = *r.Subject
		}
		out = append(out, f)
	}
	return out, nil
}

// ErrVersion is returned when a server does not say that it speaks FHIR R4.
var ErrVersion = errors.New("fhir: not a FHIR R4 server")

// Ping asks for the server's capability statement, which anybody may read, and
// searches for a document that nobody has: it says that the server speaks FHIR R4 and
// lets us in.
func (c *Client) Ping(ctx context.Context) error {
	a, err := c.do(ctx, request{method: "GET", path: "metadata", query: url.Values{"_summary": {"true"}}})
	if err != nil {
		return fmt.Errorf("ask for capabilities: %w", err)
	}
	var s struct{ ResourceType, FHIRVersion string }
	if json.Unmarshal(a.body, &s) != nil || s.ResourceType != "CapabilityStatement" || !strings.HasPrefix(s.FHIRVersion, "4.0") {
		return fmt.Errorf("ask for capabilities: %w", ErrVersion)
	}
	_, err = c.FindReferences(ctx, Identifier{System: uri, Value: "urn:uuid:00000000-0000-8000-8000-000000000000"})
	return err
}

func query(key, value string) string { return url.Values{key: {value}}.Encode() }
