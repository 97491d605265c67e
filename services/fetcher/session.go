package fetcher

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

var (
	errProtocol = errors.New("the server's answer makes no sense")
	errFolder   = errors.New("the folder cannot be opened")
	errTooMany  = errors.New("the folder lists an absurd number of messages")
)

// Byte budgets of answers. A UID takes at most 11 bytes in a SEARCH answer.
const (
	smallAnswer = 256 << 10
	perMessage  = 1 << 10
	maxUIDs     = 1 << 20 // messages in one folder that are still listed
)

// endTime bounds the wait for the client to see that its connection is closed.
const endTime = 5 * time.Second

// restTime is how long a connection may be left alone between two commands.
const restTime = 10 * time.Minute

// session is one authenticated IMAP connection: the few commands that Greffe
// uses, each with its limits. It is used by one goroutine at a time, one command
// at a time: two body FETCHes under way deadlock the client.
type session struct {
	conn   *guard
	client *imapclient.Client
	news   chan struct{} // a message came; holds at most one
	stop   func() bool

	caps      imap.CapSet
	delimiter string // of the server, "/" or "." mostly
}

// folderName is the name of a folder as Origin carries it.
func folderName(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

func (s *session) close() {
	if s.stop != nil {
		s.stop()
	}
	s.conn.kill(net.ErrClosed)
	_ = s.client.Close() // waits for the client's reader; its error is s.conn.why()
}

// refusal is a NO or BAD without its text, in which servers repeat folder names
// and addresses: it goes to the log. errors.As finds the imap.Error.
type refusal struct{ answer *imap.Error }

func (r *refusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the server said %s %s", r.answer.Type, r.answer.Code))
}
func (r *refusal) Unwrap() error { return r.answer }

// do runs one command whose answer takes at most budget bytes and names the
// reason when the connection ends.
func (s *session) do(budget int64, what string, f func() error) error {
	s.conn.begin(budget)
	err := f()
	s.conn.rest(restTime)
	if err == nil {
		return nil
	}
	var answer *imap.Error
	if errors.As(err, &answer) {
		return fmt.Errorf("%s: %w", what, &refusal{answer}) // the connection lives
	}
	var bearer *sasl.OAuthBearerError
	switch cause := s.conn.why(); {
	case errors.As(err, &bearer), errors.Is(err, errProtocol):
		return fmt.Errorf("%s: %w", what, err)
	case cause == nil || errors.Is(cause, net.ErrClosed):
		// The client gave up by itself: it could not read the answer. Its error
		// quotes what it read, perhaps of a message: left out.
		return fmt.Errorf("%s: %w", what, errProtocol)
	default:
		return fmt.Errorf("%s: %w", what, cause)
	}
}

// capabilities asks what the server can do now that the user is known.
func (s *session) capabilities() error {
	err := s.do(smallAnswer, "capability", func() error {
		caps, err := s.client.Capability().Wait()
		s.caps = caps
		return err
	})
	if err != nil {
		return err
	}
	if s.caps.Has(imap.CapIMAP4rev2) && s.caps.Has(imap.CapIMAP4rev1) {
		// The client writes UTF-8 folder names as soon as IMAP4rev2 is offered;
		// the server reads them so only once it is enabled (RFC 9051 §6.3.1).
		err := s.do(smallAnswer, "enable", func() error { _, err := s.client.Enable(imap.CapIMAP4rev2).Wait(); return err })
		if err != nil {
			return err
		}
	}
	return s.do(smallAnswer, "list", func() error {
		list, err := s.client.List("", "", nil).Collect()
		s.delimiter = "/"
		if err == nil && len(list) > 0 && list[0].Delim != 0 {
			s.delimiter = string(list[0].Delim)
		}
		return err
	})
}

// wire returns the name of a folder as the server writes it.
func (s *session) wire(folder string) string {
	return strings.ReplaceAll(folder, "/", s.delimiter)
}

// box is what opening a folder told.
type box struct {
	validity uint32
	next     uint32 // predicted next UID; 0 when the server does not say
	messages uint32
	keywords []imap.Flag // that may be kept
}

// open opens a folder: for reading only, it leaves no trace (EXAMINE).
func (s *session) open(folder string, readOnly bool) (box, error) {
	var b box
	err := s.do(smallAnswer, "open folder", func() error {
		d, err := s.client.Select(s.wire(folder), &imap.SelectOptions{ReadOnly: readOnly}).Wait()
		if err == nil {
			b = box{validity: d.UIDValidity, next: uint32(d.UIDNext), messages: d.NumMessages, keywords: d.PermanentFlags}
		}
		return err
	})
	var answer *imap.Error
	switch {
	case errors.As(err, &answer):
		return b, fmt.Errorf("%w: %w", errFolder, err)
	case err == nil && b.validity == 0:
		return b, fmt.Errorf("open folder: %w: no UIDVALIDITY", errProtocol)
	}
	return b, err
}

// peek tells the state of a folder that is not open (STATUS).
func (s *session) peek(folder string) (box, error) {
	var b box
	err := s.do(smallAnswer, "status", func() error {
		d, err := s.client.Status(s.wire(folder), &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true}).Wait()
		if err == nil {
			b = box{validity: d.UIDValidity, next: uint32(d.UIDNext)}
			if d.NumMessages != nil {
				b.messages = *d.NumMessages
			}
		}
		return err
	})
	var answer *imap.Error
	if errors.As(err, &answer) {
		return b, fmt.Errorf("%w: %w", errFolder, err)
	}
	return b, err
}

// uids lists the UIDs of the open folder. The answer is never expanded: eleven
// bytes may stand for four thousand million UIDs.
func (s *session) uids(b box) (uidSet, error) {
	if b.messages > maxUIDs {
		return nil, errTooMany
	}
	var o *imap.SearchOptions
	if s.caps.Has(imap.CapESearch) {
		o = &imap.SearchOptions{ReturnAll: true}
	}
	var out uidSet
	err := s.do(smallAnswer+12*int64(b.messages), "list messages", func() error {
		data, err := s.client.UIDSearch(&imap.SearchCriteria{}, o).Wait()
		if err != nil {
			return err
		}
		set, _ := data.All.(imap.UIDSet) // nil when there is none
		for _, r := range set {
			if r.Start == 0 || r.Stop < r.Start {
				return errProtocol
			}
			out.addSpan(uint32(r.Start), uint32(r.Stop))
		}
		return nil
	})
	if err == nil && out.count() > maxUIDs {
		return nil, errTooMany
	}
	return out, err
}

// facts is what the server says of a message before it is read.
type facts struct {
	uid  uint32
	size int64
	date time.Time
}

func wireSet(uids []uint32) imap.UIDSet {
	var set imap.UIDSet
	for _, uid := range uids {
		set.AddNum(imap.UID(uid))
	}
	return set
}

// sizes asks for size and date. Messages that are gone are left out.
func (s *session) sizes(uids []uint32) ([]facts, error) {
	var out []facts
	err := s.do(smallAnswer+perMessage*int64(len(uids)), "message sizes", func() error {
		cmd := s.client.Fetch(wireSet(uids), &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true})
		for m := cmd.Next(); m != nil; m = cmd.Next() {
			var f facts
			sized := false
			for item := m.Next(); item != nil; item = m.Next() {
				switch item := item.(type) {
				case imapclient.FetchItemDataUID:
					f.uid = uint32(item.UID)
				case imapclient.FetchItemDataRFC822Size:
					f.size, sized = item.Size, true
				case imapclient.FetchItemDataInternalDate:
					f.date = dated(item.Time)
				}
			}
			if f.uid != 0 && sized {
				out = append(out, f)
			}
		}
		return cmd.Close()
	})
	return out, err
}

// dated returns a server's date in UTC, or the zero time for a year that JSON cannot
// carry: the event would never be published, and the mailbox would stop at it.
func dated(t time.Time) time.Time {
	t = t.UTC()
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}
	}
	return t
}

// bodies reads messages in one FETCH and gives each to use as it comes: its UID,
// the size of its literal, and its bytes, which use reads to their end. An error
// of use ends the connection: the rest of a literal cannot be skipped otherwise.
// The UID under way is returned with the error, 0 when none was.
func (s *session) bodies(uids []uint32, use func(uid uint32, size int64, r io.Reader) error) (uint32, error) {
	var current uint32
	var failed error
	err := s.do(smallAnswer+perMessage*int64(len(uids)), "read messages", func() error {
		cmd := s.client.Fetch(wireSet(uids), &imap.FetchOptions{
			UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
		})
		for m := cmd.Next(); m != nil; m = cmd.Next() {
			var uid uint32
			for item := m.Next(); item != nil; item = m.Next() {
				switch item := item.(type) {
				case imapclient.FetchItemDataUID:
					uid = uint32(item.UID)
				case imapclient.FetchItemDataBodySection:
					if uid == 0 || failed != nil || item.Literal == nil {
						continue // NIL: the message has no body to give
					}
					current = uid
					s.conn.allow(item.Literal.Size())
					body := &literal{r: item.Literal, left: item.Literal.Size()}
					if failed = use(uid, body.left, body); failed != nil {
						s.conn.kill(failed)
						if body.broken {
							s.ended()
						}
						continue
					}
					current = 0
				}
			}
		}
		return cmd.Close()
	})
	if failed != nil {
		return current, failed
	}
	return current, err
}

// literal notes whether a literal ended before its size.
type literal struct {
	r      io.Reader
	left   int64
	broken bool
}

func (l *literal) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.left -= int64(n)
	l.broken = l.broken || err != nil && l.left > 0
	return n, err
}

// ended waits until the client has stopped reading. Told that a literal is broken,
// it reads on from the connection at once, while the next item is had by reading the
// rest of the literal: two would read.
func (s *session) ended() {
	timer := time.NewTimer(endTime)
	defer timer.Stop()
	select {
	case <-s.client.Closed():
	case <-timer.C: // not seen: the connection is closed, so there is nothing to wait for
	}
}

// idle waits for news on the open folder for at most d (RFC 2177), or just asks
// whether the connection lives where the server does not offer IDLE.
func (s *session) idle(d time.Duration, done <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	wait := func() {
		select {
		case <-s.news:
		case <-timer.C:
		case <-s.client.Closed():
		case <-done:
		}
	}
	if !s.caps.Has(imap.CapIdle) {
		s.conn.rest(d + restTime)
		wait()
		return s.do(smallAnswer, "noop", func() error { return s.client.Noop().Wait() })
	}
	return s.do(smallAnswer, "idle", func() error {
		cmd, err := s.client.Idle()
		if err != nil {
			return err
		}
		s.conn.rest(d + restTime)
		wait()
		s.conn.begin(smallAnswer)
		if err := cmd.Close(); err != nil {
			return err
		}
		return cmd.Wait()
	})
}
