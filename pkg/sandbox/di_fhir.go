package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
)

// diBody is the longest FHIR request that is read, in bytes.
const diBody = 192 << 20

func (d *DI) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.page)
	mux.HandleFunc("GET /style.css", diStyle)
	mux.Handle("POST /rule", new(http.CrossOriginProtection).Handler(http.HandlerFunc(d.setRule)))
	mux.HandleFunc("GET /fhir/metadata", func(w http.ResponseWriter, _ *http.Request) {
		diJSON(w, http.StatusOK, map[string]string{"resourceType": "CapabilityStatement", "status": "active", "fhirVersion": "4.0.1", "kind": "instance"})
	})
	mux.HandleFunc("POST /fhir/Patient/_search", d.searchPatient)
	mux.HandleFunc("POST /fhir/DocumentReference/_search", d.searchReference)
	mux.HandleFunc("POST /fhir", d.misbehaving(d.transaction))
	mux.HandleFunc("POST /fhir/DocumentReference", d.misbehaving(d.create))
	mux.HandleFunc("PATCH /fhir/DocumentReference/{id}", d.misbehaving(d.patch))
	return mux
}

// misbehaving treats a message as Behave said. Whatever it does besides, the
// message was read whole.
func (d *DI) misbehaving(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		body.Grow(int(min(max(r.ContentLength, 0)+bytes.MinRead, diBody)))
		if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, diBody)); err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		r.Body = diRead{bytes.NewReader(body.Bytes()), body.Bytes()}
		answer := &diAnswer{header: http.Header{}, status: http.StatusOK}
		rule := d.next()
		how := rule.Behaviour
		switch how {
		case DIRefuse:
			rule.wait(r.Context())
			d.integrate(diRequest{through: "FHIR", refuse: rule.refusal()})
			diOutcome(w, http.StatusUnprocessableEntity, "business-rule", rule.refusal())
			return
		case DISilent:
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		case DIBusy:
			w.Header().Set("Retry-After", "1")
			d.shown(diRequest{through: "FHIR"}, "503, revenir plus tard")
			diOutcome(w, http.StatusServiceUnavailable, "transient", nil)
			return
		case DIThrottled:
			w.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
			d.shown(diRequest{through: "FHIR"}, "429, revenir plus tard")
			diOutcome(w, http.StatusTooManyRequests, "throttled", nil)
			return
		case DITechnical:
			d.shown(diRequest{through: "FHIR"}, "400, erreur technique")
			diOutcome(w, http.StatusBadRequest, "structure", nil)
			return
		}
		h(answer, r)
		if !rule.wait(r.Context()) {
			panic(http.ErrAbortHandler)
		}
		switch how {
		case DIForget:
			panic(http.ErrAbortHandler)
		case DIGarbage:
			fmt.Fprint(w, "<html>tout va bien</html>")
			return
		}
		for k, v := range answer.header {
			w.Header()[k] = v
		}
		if how == DICut {
			w.Header().Set("Content-Length", fmt.Sprint(answer.body.Len()+1))
		}
		w.WriteHeader(answer.status)
		w.Write(answer.body.Bytes())
		if how == DICut {
			panic(http.ErrAbortHandler)
		}
	}
}

// diRead is a request body that is in memory.
type diRead struct {
	*bytes.Reader
	whole []byte
}

func (diRead) Close() error { return nil }

// diWhole returns the bytes of a request body that misbehaving has read.
func diWhole(r *http.Request) []byte { return r.Body.(diRead).whole }

// diKind returns the type of a resource, at the price of its first member when that
// says it.
func diKind(resource []byte) string {
	d := json.NewDecoder(bytes.NewReader(resource))
	d.Token()
	if name, _ := d.Token(); name == "resourceType" {
		kind, _ := d.Token()
		s, _ := kind.(string)
		return s
	}
	var kind struct{ ResourceType string }
	json.Unmarshal(resource, &kind)
	return kind.ResourceType
}

// diAnswer holds an answer until it is known how it is given.
type diAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *diAnswer) Header() http.Header         { return a.header }
func (a *diAnswer) WriteHeader(status int)      { a.status = status }
func (a *diAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

func diJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/fhir+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// diOutcome answers with an OperationOutcome; an application refusal carries the
// code of HL7 table 0533, as the HL7 v2 side does.
func diOutcome(w http.ResponseWriter, status int, code string, refusal *diRefusal) {
	issue := fhir.Issue{Severity: "error", Code: code}
	if refusal != nil {
		issue.Details = &fhir.Concept{
			Coding: []fhir.Coding{{System: "http://terminology.hl7.org/CodeSystem/v2-0533", Code: refusal.code}},
			Text:   refusal.label,
		}
	}
	diJSON(w, status, fhir.OperationOutcome{ResourceType: "OperationOutcome", Issue: []fhir.Issue{issue}})
}

func (d *DI) create(w http.ResponseWriter, r *http.Request) {
	var ref fhir.DocumentReference
	if err := json.Unmarshal(diWhole(r), &ref); err != nil || ref.ResourceType != "DocumentReference" || len(ref.Content) != 1 {
		diOutcome(w, http.StatusBadRequest, "structure", nil)
		return
	}
	var content []byte
	if data := ref.Content[0].Attachment.Data; data != nil { // ITI-105
		var err error
		if content, err = base64.StdEncoding.DecodeString(*data); err != nil {
			diOutcome(w, http.StatusBadRequest, "structure", nil)
			return
		}
		content = append([]byte{}, content...) // not nil, however empty
	}
	doc, repeat, refusal := d.take(r.Context(), ref, content)
	if refusal != nil {
		diOutcome(w, http.StatusUnprocessableEntity, "business-rule", refusal)
		return
	}
	w.Header().Set("Location", d.FHIRBase()+"/DocumentReference/"+doc.ID+"/_history/1")
	status := http.StatusCreated
	if repeat {
		status = http.StatusOK
	}
	diJSON(w, status, fhir.OperationOutcome{ResourceType: "OperationOutcome"})
}

func (d *DI) transaction(w http.ResponseWriter, r *http.Request) {
	var b fhir.Bundle
	if err := json.Unmarshal(diWhole(r), &b); err != nil || b.Type != "transaction" {
		diOutcome(w, http.StatusBadRequest, "structure", nil)
		return
	}
	var ref fhir.DocumentReference
	var content []byte
	at := -1
	for i, e := range b.Entry {
		kind := diKind(e.Resource)
		switch {
		case e.Request == nil:
			diOutcome(w, http.StatusBadRequest, "structure", nil)
			return
		case e.Request.Method == "PATCH":
			if fhir.ReadStatus(e.Resource) != "superseded" {
				diOutcome(w, http.StatusBadRequest, "structure", nil)
				return
			}
		case kind == "DocumentReference" && at < 0:
			if json.Unmarshal(e.Resource, &ref) != nil {
				diOutcome(w, http.StatusBadRequest, "structure", nil)
				return
			}
			at = i
		case kind == "Binary":
			var bin struct{ Data []byte }
			err := json.Unmarshal(e.Resource, &bin)
			content = bin.Data
			if err != nil || content == nil {
				diOutcome(w, http.StatusBadRequest, "structure", nil)
				return
			}
		}
	}
	if at < 0 {
		diOutcome(w, http.StatusBadRequest, "required", nil)
		return
	}
	doc, repeat, refusal := d.take(r.Context(), ref, content)
	if refusal != nil {
		diOutcome(w, http.StatusUnprocessableEntity, "business-rule", refusal)
		return
	}
	out := fhir.Bundle{ResourceType: "Bundle", Type: "transaction-response"}
	for i, e := range b.Entry {
		resp := &fhir.Response{Status: "201 Created", Location: strings.Split(e.Request.URL, "/")[0] + "/" + doc.ID + "/_history/1"}
		if repeat && e.Request.IfNoneExist != "" || e.Request.Method == "PATCH" {
			resp.Status = "200 OK"
		}
		if i == at {
			resp.Location = "DocumentReference/" + doc.ID + "/_history/1"
		}
		out.Entry = append(out.Entry, fhir.Entry{Response: resp})
	}
	diJSON(w, http.StatusOK, out)
}

// patch changes the status of a reference: entered-in-error withdraws the document,
// superseded is what a replacement has done already. Other changes are refused.
func (d *DI) patch(w http.ResponseWriter, r *http.Request) {
	body := diWhole(r)
	if !json.Valid(body) {
		diOutcome(w, http.StatusBadRequest, "structure", nil)
		return
	}
	switch fhir.ReadStatus(body) {
	case "entered-in-error":
	case "superseded":
		d.mu.Lock()
		doc := d.byID[r.PathValue("id")]
		done := doc != nil && doc.Replaced != ""
		d.mu.Unlock()
		if !done {
			diOutcome(w, http.StatusConflict, "business-rule", nil)
			return
		}
		diJSON(w, http.StatusOK, fhir.OperationOutcome{ResourceType: "OperationOutcome"})
		return
	default:
		diOutcome(w, http.StatusMethodNotAllowed, "not-supported", nil)
		return
	}
	d.mu.Lock()
	var req diRequest
	if doc := d.byID[r.PathValue("id")]; doc != nil {
		req = diRequest{event: greffe.ActionDelete, number: doc.Number, patient: doc.Patient, title: doc.title, through: "FHIR"}
	}
	d.mu.Unlock()
	if req.number == "" {
		diOutcome(w, http.StatusNotFound, "not-found", nil)
		return
	}
	if _, _, refusal := d.integrate(req); refusal != nil {
		diOutcome(w, http.StatusUnprocessableEntity, "business-rule", refusal)
		return
	}
	diJSON(w, http.StatusOK, fhir.OperationOutcome{ResourceType: "OperationOutcome"})
}

func (d *DI) searchPatient(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	system, value, _ := strings.Cut(r.FormValue("identifier"), "|")
	d.mu.Lock()
	p, ok := d.patients[greffe.OID{Root: strings.TrimPrefix(system, "urn:oid:"), Extension: value}.String()]
	d.mu.Unlock()
	out := fhir.Bundle{ResourceType: "Bundle", Type: "searchset"}
	if ok {
		known := fhir.FromPatient(p)
		known.ID = "p" + value
		b, _ := json.Marshal(known)
		out.Entry = []fhir.Entry{{Resource: b}}
	}
	diJSON(w, http.StatusOK, out)
}

// searchReference finds a document by its own identifier or by that of its entry,
// which only its sender knows: that is the question before a repeat.
func (d *DI) searchReference(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	system, value, _ := strings.Cut(r.FormValue("identifier"), "|")
	id := fhir.Identifier{System: system, Value: value}
	out := fhir.Bundle{ResourceType: "Bundle", Type: "searchset"}
	d.mu.Lock()
	doc := d.documents[diNumber(id)]
	if doc == nil {
		if doc = d.documents[d.accepted[value]]; doc != nil {
			d.stats.Repeats++
			d.note(diRequest{through: "FHIR", number: doc.Number, title: doc.title, patient: doc.Patient}, "déjà reçu", true)
		}
	}
	if doc != nil {
		b, _ := json.Marshal(fhir.DocumentReference{
			ResourceType: "DocumentReference", ID: doc.ID, Status: doc.status(), Identifier: []fhir.Identifier{id},
			Subject: &fhir.Reference{Identifier: diSubject(doc.Patient.INS)},
		})
		out.Entry = []fhir.Entry{{Resource: b}}
	}
	d.mu.Unlock()
	diJSON(w, http.StatusOK, out)
}

func diSubject(ins greffe.OID) *fhir.Identifier {
	i := fhir.Master(ins)
	return &i
}

func (d *DIDocument) status() string {
	switch {
	case d.Deleted:
		return "entered-in-error"
	case d.Replaced != "":
		return "superseded"
	}
	return "current"
}
