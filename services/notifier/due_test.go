package notifier

import (
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// Every row of the table, with what makes it decide.
func TestDue(t *testing.T) {
	t.Parallel()
	sender := greffe.Address{Address: "yvon.martel@cabinet-martel.example"}
	base := func(receipt bool, states ...string) Facts {
		f := Facts{
			Message: greffe.Message{Kind: greffe.KindDelivery, From: []greffe.Address{sender}, ReturnPath: "<yvon.martel@cabinet-martel.example>"},
			Own:     []string{"greffe.radio@ch-test.example"},
			Allowed: func(d string) bool { return strings.HasSuffix(d, ".example") },
		}
		if receipt {
			f.Message.ReceiptTo = []greffe.Address{sender}
		}
		for _, s := range states {
			state, code, _ := strings.Cut(s, "/")
			f.Outcomes = append(f.Outcomes, greffe.Outcome{State: greffe.State(state), Code: code})
		}
		return f
	}
	with := func(f Facts, change func(*Facts)) Facts { change(&f); return f }
	const (
		ok        = "intégré/AA"
		twin      = "doublon/duplicate"
		ko902     = "refusé par le DI/AE 902"
		ko904     = "refusé par le DI/422 904"
		other     = "refusé par le DI/409"
		waiting   = "en attente du DI/AR"
		todo      = "à traiter/pdf"
		technical = "incident/AE 101"
		aside     = "classé sans suite/decision"
		person    = "classé sans suite/decision 906"
	)
	seen := map[string]bool{}
	for _, c := range []struct {
		name   string
		f      Facts
		rule   string
		answer Answer
		code   string
	}{
		{"asked, all is well", base(true, ok), "mdn-success", MDNSuccess, ""},
		{"asked, but it was there long before Greffe", with(base(true, ok), func(f *Facts) { f.Old = true }), "too-old", None, ""},
		{"refused, but it was there long before Greffe", with(base(false, ko902), func(f *Facts) { f.Old = true }), "too-old", None, "902"},
		{"asked, received before", base(true, twin, ok), "mdn-success", MDNSuccess, ""},
		{"asked, one put aside", base(true, ok, aside), "mdn-success", MDNSuccess, ""},
		{"asked, one of two refused", base(true, ok, ko902), "mdn-error", MDNError, "902"},
		{"the gravest code counts", base(true, ko902, ko904, other), "mdn-error", MDNError, "904"},
		{"a person refused it", base(true, person), "mdn-error", MDNError, "906"},
		{"a person refused it, not asked", base(false, ok, person), "ko", KO, "906"},
		{"a refusal without code", base(true, other), "mdn-error", MDNError, "906"},
		{"not asked, all is well", base(false, ok), "nothing", None, ""},
		{"not asked, refused", base(false, ko902), "ko", KO, "902"},
		{"asked for another address", with(base(true, ok), func(f *Facts) { f.Message.ReturnPath = "<bounce@cabinet-martel.example>" }), "mdn-other-address", Ask, ""},
		{"asked for another address, refused", with(base(true, ko902), func(f *Facts) { f.Message.ReturnPath = "<bounce@cabinet-martel.example>" }), "mdn-other-address", Ask, "902"},
		{"asked for another address, and a person says yes", with(base(true, ok), func(f *Facts) { f.Message.ReturnPath, f.Confirmed = "<bounce@cabinet-martel.example>", true }), "mdn-success", MDNSuccess, ""},
		{"asked for two addresses", with(base(true, ok), func(f *Facts) {
			f.Message.ReceiptTo = append(f.Message.ReceiptTo, greffe.Address{Address: "x@cabinet-martel.example"})
		}), "mdn-other-address", Ask, ""},
		{"case of the address does not matter", with(base(true, ok), func(f *Facts) { f.Message.ReturnPath = "Yvon.Martel@Cabinet-Martel.example" }), "mdn-success", MDNSuccess, ""},

		{"the DI is down", base(true, ok, waiting), "unfinished", Later, ""},
		{"a person decides first", base(true, ok, todo), "unfinished", Later, ""},
		{"no DI", base(true, "archivé"), "unfinished", Later, ""},
		{"technical errors stay in the house", base(true, ok, technical), "incident", Later, ""},
		{"all put aside", base(true, aside), "put-aside", None, ""},
		{"no document", base(true), "no-document", None, ""},

		{"an MDN with a document in it", with(base(true, ko902), func(f *Facts) { f.Message.Kind = greffe.KindMDN }), "robot", None, ""},
		{"a bounce", with(base(true, ko902), func(f *Facts) { f.Message.Kind = greffe.KindDSN }), "robot", None, ""},
		{"a KO mail of another system", with(base(true, ko902), func(f *Facts) { f.Message.Kind = greffe.KindKO }), "robot", None, ""},
		{"an auto-reply", with(base(true, ko902), func(f *Facts) { f.Message.Kind = greffe.KindAutoReply }), "robot", None, ""},
		{"auto-submitted", with(base(true, ko902), func(f *Facts) { f.Message.AutoSubmit = "auto-generated; x=y" }), "auto-submitted", None, ""},
		{"auto-submitted: no", with(base(true, ok), func(f *Facts) { f.Message.AutoSubmit = "No" }), "mdn-success", MDNSuccess, ""},
		{"null return path", with(base(true, ko902), func(f *Facts) { f.Message.ReturnPath = "<>" }), "no-return-path", None, ""},
		{"no return path", with(base(true, ko902), func(f *Facts) { f.Message.ReturnPath = "" }), "no-return-path", None, ""},
		{"from ourselves", with(base(false, ko902), func(f *Facts) { f.Message.From[0].Address = "Greffe.Radio@ch-test.example" }), "ourselves", None, ""},
		{"receipt to ourselves", with(base(true, ok), func(f *Facts) { f.Message.ReceiptTo[0].Address = "greffe.radio@ch-test.example" }), "ourselves", None, ""},
		{"a patient", with(base(true, ko902), func(f *Facts) { f.Message.Kind = greffe.KindPatient }), "patient", None, ""},
		{"a patient's address", with(base(false, ko902), func(f *Facts) { f.Message.From[0].Address = "1@patient.mssante.fr" }), "patient", None, ""},
		{"a mailing list", with(base(true, ko902), func(f *Facts) { f.Message.List = true }), "list", None, ""},
		{"one of our mails inside", with(base(true, ko902), func(f *Facts) {
			f.Message.MessageIDs = []string{"x@y.example", "01kb2m3n4p5q6r7s8t9v0w1x2y.answer@ch-test.example"}
		}), "our-mail", None, ""},
		{"a mail that only looks like ours", with(base(false, ko902), func(f *Facts) {
			f.Message.MessageIDs = []string{"01kb2m3n4p5q6r7s8t9v0w1x2y.answer@elsewhere.example", "x.answer@ch-test.example"}
		}), "ko", KO, "902"},
		{"a receipt to a patient", with(base(true, ok), func(f *Facts) { f.Message.ReceiptTo[0].Address = "1@patient.mssante.fr" }), "patient", None, ""},
		{"a refusal that is told to one address for all", with(base(false, ko902), func(f *Facts) { f.KO = "qualite@ch-test.example" }), "ko", KO, "902"},
		{"not on the white list", with(base(false, ko902), func(f *Facts) { f.Message.From[0].Address = "x@mail.invalid" }), "not-allowed", None, "902"},
		{"no white list", with(base(false, ko902), func(f *Facts) { f.Allowed = nil }), "not-allowed", None, "902"},
		{"no address at all", with(base(false, ko902), func(f *Facts) { f.Message.From, f.Message.ReturnPath = nil, "x" }), "not-allowed", None, "902"},
	} {
		seen[c.rule] = true
		got := Due(c.f)
		if got.Rule != c.rule || got.Answer != c.answer || got.Code != c.code || got.Why == "" {
			t.Errorf("%s: %+v, want %s by %s, code %q", c.name, got, c.answer, c.rule, c.code)
		}
		sends := c.answer == MDNSuccess || c.answer == MDNError || c.answer == KO || c.answer == Ask || c.rule == "not-allowed" || c.rule == tooOld
		if sends != (got.To.Address != "") {
			t.Errorf("%s: goes to %q", c.name, got.To.Address)
		}
	}
	for _, r := range rules {
		if !seen[r.name] {
			t.Errorf("rule %s is not tested", r.name)
		}
	}
}

// Who learns of a refusal is a matter of the settings.
func TestWhoIsToldOfRefusals(t *testing.T) {
	t.Parallel()
	f := Facts{
		Message: greffe.Message{
			Kind: greffe.KindDelivery, From: []greffe.Address{{Address: "author@labo.example"}}, ReturnPath: "author@labo.example",
			ResentFrom: []greffe.Address{{Address: "cardiologie@ch-test.example"}},
		},
		Outcomes: []greffe.Outcome{{State: greffe.StateRefused, Code: "AE 902"}},
		Allowed:  func(string) bool { return true },
	}
	for setting, want := range map[string]string{"": "author@labo.example", "sender": "author@labo.example", "forwarder": "cardiologie@ch-test.example", "qualite@ch-test.example": "qualite@ch-test.example"} {
		f.KO = setting
		if d := Due(f); d.Answer != KO || d.To.Address != want {
			t.Errorf("%q: %+v, want %s", setting, d, want)
		}
	}
	f.KO, f.Message.ResentFrom = "forwarder", nil
	if d := Due(f); d.To.Address != "author@labo.example" {
		t.Errorf("nobody passed it on: %+v", d)
	}
	f.Allowed = func(string) bool { return false }
	if d := Due(f); d.Answer != None || d.Blocked != KO || d.Code != "902" || d.To.Address == "" {
		t.Errorf("a person does not learn that nothing goes: %+v", d)
	}
	f.Allowed = nil
	if d := Due(f); d.Answer != None || d.Blocked != "" {
		t.Errorf("without a white list: %+v", d)
	}
}
