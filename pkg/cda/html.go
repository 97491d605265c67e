package cda

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"strconv"
	"strings"
)

// Limits of what WriteHTML shows. The largest narrative of the official examples has 300 KB.
const (
	maxHTML   = 8 << 20  // bytes of HTML, pictures apart
	maxImages = 16 << 20 // bytes of pictures, decoded
	maxMedia  = 1000     // places that refer to pictures or files
	maxNotes  = 1000     // footnotes
)

// WriteHTML writes what a person reads in the document of r: its title and, for a
// structured body, the narrative of its sections, as an HTML fragment in UTF-8; for any
// other body a short note that the content is a file. The header in words is for the
// caller to write.
//
// The fragment is safe under a strict Content-Security-Policy (with img-src data: for
// pictures): only elements and classes of a fixed list, no style, no script, no link, no
// id, the type of lists and the scope of header cells, every text escaped, pictures only when their bytes are PNG, JPEG or GIF. Classes:
// cda (article), bold, italic, underline, left, center, right, justify, top, middle,
// bottom, lrule, rrule, toprule, botrule, caption, footnote, note.
//
// Nothing is written before the document was read to its end. A document that cannot be
// read gives what was read before the fault, with a sentence; the error is that of r or w.
func WriteHTML(w io.Writer, r io.Reader) error {
	n := narrative{s: NewScanner(r), images: make(map[string]image), footnotes: make(map[string]int)}
	defer n.s.Close()
	n.raw(`<article class="cda">`)
	err := n.document()
	if bad, ok := errors.AsType[*SyntaxError](err); ok {
		n.closeAll()
		n.note(bad.Finding("").Text)
	} else if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	n.raw(`</article>`)
	n.flush("")
	for _, p := range n.pieces {
		if _, err := w.Write(p.html); err != nil {
			return fmt.Errorf("write narrative: %w", err)
		}
		if err := n.writeMedia(w, p.media); err != nil {
			return fmt.Errorf("write narrative: %w", err)
		}
	}
	return nil
}

// narrative turns tokens into HTML. Pictures come after the text that refers to them, so
// the HTML is kept in pieces, each followed by the ids of what is to be shown there.
type narrative struct {
	s      *Scanner
	space  string // of the document
	out    bytes.Buffer
	pieces []piece
	size   int
	full   bool

	open      []string       // end tags to write, innermost last
	footnotes map[string]int // numbers by ID
	notes     int
	images    map[string]image
	imageSize int // bytes kept
	shown     int // bytes written
}

type piece struct {
	html  []byte
	media string // IDs, blanks between
}

type image struct {
	mediaType string
	data      []byte
}

// document finds the title and the body.
func (n *narrative) document() error {
	if _, err := openDocument(n.s); errors.Is(err, errNotCDA) {
		n.note(ruleRoot.Text)
		return nil
	} else if err != nil {
		return err
	}
	n.space, _ = n.s.Name()
	depth := n.s.Depth()
	for {
		kind, err := n.s.Next()
		if err != nil {
			return ignoreEOF(err)
		}
		switch {
		case kind == End && n.s.Depth() < depth:
			return nil
		case kind != Start || n.s.Depth() != depth+1:
		case n.s.Is(n.space, "title"):
			err = n.element("<h1>", "</h1>", n.inline)
		case n.s.Is(n.space, "component"):
			err = n.body()
		default:
			err = n.skip()
		}
		if err != nil {
			return err
		}
	}
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// body writes the component whose Start was read, up to its End.
func (n *narrative) body() error {
	return n.children(func(local string) error {
		switch local {
		case "structuredBody":
			return n.children(func(local string) error {
				if local == "component" {
					return n.children(n.sectionOnly(2))
				}
				return n.skip()
			})
		case "nonXMLBody":
			return n.children(func(local string) error {
				if local != "text" {
					return n.skip()
				}
				return n.fileBody()
			})
		}
		return n.skip()
	})
}

// fileBody writes the text of a nonXMLBody: a note, or the text itself when it is plain.
func (n *narrative) fileBody() error {
	media := cleanMediaType(n.s.Attr("mediaType"))
	if n.s.Attr("representation") != "B64" && (media == "" || media == "text/plain") {
		return n.element("<pre>", "</pre>", n.inline)
	}
	what := "un fichier"
	switch {
	case media == "application/pdf":
		what = "un fichier PDF"
	case strings.HasPrefix(media, "image/"):
		what = "une image"
	}
	n.note("Le contenu de ce document est " + what + ", à afficher à part.")
	return n.skip()
}

func (n *narrative) sectionOnly(level int) func(string) error {
	return func(local string) error {
		if local == "section" {
			return n.section(level)
		}
		return n.skip()
	}
}

// section writes one section: heading, text, sections inside it. A section without title
// is headed by the label of its code.
func (n *narrative) section(level int) error {
	tag := "h" + strconv.Itoa(min(level, 6))
	label, headed := "", false
	heading := func() {
		if !headed && label != "" {
			n.raw("<" + tag + ">")
			n.text([]byte(label))
			n.raw("</" + tag + ">")
		}
		headed = true
	}
	return n.element("<section>", "</section>", func() error {
		return n.children(func(local string) error {
			switch local {
			case "code":
				label = n.s.Attr("displayName")
			case "title":
				headed = true
				return n.element("<"+tag+">", "</"+tag+">", n.inline)
			case "text":
				heading()
				return n.element("<div>", "</div>", n.inline)
			case "entry":
				return n.entry()
			case "component":
				heading()
				return n.children(n.sectionOnly(level + 1))
			}
			return n.skip()
		})
	})
}

// children calls f at the Start of every child, in the namespace of the document, of the
// element whose Start was read; f reads up to the End of the child. Others are skipped.
func (n *narrative) children(f func(local string) error) error {
	depth := n.s.Depth()
	for {
		kind, err := n.s.Next()
		if err != nil {
			return err
		}
		switch {
		case kind == End && n.s.Depth() < depth:
			return nil
		case kind != Start:
			continue
		}
		if space, local := n.s.Name(); space == n.space {
			err = f(local)
		} else {
			err = n.skip()
		}
		if err != nil {
			return err
		}
	}
}

// skip reads up to the End of the element whose Start was read.
func (n *narrative) skip() error {
	depth := n.s.Depth()
	for {
		kind, err := n.s.Next()
		if err != nil || kind == End && n.s.Depth() < depth {
			return err
		}
	}
}

// element writes content between two tags of our own. Past the limit it writes neither,
// so that the fragment stays balanced.
func (n *narrative) element(start, end string, content func() error) error {
	if n.over() {
		return content()
	}
	n.raw(start)
	n.open = append(n.open, end)
	err := content()
	if err == nil {
		n.raw(end)
		n.open = n.open[:len(n.open)-1]
	}
	return err
}

// closeAll writes the end tags of what a fault left open.
func (n *narrative) closeAll() {
	for len(n.open) > 0 {
		n.raw(n.open[len(n.open)-1])
		n.open = n.open[:len(n.open)-1]
	}
}

// raw writes HTML of our own.
func (n *narrative) raw(s string) {
	n.out.WriteString(s)
	n.size += len(s)
}

// text writes escaped characters, up to the limit.
func (n *narrative) text(b []byte) {
	if !n.over() {
		n.raw(html.EscapeString(string(b)))
	}
}

// over reports whether the limit is reached, and says so once in the fragment.
func (n *narrative) over() bool {
	if n.size <= maxHTML {
		return false
	}
	if !n.full {
		n.full = true
		n.raw(`<span class="note">[…] Le texte est trop long pour être affiché en entier.</span>`)
	}
	return true
}

func (n *narrative) note(text string) {
	n.raw(`<p class="note">` + html.EscapeString(text) + `</p>`)
}

// flush ends a piece, behind which the media are shown.
func (n *narrative) flush(media string) {
	n.pieces = append(n.pieces, piece{bytes.Clone(n.out.Bytes()), media})
	n.out.Reset()
}
