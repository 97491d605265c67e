package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "greffe/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// The rules of the house: which room may open which door. A service that cannot
// import the database cannot leak it, whatever hostile file it reads.
func TestImportRules(t *testing.T) {
	t.Parallel()
	pkgs := listPackages(t)
	if len(pkgs) < 15 {
		t.Fatalf("only %d packages listed", len(pkgs))
	}
	formats := []string{"greffe/pkg/eml", "greffe/pkg/xdm", "greffe/pkg/cda", "greffe/pkg/pdf", "greffe/pkg/ins", "greffe/pkg/codes"}
	protocols := []string{"greffe/pkg/hl7", "greffe/pkg/fhir", "greffe/pkg/clamd"}
	drivers := []string{"greffe/pkg/bus", "greffe/pkg/archive", "greffe/pkg/index"}
	// What a service may not reach, by itself or through anything it imports.
	cut := map[string][]string{
		"greffe/services/fetcher":    {"greffe/pkg/archive", "greffe/pkg/index", "greffe/pkg/hl7", "greffe/pkg/fhir", "net/smtp"},
		"greffe/services/parser":     {"greffe/pkg/archive", "greffe/pkg/index", "greffe/pkg/hl7", "greffe/pkg/fhir", "net/smtp", "database/sql", "github.com/emersion/go-imap/v2/imapclient"},
		"greffe/services/storage":    {"greffe/pkg/hl7", "greffe/pkg/fhir", "net/smtp", "github.com/emersion/go-imap/v2/imapclient"},
		"greffe/services/integrator": {"net/smtp", "github.com/emersion/go-imap/v2/imapclient"},
		"greffe/services/console":    {"greffe/pkg/hl7", "greffe/pkg/fhir", "net/smtp", "github.com/emersion/go-imap/v2/imapclient"},
	}
	// Libraries that one room alone may use.
	owner := map[string][]string{
		"github.com/emersion/go-imap/v2/imapclient": {"greffe/services/fetcher"},
		"github.com/minio/minio-go/v7":              {"greffe/pkg/archive"},
		"filippo.io/age":                            {"greffe/pkg/archive"},
		"modernc.org/sqlite":                        {"greffe/pkg/index"},
		"github.com/jackc/pgx/v5/stdlib":            {"greffe/pkg/index"},
		"github.com/nats-io/nats.go":                {"greffe/pkg/bus"},
		"github.com/nats-io/nats.go/jetstream":      {"greffe/pkg/bus"},
		"github.com/pdfcpu/pdfcpu/pkg/api":          {"greffe/pkg/pdf"},
		"github.com/emersion/go-message":            {"greffe/pkg/eml"},
		"github.com/smallstep/pkcs7":                {"greffe/pkg/eml", "greffe/pkg/evidence"},
	}
	for _, p := range pkgs {
		name := p.ImportPath
		for _, dep := range p.Imports {
			ours := strings.HasPrefix(dep, "greffe/")
			switch {
			case strings.HasPrefix(name, "greffe/services/") && strings.HasPrefix(dep, "greffe/services/"):
				t.Errorf("%s imports %s: a service never imports a service", name, dep)
			case strings.HasPrefix(name, "greffe/pkg/") && (strings.HasPrefix(dep, "greffe/services/") || strings.HasPrefix(dep, "greffe/cmd/")):
				t.Errorf("%s imports %s: a pkg never imports a service", name, dep)
			case slices.Contains(drivers, name) && slices.Contains(drivers, dep):
				t.Errorf("%s imports %s: drivers never import each other", name, dep)
			case name == "greffe/pkg/greffe" && (ours || strings.Contains(dep, ".")):
				t.Errorf("%s imports %s: the words import only the standard library", name, dep)
			case (slices.Contains(formats, name) || slices.Contains(protocols, name)) && ours && dep != "greffe/pkg/greffe" &&
				!(name == "greffe/pkg/xdm" && dep == "greffe/pkg/cda"):
				t.Errorf("%s imports %s: formats and protocols import nothing of ours but the words", name, dep)
			case slices.Contains(formats, name) && name != "greffe/pkg/pdf" && (dep == "os" || dep == "net" || dep == "net/http" || dep == "os/exec"):
				t.Errorf("%s imports %s: formats touch neither network nor disk", name, dep)
			}
			if o, ok := owner[dep]; ok && !slices.Contains(o, name) && name != "greffe/pkg/sandbox" {
				t.Errorf("%s imports %s, which belongs to %v", name, dep, o)
			}
			if strings.HasPrefix(name, "greffe/") && dep == "greffe/pkg/sandbox" && name != "greffe/cmd/greffe" {
				t.Errorf("%s imports the sandbox", name)
			}
		}
		for _, forbidden := range cut[name] {
			if slices.Contains(p.Deps, forbidden) {
				t.Errorf("%s reaches %s", name, forbidden)
			}
		}
	}
}
