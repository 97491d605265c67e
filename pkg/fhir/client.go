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

// maxAnswer is the longest answer that is read, in bytes.
const maxAnswer = 4 << 20

// Config says how a server is reached.
type Config struct {
	Base    string        // address of the service, http(s)://host/path
	TLS     *tls.Config   // nil: the system's authorities, no client certificate
	Token   string        // path of a file with a bearer token, read for each request; empty: none
	Timeout time.Duration // without progress on one request; 0 means 60 s
	Conns   int           // connections at once; 0 means 4
}

// Client talks to one server. Its methods may be called at once.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	tr    *http.Transport

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
		TLSClientConfig:       cfg.TLS,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: timeout, // counted from the end of the request body
		MaxConnsPerHost:       conns,
		MaxIdleConnsPerHost:   conns,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	return &Client{
		base: base, token: cfg.Token, tr: tr, timeout: timeout, slots: make(chan struct{}, conns),
		http: &http.Client{
			Transport: tr,
			// A redirect would carry the document and the token elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close gives idle connections up.
func (c *Client) Close() { c.tr.CloseIdleConnections() }

// Result is what a server did.
type Result struct {
	Status   int
	Location string // "DocumentReference/4711"; empty when the server does not say
	Existed  bool   // the server had it already
	Warnings []Issue
}

// Create posts a resource unless the search ifNoneExist finds one.
func (c *Client) Create(ctx context.Context, kind string, resource any, ifNoneExist string) (Result, error) {
	b, err := json.Marshal(resource)
	if err != nil {
		return Result{}, fmt.Errorf("create %s: %w", kind, err)
	}
	a, err := c.do(ctx, request{method: "POST", path: kind, contentType: fhirJSON, size: int64(len(b)), body: text(string(b)),
		header: http.Header{"If-None-Exist": {ifNoneExist}, "Prefer": {"return=OperationOutcome"}}})
	if err != nil {
		return Result{}, fmt.Errorf("create %s: %w", kind, err)
	}
	location := a.location
	if location == "" { // on a match, some servers return the resource only
		var r struct{ ResourceType, ID string }
		if json.Unmarshal(a.body, &r) == nil && r.ResourceType == kind && r.ID != "" {
			location = r.ResourceType + "/" + r.ID
		}
	}
	if location == "" && len(a.body) == 0 {
		return Result{}, fmt.Errorf("create %s: %w: answered %d and neither a resource nor its address", kind, ErrNoAnswer, a.status)
	}
	return Result{Status: a.status, Location: location, Existed: a.status == http.StatusOK, Warnings: outcome(a.body).Issue}, nil
}

// Patch changes one resource, "DocumentReference/4711", by a FHIRPath patch.
func (c *Client) Patch(ctx context.Context, location string, p Parameters) (Result, error) {
	b := raw(p)
	a, err := c.do(ctx, request{method: "PATCH", path: location, contentType: fhirJSON, size: int64(len(b)), body: text(string(b)),
		header: http.Header{"Prefer": {"return=OperationOutcome"}}})
	if err != nil {
		return Result{}, fmt.Errorf("patch resource: %w", err)
	}
	return Result{Status: a.status, Location: location, Warnings: outcome(a.body).Issue}, nil
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
		return Result{}, fmt.Errorf("provide document: %w: the answer is not the response to the transaction", ErrNoAnswer)
	}
	r := Result{Status: a.status}
	for i, e := range b.Entry {
		if e.Response == nil {
			return Result{}, fmt.Errorf("provide document: %w: entry %d has no response", ErrNoAnswer, i)
		}
		code, _, _ := strings.Cut(e.Response.Status, " ")
		status, _ := strconv.Atoi(code)
		o := outcome(e.Response.Outcome)
		if status < 200 || status > 299 {
			return Result{}, fmt.Errorf("provide document: %w", &Error{Status: status, Outcome: o})
		}
		r.Warnings = append(r.Warnings, o.Issue...)
		if i == t.reference {
			r.Location, r.Existed = c.relative(e.Response.Location), status == http.StatusOK
		}
	}
	return r, nil
}

// FindReference returns the address of the current DocumentReference with this
// identifier; "" when the server knows none, or more than one.
func (c *Client) FindReference(ctx context.Context, id Identifier) (string, error) {
	entries, err := c.search(ctx, "DocumentReference", url.Values{"identifier": {id.Token()}}, id.Value)
	if err != nil {
		return "", err
	}
	found := ""
	for _, e := range entries {
		var r struct{ ResourceType, ID string }
		if json.Unmarshal(e.Resource, &r) != nil || r.ResourceType != "DocumentReference" || !safeID(r.ID) {
			continue
		}
		if found != "" {
			return "", nil
		}
		found = r.ResourceType + "/" + r.ID
	}
	return found, nil
}

// Ping asks for the server's capability statement, and says nothing about it but
// that the server answers and lets us in.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.do(ctx, request{method: "GET", path: "metadata", query: url.Values{"_summary": {"true"}}})
	if err != nil {
		return fmt.Errorf("ask for capabilities: %w", err)
	}
	return nil
}

func query(key, value string) string { return url.Values{key: {value}}.Encode() }
