package console

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// placesOf returns what a person may see, never nothing: who may see nothing has a place
// that does not exist. An account lists its places; a professional also has those that
// the configuration gives to their RPPS number. An administrator sees the machine, not
// the documents, whatever the account says.
func (c *Console) placesOf(u index.User) []string {
	var places []string
	switch roles[u.Role] {
	case secretary, auditor:
		places = u.Places
	case professional:
		places = slices.Clone(u.Places)
		if u.RPPS != "" {
			places = append(places, c.cfg.Professionals[u.RPPS]...)
		}
	}
	if len(places) == 0 {
		return []string{index.Nowhere}
	}
	return places
}

// Roles are the roles of accounts, as they are written.
var Roles = []string{"secretary", "professional", "auditor", "admin"}

// PlaceKey is the opaque name of a place in the journal and in addresses.
func PlaceKey(place string) string {
	if place == index.Everywhere {
		return place
	}
	return greffe.MailboxKey(place)
}

// RightsOf says in the journal what an account may do: its role and the keys of its
// places.
func RightsOf(u index.User) string {
	detail := "role=" + u.Role
	for _, p := range u.Places {
		detail += " " + PlaceKey(p)
	}
	return detail
}

// sees reports whether the person may see what was taken from there.
func (v *visit) sees(o greffe.Origin) bool { return len(v.places) > 0 && index.Within(v.places, o) }

// seesMessage reports whether the person may see a message: where it was taken from, or
// where it was passed to.
func (v *visit) seesMessage(m index.Message) bool { return v.sees(m.Origin) || v.sees(m.Queue) }

// seesDocument is seesMessage for a document of it.
func (v *visit) seesDocument(d index.Document) bool { return v.sees(d.Origin) || v.sees(d.Queue) }

// reaches reports whether the person may see something of the mailbox: all of it or a
// folder.
func (v *visit) reaches(mailbox string) bool {
	return slices.ContainsFunc(v.places, func(p string) bool {
		m, _ := index.SplitPlace(p)
		return p == index.Everywhere || m == mailbox
	})
}

// mailboxes returns the mailboxes and folders the person may choose from.
func (c *Console) mailboxes(v *visit) []string {
	var list []string
	for _, p := range v.places {
		switch p {
		case index.Everywhere:
			list = append(list, c.cfg.Mailboxes...)
		case index.Nowhere:
		default:
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// RPPS returns the number in the national register from what a directory or an identity
// provider gives: 11 digits, or the national identifier of a professional, which is 8
// and the number (domain §7). "" for anything else.
func RPPS(s string) string {
	s = strings.Join(strings.Fields(s), "")
	if len(s) == 12 && s[0] == '8' {
		s = s[1:]
	}
	if len(s) != 11 || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}
