package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// switched is an antivirus that can be taken away and given back.
type switched interface {
	Addr() string
	Down()
	Up() error
	Close() error
}

// protect gives the installation an antivirus: the sandbox's, or the real one behind a
// door that can be shut.
func (in *installation) protect() switched {
	in.t.Helper()
	var av switched
	if in.dep.real {
		av = &door{to: in.cfg.Antivirus.Clamd}
		if err := av.Up(); err != nil {
			in.t.Fatal(err)
		}
	} else {
		var err error
		if av, err = sandbox.StartAntivirus(""); err != nil {
			in.t.Fatal(err)
		}
	}
	in.t.Cleanup(func() { av.Close() })
	in.cfg.Antivirus.Clamd = "tcp://" + av.Addr()
	return av
}

// door passes connections on to a server while it is open.
type door struct {
	to    string
	mu    sync.Mutex
	l     net.Listener
	addr  string
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

func (d *door) Addr() string { return d.addr }

func (d *door) Up() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.addr == "" {
		d.addr, d.conns = "127.0.0.1:0", map[net.Conn]bool{}
	}
	l, err := net.Listen("tcp", d.addr)
	if err != nil {
		return err
	}
	d.l, d.addr = l, l.Addr().String()
	d.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.done.Go(func() { d.pass(c) })
		}
	})
	return nil
}

func (d *door) pass(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	defer s.Close()
	d.mu.Lock()
	d.conns[c] = true
	d.mu.Unlock()
	d.done.Go(func() {
		_, _ = io.Copy(s, c)
		s.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(c, s)
	d.mu.Lock()
	delete(d.conns, c)
	d.mu.Unlock()
}

func (d *door) Down() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.l.Close()
	for c := range d.conns {
		c.Close()
	}
}

func (d *door) Close() error {
	d.Down()
	d.done.Wait()
	return nil
}

// Wherever malware hides, a person is told and the DI never sees it; what came with it
// and is clean goes its way. What scanned each message is in its manifest for ever.
func TestMalwareIsHeld(t *testing.T) {
	t.Parallel()
	for _, dep := range deployments {
		t.Run(dep.name, func(t *testing.T) {
			t.Parallel()
			s := &scene{installation: install(t, dep), samples: sandbox.Suspects(sandbox.SampleOptions{Now: time.Now()}), details: map[string]index.Detail{}}
			s.protect()
			uids := map[string]uint32{}
			s.send(uids, false)
			s.start()
			defer s.halt()
			s.settled(len(s.samples))
			s.idle()
			s.read(uids)
			everySample(t, s)
			if n := s.di.Stats().New; n != 1 {
				t.Errorf("the DI has %d documents, want the clean one", n)
			}

			secretary, auditor := s.login("secretary"), s.login("auditor")
			if _, page := get(t, secretary, s.console()+"/file"); bytes.Count(page, []byte("Pièce suspecte")) < len(s.samples) {
				t.Error("the queue does not say why the messages wait")
			}
			seen := 0
			for _, d := range s.details {
				if d.Parsed == nil || d.Parsed.Antivirus == nil || !strings.HasPrefix(d.Parsed.Antivirus.Engine, "ClamAV ") {
					t.Errorf("message %s was scanned with %+v", d.ID, d.Parsed)
				}
				for _, doc := range d.Documents {
					if !greffe.Unsafe(doc.Facts.Findings) {
						continue
					}
					seen++
					address := s.console() + "/documents/" + string(doc.ID)
					if _, page := get(t, secretary, address); !bytes.Contains(page, []byte("pas affichée")) || bytes.Contains(page, []byte("Envoyer au DI")) {
						t.Errorf("the page of %s offers it", doc.ID)
					}
					if resp, _ := get(t, secretary, address+"/telechargement"); resp.StatusCode != 403 {
						t.Errorf("a secretary gets %s: %s", doc.ID, resp.Status)
					}
					resp, err := auditor.PostForm(address+"/telechargement", nil)
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || greffe.DigestOf(body) != doc.Object.SHA256 || !strings.Contains(resp.Header.Get("Content-Disposition"), "SUSPECT-") {
						t.Errorf("the auditor's evidence of %s: %s, %v", doc.ID, resp.Status, err)
					}
				}
			}
			if seen < len(s.samples) {
				t.Errorf("%d suspect documents are shown, want one for each message at least", seen)
			}

			for _, a := range s.apps {
				if a.store == nil {
					continue
				}
				for _, d := range s.details {
					m, _, err := archive.FindManifest(context.Background(), a.store, d.ID)
					if err != nil || m.Parsed.Antivirus == nil || *m.Parsed.Antivirus != *d.Parsed.Antivirus {
						t.Errorf("manifest of %s: %v", d.ID, err)
					}
				}
				break
			}
			s.halt()
			s.verify()
		})
	}
}

// While the antivirus is away nothing passes, nothing is lost and everybody is told;
// when it is back everything goes on, each document once, without anybody's help.
func TestTheAntivirusIsDownThenUp(t *testing.T) {
	t.Parallel()
	for _, dep := range deployments {
		t.Run(dep.name, func(t *testing.T) {
			t.Parallel()
			in := install(t, dep)
			av := in.protect()
			av.Down()
			box := sandbox.Mailboxes()[0].Address
			send := func(from, to int) {
				for i := from; i < to; i++ {
					if _, err := in.mail.Append(box, "INBOX", sandbox.PipelineMessage(i), time.Now()); err != nil {
						t.Fatal(err)
					}
				}
			}
			const n = 5
			send(0, n)
			in.start()
			defer in.halt()
			tally := func(s greffe.State) (int, string) {
				messages, _, err := in.db().Tally(context.Background())
				return messages[s], fmt.Sprint(messages, err)
			}
			received := func(n int) func() (bool, string) {
				return func() (bool, string) { k, state := tally(greffe.StateReceived); return k == n, state }
			}
			in.until("every message is kept and waits", received(n))
			secretary, admin := in.login("secretary"), in.login("admin")
			told := func(yes bool) func() (bool, string) {
				return func() (bool, string) {
					_, queue := get(t, secretary, in.console()+"/file")
					_, system := get(t, admin, in.console()+"/systeme")
					a, b := bytes.Contains(queue, []byte("antivirus est injoignable")), bytes.Contains(system, []byte("Antivirus injoignable"))
					return a == yes && b == yes, fmt.Sprintf("queue %v, System page %v", a, b)
				}
			}
			in.until("the trouble is told", told(true))
			if r := checkAntivirus(context.Background(), in.cfg); len(r) != 1 || r[0].OK || !strings.Contains(r[0].Text, "les messages attendent") {
				t.Errorf("check says %+v", r)
			}
			if ok, state := received(n)(); !ok || in.di.Stats().Messages != 0 {
				t.Errorf("something passed: %s, the DI was sent %d messages", state, in.di.Stats().Messages)
			}

			if err := av.Up(); err != nil {
				t.Fatal(err)
			}
			in.settled(n)
			in.until("the trouble is over", told(false))
			if r := checkAntivirus(context.Background(), in.cfg); slices.ContainsFunc(r, func(r result) bool { return !r.OK }) || len(r) < 2 {
				t.Errorf("check says %+v", r)
			}

			// Again, under way.
			av.Down()
			send(n, 2*n)
			in.until("the next ones wait", received(n))
			if err := av.Up(); err != nil {
				t.Fatal(err)
			}
			in.settled(2 * n)
			if s := in.di.Stats(); s.New != 2*n || s.Repeats != 0 {
				t.Errorf("the DI has %d documents and %d repeats, want %d and none", s.New, s.Repeats, 2*n)
			}
			if k, err := in.apps[0].bus.CountDeadLetters(context.Background()); err != nil || k != 0 {
				t.Errorf("%d dead letters, %v", k, err)
			}
			in.halt()
			in.verify()
		})
	}
}

// Without an antivirus the System page and check say so, in words.
func TestNoAntivirusIsTold(t *testing.T) {
	t.Parallel()
	for _, dep := range deployments[:2] {
		t.Run(dep.name, func(t *testing.T) {
			t.Parallel()
			in := install(t, dep)
			in.start()
			defer in.halt()
			admin := in.login("admin")
			in.until("the System page warns of it", func() (bool, string) {
				_, page := get(t, admin, in.console()+"/systeme")
				line, _, said := bytes.Cut(page, []byte("Aucun antivirus n’est configuré"))
				return said && bytes.HasPrefix(line[bytes.LastIndex(line, []byte("<li class=")):], []byte(`<li class="care">`)), ""
			})
			if r := checkAntivirus(context.Background(), in.cfg); len(r) != 1 || !r[0].OK || !strings.Contains(r[0].Text, "aucun antivirus n'est configuré") {
				t.Errorf("check says %+v", r)
			}
		})
	}
}

// check says when the antivirus is there and of no use.
func TestCheckTriesTheAntivirus(t *testing.T) {
	t.Parallel()
	av, err := sandbox.StartAntivirus("")
	if err != nil {
		t.Fatal(err)
	}
	defer av.Close()
	cfg := defaults()
	cfg.Antivirus.Clamd = av.Addr()
	said := func() string { return fmt.Sprint(checkAntivirus(t.Context(), &cfg)) }
	if s := said(); !strings.Contains(s, "base 27460") || !strings.Contains(s, "reconnaît le fichier d'essai EICAR") || strings.Contains(s, "attention") {
		t.Errorf("well: %s", s)
	}
	av.SetBase("27000", time.Now().Add(-40*24*time.Hour))
	if s := said(); !strings.Contains(s, "attention : elle a 40 jours") {
		t.Errorf("old: %s", s)
	}
	for answer, want := range map[string]string{
		"stream: OK": "base de signatures est vide", "": "n'a pas pu analyser", "INSTREAM size limit exceeded. ERROR": "StreamMaxLength",
	} {
		av.Behave(func([]byte) (string, bool) { return answer, true })
		if s := said(); !strings.Contains(s, want) || !strings.Contains(s, "false") {
			t.Errorf("%q: %s", answer, s)
		}
	}
}
