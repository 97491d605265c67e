package index

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"
)

// DB is the index. Its methods may be called at once, and several processes may
// hold the same index open: writers take turns.
type DB struct {
	read     *sql.DB // SQLite: read-only connections; PostgreSQL: the same as write
	write    *sql.DB // SQLite: one connection
	postgres bool
	path     string // of the SQLite file
	host     string // From of the journal entries that services cause
	log      *slog.Logger
	reach    reach // of the pages of lists

	turns      turns    // of the writers in this process
	queries    sync.Map // prepared on the read connections of SQLite: text to *sql.Stmt
	prepared   atomic.Int64
	statements sync.Map // prepared on the write connection of SQLite: text to *sql.Stmt
}

// Open opens the index and brings its schema up to date. dsn is a PostgreSQL URL
// (postgres://…) or the path of a SQLite file, which is made readable by its
// owner only. A commit is on disk when a method returns (SQLite: WAL with
// synchronous=FULL; PostgreSQL: as the server is configured, synchronous_commit
// on by default). SQLite files must not be on a network file system. ErrRebuilding
// is returned for an index whose rebuilding was begun and did not end.
func Open(ctx context.Context, dsn string, log *slog.Logger) (*DB, error) {
	db, err := openDB(ctx, dsn, log)
	if err != nil {
		return nil, err
	}
	unfinished, err := db.rebuilding(ctx)
	if err == nil && unfinished {
		err = ErrRebuilding
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open index: %w", err), db.Close())
	}
	return db, nil
}

func openDB(ctx context.Context, dsn string, log *slog.Logger) (*DB, error) {
	if dsn == "" {
		return nil, errors.New("open index: no dsn")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	db := &DB{host: host, log: log, reach: defaultReach}
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		err = db.openPostgres(ctx, dsn)
	} else {
		err = db.openSQLite(ctx, dsn)
	}
	if err == nil {
		err = db.refreshSearch(ctx)
	}
	if err != nil {
		// The error of a driver may quote the DSN: pgx hides the password itself.
		return nil, errors.Join(fmt.Errorf("open index: %w", err), db.Close())
	}
	return db, nil
}

func (db *DB) openPostgres(ctx context.Context, dsn string) error {
	pool, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	// Enough for the services of one process; writers take turns anyway.
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(16) // a new one has every statement to prepare again
	db.read, db.write, db.postgres = pool, pool, true

	// Held by a connection of its own while the migrations run on another.
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	const key = `hashtext('greffe migrations ' || current_schema())`
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(`+key+`)`); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	err = db.migrate(ctx, goose.DialectPostgres, `TEXT COLLATE "C"`, ".postgres.sql")
	_, unlock := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(`+key+`)`)
	return errors.Join(err, unlock)
}

func (db *DB) openSQLite(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// SQLite gives its -wal and -shm files the mode of the main file.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db.path = path
	base := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=journal_size_limit(67108864)&_pragma=temp_store(MEMORY)"
	// One write connection: several in one process starve each other for seconds.
	if db.write, err = sql.Open("sqlite", base+"&_pragma=cache_size(-16384)&_txlock=immediate"); err != nil {
		return err
	}
	db.write.SetMaxOpenConns(1)

	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // releases the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	if err := db.migrate(ctx, goose.DialectSQLite3, `TEXT`, ".sqlite.sql"); err != nil {
		return err
	}
	if db.read, err = sql.Open("sqlite", base+"&_pragma=cache_size(-8192)&_pragma=query_only(1)"); err != nil {
		return err
	}
	db.read.SetMaxOpenConns(4)
	db.read.SetMaxIdleConns(4)
	return nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// migrate runs the migrations that are missing. They are named number_what.sql
// for both engines, or number_what.sqlite.sql and number_what.postgres.sql.
func (db *DB) migrate(ctx context.Context, dialect goose.Dialect, text, own string) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	var list []*goose.Migration
	for _, name := range names {
		if strings.Count(filepath.Base(name), ".") > 1 && !strings.HasSuffix(name, own) {
			continue
		}
		number, _, _ := strings.Cut(filepath.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return fmt.Errorf("migration %s: %w", name, err)
		}
		body, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		query := strings.ReplaceAll(string(body), "{{text}}", text)
		list = append(list, goose.NewGoMigration(version, &goose.GoFunc{
			RunTx: func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, query)
				return err
			},
		}, nil))
	}
	provider, err := goose.NewProvider(dialect, db.write, nil,
		goose.WithGoMigrations(list...), goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, m := range done {
		db.log.LogAttrs(ctx, slog.LevelInfo, "index migrated", slog.Int64("version", m.Source.Version))
	}
	return nil
}

// Close closes the connections. It waits for queries that run.
func (db *DB) Close() error {
	var errs []error
	for _, s := range db.statements.Range {
		errs = append(errs, s.(*sql.Stmt).Close())
	}
	for _, s := range db.queries.Range {
		errs = append(errs, s.(*sql.Stmt).Close())
	}
	if db.read != nil && db.read != db.write {
		errs = append(errs, db.read.Close())
	}
	if db.write != nil {
		errs = append(errs, db.write.Close())
	}
	return errors.Join(errs...)
}

// Ping says whether the index answers, for readers and for writers.
func (db *DB) Ping(ctx context.Context) error {
	if _, err := db.read.ExecContext(ctx, `SELECT 1`); err != nil {
		return fmt.Errorf("ping index: %w", err)
	}
	if db.read != db.write {
		if _, err := db.write.ExecContext(ctx, `SELECT 1`); err != nil {
			return fmt.Errorf("ping index: %w", err)
		}
	}
	return nil
}
