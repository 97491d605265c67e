package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"greffe/pkg/sandbox"
)

// pipelineMessages is how many messages BenchmarkPipeline takes: each a PDF of
// 150 KB and the XDM archive of the same document.
const pipelineMessages = 1000

// BenchmarkPipeline takes 1,000 messages from a mailbox to the directory archive,
// the SQLite index and a DI that answers at once.
//
//	go test -run '^$' -bench Pipeline -benchtime 1x ./cmd/greffe
//
// "process" runs Greffe as the one process it is in production, with mailbox and
// DI in the process of the benchmark, and reports the peak resident size of
// Greffe and of its PDF workers. "allocations" runs it beside them to count what
// it allocates; the mailbox and the DI are in that figure.
func BenchmarkPipeline(b *testing.B) {
	b.Run("process", func(b *testing.B) {
		for b.Loop() {
			in := install(b, deployment{name: "all in one"})
			size := in.fillPipeline(b)
			beside := cpuTime(b, syscall.RUSAGE_SELF)
			start := time.Now()
			cmd := in.spawn(io.Discard)
			ready := in.untilReady(start)
			in.delivered(pipelineMessages)
			took := time.Since(start)
			beside = cpuTime(b, syscall.RUSAGE_SELF) - beside
			greffe := cpuTime(b, syscall.RUSAGE_CHILDREN)
			peak := readStatus(b, cmd.Process.Pid, "VmHWM")
			workers := childrenRSS(b, cmd.Process.Pid)
			stopProcess(b, cmd.Process)
			if err := cmd.Wait(); err != nil {
				b.Errorf("greffe run: %v", err)
			}
			greffe = cpuTime(b, syscall.RUSAGE_CHILDREN) - greffe
			if !in.settledOnDisk(pipelineMessages) {
				b.Error("not every message is settled in the index")
			}
			b.ReportMetric(pipelineMessages/took.Seconds(), "msg/s")
			b.ReportMetric(float64(size)/1e6/took.Seconds(), "MB/s")
			b.ReportMetric(greffe.Seconds()*1000/pipelineMessages, "cpu-ms/msg")
			b.ReportMetric(beside.Seconds()*1000/pipelineMessages, "cpu-ms-mailbox+DI/msg")
			b.ReportMetric(float64(peak)/1e6, "MB-peak-RSS")
			b.ReportMetric(float64(workers)/1e6, "MB-peak-RSS-workers")
			b.ReportMetric(ready.Seconds()*1000, "ms-to-ready")
		}
	})
	b.Run("allocations", func(b *testing.B) {
		for b.Loop() {
			in := install(b, deployment{name: "all in one"})
			in.fillPipeline(b)
			var m0, m1 runtime.MemStats
			runtime.ReadMemStats(&m0)
			in.start()
			in.settled(pipelineMessages)
			runtime.ReadMemStats(&m1)
			in.halt()
			b.ReportMetric(float64(m1.Mallocs-m0.Mallocs)/pipelineMessages, "allocs/msg")
			b.ReportMetric(float64(m1.TotalAlloc-m0.TotalAlloc)/1e6/pipelineMessages, "MB/msg")
		}
	})
}

// BenchmarkHugeMessage takes one message of nearly 100 MiB through the whole
// pipeline and reports by how much the process grew.
func BenchmarkHugeMessage(b *testing.B) {
	for b.Loop() {
		in := install(b, deployment{name: "all in one"})
		box := sandbox.Mailboxes()[0].Address
		cmd := in.spawn(io.Discard)
		in.untilReady(time.Now())
		// A small message first warms what is opened on first use.
		if _, err := in.mail.Append(box, "INBOX", sandbox.PipelineMessage(0), time.Now()); err != nil {
			b.Fatal(err)
		}
		in.delivered(1)
		raw := sandbox.HugeMessage(100<<20 - 1<<16)
		before := readStatus(b, cmd.Process.Pid, "VmRSS")
		resetPeak(b, cmd.Process.Pid)
		start := time.Now()
		if _, err := in.mail.Append(box, "INBOX", raw, time.Now()); err != nil {
			b.Fatal(err)
		}
		in.delivered(2)
		took := time.Since(start)
		after := readStatus(b, cmd.Process.Pid, "VmHWM")
		stopProcess(b, cmd.Process)
		if err := cmd.Wait(); err != nil {
			b.Errorf("greffe run: %v", err)
		}
		b.ReportMetric(float64(after-before)/(1<<20), "MiB-RSS-growth")
		b.ReportMetric(float64(len(raw))/1e6/took.Seconds(), "MB/s")
	}
}

// fillPipeline puts the messages of BenchmarkPipeline into the first mailbox and
// returns their size in bytes. The console listens on a fixed free port so that
// readiness can be asked from outside.
func (in *installation) fillPipeline(b *testing.B) int {
	box, size := sandbox.Mailboxes()[0].Address, 0
	for i := range pipelineMessages {
		raw := sandbox.PipelineMessage(i)
		size += len(raw)
		if _, err := in.mail.Append(box, "INBOX", raw, time.Now().Add(time.Duration(i-pipelineMessages)*time.Second)); err != nil {
			b.Fatal(err)
		}
	}
	return size
}

// delivered waits until the DI holds n documents.
func (in *installation) delivered(n int) {
	in.t.Helper()
	in.until(fmt.Sprintf("%d documents at the DI", n), func() (bool, string) {
		s := in.di.Stats()
		return s.New >= n, fmt.Sprintf("%+v", s)
	})
}

// untilReady waits until /readyz says so and returns how long after start that was.
func (in *installation) untilReady(start time.Time) time.Duration {
	in.t.Helper()
	in.until("ready", func() (bool, string) {
		resp, err := http.Get("http://" + in.cfg.Console.Listen + "/readyz")
		if err != nil {
			return false, err.Error()
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, resp.Status
	})
	return time.Since(start)
}

func stopProcess(b *testing.B, p *os.Process) {
	b.Helper()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
}

// cpuTime returns the processor time, user and kernel, of this process or of the
// children that ended.
func cpuTime(b *testing.B, who int) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resetPeak makes VmHWM count from now on (proc(5), clear_refs).
func resetPeak(b *testing.B, pid int) {
	b.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
}

// readStatus returns a size of /proc/PID/status in bytes.
func readStatus(b *testing.B, pid int, field string) int64 {
	b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), field+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatalf("no %s", field)
	return 0
}

// childrenRSS returns the sum of the peak resident sizes of the children of pid.
func childrenRSS(b *testing.B, pid int) int64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	var total int64
	for _, s := range strings.Fields(string(raw)) {
		if child, err := strconv.Atoi(s); err == nil {
			total += readStatus(b, child, "VmHWM")
		}
	}
	return total
}
