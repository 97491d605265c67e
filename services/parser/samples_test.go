package parser

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
	"greffe/pkg/sandbox"
)

// TestSamples reads the mailbox of the demonstration, PDFs checked in the child
// process: each message is of the kind it should be, has its documents, and nothing
// is held that should go on, or goes on that should be held.
func TestSamples(t *testing.T) {
	checker := pdf.New(pdf.Config{Workers: 1})
	defer checker.Close()
	p := New(Config{Environment: ins.Test, Version: "test"}, nil, checker, slog.New(slog.DiscardHandler))
	for _, s := range sandbox.Samples(sandbox.SampleOptions{Now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), Seed: 1}) {
		out := parse(t, p, s.Raw)
		all := rules(out.Findings)
		for _, part := range out.Parts {
			all = append(all, rules(part.Findings)...)
		}
		for _, d := range out.Documents {
			all = append(all, rules(d.Findings)...)
		}
		if s.Want.Rule != "" && !slices.Contains(all, s.Want.Rule) {
			t.Errorf("%s: %s is not found in %v", s.Name, s.Want.Rule, all)
		}
		if out.Message.Kind != s.Want.Kind && s.Want.Kind != "" {
			t.Errorf("%s: kind %s, want %s", s.Name, out.Message.Kind, s.Want.Kind)
		}
		if out.Verdict != s.Want.Verdict {
			t.Errorf("%s: verdict %s, want %s: %v", s.Name, out.Verdict, s.Want.Verdict, all)
		}
		if s.Want.Open {
			continue
		}
		if len(out.Documents) != len(s.Want.Documents) {
			t.Errorf("%s: %d documents, want %d\n%s", s.Name, len(out.Documents), len(s.Want.Documents), outcome(out))
			continue
		}
		for i, d := range out.Documents {
			held := d.Verdict == greffe.VerdictHeld || d.Verdict == greffe.VerdictRefused
			switch want := s.Want.Documents[i]; {
			case held && want != greffe.StateTodo:
				t.Errorf("%s: document %s is %s, want %s: %v", s.Name, d.Part, d.Verdict, want, rules(d.Findings))
			case !held && want == greffe.StateTodo:
				t.Logf("%s: document %s goes on to the integrator: %v", s.Name, d.Part, rules(d.Findings))
			}
		}
	}
}
