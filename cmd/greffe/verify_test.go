package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"greffe/api"
)

// What a program reads from greffe verify is what the published schema says; what was
// asked for wrongly is said and nothing is opened.
func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"":                               {exitOK, "Rien ne manque"},
		"--full":                         {exitOK, "relus"},
		"--sample 5% --since 2026-11-01": {exitOK, "--seed"},
		"--sample 12,5% --seed 2a":       {exitOK, "12,5"},
		"--sample 0%":                    {exitUsage, "part"},
		"--sample 5":                     {exitUsage, "part"},
		"--seed 2a":                      {exitUsage, "--seed"},
		"--since hier":                   {exitUsage, "AAAA-MM-JJ"},
		"--message ../x":                 {exitUsage, "identifiant"},
		"--message 01KAW0J3C0000000000000000A --sample 5%": {exitUsage, "sans"},
		"--message 01KAW0J3C0000000000000000A":             {exitWrong, "ni dans l'index ni dans l'archive"},
	} {
		var out, errw bytes.Buffer
		code := realMain(append([]string{"verify", "--data", dir}, strings.Fields(args)...), nil, &out, &errw)
		if code != want.code || !strings.Contains(out.String()+errw.String(), want.text) {
			t.Errorf("verify %s: code %d\n%s%s", args, code, &out, &errw)
		}
	}
	var out, errw bytes.Buffer
	if code := realMain([]string{"verify", "--data", dir, "--json", "--sample", "5%"}, nil, &out, &errw); code != exitOK {
		t.Fatalf("code %d: %s", code, &errw)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.VerifySchema))
	if err != nil {
		t.Fatal(err)
	}
	closed(t, "verify", doc)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("verify.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("verify.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	rep, err := jsonschema.UnmarshalJSON(&out)
	if err == nil {
		err = schema.Validate(rep)
	}
	if err != nil {
		t.Error(err)
	}
}
