package console

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Live updates. Events of the bus only say which message to look at again; what is
// shown always comes from the index. Changes are gathered for a moment, each
// message is read and its line rendered once, and every open page gets what its
// person may see and its filter keeps.
const (
	gather     = 150 * time.Millisecond
	loadTries  = 20  // an event may come before its row: storage keeps, then the index knows
	maxPending = 500 // more changes at once than this: pages are told to read again
	maxClients = 1000
	clientLag  = 256 // updates a slow page may be behind
	pingEvery  = 20 * time.Second
	sendLimit  = 10 * time.Second
	keepRecent = 256
	// How long after a page was rendered its stream may open and miss nothing.
	rememberFor = time.Minute
	watchAgain  = 2 * time.Second
)

// update is one changed message; a zero Row.ID says that some were dropped.
type update struct {
	seq   uint64
	row   row
	facet index.Facet
	rev   int    // grows with each outcome and decision
	html  string // a row of the table
	line  string // a line of the list beside an item
}

// revision tells two looks at the same message apart when its state is the same.
func revision(d index.Detail) int { return len(d.Outcomes) + len(d.Decisions) + len(d.Triages) }

type client struct {
	updates chan *update
	lost    chan struct{} // closed when the page was too slow
	once    sync.Once
}

// hub spreads changes to the open pages. Its methods may be called at once.
type hub struct {
	c       *Console
	mu      sync.Mutex
	clients map[*client]bool
	pending map[greffe.MessageID]int // tries so far
	dropped bool
	// The last updates, so that a page misses nothing between its rendering and its
	// stream, or while its stream was cut. A place is only known to this process.
	process string
	seq     uint64    // of the newest update
	recent  []*update // oldest first
	floor   uint64    // updates up to here are forgotten
	until   time.Time
	wake    chan struct{}
	closed  chan struct{}
	once    sync.Once
	taken   map[greffe.MessageID]index.Taking // as last read
}

// answersPoll is how often answers to senders are looked at: they are given by another
// service, which publishes nothing.
const answersPoll = 700 * time.Millisecond

// watchAnswers looks at what changed of the answers to senders while somebody looks.
func (h *hub) watchAnswers(ctx context.Context) {
	// Clocks of several hosts differ a little, and a time is older than its commit.
	const overlap = 10 * time.Second
	known := map[greffe.MessageID]time.Time{}
	from := time.Now()
	h.whileWatched(ctx, answersPoll, func() {
		list, err := h.c.db.AnsweredSince(ctx, from.Add(-overlap))
		if err != nil {
			if ctx.Err() == nil {
				h.c.log.Warn("answers not read", slog.Any("error", err))
			}
			return
		}
		for id, at := range list {
			if !at.Equal(known[id]) {
				h.changed(id)
			}
			if at.After(from) {
				from = at
			}
		}
		known = list
	})
}

// watchTakings looks every few seconds at who has what open: in another process, or no
// longer. Nothing is read while nobody looks.
func (h *hub) watchTakings(ctx context.Context) {
	h.whileWatched(ctx, takenPoll, func() {
		for _, id := range h.readTakings(ctx) {
			h.changed(id)
		}
	})
}

// whileWatched looks every so often until ctx is done, when somebody has a page open.
func (h *hub) whileWatched(ctx context.Context, every time.Duration, look func()) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		h.mu.Lock()
		idle := len(h.clients) == 0
		h.mu.Unlock()
		if !idle {
			look()
		}
	}
}

// openStream begins server-sent events; emit sends, and is false when nobody listens any
// more, as ok is.
func openStream(w http.ResponseWriter) (emit func(format string, args ...any) bool, ok bool) {
	rc := http.NewResponseController(w)
	emit = func(format string, args ...any) bool {
		rc.SetWriteDeadline(time.Now().Add(sendLimit))
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		err := rc.Flush()
		rc.SetWriteDeadline(time.Time{}) // over HTTP/2 a deadline that passes ends the stream, writing or not
		return err == nil
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	return emit, emit("retry: 3000\n: ouvert\n\n")
}

// readTakings reads who has what open and returns the messages of which that changed.
func (h *hub) readTakings(ctx context.Context) []greffe.MessageID {
	now, err := h.c.takings(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.c.log.Warn("who has what open not read", slog.Any("error", err))
		}
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []greffe.MessageID
	for id, k := range now {
		if h.taken[id].Login != k.Login {
			list = append(list, id)
		}
	}
	for id := range h.taken {
		if _, ok := now[id]; !ok {
			list = append(list, id)
		}
	}
	h.taken = now
	return list
}

func newHub(c *Console) *hub {
	return &hub{c: c, clients: map[*client]bool{}, pending: map[greffe.MessageID]int{}, process: rand.Text(), wake: make(chan struct{}, 1), closed: make(chan struct{})}
}

// run watches the bus until ctx is done.
func (h *hub) run(ctx context.Context) error {
	defer h.closeAll()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return follow(ctx, h, bus.Received, func(e greffe.Received) greffe.MessageID { return e.ID })
	})
	g.Go(func() error {
		return follow(ctx, h, bus.Archived, func(e greffe.Archived) greffe.MessageID { return e.ID })
	})
	g.Go(func() error {
		return follow(ctx, h, bus.Delivered, func(e greffe.Delivered) greffe.MessageID { return e.Document.Message() })
	})
	g.Go(func() error {
		return follow(ctx, h, bus.Placed, func(e greffe.Placed) greffe.MessageID { return e.Message })
	})
	g.Go(func() error { h.spread(ctx); return nil })
	g.Go(func() error { h.watchTakings(ctx); return nil })
	g.Go(func() error { h.watchAnswers(ctx); return nil })
	g.Go(func() error { h.c.standings.follow(ctx, h.c.bus, h.c.expected(), h.c.log); return nil })
	return g.Wait()
}

// follow watches one topic until ctx is done. While the bus is away the pages stay
// readable; when it is back they are told that they missed something.
func follow[T any](ctx context.Context, h *hub, topic bus.Topic[T], id func(T) greffe.MessageID) error {
	for {
		err := bus.Watch(ctx, h.c.bus, topic, func(e T) { h.changed(id(e)) })
		if ctx.Err() != nil {
			return nil
		}
		h.c.log.Warn("live updates interrupted", slog.String("topic", topic.Name), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchAgain):
		}
		h.missed()
	}
}

// missed tells every page to read again.
func (h *hub) missed() {
	h.mu.Lock()
	h.dropped = true
	h.mu.Unlock()
	h.poke()
}

// closeAll ends every stream; none can be opened after it.
func (h *hub) closeAll() { h.once.Do(func() { close(h.closed) }) }

// changed notes that the message must be looked at again.
func (h *hub) changed(id greffe.MessageID) {
	h.mu.Lock()
	switch {
	case len(h.clients) == 0 && time.Now().After(h.until):
		// Nobody looks: reading the index would be for nothing.
		h.seq++
		h.floor, h.recent = h.seq, nil
	case len(h.pending) >= maxPending:
		h.dropped = true
	default:
		h.pending[id] = 0
	}
	h.mu.Unlock()
	h.poke()
}

func (h *hub) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// spread reads the changed messages and gives them to the pages.
func (h *hub) spread(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
		h.mu.Lock()
		pending, dropped := h.pending, h.dropped
		h.pending, h.dropped = map[greffe.MessageID]int{}, false
		h.mu.Unlock()
		if dropped {
			h.send(update{})
		}
		if len(pending) > 0 {
			h.readTakings(ctx)
		}
		for id, tries := range pending {
			h.look(ctx, id, tries)
		}
	}
}

func (h *hub) look(ctx context.Context, id greffe.MessageID, tries int) {
	d, err := h.c.db.Message(ctx, id)
	if errors.Is(err, index.ErrNotFound) {
		if tries < loadTries {
			h.mu.Lock()
			if _, again := h.pending[id]; !again {
				h.pending[id] = tries + 1
			}
			h.mu.Unlock()
			h.poke()
		}
		return
	}
	if err != nil {
		if ctx.Err() == nil {
			h.c.log.Warn("live update not read", slog.String("message", string(id)), slog.Any("error", err))
			h.send(update{})
		}
		return
	}
	u := update{row: h.c.newRow(d.Message), facet: index.FacetOf(&d), rev: revision(d)}
	h.mu.Lock()
	u.row.Taken, u.row.Rev = h.taken[id].Name, u.rev
	h.mu.Unlock()
	u.html, err = h.c.pages.fragment("file", "row", u.row)
	if err == nil {
		u.line, err = h.c.pages.fragment("file", "line", u.row)
	}
	if err != nil {
		h.c.log.Error("live update not rendered", slog.String("message", string(id)), slog.Any("error", err))
		return
	}
	h.send(u)
}

func (h *hub) send(u update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	u.seq = h.seq
	if h.recent = append(h.recent, &u); len(h.recent) > keepRecent {
		h.floor = h.recent[0].seq
		h.recent = slices.Delete(h.recent, 0, 1)
	}
	for cl := range h.clients {
		select {
		case cl.updates <- &u:
		default:
			cl.once.Do(func() { close(cl.lost) })
		}
	}
}

// place names the newest update, for a page that is being rendered: its stream will
// go on from there if it opens soon.
func (h *hub) place() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = time.Now().Add(rememberFor)
	return h.mark(h.seq)
}

func (h *hub) mark(seq uint64) string { return h.process + "." + strconv.FormatUint(seq, 10) }

// join opens a stream that goes on from a place ("": from now); it first gets what
// it missed, or that it missed too much. False when there are too many.
func (h *hub) join(from string) (*client, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) >= maxClients {
		return nil, false
	}
	cl := &client{updates: make(chan *update, clientLag+keepRecent), lost: make(chan struct{})}
	h.clients[cl] = true
	if from == "" {
		return cl, true
	}
	process, n, _ := strings.Cut(from, ".")
	seq, err := strconv.ParseUint(n, 10, 64)
	if err != nil || process != h.process || seq < h.floor || seq > h.seq {
		cl.updates <- &update{seq: h.seq}
		return cl, true
	}
	for _, u := range h.recent {
		if u.seq > seq {
			cl.updates <- u
		}
	}
	return cl, true
}

// start returns the place a stream stands at before its first update.
func (h *hub) start(from string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if process, n, _ := strings.Cut(from, "."); process == h.process {
		if seq, err := strconv.ParseUint(n, 10, 64); err == nil {
			return seq
		}
	}
	return h.seq
}

func (h *hub) leave(cl *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, cl)
}

// changeEvent is what a page receives about one message.
type changeEvent struct {
	ID    greffe.MessageID `json:"id"`
	State greffe.State     `json:"state"`
	Rev   int              `json:"rev"`
	Match bool             `json:"match"` // belongs on the page's first screen, if it is not there yet
	// Belongs says whether it is still what the page shows: what no longer is stays where
	// it is and says so.
	Belongs bool   `json:"belongs"`
	HTML    string `json:"html"`
}

// keeps reports whether a message is what a filter keeps now.
func keeps(f index.MessageFilter, x index.Facet, now time.Time) bool {
	if !f.Due.IsZero() {
		f.Due = now
	}
	if !f.Later.IsZero() {
		f.Later = now
	}
	return f.Keeps(x)
}

// stream sends live updates as server-sent events: "ligne" for a changed message,
// "compteurs" for the counts of the tabs, "avis" for what keeps messages waiting, "relire" when some were missed, "fin" when
// the session ended. It does not keep the session alive.
func (c *Console) stream(w http.ResponseWriter, r *http.Request, v *visit) error {
	kept := readFilter(r.URL.Query().Get)
	f, kept := c.narrowed(r, v, kept, time.Now())
	lines := r.URL.Query().Get("forme") == "liste"
	announce := r.URL.Query().Get("nouveaux") != "0"
	only := greffe.MessageID(r.URL.Query().Get("message"))
	if only != "" {
		if err := c.mayFollow(r, v, only); err != nil {
			return err
		}
	}
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = r.URL.Query().Get("depuis")
	}
	if err := c.record(v, "followed", safeID(string(only)), "ok", kept.Tab); err != nil {
		return err
	}
	cl, ok := c.live.join(from)
	if !ok {
		http.Error(w, "Trop de pages ouvertes.", http.StatusServiceUnavailable)
		return nil
	}
	defer c.live.leave(cl)

	emit, ok := openStream(w)
	if !ok {
		return nil
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	counting := time.NewTimer(0)
	defer counting.Stop()
	counted, due := time.Time{}, true
	seen := c.live.start(from)
	noticing := time.NewTicker(standingEvery)
	defer noticing.Stop()
	var noticed *string // what the page shows; not known yet
	if only != "" {
		counting.Stop()
		c.live.changed(only)
	}
	for {
		select {
		case <-r.Context().Done():
			return nil
		case <-c.live.closed:
			return nil
		case <-cl.lost:
			emit("event: relire\ndata: {}\n\n")
			return nil // the browser comes back by itself
		case <-ping.C:
			s, err := c.again(r)
			if errors.Is(err, errLogin) || errors.Is(err, errLocked) {
				emit("event: fin\ndata: {}\n\n")
				return nil
			}
			if err == nil && (s.user.Role != v.user.Role || !slices.Equal(c.placesOf(s.user), v.places)) {
				return nil // the browser comes back, with the new rights
			}
			if !emit("id: %s\n: ping\n\n", c.live.mark(seen)) {
				return nil
			}
		case <-noticing.C:
			if only != "" {
				continue
			}
			html, err := c.pages.fragment("file", "notices", c.notices(v))
			if err != nil || noticed != nil && *noticed == html {
				continue
			}
			noticed = &html
			b, err := json.Marshal(map[string]string{"html": html})
			if err != nil || !emit("event: avis\ndata: %s\n\n", b) {
				return nil
			}
		case u := <-cl.updates:
			seen = u.seq
			if u.row.ID == "" {
				if !emit("id: %s\nevent: relire\ndata: {}\n\n", c.live.mark(seen)) {
					return nil
				}
				continue
			}
			if !index.Within(f.Places, u.row.Queue) && !index.Within(f.Places, greffe.Origin{Mailbox: u.row.Mailbox, Folder: u.row.Folder}) || only != "" && u.row.ID != only {
				continue
			}
			if c.hides(v, u.row) {
				continue // its line says whom it is about
			}
			e := changeEvent{ID: u.row.ID, State: u.row.State, Rev: u.rev, HTML: u.html, Belongs: keeps(f, u.facet, time.Now())}
			e.Match = announce && only == "" && e.Belongs
			if lines {
				e.HTML = u.line
			}
			b, err := json.Marshal(e)
			if err != nil {
				return nil
			}
			if !emit("id: %s\nevent: ligne\ndata: %s\n\n", c.live.mark(seen), b) {
				return nil
			}
			if only == "" && !due {
				due = true
				counting.Reset(max(0, time.Second-time.Since(counted)))
			}
		case <-counting.C:
			due, counted = false, time.Now()
			n, err := c.countsFor(r.Context(), f.Places, v.user.Login, false)
			if err != nil {
				continue // the next change tries again
			}
			b, err := json.Marshal(n)
			if err != nil {
				return nil
			}
			if !emit("event: compteurs\ndata: %s\n\n", b) {
				return nil
			}
		}
	}
}

// mayFollow refuses to follow a message that the person may not see.
func (c *Console) mayFollow(r *http.Request, v *visit, id greffe.MessageID) error {
	if !id.Valid() {
		return errNothing
	}
	m, err := c.db.Message(r.Context(), id)
	if err == nil && v.seesMessage(m.Message) {
		return nil
	}
	if err == nil || errors.Is(err, index.ErrNotFound) {
		c.note(v, "denied", string(id), "refused", r.Pattern)
		return errNothing
	}
	return err
}
