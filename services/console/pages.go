package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static/*
var staticFiles embed.FS

// pages are the parsed templates, one per page, each inside the layout, and the
// static files with the version that goes into their URL.
type pages struct {
	byName map[string]*template.Template
	assets map[string]asset
}

type asset struct {
	body    []byte
	mime    string
	version string // of the content: a changed file has another URL
}

// page is what every template receives.
type page struct {
	Title    string
	Nav      string // entry of the menu that is marked
	Wide     bool   // uses the full width and height of the window
	User     index.User
	Role     string
	Flash    string
	Version  string
	Idle     int               // seconds without an act after which the session is locked
	Draft    map[string]string // what was typed before the lock, by field
	Drafted  string            // the same as JSON, for the script
	Scripts  []string
	Data     any
	LoggedIn bool
	Can      can
	Undo     *undo
	Here     string
	Help     string      // address of what explains this page
	Access   string      // how accessible the console may say it is
	Keys     string      // single keys and what they do, as JSON
	Commands []keyChoice // the same for people
}

// can says what the menu offers.
type can struct{ Read, Journal, System, Approve bool }

type errorPage struct {
	Status  int
	Heading string
	Text    string
}

var mimes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".webp": "image/webp"}

func loadPages(at wall) (*pages, error) {
	p := &pages{byName: map[string]*template.Template{}, assets: map[string]asset{}}
	files, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if _, err := p.asset(f.Name(), nil); err != nil {
			return nil, err
		}
	}
	base, err := template.New("layout.html").Funcs(p.funcs(at)).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/aide-communs.html")
	if err != nil {
		return nil, err
	}
	files, err = fs.ReadDir(templateFiles, "templates")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".html")
		if name == "layout" || name == "parts" || name == "aide-communs" {
			continue
		}
		t, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if p.byName[name], err = t.ParseFS(templateFiles, "templates/"+f.Name()); err != nil {
			return nil, err
		}
	}
	return p, nil
}

var importOf = regexp.MustCompile(`from "\./([a-z]+\.js)"`)

// asset reads a file that pages load; above are those that import it. A module is imported by
// the very address that pages load it by: by another one it would be there twice, with
// listeners and timers of its own.
func (p *pages) asset(name string, above []string) (asset, error) {
	if a, ok := p.assets[name]; ok {
		return a, nil
	}
	if slices.Contains(above, name) {
		return asset{}, fmt.Errorf("console: %s imports itself", name)
	}
	b, err := staticFiles.ReadFile("static/" + name)
	if err != nil {
		return asset{}, err
	}
	if path.Ext(name) == ".js" {
		var failed error
		b = importOf.ReplaceAllFunc(b, func(m []byte) []byte {
			other := string(importOf.FindSubmatch(m)[1])
			a, err := p.asset(other, append(above, name))
			failed = errors.Join(failed, err)
			return fmt.Appendf(nil, `from "./%s?v=%s"`, other, a.version)
		})
		if failed != nil {
			return asset{}, failed
		}
	}
	sum := sha256.Sum256(b)
	a := asset{body: b, mime: mimes[path.Ext(name)], version: hex.EncodeToString(sum[:6])}
	p.assets[name] = a
	return a, nil
}

func (p *pages) funcs(at wall) template.FuncMap {
	return template.FuncMap{
		"coded":      greffe.Reason,
		"asset":      func(name string) string { return "/static/" + name + "?v=" + p.assets[name].version },
		"icon":       icon,
		"state":      wordsOf,
		"capital":    capital,
		"boxKind":    func(s string) string { return word(boxKindWords, s) },
		"moment":     at.moment,
		"moments":    at.moments,
		"day":        at.day,
		"clock":      at.clock,
		"iso":        func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"today":      func(t time.Time) bool { return at.day(t) == at.day(time.Now()) },
		"hl7":        hl7Time,
		"age":        func(birth string) string { return at.age(birth, time.Now()) },
		"ins":        ins,
		"insKind":    insKind,
		"patient":    patientName,
		"person":     personName,
		"title":      docTitle,
		"likeness":   likeness,
		"future":     func(t time.Time) bool { return t.After(time.Now()) },
		"answer":     answerText,
		"size":       size,
		"number":     number,
		"plural":     plural,
		"kind":       greffe.MessageKind.French,
		"format":     greffe.Format.French,
		"partKind":   greffe.PartKind.French,
		"verdict":    greffe.Verdict.French,
		"severity":   greffe.Severity.French,
		"action":     greffe.Action.French,
		"verb":       func(v greffe.Verb) string { return word(verbWords, v) },
		"sex":        func(s string) string { return word(sexWords, s) },
		"role":       func(s string) string { return word(roleWords, s) },
		"secrecy":    func(code string) string { return word(confidentialityWords, code) },
		"masks":      func(code string) bool { return code != "N" && code != "" },
		"mailboxKey": greffe.MailboxKey,
		"local":      func(address string) string { l, _, _ := strings.Cut(address, "@"); return l },
		"addresses":  addresses,
	}
}

// addresses writes the addresses of a header for a person.
func addresses(list []greffe.Address) string {
	var out []string
	for i, a := range list {
		if i == 20 {
			out = append(out, fmt.Sprintf("et %d autres", len(list)-i))
			break
		}
		if a.Name != "" {
			out = append(out, a.Name+" <"+a.Address+">")
		} else {
			out = append(out, a.Address)
		}
	}
	return strings.Join(out, ", ")
}

// render writes the page called name.
func (c *Console) render(w http.ResponseWriter, r *http.Request, v *visit, status int, name string, p page) error {
	if c.menu(v, &p) {
		p.Flash = c.sessions.PopString(r.Context(), keyFlash)
		if p.Draft, p.Drafted = c.takeDraft(r, v); p.Draft != nil && p.Flash == "" {
			p.Flash = "Votre saisie d’avant le verrouillage a été reprise. Rien n’a été envoyé : vérifiez-la, puis validez."
		}
		p.Undo, p.Here = c.popUndo(r.Context()), r.URL.RequestURI()
		if err := c.loadKeyboard(r.Context(), v.user.Login); err != nil {
			return err
		}
		k := c.keyboardOf(r.Context())
		p.Keys = k.forScripts()
		if !k.Off {
			p.Commands = k.list()
		}
	}
	p.Version, p.Access = c.cfg.Version, c.cfg.Audit.conformity()
	if v != nil {
		p.Help = helpFor(v.role, name)
	}
	var b bytes.Buffer
	if err := c.pages.byName[name].ExecuteTemplate(&b, "layout.html", p); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	return respond(w, "text/html; charset=utf-8", status, &b)
}

// menu fills in what the person may go to; false for nobody, or nobody at the screen.
func (c *Console) menu(v *visit, p *page) bool {
	if v == nil || v.user.Login == "" || v.locked {
		return false
	}
	p.User, p.LoggedIn = v.user, true
	p.User.Hash, p.User.TOTP, p.User.Recovery = "", "", nil // never in reach of a template
	p.Can = can{Read: v.role&readers != 0, Journal: v.role == auditor, System: v.role == admin, Approve: v.role == auditor && c.cfg.FourEyes}
	p.Idle = int(c.cfg.IdleTimeout / time.Second)
	return true
}

// renderError writes an error page; quiet routes have no session to read a flash from.
func (c *Console) renderError(w http.ResponseWriter, r *http.Request, v *visit, e errorPage) {
	p := page{Title: e.Heading, Data: e, Version: c.cfg.Version, Access: c.cfg.Audit.conformity()}
	if c.menu(v, &p) {
		p.Help = helpFor(v.role, "erreur")
	}
	h := w.Header()
	h.Set("Content-Security-Policy", c.policy())
	h.Del("Content-Disposition")
	h.Del("Content-Length")
	var b bytes.Buffer
	if err := c.pages.byName["erreur"].ExecuteTemplate(&b, "layout.html", p); err != nil {
		http.Error(w, e.Heading, e.Status)
		return
	}
	respond(w, "text/html; charset=utf-8", e.Status, &b)
}

// fragment renders one named template of the page's set, for live updates.
func (p *pages) fragment(pageName, name string, data any) (string, error) {
	var b strings.Builder
	err := p.byName[pageName].ExecuteTemplate(&b, name, data)
	return b.String(), err
}

// static serves the embedded style, icons and scripts. Their URL changes with their
// content, so browsers may keep them.
func (c *Console) static(w http.ResponseWriter, r *http.Request, _ *visit) error {
	a, ok := c.pages.assets[r.PathValue("file")]
	if !ok {
		return errNothing
	}
	w.Header().Set("Content-Type", a.mime)
	w.Header().Set("ETag", `"`+a.version+`"`)
	// The frame of a document is sandboxed: an origin of its own, which still needs its style.
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.URL.Query().Get("v") == a.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, r.PathValue("file"), time.Time{}, bytes.NewReader(a.body))
	return nil
}
