package parser

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/sandbox"
)

// TestRun: what is received is read and published, whatever it is; what is gone from
// the spool ends without noise.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	b, err := bus.Open(ctx, bus.Config{Dir: t.TempDir()}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	results := make(chan greffe.Parsed, 10)
	watched, stop := context.WithCancel(ctx)
	done := make(chan error, 2)
	go func() {
		done <- bus.Consume(watched, b, bus.Parsed, bus.Consumer{Name: "test"}, func(_ context.Context, p greffe.Parsed) error {
			results <- p
			return nil
		})
	}()
	go func() {
		done <- New(Config{Environment: ins.Any, Concurrency: 2, Version: "1.0"}, b, nil, log).Run(watched)
	}()

	send := func(n uint32, raw []byte, spool, refused bool) {
		o := greffe.Origin{Mailbox: "a@ch.example", Folder: "INBOX", UIDValidity: 1, UID: n, InternalDate: someDay}
		rec := greffe.Received{ID: greffe.NewMessageID(o, greffe.DigestOf(raw)), Origin: o, Size: int64(len(raw)), SHA256: greffe.DigestOf(raw), At: someDay}
		rec.Spool = string(rec.ID)
		if refused {
			rec.Refused = &greffe.Finding{Rule: "fetcher.size", Severity: greffe.Hold, Text: "trop gros"}
			rec.Spool = ""
		}
		if spool {
			if _, err := b.Spool(ctx, rec.Spool, bytes.NewReader(raw)); err != nil {
				t.Fatal(err)
			}
		}
		if err := bus.Publish(ctx, b, bus.Received, rec); err != nil {
			t.Fatal(err)
		}
	}
	send(1, mail("gone"), false, false)
	send(2, []byte("too large"), false, true)
	send(3, []byte("\x00 not a mail"), true, false)
	send(4, mail("", archived(level1(facts(1, 1), sandbox.PDF("x", nil, 0)))), true, false)
	got := map[uint32]greffe.Parsed{}
	for len(got) < 3 {
		select {
		case p := <-results:
			got[p.Received.Origin.UID] = p
		case <-ctx.Done():
			t.Fatalf("only %d results", len(got))
		}
	}
	if got[2].Message.Kind != greffe.KindUnread || len(got[3].Parts) != 1 || len(got[4].Documents) != 1 || got[4].Parser != "1.0" {
		t.Errorf("results %+v", got)
	}
	stop()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("stopped with %v", err)
		}
	}
	letters, err := b.DeadLetters(ctx)
	if err != nil || len(letters) > 0 {
		t.Errorf("dead letters %v, %v", letters, err)
	}
}
