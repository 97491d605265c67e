package integrator

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
)

// TestFHIRServer holds a FHIR server to what api/di-import.yaml says a DI must do:
//
//	GREFFE_TEST_FHIR=https://dpi.example/fhir GREFFE_TEST_FHIR_TOKEN=/path/of/token \
//	go test ./services/integrator -run TestFHIRServer -v
//
// GREFFE_TEST_FHIR_PATIENT ("matricule^OID") is a test patient that the DI knows;
// without, one is created. GREFFE_TEST_FHIR_MODES and GREFFE_TEST_FHIR_PATCH are the
// settings mode (several, blanks between) and patch. GREFFE_TEST_FHIR_CA and
// GREFFE_TEST_FHIR_CERTIFICATE are PEM files. It leaves its documents there.
func TestFHIRServer(t *testing.T) {
	t.Parallel()
	base := os.Getenv("GREFFE_TEST_FHIR")
	if base == "" {
		t.Skip("GREFFE_TEST_FHIR is not set")
	}
	s := &fhirServer{base: strings.TrimSuffix(base, "/"), settings: FHIR{
		Base: base, TokenFile: os.Getenv("GREFFE_TEST_FHIR_TOKEN"), Patch: os.Getenv("GREFFE_TEST_FHIR_PATCH"), Deletion: "entered-in-error",
		CA: os.Getenv("GREFFE_TEST_FHIR_CA"), Certificate: os.Getenv("GREFFE_TEST_FHIR_CERTIFICATE"), SourceID: "1.2.250.1.999.2", Timeout: time.Minute,
	}}
	read, err := tlsConfig(s.settings.CA, s.settings.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	tc, err := read()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: tc}
	t.Cleanup(transport.CloseIdleConnections)
	s.http = &http.Client{Transport: transport, Timeout: time.Minute}
	s.findPatient(t)
	for _, mode := range strings.Fields(cmp.Or(os.Getenv("GREFFE_TEST_FHIR_MODES"), "reference mhd simplified")) {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s.holds(t, mode)
		})
	}
}

// fhirServer is a server under test, and what was found on it.
type fhirServer struct {
	base     string
	settings FHIR
	http     *http.Client
	patient  fhir.Candidate
}

func (s *fhirServer) sender(t *testing.T, mode string) *fhirSender {
	t.Helper()
	d := DI{Name: "essai", Protocol: "fhir", FHIR: s.settings}
	d.FHIR.Mode = mode
	sender, err := d.open(Config{ConsoleURL: "https://greffe.example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	return sender.(*fhirSender)
}

// findPatient looks for the test patient by INS, after creating one if none is named.
func (s *fhirServer) findPatient(t *testing.T) {
	t.Helper()
	var ins greffe.OID
	if named := os.Getenv("GREFFE_TEST_FHIR_PATIENT"); named != "" {
		ins.Extension, ins.Root, _ = strings.Cut(named, "^")
	} else {
		p := patient()
		n, err := rand.Int(rand.Reader, big.NewInt(1e14))
		if err != nil {
			t.Fatal(err)
		}
		p.INS.Extension = fmt.Sprintf("2%014d", n)
		p.IDs = []greffe.OID{p.INS}
		ins = p.INS
		r := fhir.FromPatient(p)
		r.ID = ""
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := s.ask(t, "POST", "Patient", "application/fhir+json", b); status != http.StatusCreated {
			t.Fatalf("create the test patient: %d %s", status, answer)
		}
	}
	sender := s.sender(t, "mhd")
	if err := sender.Ping(t.Context()); err != nil {
		t.Errorf("capabilities: %v", err)
	}
	var finder Finder = sender
	list, err := finder.FindPatients(t.Context(), ins)
	if err != nil || len(list) != 1 || list[0].Inactive || list[0].Patient.BirthFamily == "" {
		t.Fatalf("the patient is not found by INS: %+v, %v", list, err)
	}
	s.patient = list[0]
	if none, err := finder.FindPatients(t.Context(), greffe.OID{Root: ins.Root, Extension: "299999999999999"}); err != nil || len(none) != 0 {
		t.Errorf("an INS that nobody has finds %+v, %v", none, err)
	}
}

// ask makes one request beside the sender.
func (s *fhirServer) ask(t *testing.T, method, path, contentType string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.base+"/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", "application/fhir+json")
	if s.settings.TokenFile != "" {
		token, err := os.ReadFile(s.settings.TokenFile)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

func (s *fhirServer) read(t *testing.T, location string) (r fhir.DocumentReference) {
	t.Helper()
	status, b := s.ask(t, "GET", location, "", nil)
	if err := json.Unmarshal(b, &r); status != http.StatusOK || err != nil {
		t.Fatalf("read %s: %d, %v", location, status, err)
	}
	return r
}

// count searches as Greffe does and returns how many match.
func (s *fhirServer) count(t *testing.T, kind string, id fhir.Identifier) int {
	t.Helper()
	status, b := s.ask(t, "POST", kind+"/_search", "application/x-www-form-urlencoded", []byte(url.Values{"identifier": {id.Token()}}.Encode()))
	var bundle fhir.Bundle
	if err := json.Unmarshal(b, &bundle); status != http.StatusOK || err != nil {
		t.Fatalf("search %s: %d, %v", kind, status, err)
	}
	return len(bundle.Entry)
}

// content returns the bytes that a reference leads to; nil when they are Greffe's.
func (s *fhirServer) content(t *testing.T, a fhir.Attachment) []byte {
	t.Helper()
	data := ""
	switch {
	case a.Data != nil:
		data = *a.Data
	case strings.HasPrefix(a.URL, "https://greffe.example/"):
		return nil
	default:
		where := strings.TrimPrefix(a.URL, s.base+"/")
		_, b := s.ask(t, "GET", where, "", nil)
		var bin fhir.Binary
		if json.Unmarshal(b, &bin) != nil || bin.ResourceType != "Binary" {
			return b // FHIR R4 §2.39.1: a server may give the bytes themselves
		}
		data = bin.Data
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// holds sends a document, its replacement and its deletion, each twice, and a PDF.
func (s *fhirServer) holds(t *testing.T, mode string) {
	sender := s.sender(t, mode)
	id, err := rand.Int(rand.Reader, big.NewInt(1e18))
	if err != nil {
		t.Fatal(err)
	}
	first := document(1)
	first.Patient = s.patient.Patient
	first.UniqueID = greffe.OID{Root: fmt.Sprint("2.25.", id, ".1")}
	give := func(d greffe.Document, parent string) (greffe.Outcome, fhir.DocumentReference, []byte) {
		t.Helper()
		b := &bench{bytes: map[string][]byte{}, sender: sender}
		delivery := b.delivery(d)
		content := b.bytes[string(delivery.ID)]
		delivery.UUID = fhirUUID(t, d)
		delivery.PatientReference, delivery.ParentReference, delivery.Reference = s.patient.Reference, parent, parent
		var o greffe.Outcome
		for try := range 2 {
			r, err := sender.Send(t.Context(), delivery)
			if err != nil || r.State != greffe.StateDelivered || r.Reference == "" {
				t.Fatalf("%s, try %d: %+v, %v", d.Action, try+1, r, err)
			}
			if try == 1 && r.Reference != o.Reference {
				t.Errorf("%s: a repeat is %s, not %s", d.Action, r.Reference, o.Reference)
			}
			o = r.Outcome
		}
		return o, s.read(t, o.Reference), content
	}
	check := func(d greffe.Document, r fhir.DocumentReference, content []byte) {
		t.Helper()
		if r.Status != "current" || len(r.Content) != 1 || r.Content[0].Attachment.Size != int64(len(content)) || r.Subject == nil || r.Subject.Reference != s.patient.Reference {
			t.Errorf("%s: the DI has %+v", d.Action, r)
		}
		if got := s.content(t, r.Content[0].Attachment); got == nil != (mode == "reference") || got != nil && !bytes.Equal(got, content) {
			t.Errorf("%s: the DI has other bytes", d.Action)
		}
		entry := fhir.Identifier{System: "urn:ietf:rfc:3986", Value: "urn:uuid:" + fhirUUID(t, d)}
		if n := s.count(t, "DocumentReference", entry); n != 1 {
			t.Errorf("%s: the DI has %d references", d.Action, n)
		}
	}

	o1, r1, content := give(first, "")
	check(first, r1, content)

	second := first
	second.UniqueID.Root = strings.TrimSuffix(first.UniqueID.Root, "1") + "2"
	second.Action, second.Version, second.Replaces = greffe.ActionReplace, 2, first.UniqueID
	o2, r2, content := give(second, "") // the parent has to be found
	check(second, r2, content)
	if len(r2.RelatesTo) != 1 || r2.RelatesTo[0].Code != "replaces" || r2.RelatesTo[0].Target.Reference != o1.Reference {
		t.Errorf("the replacement relates to %+v, not to %s", r2.RelatesTo, o1.Reference)
	}
	if old := s.read(t, o1.Reference); old.Status != "superseded" {
		t.Errorf("the old version is %s", old.Status)
	}

	third := second
	third.UniqueID.Root = strings.TrimSuffix(first.UniqueID.Root, "1") + "3"
	third.Version, third.Replaces = 3, second.UniqueID
	o3, r3, content := give(third, o2.Reference) // the DI said what it calls the parent
	check(third, r3, content)
	if old := s.read(t, o2.Reference); old.Status != "superseded" {
		t.Errorf("the second version is %s", old.Status)
	}

	third.Action = greffe.ActionDelete
	if _, r, _ := give(third, o3.Reference); r.Status != "entered-in-error" {
		t.Errorf("after its deletion the document is %s", r.Status)
	}

	pdf := greffe.Document{Format: greffe.FormatPDF, Action: greffe.ActionNew, MediaType: "application/pdf", Title: "Lettre " + id.String(), Patient: s.patient.Patient}
	_, r, content := give(pdf, "")
	check(pdf, r, content)
	if a := r.Content[0].Attachment; a.ContentType != "application/pdf" || r.MasterIdentifier == nil || r.Type == nil {
		t.Errorf("the PDF is %+v", r)
	}

	b := &bench{bytes: map[string][]byte{}, sender: sender}
	lost := b.delivery(func() greffe.Document {
		d := second
		d.UniqueID.Root += ".9"
		d.Replaces.Root += ".9"
		return d
	}())
	lost.UUID = fhirUUID(t, lost.Facts)
	if r, err := sender.Send(t.Context(), lost); err != nil || r.State != greffe.StateRefused || r.Code != "900" {
		t.Errorf("a replacement of what the DI never had: %+v, %v", r, err)
	}
}

// fhirUUID names a delivery of the test; the numbers in d are of this run alone.
func fhirUUID(t *testing.T, d greffe.Document) string {
	t.Helper()
	_, uuid := identifiers("essai", t.Name()+d.UniqueID.String()+d.Title+string(d.Action), "")
	return uuid
}
