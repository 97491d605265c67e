package console

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"greffe/pkg/index"
)

// exportSearch gives all that a search finds as a table, for work outside of Greffe.
func (c *Console) exportSearch(w http.ResponseWriter, r *http.Request, v *visit) error {
	k, known := c.recall(r, r.URL.Query().Get("q"))
	if !known { // an address of another session
		http.Redirect(w, r, "/recherche?q=inconnu", http.StatusSeeOther)
		return nil
	}
	f, bad := c.documentFilter(v, k)
	if len(bad) > 0 {
		return errBadInput
	}
	f.Limit = 200
	list, next, err := c.db.Documents(r.Context(), f)
	if errors.Is(err, index.ErrTooShort) {
		return errors.Join(errBadInput, err)
	}
	if err != nil {
		return err
	}
	if err := c.record(v, "exported", "", "ok", "search "+k.kinds()); err != nil {
		return err
	}
	s := newSheet(w, "recherche.csv", "Document", "Message", "Reçu le", "Archivé le", "Boîte", "Dossier", "État", "Motif", "Titre", "Type", "Format", "Version", "Date du document", "Auteur",
		"Nom de naissance", "Nom utilisé", "Prénoms", "Date de naissance", "Sexe", "INS", "SHA-256")
	for n := 0; ; {
		for _, d := range list {
			p := d.Facts.Patient
			author := ""
			if len(d.Facts.Authors) > 0 {
				author = personName(d.Facts.Authors[0])
			}
			s.row(string(d.ID), string(d.Message), c.wall.moments(d.ReceivedAt), c.wall.moments(d.ArchivedAt), d.Origin.Mailbox, d.Origin.Folder, string(d.State), d.Reason, docTitle(d.Facts),
				d.Facts.Type.Label, d.Facts.Format.French(), strconv.Itoa(d.Facts.Version), hl7Time(d.Facts.Created), author,
				p.BirthFamily, p.UsedFamily, p.Givens, hl7Time(p.BirthDate), p.Sex, p.INS.Extension, string(d.Facts.SHA256))
		}
		if n += len(list); next == "" {
			break
		}
		if n >= maxExport {
			s.row("", "", fmt.Sprintf("Seuls les %d premiers documents sont dans ce fichier : précisez la recherche.", n))
			break
		}
		f.Before = next
		if list, next, err = c.db.Documents(r.Context(), f); err != nil {
			s.row("", "", "La suite n’a pas pu être lue : ce fichier est incomplet.")
			return errors.Join(err, s.flush())
		}
	}
	return s.flush()
}

// exportJournal gives all the entries that a filter keeps as a table.
func (c *Console) exportJournal(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query().Get("q")
	k, known := c.recall(r, q)
	if q != "" && !known {
		return errNothing
	}
	f, bad := k.journal(c.wall)
	if len(bad) > 0 {
		return errBadInput
	}
	f.Limit = 1000
	if err := c.record(v, "exported", "", "ok", strings.TrimSpace("journal "+k.kinds())); err != nil {
		return err
	}
	list, err := c.db.SearchJournal(r.Context(), f)
	if err != nil {
		return err
	}
	s := newSheet(w, "journal.csv", "N°", "Date et heure", "Qui", "Fait", "Élément", "Depuis", "Action", "Résultat", "Détail", "Empreinte")
	for n := 0; ; {
		for _, e := range list {
			l := sentence(e)
			s.row(strconv.FormatInt(e.Seq, 10), c.wall.moments(e.At), l.Who, l.Text, e.Subject, e.From, e.Action, e.Result, e.Detail, string(e.Hash))
			f.Before = e.Seq
		}
		if n += len(list); len(list) < 1000 {
			break
		}
		if n >= maxExport {
			s.row("", fmt.Sprintf("Seules les %d entrées les plus récentes sont dans ce fichier : précisez le filtre.", n))
			break
		}
		if list, err = c.db.SearchJournal(r.Context(), f); err != nil {
			s.row("", "La suite n’a pas pu être lue : ce fichier est incomplet.")
			return errors.Join(err, s.flush())
		}
	}
	return s.flush()
}
