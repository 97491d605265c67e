package fetcher

import (
	"errors"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// The commands that change a mailbox. Only settling uses them.

// flags returns the flags of a message of the open folder; found is false when
// it is gone.
func (s *session) flags(uid uint32) (flags []imap.Flag, found bool, err error) {
	err = s.do(smallAnswer, "message flags", func() error {
		cmd := s.client.Fetch(wireSet([]uint32{uid}), &imap.FetchOptions{UID: true, Flags: true})
		for m := cmd.Next(); m != nil; m = cmd.Next() {
			found = true
			for item := m.Next(); item != nil; item = m.Next() {
				if f, ok := item.(imapclient.FetchItemDataFlags); ok {
					flags = f.Flags
				}
			}
		}
		return cmd.Close()
	})
	return flags, found, err
}

// store adds a flag to a message. One that is gone is not an error.
func (s *session) store(uid uint32, flag imap.Flag) error {
	return s.do(smallAnswer, "set a flag", func() error {
		return s.client.Store(wireSet([]uint32{uid}), &imap.StoreFlags{
			Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{flag},
		}, nil).Close()
	})
}

// move moves a message of the open folder and returns where it is now, nil when
// the server does not say. The folder is made when it is missing.
//
// Without MOVE (RFC 6851) the message is copied, flagged \Deleted and expunged by
// its UID; without UIDPLUS (RFC 4315) it stays flagged, because a plain EXPUNGE
// would also remove what a person flagged and may want back. A crash between
// copy and flag leaves a second copy in the target.
func (s *session) move(uid uint32, target string) (*place, error) {
	p, err := s.transfer(uid, target)
	var answer *imap.Error
	if errors.As(err, &answer) && (answer.Code == imap.ResponseCodeTryCreate || answer.Code == imap.ResponseCodeNonExistent) {
		if err := s.create(target); err != nil {
			return nil, err
		}
		p, err = s.transfer(uid, target)
	}
	return p, err
}

func (s *session) create(folder string) error {
	err := s.do(smallAnswer, "create folder", func() error { return s.client.Create(s.wire(folder), nil).Wait() })
	var answer *imap.Error
	if errors.As(err, &answer) && answer.Code == imap.ResponseCodeAlreadyExists {
		return nil
	}
	if err != nil {
		return err
	}
	// Mail programs show the folders that are subscribed; a refusal changes nothing else.
	err = s.do(smallAnswer, "subscribe", func() error { return s.client.Subscribe(s.wire(folder)).Wait() })
	if errors.As(err, &answer) {
		return nil
	}
	return err
}

func (s *session) transfer(uid uint32, target string) (*place, error) {
	set := wireSet([]uint32{uid})
	var validity uint32
	var to imap.NumSet
	if s.caps.Has(imap.CapMove) {
		err := s.do(smallAnswer, "move", func() error {
			d, err := s.client.Move(set, s.wire(target)).Wait()
			if err == nil {
				validity, to = d.UIDValidity, d.DestUIDs
			}
			return err
		})
		return placeOf(target, validity, to), err
	}
	err := s.do(smallAnswer, "copy", func() error {
		d, err := s.client.Copy(set, s.wire(target)).Wait()
		if err == nil {
			validity, to = d.UIDValidity, d.DestUIDs
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.store(uid, imap.FlagDeleted); err != nil {
		return nil, err
	}
	if s.caps.Has(imap.CapUIDPlus) {
		if err := s.do(smallAnswer, "expunge", func() error { return s.client.UIDExpunge(set).Close() }); err != nil {
			return nil, err
		}
	}
	return placeOf(target, validity, to), nil
}

// placeOf reads COPYUID, which a server without UIDPLUS does not send.
func placeOf(target string, validity uint32, to imap.NumSet) *place {
	set, _ := to.(imap.UIDSet)
	if validity == 0 || len(set) != 1 || set[0].Start != set[0].Stop || set[0].Start == 0 {
		return nil
	}
	return &place{Folder: folderName(target), UIDValidity: validity, UID: uint32(set[0].Start)}
}
