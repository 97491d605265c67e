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
			if i, ok := a.exact[name]; ok {
				d.Entry = i
				return
			}
		}
	}
	for _, uri := range forms {
		clean := fold(cleanPath(uri))
		for _, name := range []string{fold(cleanPath(folder + uri)), clean} {
			i, ok := a.like[name]
			if !ok && strings.Contains(clean, "/") {
				i = slices.IndexFunc(a.folded, func(p string) bool { return strings.HasSuffix(p, "/"+name) })
				ok = i >= 0 && !a.Entries[i].Dir
			}
			if ok {
				d.Entry = i
				d.add(ruleURICase)
				return
			}
		}
	}
	// A path on the disk of the sender: the file itself may well be here.
	for _, uri := range forms {
		base := path.Base(fold(cleanPath(uri)))
		if i, only := a.findOnly(base, fold(folder)); only {
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

// findOnly returns the file of a folder and what is below it that has the name, if there is
// just one. Both are folded.
func (a *Archive) findOnly(base, folder string) (int, bool) {
	found := -1
	for i, p := range a.folded {
		if a.Entries[i].Dir || a.Entries[i].Noise || path.Base(p) != base || !within(p, folder) {
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
	folder := path.Dir(a.folded[set.Metadata])
	for i := range a.Entries {
		if e := a.Entries[i]; i != set.Metadata && !e.Dir && e.Size == d.Size && within(a.folded[i], folder) {
			if s := a.hash(i); s.err == nil && s.sha1 == d.SHA1 {
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
