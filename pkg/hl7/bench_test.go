package hl7

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkSend measures messages with a document of 150 KB to a receiver in the
// process that answers at once, over 4 connections.
func BenchmarkSend(b *testing.B) {
	document := bytes.Repeat([]byte("<ClinicalDocument>"), 150_000/18)
	for _, secure := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(b *testing.B) {
			var server, caller *tls.Config
			if secure {
				cert, pool := certificate(b)
				server = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
				caller = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: "di.example"}
			}
			addr := receiver(b, server, func(_ context.Context, r io.Reader, w io.Writer) error {
				d := NewDecoder(r)
				d.Long = func(string, int) io.Writer { return io.Discard }
				msh, err := d.Next()
				for err == nil {
					_, err = d.Next()
				}
				if !errors.Is(err, io.EOF) {
					return err
				}
				return WriteFrame(w, Answer(msh, ACK{Code: "AA", ID: "1"}, time.Now()))
			})
			c := client(b, ClientConfig{Address: addr, TLS: always(caller), Connections: 4, AckTimeout: time.Minute})
			var next atomic.Int64
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			b.ResetTimer()
			start := time.Now()
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						m, s := sample()
						m.Control = fmt.Sprint("B", n)
						a, err := c.Send(b.Context(), m.Control, func(w io.Writer) error { return m.Encode(w, s, bytes.NewReader(document)) })
						if err != nil || a.Code != "AA" {
							b.Errorf("%+v, %v", a, err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "documents/s")
		})
	}
}
