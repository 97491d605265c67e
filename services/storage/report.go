package storage

import (
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Kind is what sort of problem Verify found.
type Kind string

// Kinds of problem. The last three are surplus and harm nothing: a crash leaves
// them, or a message that is being stored while Verify runs.
const (
	MissingManifest  Kind = "manifest-missing" // the index knows a message whose manifest is not there
	DamagedManifest  Kind = "manifest-damaged" // its bytes are not those that were recorded
	MissingObject    Kind = "object-missing"   // a raw message or part is not there
	DamagedObject    Kind = "object-damaged"   // its size or bytes are not those that were recorded
	IndexDiffers     Kind = "index-differs"    // index and manifest do not say the same
	NotIndexed       Kind = "not-indexed"      // the index does not know a message that has a manifest
	BrokenJournal    Kind = "journal-broken"   // an entry of the journal was changed or removed
	OrphanMessage    Kind = "message-orphan"   // a raw message without manifest that the index does not know
	OrphanContent    Kind = "content-orphan"   // the bytes of a part that no message names
	OrphanForeignKey Kind = "unknown-object"   // something that Greffe did not write
)

// sentences say in French what a problem is and what to do about it.
var sentences = map[Kind]string{
	MissingManifest: "Le manifeste de ce message manque dans l'archive. Restaurez-le depuis une sauvegarde de l'archive.",
	DamagedManifest: "Le manifeste de ce message n'est plus celui qui a été enregistré. Restaurez-le depuis une sauvegarde de l'archive et cherchez qui a pu le modifier.",
	MissingObject:   "Un contenu de ce message manque dans l'archive. Restaurez-le depuis une sauvegarde de l'archive ou, s'il y est encore, reprenez le message dans sa boîte aux lettres.",
	DamagedObject:   "Un contenu de ce message n'est plus celui qui a été enregistré. Restaurez-le depuis une sauvegarde de l'archive et cherchez qui a pu le modifier.",
	IndexDiffers:    "L'index et le manifeste de ce message ne disent pas la même chose. L'archive fait foi : reconstruisez l'index (greffe reindex).",
	NotIndexed:      "Ce message est complet dans l'archive mais absent de l'index : personne ne le voit. Reconstruisez l'index (greffe reindex).",
	BrokenJournal:   "Le journal d'audit a été modifié ou coupé dans l'index. Comparez-le avec une sauvegarde et cherchez qui a pu le modifier.",

	OrphanMessage:    "Message brut archivé que l'index ne connaît pas encore : surplus sans conséquence, repris au prochain rapprochement de la boîte aux lettres.",
	OrphanContent:    "Contenu archivé qu'aucun message ne désigne : surplus sans conséquence, laissé par une interruption.",
	OrphanForeignKey: "Objet que Greffe n'a pas écrit : surplus sans conséquence, à retirer par qui l'y a mis.",
}

// Problem is one thing that Verify found. It holds opaque ids only.
type Problem struct {
	Kind    Kind             `json:"kind"`
	Message greffe.MessageID `json:"message,omitempty"`
	Part    string           `json:"part,omitempty"` // path; empty for the raw message
	Key     string           `json:"key,omitempty"`
	Text    string           `json:"text"`            // French: what it is and what to do
	Cause   string           `json:"cause,omitempty"` // for a technician
}

// String returns the problem as one line.
func (p Problem) String() string {
	var b strings.Builder
	if p.Message != "" {
		fmt.Fprintf(&b, "message %s", p.Message)
		if p.Part != "" {
			fmt.Fprintf(&b, ", partie %s", p.Part)
		}
		b.WriteString(" : ")
	}
	b.WriteString(p.Text)
	if p.Key != "" {
		fmt.Fprintf(&b, " [%s]", p.Key)
	}
	if p.Cause != "" {
		fmt.Fprintf(&b, " (%s)", p.Cause)
	}
	return b.String()
}

// Report is what Verify found.
type Report struct {
	Full     bool          `json:"full"` // all bytes were read again
	Began    time.Time     `json:"began"`
	Took     time.Duration `json:"took_ns"`
	Messages int           `json:"messages"`        // of the index, looked at
	Pending  int           `json:"pending"`         // of them, received and not yet archived
	Objects  int           `json:"objects"`         // different objects that are there and right
	Bytes    int64         `json:"bytes"`           // read again
	Journal  int64         `json:"journal_entries"` // of the audit journal, checked

	// Holes and Surplus list at most 10,000 problems each, in the order of their
	// messages and keys; the numbers count all.
	HoleCount    int       `json:"hole_count"`
	Holes        []Problem `json:"holes,omitempty"`
	SurplusCount int       `json:"surplus_count"`
	Surplus      []Problem `json:"surplus,omitempty"`
}

// OK reports whether nothing is missing and nothing differs. Surplus is fine.
func (r Report) OK() bool { return r.HoleCount == 0 }

// shown is how many problems of each sort String writes.
const shown = 50

// String returns the report for a person, in French, several lines.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages vérifiés", r.Messages)
	if r.Pending > 0 {
		fmt.Fprintf(&b, " (dont %d reçus et pas encore archivés)", r.Pending)
	}
	fmt.Fprintf(&b, ", %d objets présents et conformes", r.Objects)
	if r.Full {
		fmt.Fprintf(&b, ", %d,%d Mo relus", r.Bytes/1e6, r.Bytes%1e6/1e5)
	}
	fmt.Fprintf(&b, ", %d entrées de journal enchaînées.\n", r.Journal)
	if !r.Full {
		b.WriteString("Présence et taille vérifiées ; relancez avec --full pour relire tous les octets.\n")
	}
	list := func(title string, n int, problems []Problem) {
		if n == 0 {
			return
		}
		fmt.Fprintf(&b, "%s : %d\n", title, n)
		for _, p := range problems[:min(len(problems), shown)] {
			fmt.Fprintf(&b, "  - %s\n", p)
		}
		if n > shown {
			fmt.Fprintf(&b, "  … et %d autres\n", n-shown)
		}
	}
	if r.OK() {
		b.WriteString("Rien ne manque, rien ne diffère.\n")
	}
	list("MANQUES ET DIFFÉRENCES", r.HoleCount, r.Holes)
	list("Surplus sans conséquence", r.SurplusCount, r.Surplus)
	return b.String()
}
