package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/services/storage"
)

type verifyOptions struct {
	full                         bool
	since, sample, seed, message string
	acknowledge                  int64
	reason                       string
	pack                         packOptions
}

var verifyCommand = command{
	name: "verify", args: "[--full] [--since DATE] [--sample N%] [--message ID] [--json] | --acknowledge N --reason RAISON | --pack PACK.zip --key CLE.pub --tsa-ca AUTORITE.pem [--json]", summary: "vérifie que rien n'a été perdu ni changé",
	help: `
Vérifie chaque maillon, l'un contre l'autre, et le nomme :

  archive ↔ manifestes       chaque message brut et chaque pièce est là, octets et verrou justes
  manifestes ↔ index         l'index dit de chaque message ce que dit son manifeste
  index ↔ journal            chaque message, document, envoi et décision a son entrée ;
                             les états en découlent ; les compteurs sont justes
  journal ↔ segments         le journal de l'index est celui qui a été scellé dans l'archive
  segments ↔ points de contrôle   empreintes, racine de l'arbre, signature, suite sans trou
  points de contrôle ↔ jetons     horodatage RFC 3161 : valide, lié aux plus anciens, sans trou

Chaque anomalie dit quel maillon a cédé, où (clé de l'archive, message, entrée du journal) et
que faire. Ce qui manque ou diffère est une faute ; un objet de trop est signalé et n'en est
pas une.

Avec --full, relit tous les octets de l'archive ; sans, les tailles et les empreintes que tient
le stockage suffisent. Le journal scellé et les manifestes sont relus dans tous les cas.

  --since 2026-11-01    les messages que le serveur de messagerie a datés de ce jour ou après,
                        et le journal depuis ce jour
  --sample 5%           une partie des messages, tirée au hasard ; le tirage est affiché, et
                        --seed le refait
  --message ID          un seul message et ce que le journal scellé dit de lui

Une horloge qui a reculé ne se répare pas : une fois l'incident compris, un administrateur le
reconnaît, et il reste montré, sans plus être une faute :

  --acknowledge 910 --reason 'serveur NTP en panne du 3 au 4'
                        l'entrée du journal que nomme journal.clock ; la raison est gardée à
                        côté du journal, qui dit qui l'a reconnu et quand
` + packHelp + `
Le service storage fait de lui-même, chaque nuit, une vérification d'un échantillon (verify
dans la configuration) ; son résultat est dans le journal et sur la page Système.

Rien n'est modifié, sauf une entrée du journal qui dit que la vérification a eu lieu.
Sort avec 1 au moindre doute.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &verifyOptions{}
		c.opt = o
		fs.BoolVar(&o.full, "full", false, "relire tous les octets")
		fs.StringVar(&o.since, "since", "", "seulement depuis le `JOUR` (AAAA-MM-JJ, UTC)")
		fs.StringVar(&o.sample, "sample", "", "seulement une `PART` des messages, par exemple 5%")
		fs.StringVar(&o.seed, "seed", "", "refaire le même `TIRAGE` que celui d'un rapport")
		fs.StringVar(&o.message, "message", "", "seulement le message `ID`")
		fs.Int64Var(&o.acknowledge, "acknowledge", 0, "reconnaître que l'horloge a reculé à l'entrée `N` du journal")
		fs.StringVar(&o.reason, "reason", "", "`RAISON`, avec --acknowledge")
		o.pack.flags(fs)
		fs.BoolVar(&c.json, "json", false, "résultat en JSON (schéma : api/verify.schema.json)")
	},
	run: runVerify,
}

// options checks what was asked for.
func (o *verifyOptions) options() (storage.VerifyOptions, error) {
	opt := storage.VerifyOptions{Full: o.full, Seed: rand.Uint64(), Message: greffe.MessageID(o.message)}
	bad := func(format string, args ...any) (storage.VerifyOptions, error) {
		return opt, fmt.Errorf("%w : "+format, append([]any{errUsage}, args...)...)
	}
	if o.since != "" {
		t, err := time.Parse(time.DateOnly, o.since)
		if err != nil {
			return bad("--since %q n'est pas une date ; attendu : AAAA-MM-JJ", o.since)
		}
		opt.Since = t
	}
	if o.sample != "" {
		var p Percent
		if err := p.set(o.sample); err != nil {
			return bad("--sample : %s", err)
		}
		opt.Sample = float64(p)
	}
	if o.seed != "" {
		seed, err := strconv.ParseUint(o.seed, 16, 64)
		if err != nil || o.sample == "" {
			return bad("--seed reprend le tirage d'un rapport (chiffres hexadécimaux), avec --sample")
		}
		opt.Seed = seed
	}
	if (o.acknowledge != 0) != (strings.TrimSpace(o.reason) != "") || o.acknowledge < 0 {
		return bad("--acknowledge veut le numéro d'une entrée et --reason")
	}
	if o.message != "" {
		if !opt.Message.Valid() {
			return bad("--message %q n'est pas l'identifiant d'un message", o.message)
		}
		if o.since != "" || o.sample != "" {
			return bad("--message va sans --since ni --sample")
		}
	}
	return opt, nil
}

func runVerify(ctx context.Context, c *call) error {
	o := c.opt.(*verifyOptions)
	if pack, err := o.pack.used(); err != nil {
		return err
	} else if pack {
		return runVerifyPack(ctx, c, &o.pack)
	}
	opt, err := o.options()
	if err != nil {
		return err
	}
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
	if err := a.openArchive(ctx); err != nil {
		return err
	}
	if err := a.openIndex(ctx); err != nil {
		return err
	}
	if o.acknowledge != 0 {
		return a.acknowledge(ctx, c, o)
	}
	bar := newProgress(c.err, "vérification")
	opt.Progress = bar.update
	rep, err := a.verify(ctx, opt)
	bar.done()
	if errors.Is(err, index.ErrNotFound) {
		return fmt.Errorf("le message %s n'est ni dans l'index ni dans l'archive", opt.Message)
	}
	if err != nil {
		return fmt.Errorf("vérification interrompue: %w", err)
	}
	if c.json {
		if err := json.NewEncoder(c.out).Encode(rep); err != nil {
			return err
		}
	} else {
		fmt.Fprint(c.out, rep.String())
	}
	if !rep.OK() {
		return errFound
	}
	return nil
}

// acknowledge notes that somebody knows of a clock that went back.
func (a *app) acknowledge(ctx context.Context, c *call, o *verifyOptions) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	err = storage.Acknowledge(ctx, a.store, a.db, verifyConfig(a.cfg), o.acknowledge, localActor, host, strings.TrimSpace(o.reason))
	if errors.Is(err, storage.ErrNothing) {
		return fmt.Errorf("l'horloge n'a pas reculé à l'entrée %d du journal, ou c'est déjà reconnu : « greffe verify » nomme l'entrée (journal.clock)", o.acknowledge)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Reconnu : l'horloge a reculé à l'entrée %d du journal. C'est noté dans le journal, et reste montré par « greffe verify ».\n", o.acknowledge)
	return nil
}

// verify runs a verification with what the configuration promises, and notes its
// result in the journal.
func (a *app) verify(ctx context.Context, opt storage.VerifyOptions) (storage.Report, error) {
	o := verifyConfig(a.cfg)
	opt.Retention, opt.Keys, opt.Authority = o.Retention, o.Keys, o.Authority
	rep, err := storage.Verify(ctx, a.store, a.db, opt)
	if err != nil {
		return rep, err
	}
	return rep, storage.NoteVerified(ctx, a.db, "greffe", rep)
}

// verifyConfig is what a verification has to know of the configuration.
func verifyConfig(cfg *Config) storage.VerifyOptions {
	var o storage.VerifyOptions
	if cfg.Archive.Mode != archive.ModeNone {
		o.Retention = time.Duration(cfg.Archive.Retention)
	}
	// Without the key at hand, those in the archive tell what signed what.
	if key, err := readKey(keyPath(cfg)); err == nil {
		if v, err := evidence.ParsePublicKey(key.Public()); err == nil {
			o.Keys = append(o.Keys, v)
		}
	}
	// A certificate that cannot be read is told by the check of the configuration.
	o.Authority, _ = authority(cfg)
	return o
}

// nightly is the verification that the storage service makes by itself.
func nightly(cfg *Config) storage.Nightly {
	at, err := time.Parse("15:04", cfg.Verify.At)
	if err != nil { // empty: the configuration was checked
		return storage.Nightly{}
	}
	n := storage.Nightly{On: true, At: time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute, Options: verifyConfig(cfg)}
	n.Options.Full, n.Options.Sample = true, float64(cfg.Verify.Sample)
	return n
}

// progress is one line on a terminal that says how far a long work is; nothing
// where no person watches.
type progress struct {
	w    io.Writer
	what string
	on   bool
}

func newProgress(w io.Writer, what string) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, what: what, on: ok && term.IsTerminal(int(f.Fd()))}
}

func (p *progress) update(done, total int) {
	if p.on && total > 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%s : %d / %d (%d %%)", p.what, done, total, 100*done/total)
	}
}

// count is update for a work whose end is not known before.
func (p *progress) count(done, total int) {
	if p.on && total == 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%s : %d", p.what, done)
		return
	}
	p.update(done, total)
}

func (p *progress) done() {
	if p.on {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
