package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// erasureGrace is how long an erasure waits for its confirmation at least; tests wait less.
var erasureGrace = storage.ErasureGrace

func (o *retainOptions) eliminate(ctx context.Context, c *call, a *app, action string) error {
	w := eliminationWords
	if action == "erase" {
		w = erasureWords
		var ok bool
		if w.encrypted, ok = a.store.(*archive.Encrypted); !ok {
			return errors.New("cette archive n'est pas chiffrée (archive.encryption) : il n'y a pas de clé à détruire, et rien ne peut être effacé avant son terme")
		}
	}
	switch {
	case o.ask:
		return o.askElimination(ctx, c, a, w)
	case o.confirm != "":
		return o.confirmElimination(ctx, c, a, w)
	}
	return listEliminations(ctx, c, a.db, w)
}

// words are how the two kinds of elimination are spoken of.
type words struct {
	action, kind         string // of the command; of index.Elimination
	can, none            string
	goes, gone           string // objects that would go; that went
	progress, done, wait string
	encrypted            *archive.Encrypted // set for an erasure
}

var (
	eliminationWords = words{
		action: "eliminate", can: "peut être éliminé", none: "Aucun message ne peut être éliminé.", goes: "à retirer", gone: "retiré(s)",
		progress: "élimination", done: "éliminé(s)", wait: "Une autre personne la confirme",
	}
	erasureWords = words{
		action: "erase", kind: index.KindErasure, can: "peut être effacé", none: "Aucun message ne peut être effacé.", goes: "à rendre illisible(s)", gone: "rendu(s) illisible(s)",
		progress: "effacement", done: "effacé(s)", wait: "Dans dix minutes au plus tôt, une autre personne la confirme",
	}
)

func (o *retainOptions) askElimination(ctx context.Context, c *call, a *app, w words) error {
	ids, _, err := o.find(ctx, a.db)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return o.none()
	}
	bar := newProgress(c.err, "contenus partagés")
	var e storage.Elimination
	var bad []storage.NotYet
	if w.encrypted != nil {
		e, bad, err = storage.AskErasure(ctx, w.encrypted, a.db, ids, o.by, o.dryRun, bar.update)
	} else {
		e, bad, err = storage.AskElimination(ctx, a.store, a.db, ids, o.by, o.dryRun, bar.update)
	}
	bar.done()
	if err != nil {
		return explain(ctx, a.db, ids, err)
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
		res.print(c, w)
	}
	if err == nil && (len(bad) > 0 || len(e.Messages) == 0) {
		err = errFound
	}
	return err
}

func (r *eliminationAsked) print(c *call, w words) {
	for _, n := range r.NotYet {
		fmt.Fprintf(c.out, "%s reste : %s\n", n.Message, n.Text)
	}
	if len(r.Messages) == 0 {
		fmt.Fprintln(c.out, w.none)
		return
	}
	for _, id := range r.Messages {
		fmt.Fprintf(c.out, "%s %s\n", id, w.can)
	}
	fmt.Fprintf(c.out, "%d message(s), %d objet(s) %s, %d gardé(s) parce que d'autres messages les désignent.\n", len(r.Messages), r.Removed, w.goes, r.Shared)
	if r.ID != "" {
		fmt.Fprintf(c.out, "Demande %s enregistrée. %s : greffe retain %s --confirm %s --by LOGIN\n", r.ID, w.wait, w.action, r.ID)
	} else {
		fmt.Fprintln(c.out, "Simulation : rien n'a été demandé.")
	}
}

func (o *retainOptions) confirmElimination(ctx context.Context, c *call, a *app, w words) error {
	store, ok := a.store.(archive.Eliminator)
	if !ok {
		return errors.New("cette archive ne sait pas éliminer")
	}
	if o.dryRun {
		e, err := a.db.Elimination(ctx, o.confirm)
		if err == nil && e.Kind != w.kind {
			err = storage.ErrKind
		}
		if err != nil {
			return explain(ctx, a.db, nil, err)
		}
		fmt.Fprintf(c.out, "Demande %s de %s : %d message(s). Simulation : rien n'a été fait.\n", e.ID, e.AskedBy, len(e.Messages))
		return nil
	}
	bar := newProgress(c.err, w.progress)
	var e storage.Elimination
	var certificate greffe.Object
	var err error
	if w.encrypted != nil {
		e, certificate, err = storage.Erase(ctx, w.encrypted, a.db, o.confirm, o.by, erasureGrace, bar.update)
	} else {
		e, certificate, err = storage.Eliminate(ctx, store, a.db, o.confirm, o.by, bar.update)
	}
	bar.done()
	if err != nil {
		return explain(ctx, a.db, nil, err)
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
	fmt.Fprintf(c.out, "%d message(s) %s : %d objet(s) %s, %d gardé(s). Certificat : %s (SHA-256 %s).\n", len(e.Messages), w.done, removed, w.gone, kept, certificate.Key, certificate.SHA256)
	return nil
}

// eliminationRow is one request as --json lists it.
type eliminationRow struct {
	ID          string        `json:"id"`
	AskedBy     string        `json:"asked_by"`
	ConfirmedBy string        `json:"confirmed_by,omitempty"`
	Messages    int           `json:"messages"`
	Done        bool          `json:"done"`
	Certificate greffe.Object `json:"certificate,omitzero"`
}

func listEliminations(ctx context.Context, c *call, db *index.DB, w words) error {
	list, err := db.Eliminations(ctx)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(e index.Elimination) bool { return e.Kind != w.kind })
	if c.json {
		rows := []eliminationRow{}
		for _, e := range list {
			rows = append(rows, eliminationRow{e.ID, e.AskedBy, e.ConfirmedBy, len(e.Messages), !e.DoneAt.IsZero(), e.Certificate})
		}
		return json.NewEncoder(c.out).Encode(rows)
	}
	if len(list) == 0 {
		fmt.Fprintln(c.out, "rien n'a été demandé")
		return nil
	}
	table := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tMESSAGES\tDEMANDÉE\tCONFIRMÉE\tÉTAT")
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
		fmt.Fprintf(table, "%s\t%d\t%s, %s\t%s\t%s\n", e.ID, len(e.Messages), e.AskedBy, frenchDay(e.AskedAt), confirmed, state)
	}
	return table.Flush()
}

// explain gives the errors of an elimination the words that say what to do. ids are the
// messages that were chosen.
func explain(ctx context.Context, db *index.DB, ids []greffe.MessageID, err error) error {
	switch {
	case errors.Is(err, storage.ErrKind):
		return fmt.Errorf("%w : ce n'est pas la même demande ; « greffe retain eliminate » et « greffe retain erase » listent chacune les leurs", errUsage)
	case errors.Is(err, storage.ErrNotYet):
		return fmt.Errorf("rien n'a été fait : un message ne peut pas, ou pas encore, être retiré, ou l'index ne connaît pas toute l'archive (« greffe reindex »). Attendez, ou refaites la demande sans lui (%w)", err)
	case errors.Is(err, index.ErrNotFound) && len(ids) == 1:
		return unknownMessage(ctx, db, ids[0])
	case errors.Is(err, index.ErrNotFound):
		return fmt.Errorf("cette demande ou ce message n'existe pas ; sans option, la commande liste les demandes (%w)", err)
	case errors.Is(err, archive.ErrLocked):
		return fmt.Errorf("l'élimination s'est arrêtée : un message est de nouveau verrouillé ou gelé ; relancez la même commande quand il ne l'est plus (%w)", err)
	}
	return err
}
