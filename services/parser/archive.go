package parser

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"greffe/pkg/greffe"
	"greffe/pkg/xdm"
)

// maxLoose is how many files an archive without metadata may hold to be taken as so
// many attachments; one with more (a series of images) is one thing to decide about.
const maxLoose = 20

// maxNested is how many archives one may lie in and still be opened: a sender zips an
// XDM archive once more, nobody does it twice.
const maxNested = 1

// openZip lists the files of a ZIP and looks at each of them.
func (r *reading) openZip(it *item) error {
	for _, other := range r.items {
		if other.opened && other.SHA256 == it.SHA256 {
			it.Kind = other.Kind
			it.copyOf(other)
			return nil
		}
	}
	if it.archives() > maxNested {
		it.typ.hold = ruleNestedZip
		return nil
	}
	lim := r.p.cfg.Archive
	if left := r.p.cfg.Unpacked - r.unpacked; left <= 0 {
		r.find(ruleUnpacked, r.p.cfg.Unpacked>>20)
		it.typ.hold, it.typ.args = ruleArchive, []any{"ZIP"}
		return nil
	} else if lim.Total <= 0 || lim.Total > left {
		lim.Total = min(left, 200_000_000)
	}
	a, findings, err := xdm.Open(it.content, it.content.size, lim)
	if err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	it.Findings = append(it.Findings, placed(it.Path, findings)...)
	if a == nil {
		it.typ.hold, it.typ.args = ruleArchive, []any{"ZIP"}
		return nil
	}
	if name := officeFormat(a); name != "" && !a.IsXDM() {
		it.Kind, it.typ = greffe.PartOther, other("application/vnd.openxmlformats-officedocument", name)
		it.Detected = it.typ.media
		return nil
	}
	if a.IsXDM() {
		it.Kind, it.Detected = greffe.PartXDM, "application/zip"
	}
	it.typ.hold, it.typ.args = ruleArchive, []any{"ZIP"}
	it.opened = true
	return r.entries(it, a)
}

// archives counts the archives that a part lies in.
func (it *item) archives() int {
	n := 0
	for up := it.parent; up != nil; up = up.parent {
		if up.opened {
			n++
		}
	}
	return n
}

// entries looks at the files of an archive and accounts for the archive itself.
func (r *reading) entries(it *item, a *xdm.Archive) error {
	described := make(map[int]*xdm.DocumentEntry)
	for i := range a.Sets {
		it.Findings = append(it.Findings, placed(it.Path, a.Sets[i].Findings)...)
		for j := range a.Sets[i].Documents {
			d := &a.Sets[i].Documents[j]
			r.submitted(d, a.Sets[i].PatientID)
			if d.Entry >= 0 && described[d.Entry] == nil {
				described[d.Entry] = d
			}
		}
	}
	before := len(r.documents)
	refused := greffe.VerdictOf(it.Findings) == greffe.VerdictRefused && len(a.Sets) == 0
	files := 0
	for _, e := range a.Entries {
		if e.Dir {
			continue
		}
		if !e.Noise {
			files++
		}
		child := r.add(fmt.Sprintf("%s!%d", it.Path, e.Index), path.Base(strings.ReplaceAll(e.Name, `\`, "/")), "", it)
		if child == nil {
			break
		}
		if e.Noise {
			child.noise = e.Reason
		}
		child.Findings = append(child.Findings, placed(it.Path, e.Findings)...)
		if refused {
			child.quiet = true
			child.noise = "fichier d’une archive refusée"
		}
		if err := r.entry(child, a, e, described[e.Index]); err != nil {
			return err
		}
	}
	r.account(it, a, len(r.documents) > before, files)
	return nil
}

// entry reads one file of an archive.
func (r *reading) entry(child *item, a *xdm.Archive, e xdm.Entry, entry *xdm.DocumentEntry) error {
	if entry != nil {
		child.Findings = append(child.Findings, placed(child.parent.Path, entry.Findings)...)
	}
	if r.late() {
		child.Skipped = true
		return nil
	}
	rc, err := a.OpenEntry(e.Index)
	if err == nil {
		err = r.take(child, rc)
		r.unpacked += child.Size
		rc.Close()
	}
	switch {
	case errors.Is(err, xdm.ErrRefused), errors.Is(err, xdm.ErrCorrupt):
		child.Skipped = true
		if child.noise != "" {
			child.ignore(child.noise)
		} else if v := greffe.VerdictOf(child.Findings); v != greffe.VerdictHeld && v != greffe.VerdictRefused {
			child.Findings = append(child.Findings, ruleEntry.At(child.Path))
		}
		return nil
	case err != nil:
		return err
	}
	if err := r.look(child, entry); err != nil {
		return err
	}
	switch {
	case entry == nil || child.Kind == greffe.PartCDA:
	case entry.Signs && child.Kind == greffe.PartXML && greffe.VerdictOf(child.Findings) != greffe.VerdictRefused:
		child.ignore("signature électronique d’un document de l’archive")
	default:
		r.describe(child, entry)
	}
	return nil
}

// describe makes a document of a file that is no CDA but that metadata describe.
func (r *reading) describe(it *item, entry *xdm.DocumentEntry) {
	d := r.document(it, entry)
	d.more = append(d.more, entry.Complete(&d.Document, it.Path)...)
	d.UniqueID = greffe.OID{} // names a CDA; these bytes are named by their digest
	d.more = append(d.more, ruleNotCDA.At(it.Path))
}

// account says what becomes of the archive itself. What metadata announce and the
// archive does not hold is reported with the archive, which then is the document
// that a person must look at.
func (r *reading) account(it *item, a *xdm.Archive, documents bool, files int) {
	var missing []greffe.Finding
	title := ""
	for _, s := range a.Sets {
		for i := range s.Documents {
			if d := &s.Documents[i]; d.Entry < 0 {
				missing = append(missing, placed(it.Path, d.Findings)...)
				title = d.Title
			}
		}
	}
	// So is a file that could not be read: it cannot stand for itself, it has no bytes.
	for _, child := range r.items {
		if child.parent == it && child.Skipped && child.noise == "" {
			missing = append(missing, child.Findings...)
		}
	}
	if !a.IsXDM() {
		if len(missing) > 0 {
			r.document(it, nil).more = missing
			return
		}
		if files > 0 && files <= maxLoose && greffe.VerdictOf(it.Findings) != greffe.VerdictRefused {
			it.ignore("archive ouverte : ses fichiers sont lus un à un")
			return
		}
		for _, child := range r.items {
			if child.parent == it && child.Kind != greffe.PartCDA {
				child.noise, child.quiet = "fichier d’une archive gardée telle quelle", true
			}
		}
		return // held as a whole
	}
	if len(missing) > 0 || !documents {
		d := r.document(it, nil)
		d.Title = title
		d.more = missing
		if v := greffe.VerdictOf(append(missing, it.Findings...)); !documents && v != greffe.VerdictHeld && v != greffe.VerdictRefused {
			d.more = append(d.more, ruleNoDocument.At(it.Path))
		}
		return
	}
	it.done = true
}

// officeFormat names the office document that a ZIP is; "" when it is none.
func officeFormat(a *xdm.Archive) string {
	office := ""
	for _, e := range a.Entries {
		switch {
		case e.Name == "[Content_Types].xml" && office == "":
			office = "document de bureautique"
		case strings.HasPrefix(e.Name, "word/"):
			office = "document Word"
		case strings.HasPrefix(e.Name, "xl/"):
			office = "classeur Excel"
		case strings.HasPrefix(e.Name, "ppt/"):
			office = "présentation PowerPoint"
		case e.Name == "mimetype" && e.Index == 0:
			office = "document OpenDocument"
		}
	}
	return office
}
