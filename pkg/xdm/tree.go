package xdm

import (
	"path"
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// recognise says what each entry is for, by its name alone, and whether the archive
// means to be XDM.
func (a *Archive) recognise() {
	folders := make(map[string]int) // folder -> 1 for INDEX.HTM, 2 for README.TXT
	for i := range a.Entries {
		name := a.folded[i]
		parts := strings.Split(name, "/")
		base := parts[len(parts)-1]
		e := &a.Entries[i]
		switch {
		case slices.Contains(parts, "__MACOSX") || strings.HasPrefix(base, "._") && !e.Dir:
			e.Noise, e.Reason = true, "données propres à macOS"
			continue
		case base == ".DS_STORE" || base == "THUMBS.DB" || base == "DESKTOP.INI" || base == "AUTORUN.INF":
			e.Noise, e.Reason = true, "fichier du système d’exploitation"
		case base == "INDEX.HTM" || base == "INDEX.HTML":
			e.Noise, e.Reason = true, "page d’accueil de l’archive"
			folders[path.Dir(name)] |= 1
		case base == "README.TXT" || base == "README.TX" || base == "README" || base == "LISEZMOI.TXT":
			e.Noise, e.Reason = true, "mode d’emploi de l’archive"
			folders[path.Dir(name)] |= 2
		case !e.Dir && slices.Contains([]string{".CSS", ".XSL", ".XSLT", ".JS"}, path.Ext(base)):
			e.Noise, e.Reason = true, "feuille de style"
		case base == "METADATA.XML":
			a.xdm = true
		}
		a.xdm = a.xdm || slices.Contains(parts, "IHE_XDM")
	}
	for _, both := range folders {
		a.xdm = a.xdm || both == 3
	}
}

// inSubset reports whether entry i lies in the folder of some METADATA.XML.
func (a *Archive) inSubset(i int, metadata []int) bool {
	for _, m := range metadata {
		if within(a.folded[i], path.Dir(a.folded[m])) {
			return true
		}
	}
	return false
}

// within reports whether a path lies in a folder, both folded; "." and "" are the top.
func within(name, folder string) bool {
	folder = strings.TrimSuffix(folder, "/")
	return folder == "." || folder == "" || len(name) > len(folder) && name[len(folder)] == '/' && name[:len(folder)] == folder
}

// metadataEntries returns the entries that are a METADATA.XML in use: those in a folder
// of IHE_XDM or, when there is none, any of that name.
func (a *Archive) metadataEntries() (found []int, strict bool) {
	var loose []int
	for i, e := range a.Entries {
		if e.Dir || e.Noise {
			continue
		}
		parts := strings.Split(a.folded[i], "/")
		if n := len(parts); parts[n-1] == "METADATA.XML" {
			loose = append(loose, i)
			if n >= 3 && parts[n-3] == "IHE_XDM" {
				found = append(found, i)
			}
		}
	}
	if len(found) > 0 {
		return found, true
	}
	return loose, false
}

// checkLayout reports what is untidy about the tree.
func (a *Archive) checkLayout(metadata []int, strict bool) []greffe.Finding {
	var findings []greffe.Finding
	if !strict {
		findings = append(findings, ruleLayout.At(where(metadata[0])))
	}
	parts := strings.Split(a.folded[metadata[0]], "/")
	if at := slices.Index(parts, "IHE_XDM"); at > 0 {
		findings = append(findings, ruleWrapped.At(where(metadata[0])))
	}
	for _, name := range []string{"INDEX.HTM", "README.TXT"} {
		found := slices.ContainsFunc(a.folded, func(p string) bool { return strings.HasPrefix(path.Base(p), name) })
		if !found {
			findings = append(findings, ruleIndex.At("", name))
		}
	}
	return findings
}

// dropCopies takes the second copy of a set off the list: a METADATA.XML with the same
// bytes, next to files with the same names and the same bytes. Checksums of the
// directory are enough, as they are verified when an entry is read.
func (a *Archive) dropCopies(metadata []int) ([]int, []greffe.Finding) {
	var kept []int
	var findings []greffe.Finding
	folders := make(map[int][]file)
	for _, m := range metadata {
		folders[m] = a.folder(m)
		twin := slices.IndexFunc(kept, func(k int) bool { return a.file(k) == a.file(m) && slices.Equal(folders[k], folders[m]) })
		if twin < 0 {
			kept = append(kept, m)
			continue
		}
		folder := path.Dir(a.folded[m])
		for i := range a.Entries {
			if e := &a.Entries[i]; within(a.folded[i], folder) && !e.Dir {
				e.Noise, e.Reason = true, "seconde copie du même fichier"
			}
		}
		findings = append(findings, ruleCopy.At(where(m)))
	}
	return kept, findings
}

type file struct {
	name string
	size uint64
	crc  uint32
}

// file returns what tells a copy of an entry: base name, size and checksum.
func (a *Archive) file(i int) file {
	return file{path.Base(a.folded[i]), a.files[i].UncompressedSize64, a.files[i].CRC32}
}

// folder lists the files beside a METADATA.XML, sorted by name.
func (a *Archive) folder(m int) []file {
	var files []file
	dir := path.Dir(a.folded[m])
	for i := range a.files {
		if e := a.Entries[i]; !e.Dir && !e.Noise && within(a.folded[i], dir) {
			name := strings.TrimPrefix(a.folded[i], dir+"/")
			files = append(files, file{name, a.files[i].UncompressedSize64, a.files[i].CRC32})
		}
	}
	slices.SortFunc(files, func(x, y file) int { return strings.Compare(x.name, y.name) })
	return files
}

// markUnreferenced reports the files that no metadata describes. A file of the same name,
// size and checksum as a document is a stray copy of it; pictures outside the folders of
// documents decorate the medium.
func (a *Archive) markUnreferenced(metadata []int) {
	used, copies := make(map[int]bool), make(map[file]bool)
	read := make(map[int]bool) // the METADATA.XML that describe something
	for _, s := range a.Sets {
		used[s.Metadata] = true
		read[s.Metadata] = read[s.Metadata] || len(s.Documents) > 0
		for _, d := range s.Documents {
			if used[d.Entry] = true; d.Entry >= 0 {
				copies[a.file(d.Entry)] = true
			}
		}
	}
	known := !slices.ContainsFunc(metadata, func(m int) bool { return !read[m] })
	for i := range a.Entries {
		e := &a.Entries[i]
		if used[i] {
			e.Noise, e.Reason = false, "" // described as a document, whatever its name
			continue
		}
		if e.Dir || e.Noise {
			continue
		}
		switch ext := path.Ext(a.folded[i]); {
		case !a.inSubset(i, metadata) && slices.Contains([]string{".GIF", ".PNG", ".JPG", ".JPEG", ".ICO", ".SVG", ".BMP"}, ext):
			e.Noise, e.Reason = true, "image de présentation de l’archive"
		case copies[a.file(i)]:
			e.Noise, e.Reason = true, "seconde copie du même fichier"
		case known:
			e.Findings = append(e.Findings, ruleUnreferenced.At(where(i)))
		}
	}
}
