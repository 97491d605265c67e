package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
	"greffe/pkg/sandbox"
	"greffe/services/parser"
)

var selftestCommand = command{
	name: "selftest", args: "[DOSSIER… | FICHIER…] [--json]", summary: "lit les messages d'essai, et un dossier donné",
	help: `
Lit les messages d'essai que le programme contient (ceux de « greffe demo ») et compare ce
qu'il y trouve à ce qui est attendu : nature, documents, verdict, règle. ✓ : comme prévu ;
≠ : autrement, et en quoi. Rien d'autre que le programme n'est nécessaire : ni
configuration, ni serveur, ni fichier.

Chaque DOSSIER est lu ensuite, sous-dossiers compris (liens non suivis), et chaque FICHIER ; ce
sont les mêmes lectures que « greffe inspect », qui donne le détail d'un fichier.

Sort avec 1 si un message d'essai n'est pas lu comme prévu ou si un fichier n'a pu être lu. Un
verdict, même mauvais, sur un fichier donné n'est pas une faute.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &selftestOptions{}
		c.opt = o
		fs.StringVar(&o.environment, "environment", "any", "`INS` admis dans les fichiers donnés : production, test ou any")
		fs.StringVar(&o.samples, "samples", "", "écrire aussi les messages d'essai dans `DOSSIER` (001.eml, 002.eml…)")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON")
	},
	run: runSelftest,
}

type selftestOptions struct {
	inspectOptions
	samples string
}

// maxSelftest bounds the files of one run.
const maxSelftest = 100_000

// trial is one sample or file that selftest read.
type trial struct {
	Name      string         `json:"name"`
	Kind      string         `json:"kind,omitempty"`
	Verdict   greffe.Verdict `json:"verdict,omitempty"`
	Documents int            `json:"documents"`
	Rules     []string       `json:"rules,omitempty"`   // found, each once, the gravest first
	Differs   []string       `json:"differs,omitempty"` // French: what a sample should have been and is not
	Error     string         `json:"error,omitempty"`   // French: why a file could not be read
	mail      bool
}

// series is what was read of one source.
type series struct {
	Name     string                 `json:"name"`
	Trials   []trial                `json:"trials"`
	Verdicts map[greffe.Verdict]int `json:"verdicts"`
	Unread   int                    `json:"unread"`  // could not be read at all
	Differs  int                    `json:"differs"` // samples that are not as expected
}

// selftestReport is what "greffe selftest --json" writes.
type selftestReport struct {
	Reader  string   `json:"reader"`
	OK      bool     `json:"ok"`
	Seconds float64  `json:"seconds"`
	Series  []series `json:"series"`
}

func runSelftest(ctx context.Context, c *call) error {
	o := c.opt.(*selftestOptions)
	env, err := o.accepted()
	if err != nil {
		return err
	}
	workers := processors
	checker := pdf.New(pdf.Config{Workers: workers})
	defer checker.Close()
	reader := func(env ins.Environment) *parser.Parser {
		return parser.New(parser.Config{Environment: env, Version: versionString()}, nil, checker, newLogger(LogConfig{Level: "error"}, c.err))
	}
	start := time.Now()
	rep := selftestReport{Reader: versionString()}

	samples := sandbox.Samples(sandbox.SampleOptions{Now: start})
	if o.samples != "" {
		if err := writeSamples(o.samples, samples); err != nil {
			return fmt.Errorf("messages d'essai : %w", err)
		}
	}
	own := reader(ins.Test)
	trials, err := tryAll(ctx, c, "messages d'essai", workers, len(samples), func(ctx context.Context, i int) trial { return trySample(ctx, own, samples[i]) })
	if err != nil {
		return err
	}
	rep.Series = append(rep.Series, seriesOf("Messages d'essai", trials))

	given := reader(env)
	for _, root := range c.args {
		files, err := filesUnder(root)
		if err != nil {
			return err
		}
		trials, err := tryAll(ctx, c, root, workers, len(files), func(ctx context.Context, i int) trial { return tryFile(ctx, given, root, files[i]) })
		if err != nil {
			return err
		}
		rep.Series = append(rep.Series, seriesOf(root, trials))
	}
	rep.OK = !slices.ContainsFunc(rep.Series, func(s series) bool { return s.Unread+s.Differs > 0 })
	rep.Seconds = time.Since(start).Round(time.Millisecond).Seconds()
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetEscapeHTML(false)
		err = e.Encode(rep)
	} else {
		err = rep.write(&sheet{w: c.out})
	}
	if err == nil && !rep.OK {
		err = errFound
	}
	return err
}

// writeSamples writes the mails as files, in the order in which they are listed. It
// writes over no file.
func writeSamples(dir string, samples []sandbox.Sample) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i, s := range samples {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%03d.eml", i+1)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(s.Raw)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// tryAll makes n trials, some at once, and returns them in their order.
func tryAll(ctx context.Context, c *call, what string, workers, n int, try func(context.Context, int) trial) ([]trial, error) {
	trials := make([]trial, n)
	bar := newProgress(c.err, what)
	defer bar.done()
	var mu sync.Mutex // progress counts one by one
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for i := range n {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			trials[i] = try(ctx, i)
			mu.Lock()
			defer mu.Unlock()
			done++
			bar.update(done, n)
			return nil
		})
	}
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	if err := ctx.Err(); err != nil && slices.ContainsFunc(trials, func(t trial) bool { return t.Name == "" }) {
		return nil, fmt.Errorf("interrompu: %w", err)
	}
	return trials, nil
}

func trySample(ctx context.Context, p *parser.Parser, s sandbox.Sample) trial {
	sum := greffe.DigestOf(s.Raw)
	parsed, err := p.Parse(ctx, greffe.Received{Size: int64(len(s.Raw)), SHA256: sum}, bytes.NewReader(s.Raw))
	t := trialOf(s.Name, parsed, err)
	if err != nil {
		return t
	}
	differs := func(what, want, got string) {
		t.Differs = append(t.Differs, fmt.Sprintf("%s : %s attendu, %s lu", what, want, got))
	}
	w := s.Want
	if w.Kind != "" && string(w.Kind) != t.Kind {
		differs("nature", w.Kind.French(), greffe.MessageKind(t.Kind).French())
	}
	if w.Verdict != t.Verdict {
		differs("verdict", w.Verdict.French(), t.Verdict.French())
	}
	if !w.Open && len(w.Documents) != t.Documents {
		differs("documents", fmt.Sprint(len(w.Documents)), fmt.Sprint(t.Documents))
	}
	if w.Rule != "" && !slices.Contains(t.Rules, w.Rule) {
		differs("constat", w.Rule, strings.Join(append(t.Rules, "rien d'autre"), ", "))
	}
	return t
}

func tryFile(ctx context.Context, p *parser.Parser, root, file string) trial {
	parsed, err := inspectFile(ctx, p, nil, file)
	name, relErr := filepath.Rel(root, file)
	if relErr != nil || name == "." {
		name = filepath.Base(file)
	}
	return trialOf(name, parsed, err)
}

func trialOf(name string, p greffe.Parsed, err error) trial {
	t := trial{Name: name}
	if err != nil {
		t.Error = unread(err)
		return t
	}
	t.Kind, t.Verdict, t.Documents, t.mail = kindOf(p), p.Verdict, len(p.Documents), p.Message.Kind != ""
	for _, f := range everyFinding(p) {
		if !slices.Contains(t.Rules, f.Rule) {
			t.Rules = append(t.Rules, f.Rule)
		}
	}
	return t
}

// filesUnder lists the files of a folder, or the one file that root is. What cannot be
// listed is in the list, so that it is told.
func filesUnder(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			files = append(files, path)
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular(), path == root && !d.IsDir(): // a link that was named is meant
			files = append(files, path)
		}
		if len(files) > maxSelftest {
			return fmt.Errorf("plus de %d fichiers dans %s", maxSelftest, root)
		}
		return nil
	})
	if fi, statErr := os.Stat(root); err == nil && statErr == nil && fi.IsDir() && len(files) == 1 && files[0] == root {
		return filesUnder(root + string(filepath.Separator)) // a link to a folder
	}
	return files, err
}

func seriesOf(name string, trials []trial) series {
	s := series{Name: name, Trials: trials, Verdicts: map[greffe.Verdict]int{}}
	if s.Trials == nil {
		s.Trials = []trial{}
	}
	for _, t := range trials {
		switch {
		case t.Error != "":
			s.Unread++
			continue
		case len(t.Differs) > 0:
			s.Differs++
		}
		s.Verdicts[t.Verdict]++
	}
	return s
}

// judgements are the columns of the table.
var judgements = []greffe.Verdict{greffe.VerdictOK, greffe.VerdictWarning, greffe.VerdictHeld, greffe.VerdictRefused}

func (r *selftestReport) write(s *sheet) error {
	for n, x := range r.Series {
		s.line("%s", x.Name)
		var width [2]int
		for _, t := range x.Trials {
			width[0], width[1] = max(width[0], len([]rune(shorten(t.Name, 64)))), max(width[1], len([]rune(t.kind())))
		}
		for _, t := range x.Trials {
			mark := " "
			switch {
			case t.Error != "" || len(t.Differs) > 0:
				mark = "≠"
			case n == 0:
				mark = "✓"
			}
			head := fmt.Sprintf("  %s %s  %s  ", mark, pad(shorten(t.Name, 64), width[0]), pad(t.kind(), width[1]))
			if t.Error != "" {
				s.line("%sillisible : %s", head, t.Error)
				continue
			}
			found := ""
			if n > 0 { // of a sample it is known; of a file it is what one looks for
				found = "  " + strings.Join(t.Rules[:min(len(t.Rules), 4)], " ")
			}
			s.line("%s%s%-12s%s", head, pad(t.Verdict.French(), 14), count(t.Documents, "document"), found)
			for _, d := range t.Differs {
				s.fold("      ", d)
			}
		}
		s.line("")
	}
	width := 0
	for _, x := range r.Series {
		width = max(width, len([]rune(shorten(x.Name, 50))))
	}
	head := "  " + pad("Verdicts", width)
	for _, v := range judgements {
		head += fmt.Sprintf("  %12s", v.French())
	}
	s.line("%s  %9s  %6s", head, "illisible", "total")
	for _, x := range r.Series {
		row := "  " + pad(shorten(x.Name, 50), width)
		for _, v := range judgements {
			row += fmt.Sprintf("  %12d", x.Verdicts[v])
		}
		s.line("%s  %9d  %6d", row, x.Unread, len(x.Trials))
	}
	s.line("")
	own := r.Series[0]
	s.line("%d messages d'essai sur %d sont lus comme prévu, par greffe %s, en %.1f s.", len(own.Trials)-own.Unread-own.Differs, len(own.Trials), r.Reader, r.Seconds)
	return s.err
}

// kind is what a person calls what was read.
func (t trial) kind() string {
	if t.mail {
		return greffe.MessageKind(t.Kind).French()
	}
	return greffe.PartKind(t.Kind).French()
}
