package main

import (
	"net"
	"testing"
	"time"

	"greffe/pkg/sandbox"
)

// A DI that speaks FHIR gets each document once, whether it fetches it from the
// console by reference, is given it in a transaction, or inside the reference.
func TestAFHIRDIGetsEachDocumentOnce(t *testing.T) {
	t.Parallel()
	const token = "un-jeton-de-trente-caracteres"
	for _, mode := range []string{"reference", "mhd", "simplified"} {
		for _, dep := range deployments[:2] {
			t.Run(mode+" "+dep.name, func(t *testing.T) {
				t.Parallel()
				in := install(t, dep)
				di, err := sandbox.StartDI(sandbox.DIConfig{Patients: sandbox.KnownPatients(), Token: token})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { di.Close() })
				in.di = di
				l, err := net.Listen("tcp", "127.0.0.1:0") // an address that the DI can be told
				if err != nil {
					t.Fatal(err)
				}
				in.cfg.Console.Listen = l.Addr().String()
				in.cfg.Console.PublicURL = "http://" + in.cfg.Console.Listen
				l.Close()
				in.cfg.DI = []DIConfig{{Name: "dpi", Protocol: "fhir", FHIR: FHIRConfig{Base: di.FHIRBase(), Mode: mode, ReadToken: in.file("di.token", token+"\n")}}}
				in.cfg.setDefaults()
				for _, p := range in.cfg.validate() {
					t.Fatalf("configuration: %s: %s", p.key, p.text)
				}
				const n = 5
				for i := range n {
					if _, err := in.mail.Append(sandbox.Mailboxes()[0].Address, "INBOX", sandbox.PipelineMessage(i), time.Now()); err != nil {
						t.Fatal(err)
					}
				}
				in.start()
				defer in.halt()
				in.settled(n)
				if s := di.Stats(); s.New != n || s.Repeats != 0 {
					t.Errorf("the DI has %+v, want %d new documents and no repeat", s, n)
				}
				for _, d := range di.Documents() {
					if !d.SHA256.Valid() {
						t.Errorf("document %s: the DI has no bytes of it", d.Number)
					}
				}
				in.halt()
				in.verify()
			})
		}
	}
}
