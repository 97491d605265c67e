package integrator

import (
	"context"
	"crypto/sha1" // FHIR R4 asks for it in attachment.hash; our own proof is SHA-256
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
)

// fhirSender creates document references on a FHIR R4 server.
type fhirSender struct {
	client   *fhir.Client
	console  string
	mhd      bool
	delete   bool
	sourceID string
}

func newFHIRSender(d DI, cfg Config) (*fhirSender, error) {
	var tc *tls.Config
	var err error
	if d.FHIR.CA != "" || d.FHIR.Certificate != "" {
		if tc, err = tlsConfig(d.FHIR.CA, d.FHIR.Certificate); err != nil {
			return nil, err
		}
	}
	s := &fhirSender{console: strings.TrimSuffix(cfg.ConsoleURL, "/"), sourceID: d.FHIR.SourceID}
	switch d.FHIR.Mode {
	case "mhd":
		s.mhd = true
	case "", "reference":
		if u, err := url.Parse(s.console); err != nil || u.Host == "" {
			return nil, fmt.Errorf("console address %q: the reference mode needs http(s)://host", cfg.ConsoleURL)
		}
	default:
		return nil, fmt.Errorf("fhir mode %q: want reference or mhd", d.FHIR.Mode)
	}
	switch d.FHIR.Deletion {
	case "", "ask":
	case "entered-in-error":
		s.delete = true
	default:
		return nil, fmt.Errorf("fhir deletion %q: want ask or entered-in-error", d.FHIR.Deletion)
	}
	s.client, err = fhir.New(fhir.Config{Base: d.FHIR.Base, TLS: tc, Token: d.FHIR.TokenFile, Timeout: d.FHIR.Timeout})
	return s, err
}

func (s *fhirSender) Close()                         { s.client.Close() }
func (s *fhirSender) Ping(ctx context.Context) error { return s.client.Ping(ctx) }

// FindPatients asks the DI by a search whose INS is in no address.
func (s *fhirSender) FindPatients(ctx context.Context, ins greffe.OID) ([]fhir.Candidate, error) {
	return s.client.FindPatients(ctx, ins)
}

func (s *fhirSender) Send(ctx context.Context, d Delivery) (Result, error) {
	said, err := s.send(ctx, d)
	o := Result{Outcome: said}
	if err != nil {
		if ours(ctx, err) {
			return Result{}, err
		}
		o.Outcome = readFHIRError(err)
		var answer *fhir.Error
		o.Silent = errors.Is(err, fhir.ErrNoAnswer) ||
			errors.As(err, &answer) && (answer.Status == 401 || answer.Status == 403 || answer.Status >= 502 && answer.Status <= 504)
		o.Stops = o.State == greffe.StateIncident && answer != nil
	}
	o.Control = d.UUID
	if o.Action == "" {
		o.Action = "POST"
	}
	return o, nil
}

func (s *fhirSender) send(ctx context.Context, d Delivery) (greffe.Outcome, error) {
	if d.Action == greffe.ActionDelete {
		return s.withdraw(ctx, d)
	}
	sum, err := sha1Of(d)
	if err != nil {
		return greffe.Outcome{}, err
	}
	sub := &fhir.Submission{
		Document: d.Facts, UUID: d.UUID, SHA1: sum, At: d.At, SourceID: s.sourceID,
		URL: s.console + "/di/documents/" + url.PathEscape(string(d.ID)),
	}
	if d.Action == greffe.ActionReplace {
		if sub.Replaces, err = s.parent(ctx, d); err != nil {
			return greffe.Outcome{}, err
		}
		if sub.Replaces == "" {
			return greffe.Outcome{State: greffe.StateRefused, Code: "900", Text: refusals["900"]}, nil
		}
	}
	var r fhir.Result
	switch {
	case s.mhd:
		r, err = s.client.Provide(ctx, sub.Provide(&fhir.Blob{Size: d.Size, Open: d.Open}))
	case sub.Replaces != "": // the old one is superseded in the same breath
		r, err = s.client.Provide(ctx, sub.Provide(nil))
	default:
		r, err = s.client.Create(ctx, "DocumentReference", sub.Reference(), sub.IfNoneExist())
	}
	if err != nil {
		return greffe.Outcome{}, err
	}
	o := delivered(d, warnings(r.Warnings))
	o.Code, o.Reference = fmt.Sprint(r.Status), r.Location
	return o, nil
}

// parent returns the address of the reference to replace: the one the DI gave,
// else the one it finds; "" when it knows none.
func (s *fhirSender) parent(ctx context.Context, d Delivery) (string, error) {
	if d.ParentReference != "" {
		return d.ParentReference, nil
	}
	return s.client.FindReference(ctx, fhir.Master(d.Parent))
}

// withdraw marks the reference as entered in error, where that was agreed.
func (s *fhirSender) withdraw(ctx context.Context, d Delivery) (greffe.Outcome, error) {
	if !s.delete {
		return greffe.Outcome{State: greffe.StateTodo, Code: "fhir.deletion", Action: "PATCH",
			Text: "L'émetteur supprime ce document. Le profil FHIR ne prévoit pas la suppression : le retirer à la main dans le DI."}, nil
	}
	where := d.Reference
	if where == "" {
		var err error
		if where, err = s.client.FindReference(ctx, fhir.Master(d.Facts.UniqueID)); err != nil {
			return greffe.Outcome{}, err
		}
	}
	if where == "" {
		return greffe.Outcome{State: greffe.StateRefused, Code: "900", Action: "PATCH", Text: refusals["900"]}, nil
	}
	r, err := s.client.Patch(ctx, where, fhir.Setting("DocumentReference.status", "entered-in-error"))
	if err != nil {
		o := readFHIRError(err)
		o.Action = "PATCH"
		if ours(ctx, err) {
			return greffe.Outcome{}, err
		}
		return o, nil
	}
	o := delivered(d, warnings(r.Warnings))
	o.Code, o.Reference, o.Action = fmt.Sprint(r.Status), where, "PATCH"
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

// readFHIRError turns an answer that is not success, or none, into an outcome.
func readFHIRError(err error) greffe.Outcome {
	var e *fhir.Error
	if !errors.As(err, &e) {
		if errors.Is(err, fhir.ErrNoAnswer) {
			return greffe.Outcome{State: greffe.StateWaiting, Code: "no answer", Text: textUnreachable}
		}
		return greffe.Outcome{State: greffe.StateIncident, Code: "unwritable", Text: "La demande FHIR de ce document ne peut pas être écrite. Prévenir le service informatique."}
	}
	app, said := "", ""
	for _, i := range e.Outcome.Issue {
		if i.Severity != "error" && i.Severity != "fatal" {
			continue
		}
		if said == "" {
			said = i.Text()
		}
		if i.Details != nil {
			for _, c := range i.Details.Coding {
				if refusals[c.Code] != "" && app == "" {
					app = c.Code
				}
			}
		}
	}
	o := greffe.Outcome{Code: strings.TrimSpace(fmt.Sprint(e.Status, " ", app)), After: e.RetryAfter}
	switch {
	case e.Status == 401 || e.Status == 403:
		o.State = greffe.StateWaiting
		o.Text = "Le DI refuse l'identification de Greffe : le service informatique doit vérifier le jeton ou le certificat. Nouvel essai automatique."
	case e.Status == 408 || e.Status == 423 || e.Status == 425 || e.Status == 429 || e.Status >= 500:
		o.State, o.Text = greffe.StateWaiting, textLater
	case app != "" || e.Status == 409 || e.Status == 412 || e.Status == 422:
		o.State, o.Text = greffe.StateRefused, refusal(app, said)
	default: // 400, 404, 405, 406, 410, 413, 415 and redirections: our message or our address is wrong
		o.State = greffe.StateIncident
		o.Text = fmt.Sprintf("Le DI signale une erreur technique %d. Prévenir le service informatique.", e.Status)
	}
	return o
}
