package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/services/integrator"
)

// replayReport is what "greffe replay --di --json" prints.
type replayReport struct {
	DI        string        `json:"di"`
	Run       string        `json:"run"` // names the MSH-10 of this run
	Sent      int           `json:"sent"`
	Taken     int           `json:"taken"`     // by the test DI
	Otherwise int           `json:"otherwise"` // taken by a real DI, and not by this one
	Documents []replayedRow `json:"documents"`
}

type replayedRow struct {
	Document string `json:"document"`
	Real     string `json:"real"`  // state in the real DIs
	State    string `json:"state"` // at the test DI; "à traiter": a rule of Greffe holds it there
	Code     string `json:"code"`
	Text     string `json:"text"`
}

// replayDays sends documents of past days to a test DI.
func (a *app) replayDays(ctx context.Context, c *call, o *replayOptions) error {
	if o.from == "" || o.to == "" {
		return fmt.Errorf("%w : --di demande --from et --to", errUsage)
	}
	from, to, err := o.days()
	if err != nil {
		return err
	}
	if err := a.openArchive(ctx); err != nil {
		return err
	}
	if err := a.openIndex(ctx); err != nil {
		return err
	}
	i, err := integrator.New(integratorConfig(a.cfg), nil, a.store, a.db, a.log)
	if err != nil {
		return err
	}
	defer i.Close()
	r := replayReport{DI: o.di, Run: rand.Text()[:10], Documents: []replayedRow{}}
	bar := newProgress(c.err, "renvois")
	err = i.Replay(ctx, o.di, r.Run, localActor, from, to, func(d integrator.Replayed) error {
		r.Sent++
		switch {
		case d.Outcome.State == greffe.StateDelivered:
			r.Taken++
		case d.Real == greffe.StateDelivered:
			r.Otherwise++
		}
		r.Documents = append(r.Documents, replayedRow{string(d.Document), string(d.Real), string(d.Outcome.State), d.Outcome.Code, d.Outcome.Text})
		bar.count(r.Sent, 0)
		return nil
	})
	bar.done()
	switch {
	case errors.Is(err, integrator.ErrNotTest):
		return fmt.Errorf("%w : %s n'est pas un DI d'essai (test: true) de la configuration ; les vrais DI ne reçoivent rien par replay", errUsage, o.di)
	case errors.Is(err, bus.ErrUnavailable):
		err = fmt.Errorf("le DI d'essai ne répond pas, après %d documents: %w", r.Sent, err)
	}
	if c.json {
		return errors.Join(json.NewEncoder(c.out).Encode(r), err, r.doubt())
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	for _, d := range r.Documents {
		if d.State != string(greffe.StateDelivered) || d.Real != string(greffe.StateDelivered) {
			fmt.Fprintf(w, "%s\t%s\t→ %s\t%s\t%s\n", d.Document, d.Real, d.State, d.Code, d.Text)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%d documents renvoyés au DI d'essai « %s » : %d intégrés, %d autrement que dans les vrais DI.\n", r.Sent, r.DI, r.Taken, r.Otherwise)
	return errors.Join(err, r.doubt())
}

// doubt is why the command exits with 1 although all was sent.
func (r replayReport) doubt() error {
	if r.Otherwise == 0 {
		return nil
	}
	return fmt.Errorf("%d documents que les vrais DI ont intégrés ne l'ont pas été par « %s »", r.Otherwise, r.DI)
}
