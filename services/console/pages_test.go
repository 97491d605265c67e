package console

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
)

// hostile is text that would do something if it were not escaped.
const hostile = `<script>alert(1)</script><img src=x onerror=alert(2)>"'></title>` + "\u202e"

func TestQueueShowsWhatCameIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, m := range sampleMail() {
		w.receive(m)
	}
	v := w.as("paul")
	page := v.page("/file")
	rows := find(page, "#lignes tr")
	if len(rows) != len(sampleMail()) {
		t.Fatalf("%d rows, want %d", len(rows), len(sampleMail()))
	}
	// Newest first.
	times := []string{}
	for _, r := range find(page, "#lignes time") {
		times = append(times, attr(r, "datetime"))
	}
	if !slices.IsSortedFunc(times, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("rows are not newest first: %v", times)
	}
	all := text(find(page, "#lignes")[0])
	for _, want := range []string{"ESSAI-KERVELLA MAELLE", "NESSI (DECOURCY) RUTH", "Échocardiographie transthoracique", "Patient inconnu du dossier informatisé (902)", "sans INS", "accès restreint", "Accusé de lecture", "Doublon", "2 documents · Le dossier ne répond pas", "Message sans objet"} {
		if !strings.Contains(all, want) {
			t.Errorf("the queue does not say %q", want)
		}
	}
	// Tabs with their counts; a click keeps only those.
	if found := find(page, ".tabs a"); len(found) != len(tabs)+1 || text(found[0]) != "Tous 18" {
		t.Errorf("%d tabs, the first %q", len(found), text(found[0]))
	}
	todo := v.page("/file?etat=a-traiter")
	if got := find(todo, "#lignes tr"); len(got) != 7 {
		t.Errorf("%d messages to decide, want 7", len(got))
	}
	if h := text(find(todo, "title")[0]); !strings.HasPrefix(h, "À traiter") {
		t.Errorf("title %q", h)
	}
	if got := find(v.page("/file?bal="+greffe.MailboxKey(radio)), "#lignes tr"); len(got) != 2 {
		t.Errorf("%d messages of radiology, want 2", len(got))
	}
	// Text goes by the session: the address is opaque.
	a := v.post("/file", url.Values{"texte": {"kervella"}, "etat": {"integre"}, "bal": {greffe.MailboxKey(cardio)}})
	to := a.Header.Get("Location")
	if strings.Contains(strings.ToLower(to), "kervella") || !strings.Contains(to, "q=") {
		t.Errorf("sent to %q", to)
	}
	found := v.page(to)
	if got := find(found, "#lignes tr"); len(got) != 2 || attr(find(found, "#texte")[0], "value") != "kervella" {
		t.Errorf("%d messages found, want 2", len(got))
	}
	// Somebody else's q means nothing.
	if got := find(w.as("claire").page(to), "#texte"); attr(got[0], "value") != "" {
		t.Error("a q of another session is understood")
	}
}

func TestQueueIsPaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range rowsPerPage + 3 {
		w.receive(mail{subject: "Message", kind: greffe.KindText})
	}
	v := w.as("claire")
	seen := map[string]bool{}
	path := "/file"
	for n := 0; path != "" && n < 5; n++ {
		page := v.page(path)
		for _, r := range find(page, "#lignes tr") {
			if seen[attr(r, "id")] {
				t.Errorf("%s is on two pages", attr(r, "id"))
			}
			seen[attr(r, "id")] = true
		}
		path = ""
		if next := find(page, ".paging a"); len(next) == 1 {
			path = attr(next[0], "href")
		}
	}
	if len(seen) != rowsPerPage+3 {
		t.Errorf("%d messages on all pages, want %d", len(seen), rowsPerPage+3)
	}
}

func TestNothingFromOutsideIsMarkup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := maelle
	p.BirthFamily, p.FirstGiven = "N"+hostile, "P"+hostile
	f := cda1("66", 1, "T"+hostile, p)
	f.Authors = []greffe.Person{{Family: "A" + hostile}}
	f.Findings = []greffe.Finding{{Rule: "x.y", Severity: greffe.Hold, Text: "F" + hostile, Where: hostile}}
	a := w.receive(mail{subject: "S" + hostile, body: "B" + hostile, folder: "INBOX/" + hostile, from: greffe.Address{Name: "D" + hostile, Address: "x@y.example"}, findings: f.Findings,
		docs: []doc{{facts: f, bytes: []byte("<a/>"), name: "f" + hostile + ".xml", outcomes: []greffe.Outcome{{State: greffe.StateTodo, Text: "R" + hostile}}}, {facts: greffe.Document{Format: greffe.FormatText, MediaType: "text/plain"}, bytes: []byte(hostile), name: hostile}}})
	v := w.as("claire")
	q := v.post("/recherche", url.Values{"nom": {"NScript"}}).Header.Get("Location")
	if q == "" {
		q = "/recherche"
	}
	for _, path := range []string{"/file", "/messages/" + string(a.ID), "/documents/" + string(a.Documents[0]), "/documents/" + string(a.Documents[1]), "/documents/" + string(a.Documents[1]) + "/file", q} {
		answer := v.get(path)
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", path, answer.StatusCode)
		}
		page := parse(t, answer.body)
		for _, s := range find(page, "script") {
			if src := attr(s, "src"); !strings.HasPrefix(src, "/static/") || s.FirstChild != nil {
				t.Errorf("%s: script %q %q", path, src, text(s))
			}
		}
		for d := range page.Descendants() {
			for _, at := range d.Attr {
				if strings.HasPrefix(at.Key, "on") || at.Key == "style" {
					t.Errorf("%s: <%s %s>", path, d.Data, at.Key)
				}
			}
			if d.Type == html.ElementNode && d.Data == "img" && attr(d, "src") == "x" {
				t.Errorf("%s: an image from outside", path)
			}
		}
		if path != q && !strings.Contains(text(page), "<script>alert(1)</script>") {
			t.Errorf("%s: the text is not shown as it is", path)
		}
	}
	for _, h := range []string{"/documents/" + string(a.Documents[1]) + "/telechargement"} {
		if d := v.get(h).Header.Get("Content-Disposition"); strings.ContainsAny(d, "<>\r\n\u202e") {
			t.Errorf("Content-Disposition %q", d)
		}
	}
}

func TestMessagePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	finding := greffe.Finding{Rule: "xdm.hash", Severity: greffe.Warning, Text: "L’empreinte diffère de celle des métadonnées.", Where: "2"}
	f := cda1("5", 1, "Lettre de liaison", maelle)
	f.Findings = []greffe.Finding{finding}
	a := w.receive(mail{subject: "Lettre de liaison", body: "Bonjour,\nvoici la lettre.", docs: []doc{{facts: f, bytes: []byte("<cda/>"), body: reportPDF("Lettre"), name: "DOC0001.XML",
		outcomes: []greffe.Outcome{{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateWaiting, Text: "Le dossier ne répond pas."}, accepted}}}})
	v := w.as("claire")
	page := v.page("/messages/" + string(a.ID))
	all := content(page)
	for _, want := range []string{"Lettre de liaison", "Bonjour,", "DOC0001.XML", finding.Text, "xdm.hash", "À noter", "yvon.martel@cabinet-martel.example", "L’archivage a reçu le message et conservé l’original", "Le dossier ne répond pas.", "Accepté par le dossier.", "Intégré"} {
		if !strings.Contains(all, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if !w.journalled("claire", "read", string(a.ID), "ok") {
		t.Error("the look is not in the journal")
	}
	raw := v.get("/messages/" + string(a.ID) + "/original")
	if raw.StatusCode != http.StatusOK || !strings.HasPrefix(raw.body, "From: yvon.martel") || !strings.HasPrefix(raw.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("original: status %d, %q", raw.StatusCode, raw.Header.Get("Content-Disposition"))
	}
	part := v.get("/messages/" + string(a.ID) + "/parties/1")
	if part.body != "<cda/>" || part.Header.Get("Content-Disposition") != `attachment; filename="DOC0001.XML"` || part.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("part: %q, %v", part.body, part.Header)
	}
	if !w.journalled("claire", "downloaded", string(a.ID), "ok") {
		t.Error("the download is not in the journal")
	}
}

func TestDocumentPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := map[string]greffe.DocumentID{}
	for _, m := range sampleMail() {
		if a := w.receive(m); len(a.Documents) > 0 {
			ids[m.subject] = a.Documents[0]
		}
	}
	v := w.as("claire")
	page := v.page("/documents/" + string(ids["Échographie ESSAI-KERVELLA Maëlle 14/02/1985"]))
	all := content(page)
	for _, want := range []string{"ESSAI-KERVELLA MAELLE", "(MAELLE ANNE)", "Féminin", "14/02/1985", "(41 ans)", "29999", "2 85 02 29 999 077 51", "identité de test", "Dr Yvon MARTEL", "CR d’examens cardiologiques", "21/11/2026 09:30", "Identique à l’original reçu le", "Intégré"} {
		if !strings.Contains(all, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if got := find(page, ".decision form"); len(got) != 1 || !strings.HasPrefix(attr(got[0], "action"), "/messages/") {
		t.Error("a decision but a legal hold is offered about a document that the DI has")
	}

	for _, c := range []struct {
		subject, contentType, policy string
		holds                        string
		sandboxed                    bool // by the attribute of the frame
	}{
		{"Échographie ESSAI-KERVELLA Maëlle 14/02/1985", "application/pdf", "sandbox", "%PDF-1.4", false},
		{"Courrier scanné", "application/pdf", "sandbox", "%PDF-1.4", false},
		{"Résultats DECOURCY Ruth", "text/html; charset=utf-8", "sandbox", "Hémoglobine", true},
		{"Résultats HPRIM", "text/html; charset=utf-8", "sandbox", "Glycémie à jeun", true},
		{"Photo de plaie", "image/png", "sandbox", "PNG", false},
		{"Archive illisible", "text/html; charset=utf-8", "sandbox", "ne peut pas être affiché", false},
	} {
		page := v.page("/documents/" + string(ids[c.subject]))
		if frames := find(page, ".viewer iframe"); len(frames) == 1 {
			sandbox := slices.ContainsFunc(frames[0].Attr, func(a html.Attribute) bool { return a.Key == "sandbox" && a.Val == "" })
			if sandbox != c.sandboxed || attr(frames[0], "title") == "" {
				t.Errorf("%s: frame %v", c.subject, frames[0].Attr)
			}
		}
		file := v.get("/documents/" + string(ids[c.subject]) + "/file")
		if !w.journalled("claire", "shown", string(ids[c.subject]), "ok") {
			t.Errorf("%s: the look at the content is not in the journal", c.subject)
		}
		csp := file.Header.Get("Content-Security-Policy")
		if file.StatusCode != http.StatusOK || file.Header.Get("Content-Type") != c.contentType || !strings.HasPrefix(csp, c.policy) || !strings.Contains(csp, "default-src 'none'") ||
			strings.Contains(csp, "allow-scripts") || !strings.Contains(csp, "frame-ancestors 'self'") || !strings.Contains(file.body, c.holds) {
			t.Errorf("%s: status %d, %s, %s", c.subject, file.StatusCode, file.Header.Get("Content-Type"), csp)
		}
	}
	fox := v.get("/documents/"+string(ids["Courrier scanné"])+"/file", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	if csp := fox.Header.Get("Content-Security-Policy"); csp != pdfCSP {
		t.Errorf("policy for Firefox %q", csp)
	}

	masked := content(v.page("/documents/" + string(ids["Lettre masquée"])))
	for _, want := range []string{"Masqué aux professionnels", "Non visible par le patient", "xdm.masked", "il n’est jamais envoyé au DI", "Refuser, et l’écrire à l’expéditeur…"} {
		if !strings.Contains(masked, want) {
			t.Errorf("the masked document does not say %q", want)
		}
	}
	// No rule of the integrator lets it through: nothing offers to send it, and it is not sent.
	if strings.Contains(masked, "Envoyer au DI") || strings.Contains(masked, "Comparer et choisir le patient") || strings.Contains(masked, "Un envoi ne s’annule pas") {
		t.Error("to send the masked document is offered")
	}
	got := v.get("/documents/" + string(ids["Courrier scanné"]) + "/telechargement")
	if got.Header.Get("Content-Disposition") != `attachment; filename="courrier de sortie.pdf"` || !strings.HasPrefix(got.body, "%PDF") || !strings.HasPrefix(got.Header.Get("Repr-Digest"), "sha-256=:") {
		t.Errorf("download: %v", got.Header)
	}
}

func TestDamagedDocumentIsNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pdf := reportPDF("Original")
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("8", 1, "Lettre", maelle), bytes: []byte("<original/>"), body: pdf}}})
	gone := w.receive(mail{subject: "y", docs: []doc{{facts: cda1("9", 1, "Lettre", maelle), bytes: []byte("<perdu/>"), body: pdf}}})
	// Somebody with access to the disk changes one file and removes another.
	change := func(b []byte, f func(path string) error) {
		t.Helper()
		path := filepath.Join(w.dir, "archive", filepath.FromSlash(archive.ContentKey(greffe.DigestOf(b))))
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f(path); err != nil {
			t.Fatal(err)
		}
	}
	v := w.as("claire")
	id := string(a.Documents[0])
	if !strings.Contains(content(v.page("/documents/"+id)), "Identique à l’original") {
		t.Fatal("not identical to begin with")
	}
	change([]byte("<original/>"), func(p string) error { return os.WriteFile(p, []byte("<modifie!/>"), 0o600) })
	change([]byte("<perdu/>"), os.Remove)

	page := v.page("/documents/" + id)
	if all := content(page); !strings.Contains(all, "Fichier altéré ou absent : ne pas utiliser.") || strings.Contains(all, "Identique") {
		t.Errorf("the page says: %s", all)
	}
	if len(find(page, "iframe")) != 0 {
		t.Error("the altered document is shown")
	}
	if !w.journalled("claire", "integrity", id, "refused") {
		t.Error("the damage is not in the journal")
	}
	for _, p := range []string{"/telechargement"} {
		if got := v.get("/documents/" + id + p); got.StatusCode != http.StatusInternalServerError || strings.Contains(got.body, "<modifie!/>") {
			t.Errorf("%s: status %d", p, got.StatusCode)
		}
	}
	if all := content(v.page("/documents/" + string(gone.Documents[0]))); !strings.Contains(all, "L’archive ne contient plus le fichier") {
		t.Errorf("the page of a missing file says: %s", all)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, m := range sampleMail() {
		w.receive(m)
	}
	v := w.as("paul")
	for _, c := range []struct {
		name string
		form url.Values
		want int
	}{
		{"INS", url.Values{"ins": {"2 85 02 29 999 077 51"}}, 3},
		{"INS without key", url.Values{"ins": {"2850229999077"}}, 3},
		{"name", url.Values{"nom": {"essai kervella"}}, 4},
		{"used name", url.Values{"nom": {"decour"}}, 3},
		{"birth date", url.Values{"naissance": {"1979-03-28"}}, 5},
		{"birth date as typed", url.Values{"naissance": {"28/03/1979"}}, 5},
		{"name and birth date", url.Values{"nom": {"pat"}, "naissance": {"1985-02-14"}}, 0},
	} {
		a := v.post("/recherche", c.form)
		to := a.Header.Get("Location")
		if a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: status %d: %s", c.name, a.StatusCode, content(parse(t, a.body)))
			continue
		}
		for _, v := range c.form {
			if strings.Contains(to, url.QueryEscape(v[0])) {
				t.Errorf("%s: the address %q names the patient", c.name, to)
			}
		}
		page := v.page(to)
		if got := find(page, "#lignes tr"); len(got) != c.want {
			t.Errorf("%s: %d documents, want %d", c.name, len(got), c.want)
		}
		for _, l := range find(page, ".c-get a") {
			if got := v.get(attr(l, "href")); got.StatusCode != http.StatusOK {
				t.Errorf("%s: download %s: status %d", c.name, attr(l, "href"), got.StatusCode)
			}
		}
	}
	if !w.journalled("paul", "searched", "", "ok") {
		t.Error("the search is not in the journal")
	}
	for field, value := range map[string]string{"ins": "123", "nom": "k", "naissance": "hier", "du": "2026-13-40", "": ""} {
		a := v.post("/recherche", url.Values{field: {value}})
		if a.StatusCode != http.StatusUnprocessableEntity || len(find(parse(t, a.body), ".error")) == 0 {
			t.Errorf("%s=%q: status %d, no sentence", field, value, a.StatusCode)
		}
	}
	if a := v.post("/recherche", url.Values{"du": {"2026-11-20"}, "au": {"2026-11-01"}}); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("dates upside down: status %d", a.StatusCode)
	}
	if !strings.Contains(content(v.page("/recherche?q=PERDU")), "n’est plus en mémoire") {
		t.Error("a lost search is not said to be")
	}
	// Neither the journal nor the log names anybody.
	for _, e := range w.journal() {
		for _, s := range []string{e.Subject, e.Detail, e.Result} {
			if strings.Contains(strings.ToLower(s), "kervella") || strings.Contains(s, maelle.INS.Extension[:10]) {
				t.Errorf("the journal names the patient: %+v", e)
			}
		}
	}
	if l := strings.ToLower(w.log.String()); strings.Contains(l, "kervella") || strings.Contains(l, maelle.INS.Extension[:10]) {
		t.Error("the log names the patient")
	}
}

func TestJournalPageAndItsOwnReading(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.receive(mail{subject: "x"})
	w.as("claire").get("/messages/" + string(a.ID))
	v := w.as("paul")
	all := content(v.page("/journal"))
	for _, want := range []string{"claire", "a consulté le message", string(a.ID), "s’est connecté", "127.0.0.1"} {
		if !strings.Contains(all, want) {
			t.Errorf("the journal does not say %q", want)
		}
	}
	if !w.journalled("paul", "read", "", "ok") {
		t.Error("reading the journal is not in the journal")
	}
	if got, _ := v.status(t, "GET", "/file?avant=x"); got != http.StatusBadRequest {
		t.Errorf("avant=x in the queue: status %d", got)
	}
	if got, _ := v.status(t, "GET", "/journal?avant=x"); got != http.StatusBadRequest {
		t.Errorf("avant=x: status %d", got)
	}
}

func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var id greffe.DocumentID
	for _, m := range sampleMail() {
		if a := w.receive(m); m.subject == "Lettre masquée" {
			id = a.Documents[0]
		}
	}
	claire, paul, root := w.as("claire"), w.as("paul"), w.as("root")
	for _, c := range []struct {
		v    *visitor
		path string
	}{{w.visitor(), "/connexion"}, {claire, "/file"}, {claire, "/messages/" + string(id.Message())}, {claire, "/documents/" + string(id)}, {claire, "/recherche"}, {claire, "/aide"}, {claire, "/aide/regles"}, {paul, "/journal"}, {root, "/systeme"}, {root, "/systeme/comptes"}} {
		page := c.v.page(c.path)
		if attr(find(page, "html")[0], "lang") != "fr" || !strings.HasSuffix(text(find(page, "title")[0]), "— Greffe") {
			t.Errorf("%s: language or title", c.path)
		}
		if len(find(page, "main")) != 1 || len(find(page, "h1")) != 1 || attr(find(page, "a.skip")[0], "href") != "#contenu" || len(find(page, "#contenu")) != 1 {
			t.Errorf("%s: landmarks, heading or skip link", c.path)
		}
		ids := map[string]bool{}
		labels := map[string]bool{}
		for d := range page.Descendants() {
			if d.Type != html.ElementNode {
				continue
			}
			if id := attr(d, "id"); id != "" {
				if ids[id] {
					t.Errorf("%s: id %q twice", c.path, id)
				}
				ids[id] = true
			}
			if d.Data == "label" {
				labels[attr(d, "for")] = true
			}
		}
		for d := range page.Descendants() {
			if d.Type != html.ElementNode {
				continue
			}
			for _, ref := range []string{"aria-labelledby", "aria-describedby"} {
				for id := range strings.FieldsSeq(attr(d, ref)) {
					if !ids[id] {
						t.Errorf("%s: %s names %q, which is not there", c.path, ref, id)
					}
				}
			}
			switch d.Data {
			case "input", "select", "textarea":
				if attr(d, "type") != "hidden" && attr(d, "type") != "checkbox" && !labels[attr(d, "id")] {
					t.Errorf("%s: field %q has no label", c.path, attr(d, "name"))
				}
			case "a", "button":
				if text(d) == "" && attr(d, "id") != "nouveaux" {
					t.Errorf("%s: a link or button without words: %v", c.path, d.Attr)
				}
			case "th":
				if attr(d, "scope") == "" {
					t.Errorf("%s: a header cell without scope", c.path)
				}
			case "svg":
				if attr(d, "aria-hidden") != "true" {
					t.Errorf("%s: a drawing that is read aloud", c.path)
				}
			}
		}
	}
}
