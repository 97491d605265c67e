package integrator

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// desk is the mailbox in whose queue a document stands: the one it came to, or that of
// the service that a person gave it to.
func desk(d index.Document) string {
	if d.Queue.Mailbox != "" {
		return d.Queue.Mailbox
	}
	return d.Origin.Mailbox
}

// serves reports whether the DI takes documents of the mailbox at all: of the mailbox
// itself, or of the service that it belongs to.
func (d DI) serves(mailbox, service string) bool {
	if len(d.Mailboxes) > 0 && !slices.ContainsFunc(d.Mailboxes, func(m string) bool { return strings.EqualFold(m, mailbox) }) {
		return false
	}
	return len(d.Services) == 0 || slices.Contains(d.Services, service)
}

// takes reports whether the DI takes documents of this kind.
func (d DI) takes(f greffe.Document) bool {
	return len(d.Types) == 0 || slices.ContainsFunc(d.Types, func(t string) bool {
		return t == f.Type.Code || t == f.Class.Code || t == string(f.Format)
	})
}

// route returns the names of the DIs that a document goes to: each that takes its mailbox,
// service and kind. other says that one takes the mailbox and service, but not the kind.
func (i *Integrator) route(d index.Document) (dis []string, other bool) {
	mailbox := desk(d)
	for _, q := range i.queues {
		switch {
		case !q.t.serves(mailbox, i.cfg.Services[mailbox].Code):
		case q.t.takes(d.Facts):
			dis = append(dis, q.t.Name)
		default:
			other = true
		}
	}
	return dis, other
}

// queue returns the queue of a DI; nil when it is not configured.
func (i *Integrator) queue(di string) *queue {
	for _, q := range i.queues {
		if q.t.Name == di {
			return q
		}
	}
	return nil
}

// served reports whether any DI takes documents of a mailbox.
func (i *Integrator) served(mailbox string) bool {
	return slices.ContainsFunc(i.queues, func(q *queue) bool { return q.t.serves(mailbox, i.cfg.Services[mailbox].Code) })
}
