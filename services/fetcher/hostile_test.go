package fetcher

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/mss"
)

// certificate makes a self-signed server certificate and the PEM file that
// trusts it.
func certificate(t testing.TB, change func(*x509.Certificate)) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hostile"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca
}

// script is an IMAP server that does what a test wants. Messages are by UID.
type script struct {
	messages map[uint32]string
	noIdle   bool
	// turn may answer a command itself: it gets the number of the connection
	// (from 1), the tag and the command in upper case. It returns true when it
	// answered, and io.EOF to hang up.
	turn func(c *scripted, command string) (bool, error)
}

// scripted is one connection of a script.
type scripted struct {
	*script
	net.Conn
	number int
	tag    string
}

func (c *scripted) say(format string, args ...any) { fmt.Fprintf(c.Conn, format+"\r\n", args...) }

// serveScript listens and returns the mailbox to reach the script by.
func serveScript(t testing.TB, s *script) Mailbox {
	t.Helper()
	pair, ca := certificate(t, nil)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	accept(t, l, func(c net.Conn, n int) { (&scripted{script: s, Conn: c, number: n}).serve() })
	return Mailbox{Address: user, URL: "imaps://" + l.Addr().String(), CA: ca, Auth: mss.Auth{Mechanism: "plain", PasswordFile: write(t, "x")}}
}

// accept runs handle for each connection; all have ended when the test has.
func accept(t testing.TB, l net.Listener, handle func(c net.Conn, n int)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				handle(c, n)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

func (c *scripted) serve() {
	r := bufio.NewReader(c)
	c.say("* OK ready")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		tag, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		c.tag = tag
		command = strings.ToUpper(command)
		if c.turn != nil {
			switch done, err := c.turn(c, command); {
			case err != nil:
				return
			case done:
				continue
			}
		}
		if c.answer(command, r) != nil {
			return
		}
	}
}

func (c *scripted) answer(command string, r *bufio.Reader) error {
	switch {
	case strings.HasPrefix(command, "CAPABILITY"):
		if c.noIdle {
			c.say("* CAPABILITY IMAP4rev1 AUTH=PLAIN")
		} else {
			c.say("* CAPABILITY IMAP4rev1 IDLE SASL-IR AUTH=PLAIN")
		}
	case strings.HasPrefix(command, "LIST"):
		c.say(`* LIST (\Noselect) "/" ""`)
	case strings.HasPrefix(command, "EXAMINE"):
		c.say("* FLAGS (\\Seen)\r\n* %d EXISTS\r\n* OK [UIDVALIDITY 9] ok\r\n* OK [UIDNEXT 99] ok", len(c.messages))
	case strings.HasPrefix(command, "UID SEARCH"):
		c.say("* SEARCH %s", strings.Trim(fmt.Sprint(slices.Sorted(maps.Keys(c.messages))), "[]"))
	case strings.HasPrefix(command, "UID FETCH"):
		for i, uid := range c.asked(command) {
			if strings.Contains(command, "BODY.PEEK[]") {
				c.body(i, uid, c.messages[uid])
			} else {
				c.size(i, uid, len(c.messages[uid]))
			}
		}
	case command == "AUTHENTICATE PLAIN": // without SASL-IR
		c.say("+ ")
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
	case command == "IDLE":
		c.say("+ idling")
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
	}
	c.say("%s OK done", c.tag)
	return nil
}

// asked returns the UIDs of a FETCH that the script has.
func (c *scripted) asked(command string) []uint32 {
	set, err := parseUIDSet(strings.Fields(command)[2])
	if err != nil {
		panic(err)
	}
	return slices.DeleteFunc(slices.Collect(set.all()), func(uid uint32) bool { _, ok := c.messages[uid]; return !ok })
}

func (c *scripted) body(i int, uid uint32, raw string) {
	c.say("* %d FETCH (UID %d BODY[] {%d}\r\n%s)", i+1, uid, len(raw), raw)
}

func (c *scripted) size(i int, uid uint32, n int) {
	c.say(`* %d FETCH (UID %d FLAGS () INTERNALDATE "22-Nov-2026 08:00:00 +0100" RFC822.SIZE %d)`, i+1, uid, n)
}

func isBody(command string) bool { return strings.Contains(command, "BODY.PEEK[]") }

// asks reports whether a body FETCH is about to give uid.
func (c *scripted) asks(command string, uid uint32) bool {
	return isBody(command) && slices.Contains(c.asked(command), uid)
}

func threeMessages() map[uint32]string {
	m := map[uint32]string{}
	for uid := uint32(1); uid <= 3; uid++ {
		m[uid] = fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", uid, strings.Repeat("x", 2000))
	}
	return m
}

// Whatever a server does once, the mailbox is taken in full afterwards, each
// message once and with its bytes.
func TestHostileServerOnce(t *testing.T) {
	t.Parallel()
	once := func(f func(c *scripted, command string) (bool, error)) func(*scripted, string) (bool, error) {
		return func(c *scripted, command string) (bool, error) {
			if c.number > 1 {
				return false, nil
			}
			return f(c, command)
		}
	}
	part := func(c *scripted) {
		c.say("* 1 FETCH (UID 1 BODY[] {%d}\r\n%s", len(c.messages[1]), c.messages[1][:400])
	}
	for name, turn := range map[string]func(*scripted, string) (bool, error){
		"cut cleanly in a literal": func(c *scripted, command string) (bool, error) {
			if !isBody(command) {
				return false, nil
			}
			part(c)
			return true, io.EOF // Close sends close_notify: the cut looks like an end
		},
		"cut hard in a literal": func(c *scripted, command string) (bool, error) {
			if !isBody(command) {
				return false, nil
			}
			part(c)
			c.Conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
			c.Conn.(*tls.Conn).NetConn().Close()
			return true, io.EOF
		},
		"stall in a literal": func(c *scripted, command string) (bool, error) {
			if isBody(command) {
				part(c)
			}
			return isBody(command), nil
		},
		"stall before the answer": func(c *scripted, command string) (bool, error) {
			return strings.HasPrefix(command, "UID SEARCH"), nil
		},
		"stall at login":    func(c *scripted, command string) (bool, error) { return strings.HasPrefix(command, "AUTH"), nil },
		"cut after a login": func(c *scripted, command string) (bool, error) { return true, io.EOF },
		"nonsense": func(c *scripted, command string) (bool, error) {
			if strings.HasPrefix(command, "UID SEARCH") {
				c.say("* \x00\xff{{{ ((((")
			}
			return strings.HasPrefix(command, "UID SEARCH"), nil
		},
		"every UID there is": func(c *scripted, command string) (bool, error) {
			if strings.HasPrefix(command, "UID SEARCH") {
				c.say(`* ESEARCH (TAG "%s") UID ALL 1:4294967295`, c.tag)
				c.say("%s OK done", c.tag)
			}
			return strings.HasPrefix(command, "UID SEARCH"), nil
		},
		"no UIDVALIDITY": func(c *scripted, command string) (bool, error) {
			if strings.HasPrefix(command, "EXAMINE") {
				c.say("* 3 EXISTS\r\n%s OK done", c.tag)
			}
			return strings.HasPrefix(command, "EXAMINE"), nil
		},
		"bye while idle": func(c *scripted, command string) (bool, error) {
			if command != "IDLE" {
				return false, nil
			}
			c.say("+ idling\r\n* BYE shutting down")
			return true, io.EOF
		},
		"silent in IDLE": func(c *scripted, command string) (bool, error) {
			if command == "IDLE" {
				c.say("+ idling")
			}
			return command == "IDLE" || c.tag == "DONE", nil
		},
		"fetch refused": func(c *scripted, command string) (bool, error) {
			if isBody(command) {
				c.say("%s NO [SERVERBUG] not now", c.tag)
			}
			return isBody(command), nil
		},
		"gone for a moment": func(c *scripted, command string) (bool, error) {
			if isBody(command) {
				c.body(0, 1, c.messages[1])
				c.say("%s OK done", c.tag)
			}
			return isBody(command) && len(c.asked(command)) == 3, nil
		},
		"no body": func(c *scripted, command string) (bool, error) {
			if isBody(command) {
				c.say("* 1 FETCH (UID 1 BODY[] NIL)\r\n* 2 FETCH (UID 2 BODY[] \"\")\r\n* 3 FETCH (UID 3 BODY[] {0}\r\n)")
				c.say("%s OK done", c.tag)
			}
			return isBody(command) && len(c.asked(command)) == 3, nil
		},
		"sent twice, and what was not asked for": func(c *scripted, command string) (bool, error) {
			if isBody(command) {
				for i := range 3 {
					c.body(i, uint32(i+1), c.messages[uint32(i+1)])
					c.body(i, uint32(i+1), "another")
					c.body(i, uint32(i+50), "nobody asked")
				}
				c.say("%s OK done", c.tag)
			}
			return isBody(command), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openBus(t)
			in, stop := listen(t, b)
			t.Cleanup(stop)
			s := &script{messages: threeMessages(), turn: once(turn)}
			f := start(t, b, Config{Mailboxes: []Mailbox{serveScript(t, s)}, Reconcile: 50 * time.Millisecond})
			eventually(t, "the three messages", func() bool { return in.count() >= 3 })
			success := time.Now()
			eventually(t, "a comparison", func() bool { return f.Status()[0].LastSuccess.After(success) })
			got := in.all(t)
			for uid, raw := range s.messages {
				e := got[fmt.Sprintf("INBOX/9/%d", uid)]
				if e.Refused != nil || string(in.bytes(t, e)) != raw {
					t.Errorf("message %d: %+v", uid, e)
				}
			}
			if len(got) != 3 {
				t.Errorf("took %d messages", len(got))
			}
		})
	}
}

// A message that can never be read becomes a visible item and the rest goes on.
func TestUnreadableMessageIsShownAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	for name, turn := range map[string]func(*scripted, string) (bool, error){
		"cut in its literal": func(c *scripted, command string) (bool, error) {
			if !c.asks(command, 2) {
				return false, nil
			}
			for i, uid := range c.asked(command) {
				if uid == 2 {
					c.say("* %d FETCH (UID 2 BODY[] {2000}\r\nSubject: ", i+1)
					return true, io.EOF
				}
				c.body(i, uid, c.messages[uid])
			}
			return false, nil
		},
		"cut before it": func(c *scripted, command string) (bool, error) {
			if c.asks(command, 2) {
				return true, io.EOF
			}
			return false, nil
		},
		"its date breaks the client": func(c *scripted, command string) (bool, error) {
			if !strings.Contains(command, "RFC822.SIZE") || !slices.Contains(c.asked(command), 2) {
				return false, nil
			}
			c.say(`* 1 FETCH (UID 2 FLAGS () INTERNALDATE "yesterday" RFC822.SIZE 12)`)
			return false, nil
		},
		"never answered": func(c *scripted, command string) (bool, error) {
			if !c.asks(command, 2) {
				return false, nil
			}
			for i, uid := range c.asked(command) {
				if uid != 2 {
					c.body(i, uid, c.messages[uid])
				}
			}
			c.say("%s OK done", c.tag)
			return true, nil
		},
		"announced small, sent large": func(c *scripted, command string) (bool, error) {
			if !c.asks(command, 2) {
				return false, nil
			}
			c.say("* 1 FETCH (UID 2 BODY[] {4000000000}\r\n")
			flood := make([]byte, 64<<10)
			for {
				if _, err := c.Write(flood); err != nil {
					return true, io.EOF
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openBus(t)
			in, stop := listen(t, b)
			t.Cleanup(stop)
			s := &script{messages: threeMessages(), turn: turn}
			f := start(t, b, Config{Mailboxes: []Mailbox{serveScript(t, s)}, Reconcile: 50 * time.Millisecond, MaxSize: 1 << 20})
			eventually(t, "the three items", func() bool { return in.count() >= 3 })
			success := time.Now()
			eventually(t, "a comparison", func() bool { return f.Status()[0].LastSuccess.After(success) })
			for key, e := range in.all(t) {
				if bad := key == "INBOX/9/2"; bad != (e.Refused != nil) {
					t.Errorf("%s: refused %+v", key, e.Refused)
				}
				if e.Refused == nil {
					in.bytes(t, e)
				}
			}
		})
	}
}

func TestWrongSizesAreTakenAsTheyCome(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	in, stop := listen(t, b)
	t.Cleanup(stop)
	s := &script{messages: threeMessages()}
	s.turn = func(c *scripted, command string) (bool, error) {
		if !strings.Contains(command, "RFC822.SIZE") {
			return false, nil
		}
		for i, uid := range c.asked(command) {
			c.size(i, uid, len(c.messages[uid])+37-20*int(uid))
		}
		c.say("%s OK done", c.tag)
		return true, nil
	}
	start(t, b, Config{Mailboxes: []Mailbox{serveScript(t, s)}})
	eventually(t, "the three messages", func() bool { return in.count() == 3 })
	for key, e := range in.all(t) {
		if e.Refused != nil || string(in.bytes(t, e)) != s.messages[e.Origin.UID] {
			t.Errorf("%s: %+v", key, e)
		}
	}
}

// A date is only for display and order: one that no event can carry is left out.
func TestAbsurdDatesStopNothing(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	in, stop := listen(t, b)
	t.Cleanup(stop)
	dates := []string{"31-Dec-9999 23:59:59 -1000", "01-Jan-0000 00:00:00 +0100", "22-Nov-2026 08:00:00 +0100"}
	s := &script{messages: threeMessages(), turn: func(c *scripted, command string) (bool, error) {
		if !strings.Contains(command, "RFC822.SIZE") {
			return false, nil
		}
		for i, uid := range c.asked(command) {
			c.say(`* %d FETCH (UID %d FLAGS () INTERNALDATE "%s" RFC822.SIZE %d)`, i+1, uid, dates[uid-1], len(c.messages[uid]))
		}
		c.say("%s OK done", c.tag)
		return true, nil
	}}
	start(t, b, Config{Mailboxes: []Mailbox{serveScript(t, s)}, Reconcile: 50 * time.Millisecond})
	eventually(t, "the three messages", func() bool { return in.count() == 3 })
	for key, e := range in.all(t) {
		if e.Refused != nil || !e.ID.Valid() || string(in.bytes(t, e)) != s.messages[e.Origin.UID] {
			t.Errorf("%s: %+v", key, e)
		}
	}
}

// A server restored from a backup gives UIDs a second time under the same
// UIDVALIDITY, which RFC 9051 forbids: the new messages are taken all the same.
func TestUIDsGivenTwiceAreTakenTwice(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	in, stop := listen(t, b)
	t.Cleanup(stop)
	var mu sync.Mutex
	held, next := threeMessages(), 4
	s := &script{noIdle: true}
	s.turn = func(c *scripted, command string) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		c.script = &script{messages: maps.Clone(held), noIdle: true, turn: s.turn}
		if strings.HasPrefix(command, "EXAMINE") {
			c.say("* FLAGS (\\Seen)\r\n* %d EXISTS\r\n* OK [UIDVALIDITY 9] ok\r\n* OK [UIDNEXT %d] ok", len(c.messages), next)
			c.say("%s OK done", c.tag)
			return true, nil
		}
		return false, nil
	}
	f := start(t, b, Config{Mailboxes: []Mailbox{serveScript(t, s)}, Reconcile: 20 * time.Millisecond})
	eventually(t, "the three messages", func() bool { return in.count() == 3 })
	for _, e := range in.all(t) {
		archive(t, b, e, greffe.StateArchived)
	}
	eventually(t, "all archived", func() bool { return f.Status()[0].Waiting == 0 })
	mu.Lock()
	held, next = map[uint32]string{1: held[1]}, 2
	mu.Unlock()
	restored := time.Now()
	eventually(t, "a comparison", func() bool { return f.Status()[0].LastSuccess.After(restored) })
	mu.Lock()
	held[2], next = "Subject: new\r\n\r\nnew\r\n", 3
	mu.Unlock()
	eventually(t, "the new message", func() bool { return in.count() == 4 })
}

// A server without IDLE, ESEARCH and SASL-IR is asked now and then.
func TestPoorServerIsPolled(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	in, stop := listen(t, b)
	t.Cleanup(stop)
	var late atomic.Bool
	s := &script{noIdle: true, messages: threeMessages(), turn: func(c *scripted, command string) (bool, error) {
		if strings.HasPrefix(command, "UID SEARCH") && !late.Load() {
			c.say("* SEARCH 1 2\r\n%s OK done", c.tag)
			return true, nil
		}
		return false, nil
	}}
	f := start(t, b, Config{Mailboxes: []Mailbox{serveScript(t, s)}, Reconcile: 20 * time.Millisecond})
	eventually(t, "the first two", func() bool { return in.count() == 2 })
	late.Store(true)
	eventually(t, "the third", func() bool { return in.count() == 3 })
	if s := f.Status()[0]; s.Error != "" {
		t.Errorf("status %+v", s)
	}
}

// Folders are configured with "/" and asked for as the server separates them.
func TestFolderNamesAreWrittenAsTheServerDoes(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	in, stop := listen(t, b)
	t.Cleanup(stop)
	mb := serveScript(t, &script{messages: threeMessages(), turn: func(c *scripted, command string) (bool, error) {
		switch {
		case strings.HasPrefix(command, "LIST"):
			c.say("* LIST (\\Noselect) \".\" \"\"\r\n%s OK done", c.tag)
			return true, nil
		case strings.HasPrefix(command, "EXAMINE") && strings.Trim(strings.TrimPrefix(command, "EXAMINE "), `"`) != "INBOX.DR":
			c.say("%s NO no such folder", c.tag)
			return true, nil
		}
		return false, nil
	}})
	mb.Folders = []string{"INBOX/Dr"}
	start(t, b, Config{Mailboxes: []Mailbox{mb}})
	eventually(t, "the three messages", func() bool { return in.count() == 3 })
	for key, e := range in.all(t) {
		if e.Origin.Folder != "INBOX/Dr" {
			t.Errorf("%s: folder %q", key, e.Origin.Folder)
		}
	}
}

// A server that floods outside of a message is cut off before it fills memory.
func TestFloodIsCutOff(t *testing.T) {
	b := openBus(t)
	var sent atomic.Int64
	s := &script{messages: threeMessages(), turn: func(c *scripted, command string) (bool, error) {
		if !strings.HasPrefix(command, "UID SEARCH") {
			return false, nil
		}
		c.say(`* LIST () "/" {4000000000}`)
		for flood := make([]byte, 64<<10); ; {
			n, err := c.Write(flood)
			sent.Add(int64(n))
			if err != nil {
				return true, io.EOF
			}
		}
	}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f := start(t, b, Config{Mailboxes: []Mailbox{serveScript(t, s)}})
	eventually(t, "a sentence about it", func() bool { return strings.Contains(f.Status()[0].Error, "bien plus que demandé") })
	runtime.ReadMemStats(&after)
	f.stop()
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("the server could send %d bytes", n)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func TestOneMailboxInTroubleNeverDelaysAnother(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never says a word
	if err != nil {
		t.Fatal(err)
	}
	accept(t, silent, func(c net.Conn, _ int) { io.Copy(io.Discard, c) })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	dead, refused, ill := l.box, l.box, serveScript(t, &script{turn: func(*scripted, string) (bool, error) { return true, nil }})
	dead.Address, dead.URL = "muette@ch.example", "imaps://"+silent.Addr().String()
	refused.Address, refused.URL = "fermee@ch.example", "imap://"+closed.Addr().String()
	ill.Address = "malade@ch.example"
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{dead, refused, ill, l.box}, Reconcile: 50 * time.Millisecond})
	for i := range 5 {
		begun := time.Now()
		l.append(t, "INBOX", "Subject: x\r\n\r\n")
		eventually(t, "the message", func() bool { return l.in.count() == i+1 })
		if d := time.Since(begun); d > 15*time.Second {
			t.Errorf("the sound mailbox waited %v", d)
		}
	}
	eventually(t, "sentences about the others", func() bool {
		s := f.Status()
		return s[0].Error != "" && s[1].Error != "" && s[2].Error != "" && s[3].Error == ""
	})
	for _, s := range f.Status() {
		t.Log(s.Address, s.Error)
	}
}

func TestReceivedIDsDoNotDependOnTheTry(t *testing.T) {
	t.Parallel()
	var ids [2][]greffe.MessageID
	for i := range ids {
		b := openBus(t)
		in, stop := listen(t, b)
		t.Cleanup(stop)
		start(t, b, Config{Mailboxes: []Mailbox{serveScript(t, &script{messages: threeMessages()})}})
		eventually(t, "the three messages", func() bool { return in.count() == 3 })
		for _, e := range in.all(t) {
			ids[i] = append(ids[i], e.ID)
		}
		slices.Sort(ids[i])
	}
	if !slices.Equal(ids[0], ids[1]) {
		t.Errorf("%v and %v", ids[0], ids[1])
	}
}

// pemOf writes a certificate and its key into one PEM text.
func pemOf(t testing.TB, pair tls.Certificate) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}
