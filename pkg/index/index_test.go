package index

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"greffe/pkg/greffe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onBoth runs a test on SQLite, and on PostgreSQL when a server is given.
func onBoth(t *testing.T, f func(t *testing.T, db *DB)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, open(t, sqliteDSN(t)))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, open(t, postgresDSN(t)))
	})
}

func sqliteDSN(t testing.TB) string { return filepath.Join(t.TempDir(), "index ?#%.db") }

// postgresDSN makes a schema of its own on the server of GREFFE_TEST_POSTGRES.
func postgresDSN(t testing.TB) string {
	server := os.Getenv("GREFFE_TEST_POSTGRES")
	if server == "" {
		t.Skip("GREFFE_TEST_POSTGRES is not set")
	}
	schema := "t_" + strings.ToLower(rand.Text())
	exec := func(query string) {
		pool, err := sql.Open("pgx", server)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if _, err := pool.ExecContext(context.Background(), query); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE SCHEMA " + schema)
	t.Cleanup(func() { exec("DROP SCHEMA " + schema + " CASCADE") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func open(t testing.TB, dsn string) *DB {
	t.Helper()
	db, err := Open(t.Context(), dsn, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// message returns the n-th message of a mailbox with these documents.
func message(mailbox string, n int, documents ...greffe.Document) greffe.Parsed {
	o := greffe.Origin{Mailbox: mailbox, Folder: "INBOX", UIDValidity: 1, UID: uint32(n), InternalDate: start.Add(time.Duration(n) * time.Minute)}
	raw := greffe.DigestOf(fmt.Append(nil, mailbox, n))
	for i := range documents {
		documents[i].Part = fmt.Sprint(i + 1)
		if documents[i].SHA256 == "" {
			documents[i].SHA256 = greffe.DigestOf(fmt.Append(nil, mailbox, n, i))
		}
	}
	return greffe.Parsed{
		Received: greffe.Received{ID: greffe.NewMessageID(o, raw), Origin: o, Size: 1000, SHA256: raw, At: start.Add(time.Duration(n) * time.Minute)},
		Message: greffe.Message{Kind: greffe.KindDelivery, Subject: fmt.Sprintf("Compte rendu %d", n), MessageIDs: []string{fmt.Sprintf("m%d@cabinet.example", n)},
			From: []greffe.Address{{Name: "Dr Yvon MARTEL", Address: "yvon.martel@cabinet-martel.example"}}},
		Documents: documents, Verdict: greffe.VerdictOK, At: start, Parser: "test",
	}
}

func document(set string, version int, p greffe.Patient) greffe.Document {
	return greffe.Document{
		Format: greffe.FormatCDA1, UniqueID: greffe.OID{Root: fmt.Sprintf("1.2.250.1.999.2.%s.%d", set, version)},
		SetID: greffe.OID{Root: "1.2.250.1.999.2." + set}, Version: version, Action: greffe.ActionNew, Title: "CR d'échographie",
		Patient: p, MediaType: "text/xml", Size: 10, Verdict: greffe.VerdictOK,
	}
}

func patient(family, used, givens, birth, ins string) greffe.Patient {
	first, _, _ := strings.Cut(givens, " ")
	return greffe.Patient{BirthFamily: family, UsedFamily: used, FirstGiven: first, Givens: givens, BirthDate: birth,
		INS: greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: ins}}
}

func objects(p greffe.Parsed) map[string]greffe.Object {
	m := map[string]greffe.Object{}
	for _, d := range p.Documents {
		m[d.Part] = greffe.Object{Key: "content/" + string(d.SHA256[:2]) + "/" + string(d.SHA256), SHA256: d.SHA256, Size: d.Size}
	}
	return m
}

func manifestOf(p greffe.Parsed) greffe.Object {
	return greffe.Object{Key: "messages/" + string(p.Received.ID) + "/manifest.json", SHA256: greffe.DigestOf([]byte(p.Received.ID)), Size: 20}
}

func rawOf(p greffe.Parsed) greffe.Object {
	return greffe.Object{Key: "messages/" + string(p.Received.ID) + "/message.eml", SHA256: p.Received.SHA256, Size: p.Received.Size}
}

func save(t testing.TB, db *DB, p greffe.Parsed) greffe.Archived {
	t.Helper()
	if err := db.SaveReceived(t.Context(), p.Received, rawOf(p)); err != nil {
		t.Fatal(err)
	}
	a, err := db.SaveArchived(t.Context(), p, manifestOf(p), rawOf(p), objects(p))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func outcome(t testing.TB, db *DB, id greffe.DocumentID, o greffe.Outcome) greffe.State {
	t.Helper()
	state, err := db.SaveOutcome(t.Context(), id, o, "")
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func journal(t testing.TB, db *DB) []Entry {
	t.Helper()
	list, err := db.JournalAfter(t.Context(), 0, 10000)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
