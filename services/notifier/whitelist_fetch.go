package notifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"greffe/pkg/mss"
)

// fetchTime is for all of one fetch.
const fetchTime = 2 * time.Minute

// fetch asks the address whether there is a newer list (RFC 9110 §13.1.2,
// If-None-Match) and takes it. At most 16 MiB, three redirections, https only.
func (w *whiteList) fetch(ctx context.Context) error {
	w.mu.Lock()
	etag, loaded := w.etag, len(w.domains) > 0
	w.mu.Unlock()
	if !loaded {
		etag = ""
	}
	b, etag, err := w.get(ctx, etag)
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	switch {
	case err != nil:
	case b == nil: // not modified
		w.good = now
		err = w.touch()
	default:
		if err = w.believe(b, now); err == nil || errors.Is(err, errKeep) {
			w.etag = etag
		}
	}
	w.err = err
	return err
}

// get returns the list and its tag, or nil when it is the one with etag.
func (w *whiteList) get(ctx context.Context, etag string) ([]byte, string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	u, err := url.Parse(w.Source)
	if err != nil {
		return nil, "", fmt.Errorf("fetch white list: %w", err)
	}
	config, err := mss.TLS("", w.CA, "")
	if err != nil {
		return nil, "", fmt.Errorf("fetch white list: %w", err)
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ResponseHeaderTimeout: 30 * time.Second}
	client := &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) > 3 {
			return fmt.Errorf("redirected to %s://%s", r.URL.Scheme, r.URL.Host)
		}
		return nil
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", fmt.Errorf("fetch white list: %w", err)
	}
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, "", fmt.Errorf("fetch white list: %w", err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified && etag != "":
		return nil, etag, nil
	case res.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("fetch white list: the server answers %d", res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxWhiteList+1))
	if err != nil {
		return nil, "", fmt.Errorf("fetch white list: %w", err)
	}
	if len(b) > maxWhiteList {
		return nil, "", errLong
	}
	return b, res.Header.Get("ETag"), nil
}
