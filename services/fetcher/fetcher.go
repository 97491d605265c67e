// Package fetcher takes the messages of MSSanté mailboxes and hands them to the
// bus, and marks them in the mailbox once they are archived and delivered. It is
// the only code that talks to mailboxes.
//
// Taking (take.go) never changes a mailbox: folders are opened with EXAMINE and
// bodies read with BODY.PEEK[]; \Seen is neither set nor looked at. What there is
// to take is found by comparing sets of UIDs: those on the server, less those
// that the archive is known to hold (ledger.go, learnt from the archived events),
// less those published a short while ago. The comparison is made at start, when
// the server tells news and every Config.Reconcile, so nothing depends on the bus
// never losing an event, nor on a flag that a person's mail program also sets.
//
// A mailbox has one goroutine and one connection for taking (watch.go), with its
// own back-off: trouble with one never delays another. The connection idles
// (RFC 2177) on the first folder and asks for the state of the others once a
// minute; operators limit the connections of an account, and a hospital has a
// folder per professional. A lease on the bus makes sure that one process at a
// time takes from a mailbox; a lost lease costs at most a repeat, which has the
// same message id.
//
// Marking (settle.go) has a connection of its own, opened when there is something
// to mark.
//
// The protocol is spoken by github.com/emersion/go-imap/v2, the only maintained
// IMAP client for Go that streams literals; pkg/mss opens the connection.
// Because the library trusts its server, its connection is guarded (guard.go):
// bytes and time are bounded outside it. RFC 9051 and 3501 (IMAP), 2177 (IDLE),
// 4315 (UIDPLUS), 6851 (MOVE), 7628 (OAUTHBEARER); TLS as the référentiel socle
// MSSanté #2 asks (ECO.1.0.2, ECO.1.1.1, ECO.1.1.3, ECO.1.1.10).
package fetcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/mss"
)

// Config says which mailboxes are watched and how.
type Config struct {
	Mailboxes []Mailbox
	MaxSize   int64         // bytes; a larger message is refused unread. 0 means 100 MiB
	Reconcile time.Duration // between two full comparisons with the server. 0 means 5 minutes
	Retake    time.Duration // after which a message that was not archived is taken again. 0 means 15 minutes; doubled at each retake
}

// Mailbox is one mailbox and what is done with its messages.
type Mailbox struct {
	Address       string // as messages carry it in their Origin
	Kind          string // personal, organisational or applicative; not used for taking
	URL           string // imaps://host[:993], or imap://host[:143] where STARTTLS is required
	CA            string // path of a PEM file: the only authorities trusted. Empty: those of the system
	Certificate   string // path of a PEM file with client certificate and key. Read again at each connection
	Auth          mss.Auth
	PasswordUntil time.Time // when the password ends, which no server tells; zero: not known
	Folders       []string  // UTF-8, "/" between levels whatever the server uses. Empty: INBOX
	OnArchived    Mark      // once the archive holds the message
	OnDelivered   Mark      // once every document is integrated, dismissed or a duplicate
	OnFailed      Mark      // once a person has to look at it
}

// Mark is what is done to a message in its mailbox. The zero Mark does nothing.
type Mark struct {
	Keyword string // set on the message, for example $Archived
	Move    string // folder to move it to; made when missing
}

func (m Mark) empty() bool { return m == Mark{} }

// MailboxStatus is how the taking from one mailbox goes in this process.
type MailboxStatus struct {
	Address     string
	Connected   bool
	LastSuccess time.Time // last full comparison that ended well
	Error       string    // French; what is wrong now and how to mend it. Empty when all is well
	ErrorSince  time.Time
	Notice      string                 // French; what will be wrong soon: a certificate or the password ends within 90 days
	Waiting     int                    // messages that the server had at the last comparison and that the archive is not known to hold now
	Folders     []greffe.FolderFigures // in the order of the configuration, those compared by this process
	Expiries    []greffe.Expiry        // what was seen of what ends at a date
}

// pace holds every delay, so that tests need not wait.
type pace struct {
	dial          time.Duration // connection, TLS and greeting
	stall         time.Duration // for each 16 KiB, see guard
	retry         time.Duration // first back-off, doubled up to retryMax
	retryMax      time.Duration
	refused       time.Duration // first back-off after a refused login: accounts get locked
	poll          time.Duration // folders that are not idled on
	lease         time.Duration
	suspect       []time.Duration // before the second and third try of a message that broke the connection
	settleIdle    time.Duration   // after which an unused settle connection is closed
	settleTrouble time.Duration   // during which marks of a mailbox in trouble wait
}

var standardPace = pace{
	dial: 30 * time.Second, stall: 2 * time.Minute,
	retry: time.Second, retryMax: 5 * time.Minute, refused: 30 * time.Second,
	poll: time.Minute, lease: 10 * time.Second,
	suspect:    []time.Duration{30 * time.Second, 5 * time.Minute},
	settleIdle: 30 * time.Second, settleTrouble: 30 * time.Second,
}

// Fetcher takes from and marks in every configured mailbox.
type Fetcher struct {
	cfg    Config
	bus    *bus.Bus
	log    *slog.Logger
	pace   pace
	ledger *ledger
	boxes  []*watcher

	changed chan struct{} // a mailbox goes otherwise than before
}

// New checks cfg and returns a Fetcher that Run starts. It opens nothing. Its
// errors are mistakes of the configuration, in French.
func New(cfg Config, b *bus.Bus, log *slog.Logger) (*Fetcher, error) {
	if cfg.MaxSize == 0 {
		cfg.MaxSize = 100 << 20
	}
	if cfg.Reconcile == 0 {
		cfg.Reconcile = 5 * time.Minute
	}
	if cfg.Retake == 0 {
		cfg.Retake = 15 * time.Minute
	}
	f := &Fetcher{cfg: cfg, bus: b, log: log, pace: standardPace, ledger: newLedger(), changed: make(chan struct{}, 1)}
	seen := map[string]bool{}
	for _, mb := range cfg.Mailboxes {
		mb, err := mb.complete()
		if err != nil {
			return nil, fmt.Errorf("boîte %s : %w", mb.Address, err)
		}
		if seen[mb.Address] {
			return nil, fmt.Errorf("boîte %s : configurée deux fois", mb.Address)
		}
		seen[mb.Address] = true
		f.boxes = append(f.boxes, newWatcher(f, mb))
	}
	return f, nil
}

// Run takes and marks until ctx is done, then returns nil. It returns an error
// when the bus gives up; what is wrong with a mailbox is in Status, the log and, for
// the console, a standing on the bus.
func (f *Fetcher) Run(ctx context.Context) error {
	if err := f.ledger.open(ctx, f.bus); err != nil {
		return fmt.Errorf("fetcher: %w", err)
	}
	s, err := newSettler(ctx, f)
	if err != nil {
		return fmt.Errorf("fetcher: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	failed := make(chan error, 4)
	consume := func(run func() error) {
		wg.Go(func() {
			if err := run(); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	consume(func() error {
		// Many at once so that events that queue share a write of the ledger.
		return bus.Consume(ctx, f.bus, bus.Archived, bus.Consumer{Name: "fetcher-archived", Concurrency: 32},
			func(ctx context.Context, e greffe.Archived) error {
				if err := f.ledger.record(ctx, e.Origin); err != nil {
					return fmt.Errorf("record an archived message: %w: %w", bus.ErrUnavailable, err)
				}
				return nil
			})
	})
	consume(func() error {
		// The event above reaches one process of several; this look at it reaches all.
		return bus.Watch(ctx, f.bus, bus.Archived, func(e greffe.Archived) {
			for _, w := range f.boxes {
				if w.mb.Address == e.Origin.Mailbox {
					w.flight.land(e.ID)
					w.pending.archived(e.Origin, time.Now())
				}
			}
		})
	})
	if s.wanted() {
		consume(func() error {
			return bus.Consume(ctx, f.bus, bus.Archived, bus.Consumer{Name: "fetcher-mark", Concurrency: settleAtOnce}, s.archived)
		})
		consume(func() error {
			return bus.Consume(ctx, f.bus, bus.Delivered, bus.Consumer{Name: "fetcher-settle", Concurrency: settleAtOnce}, s.delivered)
		})
	}
	for _, w := range f.boxes {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Go(func() { f.bus.Tell(ctx, f.changed, f.standings) })
	wg.Wait()
	s.close()
	select {
	case err := <-failed:
		return fmt.Errorf("fetcher: %w", err)
	default:
		return nil
	}
}

// Status returns the state of each mailbox in the order of the configuration.
func (f *Fetcher) Status() []MailboxStatus {
	all := make([]MailboxStatus, 0, len(f.boxes))
	for _, w := range f.boxes {
		all = append(all, w.state())
	}
	return all
}

// complete fills in what is implied and reports what cannot work, in French for
// the person who configures.
func (mb Mailbox) complete() (Mailbox, error) {
	if mb.Address == "" {
		return mb, errors.New("adresse manquante")
	}
	if _, err := parseURL(mb.URL); err != nil {
		return mb, err
	}
	if len(mb.Folders) == 0 {
		mb.Folders = []string{"INBOX"}
	}
	mb.Folders = slices.Clone(mb.Folders) // the caller's stay as they are
	folders := map[string]bool{}
	for i, name := range mb.Folders {
		name = folderName(name)
		if name == "" || folders[name] {
			return mb, errors.New("folders : un nom vide, ou deux fois le même dossier")
		}
		mb.Folders[i], folders[name] = name, true
	}
	for _, m := range []Mark{mb.OnArchived, mb.OnDelivered, mb.OnFailed} {
		if folders[folderName(m.Move)] {
			return mb, errors.New("un message ne peut pas être rangé dans un dossier relevé : il serait repris")
		}
	}
	if mb.OnArchived.Move != "" && !(mb.OnDelivered.empty() && mb.OnFailed.empty()) {
		return mb, errors.New("on_archived.move ne laisse rien à faire à on_delivered et on_failed : employer on_archived.keyword")
	}
	return mb, mb.Auth.Valid(mb.Certificate)
}
