package storage

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"greffe/pkg/evidence"
)

// newAuthority serves time stamps; behave changes an answer, status 0 means 200.
func newAuthority(t testing.TB, behave func(n int64, request *timestamp.Request) (status int, body []byte)) (Authority, *atomic.Int64) {
	t.Helper()
	return newAuthorityAt(t, time.Now, behave)
}

// newAuthorityAt is newAuthority with a clock of its own.
func newAuthorityAt(t testing.TB, now func() time.Time, behave func(n int64, request *timestamp.Request) (status int, body []byte)) (Authority, *atomic.Int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Horodatage d’essai"},
		NotBefore: time.Now().AddDate(-3, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	asked := new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
			t.Errorf("request: %v, %s", err, r.Header.Get("Content-Type"))
		}
		q, err := timestamp.ParseRequest(b)
		if err != nil {
			t.Error(err)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		if behave != nil {
			if status, body := behave(n, q); status != 0 {
				w.WriteHeader(status)
				w.Write(body)
				return
			}
		}
		ts := timestamp.Timestamp{HashAlgorithm: q.HashAlgorithm, HashedMessage: q.HashedMessage, Time: now().UTC(), Nonce: q.Nonce,
			Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: true}
		b, err = ts.CreateResponseWithOpts(cert, key, crypto.SHA256)
		if err != nil {
			t.Error(err)
		}
		w.Write(b)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return Authority{URL: server.URL, Roots: roots, Every: 24 * time.Hour}, asked
}

// stampHouse is a house whose journal was sealed.
func stampHouse(t testing.TB) (*house, *Sealer) {
	t.Helper()
	h := newHouse(t)
	s := NewSealer(h.store, h.db, newJournalKey(t, "essai"), slog.New(slog.DiscardHandler))
	say(t, h.db, 2)
	if _, err := s.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, s
}

func TestTheJournalIsStamped(t *testing.T) {
	t.Parallel()
	h, sealer := stampHouse(t)
	a, asked := newAuthority(t, nil)
	log := slog.New(slog.DiscardHandler)
	s := NewStamper(h.store, h.db, a, log)
	for range 3 { // once is enough for a day
		if _, err := s.StampDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	// Next year, as it were: the token of a year and of a month ago are named.
	h.sql(t, `UPDATE stamps SET at = at - 400*86400000`)
	h.sql(t, `DELETE FROM settings WHERE name = 'stamp asked'`)
	if late, err := s.Late(t.Context(), time.Now()); err != nil || late.IsZero() {
		t.Errorf("late since %v, %v", late, err)
	}
	if _, err := sealer.SealAll(t.Context()); err != nil { // the entry about the first token
		t.Fatal(err)
	}
	if done, err := s.StampDue(t.Context()); err != nil || !done {
		t.Fatal(done, err)
	}
	list, err := h.db.Stamps(t.Context(), 0, 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	for i, st := range list {
		_, b, err := readObject(t.Context(), h.store, st.Stamp.Key, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		about, err := evidence.ParseStamp(b)
		if err != nil {
			t.Fatal(err)
		}
		_, answer, err := readObject(t.Context(), h.store, st.Token.Key, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		token, err := evidence.ParseToken(answer)
		if err == nil {
			err = token.Check(b, a.Roots, "")
		}
		if err != nil {
			t.Error(err)
		}
		old := evidence.Link{}
		if i == 1 {
			old = evidence.Link{Key: list[0].Token.Key, SHA256: list[0].Token.SHA256}
		}
		if about.Previous != old || about.Month != old || about.Year != old {
			t.Errorf("stamp %d: %+v", i, about)
		}
		seal, err := h.db.SealOf(t.Context(), st.Last)
		if err != nil || about.Checkpoint != (evidence.Link{Key: seal.Checkpoint.Key, SHA256: seal.Checkpoint.SHA256}) || about.Root.String() != seal.Root {
			t.Errorf("stamp %d: %+v, %v", i, about, err)
		}
	}
	if late, err := s.Late(t.Context(), time.Now()); err != nil || !late.IsZero() {
		t.Errorf("late since %v, %v", late, err)
	}
}

// An authority that fails is asked again later, the delay is told, sealing goes on.
func TestAnAuthorityThatFails(t *testing.T) {
	t.Parallel()
	another, _ := newAuthority(t, nil)
	for name, c := range map[string]struct {
		behave func(n int64, q *timestamp.Request) (int, []byte)
		change func(*Authority)
		want   error
		says   string
	}{
		"down":              {change: func(a *Authority) { a.URL = "http://127.0.0.1:1/" }, says: "ne répond pas"},
		"busy":              {behave: func(int64, *timestamp.Request) (int, []byte) { return 503, nil }, want: evidence.ErrRefused, says: "refuse"},
		"not a token":       {behave: func(int64, *timestamp.Request) (int, []byte) { return 200, []byte("<html>") }, want: evidence.ErrFormat, says: "pas un jeton"},
		"endless":           {behave: func(int64, *timestamp.Request) (int, []byte) { return 200, make([]byte, 1<<20) }, want: evidence.ErrFormat, says: "pas un jeton"},
		"another authority": {change: func(a *Authority) { a.Roots = another.Roots }, want: evidence.ErrUntrusted, says: "admise"},
		"another policy":    {change: func(a *Authority) { a.Policy = "1.2.4" }, want: evidence.ErrMismatch, says: "politique"},
		"other bytes":       {behave: func(_ int64, q *timestamp.Request) (int, []byte) { q.HashedMessage[0] ^= 1; return 0, nil }, want: evidence.ErrMismatch, says: "pas un jeton"},
		"another request":   {behave: func(_ int64, q *timestamp.Request) (int, []byte) { q.Nonce.Add(q.Nonce, big.NewInt(1)); return 0, nil }, want: evidence.ErrMismatch, says: "pas un jeton"},
		"no nonce":          {behave: func(_ int64, q *timestamp.Request) (int, []byte) { q.Nonce = nil; return 0, nil }, want: evidence.ErrMismatch, says: "pas un jeton"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, sealer := stampHouse(t)
			a, asked := newAuthority(t, c.behave)
			good := a
			if c.change != nil {
				c.change(&a)
			}
			h.cfg.Stamper = NewStamper(h.store, h.db, a, slog.New(slog.DiscardHandler))
			err := h.stampDue(t.Context())
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			h.sealing.stamped(err)
			if st := h.sealing.standings()[0]; !strings.Contains(st.Warning, c.says) || st.Trouble != "" {
				t.Errorf("%+v", st)
			}
			n := asked.Load()
			h.sealing.stamped(h.stampDue(t.Context()))
			if st := h.sealing.standings()[0]; asked.Load() != n || !strings.Contains(st.Warning, c.says) {
				t.Errorf("asked again at once, or forgotten: %+v", st)
			}
			h.sql(t, `UPDATE seals SET at = at - 2*86400000`) // a day and more without a token
			h.sealing.stamped(h.stampDue(t.Context()))
			if st := h.sealing.standings()[0]; !strings.Contains(st.Trouble, c.says) || st.Since.IsZero() {
				t.Errorf("%+v", st)
			}
			say(t, h.db, 1)
			if _, err := sealer.SealAll(t.Context()); err != nil {
				t.Errorf("sealing does not go on: %v", err)
			}
			if list, err := h.db.Stamps(t.Context(), 0, 1); err != nil || len(list) > 0 {
				t.Errorf("%+v %v", list, err)
			}
			// It comes back, ten minutes later.
			if c.behave == nil {
				h.sql(t, `DELETE FROM settings WHERE name = 'stamp asked'`)
				h.cfg.Stamper = NewStamper(h.store, h.db, good, slog.New(slog.DiscardHandler))
				h.sealing.stamped(h.stampDue(t.Context()))
				if st := h.sealing.standings()[0]; st.Trouble != "" || st.Warning != "" {
					t.Errorf("%+v", st)
				}
			}
		})
	}
}

// Each write of a stamp fails twice; then it is done again.
func TestStampingCrashPoints(t *testing.T) {
	t.Parallel()
	for n := range 2 { // stamp, token
		for _, stored := range []bool{false, true} {
			h, _ := stampHouse(t)
			a, _ := newAuthority(t, nil)
			f := &faulty{Store: h.store, step: step{n, stored}}
			if _, err := NewStamper(f, h.db, a, h.log).StampDue(t.Context()); !errors.Is(err, errStep) {
				t.Fatal(err)
			}
			h.sql(t, `DELETE FROM settings WHERE name = 'stamp asked'`)
			if done, err := NewStamper(h.store, h.db, a, h.log).StampDue(t.Context()); err != nil || !done {
				t.Fatalf("after step %d (stored %v): %v", n, stored, err)
			}
			list, err := h.db.Stamps(t.Context(), 0, 10)
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			for _, o := range []struct{ key, want string }{{list[0].Stamp.Key, string(list[0].Stamp.SHA256)}, {list[0].Token.Key, string(list[0].Token.SHA256)}} {
				if got, _, err := readObject(t.Context(), h.store, o.key, 1<<20); err != nil || string(got.SHA256) != o.want {
					t.Errorf("%s: %v", o.key, err)
				}
			}
			judgeSeals(t, h.store, h.db)
		}
	}
}

// An authority that wants to know who asks gets the password of the file and the
// certificate of the client.
func TestAnAuthorityThatKnowsItsClients(t *testing.T) {
	t.Parallel()
	open, _ := newAuthority(t, nil)
	behind, err := url.Parse(open.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(behind)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "ch-essai" || password != "très secret" || len(r.TLS.PeerCertificates) != 1 {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("très secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	known := open
	known.URL, known.servers = server.URL, x509.NewCertPool()
	known.servers.AddCert(server.Certificate())
	known.User, known.PasswordFile, known.Certificate = "ch-essai", file, &server.TLS.Certificates[0]
	if _, _, err := known.Ask(t.Context(), []byte("x")); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Authority){
		"no password": func(a *Authority) { a.User = "" }, "no certificate": func(a *Authority) { a.Certificate = nil },
	} {
		a := known
		change(&a)
		if _, _, err := a.Ask(t.Context(), []byte("x")); !errors.Is(err, evidence.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	known.PasswordFile += "none"
	if _, _, err := known.Ask(t.Context(), []byte("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
