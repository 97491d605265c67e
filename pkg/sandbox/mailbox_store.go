package sandbox

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

const mailDelimiter = '/'

var (
	errNoFolder = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNonExistent, Text: "No such mailbox"}
	errExists   = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeAlreadyExists, Text: "Mailbox already exists"}
	errNoTarget = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeTryCreate, Text: "No such mailbox"}
)

// mailAccount is a user and the folders he has; INBOX is always there.
type mailAccount struct {
	MailUser

	mu           sync.Mutex
	folders      map[string]*mailFolder
	lastValidity uint32
}

func newMailAccount(u MailUser) *mailAccount {
	a := &mailAccount{MailUser: u, folders: make(map[string]*mailFolder)}
	_ = a.create("INBOX")
	return a
}

func folderName(name string) string {
	name = strings.TrimRight(name, string(mailDelimiter))
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

func (a *mailAccount) folder(name string) (*mailFolder, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := a.folders[folderName(name)]; f != nil {
		return f, nil
	}
	return nil, errNoFolder
}

func (a *mailAccount) create(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	name = folderName(name)
	if a.folders[name] != nil {
		return errExists
	}
	a.lastValidity++ // RFC 9051 §2.3.1.1: a folder made again must differ
	a.folders[name] = &mailFolder{
		name: name, validity: a.lastValidity, next: 1, tracker: imapserver.NewMailboxTracker(0),
	}
	return nil
}

func (a *mailAccount) remove(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	name = folderName(name)
	if a.folders[name] == nil {
		return errNoFolder
	}
	delete(a.folders, name)
	return nil
}

func (a *mailAccount) rename(from, to string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, to = folderName(from), folderName(to)
	f := a.folders[from]
	switch {
	case f == nil || from == "INBOX":
		return errNoFolder
	case a.folders[to] != nil:
		return errExists
	}
	delete(a.folders, from)
	a.folders[to] = f
	return nil
}

func (a *mailAccount) names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for name := range a.folders {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// mailFolder is one folder. Updates are queued to the tracker under mu, so that
// each session sees them in the order in which they happened.
type mailFolder struct {
	name     string
	validity uint32
	tracker  *imapserver.MailboxTracker

	mu       sync.Mutex
	next     imap.UID
	messages []*mailMessage
	changed  chan struct{} // closed at the next change; nil when nobody waits
}

// changes returns a channel that is closed once the folder changes.
func (f *mailFolder) changes() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// wake tells who waits that updates are queued; mu is held.
func (f *mailFolder) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

type mailMessage struct {
	uid   imap.UID
	raw   []byte
	at    time.Time
	flags []imap.Flag // each once, whatever its case; replaced, never changed in place
}

func hasFlag(flags []imap.Flag, flag imap.Flag) bool {
	return slices.ContainsFunc(flags, func(f imap.Flag) bool { return strings.EqualFold(string(f), string(flag)) })
}

func (f *mailFolder) append(raw []byte, at time.Time, flags []imap.Flag) imap.UID {
	if at.IsZero() {
		at = time.Now()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &mailMessage{uid: f.next, raw: raw, at: at, flags: slices.Clone(flags)}
	f.next++
	f.messages = append(f.messages, m)
	f.tracker.QueueNumMessages(uint32(len(f.messages)))
	f.wake()
	return m.uid
}

// pickedMessage is a copy of a message with its number as the session sees it,
// so that it can be written out without holding the lock.
type pickedMessage struct {
	mailMessage
	seq uint32
}

// pick copies the messages that want accepts. view may be nil.
func (f *mailFolder) pick(view *imapserver.SessionTracker, want func(seq uint32, m *mailMessage) bool) []pickedMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	var picked []pickedMessage
	for i, m := range f.messages {
		seq := uint32(i) + 1
		if view != nil {
			seq = view.EncodeSeqNum(seq)
		}
		if want(seq, m) {
			picked = append(picked, pickedMessage{*m, seq})
		}
	}
	return picked
}

func (f *mailFolder) expunge(gone func(*mailMessage) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.wake()
	// From the end, so that the numbers of those still to come do not move.
	for i := len(f.messages) - 1; i >= 0; i-- {
		if gone(f.messages[i]) {
			f.messages = slices.Delete(f.messages, i, i+1)
			f.tracker.QueueExpunge(uint32(i) + 1)
		}
	}
}

// store changes the flags of one message and tells every session but source.
func (f *mailFolder) store(uid imap.UID, change *imap.StoreFlags, source *imapserver.SessionTracker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.wake()
	for i, m := range f.messages {
		if m.uid != uid {
			continue
		}
		var flags []imap.Flag
		if change.Op != imap.StoreFlagsSet {
			flags = slices.Clone(m.flags)
		}
		for _, flag := range change.Flags {
			flags = slices.DeleteFunc(flags, func(f imap.Flag) bool { return strings.EqualFold(string(f), string(flag)) })
			if change.Op != imap.StoreFlagsDel {
				flags = append(flags, flag)
			}
		}
		m.flags = flags
		f.tracker.QueueMessageFlags(uint32(i)+1, uid, flags, source)
	}
}

// last returns the greatest UID that "*" may stand for and the number of messages.
func (f *mailFolder) last() (imap.UID, uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.messages); n > 0 {
		return f.messages[n-1].uid, uint32(n)
	}
	return 0, 0
}

// inSet returns the test for membership in a set of UIDs or sequence numbers,
// with "*" resolved (RFC 9051 §9, seq-range).
func (f *mailFolder) inSet(set imap.NumSet) func(seq uint32, m *mailMessage) bool {
	uid, n := f.last()
	switch set := set.(type) {
	case imap.UIDSet:
		return func(_ uint32, m *mailMessage) bool {
			return set.Contains(m.uid) || (set.Dynamic() && m.uid == uid)
		}
	case imap.SeqSet:
		return func(seq uint32, _ *mailMessage) bool {
			return seq != 0 && (set.Contains(seq) || (set.Dynamic() && seq == n))
		}
	}
	return func(uint32, *mailMessage) bool { return false }
}

func (f *mailFolder) status(o *imap.StatusOptions) *imap.StatusData {
	f.mu.Lock()
	defer f.mu.Unlock()
	data := &imap.StatusData{Mailbox: f.name}
	var unseen, deleted uint32
	var size int64
	for _, m := range f.messages {
		size += int64(len(m.raw))
		if !hasFlag(m.flags, imap.FlagSeen) {
			unseen++
		}
		if hasFlag(m.flags, imap.FlagDeleted) {
			deleted++
		}
	}
	n, none := uint32(len(f.messages)), uint32(0)
	if o.NumMessages {
		data.NumMessages = &n
	}
	if o.UIDNext {
		data.UIDNext = f.next
	}
	if o.UIDValidity {
		data.UIDValidity = f.validity
	}
	if o.NumUnseen {
		data.NumUnseen = &unseen
	}
	if o.NumDeleted {
		data.NumDeleted = &deleted
	}
	if o.Size {
		data.Size = &size
	}
	if o.NumRecent {
		data.NumRecent = &none
	}
	return data
}
