// Package xsd checks documents against the XML schemas of CDA with libxml2, the library
// that the published schemas are written for: the validators in Go that we tried cannot
// compile them.
//
// The C code stays out of our process and our build. A Checker keeps a few processes of the
// program xmllint warm: each has the schemas loaded and is given one document after the
// other, so that a document costs milliseconds and not the hundred that it takes to load
// the schemas. What a document does to such a process (time, memory, a crash) ends with
// it; the document is then not checked, which is never held against it.
//
// The program gets no network (--nonet), no catalogue, an empty environment, and limits on
// memory, files and processor time that are in force before it sees the first byte of a
// document. It reads documents from a pipe. Give it documents that package cda has
// rewritten (cda.WritePlain): without document type, processing instruction or
// xsi:schemaLocation there is nothing in them that points to a file.
//
// Linux only: it hands pipes over as /dev/fd. Outside the standard library it uses
// golang.org/x/sys, to set the limits of another process.
package xsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"greffe/pkg/greffe"
)

// Entry is the schema that a folder of CDA schemas is entered by.
const Entry = "CDA_extended.xsd"

// Rules about the schema.
var (
	ruleInvalid   = greffe.Rule{ID: "xsd.invalid", Severity: greffe.Warning, Text: "Le document ne suit pas le schéma CDA : %s. Il peut être lu et classé ; si cela se répète, signalez-le à l’expéditeur.", Source: "HL7 CDA R2, schéma XML étendu du CI-SIS (CDA_extended.xsd)"}
	RuleUnchecked = greffe.Rule{ID: "xsd.unchecked", Severity: greffe.Info, Text: "La conformité au schéma CDA n’a pas pu être contrôlée. Rien à faire pour ce message ; un administrateur peut lancer « greffe check ».", Source: "Greffe"}
)

// Rules returns every rule of this package.
func Rules() []greffe.Rule { return []greffe.Rule{ruleInvalid, RuleUnchecked} }

// Config says where the schemas are and what a check may take. Zero fields but Schemas
// take their defaults.
type Config struct {
	Schemas string        // folder that holds Entry
	Program string        // name or path of xmllint; "" means xmllint
	Workers int           // processes at most; 0 means the number of processors
	Timeout time.Duration // for one document; 0 means 10 s
	Memory  int64         // bytes of address space of one process; 0 means 512 MiB
	MaxSize int64         // bytes of one document; 0 means 16 MiB, which libxml2 holds as a tree of some 150 MiB
}

// Checker checks documents. Its methods may be called at once; Workers documents are
// checked at a time, others wait.
type Checker struct {
	cfg   Config
	slots chan struct{}

	mu     sync.Mutex
	idle   []*process
	closed bool
}

// New returns a Checker. It starts nothing yet.
func New(cfg Config) *Checker {
	if cfg.Program == "" {
		cfg.Program = "xmllint"
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Memory <= 0 {
		cfg.Memory = 512 << 20
	}
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = 16 << 20
	}
	return &Checker{cfg: cfg, slots: make(chan struct{}, cfg.Workers)}
}

var (
	// ErrNotChecked says that nothing is known about the document: the program is missing or
	// does not work, or the document was too much for it.
	ErrNotChecked = errors.New("not checked against the schema")

	errGone   = errors.New("the process ended")
	errClosed = errors.New("checker is closed")
	errSize   = errors.New("document too large")
)

// Check has the document that write writes checked and returns one finding when it breaks
// the schema, none when it follows it. write may be called twice; an error of its own is
// returned as it is. Any other error wraps ErrNotChecked; the document may be checked again
// later.
func (c *Checker) Check(ctx context.Context, write func(io.Writer) error) ([]greffe.Finding, error) {
	report, err := c.check(ctx, write)
	if err != nil || report.valid {
		return nil, err
	}
	return []greffe.Finding{ruleInvalid.At("", report.summary())}, nil
}

func (c *Checker) check(ctx context.Context, write func(io.Writer) error) (report, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return report{}, context.Cause(ctx)
	}
	var r report
	for {
		p, err := c.take(ctx)
		if err != nil {
			return report{}, notChecked(err)
		}
		fresh := p.served == 0
		r, err = p.check(ctx, write, c.cfg)
		if err == nil {
			c.give(p)
			return r, nil
		}
		p.kill()
		if !errors.Is(err, errGone) {
			var own ownError
			if errors.As(err, &own) {
				return r, own.error
			}
			return r, notChecked(err)
		}
		if fresh {
			return r, notChecked(err) // it is the document, not what came before it
		}
	}
}

func notChecked(err error) error { return fmt.Errorf("%w: %w", ErrNotChecked, err) }

// take returns an idle process that still lives, or a new one.
func (c *Checker) take(ctx context.Context) (*process, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errClosed
	}
	for len(c.idle) > 0 {
		p := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if p.alive() {
			c.mu.Unlock()
			return p, nil
		}
		p.kill()
	}
	c.mu.Unlock()
	return start(ctx, c.cfg)
}

// give puts a process back.
func (c *Checker) give(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || p.served >= documents {
		p.kill()
		return
	}
	c.idle = append(c.idle, p)
}

// Close ends all processes that are idle; those at work end with their document.
func (c *Checker) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, p := range c.idle {
		p.kill()
	}
	c.idle = nil
	return nil
}

// Probe starts the program, has it load the schemas and check an empty document, and
// returns its version. The error says in French what to mend.
func (c *Checker) Probe(ctx context.Context) (version string, err error) {
	if _, err := os.Stat(filepath.Join(c.cfg.Schemas, Entry)); err != nil {
		return "", fmt.Errorf("le fichier %s ne peut pas être lu dans le dossier des schémas : corriger cda.schemas", Entry)
	}
	program, err := exec.LookPath(c.cfg.Program)
	if err != nil {
		return "", fmt.Errorf("le programme %s est introuvable : installer libxml2-utils ou corriger cda.xmllint", c.cfg.Program)
	}
	out, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("libxml")) {
		return "", fmt.Errorf("le programme %s n’est pas xmllint (libxml2) : corriger cda.xmllint", c.cfg.Program)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	version = strings.TrimSpace(first[strings.LastIndexByte(first, ' ')+1:])
	r, err := c.check(ctx, func(w io.Writer) error {
		_, err := io.WriteString(w, `<ClinicalDocument xmlns="urn:hl7-org:v3"/>`)
		return err
	})
	switch {
	case err != nil:
		return version, fmt.Errorf("les schémas ne peuvent pas être chargés (%w)", err)
	case r.valid || len(r.faults) == 0 || strings.Contains(r.faults[0].text, "racine"):
		return version, errors.New("les schémas ne sont pas ceux de CDA : un document vide y est admis")
	}
	return version, nil
}
