package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
	"greffe/services/console"
)

type demoOptions struct {
	once   bool
	listen string
	rate   string
	log    string
}

var demoCommand = command{
	name: "demo", args: "[--once] [--data DOSSIER] [--listen ADRESSE] [--rate N/s]", summary: "un hôpital d'essai complet, sans rien installer",
	help: `
Démarre dans un seul processus une boîte aux lettres remplie de messages d'exemple, Greffe
en entier, trois dossiers informatisés qui reçoivent les documents (dossier patient en MLLP sur
TLS, imagerie en MLLP, pharmacie en FHIR), une page où lire ce qui revient aux correspondants, et
la console. Écrit les adresses et un compte de chaque rôle, et montre les messages qui passent.
La page de chaque dossier informatisé a des boutons : il refuse, tarde, oublie, demande de
revenir plus tard.

Les données vivent dans un dossier jetable, sauf avec --data : le dossier peut alors être
rouvert par run, verify, check… La boîte et le dossier informatisé d'exemple, eux, ne vivent
que le temps de la démonstration.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &demoOptions{}
		c.opt = o
		fs.BoolVar(&o.once, "once", false, "s'arrête quand chaque message est arrivé à son état final, avec un tableau")
		fs.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`ADRESSE` de la console")
		fs.StringVar(&o.rate, "rate", "", "`N/s` : des messages continuent d'arriver")
		fs.StringVar(&o.log, "log", "error", "`NIVEAU` du journal technique : debug | info | warn | error")
	},
	run: runDemo,
}

func runDemo(ctx context.Context, c *call) (err error) {
	o := c.opt.(*demoOptions)
	if len(c.args) > 0 || c.config != "" {
		return fmt.Errorf("%w : demo fabrique sa propre configuration ; --data dit où la garder", errUsage)
	}
	interval, err := parseRate(o.rate)
	if err != nil {
		return err
	}
	dir := c.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "greffe-demo-"); err != nil {
			return fmt.Errorf("dossier jetable: %w", err)
		}
		defer os.RemoveAll(dir)
	} else if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("dossier: %w", err)
	}
	d, err := startDemo(ctx, dir, o, c.err)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()

	fmt.Fprintf(c.out, "Console         http://%s\n", d.app.console.Addr())
	for i, title := range demoDIs {
		fmt.Fprintf(c.out, "%-15s %s\n", title, d.dis[i].PageURL())
	}
	fmt.Fprintf(c.out, "Correspondants  %s\n", d.page)
	for _, u := range d.logins {
		fmt.Fprintf(c.out, "%-15s %s / %s\n", u.title, u.login, u.password)
	}
	fmt.Fprintf(c.out, "Données         %s\n\n", dir)

	// The services stop after the work is over, or all at once on an interruption.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.app.run(ctx) })
	g.Go(func() error {
		if err := d.fill(); err != nil {
			return err
		}
		if interval > 0 {
			g.Go(func() error { return d.keepFilling(ctx, interval) })
		}
		err := d.watch(ctx, c.out, o.once)
		if o.once || err != nil {
			cancel()
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if o.once {
		return d.table(context.Background(), c.out)
	}
	return nil
}

// parseRate reads "5/s", "0.5/s" or "30/m"; "" means none.
func parseRate(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	number, unit, ok := strings.Cut(s, "/")
	n, err := strconv.ParseFloat(number, 64)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if !ok || err != nil || n <= 0 || n > 1000 || per == 0 {
		return 0, fmt.Errorf("%w : --rate attend N/s, N/m ou N/h, par exemple 2/s", errUsage)
	}
	return time.Duration(float64(per) / n), nil
}

type demoLogin struct{ title, login, password string }

// demo is a hospital in one process.
type demo struct {
	app    *app
	mail   *sandbox.MailServer
	out    *sandbox.Submission
	page   string        // address of what came back to those who wrote
	dis    []*sandbox.DI // in the order of demoDIs
	logins []demoLogin
	late   []sandbox.Sample // that wait until the others are through
	sent   int              // messages put into mailboxes
}

// demoOutside is the mailbox of all who write to the demo: what is answered to them
// arrives there.
const demoOutside = "correspondants@exterieur.example"

// demoRetry is how long the demo waits for a DI: shorter than a real one, so
// that a person sees the document go on.
var demoRetry = []Duration{Duration(2 * time.Second), Duration(10 * time.Second), Duration(time.Minute)}

// demoDIs are the record systems of the demo, each with another transport: MLLP over
// TLS, MLLP, FHIR.
var demoDIs = []string{"Dossier patient", "Imagerie (RIS)", "Pharmacie"}

// demoDIConfig is what Greffe is told of the record systems in the order of demoDIs. The
// first takes everything, the others what is theirs, too.
func demoDIConfig(dis []*sandbox.DI) []DIConfig {
	return []DIConfig{{
		Name: "dpi", Protocol: "hl7v2",
		MLLP:    MLLPConfig{Address: dis[0].MLLPSAddr(), TLS: true, CA: dis[0].CAFile(), Certificate: dis[0].ClientFile()},
		Sending: "GREFFE^CH_DEMO", Receiving: "DPI^CH_DEMO", Processing: "T",
		HL7: HL7Config{PlainPDF: "51851-4^Document administratif^LN"},
	}, {
		Name: "ris", Protocol: "hl7v2", Types: []string{sandbox.TypeImaging}, Charset: "8859/15",
		MLLP: MLLPConfig{Address: dis[1].MLLPAddr()}, Sending: "GREFFE^CH_DEMO", Receiving: "RIS^CH_DEMO", Processing: "T",
	}, {
		Name: "pharmacie", Protocol: "fhir", Types: []string{sandbox.TypePrescription},
		FHIR: FHIRConfig{Base: dis[2].FHIRBase(), Mode: "mhd", SourceID: "1.2.250.1.999.7", Deletion: "entered-in-error"},
	}}
}

func startDemo(ctx context.Context, dir string, o *demoOptions, logw io.Writer) (d *demo, err error) {
	d = &demo{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return d, fmt.Errorf("dossier des données: %w", err)
	}
	cfg := defaults()
	cfg.DataDir = dir
	cfg.Log.Level = o.log
	cfg.Identity.Environment = "test" // the sample identities carry test OIDs
	cfg.Retry = demoRetry
	cfg.Console.Listen = o.listen
	log := newLogger(cfg.Log, logw)

	password := console.NewPassword()
	passwordFile := filepath.Join(dir, "mailbox.password")
	if err := os.WriteFile(passwordFile, []byte(password+"\n"), 0o600); err != nil {
		return d, fmt.Errorf("mot de passe de la boîte: %w", err)
	}
	mail := sandbox.MailConfig{Dir: dir, Log: log}
	for _, m := range sandbox.Mailboxes() {
		mail.Users = append(mail.Users, sandbox.MailUser{Name: m.Address, Password: password})
	}
	mail.Users = append(mail.Users, sandbox.MailUser{Name: demoOutside, Password: password})
	if d.mail, err = sandbox.StartMailServer(ctx, mail); err != nil {
		return d, err
	}
	if d.out, err = sandbox.StartSubmission(ctx, d.mail, demoOutside); err != nil {
		return d, err
	}
	if d.page, err = d.out.StartPage(ctx); err != nil {
		return d, err
	}
	cfg.Answers.WhiteList = filepath.Join(dir, "white-list")
	if err := os.WriteFile(cfg.Answers.WhiteList, []byte(sandbox.WhiteList()), 0o600); err != nil {
		return d, fmt.Errorf("liste blanche: %w", err)
	}
	for i, name := range demoDIs {
		di, err := sandbox.StartDI(sandbox.DIConfig{Name: name + " de démonstration", Patients: sandbox.KnownPatients(), Dir: filepath.Join(dir, "di", strconv.Itoa(i+1))})
		if err != nil {
			return d, err
		}
		d.dis = append(d.dis, di)
	}
	// The record is just being started: what comes first has to come again.
	d.dis[0].Obey(sandbox.DIRule{Behaviour: sandbox.DIBusy, Times: 1})
	for _, m := range sandbox.Mailboxes() {
		for _, f := range m.Folders {
			if f != "INBOX" {
				if err := d.mail.CreateFolder(m.Address, f); err != nil {
					return d, err
				}
			}
		}
		cfg.Mailboxes = append(cfg.Mailboxes, MailboxConfig{
			Address: m.Address, Kind: m.Kind, IMAP: "imaps://" + d.mail.Addr(), SMTP: "smtps://" + d.out.Addr(), CA: d.mail.CAFile(),
			Auth:    AuthConfig{Mechanism: "plain", PasswordFile: passwordFile},
			Folders: m.Folders, RepliesTo: m.Replies, Service: ServiceConfig{Code: m.Service, Name: m.Name}, OnArchived: MarkConfig{Keyword: "$Archived"},
			OnDelivered: MarkConfig{Move: "Traités"}, OnFailed: MarkConfig{Move: "À traiter"},
		})
	}
	cfg.DI = demoDIConfig(d.dis)
	cfg.setDefaults()
	for _, p := range cfg.validate() {
		return d, &ConfigError{[]string{at("", nil, p)}}
	}
	text, err := annotated(&cfg)
	if err != nil {
		return d, err
	}
	if err := os.WriteFile(filepath.Join(dir, "greffe.yaml"), text, 0o600); err != nil {
		return d, fmt.Errorf("configuration: %w", err)
	}
	if d.app, err = newApp(ctx, &cfg, log, serviceNames); err != nil {
		return d, err
	}
	return d, d.addLogins(ctx)
}

// addLogins makes an account for each role, with new passwords each time.
func (d *demo) addLogins(ctx context.Context) error {
	for _, u := range []struct {
		title, login, name, role string
		places                   []string
	}{
		{"Secrétaire", "secretaire", "Camille Secrétaire", "secretary", []string{index.Everywhere}},
		{"Professionnel", "professionnel", "Dr Alix Professionnel", "professional", []string{sandbox.MailboxService + "/" + sandbox.FolderDoctor}},
		{"Auditeur", "auditeur", "Dominique Auditeur", "auditor", []string{index.Everywhere}},
		{"Administrateur", "admin", "Andréa Administrateur", "admin", nil},
	} {
		pw := console.NewPassword()
		hash, err := console.HashPassword(pw)
		if err != nil {
			return err
		}
		if err := d.app.db.SaveUser(ctx, index.User{Login: u.login, Name: u.name, Role: u.role, Places: u.places, Hash: hash}); err != nil {
			return fmt.Errorf("compte %s: %w", u.login, err)
		}
		d.logins = append(d.logins, demoLogin{u.title, u.login, pw})
	}
	return nil
}

// fill puts the samples into their mailboxes, but for those that come late.
func (d *demo) fill() error {
	samples := sandbox.Samples(sandbox.SampleOptions{Now: time.Now()})
	for _, s := range samples {
		if s.Late {
			d.late = append(d.late, s)
		}
	}
	return d.put(slices.DeleteFunc(samples, func(s sandbox.Sample) bool { return s.Late }))
}

func (d *demo) put(samples []sandbox.Sample) error {
	for _, s := range samples {
		if _, err := d.mail.Append(s.Mailbox, s.Folder, s.Raw, s.At); err != nil {
			return fmt.Errorf("message d'exemple: %w", err)
		}
		d.sent++
	}
	return nil
}

// keepFilling adds one sample each interval until ctx is done, of one hospital
// after the other: each seed gives other documents.
func (d *demo) keepFilling(ctx context.Context, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var next []sandbox.Sample
	for seed := uint64(time.Now().Unix()); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if len(next) == 0 {
			seed++
			next = sandbox.Samples(sandbox.SampleOptions{Now: time.Now(), Seed: seed})
		}
		if _, err := d.mail.Append(next[0].Mailbox, next[0].Folder, next[0].Raw, time.Now()); err != nil {
			return fmt.Errorf("message d'exemple: %w", err)
		}
		next = next[1:]
	}
}

// watch shows the messages going through. With once it returns when each has
// reached a final state, else when ctx is done.
func (d *demo) watch(ctx context.Context, out io.Writer, once bool) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	start, last := time.Now(), ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		messages, documents, err := d.app.db.Tally(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("index: %w", err)
		}
		total, final := 0, 0
		for s, n := range messages {
			total += n
			if s.Final() {
				final += n
			}
		}
		line := fmt.Sprintf("%d messages, %d à leur état final", total, final)
		for _, s := range greffe.States {
			if n := documents[s]; n > 0 {
				line += fmt.Sprintf(" · %d %s", n, s)
			}
		}
		if line != last {
			fmt.Fprintf(out, "%5.1f s  %s\n", time.Since(start).Seconds(), line)
			last = line
		}
		if final < d.sent || !once && len(d.late) == 0 {
			continue
		}
		// The last outcome may still have its mark in the mailbox to come.
		st, err := d.app.bus.Status(ctx)
		if err != nil {
			continue // busy; should it be gone, the services say so
		}
		// Answers that went to the mailboxes of the demo come in as messages, too.
		if st.InFlight() > 0 || final < d.sent+d.out.Local() {
			continue
		}
		if len(d.late) == 0 {
			return nil
		}
		late := d.late
		d.late = nil
		if err := d.put(late); err != nil {
			return err
		}
	}
}

// table prints how many messages and documents ended in each state.
func (d *demo) table(ctx context.Context, out io.Writer) error {
	messages, documents, err := d.app.db.Tally(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nétat final\tmessages\tdocuments\t")
	var m, n int
	for _, s := range greffe.States {
		if messages[s]+documents[s] == 0 {
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t\n", s, messages[s], documents[s])
		m, n = m+messages[s], n+documents[s]
	}
	fmt.Fprintf(w, "total\t%d\t%d\t\n", m, n)
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nRevenu aux correspondants\n")
	kinds := map[string]int{}
	for _, m := range d.out.CameBack() {
		if m.Absent {
			m.Kind += ", non remis (adresse inconnue)"
		}
		kinds[m.Kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(out, "%6d  %s\n", kinds[kind], kind)
	}
	if m < d.sent {
		return fmt.Errorf("%d messages sur %d sont arrivés", m, d.sent)
	}
	return nil
}

func (d *demo) close() error {
	var errs []error
	if d.app != nil {
		errs = append(errs, d.app.close())
	}
	for _, di := range d.dis {
		errs = append(errs, di.Close())
	}
	if d.out != nil {
		errs = append(errs, d.out.Close())
	}
	if d.mail != nil {
		errs = append(errs, d.mail.Close())
	}
	return errors.Join(errs...)
}
