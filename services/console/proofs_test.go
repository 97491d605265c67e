package console

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// packed are the bytes of the packs that pack makes.
var packed = bytes.Repeat([]byte("PK essai de Martin "), 10_000)

// pack makes a pack that lies ready for somebody, as the storage service does.
func (w *world) pack(id, login string, messages ...greffe.MessageID) {
	w.t.Helper()
	var items []index.PackItem
	for _, m := range messages {
		items = append(items, index.PackItem{Message: m})
	}
	if err := w.db.AskPack(w.t.Context(), index.Pack{ID: id, Requester: login, Kind: "message", State: index.PackQueued, Messages: len(items), Documents: 1}, items); err != nil {
		w.t.Fatal(err)
	}
	w.finishPack(id)
}

func (w *world) finishPack(id string) {
	w.t.Helper()
	key, err := archive.NewCover()
	if err != nil {
		w.t.Fatal(err)
	}
	covered, err := archive.Cover(key, bytes.NewReader(packed))
	if err == nil {
		err = w.bus.PutPack(w.t.Context(), id, covered)
	}
	if err == nil {
		err = w.db.ChangePack(w.t.Context(), id, func(p *index.Pack) ([]index.Entry, error) {
			p.State, p.CoverKey, p.Stored, p.Size, p.SHA256, p.Verdict = index.PackReady, key, true, int64(len(packed)), greffe.DigestOf(packed), "OK"
			p.Built = time.Now().UTC()
			p.Expires = p.Built.Add(time.Hour)
			return nil, nil
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) packOf(login string) index.Pack {
	w.t.Helper()
	list, err := w.db.Packs(w.t.Context(), login, 1)
	if err != nil || len(list) != 1 {
		w.t.Fatalf("%d packs of %s, %v", len(list), login, err)
	}
	return list[0]
}

// An auditor is told how many documents it is about, says why, and alone may download it.
func TestProofIsAskedAndTaken(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.ProofDocuments = 3 })
	var ids []greffe.MessageID
	for _, n := range []string{"1", "2", "3"} {
		ids = append(ids, w.receive(mail{mailbox: cardio, subject: "Lettre " + n, docs: []doc{{facts: cda1(n, 1, "Lettre "+n, maelle), bytes: []byte("<d" + n + "/>"), body: reportPDF(n)}}}).ID)
	}
	paul := w.as("paul")
	found := paul.post("/recherche", url.Values{"ins": {maelle.INS.Extension}}).Header.Get("Location")
	_, q, _ := strings.Cut(found, "q=")
	if body := paul.get(found).body; !strings.Contains(body, "/preuves/choix") || strings.Count(body, `name="document"`) != 3 {
		t.Error("the search offers no proof pack")
	}
	// The rows of a page, a document, a message, all that was found.
	for name, form := range map[string]url.Values{
		"2 documents": {"document": {string(greffe.NewDocumentID(ids[0], 1)), string(greffe.NewDocumentID(ids[1], 1))}},
		"1 document":  {"message": {string(ids[2])}},
		"3 documents": {"tout": {"1"}, "q": {q}},
	} {
		a := paul.post("/preuves/choix", form)
		if a.StatusCode != http.StatusOK || !strings.Contains(a.body, "<strong>"+name+"</strong>") {
			t.Errorf("%s: status %d", name, a.StatusCode)
		}
	}
	if a := paul.post("/preuves/choix", url.Values{"tout": {"1"}, "q": {"inconnue"}}); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a search that is not known: status %d", a.StatusCode)
	}
	ask := url.Values{"tout": {"1"}, "q": {q}, "attendu": {"3"}, "motif": {"Réclamation de la famille"}}
	for field, c := range map[string]struct {
		value string
		want  int
	}{"motif": {"", 422}, "attendu": {"2", 409}} {
		bad := url.Values{}
		for k, v := range ask {
			bad[k] = v
		}
		bad.Set(field, c.value)
		if a := paul.post("/preuves", bad); a.StatusCode != c.want {
			t.Errorf("%s %q: status %d, want %d", field, c.value, a.StatusCode, c.want)
		}
	}
	if a := paul.post("/preuves", ask); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", a.StatusCode)
	}
	p := w.packOf("paul")
	if p.State != index.PackQueued || p.Documents != 3 || p.Messages != 3 || p.Reason != ask.Get("motif") {
		t.Errorf("%+v", p)
	}
	if !w.journalled("paul", "pack-asked", p.ID, "ok") {
		t.Error("the request is not in the journal")
	}
	for _, e := range w.journal() {
		if strings.Contains(e.Detail, "amille") {
			t.Errorf("the journal holds the reason: %+v", e)
		}
	}
	to := "/preuves/" + p.ID + "/telechargement"
	if a := paul.get(to); a.StatusCode != http.StatusGone {
		t.Errorf("before it is ready: status %d", a.StatusCode)
	}
	w.finishPack(p.ID)
	if body := paul.get("/preuves").body; !strings.Contains(body, to) || !strings.Contains(body, "Réclamation de la famille") {
		t.Error("the page does not offer the pack")
	}
	a := paul.get(to)
	if a.StatusCode != http.StatusOK || a.body != string(packed) || a.Header.Get("Repr-Digest") == "" {
		t.Errorf("downloaded %d bytes, status %d", len(a.body), a.StatusCode)
	}
	if !w.journalled("paul", "pack-downloaded", p.ID, "ok") || w.packOf("paul").Taken.IsZero() {
		t.Error("the download is not in the journal")
	}
	other := w.as("audit-radio")
	for path, method := range map[string]string{to: "GET", "/preuves/" + p.ID + "/annuler": "POST"} {
		if got, _ := other.status(t, method, path); got != http.StatusNotFound || !w.journalled("audit-radio", "denied", p.ID, "refused") {
			t.Errorf("%s %s by another auditor: status %d, or not in the journal", method, path, got)
		}
	}
	if strings.Contains(other.get("/preuves").body, p.ID) {
		t.Error("another auditor sees the pack")
	}
	// Documents of a mailbox that the auditor may not see are no more than unknown.
	if a := other.post("/preuves/choix", url.Values{"message": {string(ids[0])}}); a.StatusCode != http.StatusNotFound || !w.journalled("audit-radio", "denied", string(ids[0]), "refused") {
		t.Errorf("a message of another mailbox: status %d", a.StatusCode)
	}
	w.receive(mail{mailbox: cardio, subject: "Lettre 4", docs: []doc{{facts: cda1("4", 1, "Lettre 4", maelle), bytes: []byte("<d4/>")}}})
	if a := paul.post("/preuves/choix", url.Values{"tout": {"1"}, "q": {q}}); a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.body, "plus de 3 documents") {
		t.Errorf("more than the limit: status %d", a.StatusCode)
	}
	if a := paul.post("/preuves/"+p.ID+"/annuler", nil); a.StatusCode != http.StatusSeeOther || w.packOf("paul").CoverKey != "" {
		t.Errorf("removed: status %d", a.StatusCode)
	}
	if a := paul.get(to); a.StatusCode != http.StatusGone {
		t.Errorf("after it was removed: status %d", a.StatusCode)
	}
}

// With four eyes the request waits for another auditor, who sees what it is about.
func TestProofNeedsASecondAuditor(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.FourEyes = true })
	if err := w.db.SaveUser(t.Context(), index.User{Login: "jeanne", Role: "auditor", Places: []string{index.Everywhere}, Hash: hashed()}); err != nil {
		t.Fatal(err)
	}
	m := w.receive(mail{mailbox: cardio, subject: "Lettre", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<d/>")}}})
	paul, jeanne, radio := w.as("paul"), w.as("jeanne"), w.as("audit-radio")
	ask := func() index.Pack {
		t.Helper()
		if a := paul.post("/preuves", url.Values{"message": {string(m.ID)}, "attendu": {"1"}, "motif": {"Expertise 12"}}); a.StatusCode != http.StatusSeeOther {
			t.Fatalf("status %d", a.StatusCode)
		}
		return w.packOf("paul")
	}
	p := ask()
	if p.State != index.PackWaiting {
		t.Fatalf("%s", p.State)
	}
	grant := "/accords/preuves/" + p.ID + "/accorder"
	if a := paul.post(grant, nil); a.StatusCode != http.StatusConflict || !w.journalled("paul", "denied", p.ID, "refused") {
		t.Errorf("by who asked: status %d", a.StatusCode)
	}
	if a := radio.post(grant, nil); a.StatusCode != http.StatusNotFound || strings.Contains(radio.get("/accords").body, "Expertise 12") {
		t.Errorf("by an auditor of another mailbox: status %d, or shown", a.StatusCode)
	}
	if !strings.Contains(jeanne.get("/accords").body, "Expertise 12") {
		t.Error("the second auditor does not see the request")
	}
	if a := jeanne.post(grant, nil); a.StatusCode != http.StatusSeeOther || w.packOf("paul").State != index.PackQueued || !w.journalled("jeanne", "pack-granted", p.ID, "ok") {
		t.Errorf("by the second auditor: status %d, %s", a.StatusCode, w.packOf("paul").State)
	}
	if a := jeanne.post(grant, nil); a.StatusCode != http.StatusConflict {
		t.Errorf("twice: status %d", a.StatusCode)
	}
	if p = ask(); jeanne.post("/accords/preuves/"+p.ID+"/refuser", nil).StatusCode != http.StatusSeeOther || w.packOf("paul").State != index.PackRefused {
		t.Error("the refusal was not kept")
	}
}

// Where a pack stands reaches an open page.
func TestProofProgressIsLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.receive(mail{mailbox: cardio, subject: "Lettre"})
	err := w.db.AskPack(t.Context(), index.Pack{ID: "P1", Requester: "paul", Kind: "message", State: index.PackQueued, Messages: 1}, []index.PackItem{{Message: m.ID}})
	if err != nil {
		t.Fatal(err)
	}
	stream := w.as("paul").feed("/preuves/flux")
	var e packEvent
	if !stream.next("dossier", &e) || e.ID != "P1" || !strings.Contains(e.HTML, "Dans la file") {
		t.Errorf("%+v", e)
	}
	w.finishPack("P1")
	for e.Said != "Prêt" {
		if !stream.next("dossier", &e) {
			t.Fatal("the stream ended")
		}
	}
}

// The verification of a message is asked for, shown check by check, and told while it goes on.
func TestCheckupIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.receive(mail{mailbox: cardio, subject: "Lettre", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<d/>")}}})
	paul := w.as("paul")
	page := "/messages/" + string(m.ID) + "/verification"
	for _, from := range []string{"/messages/" + string(m.ID), "/documents/" + string(greffe.NewDocumentID(m.ID, 1))} {
		if body := paul.get(from).body; !strings.Contains(body, "Vérifier maintenant") {
			t.Errorf("%s offers no verification", from)
		}
		if strings.Contains(w.as("claire").get(from).body, "Vérifier maintenant") {
			t.Errorf("%s offers it to a secretary", from)
		}
	}
	if a := paul.post("/documents/"+string(greffe.NewDocumentID(m.ID, 1))+"/verification", nil); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != page {
		t.Errorf("status %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	if body := paul.get(page).body; !strings.Contains(body, "Vérification en cours") {
		t.Error("the page does not say that it goes on")
	}
	end := func(problem, report string) {
		t.Helper()
		c, err := w.db.NextCheckup(t.Context())
		if err == nil {
			err = w.db.EndCheckup(t.Context(), c.ID, problem, report)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	end("", `{"ok":false,"checks":[{"id":"object.bytes","must":"Chaque contenu a la taille et l’empreinte enregistrées.","status":"broken","looked":2,"failed":1}],"holes":[{"check":"object.bytes","text":"Un contenu n’est plus celui qui a été enregistré.","todo":"Restaurez-le depuis une sauvegarde.","key":"content/ab/cd"}]}`)
	if body := paul.get(page).body; !strings.Contains(body, "En défaut") || !strings.Contains(body, "Restaurez-le") || !strings.Contains(body, "content/ab/cd") {
		t.Error("the page does not show what is broken")
	}
	if _, err := w.db.AskCheckup(t.Context(), index.Checkup{ID: "again", Message: m.ID, Requester: "paul"}); err != nil {
		t.Fatal(err)
	}
	end("L’archive est trop lente.", "")
	if body := paul.get(page).body; !strings.Contains(body, "trop lente") {
		t.Error("the page does not say why there is no result")
	}
}
