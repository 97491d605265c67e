package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// filter is what a page of the queue shows, as its address says it. Nothing in it names
// a person: a mailbox, a folder, a service and a sender are opaque keys, a text is the
// name of what the session keeps.
type filter struct {
	Tab     string       // slug; "" for all
	Cause   greffe.Cause // of the tab « à traiter »
	Which   string       // of the same tab: "plus-tard" or "moi"
	Box     string       // key of a mailbox or folder
	Service string       // key of a service
	Type    string       // code of a type of document
	Sender  string       // key of a sender
	Age     string       // see ages
	Q       string       // name of a text in the session
	Before  string       // cursor
}

// age is one choice of the filter on how long ago something came.
type ageChoice struct {
	Key, Label string
	From, To   time.Duration // ago; zero: no bound
}

var ages = []ageChoice{
	{"1", "depuis 24 heures", 24 * time.Hour, 0},
	{"7", "depuis 7 jours", 7 * 24 * time.Hour, 0},
	{"plus-1", "de plus d’un jour", 0, 24 * time.Hour},
	{"plus-3", "de plus de 3 jours", 0, 3 * 24 * time.Hour},
	{"plus-7", "de plus de 7 jours", 0, 7 * 24 * time.Hour},
	{"plus-30", "de plus de 30 jours", 0, 30 * 24 * time.Hour},
}

// fields are the parts of a filter with their names in an address.
func (f *filter) fields() []struct {
	name  string
	value *string
} {
	return []struct {
		name  string
		value *string
	}{
		{"etat", &f.Tab}, {"motif", (*string)(&f.Cause)}, {"quoi", &f.Which}, {"bal", &f.Box}, {"service", &f.Service},
		{"type", &f.Type}, {"exp", &f.Sender}, {"age", &f.Age}, {"q", &f.Q}, {"avant", &f.Before},
	}
}

// values writes the filter as a query.
func (f filter) values() url.Values {
	v := url.Values{}
	for _, kv := range f.fields() {
		if *kv.value != "" {
			v.Set(kv.name, *kv.value)
		}
	}
	return v
}

// on returns the address of path under this filter.
func (f filter) on(path string) string {
	if v := f.values(); len(v) > 0 {
		return path + "?" + v.Encode()
	}
	return path
}

// with returns the filter changed, on its first page.
func (f filter) with(change func(*filter)) filter {
	f.Before = ""
	change(&f)
	return f
}

// readFilter reads a filter from an address or a form, and drops what is not one of
// ours.
func readFilter(get func(string) string) filter {
	var f filter
	for _, kv := range f.fields() {
		if v := get(kv.name); len(v) <= 200 {
			*kv.value = v
		}
	}
	if _, ok := tabOf(f.Tab); !ok {
		f.Tab = ""
	}
	if f.Tab != todoTab && f.Tab != "incident" {
		f.Cause, f.Which = "", ""
	}
	if !slices.Contains(greffe.Causes, f.Cause) {
		f.Cause = ""
	}
	if f.Which != "plus-tard" && f.Which != "moi" {
		f.Which = ""
	}
	if !slices.ContainsFunc(ages, func(a ageChoice) bool { return a.Key == f.Age }) {
		f.Age = ""
	}
	return f
}

// narrowed returns the search of a filter for a person, and the filter without what the
// person may not see or the session does not know.
func (c *Console) narrowed(r *http.Request, v *visit, f filter, now time.Time) (index.MessageFilter, filter) {
	m := index.MessageFilter{Places: v.places, Cause: f.Cause, Before: f.Before}
	if t, ok := tabOf(f.Tab); ok {
		m.States, m.FollowUp = t.States, f.Tab == followUp
		if f.Tab == todoTab || f.Tab == "incident" {
			m.Due = now
		}
	}
	switch f.Which {
	case "plus-tard":
		m.Due, m.Later = time.Time{}, now
	case "moi":
		m.Assignee = v.user.Login
	}
	if places := c.placesOfService(v, f.Service); len(places) > 0 {
		m.Places = places
	} else {
		f.Service = ""
	}
	if place := c.place(v, f.Box); place != "" {
		if mailbox, _ := index.SplitPlace(place); f.Service != "" && !slices.ContainsFunc(m.Places, func(p string) bool { of, _ := index.SplitPlace(p); return of == mailbox }) {
			place = index.Nowhere // of another service
		}
		m.Places = []string{place}
	} else {
		f.Box = ""
	}
	m.Type = f.Type
	if len(f.Sender) == len(greffe.MailboxKey("")) && strings.Trim(f.Sender, "0123456789abcdef") == "" {
		m.Sender = f.Sender
	} else {
		f.Sender = ""
	}
	for _, a := range ages {
		if a.Key != f.Age {
			continue
		}
		if a.From > 0 {
			m.From = now.Add(-a.From)
		}
		if a.To > 0 {
			m.To = now.Add(-a.To)
		}
	}
	if s, ok := c.recall(r, f.Q); ok {
		m.Text = s.Text
	} else {
		f.Q = ""
	}
	return m, f
}

// placeChoice is a mailbox or a folder in the filter.
type placeChoice struct {
	Key, Label, Place string
	Folder            bool
	Current           bool
}

// placeChoices lists what the person may choose from: the mailboxes, and under each the
// folders of it, one for each professional where the hospital has them.
func (c *Console) placeChoices(v *visit) []placeChoice {
	var list []placeChoice
	for _, p := range c.mailboxes(v) {
		mailbox, folder := index.SplitPlace(p)
		if folder != "" {
			list = append(list, placeChoice{Key: greffe.MailboxKey(p), Label: mailbox + " — " + folder, Place: p, Folder: true})
			continue
		}
		list = append(list, placeChoice{Key: greffe.MailboxKey(p), Label: p, Place: p})
		if folders := c.cfg.About[p].Folders; len(folders) > 1 {
			for _, f := range folders {
				list = append(list, placeChoice{Key: greffe.MailboxKey(p + "/" + f), Label: f, Place: p + "/" + f, Folder: true})
			}
		}
	}
	return list
}

// place returns the mailbox or folder that key stands for; "" for none of the person's.
func (c *Console) place(v *visit, key string) string {
	if key == "" {
		return ""
	}
	for _, p := range c.placeChoices(v) {
		if p.Key == key {
			return p.Place
		}
	}
	return ""
}

// services returns the names of the services whose mailboxes the person sees.
func (c *Console) services(v *visit) []string {
	var list []string
	for _, p := range c.mailboxes(v) {
		mailbox, _ := index.SplitPlace(p)
		if s := c.cfg.About[mailbox].Service; s != "" {
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// placesOfService returns what the person may see of a service.
func (c *Console) placesOfService(v *visit, key string) []string {
	if key == "" {
		return nil
	}
	var list []string
	for _, p := range c.mailboxes(v) {
		mailbox, _ := index.SplitPlace(p)
		if s := c.cfg.About[mailbox].Service; s != "" && greffe.MailboxKey(s) == key {
			list = append(list, p)
		}
	}
	return list
}
