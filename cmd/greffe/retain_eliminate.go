package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/services/storage"
)

// eliminationAsked is what --ask --json prints.
type eliminationAsked struct {
	ID       string             `json:"id,omitempty"` // empty: nothing was asked
	DryRun   bool               `json:"dry_run"`
	Messages []greffe.MessageID `json:"messages"`
	Removed  int                `json:"removed"` // objects that would go
	Shared   int                `json:"shared"`  // objects that others name, too
	NotYet   []storage.NotYet   `json:"not_yet"`
}

func (o *retainOptions) eliminate(ctx context.Context, c *call, a *app) error {
	switch {
	case o.ask:
		return o.askElimination(ctx, c, a)
	case o.confirm != "":
		return o.confirmElimination(ctx, c, a)
	}
	return listEliminations(ctx, c, a.db)
}

func (o *retainOptions) askElimination(ctx context.Context, c *call, a *app) error {
	ids, _, err := o.find(ctx, a.db)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return o.none()
	}
	bar := newProgress(c.err, "contenus partagés")
	e, bad, err := storage.AskElimination(ctx, a.store, a.db, ids, o.by, o.dryRun, bar.update)
	bar.done()
	if err != nil {
		return explain(err)
	}
	res := eliminationAsked{ID: e.ID, DryRun: o.dryRun, Messages: []greffe.MessageID{}, NotYet: append([]storage.NotYet{}, bad...)}
	for _, m := range e.Messages {
		res.Messages = append(res.Messages, m.ID)
		for _, obj := range m.Objects {
			if obj.Kept != "" {
				res.Shared++
			} else {
				res.Removed++
			}
		}
	}
	if c.json {
		err = json.NewEncoder(c.out).Encode(res)
	} else {
		res.print(c)
	}
	if err == nil && (len(bad) > 0 || len(e.Messages) == 0) {
		err = errFound
	}
	return err
}

func (r *eliminationAsked) print(c *call) {
	for _, n := range r.NotYet {
		fmt.Fprintf(c.out, "%s reste : %s\n", n.Message, n.Text)
	}
	if len(r.Messages) == 0 {
		fmt.Fprintln(c.out, "Aucun message ne peut être éliminé.")
		return
	}
	for _, id := range r.Messages {
		fmt.Fprintf(c.out, "%s peut être éliminé\n", id)
	}
	fmt.Fprintf(c.out, "%d message(s), %d objet(s) à retirer, %d gardé(s) parce que d'autres messages les désignent.\n", len(r.Messages), r.Removed, r.Shared)
	if r.ID != "" {
		fmt.Fprintf(c.out, "Demande %s enregistrée. Une autre personne la confirme : greffe retain eliminate --confirm %s --by LOGIN\n", r.ID, r.ID)
	} else {
		fmt.Fprintln(c.out, "Simulation : rien n'a été demandé.")
	}
}

func (o *retainOptions) confirmElimination(ctx context.Context, c *call, a *app) error {
	store, ok := a.store.(archive.Eliminator)
	if !ok {
		return errors.New("cette archive ne sait pas éliminer")
	}
	if o.dryRun {
		e, err := a.db.Elimination(ctx, o.confirm)
		if err != nil {
			return explain(err)
		}
		fmt.Fprintf(c.out, "Demande %s de %s : %d message(s). Simulation : rien n'a été éliminé.\n", e.ID, e.AskedBy, len(e.Messages))
		return nil
	}
	bar := newProgress(c.err, "élimination")
	e, certificate, err := storage.Eliminate(ctx, store, a.db, o.confirm, o.by, bar.update)
	bar.done()
	if err != nil {
		return explain(err)
	}
	if c.json {
		return json.NewEncoder(c.out).Encode(struct {
			storage.Elimination
			Certificate greffe.Object `json:"certificate"`
		}{e, certificate})
	}
	removed, kept := 0, 0
	for _, m := range e.Messages {
		for _, obj := range m.Objects {
			if obj.Kept != "" {
				kept++
			} else {
				removed++
			}
		}
	}
	fmt.Fprintf(c.out, "%d message(s) éliminé(s) : %d objet(s) retiré(s), %d gardé(s). Certificat : %s (SHA-256 %s).\n", len(e.Messages), removed, kept, certificate.Key, certificate.SHA256)
	return nil
}

func listEliminations(ctx context.Context, c *call, db *index.DB) error {
	list, err := db.Eliminations(ctx)
	if err != nil {
		return err
	}
	if c.json {
		type row struct {
			ID          string        `json:"id"`
			AskedBy     string        `json:"asked_by"`
			ConfirmedBy string        `json:"confirmed_by,omitempty"`
			Messages    int           `json:"messages"`
			Done        bool          `json:"done"`
			Certificate greffe.Object `json:"certificate,omitzero"`
		}
		rows := []row{}
		for _, e := range list {
			rows = append(rows, row{e.ID, e.AskedBy, e.ConfirmedBy, len(e.Messages), !e.DoneAt.IsZero(), e.Certificate})
		}
		return json.NewEncoder(c.out).Encode(rows)
	}
	if len(list) == 0 {
		fmt.Fprintln(c.out, "aucune élimination n'a été demandée")
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tMESSAGES\tDEMANDÉE\tCONFIRMÉE\tÉTAT")
	for _, e := range list {
		state := "attend une autre personne"
		switch {
		case !e.DoneAt.IsZero():
			state = "faite, certificat " + e.Certificate.Key
		case e.Order != "":
			state = "INTERROMPUE : relancer « --confirm " + e.ID + " »"
		}
		confirmed := e.ConfirmedBy
		if !e.ConfirmedAt.IsZero() {
			confirmed += ", " + frenchDay(e.ConfirmedAt)
		}
		fmt.Fprintf(w, "%s\t%d\t%s, %s\t%s\t%s\n", e.ID, len(e.Messages), e.AskedBy, frenchDay(e.AskedAt), confirmed, state)
	}
	return w.Flush()
}

// explain gives the errors of an elimination the words that say what to do.
func explain(err error) error {
	switch {
	case errors.Is(err, storage.ErrNotYet):
		return fmt.Errorf("rien n'a été éliminé : un message est de nouveau conservé, gelé ou en cours, ou l'index ne connaît pas toute l'archive (« greffe reindex »). Refaites la demande sans lui (%w)", err)
	case errors.Is(err, index.ErrNotFound):
		return fmt.Errorf("cette demande ou ce message n'existe pas ; « greffe retain eliminate » liste les demandes (%w)", err)
	case errors.Is(err, archive.ErrLocked):
		return fmt.Errorf("l'élimination s'est arrêtée : un message est de nouveau verrouillé ou gelé ; relancez la même commande quand il ne l'est plus (%w)", err)
	}
	return err
}
