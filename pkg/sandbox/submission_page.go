package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CameBack is a mail that was sent, as a correspondent's program shows it.
type CameBack struct {
	At       time.Time
	Kind     string // French
	From, To string
	Subject  string
	Text     string // of its first part
	Fields   string // of the machine's part of an MDN
	Parts    []string
	Absent   bool // the address does not exist: the operator said so to the envelope's sender
}

// CameBack returns what was sent so far, newest first.
func (s *Submission) CameBack() []CameBack {
	var list []CameBack
	for _, m := range s.Sent() {
		list = append(list, open(m))
	}
	slices.Reverse(list)
	return list
}

// open reads a mail with the standard library alone, not with what the product reads and
// writes mail with.
func open(m SentMail) CameBack {
	c := CameBack{At: m.At, To: m.To, Kind: "Autre", Absent: m.Absent}
	msg, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		return c
	}
	c.From = strings.Trim(msg.Header.Get("From"), "<>")
	if c.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		c.Subject = msg.Header.Get("Subject")
	}
	media, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return c
	}
	refused := strings.HasPrefix(c.Subject, "[KO ")
	switch {
	case media == "multipart/report" && refused:
		c.Kind = "Accusé de refus (MDN)"
	case media == "multipart/report":
		c.Kind = "Accusé d’intégration (MDN)"
	case refused:
		c.Kind = "Courriel de KO"
	case msg.Header.Get("Auto-Submitted") == "auto-generated":
		c.Kind = "Transfert à la boîte du service"
	case media == "text/plain":
		c.Kind = "Réponse automatique"
	}
	read := func(r io.Reader, encoding string) string {
		if encoding == "quoted-printable" {
			r = quotedprintable.NewReader(r)
		}
		b, err := io.ReadAll(io.LimitReader(r, 64<<10))
		if err != nil {
			return ""
		}
		return string(b)
	}
	if !strings.HasPrefix(media, "multipart/") {
		c.Text, c.Parts = read(msg.Body, msg.Header.Get("Content-Transfer-Encoding")), []string{media}
		return c
	}
	for r := multipart.NewReader(msg.Body, params["boundary"]); len(c.Parts) < 20; {
		p, err := r.NextRawPart()
		if err != nil {
			return c
		}
		media, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			media = "?"
		}
		name := params["name"]
		if file := p.FileName(); file != "" {
			name = file
		}
		switch {
		case media == "message/disposition-notification":
			c.Fields = read(p, "")
		case len(c.Parts) == 0:
			c.Text = read(p, p.Header.Get("Content-Transfer-Encoding"))
		}
		n, _ := io.Copy(io.Discard, p) // a part cut short shows as the last
		c.Parts = append(c.Parts, strings.TrimSpace(fmt.Sprintf("%s %s", media, name))+map[bool]string{true: fmt.Sprintf(" (%d Kio)", (n+1023)/1024)}[n > 1024])
	}
	return c
}

var mailPage = template.Must(template.New("mail").Funcs(clock).Parse(`<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
{{if not .One}}<meta http-equiv="refresh" content="3">{{end}}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Boîte des correspondants</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
{{- with .One}}
<p><a href="/">Tous les messages revenus</a></p>
<h1>{{.Kind}}</h1>
<p>De {{.From}} à {{.To}}, à {{clock .At}}<br><strong>{{.Subject}}</strong></p>
{{if .Absent}}<p class="bad">Cette adresse n’existe pas : l’opérateur l’a dit à l’expéditeur de l’enveloppe, s’il y en a un.</p>{{end}}
<pre>{{.Text}}</pre>
{{with .Fields}}<h2>Pour le logiciel</h2><pre>{{.}}</pre>{{end}}
<h2>Parties</h2>
<ol>{{range .Parts}}<li>{{.}}</li>{{end}}</ol>
{{- else}}
<h1>Boîte des correspondants</h1>
<p>Ce que ceux qui ont écrit à l’hôpital reçoivent en retour. Toutes les identités sont inventées.</p>
<ul class="counts">{{range .Counts}}<li><strong>{{.N}}</strong> {{.Kind}}</li>{{end}}</ul>
<table>
<thead><tr><th scope="col">Heure</th><th scope="col">Nature</th><th scope="col">À</th><th scope="col">Objet</th></tr></thead>
<tbody>
{{- range $i, $m := .All}}
<tr><td>{{clock .At}}</td><td{{if .Absent}} class="bad"{{end}}>{{.Kind}}{{if .Absent}}<br><small>adresse inconnue, non remis</small>{{end}}</td><td>{{.To}}</td><td><a href="/{{$.Number $i}}">{{with .Subject}}{{.}}{{else}}sans objet{{end}}</a></td></tr>
{{- else}}
<tr><td colspan="4">Rien n’est encore revenu.</td></tr>
{{- end}}
</tbody>
</table>
{{- end}}
</body>
</html>
`))

type mailList struct {
	All []CameBack
	One *CameBack
}

// kindCount is how many mails there are of a kind.
type kindCount struct {
	Kind string
	N    int
}

// Counts counts the mails by kind.
func (l mailList) Counts() (list []kindCount) {
	for _, m := range l.All {
		i := slices.IndexFunc(list, func(c kindCount) bool { return c.Kind == m.Kind })
		if i < 0 {
			i = len(list)
			list = append(list, kindCount{Kind: m.Kind})
		}
		list[i].N++
	}
	return list
}

// Number is what a mail is called in its address: what comes later changes no number.
func (l mailList) Number(i int) int { return len(l.All) - i }

// StartPage shows what came back on a page of the loopback interface until Close, and
// returns its address.
func (s *Submission) StartPage(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("submission: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /style.css", diStyle)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { showMail(w, mailList{All: s.CameBack()}) })
	mux.HandleFunc("GET /{n}", func(w http.ResponseWriter, r *http.Request) {
		sent := s.Sent()
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil || n < 1 || n > len(sent) {
			http.NotFound(w, r)
			return
		}
		one := open(sent[n-1])
		showMail(w, mailList{One: &one})
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	s.mu.Lock()
	s.page = server
	s.mu.Unlock()
	s.wg.Go(func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			_ = l.Close()
		}
	})
	return "http://" + l.Addr().String(), nil
}

func showMail(w http.ResponseWriter, l mailList) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	_ = mailPage.Execute(w, l) // the reader is gone
}
