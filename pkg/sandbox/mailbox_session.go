package sandbox

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-message/textproto"
	"github.com/emersion/go-sasl"
)

var errReadOnly = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNoPerm, Text: "Mailbox is open read-only"}

// mailSession is one connection of a client.
type mailSession struct {
	server *MailServer
	conn   *imapserver.Conn

	user     *mailAccount
	folder   *mailFolder
	view     *imapserver.SessionTracker
	readOnly bool

	// The server does not wait for Idle when the connection breaks.
	mu     sync.Mutex
	closed bool
	idling sync.WaitGroup
}

var (
	_ imapserver.SessionMove      = (*mailSession)(nil)
	_ imapserver.SessionNamespace = (*mailSession)(nil)
	_ imapserver.SessionSASL      = (*mailSession)(nil)
)

func (s *mailSession) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.idling.Wait()
	s.unselect()
	s.server.wg.Done()
	return nil
}

func (s *mailSession) unselect() {
	if s.view != nil {
		s.view.Close()
	}
	s.folder, s.view, s.readOnly = nil, nil, false
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *mailSession) Login(user, password string) error {
	u := s.server.users[user]
	if u == nil || u.Password == "" || !same(u.Password, password) {
		return imapserver.ErrAuthFailed
	}
	s.user = u
	return nil
}

func (s *mailSession) AuthenticateMechanisms() []string {
	return []string{sasl.Plain, sasl.External, sasl.OAuthBearer, "XOAUTH2"}
}

func (s *mailSession) Authenticate(mechanism string) (sasl.Server, error) {
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return s.Login(user, password) }), nil
	case sasl.External:
		return sasl.NewExternalServer(s.external), nil
	case sasl.OAuthBearer:
		return sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
			if !s.bearer(o.Username, o.Token) {
				return &sasl.OAuthBearerError{Status: "invalid_token", Schemes: "bearer"}
			}
			return nil
		}), nil
	case "XOAUTH2":
		return &xoauth2Server{bearer: s.bearer, failed: imapserver.ErrAuthFailed}, nil
	}
	return nil, &imap.Error{Type: imap.StatusResponseTypeNo, Text: "Mechanism not supported"}
}

// bearer logs in a user by his token.
func (s *mailSession) bearer(user, token string) bool {
	u := s.server.users[user]
	if u == nil || u.Token == "" || !same(u.Token, token) {
		return false
	}
	s.user = u
	return true
}

// external logs in the user that the client certificate names.
func (s *mailSession) external(identity string) error {
	c, ok := s.conn.NetConn().(*tls.Conn)
	if !ok || len(c.ConnectionState().PeerCertificates) == 0 {
		return imapserver.ErrAuthFailed
	}
	name := c.ConnectionState().PeerCertificates[0].Subject.CommonName
	u := s.server.users[name]
	if u == nil || (identity != "" && identity != name) {
		return imapserver.ErrAuthFailed
	}
	s.user = u
	return nil
}

// xoauth2Server reads "user=" addr ^A "auth=Bearer " token ^A ^A, the form that
// Google published for XOAUTH2; a refusal is told in a challenge that the client
// answers before the NO.
type xoauth2Server struct {
	bearer  func(user, token string) bool
	failed  error
	refused bool
}

func (x *xoauth2Server) Next(response []byte) ([]byte, bool, error) {
	if x.refused {
		return nil, false, x.failed
	}
	if response == nil {
		return []byte{}, false, nil
	}
	var user, token string
	for field := range strings.SplitSeq(string(response), "\x01") {
		if v, ok := strings.CutPrefix(field, "user="); ok {
			user = v
		}
		if v, ok := strings.CutPrefix(field, "auth=Bearer "); ok {
			token = v
		}
	}
	if !x.bearer(user, token) {
		x.refused = true
		return []byte(`{"status":"401","schemes":"bearer"}`), false, nil
	}
	return nil, true, nil
}

func (s *mailSession) Select(name string, o *imap.SelectOptions) (*imap.SelectData, error) {
	f, err := s.user.folder(name)
	if err != nil {
		return nil, err
	}
	s.unselect()
	f.mu.Lock()
	defer f.mu.Unlock()
	s.folder, s.readOnly = f, o.ReadOnly
	s.view = f.tracker.NewSession() // under the lock: no update is missed or seen twice
	flags := []imap.Flag{imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagSeen, imap.FlagDraft}
	return &imap.SelectData{
		Flags: flags, PermanentFlags: append(slices.Clone(flags), imap.FlagWildcard),
		NumMessages: uint32(len(f.messages)), UIDNext: f.next, UIDValidity: f.validity,
	}, nil
}

func (s *mailSession) Unselect() error { s.unselect(); return nil }

func (s *mailSession) Create(name string, _ *imap.CreateOptions) error { return s.user.create(name) }
func (s *mailSession) Delete(name string) error                        { return s.user.remove(name) }
func (s *mailSession) Rename(from, to string, _ *imap.RenameOptions) error {
	return s.user.rename(from, to)
}
func (s *mailSession) Subscribe(name string) error   { _, err := s.user.folder(name); return err }
func (s *mailSession) Unsubscribe(name string) error { return s.Subscribe(name) }

func (s *mailSession) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: mailDelimiter}}}, nil
}

func (s *mailSession) List(w *imapserver.ListWriter, ref string, patterns []string, o *imap.ListOptions) error {
	if len(patterns) == 0 || (len(patterns) == 1 && patterns[0] == "") {
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: mailDelimiter})
	}
	for _, name := range s.user.names() {
		if !slices.ContainsFunc(patterns, func(p string) bool { return imapserver.MatchList(name, mailDelimiter, ref, p) }) {
			continue
		}
		data := &imap.ListData{Mailbox: name, Delim: mailDelimiter}
		if o.ReturnStatus != nil {
			if f, err := s.user.folder(name); err == nil {
				data.Status = f.status(o.ReturnStatus)
			}
		}
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

func (s *mailSession) Status(name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	f, err := s.user.folder(name)
	if err != nil {
		return nil, err
	}
	return f.status(o), nil
}

// maxAppend bounds what a client may upload; the server lives in memory.
const maxAppend = 256 << 20

func (s *mailSession) Append(name string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	f, err := s.user.folder(name)
	if err != nil {
		return nil, errNoTarget
	}
	if r.Size() > maxAppend {
		return nil, &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeTooBig, Text: "Message too large"}
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return &imap.AppendData{UIDValidity: f.validity, UID: f.append(raw, o.Time, o.Flags)}, nil
}

func (s *mailSession) Poll(w *imapserver.UpdateWriter, expunge bool) error {
	if s.view == nil {
		return nil
	}
	return s.view.Poll(w, expunge)
}

func (s *mailSession) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.idling.Add(1)
	s.mu.Unlock()
	defer s.idling.Done()
	if s.view == nil {
		<-stop
		return nil
	}
	for {
		// The channel first, then the queue: nothing can fall in between.
		changed := s.folder.changes()
		if err := s.view.Poll(w, true); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stop:
			return nil
		}
	}
}

func (s *mailSession) Expunge(_ *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	if s.readOnly {
		return nil // CLOSE of a folder opened by EXAMINE
	}
	s.folder.expunge(func(m *mailMessage) bool {
		return hasFlag(m.flags, imap.FlagDeleted) && (uids == nil || uids.Contains(m.uid))
	})
	return nil
}

func (s *mailSession) Search(kind imapserver.NumKind, c *imap.SearchCriteria, _ *imap.SearchOptions) (*imap.SearchData, error) {
	if len(c.Header)+len(c.Body)+len(c.Text)+len(c.Or)+len(c.Not) > 0 || !c.Since.IsZero() || !c.Before.IsZero() {
		return nil, &imap.Error{Type: imap.StatusResponseTypeNo, Text: "Only UID, sequence number and flag criteria are supported"}
	}
	var sets []func(uint32, *mailMessage) bool
	for _, set := range c.UID {
		sets = append(sets, s.folder.inSet(set))
	}
	for _, set := range c.SeqNum {
		sets = append(sets, s.folder.inSet(set))
	}
	var uids imap.UIDSet
	var seqs imap.SeqSet
	data := &imap.SearchData{}
	for _, m := range s.folder.pick(s.view, func(seq uint32, m *mailMessage) bool {
		for _, in := range sets {
			if !in(seq, m) {
				return false
			}
		}
		return !slices.ContainsFunc(c.Flag, func(f imap.Flag) bool { return !hasFlag(m.flags, f) }) &&
			!slices.ContainsFunc(c.NotFlag, func(f imap.Flag) bool { return hasFlag(m.flags, f) })
	}) {
		n := uint32(m.uid)
		if kind == imapserver.NumKindSeq {
			if n = m.seq; n == 0 {
				continue
			}
			seqs.AddNum(n)
		} else {
			uids.AddNum(m.uid)
		}
		if data.Min == 0 || n < data.Min {
			data.Min = n
		}
		data.Max = max(data.Max, n)
		data.Count++
	}
	data.All = uids
	if kind == imapserver.NumKindSeq {
		data.All = seqs
	}
	return data, nil
}

func (s *mailSession) Fetch(w *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	seen := !s.readOnly && slices.ContainsFunc(o.BodySection, func(b *imap.FetchItemBodySection) bool { return !b.Peek })
	for _, m := range s.folder.pick(s.view, s.folder.inSet(set)) {
		if seen {
			s.folder.store(m.uid, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil)
		}
		if err := m.write(w.CreateMessage(m.seq), o); err != nil {
			return err
		}
	}
	return nil
}

func (m *pickedMessage) write(w *imapserver.FetchResponseWriter, o *imap.FetchOptions) error {
	w.WriteUID(m.uid)
	if o.Flags {
		w.WriteFlags(m.flags)
	}
	if o.InternalDate {
		w.WriteInternalDate(m.at)
	}
	if o.RFC822Size {
		w.WriteRFC822Size(int64(len(m.raw)))
	}
	if o.Envelope {
		header, _ := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(m.raw)))
		w.WriteEnvelope(imapserver.ExtractEnvelope(header))
	}
	if o.BodyStructure != nil {
		w.WriteBodyStructure(imapserver.ExtractBodyStructure(bytes.NewReader(m.raw)))
	}
	for _, b := range o.BodySection {
		body := m.raw
		if whole := len(b.Part) == 0 && b.Specifier == imap.PartSpecifierNone; !whole {
			body = imapserver.ExtractBodySection(bytes.NewReader(m.raw), b)
		} else if p := b.Partial; p != nil {
			from := min(max(p.Offset, 0), int64(len(body)))
			body = body[from : from+min(max(p.Size, 0), int64(len(body))-from)]
		}
		lit := w.WriteBodySection(b, int64(len(body)))
		_, err := lit.Write(body)
		if err := errors.Join(err, lit.Close()); err != nil {
			// Close all the same: it frees the connection's writer, which the end of
			// the session waits for when the client is gone in the middle of a body.
			return errors.Join(err, w.Close())
		}
	}
	return w.Close()
}

func (s *mailSession) Store(w *imapserver.FetchWriter, set imap.NumSet, change *imap.StoreFlags, _ *imap.StoreOptions) error {
	if s.readOnly {
		return errReadOnly
	}
	for _, m := range s.folder.pick(s.view, s.folder.inSet(set)) {
		s.folder.store(m.uid, change, s.view)
	}
	if change.Silent {
		return nil
	}
	return s.Fetch(w, set, &imap.FetchOptions{Flags: true})
}

func (s *mailSession) copy(set imap.NumSet, target string) (*imap.CopyData, error) {
	f, err := s.user.folder(target)
	switch {
	case err != nil:
		return nil, errNoTarget
	case f == s.folder:
		return nil, &imap.Error{Type: imap.StatusResponseTypeNo, Text: "Source and destination are the same"}
	}
	data := &imap.CopyData{UIDValidity: f.validity}
	for _, m := range s.folder.pick(s.view, s.folder.inSet(set)) {
		data.SourceUIDs.AddNum(m.uid)
		data.DestUIDs.AddNum(f.append(m.raw, m.at, m.flags))
	}
	return data, nil
}

func (s *mailSession) Copy(set imap.NumSet, target string) (*imap.CopyData, error) {
	data, err := s.copy(set, target)
	if err == nil && len(data.SourceUIDs) == 0 {
		data = nil // an empty COPYUID is not in the grammar (RFC 9051 §7.1)
	}
	return data, err
}

func (s *mailSession) Move(w *imapserver.MoveWriter, set imap.NumSet, target string) error {
	if s.readOnly {
		return errReadOnly
	}
	data, err := s.copy(set, target)
	if err != nil || len(data.SourceUIDs) == 0 {
		return err
	}
	if err := w.WriteCopyData(data); err != nil {
		return err
	}
	// The EXPUNGE responses follow by the session's own queue.
	s.folder.expunge(func(m *mailMessage) bool { return data.SourceUIDs.Contains(m.uid) })
	return nil
}
