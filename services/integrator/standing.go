package integrator

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const gateEvery = time.Second

// watchGates follows what the index says about the DIs, until ctx is done.
func (i *Integrator) watchGates(ctx context.Context) error {
	tick := time.NewTicker(gateEvery)
	defer tick.Stop()
	for {
		if err := i.readGates(ctx); err != nil && ctx.Err() == nil {
			i.log.Warn("state of the DIs not read", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (i *Integrator) readGates(ctx context.Context) error {
	gates, err := i.index.Gates(ctx)
	if err != nil {
		return err
	}
	for _, g := range gates {
		q := i.queue(g.Name)
		if q == nil {
			continue
		}
		was := q.gate.closed(time.Now()) != nil
		q.gate.set(g)
		if was != (q.gate.closed(time.Now()) != nil) {
			i.changed()
		}
	}
	return nil
}

// changed has the standing told again.
func (i *Integrator) changed() {
	select {
	case i.news <- struct{}{}:
	default:
	}
}

// standing says how it goes with each DI, for the pages that people look at.
func (i *Integrator) standing(ctx context.Context) []bus.Standing {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	queues, err := i.index.Queues(ctx)
	var out []bus.Standing
	if err != nil { // it is not silent for all that
		for _, t := range i.targets {
			out = append(out, bus.Standing{Service: "integrator", Instance: t.Name, Trouble: "L’index ne répond pas : rien n’est envoyé à ce DI, rien n’est perdu. Vérifier la base de données."})
		}
		return out
	}
	for _, q := range queues {
		if st, ok := Standing(q); ok {
			out = append(out, st)
		}
	}
	return out
}

// Standing says in French how it goes with a DI; false for one that was taken out of the
// configuration and for which nothing waits.
func Standing(q index.Queue) (bus.Standing, bool) {
	st := bus.Standing{Service: "integrator", Instance: q.Name}
	waits := fmt.Sprintf("%d document(s) attendent.", q.Waiting)
	switch q.Waiting {
	case 0:
		waits = "Aucun document n’attend."
	case 1:
		waits = "Un document attend."
	}
	switch {
	case !q.Configured && q.Waiting == 0:
		return st, false
	case !q.Configured:
		st.Trouble, st.Since = "Ce DI n’est plus dans la configuration. "+waits+" Le remettre, ou classer ces documents.", q.Oldest
		st.Waiting = "Le DI « " + q.Name + " » n’est plus configuré : des documents l’attendent. Prévenez l’administrateur."
	case !q.StoppedAt.IsZero():
		st.Trouble, st.Since = "Envois arrêtés par une erreur technique. "+q.Stopped.Text+" Corriger, puis reprendre les envois. "+waits, q.StoppedAt
		st.Waiting = "Les envois au DI « " + q.Name + " » sont arrêtés par une erreur technique : les documents attendent, rien n’est perdu. Prévenez l’administrateur."
	case !q.PausedAt.IsZero():
		st.Warning, st.Since = "Envois en pause, à la demande de "+q.PausedBy+". "+waits, q.PausedAt
		st.Waiting = "Les envois au DI « " + q.Name + " » sont en pause : les documents attendent, rien n’est perdu."
	case !q.DownAt.IsZero():
		st.Trouble, st.Since = "Le DI ne répond pas : un essai par minute, puis tout repart. Vérifier qu’il est démarré et joignable. "+waits, q.DownAt
		st.Waiting = "Le DI « " + q.Name + " » ne répond pas : les documents attendent, rien n’est perdu."
	default:
		st.Text = waits
	}
	if q.Last.State != "" {
		st.Text += fmt.Sprintf(" Dernier refus : %s (%s).", greffe.Reason(q.Last.Code), q.Last.Code)
	}
	return st, true
}

// configure tells the index which DIs there are.
func (i *Integrator) configure(ctx context.Context) error {
	var live, test []string
	for _, t := range i.targets {
		if t.Test {
			test = append(test, t.Name)
		} else {
			live = append(live, t.Name)
		}
	}
	return i.index.ConfigureDIs(ctx, live, test)
}

// admissions are the documents that are being admitted in this process.
type admissions struct{ lineages }

func (a *admissions) begin(id greffe.DocumentID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[string(id)] {
		return false
	}
	a.busy[string(id)] = true
	return true
}

func (a *admissions) end(id greffe.DocumentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, string(id))
}

// policy is who decides about the patient at the DI.
func (d DI) policy() Policy {
	if d.Patient == "" {
		return DIDecides
	}
	return d.Patient
}

// plain reports whether the DI takes a document without a CDA header.
func (d DI) plain() bool { return d.Protocol == "fhir" || d.HL7.PlainPDF != "" }
