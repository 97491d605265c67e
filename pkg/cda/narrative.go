package cda

import (
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"slices"
	"strconv"
	"strings"
)

// inline writes the content of the narrative element whose Start was read, up to its
// End: text, and the elements of the HL7 narrative block. Unknown elements are passed
// through to their content.
func (n *narrative) inline() error {
	depth := n.s.Depth()
	for {
		kind, err := n.s.Next()
		switch {
		case err != nil:
			return err
		case kind == Text:
			n.text(n.s.Text())
		case kind == Start:
			err = n.block()
		case n.s.Depth() < depth:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// block writes one element of the narrative block.
func (n *narrative) block() error {
	space, local := n.s.Name()
	if space != n.space {
		return n.inline()
	}
	switch local {
	case "paragraph":
		return n.element("<p"+n.class()+">", "</p>", n.inline)
	case "br":
		if !n.over() {
			n.raw("<br>")
		}
		return n.skip()
	case "sub", "sup":
		return n.element("<"+local+">", "</"+local+">", n.inline)
	case "content":
		return n.content()
	case "list":
		tag := "ul"
		if n.s.Attr("listType") == "ordered" {
			tag = "ol"
		}
		return n.element("<"+tag+listMarks(n.s.Attr("styleCode"))+n.class()+">", "</"+tag+">", n.list)
	case "caption":
		return n.element(`<span class="caption">`, "</span>", n.inline)
	case "table":
		return n.element("<table"+n.class()+">", "</table>", n.table)
	case "footnote":
		return n.element(`<small class="footnote"><sup>`+n.number(n.s.Attr("ID"))+`</sup> `, "</small>", n.inline)
	case "footnoteRef":
		return n.element("<sup>"+n.number(n.s.Attr("IDREF")), "</sup>", n.skip)
	case "linkHtml":
		return n.link()
	case "renderMultiMedia":
		if !n.over() && len(n.pieces) < maxMedia {
			n.flush(n.s.Attr("referencedObject"))
		}
		return n.inline() // its caption
	case "col", "colgroup":
		return n.skip()
	}
	return n.inline() // anything else: the text alone
}

// number returns the number of the footnote with the ID, which may come before or after what
// refers to it.
func (n *narrative) number(id string) string {
	if number, ok := n.footnotes[id]; ok && id != "" {
		return strconv.Itoa(number)
	}
	n.notes++
	if id != "" && len(n.footnotes) < maxNotes {
		n.footnotes[id] = n.notes
	}
	return strconv.Itoa(n.notes)
}

// link writes the text of a link and, since the text may say nothing without it, the
// address that it goes to, to be read: nothing in a document can be followed by a click.
func (n *narrative) link() error {
	href := strings.TrimSpace(n.s.Attr("href"))
	if err := n.inline(); err != nil {
		return err
	}
	scheme, _, ok := strings.Cut(strings.ToLower(href), ":")
	if ok && (scheme == "http" || scheme == "https" || scheme == "mailto") && len(href) <= 500 && !n.over() {
		n.raw(` <span class="note">(` + html.EscapeString(href) + `)</span>`)
	}
	return nil
}

// listMarks returns the type attribute for the marks that a styleCode asks for (CDA R2
// §4.3.5.11).
func listMarks(styleCode string) string {
	for _, s := range strings.Fields(strings.ToLower(styleCode)) {
		switch s {
		case "arabic":
			return ` type="1"`
		case "littleroman":
			return ` type="i"`
		case "bigroman":
			return ` type="I"`
		case "littlealpha":
			return ` type="a"`
		case "bigalpha":
			return ` type="A"`
		case "disc", "circle", "square":
			return ` type="` + s + `"`
		}
	}
	return ""
}

// content writes a run of text with its styles as elements.
func (n *narrative) content() error {
	start, end := "", ""
	wrap := func(tag, class string) {
		if class != "" {
			class = ` class="` + class + `"`
		}
		start += "<" + tag + class + ">"
		end = "</" + tag + ">" + end
	}
	switch n.s.Attr("revised") {
	case "insert":
		wrap("ins", "")
	case "delete":
		wrap("del", "")
	}
	styles := styleClasses(n.s.Attr("styleCode"))
	if slices.Contains(styles, "bold") {
		wrap("strong", "")
	}
	if slices.Contains(styles, "italic") {
		wrap("em", "")
	}
	if slices.Contains(styles, "underline") {
		wrap("span", "underline")
	}
	return n.element(start, end, n.inline)
}

// styleClasses reads a styleCode; what is not known has no effect.
func styleClasses(styleCode string) []string {
	var classes []string
	for _, s := range strings.Fields(strings.ToLower(styleCode)) {
		switch s {
		case "bold":
			classes = append(classes, "bold")
		case "italics", "emphasis", "italic":
			classes = append(classes, "italic")
		case "underline":
			classes = append(classes, "underline")
		case "bolditalics", "bolditalic":
			classes = append(classes, "bold", "italic")
		case "lrule", "rrule", "toprule", "botrule": // of table cells (CDA R2 §4.3.5.11)
			classes = append(classes, s)
		}
	}
	return classes
}

// class returns the class attribute of a block: style and alignment.
func (n *narrative) class() string {
	classes := styleClasses(n.s.Attr("styleCode"))
	for _, name := range []string{"align", "valign"} {
		v := strings.ToLower(n.s.Attr(name))
		if slices.Contains([]string{"left", "center", "right", "justify", "top", "middle", "bottom"}, v) {
			classes = append(classes, v)
		}
	}
	if len(classes) == 0 {
		return ""
	}
	slices.Sort(classes)
	return ` class="` + strings.Join(slices.Compact(classes), " ") + `"`
}

// inside is inline with elements of its own: those that f accepts. What does not belong
// in a list or a table is still shown: it may be what matters.
func (n *narrative) inside(f func(local string) (start, end string, content func() error)) func() error {
	return func() error {
		depth := n.s.Depth()
		for {
			kind, err := n.s.Next()
			if err != nil {
				return err
			}
			switch space, local := n.s.Name(); {
			case kind == Text:
				n.text(n.s.Text())
			case kind == End:
				if n.s.Depth() < depth {
					return nil
				}
			case space != n.space:
				err = n.inline()
			default:
				if start, end, content := f(local); start != "" {
					err = n.element(start, end, content)
				} else {
					err = n.block()
				}
			}
			if err != nil {
				return err
			}
		}
	}
}

// list writes the items of a list; its caption becomes an item of its own.
func (n *narrative) list() error {
	return n.inside(func(local string) (string, string, func() error) {
		switch local {
		case "item":
			return "<li" + n.class() + ">", "</li>", n.inline
		case "caption":
			return `<li class="caption">`, "</li>", n.inline
		}
		return "", "", nil
	})()
}

// table writes caption, groups of rows, rows and cells.
func (n *narrative) table() error {
	return n.inside(func(local string) (string, string, func() error) {
		switch local {
		case "caption":
			return "<caption" + n.class() + ">", "</caption>", n.inline
		case "thead", "tbody", "tfoot", "tr":
			return "<" + local + n.class() + ">", "</" + local + ">", n.table
		case "td", "th":
			return "<" + local + n.span("colspan") + n.span("rowspan") + n.scope() + n.class() + ">", "</" + local + ">", n.inline
		}
		return "", "", nil
	})()
}

// scope returns the scope attribute of a header cell.
func (n *narrative) scope() string {
	switch v := strings.ToLower(n.s.Attr("scope")); v {
	case "row", "col", "rowgroup", "colgroup":
		return ` scope="` + v + `"`
	}
	return ""
}

// span returns a colspan or rowspan attribute within reason.
func (n *narrative) span(name string) string {
	v, err := strconv.Atoi(strings.TrimSpace(n.s.Attr(name)))
	if err != nil || v < 2 || v > 1000 {
		return ""
	}
	return fmt.Sprintf(` %s="%d"`, name, v)
}

// entry looks for pictures in the coded part of a section.
func (n *narrative) entry() error {
	depth := n.s.Depth()
	var regions []string // IDs of the open elements, "" for those without
	for {
		kind, err := n.s.Next()
		switch {
		case err != nil:
			return err
		case kind == End:
			if n.s.Depth() < depth {
				return nil
			}
			regions = regions[:len(regions)-1]
		case kind == Start && n.s.Is(n.space, "value") && isBase64(n.s):
			// An observationMedia is named by its own ID or by that of the
			// regionOfInterest around it.
			if err := n.image(regions); err != nil {
				return err
			}
		case kind == Start:
			id := ""
			if n.s.Is(n.space, "observationMedia") || n.s.Is(n.space, "regionOfInterest") {
				id = n.s.Attr("ID")
			}
			regions = append(regions, id)
		}
	}
}

// image reads the value whose Start was read, up to its End, and keeps it when it is a
// picture that browsers show, by its first bytes.
func (n *narrative) image(ids []string) error {
	depth := n.s.Depth()
	var dec base64Decoder
	var data, out []byte
	picture := true
	for {
		kind, err := n.s.Next()
		if err != nil {
			return err
		}
		if kind == End && n.s.Depth() < depth {
			break
		}
		if kind != Text || !picture || n.s.Depth() > depth {
			continue
		}
		chunk := n.s.Text()
		if len(out) < len(chunk)/4*3+6 {
			out = make([]byte, len(chunk)/4*3+6)
		}
		for len(chunk) > 0 {
			nd, ns := dec.decode(out, chunk)
			data, chunk = append(data, out[:nd]...), chunk[ns:]
		}
		picture = n.imageSize+len(data) <= maxImages && (len(data) < 8 || pictureType(data) != "")
	}
	var rest [3]byte
	data = append(data, rest[:dec.flush(rest[:])]...)
	if media := pictureType(data); picture && media != "" {
		n.imageSize += len(data)
		for _, id := range ids {
			if id != "" {
				n.images[id] = image{media, data}
			}
		}
	}
	return nil
}

// pictureType tells the pictures that may be shown by their first bytes, whatever was
// declared: official examples declare a PNG as a JPEG.
func pictureType(b []byte) string {
	switch s := string(b[:min(len(b), 8)]); {
	case s == "\x89PNG\r\n\x1a\n":
		return "image/png"
	case strings.HasPrefix(s, "\xff\xd8\xff"):
		return "image/jpeg"
	case strings.HasPrefix(s, "GIF87a"), strings.HasPrefix(s, "GIF89a"):
		return "image/gif"
	}
	return ""
}

// writeMedia writes what a renderMultiMedia refers to.
func (n *narrative) writeMedia(w io.Writer, ids string) error {
	for _, id := range strings.Fields(ids) {
		img, ok := n.images[id]
		if n.shown += len(img.data); !ok || n.shown > 2*maxImages {
			_, err := io.WriteString(w, `<span class="note">[fichier joint au document, à afficher à part]</span>`)
			if err != nil {
				return err
			}
			continue
		}
		if _, err := io.WriteString(w, `<img alt="Image du document" src="data:`+img.mediaType+`;base64,`); err != nil {
			return err
		}
		enc := base64.NewEncoder(base64.StdEncoding, w)
		if _, err := enc.Write(img.data); err != nil {
			return err
		}
		if err := enc.Close(); err != nil {
			return err
		}
		if _, err := io.WriteString(w, `">`); err != nil {
			return err
		}
	}
	return nil
}
