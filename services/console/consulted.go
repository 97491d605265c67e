package console

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"greffe/pkg/index"
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

// consulted records that a person who works the queue looked into places. It decides
// nothing: that it cannot be written is logged, no more.
func (c *Console) consulted(v *visit, places ...string) {
	if v.role&(secretary|professional) == 0 {
		return
	}
	var mailboxes []string
	for _, p := range places {
		switch m, _ := index.SplitPlace(p); m {
		case index.Everywhere:
			mailboxes = append(mailboxes, c.cfg.Mailboxes...)
		case index.Nowhere:
		default:
			mailboxes = append(mailboxes, m)
		}
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
