package fetcher

import (
	"context"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

const (
	listAtOnce = 1000             // messages in one Listed event
	listMost   = 20 * listAtOnce  // told of in one comparison; the rest in the next
	listEvery  = 15 * time.Minute // how often it is told that a folder was compared, when there is nothing new in it
)

// list tells what the server has and the archive has not, before anything of it is
// taken: what becomes of a message can then be counted against what was seen. at is
// when the server was asked. It returns the messages of left that were told of; only those may be taken.
//
// What the archive is known to hold was told of when it came. After a start the rest
// is told of again, which changes nothing.
func (w *watcher) list(ctx context.Context, s *session, fo *folder, left uidSet, at time.Time) (uidSet, error) {
	fresh := left.minus(fo.listed)
	var chunk []uint32
	told := 0
	tell := func(complete bool) error {
		if len(chunk) == 0 && !complete {
			return nil
		}
		e := greffe.Listed{Mailbox: w.mb.Address, Folder: fo.name, UIDValidity: fo.validity, Complete: complete, At: at}
		dates, err := w.dates(s, fo, chunk)
		if err != nil {
			return err
		}
		for _, uid := range chunk {
			e.Messages = append(e.Messages, greffe.Sight{UID: uid, InternalDate: dates[uid]})
		}
		if err := bus.Publish(ctx, w.f.bus, bus.Listed, e); err != nil {
			return ourSide{err}
		}
		for _, uid := range chunk {
			fo.listed.add(uid)
		}
		if complete {
			fo.listedAll = at
		}
		told, chunk = told+len(chunk), chunk[:0]
		return nil
	}
	for uid := range fresh.all() {
		if told+len(chunk) == listMost {
			if err := tell(false); err != nil {
				return nil, err
			}
			fo.due = at // the others at once
			return left.minus(left.minus(fo.listed)), nil
		}
		if chunk = append(chunk, uid); len(chunk) == listAtOnce {
			if err := tell(false); err != nil {
				return nil, err
			}
		}
	}
	if len(chunk) == 0 && at.Sub(fo.listedAll) < listEvery {
		return left, nil
	}
	return left, tell(true)
}

// dates asks for the dates of messages. A message whose facts break the connection must
// not keep the others from being taken: after it the list goes without dates.
func (w *watcher) dates(s *session, fo *folder, uids []uint32) (map[uint32]time.Time, error) {
	if len(uids) == 0 || fo.undated {
		fo.undated = false
		return nil, nil
	}
	fo.undated = true
	listed, err := s.sizes(uids)
	if err != nil {
		return nil, err
	}
	fo.undated = false
	dates := make(map[uint32]time.Time, len(listed))
	for _, m := range listed {
		dates[m.uid] = m.date
	}
	w.pending.dated(fo.name, fo.validity, dates)
	return dates, nil
}
