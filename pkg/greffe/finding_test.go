package greffe

import "testing"

func TestSentenceHidesVerbs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Le numéro RPPS %s est faux.":              "Le numéro RPPS … est faux.",
		"%d parties, %[2]q et %.1f Mio, soit 3 %%": "… parties, … et … Mio, soit 3 %",
		"Il manque : %s.":                          "Il manque : …",
		"100 % des pièces.":                        "100 % des pièces.",
		"%%d":                                      "%d",
	} {
		if got := (Rule{Text: text}).Sentence(); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}

func TestFrenchWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{KindDelivery.French(), "Envoi de documents"}, {PartCDA.French(), "Document CDA"}, {VerdictHeld.French(), "à vérifier"},
		{Hold.French(), "À vérifier"}, {ActionDelete.French(), "Demande de suppression"}, {FormatCDA1.French(), "CDA niveau 1"}, {Verdict("x").French(), "x"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
