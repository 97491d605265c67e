package bus_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"greffe/pkg/bus"
)

// The victim is this test program run as a process of its own, which is killed
// by what it is given.
var victims = bus.Topic[event]{Name: "victims", ID: func(e event) string { return e.ID }}

const (
	envVictim = "GREFFE_TEST_BUS_VICTIM" // directory of its bus
	envOrders = "GREFFE_TEST_BUS_ORDERS" // "publish" or "consume"
)

func victim(dir string) {
	b, err := bus.Open(context.Background(), bus.Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	b.Quicken()
	kill := func() {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	if os.Getenv(envOrders) == "publish" {
		for i := 0; ; i++ {
			e := event{ID: fmt.Sprint(i)}
			if err := bus.Publish(context.Background(), b, victims, e); err != nil {
				fmt.Println("error:", err)
				os.Exit(1)
			}
			fmt.Println("acked", e.ID) // the parent kills when it has read enough
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		// Ends by itself once everything is settled.
		for looks := 0; looks < 5; looks++ {
			s, err := b.Status(ctx)
			if err != nil || s.InFlight() != 0 || len(s.Consumers) == 0 {
				looks = -1
			}
			<-time.After(5 * time.Millisecond)
		}
		cancel()
	}()
	err = bus.Consume(ctx, b, victims, bus.Consumer{Name: "victim", Concurrency: 4, MaxAttempts: 3},
		func(_ context.Context, e event) error {
			fmt.Println("begin", e.ID)
			if e.Text == "poison" {
				kill()
			}
			<-time.After(20 * time.Millisecond) // still running when a neighbour kills
			fmt.Println("done", e.ID)
			return nil
		})
	fmt.Println("end", err)
	if err := b.Close(); err != nil {
		fmt.Println("error:", err)
	}
	os.Exit(0)
}

// runVictim runs the victim until it ends or until says so, and returns its lines.
func runVictim(t *testing.T, dir, orders string, until func(lines int) bool) (lines []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envVictim+"="+dir, envOrders+"="+orders)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		lines = append(lines, s.Text())
		if until != nil && until(len(lines)) {
			cmd.Process.Kill()
			until = nil
		}
	}
	cmd.Wait()
	for _, l := range lines {
		if strings.HasPrefix(l, "error:") {
			t.Fatal(l)
		}
	}
	return lines
}

func TestNothingAcknowledgedIsLostByAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acked := 0
	for _, l := range runVictim(t, dir, "publish", func(n int) bool { return n == 200 }) {
		if strings.HasPrefix(l, "acked ") {
			acked++
		}
	}
	if acked < 200 {
		t.Fatalf("only %d events were published", acked)
	}
	b := open(t, bus.Config{Dir: dir})
	// Repeats of what was acknowledged are still recognised.
	for i := range acked {
		publish(t, b, victims, event{ID: fmt.Sprint(i)})
	}
	publish(t, b, victims, event{ID: "last"})
	got := make(chan string, 4096)
	consume(t, b, victims, bus.Consumer{Name: "after"}, func(_ context.Context, e event) error {
		got <- e.ID
		return nil
	})
	seen := map[string]int{}
	for {
		id := receive(t, got)
		if id == "last" {
			break
		}
		seen[id]++
	}
	for i := range acked {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Fatalf("event %d of %d acknowledged is there %d times", i, acked, n)
		}
	}
}

func TestAnEventThatKillsTheProcessIsBuriedAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, victims, event{ID: "1"}, event{ID: "2", Text: "poison"}, event{ID: "3"}, event{ID: "4"}, event{ID: "5"})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	begun := map[string]int{}
	runs := 0
	for started := time.Now(); ; runs++ {
		if runs == 10 || time.Since(started) > 25*time.Second {
			t.Fatalf("crash loop: %d runs in %v; begun %v", runs, time.Since(started), begun)
		}
		ended := false
		for _, l := range runVictim(t, dir, "consume", nil) {
			if id, ok := strings.CutPrefix(l, "begin "); ok {
				begun[id]++
			}
			ended = ended || l == "end <nil>"
		}
		if ended {
			break
		}
	}
	if begun["2"] != 3 {
		t.Errorf("the poison was tried %d times, want 3", begun["2"])
	}
	b = open(t, bus.Config{Dir: dir})
	letters, err := b.DeadLetters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) != 1 || !strings.Contains(string(letters[0].Payload), "poison") {
		t.Errorf("letters %+v, want the poison alone", letters)
	}
	for _, id := range []string{"1", "3", "4", "5"} {
		if begun[id] == 0 {
			t.Errorf("event %s was never handled", id)
		}
	}
	t.Logf("%d crashes; begun %v", runs, begun)
}
