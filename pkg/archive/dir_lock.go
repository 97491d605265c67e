package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"greffe/pkg/greffe"
)

const (
	policyFile = ".retention" // how long objects are locked; no key begins with a dot
	turnFile   = ".turn"      // held while a lock changes (shared) or an object is removed (alone)
	maxLocks   = 1 << 20      // bytes of a file of locks: one line a day for sixty years
)

// rule is one line of policyFile.
type rule struct {
	from      time.Time
	retention time.Duration
}

// loadPolicy reads how long objects are locked and notes a change of it, for those
// that are stored from now on: what is stored keeps the lock it was stored with.
func (d *dirStore) loadPolicy(retention time.Duration) error {
	b, err := d.readSmall(policyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(b)) {
		var from string
		var seconds int64
		if n, err := fmt.Sscanf(line, "greffe-retention/1 from %s %d\n", &from, &seconds); n != 2 || err != nil {
			continue // torn by a crash
		}
		at, err := time.Parse(time.RFC3339, from)
		if err == nil && seconds >= 0 && seconds <= int64(maxRetention/time.Second) {
			d.policy = append(d.policy, rule{at, time.Duration(seconds) * time.Second})
		}
	}
	d.retention = retention
	last := time.Duration(0)
	if len(d.policy) > 0 {
		last = d.policy[len(d.policy)-1].retention
	}
	if last == retention {
		return nil
	}
	now := time.Now().UTC().Truncate(time.Second)
	line := "greffe-retention/1 from " + now.Format(time.RFC3339) + " " + strconv.FormatInt(int64(retention/time.Second), 10)
	if err := d.appendLine(policyFile, line); err != nil {
		return err
	}
	d.policy = append(d.policy, rule{now, retention})
	return nil
}

// stored returns until when an object is locked by having been stored at t.
func (d *dirStore) stored(t time.Time) time.Time {
	if len(d.policy) == 0 {
		return time.Time{}
	}
	r := d.policy[0]
	for _, next := range d.policy[1:] {
		if !next.from.After(t) {
			r = next
		}
	}
	if r.retention == 0 {
		return time.Time{}
	}
	return lockEnd(t, r.retention)
}

// lockFile is the file beside an object that says how it was extended and held.
func lockFile(key string) string {
	dir, name := path.Split(key)
	return dir + "." + name + ".lock"
}

// lock is what a lock file says.
type lock struct {
	until   time.Time
	held    bool
	damaged bool // a line cannot be read
}

// readLock reads a lock file. A line that cannot be read is passed over and said: the
// dates before it still hold.
func (d *dirStore) readLock(key string) (lock, error) {
	var l lock
	b, err := d.readSmall(lockFile(key))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	for line := range strings.Lines(string(b)) {
		said, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "greffe-lock/1 ")
		switch date, until := strings.CutPrefix(said, "until "); {
		case !strings.HasSuffix(line, "\n"), strings.HasSuffix(line, " torn\n"):
		case ok && until:
			t, err := time.Parse(time.RFC3339, date)
			if err != nil {
				l.damaged = true
			} else if t.After(l.until) {
				l.until = t
			}
		case ok && said == "hold on":
			l.held = true
		case ok && said == "hold off":
			l.held = false
		default:
			l.damaged = true
		}
	}
	return l, nil
}

// readSmall reads a file of this driver of at most maxLocks bytes.
func (d *dirStore) readSmall(name string) ([]byte, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLocks+1))
	if err == nil && len(b) > maxLocks {
		err = fmt.Errorf("%s is over %d bytes", name, maxLocks)
	}
	return b, err
}

// appendLine adds a line to a file of this driver and makes it durable. A line that a
// crash tore, so that nobody was told it was there, is marked as such first.
func (d *dirStore) appendLine(name, line string) error {
	before, err := d.readSmall(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	line += "\n"
	if len(before) > 0 && !bytes.HasSuffix(before, []byte("\n")) {
		line = " torn\n" + line
	}
	if len(before)+len(line) > maxLocks {
		return fmt.Errorf("%w: %s is full", ErrUnavailable, name)
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Sync(), f.Close(), d.syncDir(path.Dir(name)))
}

// turn runs f while no object is removed, or alone.
func (d *dirStore) turn(how int, f func() error) error {
	t, err := d.root.OpenFile(turnFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer t.Close() // ends the turn
	if err := at(t, func(fd int) error { return unix.Flock(fd, how) }); err != nil {
		return err
	}
	return f()
}

// change does f about an object that is there, in turn, and returns it as it is then.
func (d *dirStore) change(ctx context.Context, what string, o greffe.Object, how int, f func(Info, lock) error) (i Info, err error) {
	if !validKey(o.Key) {
		return Info{}, fmt.Errorf("archive: %s: %w: %.40q", what, ErrKey, o.Key)
	}
	if err := ctx.Err(); err != nil {
		return Info{}, context.Cause(ctx)
	}
	err = d.turn(how, func() error {
		before, l, err := d.look(o.Key)
		if err != nil {
			return err
		}
		if err := f(before, l); err != nil {
			return err
		}
		i, _, err = d.look(o.Key)
		if how == unix.LOCK_EX && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return Info{}, fmt.Errorf("archive: %s %s: %w", what, o.Key, absent(err))
	}
	return i, nil
}

// look returns an object with its lock.
func (d *dirStore) look(key string) (Info, lock, error) {
	fi, err := d.root.Lstat(key)
	if err != nil {
		return Info{}, lock{}, err
	}
	if !fi.Mode().IsRegular() {
		return Info{}, lock{}, ErrNotFound
	}
	l, err := d.readLock(key)
	if err != nil {
		return Info{}, lock{}, err
	}
	i := dirInfo(key, fi)
	if destroyable(key) {
		return i, lock{}, nil
	}
	if i.RetainUntil = d.stored(i.Stored); l.until.After(i.RetainUntil) {
		i.RetainUntil = l.until
	}
	i.Held = l.held
	return i, l, nil
}

func (d *dirStore) Retain(ctx context.Context, o greffe.Object, until time.Time) (Info, error) {
	until = roundUp(until.UTC(), time.Second)
	return d.change(ctx, "retain", o, unix.LOCK_SH, func(i Info, _ lock) error {
		if d.retention == 0 || destroyable(o.Key) {
			return ErrNoLock
		}
		if !until.After(i.RetainUntil) || !until.After(time.Now()) {
			return nil
		}
		if err := checkUntil(until); err != nil {
			return err
		}
		return d.appendLine(lockFile(o.Key), "greffe-lock/1 until "+until.Format(time.RFC3339))
	})
}

func (d *dirStore) Hold(ctx context.Context, o greffe.Object, on bool) (Info, error) {
	return d.change(ctx, "hold", o, unix.LOCK_SH, func(i Info, _ lock) error {
		switch {
		case d.retention == 0 || destroyable(o.Key):
			return ErrNoLock
		case i.Held == on:
			return nil
		}
		return d.appendLine(lockFile(o.Key), "greffe-lock/1 hold "+map[bool]string{true: "on", false: "off"}[on])
	})
}

// relock extends the lock of an object that arrived again.
func (d *dirStore) relock(ctx context.Context, key string) error {
	if d.retention == 0 || destroyable(key) {
		return nil
	}
	until := lockEnd(time.Now(), d.retention)
	// What is locked that long cannot be eliminated meanwhile: no turn is needed.
	if i, _, err := d.look(key); err == nil && !until.After(i.RetainUntil) {
		return nil
	}
	_, err := d.Retain(ctx, greffe.Object{Key: key}, until)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: eliminated at this moment: %w", ErrUnavailable, err)
	}
	return err
}

// Eliminate removes the file and what says how it was locked, in this order: a crash
// between leaves dates that have passed.
func (d *dirStore) Eliminate(ctx context.Context, o greffe.Object) error {
	_, err := d.change(ctx, "eliminate", o, unix.LOCK_EX, func(i Info, l lock) error {
		switch {
		case destroyable(o.Key):
		case d.retention == 0:
			return ErrNoLock
		case l.damaged:
			return fmt.Errorf("%w: a line of %s cannot be read", ErrLocked, lockFile(o.Key))
		case i.Held, i.RetainUntil.IsZero(), i.RetainUntil.After(time.Now()):
			return fmt.Errorf("%w (until %v, held %v)", ErrLocked, i.RetainUntil, i.Held)
		}
		if err := d.root.Remove(o.Key); err != nil {
			return err
		}
		if err := d.root.Remove(lockFile(o.Key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return d.syncDir(path.Dir(o.Key))
	})
	return err
}
