package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// embed starts a JetStream server in this process. It listens nowhere, handles
// no signal, and syncs every write to the disk before it is acknowledged.
func (b *Bus) embed() error {
	if b.cfg.Dir == "" {
		return errors.New("bus: neither a server nor a directory is given")
	}
	if err := os.MkdirAll(b.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	lock, err := lockDir(b.cfg.Dir)
	if err != nil {
		return err
	}
	b.lock = lock
	if b.running, err = openRunning(filepath.Join(b.cfg.Dir, "running")); err != nil {
		return err
	}
	srv, err := server.NewServer(&server.Options{
		ServerName:             "greffe",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		StoreDir:               b.cfg.Dir,
		SyncAlways:             true,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return fmt.Errorf("bus: embedded server: %w", err)
	}
	srv.SetLoggerV2(serverLog{b.log}, false, false, false)
	b.srv = srv
	srv.Start()
	// Recovery reads the index of each stream, far quicker than this bound.
	if !srv.ReadyForConnections(time.Minute) {
		return fmt.Errorf("bus: the embedded server on %s did not start within a minute", b.cfg.Dir)
	}
	if !srv.JetStreamEnabled() {
		return fmt.Errorf("bus: the embedded server on %s has no JetStream; see its warnings", b.cfg.Dir)
	}
	return nil
}

// revive starts JetStream again in an embedded server that switched it off: the
// server does so when its disk is full, and would stay off for good once there is
// room again. It does nothing when all is well, or when another caller is at it.
func (b *Bus) revive(ctx context.Context) {
	if b.srv == nil || b.srv.JetStreamEnabled() || !b.reviving.TryLock() {
		return
	}
	defer b.reviving.Unlock()
	if b.srv.JetStreamEnabled() {
		return
	}
	b.log.Error("bus storage was switched off, its disk is full or damaged: trying again")
	if err := b.srv.EnableJetStream(&server.JetStreamConfig{StoreDir: b.cfg.Dir, SyncAlways: true, Strict: true}); err != nil {
		b.log.Error("bus storage cannot be started", slog.Any("error", err))
		return
	}
	// Leases and standings were in memory. The handles that are held go by their names.
	if _, _, err := b.makePassing(ctx); err != nil {
		b.log.Error("bus leases cannot be made", slog.Any("error", err))
	}
}

// unembed stops the embedded server, if any, and frees its directory.
func (b *Bus) unembed() error {
	if b.srv != nil {
		b.srv.Shutdown()
		b.srv.WaitForShutdown()
	}
	b.running.close()
	if b.lock == nil {
		return nil
	}
	return b.lock.Close() // frees the lock
}

// lockDir takes dir for this process until the file is closed or the process
// ends, whichever way it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("bus: %s is in use by another Greffe", dir)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// serverLog passes what the embedded server has to complain about to slog. Its
// notices and traces are dropped. The server names streams and subjects only.
type serverLog struct{ log *slog.Logger }

func (l serverLog) warn(format string, v []any) {
	l.log.Warn("bus server", slog.String("text", fmt.Sprintf(format, v...)))
}

func (l serverLog) Warnf(format string, v ...any)  { l.warn(format, v) }
func (l serverLog) Errorf(format string, v ...any) { l.warn(format, v) }
func (l serverLog) Fatalf(format string, v ...any) { l.warn(format, v) }
func (serverLog) Noticef(string, ...any)           {}
func (serverLog) Debugf(string, ...any)            {}
func (serverLog) Tracef(string, ...any)            {}
