package notifier

import (
	"slices"
	"testing"

	"greffe/pkg/greffe"
)

// Who writes to a mailbox that nobody reads is told so, and read elsewhere; no guard
// lets a loop begin. Every row of both tables decides once.
func TestAPersonWritesToAnApplicativeMailbox(t *testing.T) {
	t.Parallel()
	base := func() Facts {
		return Facts{
			Message: greffe.Message{
				Kind: greffe.KindReply, From: []greffe.Address{{Address: "yvon.martel@cabinet-martel.example"}}, ReturnPath: "yvon.martel@cabinet-martel.example",
				MessageIDs: []string{"1@cabinet-martel.example"},
			},
			Mailbox: Mailbox{Address: "dpi@ch-test.example", Applicative: true, RepliesTo: "cardiologie@ch-test.example"},
			Own:     []string{"dpi@ch-test.example", "cardiologie@ch-test.example"},
			Allowed: func(d string) bool { return d == "cabinet-martel.example" || d == "ch-test.example" },
		}
	}
	type change = func(*Facts)
	seen := map[string]bool{}
	for _, c := range []struct {
		name           string
		change         change
		reply, forward string // rows that decide
	}{
		{"a reply", func(*Facts) {}, "auto-reply", "forward"},
		{"a new message", func(f *Facts) { f.Message.Kind = greffe.KindText }, "auto-reply", "forward"},
		{"nothing in it", func(f *Facts) { f.Message.Kind = greffe.KindEmpty }, "auto-reply", "no-words"},
		{"a delivery", func(f *Facts) { f.Message.Kind = greffe.KindDelivery }, "no-words", "no-words"},
		{"a forwarded delivery", func(f *Facts) { f.Message.Kind = greffe.KindForward }, "no-words", "no-words"},
		{"people read the mailbox", func(f *Facts) { f.Mailbox.Applicative = false }, "read-by-people", "read-by-people"},
		{"no mailbox of the service", func(f *Facts) { f.Mailbox.RepliesTo = "" }, "auto-reply", "nowhere"},
		{"the mailbox itself", func(f *Facts) { f.Mailbox.RepliesTo = "DPI@ch-test.example" }, "auto-reply", "to-itself"},
		{"the service outside the white list", func(f *Facts) { f.Mailbox.RepliesTo = "cardio@mail.invalid" }, "auto-reply", "not-allowed"},
		{"the sender outside the white list", func(f *Facts) { f.Message.ReturnPath = "x@mail.invalid" }, "not-allowed", "forward"},
		{"an MDN", func(f *Facts) { f.Message.Kind = greffe.KindMDN }, "robot", "robot"},
		{"a DSN", func(f *Facts) { f.Message.Kind = greffe.KindDSN }, "robot", "robot"},
		{"a KO", func(f *Facts) { f.Message.Kind = greffe.KindKO }, "robot", "robot"},
		{"an absence", func(f *Facts) { f.Message.Kind = greffe.KindAutoReply }, "robot", "robot"},
		{"a notice", func(f *Facts) { f.Message.Kind = greffe.KindNotice }, "robot", "robot"},
		{"auto-submitted", func(f *Facts) { f.Message.AutoSubmit = "auto-replied" }, "auto-submitted", "auto-submitted"},
		{"a list", func(f *Facts) { f.Message.List = true }, "list", "list"},
		{"the null return path", func(f *Facts) { f.Message.ReturnPath = "<>" }, "no-return-path", "no-return-path"},
		{"no return path: a server that writes none", func(f *Facts) { f.Message.ReturnPath = "" }, "no-return-path", "forward"},
		{"our forward, sent on by a rule", func(f *Facts) {
			f.Message.MessageIDs = []string{"01kb2m3n4p5q6r7s8t9v0w1x2y.forward@ch-test.example"}
		}, "our-mail", "our-mail"},
		{"a colleague of another mailbox of ours", func(f *Facts) { f.Message.From[0].Address = "Cardiologie@ch-test.example" }, "ourselves", "ourselves"},
		{"a patient", func(f *Facts) { f.Message.Kind = greffe.KindPatient }, "patient", "patient"},
		{"a patient's address", func(f *Facts) { f.Message.From[0].Address = "1@patient.mssante.fr" }, "patient", "patient"},
	} {
		f := base()
		c.change(&f)
		for _, one := range []struct {
			name   string
			got    Decision
			rule   string
			answer Answer
			to     string
		}{
			{"auto-reply", DueReply(f), c.reply, AutoReply, bare(f.Message.ReturnPath)},
			{"forward", DueForward(f), c.forward, Forward, f.Mailbox.RepliesTo},
		} {
			seen[one.name+" "+one.got.Rule] = true
			sends := one.rule == one.name
			if one.got.Rule != one.rule || (one.got.Answer == one.answer) != sends || sends && one.got.To.Address != one.to || one.got.Why == "" {
				t.Errorf("%s, %s: %+v, want %s", c.name, one.name, one.got, one.rule)
			}
		}
	}
	for name, table := range map[string][]rule{"auto-reply": autoReplies, "forward": forwards} {
		for _, r := range table {
			if !seen[name+" "+r.name] {
				t.Errorf("%s: rule %s is not tested", name, r.name)
			}
		}
		for _, g := range guards {
			if !slices.ContainsFunc(table, func(r rule) bool { return r.name == g.name }) {
				t.Errorf("%s has no guard %s", name, g.name)
			}
		}
	}
}
