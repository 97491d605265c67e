package notifier

import (
	"strings"

	"greffe/pkg/greffe"
)

// Nobody reads an applicative mailbox (domain §3.1). A person who writes there is told
// so, once a day, with the mailbox to write to; and what she wrote goes to that mailbox,
// whole, so that no correspondent talks to a wall.

// wrote reports whether a person says something in the message, beside documents or
// without any. An empty message says nothing, but its sender waits for an answer, too.
func wrote(f *Facts) bool {
	switch f.Message.Kind {
	case greffe.KindReply, greffe.KindText, greffe.KindEmpty:
		return true
	}
	return false
}

// both tables begin alike. A missing Return-Path, which some servers do not write, is
// no reason against a forward, which goes to a mailbox of the hospital.
var autoReplies = append(guards[:len(guards):len(guards)],
	rule{"read-by-people", func(f *Facts) bool { return !f.Mailbox.Applicative }, None, "Des personnes lisent cette boîte."},
	rule{"no-words", func(f *Facts) bool { return !wrote(f) }, None, "Personne n’a écrit dans ce message."},
	rule{"auto-reply", func(*Facts) bool { return true }, AutoReply, "Une personne a écrit à une boîte que personne ne lit."},
)

var forwards = func() []rule {
	var table []rule
	for _, g := range guards {
		if g.name == "no-return-path" {
			g.when = func(f *Facts) bool { return f.Message.ReturnPath == "<>" }
		}
		table = append(table, g)
	}
	return append(table,
		rule{"read-by-people", func(f *Facts) bool { return !f.Mailbox.Applicative }, None, "Des personnes lisent cette boîte."},
		rule{"no-words", func(f *Facts) bool { return !wrote(f) || f.Message.Kind == greffe.KindEmpty }, None, "Personne n’a écrit dans ce message."},
		rule{"nowhere", func(f *Facts) bool { return f.Mailbox.RepliesTo == "" }, None, "Cette boîte n’a pas de boîte organisationnelle (replies_to)."},
		rule{"to-itself", func(f *Facts) bool { return strings.EqualFold(f.Mailbox.RepliesTo, f.Mailbox.Address) }, None, "La boîte organisationnelle est la boîte même."},
		rule{"forward", func(*Facts) bool { return true }, Forward, "Une personne a écrit à une boîte que personne ne lit."},
	)
}()

// DueReply returns whether the person who wrote to an applicative mailbox is told that
// nobody reads it. RFC 3834 §4: it goes to the address of return.
func DueReply(f Facts) Decision {
	d := decide(autoReplies, &f)
	if d.Answer != AutoReply {
		return d
	}
	d.To = greffe.Address{Address: bare(f.Message.ReturnPath)}
	d = f.permit(d)
	d.Blocked = "" // what she wrote is in the queue; no document is concerned
	return d
}

// DueForward returns whether what a person wrote to an applicative mailbox goes on to
// the one that people read.
func DueForward(f Facts) Decision {
	d := decide(forwards, &f)
	if d.Answer != Forward {
		return d
	}
	d.To = greffe.Address{Address: f.Mailbox.RepliesTo}
	return f.permit(d)
}
