package archive

import (
	"fmt"
	"strings"
	"time"
)

// maxRetention is the longest lock that is asked for: a lock with a wrong date
// can never be taken back.
const maxRetention = 200 * 366 * 24 * time.Hour

const (
	wholeDays = 30 * 24 * time.Hour // a lock this long ends at midnight
	day       = 24 * time.Hour
)

// lockEnd returns until when what arrives at t is locked. Long locks end at midnight
// UTC: what arrives often is then extended once a day, not each time.
func lockEnd(t time.Time, retention time.Duration) time.Time {
	end := t.UTC().Add(retention)
	if retention < wholeDays {
		return roundUp(end, time.Second)
	}
	return roundUp(end, day)
}

// destroyable reports whether what is at key is never locked: the wrapped keys.
func destroyable(key string) bool { return strings.HasPrefix(key, KeysPrefix) }

// roundUp returns the first multiple of unit that is not before t.
func roundUp(t time.Time, unit time.Duration) time.Time {
	if down := t.Truncate(unit); down.Equal(t) {
		return down
	}
	return t.Truncate(unit).Add(unit)
}

// checkUntil refuses a date that can only be a mistake.
func checkUntil(until time.Time) error {
	if time.Until(until) > maxRetention {
		return fmt.Errorf("a lock until %s is over 200 years long", until.UTC().Format(time.DateOnly))
	}
	return nil
}
