package console

import (
	"html/template"
	"io"
)

// What the frame of a document shows is a page of its own: our style, no script,
// no link to anything else.

type frame struct {
	Title     string
	Narrative template.HTML // made and cleaned by pkg/cda
	Text      string
	Cut       bool
	Notice    string
}

func (p *pages) framed(w io.Writer, title, narrative string) error {
	return p.byName["cadre"].ExecuteTemplate(w, "cadre", frame{Title: title, Narrative: template.HTML(narrative)})
}

func (p *pages) framedText(w io.Writer, text string, cut bool) error {
	return p.byName["cadre"].ExecuteTemplate(w, "cadre", frame{Title: "Texte", Text: text, Cut: cut})
}

func (p *pages) framedNotice(w io.Writer, text string) error {
	return p.byName["cadre"].ExecuteTemplate(w, "cadre", frame{Title: "Document", Notice: text})
}
