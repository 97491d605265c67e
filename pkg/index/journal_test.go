package index

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// Two processes are two open indexes; their entries make one chain.
func TestOneChainForAllWriters(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]func(testing.TB) string{"sqlite": sqliteDSN, "postgres": postgresDSN} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := dsn(t)
			dbs := make([]*DB, 2)
			var opened sync.WaitGroup
			for i := range dbs { // migrations run once, whoever comes first
				opened.Go(func() {
					db, err := Open(t.Context(), at, nil)
					if err != nil {
						t.Error(err)
						return
					}
					dbs[i] = db
				})
			}
			opened.Wait()
			if t.Failed() {
				return
			}
			var written sync.WaitGroup
			const each = 25
			for i, db := range dbs {
				defer db.Close()
				for g := range 3 {
					written.Go(func() {
						for n := range each {
							if err := db.Append(t.Context(), Entry{Actor: fmt.Sprint("p", i, g), Action: "read", Subject: fmt.Sprint(n), Result: "ok"}); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
			}
			written.Wait()
			var checked int64
			if err := dbs[0].VerifyJournal(t.Context(), func(n int64) { checked = n }); err != nil {
				t.Error(err)
			}
			if checked != 2*3*each {
				t.Errorf("%d entries, want %d", checked, 2*3*each)
			}
		})
	}
}

func TestAChangedJournalIsNoticed(t *testing.T) {
	for name, change := range map[string]string{
		"an entry changed":  `UPDATE journal SET actor = 'nobody' WHERE seq = 2`,
		"an entry removed":  `DELETE FROM journal WHERE seq = 2`,
		"the first removed": `DELETE FROM journal WHERE seq = 1`,
		"a time changed":    `UPDATE journal SET at = at + 1 WHERE seq = 3`,
		"a hash recomputed": `UPDATE journal SET hash = prev WHERE seq = 2`,
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db *DB) {
				for n := range 4 {
					if err := db.Append(t.Context(), Entry{Actor: "anne", Action: "read", Subject: fmt.Sprint(n)}); err != nil {
						t.Fatal(err)
					}
				}
				if err := db.VerifyJournal(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				if _, err := db.write.ExecContext(t.Context(), change); err == nil || !strings.Contains(err.Error(), "only grows") {
					t.Fatalf("the database let the journal be changed: %v", err)
				}
				off := `DROP TRIGGER journal_no_update; DROP TRIGGER journal_no_delete`
				if db.postgres {
					off = `DROP TRIGGER journal_no_change ON journal`
				}
				if _, err := db.write.ExecContext(t.Context(), off+"; "+change); err != nil {
					t.Fatal(err)
				}
				if err := db.VerifyJournal(t.Context(), nil); !errors.Is(err, ErrJournal) {
					t.Errorf("got %v, want ErrJournal", err)
				}
			})
		})
	}
}

// The encoding is a promise to those who verify without Greffe.
func TestDigestIsStable(t *testing.T) {
	t.Parallel()
	e := Entry{Seq: 1, At: time.UnixMilli(1795334400000).UTC(), Actor: "storage", Action: "archived", Subject: "m", From: "host", Result: "archivé", Detail: "d", Prev: greffe.FirstPrev}
	want := greffe.DigestOf([]byte("greffe-journal/1\n64:" + string(greffe.FirstPrev) + ",1:1,13:1795334400000,7:storage,8:archived,1:m,4:host,8:archivé,1:d,"))
	if got := e.Digest(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	moved := e
	moved.Actor, moved.Action = "storagea", "rchived"
	if moved.Digest() == want {
		t.Error("fields run into each other")
	}
}

func TestJournalPages(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		for n := range 7 {
			if err := db.Append(t.Context(), Entry{Actor: "anne", Action: "read", Subject: fmt.Sprint(n)}); err != nil {
				t.Fatal(err)
			}
		}
		var before int64
		var seen []int64
		for {
			list, err := db.Journal(t.Context(), before, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				seen = append(seen, e.Seq)
			}
			before = list[len(list)-1].Seq
		}
		if fmt.Sprint(seen) != "[7 6 5 4 3 2 1]" {
			t.Errorf("seen %v", seen)
		}
	})
}

// A fact and its entry are one: when the entry cannot be written, nor is the fact.
func TestNoFactWithoutItsEntry(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		if _, err := db.write.ExecContext(t.Context(), `DROP TABLE journal`); err != nil {
			t.Fatal(err)
		}
		p := message("a@ch.example", 1, document("1", 1, maelle))
		if err := db.SaveReceived(t.Context(), p.Received, rawOf(p)); err == nil {
			t.Fatal("saved without a journal")
		}
		if list, _, err := db.Messages(t.Context(), MessageFilter{}); err != nil || len(list) != 0 {
			t.Errorf("%v %v", list, err)
		}
	})
}

func TestOpenMakesAPrivateFileAndKeepsIt(t *testing.T) {
	t.Parallel()
	dsn := sqliteDSN(t)
	db, err := Open(t.Context(), dsn, nil)
	if err != nil {
		t.Fatal(err)
	}
	save(t, db, message("a@ch.example", 1, document("1", 1, maelle)))
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if info, err := os.Stat(dsn + suffix); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%q: %v %v", suffix, info, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dsn)
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if list, _, err := db.Messages(t.Context(), MessageFilter{}); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
	if _, err := Open(t.Context(), t.TempDir(), nil); err == nil {
		t.Error("opened a directory")
	}
}
