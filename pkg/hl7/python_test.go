package hl7

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// understood is what the independent receiver says of one message.
type understood struct {
	Control, Document string
	Values            [][]json.RawMessage // see testdata/receiver.py
}

// all returns every value.
func (u understood) all(t *testing.T) []string {
	t.Helper()
	all := []string{""}
	for _, segment := range u.Values {
		for _, field := range segment[1:] {
			var v [][][]string
			if json.Unmarshal(field, &v) == nil { // MSH-1 and MSH-2 are strings
				for _, repetition := range v {
					all = append(all, slices.Concat(repetition...)...)
				}
			}
		}
	}
	return all
}

// pythonReceiver starts testdata/receiver.py and returns its address and a function
// that returns its next line.
func pythonReceiver(t *testing.T, args ...string) (string, func() understood) {
	t.Helper()
	if os.Getenv("GREFFE_TEST_PYHL7") == "" {
		t.Skip("GREFFE_TEST_PYHL7 is not set")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", append([]string{"testdata/receiver.py"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); cmd.Wait() })
	lines := bufio.NewReaderSize(out, 1<<20)
	port, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal("the receiver did not start: ", err)
	}
	return "127.0.0.1:" + strings.TrimSpace(port), func() understood {
		t.Helper()
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal("the receiver said nothing: ", err)
		}
		var u understood
		if err := json.Unmarshal(line, &u); err != nil {
			t.Fatal(err)
		}
		return u
	}
}

// hostile makes the messages hard: separators, long subjects, letters outside ASCII.
func hostile(m *MDM) {
	m.Mail.Subject = `barre | accent ^ et & tilde ~ contre \ fin ` + strings.Repeat("très long ", 100)
	m.Document.Authors[0].Family = `D^UP|ONT & ~ \F\ fils`
	m.Document.Patient.Home = greffe.PostalAddress{Street: "12 rue de l’Œuvre", City: "ESSAI", PostalCode: "29000"}
	m.Document.Patient.UsedFamily = "ESSAI"
	m.Mail.Cc = []greffe.Address{{Address: "b@ch-test.example"}}
}

// Each event, in both character sets, with and without TLS: an independent parser
// understands every value as our own does, and gets the document whole. Its answers
// are understood, too.
func TestIndependentReceiver(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	file := filepath.Join(t.TempDir(), "cert.pem")
	writePEM(t, file, cert)
	for _, c := range []struct {
		name    string
		charset Charset
		args    []string
		tls     *tls.Config
	}{
		{"UTF-8", UTF8, []string{"utf-8"}, nil},
		{"8859-15", Latin9, []string{"iso8859-15"}, nil},
		{"UTF-8 over TLS", UTF8, []string{"utf-8", file, file}, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: "di.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr, next := pythonReceiver(t, c.args...)
			cl := client(t, ClientConfig{Address: addr, TLS: always(c.tls), Connections: 4, AckTimeout: time.Minute})
			for n, x := range []struct {
				event Event
				size  int
				ack   string
			}{
				{First, 20, "AA"}, {Replace, 150_000, "AA"}, {Delete, 8 << 20, "AA"}, {First, 3000, "AE"}, {First, 3000, "AR"},
			} {
				m, s := sample()
				hostile(&m)
				s.Charset, s.Reliability = c.charset, "QUAL"
				m.Event, m.Control = x.event, fmt.Sprint(x.ack, n)
				if m.Event != First {
					m.Parent = greffe.OID{Root: "1.2.250.1.999.2.7", Extension: "1000|&"}
				}
				document := bytes.Repeat([]byte{'<', 0xff, 0x0b, 0x1c, '\r'}, x.size/5)
				a, err := cl.Send(t.Context(), m.Control, func(w io.Writer) error { return m.Encode(w, s, bytes.NewReader(document)) })
				if err != nil || a.Code != x.ack || a.Control != m.Control {
					t.Fatalf("%+v, %v", a, err)
				}
				if app, ok := a.Application(); ok != (x.ack == "AE") || ok && (app.App != "902" || app.Location != "PID^1^3") {
					t.Errorf("answer %+v", a)
				}
				u := next()
				if u.Control != m.Control || u.Document != string(greffe.DigestOf(document)) {
					t.Errorf("%s: the receiver has %s, %s", m.Control, u.Control, u.Document)
				}
				var sent bytes.Buffer
				if err := m.Encode(&sent, s, strings.NewReader("")); err != nil {
					t.Fatal(err)
				}
				agree(t, u, parse(t, sent.Bytes()))
				street := m.Document.Patient.Home.Street
				if c.charset == Latin9 {
					street = "12 rue de l'Œuvre"
				}
				for _, v := range []string{m.Mail.Subject, m.Document.Authors[0].Family, m.Parent.Extension, street, "CR d'imagerie médicale"} {
					if !slices.ContainsFunc(u.all(t), func(got string) bool { return strings.TrimPrefix(got, "XDM/1.0/DDM+") == v }) {
						t.Errorf("nowhere did it understand %q", v)
					}
				}
			}
		})
	}
}

// agree compares what the receiver understood with what our parser does.
func agree(t *testing.T, u understood, ours []Segment) {
	t.Helper()
	if len(u.Values) != len(ours) {
		t.Fatalf("it understood %d segments of %d", len(u.Values), len(ours))
	}
	checked := 0
	for i, s := range ours {
		var name string
		if json.Unmarshal(u.Values[i][0], &name); name != s.Name || len(u.Values[i]) != s.Len()+1 {
			t.Fatalf("segment %d is %s with %d fields, not %s with %d", i+1, name, len(u.Values[i])-1, s.Name, s.Len())
		}
		for n := 1; n <= s.Len(); n++ {
			if s.Name == "MSH" && n <= 2 {
				continue
			}
			var theirs [][][]string
			if err := json.Unmarshal(u.Values[i][n], &theirs); err != nil {
				t.Fatalf("%s-%d: %v", name, n, err)
			}
			if len(theirs) != max(s.Reps(n), 1) {
				t.Errorf("%s-%d is repeated %d times, not %d", name, n, len(theirs), s.Reps(n))
			}
			for r, repetition := range theirs {
				for c, component := range repetition {
					for k, v := range component {
						checked++
						if got := s.Get(n, r+1, c+1, k+1); got != v && v != "(document)" {
							t.Errorf("%s-%d(%d).%d.%d is %q to it, %q to us", name, n, r+1, c+1, k+1, v, got)
						}
					}
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d values were compared", checked)
	}
}

// Many messages over several connections: each is understood once.
func TestIndependentReceiverOfMany(t *testing.T) {
	t.Parallel()
	addr, next := pythonReceiver(t, "utf-8")
	cl := client(t, ClientConfig{Address: addr, Connections: 4, AckTimeout: time.Minute})
	var wg sync.WaitGroup
	const many = 100
	var want, got []string
	for n := range many {
		id := fmt.Sprint("M", n)
		want = append(want, id)
		wg.Go(func() {
			m, s := sample()
			m.Control = id
			if a, err := cl.Send(t.Context(), id, func(w io.Writer) error { return m.Encode(w, s, strings.NewReader(id)) }); err != nil || a.Code != "AA" || a.Control != id {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	for range many {
		u := next()
		got = append(got, u.Control)
		if u.Document != string(greffe.DigestOf([]byte(u.Control))) {
			t.Errorf("%s has the document of another", u.Control)
		}
	}
	wg.Wait()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("understood %v", got)
	}
}

// writePEM writes a certificate and its key into one file.
func writePEM(t *testing.T, file string, cert tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	b = append(b, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
