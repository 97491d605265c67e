package greffe

import (
	"strings"
	"testing"
)

// TestEveryCauseHasAReason: what the queue sorts by cause has words of its own, with and
// without what the protocol puts before the code.
func TestEveryCauseHasAReason(t *testing.T) {
	t.Parallel()
	for code := range causes {
		if s := Reason(code); strings.Contains(s, code) || s != Reason("AE "+code) {
			t.Errorf("%s is %q, and %q after AE", code, s, Reason("AE "+code))
		}
	}
}

func TestReason(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"":            "Sans code",
		"AE 902":      "Patient inconnu du DI",
		"422 904":     "Identité différente de celle du DI",
		"904":         "Identité différente de celle du DI",
		CodeRefusal:   "Refusé par une personne",
		"AE":          "Refus technique du DI, sans explication",
		"AE 103":      "Erreur technique du DI (AE 103)",
		"AE 207":      "Erreur technique du DI (AE 207)",
		"AE 950":      "Refus du DI (AE 950)",
		"412":         "Refus du DI (réponse 412)",
		"413":         "Document trop volumineux pour le DI",
		"404":         "Erreur technique du DI (réponse 404)",
		"search 403":  "Autre motif (search 403)",
		"new-in-2030": "Autre motif (new-in-2030)",
	} {
		if got := Reason(code); got != want {
			t.Errorf("%q is %q, want %q", code, got, want)
		}
	}
}
