package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"greffe/pkg/archive"
	"greffe/pkg/index"
	"greffe/services/console"
	"greffe/services/storage"
)

type retainOptions struct {
	selection
	until, lastVisit string
	years            int
	birthday         bool
	by, reason       string
	ask              bool
	confirm          string
	dryRun           bool
}

var retainCommand = command{
	name: "retain", args: "show | extend | hold on | hold off | eliminate | erase  " + selectionArgs + " [--dry-run] [--json]", summary: "prolonge la conservation, gèle, élimine après terme, efface avant",
	help: `
  show        dit jusqu'à quand les messages choisis sont conservés et s'ils sont gelés
  extend      prolonge leur conservation ; rien ne peut la raccourcir
                --until JOUR                  jusqu'à ce jour compris
                --birthday                    jusqu'au 28e anniversaire du patient le plus jeune du message
                --years N --last-visit JOUR   pendant N ans après la dernière venue du patient
  hold on     gèle : conservés tant que « hold off » ne les libère pas (recours, enquête)
  hold off    libère ; la durée de conservation reste ce qu'elle est
  eliminate   élimine ce dont la conservation est terminée et qui n'est pas gelé
                --ask --by LOGIN              demande l'élimination des messages choisis
                --confirm ID --by LOGIN       une autre personne la confirme : elle a lieu
                (sans option)                 liste les demandes
  erase       efface avant terme, en dernier recours, ce qui est archivé chiffré
                --ask, --confirm              comme pour eliminate ; la confirmation attend 10 minutes

Un choix porte toujours sur des messages entiers : message brut, manifeste et toutes les pièces ;
un document ou un patient emporte les messages où ils sont. Un contenu que plusieurs messages
partagent est conservé aussi longtemps que le plus long, reste gelé tant que l'un d'eux l'est, et
n'est pas éliminé tant qu'un autre message le désigne. Prolonger prolonge aussi ce qui, dans le
journal scellé, prouve la vie du message : ses segments, leurs faits et points de contrôle,
l'horodatage qui les suit et les clés publiques. Le journal n'est jamais éliminé.

--dry-run dit ce qui changerait et ne change rien : commencez par là. Tout changement est noté au
journal, avec --by ou à défaut le compte de la machine. --reason est une référence (numéro de dossier
ou de procédure), sans nom ni INS : elle entre dans le journal.

« hold off », « eliminate » et « erase » demandent --by, le mot de passe de ce compte de la console et, s'il a
un second facteur, son code : au terminal, ou sur l'entrée standard (une ligne chacun). --by est toujours
le compte d'un administrateur (role admin) en service, et complet ; cinq essais refusés en un quart d'heure
sur cette machine le bloquent, ceux de la page de connexion comptent aussi. L'élimination ne se défait pas : elle retire de l'archive et de
l'index, et laisse dans l'archive l'ordre et le certificat (identifiants et empreintes seulement,
eliminations/…). Sur S3, la clé configurée doit avoir s3:DeleteObjectVersion, que la clé du service
n'a pas à avoir : donnez-la par un --config à part. Si elle est interrompue, la relancer la termine.

L'effacement détruit la clé de chaque objet : ce qui est verrouillé reste en place jusqu'à son terme,
et personne ne peut plus le lire. Il ne vaut que pour une archive chiffrée (archive.encryption), s'arrête
devant un gel, et laisse lisible ce que d'autres messages désignent. Il ne se défait pas. Restent : les
lignes du journal et ce qui y est noté à côté (réception, envois et réponses du DI, décisions écrites),
les empreintes, ce que le DI a déjà reçu, et les sauvegardes de keys/ et de l'index, qui sont à
expirer. « greffe verify », « greffe prove » et la console disent « effacé le … » avec le certificat.

Sort avec 1 si un message n'a pas pu être traité en entier.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &retainOptions{}
		c.opt = o
		o.selection.flags(fs)
		fs.StringVar(&o.until, "until", "", "prolonger jusqu'à ce `JOUR` compris (AAAA-MM-JJ)")
		fs.BoolVar(&o.birthday, "birthday", false, "prolonger jusqu'au 28e anniversaire")
		fs.IntVar(&o.years, "years", 0, "prolonger de `N` ans après --last-visit")
		fs.StringVar(&o.lastVisit, "last-visit", "", "`JOUR` de la dernière venue du patient")
		fs.StringVar(&o.by, "by", "", "`LOGIN` du compte de la console de qui demande")
		fs.StringVar(&o.reason, "reason", "", "`RÉFÉRENCE` qui motive le gel ou sa fin, sans nom ni INS")
		fs.BoolVar(&o.ask, "ask", false, "demander l'élimination ou l'effacement")
		fs.StringVar(&o.confirm, "confirm", "", "confirmer l'élimination ou l'effacement `ID`")
		fs.BoolVar(&o.dryRun, "dry-run", false, "dire ce qui changerait, ne rien changer")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON (schéma : api/retain.schema.json)")
	},
	run: runRetain,
}

func runRetain(ctx context.Context, c *call) error {
	o := c.opt.(*retainOptions)
	action := strings.Join(c.args, " ")
	if err := o.check(action); err != nil {
		return err
	}
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
	if err := errors.Join(a.openArchive(ctx), a.openIndex(ctx)); err != nil {
		return err
	}
	if err := o.identify(ctx, c, a, !o.dryRun && (action == "hold off" || o.ask || o.confirm != "")); err != nil {
		return err
	}
	if action == "eliminate" || action == "erase" {
		err = o.eliminate(ctx, c, a, action)
	} else {
		err = o.change(ctx, c, a, action)
	}
	switch {
	case errors.Is(err, archive.ErrNoMaster):
		return fmt.Errorf("une clé maîtresse qui a servi à cette archive manque dans archive.encryption.master_key : remettez-la dans le fichier (%w)", err)
	case errors.Is(err, archive.ErrNoLock):
		return fmt.Errorf("cette archive ne verrouille rien (archive.mode: none) : il n'y a pas de conservation à changer (%w)", err)
	case errors.Is(err, index.ErrSamePerson):
		return errors.New("qui a demandé ne peut pas confirmer : une autre personne doit le faire, avec son compte")
	}
	return err
}

// check refuses what contradicts itself, before anything is opened.
func (o *retainOptions) check(action string) error {
	bad := func(text string) error { return fmt.Errorf("%w : %s (voir --help)", errUsage, text) }
	ends := 0
	for _, set := range []bool{o.until != "", o.birthday, o.years != 0 || o.lastVisit != ""} {
		if set {
			ends++
		}
	}
	switch action {
	case "show":
	case "extend":
		if ends != 1 {
			return bad("un seul terme est attendu : --until, --birthday, ou --years et --last-visit")
		}
		if _, err := o.end(); err != nil {
			return err
		}
	case "hold on", "hold off":
		if err := checkReason(o.reason); err != nil {
			return err
		}
		if action == "hold off" && o.by == "" {
			return bad("--by est attendu : qui libère")
		}
	case "eliminate", "erase":
		switch {
		case o.ask && o.confirm != "":
			return bad("--ask ou --confirm, pas les deux")
		case (o.ask || o.confirm != "") && o.by == "":
			return bad("--by est attendu : qui demande ou confirme")
		case !o.ask:
			return nil // no selection
		}
	default:
		return bad("une action est attendue : show, extend, hold on, hold off, eliminate ou erase")
	}
	return o.selection.check()
}

// checkReason refuses a reference that is missing or that may name a patient: it stays
// in the journal for ever.
func checkReason(reason string) error {
	digits := 0
	for _, r := range reason {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r != ' ' && r != '.' && r != '-':
			digits = 0
		}
		if digits >= 13 {
			return fmt.Errorf("%w : --reason contient un numéro long comme un INS ; donnez une référence de dossier", errUsage)
		}
	}
	if n := utf8.RuneCountInString(strings.TrimSpace(reason)); n == 0 || n > 100 {
		return fmt.Errorf("%w : --reason est attendu : une référence d'au plus 100 caractères, sans nom ni INS", errUsage)
	}
	return nil
}

// day reads a day and returns its end by the clock of this machine.
func endOfDay(name, text string) (time.Time, error) {
	t, err := time.ParseInLocation("2006-01-02", text, time.Local)
	if err != nil {
		return t, fmt.Errorf("%w : %s attend un jour, par exemple 2046-11-22", errUsage, name)
	}
	return t.AddDate(0, 0, 1), nil
}

// end returns until when what is chosen is to be kept; for --birthday zero: it differs
// from message to message.
func (o *retainOptions) end() (time.Time, error) {
	switch {
	case o.birthday:
		return time.Time{}, nil
	case o.until != "":
		t, err := endOfDay("--until", o.until)
		if err == nil && !t.After(time.Now()) {
			err = fmt.Errorf("%w : --until est passé", errUsage)
		}
		return t, err
	case o.years < 1 || o.years > 150 || o.lastVisit == "":
		return time.Time{}, fmt.Errorf("%w : --years (1 à 150) et --last-visit vont ensemble", errUsage)
	}
	t, err := endOfDay("--last-visit", o.lastVisit)
	if err == nil && t.After(time.Now().AddDate(0, 0, 1)) {
		err = fmt.Errorf("%w : --last-visit est dans l'avenir", errUsage)
	}
	return t.AddDate(o.years, 0, 0), err
}

// majority is the age of the birthday until which documents about minors are kept
// (Code de la santé publique, R1112-7).
const majority = 28

// birthdayEnd returns the end of the 28th birthday of the youngest patient of a
// message; zero when no document has a birth date. Of a date that is only partly known
// the latest day counts.
func birthdayEnd(d index.Detail) time.Time {
	var last time.Time
	for _, doc := range d.Documents {
		if t, ok := latestBirth(doc.Facts.Patient.BirthDate); ok && t.After(last) {
			last = t
		}
	}
	if last.IsZero() {
		return last
	}
	return last.AddDate(majority, 0, 1)
}

// latestBirth reads YYYYMMDD, YYYYMM or YYYY, where 00 stands for not known.
func latestBirth(s string) (time.Time, bool) {
	digits := func(from, to int) int {
		if len(s) < to {
			return 0
		}
		n, err := strconv.Atoi(s[from:to])
		if err != nil || n < 0 {
			return -1
		}
		return n
	}
	y, m, d := digits(0, 4), digits(4, 6), digits(6, 8)
	switch {
	case y < 1800 || y > 9999 || m < 0 || m > 12 || d < 0 || d > 31:
		return time.Time{}, false
	case m == 0:
		return time.Date(y, 12, 31, 0, 0, 0, 0, time.Local), true
	case d == 0:
		return time.Date(y, time.Month(m)+1, 0, 0, 0, 0, 0, time.Local), true
	}
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.Local), true
}

// retainLine is what is said of one message.
type retainLine struct {
	storage.Kept
	End  time.Time `json:"end,omitzero"`  // what was asked for
	Text string    `json:"text,omitzero"` // French: why nothing could be done
}

// retainResult is what --json prints.
type retainResult struct {
	Action   string       `json:"action"`
	DryRun   bool         `json:"dry_run"`
	Messages []retainLine `json:"messages"`
	Changed  int          `json:"changed"` // objects
	Doubts   int          `json:"doubts"`  // messages that were not done in full
}

func (o *retainOptions) change(ctx context.Context, c *call, a *app, action string) error {
	fixed, err := time.Time{}, error(nil)
	if action == "extend" {
		if fixed, err = o.end(); err != nil {
			return err
		}
	}
	locks := storage.NewLocks(a.store, a.db)
	res := retainResult{Action: action, DryRun: o.dryRun, Messages: []retainLine{}}
	bar := newProgress(c.err, "conservation")
	defer bar.done()
	n, err := o.each(ctx, a.db, func(m chosen, done, total int) error {
		l := retainLine{End: fixed}
		var err error
		switch action {
		case "show":
			l.Kept, err = locks.Look(ctx, m.Detail)
		case "extend":
			if o.birthday {
				l.End = birthdayEnd(m.Detail)
			}
			if l.End.IsZero() {
				l.Kept.Message, l.Text = m.ID, "aucun document n'a de date de naissance : donnez un terme avec --until"
				break
			}
			l.Kept, err = locks.Extend(ctx, m.Detail, l.End, o.actor(), o.dryRun)
		default:
			l.Kept, err = locks.Hold(ctx, m.Detail, action == "hold on", o.actor(), strings.TrimSpace(o.reason), o.dryRun)
		}
		if err != nil {
			return err
		}
		if l.Text != "" || len(l.Missing) > 0 {
			res.Doubts++
		}
		res.Changed += l.Changed + l.Journal
		res.Messages = append(res.Messages, l)
		bar.update(done+1, total)
		return nil
	})
	bar.done()
	if err != nil {
		if len(res.Messages) > 0 && !o.dryRun {
			fmt.Fprintf(c.err, "%d message(s) traité(s) avant l'interruption ; relancez la commande.\n", len(res.Messages))
		}
		return err
	}
	if n == 0 {
		return o.none()
	}
	if c.json {
		err = json.NewEncoder(c.out).Encode(res)
	} else {
		res.print(c)
	}
	if err == nil && res.Doubts > 0 {
		err = errFound
	}
	return err
}

func frenchDay(t time.Time) string { return t.Local().Format("02/01/2006 15:04") }

func (r *retainResult) print(c *call) {
	for _, l := range r.Messages {
		fmt.Fprintf(c.out, "%s : ", l.Message)
		if l.Text != "" {
			fmt.Fprintln(c.out, l.Text)
			continue
		}
		fmt.Fprintf(c.out, "%d objet(s)", l.Objects)
		if !l.Until.IsZero() {
			fmt.Fprintf(c.out, ", conservés jusqu'au %s au moins", frenchDay(l.Until))
		} else {
			fmt.Fprint(c.out, ", sans date de conservation")
		}
		if l.Held > 0 {
			fmt.Fprintf(c.out, ", %d gelé(s)", l.Held)
		}
		verb := "changé(s)"
		if r.DryRun {
			verb = "à changer"
		}
		switch {
		case r.Action == "extend":
			fmt.Fprintf(c.out, " ; jusqu'au %s : %d %s, et %d du journal", frenchDay(l.End), l.Changed, verb, l.Journal)
		case r.Action != "show":
			fmt.Fprintf(c.out, " ; %d %s", l.Changed, verb)
		}
		if len(l.Missing) > 0 {
			fmt.Fprintf(c.out, " ; MANQUENT dans l'archive : %s", strings.Join(l.Missing, ", "))
		}
		fmt.Fprintln(c.out)
	}
	if r.Action != "show" {
		done := "changés"
		if r.DryRun {
			done = "à changer (simulation : rien n'a été fait)"
		}
		fmt.Fprintf(c.out, "%d message(s), %d objet(s) %s.\n", len(r.Messages), r.Changed, done)
	}
	if r.Doubts > 0 {
		fmt.Fprintf(c.out, "%d message(s) n'ont pas pu être traités en entier ; voir « greffe verify --message ID ».\n", r.Doubts)
	}
}

// actor is who the journal names.
func (o *retainOptions) actor() string { return cmp.Or(o.by, localActor) }

// retainRoles are those that may hold, release, eliminate and erase.
var retainRoles = []string{"admin"}

// identify checks that --by is an account in use of a role that may and, when it must be
// proved, its password and the code of its second factor.
func (o *retainOptions) identify(ctx context.Context, c *call, a *app, prove bool) error {
	if o.by == "" {
		return nil
	}
	o.by = strings.ToLower(o.by)
	if !prove {
		user, err := a.db.User(ctx, o.by)
		if err != nil && !errors.Is(err, index.ErrNotFound) {
			return fmt.Errorf("lire le compte: %w", err)
		}
		if err != nil || user.Disabled || !slices.Contains(retainRoles, user.Role) {
			return fmt.Errorf("le compte %q n'existe pas, est désactivé ou n'est pas celui d'un administrateur ; « greffe users list » les montre", o.by)
		}
		return nil
	}
	host, _ := os.Hostname()
	in := &secrets{c: c}
	err := console.Identify(ctx, a.db, console.Identity{
		Login: o.by, From: host, What: "retain", Roles: retainRoles, Factor: a.cfg.Console.SecondFactor,
		Password: func() (string, error) { return in.read("mot de passe de "+o.by, "le mot de passe") },
		Code:     func() (string, error) { return in.read("code de connexion de "+o.by, "le code du second facteur") },
	})
	switch {
	case errors.Is(err, console.ErrLockedOut):
		return errors.New("trop d'essais refusés pour ce compte : attendez un quart d'heure ; rien n'a été fait")
	case errors.Is(err, console.ErrIdentity):
		return fmt.Errorf("le mot de passe ou le code n'est pas le bon ; rien n'a été fait (%w)", err)
	case errors.Is(err, console.ErrAccount):
		return fmt.Errorf("le compte %q ne peut pas le faire ; --by attend un administrateur (%w)", o.by, err)
	}
	return err
}

// secrets are read at the terminal without being shown or, elsewhere, a line each from the
// standard input.
type secrets struct {
	c     *call
	lines *bufio.Scanner
}

// read asks for one; what says in an error what was expected.
func (s *secrets) read(prompt, what string) (string, error) {
	if f, ok := s.c.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(s.c.err, prompt+" : ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.c.err)
		if err != nil {
			return "", fmt.Errorf("lire %s: %w", what, err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	if s.lines == nil {
		s.lines = bufio.NewScanner(s.c.in)
	}
	if !s.lines.Scan() {
		return "", fmt.Errorf("%s est attendu sur l'entrée standard : le mot de passe sur une ligne, puis le code si le compte a un second facteur", what)
	}
	return strings.TrimSpace(s.lines.Text()), nil
}
