package console

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"greffe/pkg/index"
)

// OIDCRule gives rights to the persons for whom a claim has a value.
type OIDCRule struct {
	Claim  string   // path of the claim, its steps separated by dots; lists are looked through
	Value  string   // that it must have; "*": any
	Role   string   // one of Roles; "": only places
	Places []string // as index.Everywhere names them
}

// claims are what a provider says of a person: the ID token and the user info.
type claims map[string]any

// oidcPerson is a person as the rules read the claims.
type oidcPerson struct {
	Subject string
	Login   string
	Name    string
	RPPS    string
	Role    string // "" when no rule gives one
	Places  []string
}

// values returns the values at a path. A key that itself holds dots (a URL) is found
// too: the longest key that fits is taken first.
func (c claims) values(path string) []string { return valuesAt(map[string]any(c), path, 0) }

const maxClaimDepth = 20

func valuesAt(v any, path string, depth int) (out []string) {
	if depth > maxClaimDepth {
		return nil
	}
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			out = append(out, valuesAt(x, path, depth+1)...)
		}
	case map[string]any:
		for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '.') {
			if x, ok := v[path[:end]]; ok {
				return valuesAt(x, strings.TrimPrefix(path[end:], "."), depth+1)
			}
		}
	case string:
		if path == "" {
			return []string{v}
		}
	case json.Number:
		if path == "" {
			return []string{v.String()}
		}
	case float64:
		if path == "" {
			return []string{strconv.FormatFloat(v, 'f', -1, 64)}
		}
	case bool:
		if path == "" {
			return []string{strconv.FormatBool(v)}
		}
	}
	return out
}

// first returns the first value at a path, "" for none.
func (c claims) first(path string) string {
	if path == "" {
		return ""
	}
	if v := c.values(path); len(v) > 0 {
		return v[0]
	}
	return ""
}

// identify reads the claims by the rules. The role is the one of the first rule that
// gives one; the places are those of all rules that hold.
func (o *OIDC) identify(c claims) oidcPerson {
	p := oidcPerson{Subject: c.first("sub"), Login: loginOf(c.first(o.LoginClaim)), Name: strings.TrimSpace(c.first(o.NameClaim)), RPPS: RPPS(c.first(o.RPPSClaim))}
	if p.Name == "" {
		p.Name = strings.TrimSpace(c.first("given_name") + " " + c.first("family_name"))
	}
	for _, r := range o.Rules {
		values := c.values(r.Claim)
		if len(values) == 0 || r.Value != "*" && !slices.Contains(values, r.Value) {
			continue
		}
		if p.Role == "" {
			p.Role = r.Role
		}
		for _, place := range r.Places {
			if !slices.Contains(p.Places, place) {
				p.Places = append(p.Places, place)
			}
		}
	}
	return p
}

// loginOf returns a name from outside as a login: in lower case, without what cannot be
// read in the journal; "" when it is none, or one that a service of Greffe signs with.
func loginOf(s string) string {
	if !utf8.ValidString(s) {
		return ""
	}
	s = strings.ToLower(strings.TrimSpace(s))
	if s == "" || utf8.RuneCountInString(s) > maxLoginName || index.IsTokenActor(s) ||
		strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return ""
	}
	if _, service := serviceWords[s]; service {
		return ""
	}
	return s
}
