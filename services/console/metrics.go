package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"greffe/pkg/greffe"
)

// metricsLimit bounds the reading of what one answer of /metrics tells.
const metricsLimit = 10 * time.Second

// What /metrics tells, in the units of Prometheus (seconds, seconds since 1970). Nothing of
// it names a patient, a professional or a sender: a personal mailbox has its key instead of its
// address, and of a sender there is the domain alone.
var (
	metricMessages   = describe("greffe_messages", "Messages in each state.", "state")
	metricDocuments  = describe("greffe_documents", "Documents in each state.", "state")
	metricLetters    = describe("greffe_dead_letters", "Events that no attempt could handle and that wait for a person.")
	metricService    = describe("greffe_service_up", "1 when a service says that it goes well, 0 when it is in trouble or silent.", "service", "instance")
	metricServer     = describe("greffe_mailbox_messages", "Messages on the mailbox's server at the last comparison.", "mailbox")
	metricToCome     = describe("greffe_mailbox_waiting_messages", "Of those, messages that the archive is not known to hold.", "mailbox")
	metricOldest     = describe("greffe_mailbox_oldest_waiting_timestamp_seconds", "Internal date of the oldest of those; absent when none waits.", "mailbox")
	metricChecked    = describe("greffe_mailbox_last_check_timestamp_seconds", "When the mailbox was last wholly compared with the archive.", "mailbox")
	metricExpiry     = describe("greffe_mailbox_expiry_timestamp_seconds", "When a certificate or password of the mailbox ends.", "mailbox", "what")
	metricDIWaiting  = describe("greffe_di_waiting_documents", "Documents that a machine has to send to a DI.", "di")
	metricDIOldest   = describe("greffe_di_oldest_waiting_seconds", "For how long the oldest of those has been in Greffe; 0 when none waits.", "di")
	metricDIPaused   = describe("greffe_di_paused", "1 when a person holds the queue of a DI.", "di")
	metricDIStopped  = describe("greffe_di_stopped", "1 when a technical error holds the queue of a DI until a person resumes it.", "di")
	metricDIDown     = describe("greffe_di_down", "1 when a DI does not answer.", "di")
	metricDIAnswered = describe("greffe_di_last_answer_timestamp_seconds", "When a DI last accepted or refused a document; absent when it never did.", "di")
	metricUnsealed   = describe("greffe_journal_unsealed_entries", "Entries of the journal that are not sealed in the archive yet.")
	metricSealed     = describe("greffe_journal_last_seal_timestamp_seconds", "Time of the last entry that is sealed.")
	metricStamped    = describe("greffe_journal_last_token_timestamp_seconds", "Time of the last RFC 3161 token; absent without an authority.")
	metricCame       = describe("greffe_today_documents", "Documents that came today, copies aside.")
	metricMachine    = describe("greffe_today_integrated_without_intervention", "Documents of today that the record system took without a person's decision.")
	metricDelay      = describe("greffe_today_delivery_seconds", "From arrival to the record system's answer, of the documents of today that it took without a person's decision.", "quantile")
	metricHand       = describe("greffe_today_integrated_after_decision", "Documents of today that the record system took after a person's decision.")
	metricToday      = describe("greffe_today_waiting", "Documents of today that are archived or on their way: no person has to do anything.")
	metricClosed     = describe("greffe_today_closed", "Documents of today that were put aside, by a person or because of a newer version.")
	metricCopies     = describe("greffe_today_copies", "Documents of today that are copies of others; greffe_today_documents does not count them.")
	metricReasons    = describe("greffe_today_needing_person", "Documents of today that wait for a person (à traiter), were refused by the record system or by a person (refusé) or are stopped by a technical error (incident), by code of the reason: the 50 most frequent codes, the others as \"other\".", "code", "state")
	metricDomains    = describe("greffe_today_needing_person_by_domain", "The same documents by domain of the sender: the 20 most frequent domains, the others as \"other\", what is no host name as \"unknown\".", "domain", "state")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// loadMetrics reads the token of those who may read /metrics; without one there is no such route.
func (c *Console) loadMetrics() error {
	if c.cfg.MetricsToken == "" {
		return nil
	}
	b, err := os.ReadFile(c.cfg.MetricsToken)
	if err != nil {
		return fmt.Errorf("token of the metrics: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < minToken || strings.ContainsAny(token, " \t\r\n") {
		return fmt.Errorf("token of the metrics in %s: one line of at least %d characters without blanks expected", c.cfg.MetricsToken, minToken)
	}
	c.metricsToken = sha256.Sum256([]byte(token))
	r := prometheus.NewRegistry()
	r.MustRegister(figures{c}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	c.metrics = promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 2, ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true})
	return nil
}

// serveMetrics answers a collector of metrics with its token (RFC 6750 §2.1).
func (c *Console) serveMetrics(w http.ResponseWriter, r *http.Request, v *visit) error {
	if c.metrics == nil {
		return errNothing
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], c.metricsToken[:]) != 1 {
		if c.attempts.begin("metrics token", v.from) == 0 {
			c.note(v, "denied", "", "refused", "metrics token")
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="greffe"`)
		http.Error(w, "jeton absent ou inconnu", http.StatusUnauthorized)
		return nil
	}
	c.metrics.ServeHTTP(w, r)
	return nil
}

// figures gathers the metrics when they are asked for. What cannot be read is left out,
// which a watcher sees as a figure that is gone, and is logged.
type figures struct{ c *Console }

// Describe implements prometheus.Collector: which figures there are is only known when
// they are read.
func (figures) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (f figures) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metricsLimit)
	defer cancel()
	tell := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	moment := func(d *prometheus.Desc, t time.Time, labels ...string) {
		if !t.IsZero() {
			tell(d, float64(t.UnixMilli())/1000, labels...)
		}
	}
	for what, read := range map[string]func() error{
		"states":   func() error { return f.states(ctx, tell) },
		"services": func() error { return f.services(ctx, tell, moment) },
		"journal":  func() error { return f.journal(ctx, tell, moment) },
		"today":    func() error { return f.today(ctx, tell) },
		"dis":      func() error { return f.dis(ctx, tell, moment) },
	} {
		if err := read(); err != nil {
			f.c.log.Warn("metrics not read", slog.String("what", what), slog.Any("error", err))
		}
	}
}

type tell func(d *prometheus.Desc, v float64, labels ...string)

func (f figures) states(ctx context.Context, tell tell) error {
	messages, documents, err := f.c.db.Tally(ctx)
	if err != nil {
		return err
	}
	for _, s := range greffe.States {
		tell(metricMessages, float64(messages[s]), string(s))
		tell(metricDocuments, float64(documents[s]), string(s))
	}
	n, err := f.c.bus.CountDeadLetters(ctx)
	if err != nil {
		return err
	}
	tell(metricLetters, float64(n))
	return nil
}

// mailboxLabel names a mailbox: by its address, unless that is a person's.
func (c *Console) mailboxLabel(address string) string {
	if c.cfg.About[address].Kind == "personal" {
		return greffe.MailboxKey(address)
	}
	return address
}

func (f figures) services(ctx context.Context, tell tell, moment func(*prometheus.Desc, time.Time, ...string)) error {
	lines, err := f.c.serviceLines(ctx)
	if err != nil {
		return err
	}
	for _, l := range lines {
		up := 1.0
		if l.Class == "bad" {
			up = 0
		}
		instance := l.Instance
		if l.Service == "fetcher" {
			instance = f.c.mailboxLabel(instance)
		}
		tell(metricService, up, l.Service, instance)
		if l.Service != "fetcher" || l.Mailbox == nil {
			continue
		}
		var b mailboxView
		b.figures(*l.Mailbox, time.Now())
		tell(metricServer, float64(b.Server), instance)
		tell(metricToCome, float64(b.ToCome), instance)
		moment(metricOldest, b.Oldest, instance)
		moment(metricChecked, l.Success, instance)
		for _, e := range b.Expiries {
			moment(metricExpiry, e.At, instance, string(e.What))
		}
	}
	return nil
}

// dis tells how it goes with each DI, as the index knows it, whichever process sends. One
// that was taken out of the configuration counts as long as something waits for it.
func (f figures) dis(ctx context.Context, tell tell, moment func(*prometheus.Desc, time.Time, ...string)) error {
	queues, err := f.c.db.Queues(ctx)
	if err != nil {
		return err
	}
	for _, q := range queues {
		if q.Test || !q.Configured && q.Waiting == 0 {
			continue
		}
		oldest := 0.0
		if !q.Oldest.IsZero() {
			oldest = max(time.Since(q.Oldest).Seconds(), 0)
		}
		tell(metricDIWaiting, float64(q.Waiting), q.Name)
		tell(metricDIOldest, oldest, q.Name)
		for d, at := range map[*prometheus.Desc]time.Time{metricDIPaused: q.PausedAt, metricDIStopped: q.StoppedAt, metricDIDown: q.DownAt} {
			is := 1.0
			if at.IsZero() {
				is = 0
			}
			tell(d, is, q.Name)
		}
		moment(metricDIAnswered, q.Answered, q.Name)
	}
	return nil
}

func (f figures) journal(ctx context.Context, tell tell, moment func(*prometheus.Desc, time.Time, ...string)) error {
	n, _, err := f.c.db.Unsealed(ctx)
	if err != nil {
		return err
	}
	tell(metricUnsealed, float64(n))
	if last, err := f.c.db.LastSeal(ctx); err == nil {
		moment(metricSealed, last.At)
	}
	if token, err := f.c.db.StampBefore(ctx, time.Now().Add(time.Hour)); err == nil {
		moment(metricStamped, token.At)
	}
	return nil
}

func (f figures) today(ctx context.Context, tell tell) error {
	days, err := f.c.activity.refresh(ctx, f.c.db, 1, f.c.cfg.Zone, time.Now(), func(greffe.Origin) bool { return true })
	if err != nil {
		return err
	}
	t := days[0]
	tell(metricCame, float64(t.Documents))
	tell(metricMachine, float64(t.Machine))
	for _, q := range []int{50, 95} {
		if d, ok := t.delay(q); ok {
			tell(metricDelay, d.Seconds(), fmt.Sprintf("0.%d", q))
		}
	}
	tell(metricHand, float64(t.Hand))
	tell(metricToday, float64(t.Waiting))
	tell(metricClosed, float64(t.Closed))
	tell(metricCopies, float64(t.Twice))
	tellHeld(tell, metricReasons, t.reasons, t.held, maxCodes)
	tellHeld(tell, metricDomains, named(t.senders, hostOf), t.held, maxDomains)
	return nil
}

// Bounds of the labels of what is held: each value of a label is a series that a collector keeps.
const (
	maxCodes   = 50
	maxDomains = 20
)

// tellHeld tells of the most frequent, and of what is left of total as "other".
func tellHeld(tell tell, d *prometheus.Desc, counts map[string]held, total held, limit int) {
	top, others := rank(counts, total, limit)
	for _, r := range append(top, ranked{"other", others}) {
		for state, n := range map[string]int{"à traiter": r.Todo, "refusé": r.Refused, "incident": r.Incident} {
			if n > 0 {
				tell(d, float64(n), r.Name, state)
			}
		}
	}
}

// hostName is what a domain has to look like for a label: what a sender writes there can be
// anything.
var hostName = regexp.MustCompile(`^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,8}$`)

// hostOf returns the domain of an address, "unknown" when that is no host name.
func hostOf(address string) string {
	if d := domain(address); hostName.MatchString(d) {
		return d
	}
	return "unknown"
}
