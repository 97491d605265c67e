package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// killed is how many messages must survive.
const killed = 60

// The whole program is killed without warning, again and again, until every
// message is through. Every message is then archived once and every document
// delivered once; the product's own verifier finds no hole.
func TestKilledAtRandomMomentsNothingIsLostOrDoneTwice(t *testing.T) {
	t.Parallel()
	in := install(t, deployment{name: "all in one"})
	box := sandbox.Mailboxes()[0].Address
	for i := range killed {
		if _, err := in.mail.Append(box, "INBOX", sandbox.PipelineMessage(i), time.Now().Add(time.Duration(i-killed)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	// A new life starts with a short one, so that the beginnings are hit too, and
	// grows: a machine slower than its kills still gets through.
	through := false
	kills := 0
	for life := range 200 {
		var out lockedBuffer
		cmd := in.spawn(&out)
		exited := make(chan error, 1)
		go func() { exited <- cmd.Wait() }()
		select {
		case err := <-exited:
			t.Fatalf("life %d ended by itself: %v\n%s", life, err, out.String())
		case <-time.After(time.Duration(100+rnd.IntN(900+100*life)) * time.Millisecond):
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-exited
		kills++
		if through = in.settledOnDisk(killed); through {
			break
		}
	}
	if !through {
		t.Fatalf("not through after %d kills", kills)
	}
	t.Logf("%d messages through after %d kills; DI: %+v", killed, kills, in.di.Stats())

	in.verify()
	db := in.openIndex()
	defer db.Close()
	messages, documents, err := db.Tally(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := sum(messages); n != killed {
		t.Errorf("%d messages are archived, want %d: %v", n, killed, messages)
	}
	if n := sum(documents); n != killed {
		t.Errorf("%d documents, want %d: %v", n, killed, documents)
	}
	// The DI may have been asked twice about a document (killed between its answer
	// and our record), but each time it must have recognised the repeat.
	if s := in.di.Stats(); s.New != killed || s.Replaced+s.Deleted != 0 {
		t.Errorf("the DI holds %d new documents, want %d: %+v", s.New, killed, s)
	}
}

// spawn starts this program as a process of its own on the installation: what
// it says goes to out. It dies with the test at the latest.
func (in *installation) spawn(out io.Writer) *exec.Cmd {
	in.t.Helper()
	if in.cfg.Console.Listen == "127.0.0.1:0" { // a port that the test knows
		// An address of its own: between two lives no other test takes the port.
		l, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			in.t.Fatal(err)
		}
		in.cfg.Console.Listen = l.Addr().String()
		in.cfg.Console.PublicURL = "http://" + in.cfg.Console.Listen
		l.Close()
	}
	text, err := annotated(in.cfg)
	if err != nil {
		in.t.Fatal(err)
	}
	config := filepath.Join(in.cfg.DataDir, "greffe.yaml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		in.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		in.t.Fatal(err)
	}
	cmd := exec.CommandContext(in.t.Context(), exe, "run", "--config", config)
	cmd.Env = append(os.Environ(), "GREFFE_TEST_MAIN=1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	return cmd
}

func sum[K comparable](m map[K]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

func (in *installation) openIndex() *index.DB {
	in.t.Helper()
	db, err := index.Open(context.Background(), dsn(in.cfg), in.log)
	if err != nil {
		in.t.Fatal(err)
	}
	return db
}

// settledOnDisk looks into the index of an installation that does not run.
func (in *installation) settledOnDisk(n int) bool {
	if _, err := os.Stat(in.cfg.dir("index.db")); err != nil {
		return false // killed before it began
	}
	db := in.openIndex()
	defer db.Close()
	messages, _, err := db.Tally(context.Background())
	if err != nil {
		in.t.Fatal(err)
	}
	final := 0
	for s, k := range messages {
		if s.Final() {
			final += k
		}
	}
	return final >= n
}

// lockedBuffer collects what a child process says.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
