package xdm

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// locate looks for the file of d: beside the METADATA.XML, else under a path from the
// top, both without regard to case; else by the last part of its name; else, for a name
// that does not exist, by its hash. A ".." stays inside the archive: nothing is ever
// unpacked.
func (a *Archive) locate(set *SubmissionSet, d *DocumentEntry) {
	if d.URI == "" {
		d.add(ruleURI)
		return
	}
	folder := a.folderOf(set.Metadata)
	forms := uriForms(d.URI)
	for _, uri := range forms {
		for _, name := range []string{cleanPath(folder + uri), cleanPath(uri)} {
			if d.Entry = a.find(func(p string) bool { return p == name }); d.Entry >= 0 {
				return
			}
		}
	}
	for _, uri := range forms {
		clean := fold(cleanPath(uri))
		for _, name := range []string{fold(cleanPath(folder + uri)), clean} {
			d.Entry = a.find(func(p string) bool {
				return fold(p) == name || strings.Contains(clean, "/") && strings.HasSuffix(fold(p), "/"+name)
			})
			if d.Entry >= 0 {
				d.add(ruleURICase)
				return
			}
		}
	}
	// A path on the disk of the sender: the file itself may well be here.
	for _, uri := range forms {
		base := path.Base(fold(cleanPath(uri)))
		if i, only := a.findOnly(func(p string) bool { return path.Base(fold(p)) == base && within(p, folder) }); only {
			d.Entry = i
			d.add(ruleURICase)
			return
		}
	}
	if d.Entry = a.findHash(set, d); d.Entry >= 0 {
		d.add(ruleURIHash)
		return
	}
	d.add(ruleDocument)
}

// uriForms returns the ways to read the URI of a document, the likeliest first.
func uriForms(uri string) []string {
	forms := []string{uri}
	add := func(s string, err error) {
		if err == nil && s != "" && !slices.Contains(forms, s) {
			forms = append(forms, s)
		}
	}
	add(url.PathUnescape(uri))
	add(url.QueryUnescape(uri))
	for _, s := range forms {
		if !utf8.ValidString(s) {
			add(charmap.Windows1252.NewDecoder().String(s))
		}
		if scheme, rest, ok := strings.Cut(s, "://"); ok && strings.EqualFold(scheme, "file") {
			add(rest, nil)
		}
	}
	return forms
}

// find returns the first file whose path is accepted, in any of the ways to read it, or -1.
func (a *Archive) find(accept func(string) bool) int {
	for i, p := range a.paths {
		if !a.Entries[i].Dir && (accept(p) || slices.ContainsFunc(a.others[i], accept)) {
			return i
		}
	}
	return -1
}

// findOnly returns the file whose path is accepted, if there is just one.
func (a *Archive) findOnly(accept func(string) bool) (int, bool) {
	found := -1
	for i, p := range a.paths {
		if a.Entries[i].Dir || a.Entries[i].Noise || !accept(p) {
			continue
		}
		if found >= 0 {
			return -1, false
		}
		found = i
	}
	return found, found >= 0
}

// findHash returns the file beside the METADATA.XML that has the size and hash of d, or -1.
func (a *Archive) findHash(set *SubmissionSet, d *DocumentEntry) int {
	if d.SHA1 == "" {
		return -1
	}
	for i := range a.Entries {
		if e := a.Entries[i]; i != set.Metadata && !e.Dir && e.Size == d.Size && within(a.paths[i], path.Dir(a.paths[set.Metadata])) {
			if sum, _, err := a.hash(i); err == nil && sum == d.SHA1 {
				return i
			}
		}
	}
	return -1
}

// folderOf returns the folder of a METADATA.XML; "" at the top.
func (a *Archive) folderOf(m int) string {
	if dir := path.Dir(a.paths[m]); dir != "." {
		return dir + "/"
	}
	return ""
}
