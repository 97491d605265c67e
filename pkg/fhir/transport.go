package fhir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// slowest is the rate, in bytes per second, at which a server must at least take
// a request.
const slowest = 64 << 10

const fhirJSON = "application/fhir+json"

type answer struct {
	status   int
	location string
	body     []byte
}

// request is one thing to ask, below the base.
type request struct {
	method, path string
	query        url.Values
	contentType  string
	size         int64                         // of the body
	body         func() (io.ReadCloser, error) // nil: none; it may be opened again
	header       http.Header                   // empty values are left out
}

func text(s string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

// do asks, with a new access token once more when the server refuses the one it
// gave before its time.
func (c *Client) do(ctx context.Context, r request) (answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	token, err := c.bearer(ctx, "")
	if err != nil {
		return answer{}, err
	}
	a, err := c.once(ctx, r, token)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusUnauthorized && c.tokens != nil {
		if token, err = c.bearer(ctx, token); err != nil {
			return answer{}, err
		}
		return c.once(ctx, r, token)
	}
	return a, err
}

// bearer returns the access token to use, other than the one that was refused; ""
// when none is configured.
func (c *Client) bearer(ctx context.Context, refused string) (string, error) {
	switch {
	case c.tokens != nil:
		return c.tokens.get(ctx, refused)
	case c.token != "":
		b, err := os.ReadFile(c.token)
		if err != nil {
			return "", fmt.Errorf("%w: read token: %w", ErrToken, err)
		}
		token := strings.TrimSpace(string(b))
		if token == "" || !visible(token) {
			return "", fmt.Errorf("%w: its file is empty or holds more than a token", ErrToken)
		}
		return token, nil
	}
	return "", nil
}

// once sends a request and reads the whole answer.
func (c *Client) once(ctx context.Context, r request, token string) (answer, error) {
	where := strings.TrimSuffix(c.base.String(), "/")
	if r.path != "" {
		where += "/" + r.path
	}
	if len(r.query) > 0 {
		where += "?" + r.query.Encode()
	}
	// A peer that reads slower than this is taken for one that does not read.
	limit, cancel := context.WithTimeout(ctx, c.timeout+time.Duration(r.size/slowest)*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(limit, r.method, where, nil)
	if err != nil {
		return answer{}, err
	}
	source := &watched{open: r.body}
	if r.body != nil {
		if req.Body, err = source.again(); err != nil {
			return answer{}, err
		}
		req.ContentLength, req.GetBody = r.size, source.again
		req.Header.Set("Content-Type", r.contentType)
	}
	for k, v := range r.header {
		if v[0] != "" {
			req.Header[k] = v
		}
	}
	req.Header.Set("Accept", fhirJSON)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
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
	b, err := io.ReadAll(io.LimitReader(&brief{r: io.LimitReader(resp.Body, maxRead)}, maxAnswer+1))
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		return answer{}, fmt.Errorf("%w: read answer: %w", ErrNoAnswer, err)
	}
	location := c.relative(resp.Header.Get("Location"))
	if len(b) > maxAnswer && resp.StatusCode >= 200 && resp.StatusCode <= 299 && location != "" {
		return answer{resp.StatusCode, location, nil}, nil // the resource come back, document and all: enough is said
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
	return answer{resp.StatusCode, location, b}, nil
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
