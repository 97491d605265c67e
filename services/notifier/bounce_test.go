package notifier

import (
	"testing"

	"greffe/pkg/greffe"
)

// What is ours is known by its Message-ID alone, of the mailbox that sent it.
func TestOurMail(t *testing.T) {
	t.Parallel()
	own := []string{"dpi@ch-test.example", "cardio@ch-test.example"}
	id := greffe.NewMessageID(greffe.Origin{Mailbox: own[0], Folder: "INBOX", UIDValidity: 1, UID: 2}, greffe.DigestOf([]byte("x")))
	for _, kind := range []Answer{MDNSuccess, MDNError, KO, Ask, AutoReply, Forward} {
		if s := mailID(id, kind, own[0]); !ourMail(s, own) || ourMail(s, []string{"x@elsewhere.example"}) {
			t.Errorf("%s: %s", kind, s)
		}
	}
	if a, b := mailID(id, KO, own[0]), mailID(id, MDNError, own[0]); a != b {
		t.Errorf("one answer about documents has two identifiers: %s, %s", a, b)
	}
	for _, s := range []string{"", "@", ".@", "answer@ch-test.example", "x.answer@ch-test.example", string(id) + "@ch-test.example", string(id) + ".other@ch-test.example"} {
		if ourMail(s, own) {
			t.Errorf("%q is taken for ours", s)
		}
	}
}
