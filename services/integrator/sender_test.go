package integrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/sandbox"
)

// bench is a DI and a sender to it.
type bench struct {
	di     *sandbox.DI
	sender Sender
	mu     sync.Mutex
	bytes  map[string][]byte // served by the console
}

func newBench(t *testing.T, protocol string, timeout time.Duration) *bench {
	t.Helper()
	b := &bench{bytes: map[string][]byte{}}
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		w.Write(b.bytes[strings.TrimPrefix(r.URL.Path, "/di/documents/")])
	}))
	t.Cleanup(console.Close)
	var err error
	if b.di, err = sandbox.StartDI(sandbox.DIConfig{Patients: []greffe.Patient{patient()}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.di.Close() })
	d := target1(b.di, protocol)
	d.MLLP.Timeout, d.FHIR.Timeout = timeout, timeout
	if b.sender, err = d.open(Config{ConsoleURL: console.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.sender.Close)
	return b
}

// delivery returns what sends d.
func (b *bench) delivery(d greffe.Document) Delivery {
	content := text(d)
	d.SHA256, d.Size = greffe.DigestOf(content), int64(len(content))
	id := greffe.NewDocumentID(greffe.NewMessageID(greffe.Origin{Mailbox: d.Identity()}, ""), 1)
	b.mu.Lock()
	b.bytes[string(id)] = content
	b.mu.Unlock()
	out := Delivery{ID: id, Facts: d, Action: d.Action, Parent: d.Replaces, Mailbox: box, At: time.Now(), Size: d.Size,
		Mail: greffe.Message{From: []greffe.Address{{Address: "a@b.example"}}, Body: "Bonjour"},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
	out.Control, out.UUID = identifiers("dpi", d.Identity(), "")
	return out
}

func (b *bench) send(t *testing.T, d Delivery, want greffe.State, code string) greffe.Outcome {
	t.Helper()
	o, err := b.sender.Send(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if o.State != want || !strings.HasSuffix(o.Code, code) || o.Text == "" || o.Control == "" || o.Action == "" {
		t.Fatalf("outcome %+v, want %q %q", o, want, code)
	}
	return o.Outcome
}

// TestSenders is the suite of the contract: both protocols, FHIR in each mode.
func TestSenders(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"hl7v2", "reference", "mhd", "simplified"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			for name, f := range map[string]func(*testing.T, *bench){
				"arrives whole, once": func(t *testing.T, b *bench) {
					d := b.delivery(document(1))
					first := b.send(t, d, greffe.StateDelivered, "")
					if again := b.send(t, d, greffe.StateDelivered, ""); again.Control != first.Control {
						t.Error("a repeat has another identifier")
					}
					docs := b.di.Documents()
					if len(docs) != 1 || docs[0].SHA256 != d.Facts.SHA256 || docs[0].Size != d.Size || docs[0].Number != d.Facts.UniqueID.String() {
						t.Errorf("the DI has %+v", docs)
					}
					if s := b.di.Stats(); s.New != 1 || s.Repeats != 1 {
						t.Errorf("%+v", s)
					}
				},
				"number with extension": func(t *testing.T, b *bench) {
					doc := document(1)
					doc.UniqueID.Extension = "A-42"
					b.send(t, b.delivery(doc), greffe.StateDelivered, "")
					if docs := b.di.Documents(); docs[0].Number != doc.UniqueID.String() {
						t.Errorf("number %q", docs[0].Number)
					}
				},
				"replaces, then deletes": func(t *testing.T, b *bench) {
					b.send(t, b.delivery(document(1)), greffe.StateDelivered, "")
					v2 := document(2)
					v2.Action, v2.Version, v2.Replaces = greffe.ActionReplace, 2, document(1).UniqueID
					two := b.delivery(v2)
					o := b.send(t, two, greffe.StateDelivered, "")
					b.send(t, two, greffe.StateDelivered, "")
					v2.Action = greffe.ActionDelete
					del := b.delivery(v2)
					del.Reference = o.Reference
					b.send(t, del, greffe.StateDelivered, "")
					b.send(t, del, greffe.StateDelivered, "")
					docs := b.di.Documents()
					if len(docs) != 2 || docs[0].Replaced != v2.UniqueID.String() || docs[1].Current() || docs[1].Replaced != "" {
						t.Errorf("the DI has %+v", docs)
					}
					if s := b.di.Stats(); s.New != 1 || s.Replaced != 1 || s.Deleted != 1 || s.Repeats != 2 {
						t.Errorf("%+v", s)
					}
				},
				"replaces what the DI never had": func(t *testing.T, b *bench) {
					v2 := document(2)
					v2.Action, v2.Version, v2.Replaces = greffe.ActionReplace, 2, document(1).UniqueID
					b.send(t, b.delivery(v2), greffe.StateRefused, "900")
				},
				"deletes what the DI never had": func(t *testing.T, b *bench) {
					d := document(1)
					d.Action = greffe.ActionDelete
					b.send(t, b.delivery(d), greffe.StateRefused, "900")
				},
				"another author": func(t *testing.T, b *bench) {
					b.send(t, b.delivery(document(1)), greffe.StateDelivered, "")
					v2 := document(2)
					v2.Action, v2.Replaces = greffe.ActionReplace, document(1).UniqueID
					v2.Authors[0].ID.Extension = "899900000029"
					b.send(t, b.delivery(v2), greffe.StateRefused, "901")
				},
				"unknown patient": func(t *testing.T, b *bench) {
					d := document(1)
					d.Patient.INS.Extension = "155082A99912348"
					d.Patient.IDs = []greffe.OID{d.Patient.INS}
					b.send(t, b.delivery(d), greffe.StateRefused, "902")
				},
				"no INS": func(t *testing.T, b *bench) {
					d := document(1)
					d.Patient.INS, d.Patient.IDs = greffe.OID{}, []greffe.OID{{Root: "1.2.250.1.999.1", Extension: "7"}}
					b.send(t, b.delivery(d), greffe.StateRefused, "903")
				},
				"a trait differs": func(t *testing.T, b *bench) {
					d := document(1)
					d.Patient.BirthDate = "19850215"
					b.send(t, b.delivery(d), greffe.StateRefused, "904")
				},
				"a trait is missing": func(t *testing.T, b *bench) {
					d := document(1)
					d.Patient.BirthDate = ""
					b.send(t, b.delivery(d), greffe.StateRefused, "905")
				},
				"busy, then not": func(t *testing.T, b *bench) {
					b.fail(sandbox.DIBusy)
					d := b.delivery(document(1))
					b.send(t, d, greffe.StateWaiting, "")
					b.send(t, d, greffe.StateDelivered, "")
					b.once(t)
				},
				"silent": func(t *testing.T, b *bench) {
					b.fail(sandbox.DISilent)
					d := b.delivery(document(1))
					b.send(t, d, greffe.StateWaiting, "no answer")
					b.send(t, d, greffe.StateDelivered, "")
					b.once(t)
				},
				"answer lost":       lost(sandbox.DIForget),
				"answer cut":        lost(sandbox.DICut),
				"answer is garbage": lost(sandbox.DIGarbage),
				"technical": func(t *testing.T, b *bench) {
					b.fail(sandbox.DITechnical)
					b.send(t, b.delivery(document(1)), greffe.StateIncident, "")
				},
				"unreachable":             unreachable,
				"bytes that changed":      changed,
				"ctx ends while it waits": ends,
				"many at once": func(t *testing.T, b *bench) {
					var wg sync.WaitGroup
					for n := range 50 {
						wg.Go(func() {
							if o, err := b.sender.Send(t.Context(), b.delivery(document(n))); err != nil || o.State != greffe.StateDelivered {
								t.Errorf("%+v, %v", o, err)
							}
						})
					}
					wg.Wait()
					if s := b.di.Stats(); s.New != 50 || s.Repeats != 0 {
						t.Errorf("%+v", s)
					}
				},
				"answers a ping": func(t *testing.T, b *bench) {
					if err := b.sender.Ping(t.Context()); err != nil {
						t.Error(err)
					}
				},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					timeout := 20 * time.Second
					if name == "silent" || name == "answer is garbage" { // these wait for it
						timeout = 2 * time.Second
					}
					f(t, newBench(t, protocol, timeout))
				})
			}
		})
	}
}

// fail makes the DI misbehave at the first message.
func (b *bench) fail(how sandbox.DIBehaviour) {
	b.di.Behave(func(n int) sandbox.DIBehaviour {
		if n == 1 {
			return how
		}
		return sandbox.DINormal
	})
}

func (b *bench) once(t *testing.T) {
	t.Helper()
	if s := b.di.Stats(); s.New != 1 || len(b.di.Documents()) != 1 {
		t.Errorf("%+v", s)
	}
}

// lost: the DI has the document and we do not know. The repeat changes nothing.
func lost(how sandbox.DIBehaviour) func(*testing.T, *bench) {
	return func(t *testing.T, b *bench) {
		b.fail(how)
		d := b.delivery(document(1))
		o, err := b.sender.Send(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		// A transport may repeat by itself on a new connection; else we do.
		if o.State == greffe.StateWaiting {
			b.send(t, d, greffe.StateDelivered, "")
		}
		b.once(t)
		if b.di.Stats().Repeats != 1 {
			t.Errorf("%+v", b.di.Stats())
		}
	}
}

func unreachable(t *testing.T, b *bench) {
	b.di.Close()
	b.send(t, b.delivery(document(1)), greffe.StateWaiting, "no answer")
	if b.sender.Ping(t.Context()) == nil {
		t.Error("a DI that is gone answers")
	}
}

func changed(t *testing.T, b *bench) {
	broken := fmt.Errorf("%w: not those", errContent)
	d := b.delivery(document(1))
	good := d.Open
	d.Open = func() (io.ReadCloser, error) {
		r, _ := good()
		return io.NopCloser(io.MultiReader(io.LimitReader(r, d.Size-10), failing{broken})), nil
	}
	o, err := b.sender.Send(t.Context(), d)
	if !errors.Is(err, errContent) {
		t.Fatalf("%+v, %v", o, err)
	}
	if len(b.di.Documents()) != 0 {
		t.Error("a broken document arrived")
	}
	d.Open = good
	b.send(t, d, greffe.StateDelivered, "")
}

func ends(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.di.Behave(func(int) sandbox.DIBehaviour { cancel(); return sandbox.DISilent })
	if o, err := b.sender.Send(ctx, b.delivery(document(1))); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", o, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
