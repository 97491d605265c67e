package fhir

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
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
	a, err := c.do(ctx, "POST", kind, fhirJSON, int64(len(b)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
		http.Header{"If-None-Exist": {ifNoneExist}, "Prefer": {"return=OperationOutcome"}})
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
	a, err := c.do(ctx, "PATCH", location, fhirJSON, int64(len(b)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
		http.Header{"Prefer": {"return=OperationOutcome"}})
	if err != nil {
		return Result{}, fmt.Errorf("patch resource: %w", err)
	}
	return Result{Status: a.status, Location: location, Warnings: outcome(a.body).Issue}, nil
}

// Provide posts a transaction. It succeeds only when the answer has a success for
// each entry.
func (c *Client) Provide(ctx context.Context, t *Transaction) (Result, error) {
	a, err := c.do(ctx, "POST", "", fhirJSON, t.size(), t.body, http.Header{"Prefer": {"return=OperationOutcome"}})
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

// Search posts a search, so that what is searched for stays out of access logs,
// and returns the first page.
func (c *Client) Search(ctx context.Context, kind string, params url.Values) (Bundle, error) {
	form := params.Encode()
	a, err := c.do(ctx, "POST", kind+"/_search", "application/x-www-form-urlencoded", int64(len(form)),
		func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(form)), nil }, nil)
	if err != nil {
		return Bundle{}, fmt.Errorf("search %s: %w", kind, err)
	}
	var b Bundle
	if err := json.Unmarshal(a.body, &b); err != nil || b.ResourceType != "Bundle" {
		return Bundle{}, fmt.Errorf("search %s: %w: the answer is not a Bundle", kind, ErrNoAnswer)
	}
	return b, nil
}

// FindReference returns the address of the current DocumentReference with this
// identifier; "" when the server knows none, or more than one.
func (c *Client) FindReference(ctx context.Context, id Identifier) (string, error) {
	b, err := c.Search(ctx, "DocumentReference", url.Values{"identifier": {id.Token()}, "_count": {"2"}})
	if err != nil {
		return "", err
	}
	found := ""
	for _, e := range b.Entry {
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

// Patients returns the patients that the server knows by this identifier.
func (c *Client) Patients(ctx context.Context, id Identifier) ([]Patient, error) {
	b, err := c.Search(ctx, "Patient", url.Values{"identifier": {id.Token()}})
	if err != nil {
		return nil, err
	}
	var out []Patient
	for _, e := range b.Entry {
		var p Patient
		if json.Unmarshal(e.Resource, &p) == nil && p.ResourceType == "Patient" {
			out = append(out, p)
		}
	}
	return out, nil
}

// Ping asks for the server's capability statement, and says nothing about it but
// that the server answers and lets us in.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.do(ctx, "GET", "metadata?_summary=true", "", 0, nil, nil)
	if err != nil {
		return fmt.Errorf("ask for capabilities: %w", err)
	}
	return nil
}

// slowest is the rate, in bytes per second, at which a server must at least take
// a request.
const slowest = 64 << 10

const fhirJSON = "application/fhir+json"

type answer struct {
	status   int
	location string
	body     []byte
}

func (c *Client) do(ctx context.Context, method, path, contentType string, size int64, body func() (io.ReadCloser, error), h http.Header) (answer, error) {
	where := strings.TrimSuffix(c.base.String(), "/")
	if path != "" {
		where += "/" + path
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	// A peer that reads slower than this is taken for one that does not read.
	limit, cancel := context.WithTimeout(ctx, c.timeout+time.Duration(size/slowest)*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(limit, method, where, nil)
	if err != nil {
		return answer{}, err
	}
	source := &watched{open: body}
	if body != nil {
		if req.Body, err = source.again(); err != nil {
			return answer{}, err
		}
		req.ContentLength, req.GetBody = size, source.again
		req.Header.Set("Content-Type", contentType)
	}
	for k, v := range h {
		if v[0] != "" {
			req.Header[k] = v
		}
	}
	req.Header.Set("Accept", fhirJSON)
	if c.token != "" {
		token, err := os.ReadFile(c.token)
		if err != nil {
			return answer{}, fmt.Errorf("%w: read token: %w", ErrNoAnswer, err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		switch {
		case ctx.Err() != nil:
			return answer{}, ctx.Err()
		case source.failed() != nil: // the content could not be read: not the server's fault
			return answer{}, source.failed()
		}
		return answer{}, fmt.Errorf("%w: %w", ErrNoAnswer, withoutURL(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		return answer{}, fmt.Errorf("%w: read answer: %w", ErrNoAnswer, err)
	}
	if len(b) > maxAnswer {
		return answer{}, fmt.Errorf("%w: an answer of more than %d bytes", ErrNoAnswer, maxAnswer)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return answer{}, &Error{Status: resp.StatusCode, Outcome: outcome(b), RetryAfter: retryAfter(resp.Header.Get("Retry-After"))}
	}
	// A proxy in front may say 200 and mean nothing by it.
	if kind := resourceType(b); kind == "" && len(bytes.TrimSpace(b)) > 0 {
		return answer{}, fmt.Errorf("%w: answered %d with something that is no resource", ErrNoAnswer, resp.StatusCode)
	}
	return answer{resp.StatusCode, c.relative(resp.Header.Get("Location")), b}, nil
}

// withoutURL drops the address from an error of net/http: it may hold identifiers.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// relative turns a Location into type/id, without base and version.
func (c *Client) relative(location string) string {
	location = strings.TrimPrefix(location, strings.TrimSuffix(c.base.String(), "/")+"/")
	if u, err := url.Parse(location); err == nil {
		location = strings.TrimPrefix(u.Path, strings.TrimSuffix(c.base.Path, "/")+"/")
	}
	parts := strings.Split(strings.Trim(location, "/"), "/")
	for i := 0; i+1 < len(parts); i++ {
		if isType(parts[i]) && safeID(parts[i+1]) {
			return parts[i] + "/" + parts[i+1]
		}
	}
	return ""
}

// isType reports whether s has the form of a resource type.
func isType(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (i == 0 || c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// safeID reports whether s is a FHIR id: it becomes part of addresses, where dots
// alone would lead elsewhere.
func safeID(s string) bool {
	if len(s) > 64 || strings.Trim(s, ".") == "" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// resourceType returns the kind of resource that b is; "" when it is none.
func resourceType(b []byte) string {
	var r struct{ ResourceType string }
	if json.Unmarshal(b, &r) != nil {
		return ""
	}
	return r.ResourceType
}

func outcome(b []byte) OperationOutcome {
	var o OperationOutcome
	if json.Unmarshal(b, &o) != nil || o.ResourceType != "OperationOutcome" {
		return OperationOutcome{}
	}
	if len(o.Issue) > 20 {
		o.Issue = o.Issue[:20]
	}
	return o
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3), at most an hour.
func retryAfter(h string) time.Duration {
	d := time.Duration(0)
	if n, err := strconv.Atoi(h); err == nil {
		d = time.Duration(min(max(n, 0), 3600)) * time.Second
	} else if t, err := http.ParseTime(h); err == nil {
		d = max(time.Until(t), 0)
	}
	return min(d, time.Hour)
}

func query(key, value string) string { return url.Values{key: {value}}.Encode() }
