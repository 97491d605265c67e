package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"greffe/pkg/bus"
)

type check struct {
	Name string
	OK   bool
	Text string
}

type stateCount struct {
	Words               stateWords
	Messages, Documents int
}

type letter struct {
	bus.DeadLetter
	Where string // in words: which service gave up
	About string // opaque id of the message or document
}

type systemPage struct {
	Checks   []check
	Counts   []stateCount
	Services []serviceLine
	Mute     bool // what they say could not be read
	Letters  []letter
	Broken   bool // the dead letters could not be read
	Days     []statementLine
}

// topicWords says what a service was doing with an event of a topic.
var topicWords = map[string]string{
	"received": "lecture et conservation d’un message reçu", "parsed": "archivage d’un message lu",
	"archived": "envoi au DI ou rangement d’un message archivé", "delivered": "suites d’un envoi au DI",
	"decided": "application d’une décision sur un document", "triaged": "application d’une décision sur un message", "placed": "mise à jour des pages après une décision",
	"confirmed": "envoi d’un accusé confirmé", "settled": "inscription au journal d’un message marqué ou déplacé dans sa boîte",
	"wanted": "préparation d’un dossier de preuve ou vérification d’un message", "listed": "décompte des messages vus sur le serveur",
}

// showSystem shows the state of the machine to administrators: no names, no
// documents, only counts, errors and opaque ids.
func (c *Console) showSystem(w http.ResponseWriter, r *http.Request, v *visit) error {
	p := systemPage{Checks: c.checks(r.Context())}
	if err := c.record(v, "read", "", "ok", "system"); err != nil {
		return err
	}
	messages, documents, err := c.db.Tally(r.Context())
	if err != nil {
		return err
	}
	for _, s := range statesShown {
		p.Counts = append(p.Counts, stateCount{Words: s, Messages: messages[s.State], Documents: documents[s.State]})
	}
	now := time.Now()
	p.Checks = append(p.Checks, c.sealing(r.Context(), now)...)
	if p.Days, err = c.statements(r.Context(), now); err != nil {
		return err
	}
	p.Services, err = c.serviceLines(r.Context())
	p.Mute = err != nil
	letters, err := c.bus.DeadLetters(r.Context())
	p.Broken = err != nil
	for _, l := range letters {
		p.Letters = append(p.Letters, letter{DeadLetter: l, Where: word(topicWords, l.Topic), About: subjectOf(l.Payload)})
	}
	return c.render(w, r, v, http.StatusOK, "systeme", page{Title: "État du système", Nav: "systeme", Data: p})
}

// subjectOf finds the opaque id of what an event is about, whatever its topic.
func subjectOf(payload []byte) string {
	var e struct {
		ID       string `json:"id"`
		Document string `json:"document"`
		Received struct {
			ID string `json:"id"`
		} `json:"received"`
		Message json.RawMessage `json:"message"` // its id, its state or what it says
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return ""
	}
	message := ""
	if len(e.Message) > 0 && json.Unmarshal(e.Message, &message) != nil {
		message = ""
	}
	for _, id := range []string{e.Document, e.Received.ID, message, e.ID} {
		if safeID(id) != "" {
			return id
		}
	}
	return ""
}

// replay gives a dead letter back to the service that gave up on it.
func (c *Console) replay(w http.ResponseWriter, r *http.Request, v *visit) error {
	id := r.PathValue("id")
	letters, err := c.bus.DeadLetters(r.Context())
	if err != nil {
		return fmt.Errorf("list dead letters: %w", err)
	}
	subject, found := "", false
	for _, l := range letters {
		if l.ID == id {
			subject, found = subjectOf(l.Payload), true
		}
	}
	if !found {
		c.flash(r, "Ce traitement a déjà été relancé.")
		http.Redirect(w, r, "/systeme", http.StatusSeeOther)
		return nil
	}
	if err := c.record(v, "replayed", subject, "ok", ""); err != nil {
		return err
	}
	if err := c.bus.Replay(r.Context(), id); err != nil && !errors.Is(err, bus.ErrNotFound) {
		return fmt.Errorf("replay dead letter: %w", err)
	}
	c.flash(r, "Traitement relancé.")
	http.Redirect(w, r, "/systeme", http.StatusSeeOther)
	return nil
}

// replayAll gives back every dead letter that there is, one after the other; what comes
// meanwhile stays for the next time.
func (c *Console) replayAll(w http.ResponseWriter, r *http.Request, v *visit) error {
	letters, err := c.bus.DeadLetters(r.Context())
	if err != nil {
		return fmt.Errorf("list dead letters: %w", err)
	}
	n := 0
	for _, l := range letters {
		if err := c.record(v, "replayed", subjectOf(l.Payload), "ok", ""); err != nil {
			return err
		}
		switch err := c.bus.Replay(r.Context(), l.ID); {
		case errors.Is(err, bus.ErrNotFound): // somebody else did
		case err != nil:
			return fmt.Errorf("replay dead letter: %w", err)
		default:
			n++
		}
	}
	c.flash(r, plural(n, "traitement relancé", "traitements relancés")+".")
	http.Redirect(w, r, "/systeme", http.StatusSeeOther)
	return nil
}

const checkTimeout = 3 * time.Second

// checks tries what the console needs.
func (c *Console) checks(ctx context.Context) []check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	database := check{Name: "Index", OK: true, Text: "répond"}
	if err := c.db.Ping(ctx); err != nil {
		database.OK, database.Text = false, "ne répond pas : les pages et les recherches sont indisponibles ; vérifier la base de données"
	}
	events := check{Name: "Bus", OK: true, Text: "répond"}
	if _, err := c.bus.CountDeadLetters(ctx); err != nil {
		events.OK, events.Text = false, "ne répond pas : plus rien n’avance, rien n’est perdu ; vérifier le serveur NATS et l’espace disque"
	}
	return []check{database, events}
}

// healthz says that the process lives.
func (c *Console) healthz(w http.ResponseWriter, _ *http.Request, _ *visit) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, "ok")
	return nil
}

// readyz says whether requests can be answered: bus and index there, not stopping.
func (c *Console) readyz(w http.ResponseWriter, r *http.Request, _ *visit) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	checks := c.checks(r.Context())
	status := http.StatusOK
	if c.closing.Load() {
		status = http.StatusServiceUnavailable
	}
	for _, k := range checks {
		if !k.OK {
			status = http.StatusServiceUnavailable
		}
	}
	w.WriteHeader(status)
	for _, k := range checks {
		fmt.Fprintf(w, "%s: %s\n", map[bool]string{true: "ok", false: "ko"}[k.OK], k.Name)
	}
	return nil
}
