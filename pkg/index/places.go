package index

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// A place is where messages are taken from, as accounts and filters name it: the
// address of a mailbox, or an address and one folder of it (address/folder: the domain
// of an address holds no "/"). Everywhere is all of them.
const (
	Everywhere = "*"
	Nowhere    = "" // no mailbox has this address: a filter with it alone finds nothing
)

// SplitPlace returns the mailbox of a place and its folder, "" for the whole mailbox.
func SplitPlace(place string) (mailbox, folder string) {
	at := strings.Index(place, "@")
	if at < 0 {
		return place, ""
	}
	domain, folder, _ := strings.Cut(place[at:], "/")
	return place[:at] + domain, folder
}

// Within reports whether a message taken from o is in one of the places. No places are
// no filter: everything is within.
func Within(places []string, o greffe.Origin) bool {
	if len(places) == 0 {
		return true
	}
	return slices.ContainsFunc(places, func(p string) bool {
		if p == Everywhere {
			return true
		}
		mailbox, folder := SplitPlace(p)
		return mailbox == o.Mailbox && (folder == "" || folder == o.Folder)
	})
}

// apart returns places none of which holds another, so that no row is found twice;
// nil for everywhere.
func apart(places []string) []string {
	if slices.Contains(places, Everywhere) {
		return nil
	}
	var list []string
	for _, p := range places {
		mailbox, folder := SplitPlace(p)
		if !slices.Contains(list, p) && (folder == "" || !slices.Contains(places, mailbox)) {
			list = append(list, p)
		}
	}
	return list
}

// columns say where a row stands.
type columns struct{ mailbox, folder string }

// placeConditions returns one condition for each place.
func placeConditions(a *arguments, places []string, c columns) []string {
	var list []string
	for _, p := range apart(places) {
		mailbox, name := SplitPlace(p)
		where := c.mailbox + " = " + a.add(mailbox)
		if name != "" {
			where += " AND " + c.folder + " = " + a.add(name)
		}
		list = append(list, where)
	}
	return list
}

// inPlaces returns the conditions as one, beginning with AND; "" for no places. Whole
// mailboxes are one list, which an index on mailbox answers.
func inPlaces(a *arguments, places []string, in columns) string {
	var whole, parts []string
	for _, p := range apart(places) {
		if _, name := SplitPlace(p); name == "" {
			whole = append(whole, p)
		} else {
			parts = append(parts, p)
		}
	}
	var list []string
	if len(whole) > 0 {
		list = append(list, in.mailbox+" IN ("+marks(a, whole)+")")
	}
	for _, c := range placeConditions(a, parts, in) {
		list = append(list, "("+c+")")
	}
	if len(list) == 0 {
		return ""
	}
	return " AND (" + strings.Join(list, " OR ") + ")"
}

// Where the rows of each table stand. A message stands in the queue of its desk and
// tray: the mailbox and folder it was taken from, until a person passes it on.
var (
	messagePlace = columns{"desk", "tray"}
	originPlace  = columns{"mailbox", "folder"}
	tally        = columns{mailbox: "mailbox"} // whole mailboxes only
)

// inEither is inPlaces for where a document was taken from or where it was passed to.
func inEither(a *arguments, places []string) string {
	from := strings.TrimPrefix(inPlaces(a, places, originPlace), " AND ")
	if from == "" {
		return ""
	}
	return " AND (" + from + " OR " + strings.TrimPrefix(inPlaces(a, places, messagePlace), " AND ") + ")"
}
