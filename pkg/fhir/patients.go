package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"greffe/pkg/greffe"
)

// Extensions of the French patient (FR Core 2).
const (
	extBirthPlace  = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
	extINSEE       = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code"
	extGivens      = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient-birth-list-given-name"
	extReliability = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-identity-reliability"
	communes       = "https://mos.esante.gouv.fr/NOS/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM"
)

// Bounds of a search: of a server that never ends its list, or of a list that
// nobody would read.
const (
	maxPages      = 5
	pageSize      = 20
	maxCandidates = 50
)

// Candidate is a patient as a server knows them.
type Candidate struct {
	Patient   greffe.Patient // what the server did not say is empty
	Reference string         // "Patient/4711"
	// Reliability is the state of the identity (HL7 table 0445: PROV, RECUP, VALI,
	// QUAL …); empty when the server does not say.
	Reliability string
	// Inactive says that the server keeps this entry only as a trace: it was closed, or
	// merged into another one. A document must not go to it.
	Inactive bool
}

// FindPatients returns the patients that the server knows by an INS, at most 50.
// The INS is in the body of each request (POST _search), never in an address.
// A patient of the answer who does not carry that INS is left out: a server that
// does not understand the question may answer with everybody.
func (c *Client) FindPatients(ctx context.Context, ins greffe.OID) ([]Candidate, error) {
	if ins.Root == "" || ins.Extension == "" {
		return nil, nil
	}
	entries, err := c.search(ctx, "Patient", url.Values{"identifier": {Master(ins).Token()}}, ins.Extension)
	if err != nil {
		return nil, err
	}
	var out []Candidate
	for _, e := range entries {
		var p Patient
		if json.Unmarshal(e.Resource, &p) != nil || p.ResourceType != "Patient" || !safeID(p.ID) {
			continue
		}
		if k := p.candidate(); carries(k.Patient, ins) && len(out) < maxCandidates {
			out = append(out, k)
		}
	}
	return out, nil
}

// carries reports whether one of the identifiers of p is the INS.
func carries(p greffe.Patient, ins greffe.OID) bool {
	for _, id := range p.IDs {
		if id.Root == ins.Root && squeeze(id.Extension) == squeeze(ins.Extension) {
			return true
		}
	}
	return false
}

func squeeze(matricule string) string {
	return strings.ToUpper(strings.Join(strings.Fields(matricule), ""))
}

// candidate reads what a server says of a patient.
func (p Patient) candidate() Candidate {
	out := Candidate{Reference: "Patient/" + p.ID, Inactive: p.Active != nil && !*p.Active}
	for _, l := range p.Link {
		out.Inactive = out.Inactive || l.Type == "replaced-by"
	}
	out.Patient = p.Traits()
	for _, e := range p.Extension {
		if e.URL != extReliability {
			continue
		}
		for _, part := range e.Extension {
			if part.URL == "identityStatus" && part.ValueCoding != nil {
				out.Reliability = part.ValueCoding.Code
			}
		}
	}
	return out
}

// Traits returns the patient as a document would name them; what the resource does
// not say is empty.
func (p Patient) Traits() greffe.Patient {
	out := greffe.Patient{BirthDate: strings.ReplaceAll(p.BirthDate, "-", "")}
	for _, i := range p.Identifier {
		id := i.OID()
		if id.IsZero() || i.Use == "old" {
			continue
		}
		out.IDs = append(out.IDs, id)
		if out.INS.IsZero() && isINS(id.Root) {
			out.INS = id
		}
	}
	for _, n := range p.Name {
		switch n.Use {
		case "official", "maiden":
			if out.BirthFamily != "" && n.Use == "maiden" {
				continue
			}
			out.BirthFamily, out.Givens = n.Family, strings.Join(n.Given, " ")
			if len(n.Given) > 0 {
				out.FirstGiven = n.Given[0]
			}
			for _, e := range n.Extension {
				if e.URL == extGivens && e.ValueString != "" {
					out.Givens = e.ValueString
				}
			}
		case "usual":
			out.UsedFamily = n.Family
			if len(n.Given) > 0 {
				out.UsedGiven = n.Given[0]
			}
		}
	}
	switch p.Gender {
	case "male":
		out.Sex = "M"
	case "female":
		out.Sex = "F"
	case "unknown", "other":
		out.Sex = "UN"
	}
	for _, e := range p.Extension {
		if e.URL != extBirthPlace || e.ValueAddress == nil {
			continue
		}
		for _, part := range e.ValueAddress.Extension {
			if part.URL == extINSEE && part.ValueCoding != nil {
				out.BirthPlace = part.ValueCoding.Code
			}
		}
	}
	return out
}

// isINS reports whether an OID is that of an INS, real or of tests (domain §6.1).
func isINS(root string) bool {
	switch root {
	case "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.9", "1.2.250.1.213.1.4.10", "1.2.250.1.213.1.4.11":
		return true
	}
	return false
}

// search posts a search and reads its pages, at most maxPages. secret is part of
// what is searched for: a link to the next page that names it is not followed but
// posted, too.
func (c *Client) search(ctx context.Context, kind string, params url.Values, secret string) ([]Entry, error) {
	params.Set("_count", fmt.Sprint(pageSize))
	var out []Entry
	ask := func() (answer, error) { return c.post(ctx, kind+"/_search", params) }
	for page := 1; ; page++ {
		a, err := ask()
		if err != nil {
			return nil, fmt.Errorf("search %s: %w", kind, err)
		}
		var b Bundle
		if err := json.Unmarshal(a.body, &b); err != nil || b.ResourceType != "Bundle" {
			return nil, fmt.Errorf("search %s: %w: the answer is not a Bundle", kind, ErrNoAnswer)
		}
		for _, e := range b.Entry {
			if e.Search == nil || e.Search.Mode == "" || e.Search.Mode == "match" {
				out = append(out, e)
			}
		}
		next := b.next()
		if next == "" {
			return out, nil
		}
		if page == maxPages || len(out) >= maxCandidates {
			if len(out) > 1 { // enough to know that it is not one
				return out, nil
			}
			return nil, fmt.Errorf("search %s: %w: its pages do not end", kind, ErrNoAnswer)
		}
		path, query, err := c.within(next)
		if err != nil {
			return nil, fmt.Errorf("search %s: %w: next page: %w", kind, ErrNoAnswer, err)
		}
		switch {
		case !strings.Contains(path+query.Encode(), secret):
			ask = func() (answer, error) { return c.do(ctx, request{method: "GET", path: path, query: query}) }
		case path == kind || path == kind+"/_search":
			ask = func() (answer, error) { return c.post(ctx, kind+"/_search", query) }
		default:
			return nil, fmt.Errorf("search %s: %w: the next page has what is searched for in its address", kind, ErrNoAnswer)
		}
	}
}

// post sends a form.
func (c *Client) post(ctx context.Context, path string, form url.Values) (answer, error) {
	body := form.Encode()
	return c.do(ctx, request{method: "POST", path: path, contentType: "application/x-www-form-urlencoded",
		size: int64(len(body)), body: text(body)})
}

// within returns the path below the base, and the query, of an address that the
// server gave. Its host does not count: behind a proxy it may be wrong, and our token
// goes to the base alone.
func (c *Client) within(address string) (path string, query url.Values, err error) {
	base := *c.base
	base.Path = strings.TrimSuffix(base.Path, "/") + "/" // what is relative is relative to the whole base
	u, err := base.Parse(address)
	if err != nil {
		return "", nil, errors.New("it is no address")
	}
	path, ok := strings.CutPrefix(u.Path+"/", base.Path)
	path = strings.Trim(path, "/")
	if !ok || strings.Contains(path, "..") || strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return "", nil, errors.New("it is not below the base")
	}
	if query, err = url.ParseQuery(u.RawQuery); err != nil {
		return "", nil, errors.New("it has no readable query")
	}
	return path, query, nil
}

// plain reports whether r may be in a path that is asked for.
func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._$/", r)
}
