package integrator

import (
	"net"
	"strings"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// one returns a delivery of a document that needs no console.
func one(d greffe.Document) Delivery {
	b := &bench{bytes: map[string][]byte{}}
	return b.delivery(d)
}

// opened is a sender to the DI after a change of its settings.
func opened(t *testing.T, di *sandbox.DI, change func(*DI)) Sender {
	t.Helper()
	d := target1(di, "hl7v2")
	d.MLLP.Timeout = 20 * time.Second
	change(&d)
	s, err := d.open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func demoDI(t *testing.T) *sandbox.DI {
	t.Helper()
	di, err := sandbox.StartDI(sandbox.DIConfig{Patients: []greffe.Patient{patient()}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { di.Close() })
	return di
}

// MLLP over TLS with a client certificate, and what a person reads when it fails.
func TestMLLPOverTLS(t *testing.T) {
	t.Parallel()
	di := demoDI(t)
	other := demoDI(t)
	secure := func(d *DI) {
		d.MLLP.Address, d.MLLP.TLS, d.MLLP.CA, d.MLLP.Certificate = di.MLLPSAddr(), true, di.CAFile(), di.ClientFile()
	}
	s := opened(t, di, secure)
	for n := range 3 {
		if r, err := s.Send(t.Context(), one(document(n))); err != nil || r.State != greffe.StateDelivered {
			t.Errorf("%+v, %v", r, err)
		}
	}
	// What comes of a refused client certificate is an alert of TLS, or what is left of
	// the connection after it.
	const alert, cut = "Le DI refuse la connexion TLS", "Le DI a coupé la connexion"
	for name, c := range map[string]struct {
		change func(*DI)
		want   string
	}{
		"another authority":       {func(d *DI) { secure(d); d.MLLP.CA = other.CAFile() }, "Le certificat du DI n'est pas reconnu"},
		"no client certificate":   {func(d *DI) { secure(d); d.MLLP.Certificate = "" }, alert},
		"certificate of others":   {func(d *DI) { secure(d); d.MLLP.Certificate = other.ClientFile() }, alert},
		"TLS where there is none": {func(d *DI) { secure(d); d.MLLP.Address = di.MLLPAddr() }, "Le DI"},
	} {
		r, err := opened(t, di, c.change).Send(t.Context(), one(document(9)))
		if err != nil || r.State != greffe.StateWaiting || !r.Silent || r.Code != "no answer" || !strings.HasSuffix(r.Text, "Nouvel essai automatique.") ||
			!strings.HasPrefix(r.Text, c.want) && (c.want != alert || !strings.HasPrefix(r.Text, cut)) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if len(di.Documents()) != 3 {
		t.Errorf("%d documents", len(di.Documents()))
	}
}

// What a person reads of a DI that does not answer.
func TestWhyUnanswered(t *testing.T) {
	t.Parallel()
	di := demoDI(t)
	for _, c := range []struct {
		how     sandbox.DIBehaviour
		timeout time.Duration
		want    string
		has     int // documents in the DI
	}{
		{sandbox.DISilent, time.Second, "Le DI a pris le message et n'a pas répondu à temps.", 0},
		{sandbox.DIForget, 20 * time.Second, "Le DI a coupé la connexion sans accuser réception.", 1},
		{sandbox.DICut, 20 * time.Second, "Le DI a coupé la connexion sans accuser réception.", 2},
		{sandbox.DIGarbage, time.Second, "Le DI répond, mais pas par l'accusé de ce message", 3},
	} {
		d := one(document(di.Stats().New))
		s := opened(t, di, func(d *DI) { d.MLLP.Timeout = c.timeout })
		di.Obey(sandbox.DIRule{Behaviour: c.how, Times: 1})
		r, err := s.Send(t.Context(), d)
		if err != nil || r.State != greffe.StateWaiting || !r.Silent || !strings.HasPrefix(r.Text, c.want) || len(di.Documents()) != c.has {
			t.Errorf("%s: %+v, %v, %d documents", c.how, r, err, len(di.Documents()))
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	for addr, want := range map[string]string{
		ln.Addr().String():  "Le DI n'accepte pas de connexion : est-il démarré ?",
		"nowhere.invalid:1": "Le nom du DI est inconnu du DNS.",
	} {
		r, err := opened(t, di, func(d *DI) { d.MLLP.Address = addr }).Send(t.Context(), one(document(1)))
		if err != nil || !r.Silent || !strings.HasPrefix(r.Text, want) {
			t.Errorf("%s: %+v, %v", addr, r, err)
		}
	}
}

// An answer that comes too late changes nothing: the repeat says the same, and the DI
// knows it again.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	di := demoDI(t)
	d := one(document(1))
	di.Obey(sandbox.DIRule{Delay: 2 * time.Second, Times: 1})
	hasty := opened(t, di, func(d *DI) { d.MLLP.Timeout = time.Second })
	if r, err := hasty.Send(t.Context(), d); err != nil || r.State != greffe.StateWaiting || !r.Silent {
		t.Fatalf("%+v, %v", r, err)
	}
	patient := opened(t, di, func(*DI) {})
	if r, err := patient.Send(t.Context(), d); err != nil || r.State != greffe.StateDelivered {
		t.Fatalf("%+v, %v", r, err)
	}
	if s := di.Stats(); s.New != 1 || s.Repeats != 1 {
		t.Errorf("%+v", s)
	}
}

// A DI that reads 8859/15 only gets the same document about the same patient.
func TestDeliveryInLatin9(t *testing.T) {
	t.Parallel()
	di := demoDI(t)
	s := opened(t, di, func(d *DI) { d.Charset = "8859/15" })
	facts := document(1)
	facts.Type.Label, facts.UniqueID.Extension = "CR d’œuvre — déjà lu", "É-1"
	d := one(facts)
	if r, err := s.Send(t.Context(), d); err != nil || r.State != greffe.StateDelivered {
		t.Fatalf("%+v, %v", r, err)
	}
	if docs := di.Documents(); len(docs) != 1 || docs[0].Number != facts.UniqueID.String() || docs[0].SHA256 != d.Facts.SHA256 {
		t.Errorf("%+v", docs)
	}
}

// What "greffe check" says of a DI over TLS.
func TestCheckOverTLS(t *testing.T) {
	t.Parallel()
	di := demoDI(t)
	d := target1(di, "hl7v2")
	d.MLLP.Address, d.MLLP.TLS, d.MLLP.CA, d.MLLP.Certificate = di.MLLPSAddr(), true, di.CAFile(), di.ClientFile()
	if c := CheckDI(t.Context(), d); len(c) != 1 || !c[0].OK {
		t.Errorf("%+v", c)
	}
	d.MLLP.CA = demoDI(t).CAFile()
	if c := CheckDI(t.Context(), d); len(c) != 1 || c[0].OK || !strings.Contains(c[0].Text, "autorité admise") {
		t.Errorf("%+v", c)
	}
}

// A DI that answers AR for an hour has the document soon after, once; each try says the
// same. The clock is the schedule's own.
func TestBusyForAnHour(t *testing.T) {
	t.Parallel()
	di := demoDI(t)
	s := opened(t, di, func(*DI) {})
	i := &Integrator{cfg: Config{Retry: defaultRetry}}
	d := one(document(1))
	first := time.Date(2026, 3, 14, 10, 0, 0, 0, time.UTC)
	end := first.Add(time.Hour)
	di.Obey(sandbox.DIRule{Behaviour: sandbox.DIBusy})
	tries := 0
	for now := first; ; {
		if !now.Before(end) {
			di.Obey(sandbox.DIRule{})
		}
		r, err := s.Send(t.Context(), d)
		if err != nil || r.Control != d.Control {
			t.Fatalf("%+v, %v", r, err)
		}
		tries++
		if r.State == greffe.StateDelivered {
			if late := now.Sub(end); late > 66*time.Minute {
				t.Errorf("%v after the DI was free", late)
			}
			break
		}
		if r.State != greffe.StateWaiting || r.Code != "AR" || r.Silent || tries > 20 {
			t.Fatalf("try %d: %+v", tries, r)
		}
		now = now.Add(i.pause(first, now))
	}
	if st := di.Stats(); st.New != 1 || st.Repeats != 0 || tries < 4 || tries > 8 {
		t.Errorf("%d tries, %+v", tries, st)
	}
}

// What cannot be written waits for a person, with what she can do.
func TestUnwritableDocuments(t *testing.T) {
	t.Parallel()
	di := demoDI(t)
	greek := document(1)
	greek.Patient.BirthFamily = "Ελλη"
	pdf := document(2)
	pdf.Format, pdf.UniqueID = greffe.FormatPDF, greffe.OID{}
	for name, c := range map[string]struct {
		facts  greffe.Document
		change func(*DI)
		want   string
	}{
		"name in other letters": {greek, func(d *DI) { d.Charset = "8859/15" }, "8859/15"},
		"PDF":                   {pdf, func(*DI) {}, "hl7.plain_pdf"},
		"no MSH-10":             {document(3), func(*DI) {}, "ne peut pas être écrit"},
	} {
		d := one(c.facts)
		if name == "no MSH-10" {
			d.Control = ""
		}
		r, err := opened(t, di, c.change).Send(t.Context(), d)
		if err != nil || r.State != greffe.StateIncident || r.Code != "unwritable" || r.Stops || r.Silent || !strings.Contains(r.Text, c.want) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if s := di.Stats(); s.Messages != 0 {
		t.Errorf("%+v", s)
	}
}

// A PDF without CDA goes for the patient that a person chose, once.
func TestPlainPDFOverMLLP(t *testing.T) {
	t.Parallel()
	di := demoDI(t)
	s := opened(t, di, func(d *DI) { d.HL7.PlainPDF = "51851-4^Document administratif^LN" })
	facts := greffe.Document{Format: greffe.FormatPDF, Action: greffe.ActionNew, Part: "2", MediaType: "application/pdf", Patient: patient()}
	d := one(facts)
	for range 2 {
		if r, err := s.Send(t.Context(), d); err != nil || r.State != greffe.StateDelivered {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	docs, st := di.Documents(), di.Stats()
	if len(docs) != 1 || st.Repeats != 1 || docs[0].SHA256 != d.Facts.SHA256 || docs[0].Type != "51851-4" || !strings.HasPrefix(docs[0].Number, "2.25.") {
		t.Errorf("%+v, %+v", docs, st)
	}
	nobody := d
	nobody.Facts.Patient = greffe.Patient{}
	if r, err := s.Send(t.Context(), nobody); err != nil || r.Code != "unwritable" {
		t.Errorf("a PDF about nobody: %+v, %v", r, err)
	}
}

// A PDF waits for a person, in a DI that takes it as in one that does not; whom she chose
// is whom it is sent for.
func TestChosenPatientOfAPDF(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]string{"allowed": "51851-4^Document administratif^LN", "not allowed": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "hl7v2")
			w.cfg.DIs[0].HL7.PlainPDF = kind
			w.run()
			pdf := greffe.Document{Format: greffe.FormatPDF, Action: greffe.ActionNew, Part: "2", MediaType: "application/pdf", Verdict: greffe.VerdictOK}
			id := w.receive(pdf)[0]
			w.becomes(id, greffe.StateTodo)
			who := patient()
			e := greffe.Decided{ID: "attach-" + string(id), Document: id, Verb: greffe.VerbAttach, Reason: "vu avec le service", By: "secretaire", At: time.Now().UTC(), Patient: &who}
			if err := bus.Publish(t.Context(), w.bus, bus.Decided, e); err != nil {
				t.Fatal(err)
			}
			if kind == "" {
				w.until(id, func(d index.Document) bool { return d.Outcome.Code == "no-pdf" }, "it is refused by our own rule")
				if s := w.di.Stats(); s.Messages != 0 {
					t.Errorf("%+v", s)
				}
				return
			}
			w.becomes(id, greffe.StateDelivered)
			docs := w.di.Documents()
			if len(docs) != 1 || docs[0].Patient.INS != who.INS || docs[0].Patient.BirthFamily != who.BirthFamily || docs[0].Type != "51851-4" {
				t.Errorf("the DI has %+v", docs)
			}
		})
	}
}
