package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"greffe/api"
	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// The JSON API for scripts. It is described by api/openapi.yaml, which a test holds
// together with these routes; it has the rights, the guards and the journal of the pages.

// apiPath is where every route of the API begins.
const apiPath = "/api/"

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, apiPath) }

// apiRoutes are the lines of the table of rights that a token opens, and no session.
func (c *Console) apiRoutes() []route {
	return []route{
		{"GET /api/openapi.yaml", anyone, true, c.apiSpec},
		{"GET /api/v1/queue", token | readers, true, c.apiQueue},
		{"POST /api/v1/queue/search", token | readers, true, c.apiQueueSearch},
		{"GET /api/v1/queue/choices", token | readers, true, c.apiChoices},
		{"GET /api/v1/messages/{id}", token | readers, true, c.apiMessage},
		{"GET /api/v1/messages/{id}/history", token | readers, true, c.apiMessageHistory},
		{"GET /api/v1/messages/{id}/original", token | readers, true, c.apiOriginal},
		{"GET /api/v1/messages/{id}/parts/{n}", token | readers, true, c.apiPart},
		{"POST /api/v1/messages/{id}/decisions", token | secretary, true, c.apiTriage},
		{"GET /api/v1/documents/{id}", token | readers, true, c.apiDocument},
		{"GET /api/v1/documents/{id}/history", token | readers, true, c.apiDocumentHistory},
		{"GET /api/v1/documents/{id}/content", token | readers, true, c.apiContent},
		{"GET /api/v1/documents/{id}/readable", token | readers, true, c.apiReadable},
		{"GET /api/v1/documents/{id}/candidates", token | secretary, true, c.apiCandidates},
		{"POST /api/v1/documents/{id}/decisions", token | secretary, true, c.apiDecide},
		{"POST /api/v1/search", token | readers, true, c.apiSearch},
		{"POST /api/v1/journal/search", token | auditor, true, c.apiJournal},
		{"GET /api/v1/health", token | admin, true, c.apiHealth},
	}
}

// apiUnknown answers what is under /api/ and in no line of the table: a method that the
// address does not have is told apart from an address that does not exist.
func (c *Console) apiUnknown(mux *http.ServeMux) http.Handler {
	return c.guard(route{pattern: apiPath, who: anyone, quiet: true, handle: func(w http.ResponseWriter, r *http.Request, _ *visit) error {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); strings.HasPrefix(pattern, method+" ") {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			return errNothing
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return errMethod
	}})
}

// What a request of a script may end with besides what ends those of a page.
var (
	errToken     = errors.New("console: no token, or none that is valid")
	errLockedOut = errors.New("console: too many wrong tokens from there")
	errRate      = errors.New("console: too many requests with one token")
	errMethod    = errors.New("console: the address does not have this method")
	errMedia     = errors.New("console: JSON expected")
	errRevision  = errors.New("console: revision not given")
	errKey       = errors.New("console: no idempotency key, or one that is not well formed")
)

// fieldError says which fields of a request must be corrected.
type fieldError struct{ fields map[string]string }

func (fieldError) Error() string { return "console: fields to correct" }

// problem is an answer of RFC 9457: what went wrong, in a sentence.
type problem struct {
	Type   string            `json:"type"` // always about:blank: code says which it is
	Title  string            `json:"title"`
	Status int               `json:"status"`
	Code   string            `json:"code"`
	Detail string            `json:"detail"`
	Fields map[string]string `json:"fields,omitempty"`
}

// problemCodes name the errors that a script may meet; what is in none of them is
// "internal". The first that fits counts.
var problemCodes = []struct {
	err  error
	code string
}{
	{errToken, "token"}, {errLockedOut, "locked-out"}, {errRate, "rate"}, {errMethod, "method"}, {errMedia, "media-type"}, {errRevision, "revision-missing"}, {errKey, "key"},
	{index.ErrKeyReused, "key-reused"}, {index.ErrKeyBusy, "key-busy"}, {errTaken, "taken"}, {errFirst, "first"}, {errState, "state"}, {errApproval, "approval"}, {errMasked, "masked"},
	{errSuspect, "suspect"}, {errForbidden, "forbidden"}, {errCrossOrigin, "cross-origin"}, {errNothing, "not-found"}, {index.ErrNotFound, "not-found"}, {bus.ErrNotFound, "not-found"},
	{archive.ErrDigest, "damaged"}, {archive.ErrNotFound, "missing"}, {errBadInput, "request"},
}

// apiError turns an error into a status and a sentence, for those that no page ends
// with; false for the others.
func apiError(w http.ResponseWriter, err error) (errorPage, bool) {
	var bad fieldError
	var taken takenError
	switch {
	case errors.Is(err, errToken):
		w.Header().Set("WWW-Authenticate", `Bearer realm="greffe"`)
		return errorPage{http.StatusUnauthorized, "Jeton nécessaire", "Aucun jeton valable n’accompagne la demande, ou il est expiré ou révoqué. Donnez-le dans l’en-tête « Authorization: Bearer … » ; un administrateur en crée dans Système → Jetons, ou par « greffe tokens add »."}, true
	case errors.Is(err, errLockedOut):
		w.Header().Set("Retry-After", strconv.Itoa(int(attemptWindow/time.Second)))
		return errorPage{http.StatusTooManyRequests, "Trop d’essais", "Trop de jetons inconnus sont venus de cette adresse. Un jeton valable y est toujours accepté ; les autres essais sont refusés pendant 15 minutes."}, true
	case errors.Is(err, errRate):
		w.Header().Set("Retry-After", "1")
		return errorPage{http.StatusTooManyRequests, "Trop de demandes", fmt.Sprintf("Ce jeton dépasse %d demandes par seconde. Attendez une seconde, puis répétez la demande.", apiRate)}, true
	case errors.Is(err, errMethod):
		return errorPage{http.StatusMethodNotAllowed, "Méthode refusée", "Cette adresse existe, mais pas avec cette méthode : voyez l’en-tête Allow et /api/openapi.yaml."}, true
	case errors.Is(err, errMedia):
		return errorPage{http.StatusUnsupportedMediaType, "JSON attendu", "Envoyez le corps de la demande en JSON, avec l’en-tête « Content-Type: application/json »."}, true
	case errors.Is(err, errRevision):
		return errorPage{http.StatusPreconditionRequired, "Révision nécessaire", "Donnez dans « revision » celle de l’élément sur lequel porte la décision, telle que vous l’avez lue : une décision ne porte jamais sur ce qui n’a pas été vu."}, true
	case errors.Is(err, errKey):
		return errorPage{http.StatusBadRequest, "Clé nécessaire", "Donnez dans l’en-tête « Idempotency-Key » une valeur propre à cette décision (8 à 200 caractères ASCII visibles, par exemple un UUID), et la même en cas de répétition."}, true
	case errors.Is(err, index.ErrKeyReused):
		return errorPage{http.StatusUnprocessableEntity, "Clé déjà utilisée", "Cette valeur de « Idempotency-Key » a déjà servi à une autre demande. Choisissez-en une nouvelle."}, true
	case errors.Is(err, index.ErrKeyBusy):
		w.Header().Set("Retry-After", "5")
		return errorPage{http.StatusConflict, "Demande en cours", "Une demande qui porte cette clé est en cours. Répétez-la dans quelques secondes : vous en aurez la réponse."}, true
	case errors.As(err, &taken):
		return errorPage{http.StatusConflict, "Déjà ouvert par une autre personne", taken.by.Name + " a ouvert ce message pour en décider. Rien n’a été décidé ; répétez la demande plus tard."}, true
	case errors.As(err, &bad):
		return errorPage{http.StatusUnprocessableEntity, "Demande à corriger", "Un champ au moins est à corriger ; rien n’a été fait. Voyez « fields »."}, true
	}
	return errorPage{}, false
}

// writeProblem is renderError for a script.
func (c *Console) writeProblem(w http.ResponseWriter, e errorPage, err error) {
	p := problem{Type: "about:blank", Title: e.Heading, Status: e.Status, Code: "internal", Detail: e.Text}
	var tooLarge *http.MaxBytesError
	if _, gone := errors.AsType[erasedError](err); gone {
		p.Code = "erased"
	} else if errors.As(err, &tooLarge) {
		p.Code = "too-large"
	} else if bad, ok := errors.AsType[fieldError](err); ok {
		p.Code, p.Fields = "fields", bad.fields
	} else if i := slices.IndexFunc(problemCodes, func(k struct {
		err  error
		code string
	}) bool {
		return errors.Is(err, k.err)
	}); i >= 0 {
		p.Code = problemCodes[i].code
	}
	h := w.Header()
	for _, name := range []string{"Content-Disposition", "Content-Length", "ETag", "Repr-Digest"} {
		h.Del(name)
	}
	b, jerr := json.Marshal(p)
	if jerr != nil {
		http.Error(w, e.Heading, e.Status)
		return
	}
	respond(w, "application/problem+json", e.Status, bytes.NewBuffer(b))
}

// answerJSON writes v, unless the script has it already (If-None-Match, RFC 9110 §13.1.2).
func answerJSON(w http.ResponseWriter, r *http.Request, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	if status == http.StatusOK {
		tag := `"` + string(greffe.DigestOf(b)[:32]) + `"`
		w.Header().Set("ETag", tag)
		if sameTag(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	return respond(w, "application/json", status, bytes.NewBuffer(append(b, '\n')))
}

func sameTag(header, tag string) bool {
	for t := range strings.SplitSeq(header, ",") {
		if strings.TrimPrefix(strings.TrimSpace(t), "W/") == tag {
			return true
		}
	}
	return false
}

// readJSON reads the body of a request into v: one object, of known fields only.
func readJSON(r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return errMedia
	}
	return decodeJSON(r.Body, v)
}

func decodeJSON(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return badBody(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errBadInput
	}
	return nil
}

// badBody is what ends a request whose body could not be read: too large, or no JSON.
func badBody(err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return err
	}
	return errors.Join(errBadInput, err)
}

// apiSpec gives the description of the API itself: it holds nothing of anybody.
func (c *Console) apiSpec(w http.ResponseWriter, r *http.Request, _ *visit) error {
	h := w.Header()
	h.Set("Content-Type", "application/yaml")
	h.Set("ETag", `"`+string(greffe.DigestOf(api.OpenAPI)[:32])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(api.OpenAPI))
	return nil
}
