package integrator

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
)

const textOtherPatient = "Le document à remplacer ou à supprimer est, dans le DI, celui d'un autre patient : rien n'a été envoyé. Comparer les deux identités avec la cellule d'identitovigilance."

// readFHIRError turns an answer that is not success, or none, into what the queue
// needs to know of it.
func readFHIRError(err error) Result {
	if e, ok := errors.AsType[*fhir.Error](err); ok {
		o := readStatus(e)
		return Result{Outcome: o, Silent: away(e.Status), Stops: o.State == greffe.StateIncident}
	}
	r := Result{Outcome: greffe.Outcome{State: greffe.StateWaiting}, Silent: true}
	switch {
	case errors.Is(err, fhir.ErrToken):
		r.Code, r.Text = "no token", textNoToken
		if e, ok := errors.AsType[*fhir.TokenError](err); ok {
			r.After = e.RetryAfter
		}
	case errors.Is(err, errFile):
		r.Code, r.Text = "no answer", textFiles+" Nouvel essai automatique."
	case errors.Is(err, fhir.ErrNoAnswer):
		r.Code, r.Text = "no answer", textUnreachable
	default:
		r.State, r.Code, r.Silent = greffe.StateIncident, "unwritable", false
		r.Text = "La demande FHIR de ce document ne peut pas être écrite. Prévenir le service informatique."
	}
	return r
}

// away reports whether an answer says nothing about the document: every other one
// would have the same.
func away(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Texts for the queue, of answers that FHIR alone has.
const (
	textNoToken    = "Greffe n'obtient pas son jeton d'accès au DI : le service informatique doit vérifier le fichier du jeton, ou l'adresse et les secrets du serveur d'autorisation. Nouvel essai automatique."
	textIdentity   = "Le DI refuse l'identification de Greffe : le service informatique doit vérifier le jeton ou le certificat. Nouvel essai automatique."
	textConflict   = "Le DI travaille déjà sur ce document : nouvel essai automatique."
	textTwice      = "Le DI détient déjà ce document en plusieurs exemplaires : lui en faire retirer un, puis renvoyer le document."
	textTooLarge   = "Le document est trop volumineux pour le DI : le service informatique doit faire relever sa limite, puis renvoyer le document."
	textStillThere = " Il n'a pas retiré la version précédente : l'y retirer à la main."
	textNoVersion  = "Le DI n'a plus la version précédente à l'adresse qu'il avait donnée : vérifier quelle version du document il détient."
)

// readStatus is the table of what the answers of a DI mean (FHIR R4 §3.1.0.1.9,
// domain §8.2):
//
//	409       it works on the document: later; unless it has it already, which was
//	          looked for before this
//	412, 422  its rules: a person, with its words
//	429, 503  later, at the time it names
//	5xx       later; 501 and 505 are settings of ours
//	other     our message or our address is wrong
//
// An application code of HL7 table 0533 goes before the status: it says what the HL7
// v2 side would say.
func readStatus(e *fhir.Error) greffe.Outcome {
	app, said := "", said(e.Outcome)
	for _, i := range e.Outcome.Issue {
		if i.Details == nil || !i.Grave() {
			continue
		}
		for _, c := range i.Details.Coding {
			if refusals[c.Code] != "" && app == "" {
				app = c.Code
			}
		}
	}
	o := greffe.Outcome{Code: strings.TrimSpace(fmt.Sprint(e.Status, " ", app)), After: e.RetryAfter}
	set := func(state greffe.State, text string) { o.State, o.Text = state, text }
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		set(greffe.StateWaiting, textIdentity)
	case http.StatusRequestTimeout, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests:
		set(greffe.StateWaiting, textLater)
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		set(greffe.StateIncident, technicalFHIR(e.Status, said))
	case http.StatusConflict:
		set(greffe.StateWaiting, textConflict)
		if app != "" || e.Has("business-rule", "duplicate") {
			set(greffe.StateRefused, refusal(app, said))
		}
	case http.StatusRequestEntityTooLarge:
		set(greffe.StateRefused, textTooLarge)
	case http.StatusPreconditionFailed, http.StatusUnprocessableEntity:
		set(greffe.StateRefused, refusal(app, said))
	default:
		switch {
		case app != "":
			set(greffe.StateRefused, refusal(app, said))
		case e.Status >= 500:
			set(greffe.StateWaiting, textLater)
		default: // 400, 404, 405, 406, 410, 415, redirections, a success that is none
			set(greffe.StateIncident, technicalFHIR(e.Status, said))
		}
	}
	return o
}

// said joins the errors of an OperationOutcome; its warnings when it has no error.
func said(o fhir.OperationOutcome) string {
	var grave, other []string
	for _, i := range o.Issue {
		if i.Grave() {
			grave = append(grave, i.Text())
		} else {
			other = append(other, i.Text())
		}
	}
	if len(grave) == 0 {
		grave = other
	}
	return strings.Join(grave, " ; ")
}

func technicalFHIR(status int, said string) string {
	if said != "" {
		said = " « " + short(said) + " »"
	}
	return fmt.Sprintf("Le DI signale une erreur technique %d%s. Prévenir le service informatique.", status, said)
}
