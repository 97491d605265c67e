package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"greffe/pkg/index"
	"greffe/pkg/report"
)

// Limits of an extract: what is left out is said.
const (
	maxReadDocuments = 2_000
	maxReadEntries   = 50_000
	maxReadRows      = 2_000 // of the PDF and the page; the CSV has all
)

// accesses answer "who read the documents of this patient", from the journal alone.
type accesses struct {
	INS       string
	Documents []index.Document
	Lines     []accessLine // newest first
	Cut       bool         // more documents or entries than the limits
	At        time.Time
}

// accessLine is one look at one of the documents, or at the message that brought it.
type accessLine struct {
	historyLine
	Login string
	Role  string
	Title string // of the document; "" for the message as a whole
}

type readsPage struct {
	accesses
	Criteria criteria
	Done     bool
	Lost     bool
	Errors   map[string]string
	Q        string
	More     int // lines that the page leaves to the files
}

// readsFilter keeps the patient's number in the session and goes to an address without it.
func (c *Console) readsFilter(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	k := criteria{INS: strings.ToUpper(strings.ReplaceAll(strings.Join(strings.Fields(r.PostForm.Get("ins")), ""), " ", ""))}
	_, bad := c.documentFilter(v, k)
	if k.INS == "" {
		bad = map[string]string{"ins": "Saisissez le matricule INS du patient."}
	}
	if len(bad) > 0 {
		return c.render(w, r, v, http.StatusUnprocessableEntity, "acces", page{Title: "Accès aux documents d’un patient — à corriger", Nav: "journal", Data: readsPage{Criteria: k, Errors: bad}})
	}
	q, err := c.remember(r, k)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/journal/patient?q="+url.QueryEscape(q), http.StatusSeeOther)
	return nil
}

// showReads shows who looked at the documents of a patient.
func (c *Console) showReads(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query().Get("q")
	k, known := c.recall(r, q)
	p := readsPage{Lost: q != "" && !known, Criteria: k, Done: known, Q: q}
	if known {
		if err := c.record(v, "read", "", "ok", "journal patient"); err != nil {
			return err
		}
		a, err := c.accesses(r.Context(), v, k)
		if err != nil {
			return err
		}
		p.accesses = a
		p.More = max(0, len(a.Lines)-maxReadRows)
		p.Lines = a.Lines[:len(a.Lines)-p.More]
	}
	return c.render(w, r, v, http.StatusOK, "acces", page{Title: "Accès aux documents d’un patient", Nav: "journal", Data: p})
}

// extractReads gives the same as a file, PDF or CSV.
func (c *Console) extractReads(w http.ResponseWriter, r *http.Request, v *visit) error {
	k, known := c.recall(r, r.URL.Query().Get("q"))
	form := r.PathValue("forme")
	if !known { // an address of another session
		http.Redirect(w, r, "/journal/patient?q=inconnu", http.StatusSeeOther)
		return nil
	}
	if form != "acces.pdf" && form != "acces.csv" {
		return errNothing
	}
	if err := c.record(v, "exported", "", "ok", "journal patient"); err != nil {
		return err
	}
	a, err := c.accesses(r.Context(), v, k)
	if err != nil {
		return err
	}
	if form == "acces.csv" {
		s := newSheet(w, form, "Date et heure", "Identifiant", "Nom", "Rôle", "Fait", "Document", "Titre", "Depuis", "N° au journal")
		for _, l := range a.Lines {
			s.row(c.wall.moments(l.At), l.Login, l.Who, l.Role, l.Text, l.Label, l.Title, l.From, fmt.Sprint(l.Seq))
		}
		return s.flush()
	}
	b, err := c.readsPDF(a)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/pdf")
	w.Header().Set("Content-Disposition", disposition(form))
	_, err = w.Write(b)
	return err
}

// accesses gathers the looks at what the person may see of a patient's documents.
func (c *Console) accesses(ctx context.Context, v *visit, k criteria) (accesses, error) {
	a := accesses{INS: k.INS, At: time.Now()}
	f := index.DocumentFilter{INS: k.INS, Places: v.places, Limit: 200}
	for more := true; more && !a.Cut; more = f.Before != "" {
		list, next, err := c.db.Documents(ctx, f)
		if errors.Is(err, index.ErrTooShort) {
			return a, errors.Join(errBadInput, err)
		}
		if err != nil {
			return a, err
		}
		a.Documents, f.Before = append(a.Documents, list...), next
		a.Cut = len(a.Documents) >= maxReadDocuments && next != ""
	}
	users, err := c.db.Users(ctx)
	if err != nil {
		return a, err
	}
	people := map[string]index.User{}
	for _, u := range users {
		people[u.Login] = u
	}
	titles := map[string]string{}
	messages := map[string]bool{}
	for _, d := range a.Documents {
		titles[string(d.ID)] = docTitle(d.Facts)
		messages[string(d.Message)] = true
	}
	done := map[string]bool{}
	for _, d := range a.Documents {
		if done[string(d.Message)] {
			continue
		}
		done[string(d.Message)] = true
		for seq := int64(0); ; {
			page, err := c.db.JournalAbout(ctx, d.Message, seq, 1000)
			if err != nil {
				return a, err
			}
			for _, e := range page {
				seq = e.Seq
				title, ours := titles[e.Subject]
				if !isLook(e.Action) || !ours && !messages[e.Subject] {
					continue
				}
				l := accessLine{historyLine: sentence(e), Login: e.Actor, Title: title}
				if u, ok := people[e.Actor]; ok {
					l.Who, l.Role = cmp.Or(u.Name, u.Login), word(roleWords, u.Role)
				}
				if a.Lines = append(a.Lines, l); len(a.Lines) >= maxReadEntries {
					a.Cut = true
				}
			}
			if len(page) < 1000 || a.Cut {
				break
			}
		}
	}
	slices.SortFunc(a.Lines, func(x, y accessLine) int { return cmp.Compare(y.Seq, x.Seq) })
	return a, nil
}

// readsPDF writes the extract for the patient's or the controller's file.
func (c *Console) readsPDF(a accesses) ([]byte, error) {
	r, err := report.New("Accès aux documents d’un patient", a.At)
	if err != nil {
		return nil, err
	}
	r.Heading(1, "Accès aux documents d’un patient")
	r.Paragraph(fmt.Sprintf("Matricule INS %s. Extrait du journal de Greffe établi le %s : %s, %s.", a.INS, c.wall.moments(a.At),
		plural(len(a.Documents), "document", "documents"), plural(len(a.Lines), "accès", "accès")))
	r.Paragraph("Chaque ligne dit qui a consulté, affiché, téléchargé ou exporté un de ces documents ou le message qui l’a apporté, quand et depuis quel poste, et les accès refusés. " +
		"Le journal est chaîné et scellé : « greffe prove » donne la preuve de ces lignes.")
	if a.Cut {
		r.Paragraph("Cet extrait est incomplet : il y a plus de documents ou d’accès que ce qu’un extrait peut contenir. Demandez une période à l’administrateur.")
	}
	r.Heading(2, "Documents")
	var rows [][]string
	for _, d := range a.Documents {
		rows = append(rows, []string{string(d.ID), docTitle(d.Facts), c.wall.moment(d.ReceivedAt)})
	}
	if len(rows) == 0 {
		r.Paragraph("Aucun document reçu ne porte ce matricule.")
	} else {
		r.Table([]int{34, 42, 24}, true, []string{"Identifiant", "Document", "Reçu le"}, rows[:min(len(rows), maxReadRows)])
	}
	r.Heading(2, "Accès, du plus récent au plus ancien")
	rows = nil
	for i, l := range a.Lines {
		if i == maxReadRows {
			break
		}
		who := l.Who
		if l.Login != "" && l.Login != who {
			who += " (" + l.Login + ")"
		}
		if l.Role != "" {
			who += ", " + strings.ToLower(l.Role)
		}
		rows = append(rows, []string{fmt.Sprint(l.Seq), c.wall.moments(l.At), who, l.Text, l.Label, l.From})
	}
	if len(rows) == 0 {
		r.Paragraph("Personne n’a consulté ces documents.")
	} else {
		r.Table([]int{7, 15, 20, 22, 24, 12}, false, []string{"N°", "Date et heure", "Qui", "Fait", "Élément", "Depuis"}, rows)
	}
	if len(a.Lines) > maxReadRows {
		r.Paragraph(fmt.Sprintf("Les %s accès plus anciens sont dans l’extrait CSV.", number(len(a.Lines)-maxReadRows)))
	}
	return r.Bytes(), nil
}
