package integrator

import (
	"context"
	"crypto/sha1" // FHIR R4 asks for it in attachment.hash; our own proof is SHA-256
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
)

// fhirSender creates document references on a FHIR R4 server.
type fhirSender struct {
	client   *fhir.Client
	console  string
	mode     string // reference, mhd, simplified
	delete   bool
	sourceID string
	patch    fhir.PatchForm
}

func newFHIRSender(d DI, cfg Config) (*fhirSender, error) {
	var tc func() (*tls.Config, error)
	var err error
	if d.FHIR.CA != "" || d.FHIR.Certificate != "" {
		if tc, err = tlsConfig(d.FHIR.CA, d.FHIR.Certificate); err != nil {
			return nil, err
		}
	}
	s := &fhirSender{
		console: strings.TrimSuffix(cfg.ConsoleURL, "/"), mode: d.FHIR.Mode, sourceID: d.FHIR.SourceID,
		patch: fhir.PatchForm(d.FHIR.Patch), delete: d.FHIR.Deletion == "entered-in-error",
	}
	switch s.mode {
	case "mhd", "simplified":
	case "", "reference":
		s.mode = "reference"
		if u, err := url.Parse(s.console); err != nil || u.Host == "" {
			return nil, fmt.Errorf("console address %q: the reference mode needs http(s)://host", cfg.ConsoleURL)
		}
	default:
		return nil, fmt.Errorf("fhir mode %q: want reference, mhd or simplified", d.FHIR.Mode)
	}
	if d.FHIR.Deletion != "" && d.FHIR.Deletion != "ask" && !s.delete {
		return nil, fmt.Errorf("fhir deletion %q: want ask or entered-in-error", d.FHIR.Deletion)
	}
	if s.patch != "" && s.patch != fhir.PatchFHIRPath && s.patch != fhir.PatchJSON {
		return nil, fmt.Errorf("fhir patch %q: want fhirpath or json", d.FHIR.Patch)
	}
	c := fhir.Config{Base: d.FHIR.Base, TLS: tc, Token: d.FHIR.TokenFile, Timeout: d.FHIR.Timeout, Conns: d.FHIR.Connections}
	if d.FHIR.OAuth.TokenURL != "" {
		c.OAuth = &d.FHIR.OAuth
	}
	s.client, err = fhir.New(c)
	return s, err
}

func (s *fhirSender) Close()                         { s.client.Close() }
func (s *fhirSender) Ping(ctx context.Context) error { return s.client.Ping(ctx) }

// FindPatients asks the DI by a search whose INS is in no address.
func (s *fhirSender) FindPatients(ctx context.Context, ins greffe.OID) ([]fhir.Candidate, error) {
	return s.client.FindPatients(ctx, ins)
}

func (s *fhirSender) Send(ctx context.Context, d Delivery) (Result, error) {
	do, action := s.put, "POST"
	if d.Action == greffe.ActionDelete {
		do, action = s.withdraw, "PATCH"
	}
	said, err := do(ctx, d)
	r := Result{Outcome: said}
	if err != nil {
		if ours(ctx, err) {
			return Result{}, err
		}
		r = readFHIRError(err)
	}
	r.Control, r.Action = d.UUID, action
	return r, nil
}

// put creates the reference of a document, in place of another one when it replaces.
func (s *fhirSender) put(ctx context.Context, d Delivery) (greffe.Outcome, error) {
	sum, err := sha1Of(d)
	if err != nil {
		return greffe.Outcome{}, err
	}
	sub := &fhir.Submission{
		Document: d.Facts, UUID: d.UUID, SHA1: sum, At: d.At, SourceID: s.sourceID, Patient: d.PatientReference, Patch: s.patch,
		URL: s.console + "/di/documents/" + url.PathEscape(string(d.ID)),
	}
	// A Binary cannot be created on a condition: a repeat would leave a second copy. In
	// a replacement, the parent of a repeat is superseded already and may be refused.
	if s.mode == "mhd" || d.Action == greffe.ActionReplace {
		if o, err := s.before(ctx, d, sub); err != nil || o.State != "" {
			return o, err
		}
	}
	if d.Action == greffe.ActionReplace {
		var o greffe.Outcome
		if sub.Replaces, o, err = s.parent(ctx, d); err != nil || o.State != "" {
			return o, err
		}
	}
	r, err := s.post(ctx, d, sub)
	if gone(err) && sub.Replaces != "" && sub.Replaces == d.ParentReference { // it may have moved
		var o greffe.Outcome
		if sub.Replaces, o, err = s.find(ctx, fhir.Master(d.Parent), d.Facts.Patient); err != nil || o.State != "" {
			return o, err
		}
		r, err = s.post(ctx, d, sub)
	}
	if err == nil {
		return s.accepted(ctx, d, sub, r)
	}
	if e, ok := errors.AsType[*fhir.Error](err); ok && e.Duplicate() {
		if o, err := s.before(ctx, d, sub); err != nil || o.State != "" {
			return o, err
		}
	}
	return greffe.Outcome{}, err
}

// gone reports whether the DI no longer has what a request is about.
func gone(err error) bool {
	e, ok := errors.AsType[*fhir.Error](err)
	return ok && (e.Status == http.StatusNotFound || e.Status == http.StatusGone)
}

// post sends the document in the way of the mode.
func (s *fhirSender) post(ctx context.Context, d Delivery, sub *fhir.Submission) (fhir.Result, error) {
	blob := &fhir.Blob{Size: d.Size, Open: d.Open}
	switch {
	case s.mode == "mhd":
		return s.client.Provide(ctx, sub.Provide(blob))
	case s.mode == "simplified":
		return s.client.Create(ctx, sub.Create(blob))
	case sub.Replaces != "": // the old one is superseded in the same breath
		return s.client.Provide(ctx, sub.Provide(nil))
	}
	return s.client.Create(ctx, sub.Create(nil))
}

// before looks for what an earlier try has left at the DI, by the identifier that is
// the same for each repeat. An outcome without state says that there is nothing.
func (s *fhirSender) before(ctx context.Context, d Delivery, sub *fhir.Submission) (greffe.Outcome, error) {
	found, err := s.client.FindReferences(ctx, sub.Entry())
	switch {
	case err != nil || len(found) == 0:
		return greffe.Outcome{}, err
	case len(found) > 1:
		return greffe.Outcome{State: greffe.StateRefused, Code: "412", Text: textTwice}, nil
	}
	return s.accepted(ctx, d, sub, fhir.Result{Status: http.StatusOK, Location: found[0].Location, Existed: true})
}

// accepted is the outcome of a success.
func (s *fhirSender) accepted(ctx context.Context, d Delivery, sub *fhir.Submission, r fhir.Result) (greffe.Outcome, error) {
	o := delivered(d, warnings(r.Issues))
	o.Code, o.Reference = fmt.Sprint(r.Status), r.Location
	if d.Action != greffe.ActionReplace {
		return o, nil
	}
	done := !partial(r.Issues)
	if s.mode == "simplified" {
		var err error
		if done, err = s.supersede(ctx, d, sub.Replaces, r.Location); err != nil {
			return greffe.Outcome{}, err
		}
	}
	if !done {
		o.Text += textStillThere
	}
	return o, nil
}

// partial reports whether the DI took the document but not the replacement (MHD
// ITI-65, §2:3.65.4.1.3).
func partial(issues []fhir.Issue) bool {
	return slices.ContainsFunc(issues, func(i fhir.Issue) bool {
		if i.Details != nil && slices.ContainsFunc(i.Details.Coding, func(c fhir.Coding) bool { return c.Code == partialReplace }) {
			return true
		}
		return strings.Contains(i.Text(), partialReplace)
	})
}

const partialReplace = "PartialReplaceContentNotProcessed"

// supersede sets the status of the parent. The simplified mode has no transaction: it
// is done after the new reference is there, so that a crash in between leaves both,
// and the repeat does what is missing. It reports false when the DI cannot.
func (s *fhirSender) supersede(ctx context.Context, d Delivery, where, but string) (bool, error) {
	if where == "" {
		where = d.ParentReference
	}
	if where == "" { // a repeat: it was not looked for
		found, err := s.client.FindReferences(ctx, fhir.Master(d.Parent))
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(found, func(f fhir.Found) bool { return f.Status == "current" && f.Location != but })
		if i < 0 {
			return true, nil
		}
		where = found[i].Location
	}
	_, err := s.client.SetStatus(ctx, where, "superseded", s.patch)
	if err != nil && !ours(ctx, err) && readFHIRError(err).State != greffe.StateWaiting {
		return false, nil // asking again would not help
	}
	return true, err
}

// parent returns the address of the reference to replace: the one the DI gave, else
// the one it finds. An outcome with a state says why there is none.
func (s *fhirSender) parent(ctx context.Context, d Delivery) (string, greffe.Outcome, error) {
	if d.ParentReference != "" {
		return d.ParentReference, greffe.Outcome{}, nil
	}
	return s.find(ctx, fhir.Master(d.Parent), d.Facts.Patient)
}

// find returns the address of the one current reference with an identifier, unless
// it is another patient's.
func (s *fhirSender) find(ctx context.Context, id fhir.Identifier, patient greffe.Patient) (string, greffe.Outcome, error) {
	found, err := s.client.FindReferences(ctx, id)
	if err != nil {
		return "", greffe.Outcome{}, err
	}
	var current []fhir.Found
	for _, f := range found {
		if f.Status == "current" {
			current = append(current, f)
		}
	}
	if len(current) != 1 {
		return "", greffe.Outcome{State: greffe.StateRefused, Code: "900", Text: refusals["900"]}, nil
	}
	if i := current[0].Subject.Identifier; i != nil && !patient.INS.IsZero() {
		if of := i.OID(); of.Root == patient.INS.Root && of.Extension != patient.INS.Extension {
			return "", greffe.Outcome{State: greffe.StateRefused, Code: "904", Text: textOtherPatient}, nil
		}
	}
	return current[0].Location, greffe.Outcome{}, nil
}

// withdraw marks the reference as entered in error, where that was agreed.
func (s *fhirSender) withdraw(ctx context.Context, d Delivery) (greffe.Outcome, error) {
	if !s.delete {
		return greffe.Outcome{State: greffe.StateTodo, Code: "fhir.deletion",
			Text: "L'émetteur supprime ce document. Le profil FHIR ne prévoit pas la suppression : le retirer à la main dans le DI."}, nil
	}
	where := d.Reference
	if where == "" {
		var refused greffe.Outcome
		var err error
		if where, refused, err = s.find(ctx, fhir.Master(d.Facts.UniqueID), d.Facts.Patient); err != nil || refused.State != "" {
			return refused, err
		}
	}
	r, err := s.client.SetStatus(ctx, where, "entered-in-error", s.patch)
	if gone(err) {
		return greffe.Outcome{State: greffe.StateRefused, Code: "900", Text: textNoVersion}, nil
	}
	if err != nil {
		return greffe.Outcome{}, err
	}
	o := delivered(d, warnings(r.Issues))
	o.Code, o.Reference = fmt.Sprint(r.Status), where
	return o, nil
}

// sha1Of reads the archived bytes once, which also checks them.
func sha1Of(d Delivery) ([]byte, error) {
	f, err := d.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha1.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// warnings joins what a server said besides success. A replacement that a server
// only half understood is told this way.
func warnings(issues []fhir.Issue) string {
	var out []string
	for _, i := range issues {
		if i.Severity != "information" && i.Severity != "success" && i.Text() != "" {
			out = append(out, i.Text())
		}
	}
	return strings.Join(out, " ; ")
}
