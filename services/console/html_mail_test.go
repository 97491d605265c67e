package console

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/eml"
	"greffe/pkg/greffe"
)

// receiveRaw makes the bytes of a mail come in as they were sent: read by pkg/eml, its
// leaves archived, nothing in it known beforehand.
func (w *world) receiveRaw(raw []byte) greffe.Archived {
	w.t.Helper()
	ctx := w.t.Context()
	w.uid++
	at := time.Now().UTC().Truncate(time.Second)
	origin := greffe.Origin{Mailbox: cardio, Folder: "INBOX", UIDValidity: 7, UID: w.uid, InternalDate: at}
	id := greffe.NewMessageID(origin, greffe.DigestOf(raw))
	received := greffe.Received{ID: id, Origin: origin, Size: int64(len(raw)), SHA256: greffe.DigestOf(raw), At: at}
	rawObject, err := w.store.Put(ctx, archive.RawKey(id), bytes.NewReader(raw), received.Size, received.SHA256)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.db.SaveReceived(ctx, received, rawObject); err != nil {
		w.t.Fatal(err)
	}
	p, objects := greffe.Parsed{Received: received, At: at, Parser: "essai"}, map[string]greffe.Object{}
	res, err := eml.Walk(bytes.NewReader(raw), eml.Limits{}, func(l *eml.Leaf, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		objects[l.Path] = w.put(b)
		p.Parts = append(p.Parts, greffe.Part{Path: l.Path, Name: l.Name, Declared: l.Declared, Detected: l.Declared, Kind: greffe.PartHTML, Size: int64(len(b)), SHA256: greffe.DigestOf(b), Verdict: greffe.VerdictIgnored, Reason: "Texte du message."})
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	p.Message = res.Message
	p.Message.Kind = eml.Kind(p.Message, p.Parts)
	manifest := fmt.Appendf(nil, `{"format":"greffe-manifest/1","n":%d}`, w.uid)
	manifestObject, err := w.store.Put(ctx, archive.ManifestKey(id), bytes.NewReader(manifest), int64(len(manifest)), greffe.DigestOf(manifest))
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := w.db.SaveArchived(ctx, p, manifestObject, rawObject, objects)
	if err == nil {
		err = bus.Publish(ctx, w.bus, bus.Archived, a)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// TestHTMLMailIsShownAsText: of a mail in HTML people read the words. Nothing that it
// names elsewhere is asked for, no script of it runs, and its bytes are only ever a file.
func TestHTMLMailIsShownAsText(t *testing.T) {
	w := newWorld(t)
	var asked atomic.Int64
	away := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(away.Close)
	page := `<html><head><title>Titre</title><base href="AWAY/"><link rel="stylesheet" href="AWAY/style.css"><link rel="prefetch" href="AWAY/avance"><meta http-equiv="refresh" content="0;url=AWAY/ailleurs">
<style>@import url("AWAY/import.css"); body { background: url("AWAY/fond.png") }</style><script>alert(1);window.hit=1;fetch("AWAY/script")</script><script src="AWAY/dehors.js"></script></head>
<body background="AWAY/corps.png" onload="window.hit=1"><p onclick="window.hit=1">Ch&egrave;re cons&oelig;ur,</p><p>Le trac&eacute; de Mme ESSAI est joint.&#60;script&#62;window.hit=1&#60;/script&#62;</p>
<img src="AWAY/mouchard.gif?patient=1" srcset="AWAY/deux.gif 2x" width="1" height="1" onerror="window.hit=1"><picture><source srcset="AWAY/trois.webp"></picture><svg onload="window.hit=1"><image href="AWAY/svg.png"/></svg>
<iframe src="AWAY/cadre" srcdoc="<script>parent.hit=1</script>"></iframe><object data="AWAY/objet"></object><embed src="AWAY/embarque"><video src="AWAY/video" poster="AWAY/affiche" autoplay></video><audio src="AWAY/son" autoplay></audio>
<form action="AWAY/formulaire"><input name="q"><button>Répondre</button></form><a href="javascript:window.hit=1" ping="AWAY/ping">lien</a><table background="AWAY/table.png"><tr><td style="background:url(AWAY/case.png)">Dr MARTEL</td></tr></table></body></html>`
	raw := "From: Dr Yvon MARTEL <yvon.martel@cabinet-martel.example>\r\nTo: " + cardio + "\r\nSubject: =?utf-8?q?Trac=C3=A9?=\r\nMessage-ID: <html@cabinet.example>\r\nDate: Mon, 23 Nov 2026 09:00:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
		strings.ReplaceAll(strings.ReplaceAll(page, "AWAY", away.URL), "\n", "\r\n")
	a := w.receiveRaw([]byte(raw))
	at := "/messages/" + string(a.ID)

	v := w.as("claire")
	body := find(v.page(at), ".body")
	if len(body) != 1 {
		t.Fatal("the words of the mail are not shown")
	}
	if said := text(body[0]); !strings.Contains(said, "Chère consœur,") || !strings.Contains(said, "Le tracé de Mme ESSAI est joint.") || !strings.Contains(said, "Dr MARTEL") || strings.Contains(said, "alert(1)") || strings.Contains(said, "@import") {
		t.Errorf("people read %q", said)
	}
	for n := range body[0].Descendants() {
		if n.Type == html.ElementNode {
			t.Errorf("the words hold an element: %s", n.Data)
		}
	}
	for _, file := range []string{at + "/original", at + "/parties/0"} {
		got := v.get(file)
		if h := got.Header; got.StatusCode != http.StatusOK || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || strings.HasPrefix(h.Get("Content-Type"), "text/html") || !strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: status %d, %v", file, got.StatusCode, h)
		}
	}

	s := w.screen(t)
	for _, who := range []string{"claire", "paul"} {
		if who != "claire" {
			s.logout()
		}
		s.login(who)
		for _, p := range []string{"/file", at, at + "?etat=a-traiter"} {
			s.open(p)
			if got := s.eval(`String(window.hit) + " " + document.querySelectorAll("main script, main img, main object, main embed, main video, main base, main style, .body *, [onclick], [onload], [onerror], a[href^='javascript:'], [ping]").length`); got != "undefined 0" {
				t.Errorf("%s, %s: %s", who, p, got)
			}
		}
		s.open(at)
		s.shot("message-html")
	}
	s.quiet()
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests went outside", n)
	}
}
