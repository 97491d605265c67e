package integrator

import (
	"encoding/pem"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// copied returns a file that takes the content of one of several in turn.
func copied(t *testing.T) (path string, take func(from string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "renewed.pem")
	return path, func(from string) {
		t.Helper()
		b := []byte("-----BEGIN CERTIF")
		if from != "" {
			var err error
			if b, err = os.ReadFile(from); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Authorities and client certificates that are renewed while Greffe runs are used by the
// next connection; files that cannot be read are told as such, and used when they can.
func TestRenewedFilesOfMLLP(t *testing.T) {
	t.Parallel()
	di, other := demoDI(t), demoDI(t)
	authorities, takeCA := copied(t)
	certificate, takeClient := copied(t)
	takeCA(other.CAFile())
	takeClient(other.ClientFile())
	s := opened(t, di, func(d *DI) {
		d.MLLP.Address, d.MLLP.TLS, d.MLLP.CA, d.MLLP.Certificate = di.MLLPSAddr(), true, authorities, certificate
	})
	n := 0
	says := func(want ...string) {
		t.Helper()
		n++
		r, err := s.Send(t.Context(), one(document(n)))
		for _, w := range want {
			if err == nil && strings.HasPrefix(r.Text, w) {
				return
			}
		}
		t.Errorf("%+v, %v, want %q", r, err, want)
	}
	says("Le certificat du DI n'est pas reconnu")
	takeCA(di.CAFile())
	says("Le DI refuse la connexion TLS", "Le DI a coupé la connexion")
	takeClient("")
	says(textFiles)
	takeClient(di.ClientFile())
	if says(textDelivered); len(di.Documents()) != 1 {
		t.Errorf("%d documents", len(di.Documents()))
	}
}

func TestRenewedFilesOfFHIR(t *testing.T) {
	t.Parallel()
	di := demoDI(t)
	target, err := url.Parse("http://" + di.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(target))
	defer server.Close()
	own := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	authorities, take := copied(t)
	take(di.CAFile())
	d := target1(di, "simplified")
	d.FHIR.Base, d.FHIR.CA = server.URL+"/fhir", authorities
	s, err := d.open(Config{ConsoleURL: "http://console.invalid"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n, c := range []struct {
		from string
		want greffe.State
		text string
	}{{di.CAFile(), greffe.StateWaiting, textUnreachable}, {"", greffe.StateWaiting, textFiles}, {own, greffe.StateDelivered, textDelivered}} {
		take(c.from)
		if r, err := s.Send(t.Context(), one(document(n))); err != nil || r.State != c.want || !strings.HasPrefix(r.Text, c.text) {
			t.Errorf("%d: %+v, %v", n, r, err)
		}
	}
}
