package fetcher

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// mailOf is a message of about n bytes, in lines of base64 as mail has them.
func mailOf(i, n int) string {
	return fmt.Sprintf("Subject: %d\r\n\r\n", i) + strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", n/78)
}

// BenchmarkTake measures from the mailbox to durable on the bus: spool, event and
// cursor, each synced. One operation is one message of 200 KB.
func BenchmarkTake(b *testing.B) {
	measure := func(b *testing.B, box Mailbox, in *inbox, start func(Config)) {
		b.SetBytes(int64(len(mailOf(0, 200_000))))
		b.ReportAllocs()
		b.ResetTimer()
		start(Config{Mailboxes: []Mailbox{box}})
		for in.count() < b.N {
			time.Sleep(time.Millisecond)
		}
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	}
	b.Run("sandbox", func(b *testing.B) {
		l := newLab(b)
		for i := range b.N {
			l.append(b, "INBOX", mailOf(i, 200_000))
		}
		measure(b, l.box, l.in, func(cfg Config) { start(b, l.bus, cfg) })
	})
	b.Run("dovecot", func(b *testing.B) {
		d := onDovecot(b)
		bus := openBus(b)
		in, stop := listen(b, bus)
		b.Cleanup(stop)
		for i := range b.N {
			d.append(b, d.folder, mailOf(i, 200_000))
		}
		measure(b, d.box, in, func(cfg Config) { start(b, bus, cfg) })
	})
}

// A message of 100 MiB passes through a few chunks of memory. The bus runs in
// this process too; the mail server makes the message as it sends it.
func TestLargeMessageIsNeverWholeInMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100 MiB")
	}
	line := []byte(strings.Repeat("QUJD", 16384) + "\r\n")
	const size = 100 << 20
	mb := serveScript(t, &script{messages: map[uint32]string{1: ""}, turn: func(c *scripted, command string) (bool, error) {
		switch {
		case isBody(command):
			c.say("* 1 FETCH (UID 1 BODY[] {%d}", size)
			for left := size; left > 0; left -= min(left, len(line)) {
				c.Write(line[:min(left, len(line))])
			}
			c.say(")\r\n%s OK done", c.tag)
			return true, nil
		case strings.Contains(command, "RFC822.SIZE"):
			c.size(0, 1, size)
			c.say("%s OK done", c.tag)
			return true, nil
		}
		return false, nil
	}})
	b := openBus(t)
	in, stop := listen(t, b)
	t.Cleanup(stop)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base, allocated, peak, resident := m.HeapAlloc, m.TotalAlloc, m.HeapAlloc, residentKiB()
	began := time.Now()
	start(t, b, Config{Mailboxes: []Mailbox{mb}})
	most := resident
	eventually(t, "the message", func() bool {
		runtime.GC() // what is live counts, not what waits to be collected
		runtime.ReadMemStats(&m)
		peak, most = max(peak, m.HeapAlloc), max(most, residentKiB())
		return in.count() == 1
	})
	t.Logf("%d MiB in %v: heap grew by %.1f MiB at most, resident memory by %.1f MiB, %.1f MiB allocated in all",
		size>>20, time.Since(began).Round(time.Millisecond), float64(peak-base)/(1<<20), float64(most-resident)/1024, float64(m.TotalAlloc-allocated)/(1<<20))
	if peak-base > 64<<20 {
		t.Errorf("the heap grew by %d MiB, of which the bus server holds most", (peak-base)>>20)
	}
	for _, e := range in.all(t) {
		if e.Size != size || e.Refused != nil {
			t.Errorf("taken %+v", e)
		}
	}
}

// residentKiB returns the resident memory of this process, 0 where /proc is not.
func residentKiB() int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	var n int
	fmt.Sscan(after, &n)
	return n
}
