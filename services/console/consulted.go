package console

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// consultedEvery is how exactly it is known when a mailbox was last looked into.
const consultedEvery = 10 * time.Minute

// consultations remembers which looks were recorded a short while ago.
type consultations struct {
	mu sync.Mutex
	at map[string]time.Time // by mailbox
}

// due returns those of the mailboxes whose look is to be recorded.
func (s *consultations) due(mailboxes []string, now time.Time) (due []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	for _, m := range mailboxes {
		if now.Sub(s.at[m]) >= consultedEvery {
			s.at[m] = now
			due = append(due, m)
		}
	}
	return due
}

// consulted records that a person who works the queue looked into mailboxes; none stands
// for all that there are. It decides nothing: that it cannot be written is logged, no more.
func (c *Console) consulted(v *visit, mailboxes ...string) {
	if v.role&secretary == 0 {
		return
	}
	if len(mailboxes) == 0 {
		mailboxes = c.cfg.Mailboxes
	}
	now := time.Now()
	due := c.consultations.due(mailboxes, now)
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.ctx), 10*time.Second)
	defer cancel()
	if err := c.db.SaveConsulted(ctx, due, now); err != nil {
		c.log.Warn("look into mailboxes not recorded", slog.Any("error", err))
	}
}
