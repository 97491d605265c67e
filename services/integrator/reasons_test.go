package integrator

import (
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// TestEveryReasonHasWords: whatever keeps a document from its DI is shown in words, also
// a rule that is added to a table tomorrow.
func TestEveryReasonHasWords(t *testing.T) {
	t.Parallel()
	goOn := []string{ // rules that send the document, leave it as it is, or have it wait for another one
		"no-di", "newer-under-way", "delete-too-soon", "delete-first", "delete", "new", "replace-first", "replace-too-soon", "replace", "replace-dismissed",
		"replace-waiting", "replace-unsaid", "replace-unknown", "replace-nothing", "no-di-yet", "di-decides", "ask", "exact", "vouched",
	}
	codes := []string{"unwritable", "archive", "greffe", "hl7.events", "fhir.deletion", "412", "AE", greffe.CodeDecision, greffe.CodeRefusal, greffe.CodeReopened}
	for _, r := range slices.Concat(documentRules, rules) {
		codes = append(codes, r.name)
	}
	for _, r := range patientRules {
		codes = append(codes, r.name)
	}
	for app := range refusals {
		codes = append(codes, app, "AE "+app, "422 "+app)
	}
	for technical := range technicals {
		codes = append(codes, "AE "+technical)
	}
	for _, code := range codes {
		s := greffe.Reason(code)
		if has := !strings.HasPrefix(s, "Autre motif") && !strings.HasPrefix(s, "Sans code"); has == slices.Contains(goOn, code) {
			t.Errorf("%s is called %q", code, s)
		}
	}
}
