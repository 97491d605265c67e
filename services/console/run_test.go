package console

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRunOverTLS starts the console as greffe does, and stops it while a page
// follows the queue.
func TestRunOverTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cert, key, pool := certificate(t)
	c, err := New(Config{Listen: "127.0.0.1:0", PublicURL: "https://greffe.example", Secure: true, Certificate: cert, Key: key}, w.bus, w.store, w.db, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	base := "https://" + c.Addr()
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok: Index\nok: Bus\n"} {
		resp, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || string(b) != want || resp.ProtoMajor != 2 || resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%s: %s, status %d, %q", path, resp.Proto, resp.StatusCode, b)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", base+"/connexion", strings.NewReader(url.Values{"login": {"claire"}, "mot-de-passe": {password}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "https://greffe.example") // the name people type; a proxy hid it from Host
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cookies := resp.Cookies()
	if resp.StatusCode != http.StatusSeeOther || len(cookies) != 1 || cookies[0].Name != "__Host-greffe" || !cookies[0].Secure {
		t.Fatalf("login: status %d, cookies %v", resp.StatusCode, cookies)
	}
	r, _ = http.NewRequestWithContext(t.Context(), "GET", base+"/file/flux", nil)
	r.AddCookie(cookies[0])
	resp, err = client.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("stream: %v", err)
	}
	stop()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("the stream was cut, not ended: %v", err)
	}
	resp.Body.Close()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for name, cfg := range map[string]Config{
		"port in use":      {Listen: busy.Addr().String()},
		"public URL":       {PublicURL: "greffe.example"},
		"no certificate":   {Listen: "127.0.0.1:0", Certificate: "/nulle/part.pem"},
		"no file of token": {DI: []DIAccess{{Name: "dpi", TokenFile: "/nulle/part"}}},
	} {
		if _, err := New(cfg, w.bus, w.store, w.db, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, pool
}

// TestContrast computes the contrast of every pair of the palette that text uses
// (WCAG 1.4.3: 4.5 to 1).
func TestContrast(t *testing.T) {
	t.Parallel()
	css, err := staticFiles.ReadFile("static/greffe.css")
	if err != nil {
		t.Fatal(err)
	}
	colour := map[string]string{"white": "#ffffff"}
	for _, m := range regexp.MustCompile(`--([a-z0-9-]+): *(#[0-9a-f]{3,6})`).FindAllSubmatch(css, -1) {
		colour[string(m[1])] = string(m[2])
	}
	for _, p := range [][2]string{
		{"ink", "ground"}, {"ink", "paper"}, {"ink-2", "ground"}, {"ink-2", "paper"}, {"white", "brand"}, {"white", "accent"}, {"white", "brand-2"}, {"accent", "paper"}, {"accent", "ground"}, {"accent", "accent-2"}, {"ink-2", "accent-2"},
		{"todo", "todo-bg"}, {"refused", "refused-bg"}, {"incident", "incident-bg"}, {"waiting", "waiting-bg"}, {"done", "done-bg"}, {"copy", "copy-bg"}, {"quiet", "quiet-bg"}, {"refused", "paper"}, {"done", "paper"}, {"todo", "paper"}, {"copy", "paper"}, {"white", "focus"}, {"focus", "ground"},
	} {
		a, b := luminance(t, colour[p[0]]), luminance(t, colour[p[1]])
		if ratio := (max(a, b) + .05) / (min(a, b) + .05); ratio < 4.5 {
			t.Errorf("%s on %s: %.2f to 1", p[0], p[1], ratio)
		}
	}
	for _, inline := range []string{"http:", "https:", "@import", "url("} {
		if bytes.Contains(css, []byte(inline)) {
			t.Errorf("the style has %q", inline)
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	h := strings.TrimPrefix(hex, "#")
	if len(h) == 3 {
		h = string([]byte{h[0], h[0], h[1], h[1], h[2], h[2]})
	}
	sum := 0.0
	for i, weight := range []float64{.2126, .7152, .0722} {
		n, err := strconv.ParseUint(h[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatalf("colour %q: %v", hex, err)
		}
		c := float64(n) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
