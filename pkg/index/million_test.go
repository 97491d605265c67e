package index

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"greffe/pkg/greffe"
)

// many is how many documents BenchmarkMany reads from: a million, when asked with
// GREFFE_BENCH_DOCUMENTS=1000000 (some minutes and 3 GB for each engine).
func many(tb testing.TB) int {
	s := os.Getenv("GREFFE_BENCH_DOCUMENTS")
	if s == "" {
		return 5_000
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1000 {
		tb.Fatalf("GREFFE_BENCH_DOCUMENTS=%q: a number of at least 1000 is expected", s)
	}
	return n
}

// crowd makes up the rows of n messages of one document each, over three years and
// twenty mailboxes. One patient of a hundred is called MARTIN, the others have one of
// 4,096 names of which one of sixteen begins with MA; one in a thousand messages
// waits for a person.
type crowd struct {
	n    int
	r    *rand.Rand
	step time.Duration
}

var crowdSyllables = []string{"ber", "ca", "du", "fon", "gau", "ker", "la", "mar", "no", "po", "re", "sa", "ti", "val", "lec", "mon"}

func newCrowd(n int) *crowd {
	return &crowd{n: n, r: rand.New(rand.NewPCG(1, 2)), step: 3 * 365 * 24 * time.Hour / time.Duration(n)}
}

func (c *crowd) syllables(k int) (s string) {
	for range k {
		s += crowdSyllables[c.r.IntN(len(crowdSyllables))]
	}
	return s
}

func (c *crowd) family() string {
	if c.r.IntN(100) == 0 {
		return "martin"
	}
	return c.syllables(3)
}

func (c *crowd) birth() string {
	return fmt.Sprintf("19%02d%02d%02d", 20+c.r.IntN(80), 1+c.r.IntN(12), 1+c.r.IntN(28))
}

// ins is one of n/4 patients; one document in 500 is of the same.
func (c *crowd) ins() string {
	if c.r.IntN(500) == 0 {
		return "299999999999999"
	}
	p := c.r.IntN(c.n / 4)
	return fmt.Sprintf("2%012d%02d", p, p%97+1)
}

func (c *crowd) at(i int) time.Time {
	return start.Add(time.Duration(i) * c.step).Truncate(time.Millisecond)
}

// table is one table of the load: its name, its columns, the rows of one message.
type table struct {
	name, columns string
	rows          [][]any
}

// message returns the rows of the i-th message.
func (c *crowd) message(tb testing.TB, i int) []table {
	mailbox := fmt.Sprintf("%d@ch.example", c.r.IntN(20))
	desk := mailbox
	if c.r.IntN(500) == 0 {
		desk = "19@ch.example" // passed on
	}
	at := c.at(i)
	o := greffe.Origin{Mailbox: mailbox, Folder: "INBOX", UIDValidity: 1, UID: uint32(i + 1), InternalDate: at}
	raw := greffe.DigestOf(fmt.Append(nil, i))
	id := greffe.NewMessageID(o, raw)
	doc := greffe.NewDocumentID(id, 1)
	state, cause := greffe.StateDelivered, ""
	switch n := c.r.IntN(1000); {
	case n == 0:
		state, cause = greffe.StateTodo, string(greffe.CauseNoINS)
	case n < 30:
		state = greffe.StateDuplicate
	}
	family, given, birth, ins := c.family(), c.syllables(2), c.birth(), c.ins()
	d := document(strconv.Itoa(i), 1, patient(strings.ToUpper(family), "", strings.ToUpper(given), birth, ins))
	d.Part, d.SHA256, d.Created = "1", raw, at.Format("20060102150405")
	sender := fmt.Sprintf("sender%d@cabinet.example", c.r.IntN(3000))
	d.Type = greffe.Code{Code: "11488-4", Label: "CR de consultation"}
	switch n := c.r.IntN(1000); {
	case n < 200: // one laboratory sends a fifth, and nothing but results
		sender = "sender0@cabinet.example"
		d.Type = greffe.Code{Code: "11502-2", Label: "CR de biologie"}
	case n < 400:
		d.Type, d.Format = greffe.Code{Code: "18748-4", Label: "CR d’imagerie"}, greffe.FormatCDA3
	case n == 999:
		d.Type, d.Format = greffe.Code{Code: "34133-9", Label: "Synthèse"}, greffe.FormatPDF
	}
	facts, err := encode(d)
	if err != nil {
		tb.Fatal(err)
	}
	object, err := encode(greffe.Object{Key: "content/" + string(raw[:2]) + "/" + string(raw), SHA256: raw, Size: 10})
	if err != nil {
		tb.Fatal(err)
	}
	ms := at.UnixMilli()
	return []table{
		{"messages", "id,mailbox,folder,uidvalidity,uid,internal_date,received_at,archived_at,state,verdict,kind,size,subject,sender,header_id,desk,tray,cause,doctype,sender_key", [][]any{{
			string(id), mailbox, "INBOX", int64(1), int64(i + 1), ms, ms, ms, string(state), string(greffe.VerdictOK), string(greffe.KindDelivery),
			int64(1000), "Compte rendu " + strconv.Itoa(i), "Dr Yvon MARTEL", fmt.Sprintf("m%d@cabinet.example", i), desk, "INBOX", cause, d.Type.Code, greffe.MailboxKey(sender)}}},
		{"message_words", "word,received_at,message_id", [][]any{{family, ms, string(id)}, {given, ms, string(id)}, {"compte", ms, string(id)}, {"rendu", ms, string(id)}}},
		{"documents", "id,message_id,number,mailbox,received_at,archived_at,decided_at,identity,lineage,unique_id,ins,birth_date,state,reason,duplicate_of,outcome_json,facts_json,object_json,body_json", [][]any{{
			string(doc), string(id), int64(1), mailbox, ms, ms, ms, d.Identity(), d.Lineage(), uniqueKey(d.UniqueID), ins, birth, string(state), "", "", "", facts, object, ""}}},
		{"document_keys", "document_id,received_at,archived_at,dated_at,mailbox,folder,desk,tray,state,doctype,format,sender_key", [][]any{{
			string(doc), ms, ms, millis(at.Truncate(24 * time.Hour)), mailbox, "INBOX", desk, "INBOX", string(state), d.Type.Code, string(d.Format), greffe.MailboxKey(sender)}}},
		{"document_names", "document_id,family,givens,birth_date,mailbox,desk,received_at", [][]any{{
			string(doc), family, " " + given + " ", birth, mailbox, desk, ms}}},
		{"journal", "seq,at,actor,action,subject,origin,result,detail,prev,hash", [][]any{{
			int64(i + 1), ms, []string{"storage", "claire", "paul"}[i%3], []string{"received", "read", "archived", "searched"}[i%4], string(id), "::1", "ok", "", string(raw), string(raw)}}},
	}
}

// load writes the crowd as fast as the engine can: COPY on PostgreSQL, unsynced
// transactions on SQLite, the secondary indexes made afterwards on both.
func (c *crowd) load(tb testing.TB, db *DB) {
	tb.Helper()
	ctx := tb.Context()
	conn, err := db.write.Conn(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	exec := func(query string, args ...any) {
		tb.Helper()
		if _, err := conn.ExecContext(ctx, query, args...); err != nil {
			tb.Fatalf("%s: %v", query, err)
		}
	}
	ddl := secondary(tb, db, conn)
	for name := range ddl {
		exec(`DROP INDEX ` + name)
	}
	if !db.postgres {
		exec(`PRAGMA synchronous=OFF`)
		defer exec(`PRAGMA synchronous=FULL`)
	}
	const batch = 20_000
	for i := 0; i < c.n; {
		var tables []table
		for end := min(i+batch, c.n); i < end; i++ {
			for k, t := range c.message(tb, i) {
				if k == len(tables) {
					tables = append(tables, table{name: t.name, columns: t.columns})
				}
				tables[k].rows = append(tables[k].rows, t.rows...)
			}
		}
		exec(`BEGIN`)
		for _, t := range tables {
			columns := strings.Split(t.columns, ",")
			if db.postgres {
				err := conn.Raw(func(c any) error {
					_, err := c.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{t.name}, columns, pgx.CopyFromRows(t.rows))
					return err
				})
				if err != nil {
					tb.Fatal(err)
				}
				continue
			}
			for rows := range slices.Chunk(t.rows, 50) {
				exec(`INSERT INTO `+t.name+` (`+t.columns+`) VALUES `+values(len(rows), len(columns)), slices.Concat(rows...)...)
			}
		}
		exec(`COMMIT`)
	}
	for _, query := range ddl {
		exec(query)
	}
	for kind, box := range map[string]string{"message": "desk", "document": "mailbox"} {
		exec(`INSERT INTO tallies (kind, mailbox, state, n) SELECT '` + kind + `', ` + box + `, state, COUNT(*) FROM ` + kind + `s GROUP BY ` + box + `, state`)
	}
	for i := range 3000 {
		s := fmt.Sprintf("sender%d@cabinet.example", i)
		for _, w := range searchWords(s) {
			exec(`INSERT INTO sender_words (word, sender_key) VALUES ($1, $2)`, w, greffe.MailboxKey(s))
		}
	}
	exec(`INSERT INTO doctypes (code, label) VALUES ('11488-4', 'CR de consultation'), ('11502-2', 'CR de biologie'), ('18748-4', 'CR d’imagerie'), ('34133-9', 'Synthèse')`)
	if db.postgres {
		exec(`VACUUM ANALYZE`) // as autovacuum does
	} else {
		exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	}
}

// secondary returns the statements of the indexes that can be made again, by name.
func secondary(tb testing.TB, db *DB, conn *sql.Conn) map[string]string {
	query := `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`
	if db.postgres {
		query = `SELECT c.relname, pg_get_indexdef(c.oid) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
			WHERE c.relnamespace = current_schema()::regnamespace AND NOT i.indisprimary AND NOT i.indisunique`
	}
	rows, err := conn.QueryContext(tb.Context(), query)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	ddl := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			tb.Fatal(err)
		}
		ddl[name] = text
	}
	if err := rows.Err(); err != nil || len(ddl) < 10 {
		tb.Fatalf("%d indexes, %v", len(ddl), err)
	}
	return ddl
}

// look is one kind of search: each call asks for something else.
type look struct {
	name string
	mark time.Duration // p99 of the contract; 0 for what has none
	run  func(ctx context.Context, db *DB, c *crowd) error
}

func documentLook(name string, mark time.Duration, f func(c *crowd) DocumentFilter) look {
	return look{name, mark, func(ctx context.Context, db *DB, c *crowd) error {
		_, _, err := db.Documents(ctx, f(c))
		return err
	}}
}

func queueLook(name string, f func(c *crowd) MessageFilter) look {
	return look{name, 0, func(ctx context.Context, db *DB, c *crowd) error {
		_, _, err := db.Messages(ctx, f(c))
		return err
	}}
}

const mark = 20 * time.Millisecond

var looks = []look{
	{"nothing", 0, func(ctx context.Context, db *DB, _ *crowd) error {
		var one int
		return db.read.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
	}},
	documentLook("ins", mark, func(c *crowd) DocumentFilter { return DocumentFilter{INS: c.ins()} }),
	documentLook("ins without key", mark, func(c *crowd) DocumentFilter { return DocumentFilter{INS: c.ins()[:13]} }),
	documentLook("ins of 1 in 500", mark, func(c *crowd) DocumentFilter { return DocumentFilter{INS: "299999999999999"} }),
	documentLook("name+birth", mark, func(c *crowd) DocumentFilter { return DocumentFilter{Name: c.syllables(2), BirthDate: c.birth()} }),
	documentLook("name(2)+birth", mark, func(c *crowd) DocumentFilter { return DocumentFilter{Name: "ma", BirthDate: c.birth()} }),
	documentLook("martin+birth", mark, func(c *crowd) DocumentFilter { return DocumentFilter{Name: "martin", BirthDate: c.birth()} }),
	documentLook("newest", mark, func(c *crowd) DocumentFilter { return DocumentFilter{} }),
	documentLook("date page", mark, func(c *crowd) DocumentFilter {
		from := c.at(c.r.IntN(c.n))
		return DocumentFilter{From: from, To: from.AddDate(0, 0, 7)}
	}),
	documentLook("date page, next", mark, func(c *crowd) DocumentFilter {
		at := c.at(c.r.IntN(c.n))
		return DocumentFilter{Before: position{at.UnixMilli(), string(greffe.NewDocumentID(greffe.NewMessageID(greffe.Origin{InternalDate: at}, ""), 1))}.cursor()}
	}),
	documentLook("date page, 2 mailboxes", mark, func(c *crowd) DocumentFilter {
		from := c.at(c.r.IntN(c.n))
		return DocumentFilter{From: from, To: from.AddDate(0, 0, 7), Places: []string{"3@ch.example", "4@ch.example"}}
	}),
	documentLook("birth", 0, func(c *crowd) DocumentFilter { return DocumentFilter{BirthDate: c.birth()} }),
	documentLook("name(6)", 0, func(c *crowd) DocumentFilter { return DocumentFilter{Name: c.syllables(2)} }),
	documentLook("martin", 0, func(c *crowd) DocumentFilter { return DocumentFilter{Name: "martin"} }),
	documentLook("martin, next", 0, func(c *crowd) DocumentFilter {
		at := c.at(c.r.IntN(c.n))
		return DocumentFilter{Name: "martin", Before: position{at.UnixMilli(), string(greffe.NewDocumentID(greffe.NewMessageID(greffe.Origin{InternalDate: at}, ""), 1))}.cursor()}
	}),
	documentLook("martin+given", 0, func(c *crowd) DocumentFilter { return DocumentFilter{Name: "martin " + c.syllables(2)} }),
	documentLook("name(2)", 0, func(c *crowd) DocumentFilter { return DocumentFilter{Name: "ma"} }),
	documentLook("name(2), a mailbox", 0, func(c *crowd) DocumentFilter { return DocumentFilter{Name: "ma", Places: []string{"3@ch.example"}} }),
	documentLook("name(2), a week", 0, func(c *crowd) DocumentFilter {
		from := c.at(c.r.IntN(c.n))
		return DocumentFilter{Name: "ma", From: from, To: from.AddDate(0, 0, 7)}
	}),
	documentLook("sender", mark, func(c *crowd) DocumentFilter {
		return DocumentFilter{Sender: fmt.Sprintf("sender%d@cabinet", c.r.IntN(3000))}
	}),
	documentLook("many senders and a type", mark, func(c *crowd) DocumentFilter { return DocumentFilter{Sender: "cabinet", Type: "34133-9"} }),
	documentLook("sender and type that never meet", mark, func(c *crowd) DocumentFilter {
		return DocumentFilter{Sender: "sender0@cabinet.example", Type: "18748-4"}
	}),
	documentLook("type of a mailbox", mark, func(c *crowd) DocumentFilter {
		return DocumentFilter{Type: "18748-4", Places: []string{"3@ch.example"}}
	}),
	documentLook("rare type", mark, func(c *crowd) DocumentFilter { return DocumentFilter{Type: "34133-9", Format: greffe.FormatPDF} }),
	documentLook("state and format that never meet", mark, func(c *crowd) DocumentFilter {
		return DocumentFilter{State: greffe.StateTodo, Format: greffe.FormatHPRIM}
	}),
	documentLook("state", mark, func(c *crowd) DocumentFilter { return DocumentFilter{State: greffe.StateDuplicate} }),
	documentLook("dated, a week, a type", mark, func(c *crowd) DocumentFilter {
		from := c.at(c.r.IntN(c.n)).Truncate(24 * time.Hour)
		return DocumentFilter{DatedFrom: from, DatedTo: from.AddDate(0, 0, 7), Type: "11502-2"}
	}),
	documentLook("archived, a year, martin, a mailbox", mark, func(c *crowd) DocumentFilter {
		from := c.at(c.r.IntN(c.n))
		return DocumentFilter{ArchivedFrom: from, ArchivedTo: from.AddDate(1, 0, 0), Name: "martin", Places: []string{"3@ch.example"}}
	}),
	documentLook("martin, a type, a mailbox", mark, func(c *crowd) DocumentFilter {
		return DocumentFilter{Name: "martin", Type: "18748-4", Places: []string{"3@ch.example"}}
	}),
	documentLook("message-id", mark, func(c *crowd) DocumentFilter {
		return DocumentFilter{MessageID: fmt.Sprintf("<m%d@cabinet.example>", c.r.IntN(c.n))}
	}),
	documentLook("all of it", mark, func(c *crowd) DocumentFilter {
		at := c.at(c.r.IntN(c.n))
		return DocumentFilter{Name: "ma", BirthDate: c.birth(), Sender: "cabinet", Type: "11488-4", Format: greffe.FormatCDA1, State: greffe.StateDelivered,
			Places: []string{"3@ch.example", "4@ch.example/INBOX"}, To: at, DatedFrom: start}
	}),
	queueLook("queue, text in a tab of a mailbox", func(c *crowd) MessageFilter {
		return MessageFilter{Text: "mar", States: []greffe.State{greffe.StateTodo, greffe.StateRefused}, Places: []string{"3@ch.example"}}
	}),
	queueLook("queue, a name of a mailbox", func(c *crowd) MessageFilter {
		return MessageFilter{Text: c.syllables(3), Places: []string{"3@ch.example"}}
	}),
	queueLook("queue, words", func(c *crowd) MessageFilter { return MessageFilter{Text: "compte ma " + c.syllables(1)} }),
	queueLook("queue, no such pair of words", func(c *crowd) MessageFilter { return MessageFilter{Text: "compte martin martin zzz"} }),
	queueLook("queue", func(c *crowd) MessageFilter { return MessageFilter{} }),
	queueLook("queue, todo", func(c *crowd) MessageFilter { return MessageFilter{States: []greffe.State{greffe.StateTodo}} }),
	queueLook("queue, a mailbox", func(c *crowd) MessageFilter { return MessageFilter{Places: []string{"3@ch.example"}} }),
	queueLook("queue, todo of a mailbox", func(c *crowd) MessageFilter {
		return MessageFilter{States: []greffe.State{greffe.StateTodo}, Places: []string{"3@ch.example"}}
	}),
	queueLook("queue, martin", func(c *crowd) MessageFilter { return MessageFilter{Text: "martin"} }),
	queueLook("queue, a cause", func(c *crowd) MessageFilter {
		return MessageFilter{States: []greffe.State{greffe.StateTodo, greffe.StateRefused}, Cause: greffe.CauseNoINS, Due: time.Now(), Places: []string{"3@ch.example"}}
	}),
	queueLook("queue, a sender", func(c *crowd) MessageFilter {
		return MessageFilter{Sender: greffe.MailboxKey(fmt.Sprintf("sender%d@cabinet.example", c.r.IntN(3000))), States: []greffe.State{greffe.StateDelivered}}
	}),
	queueLook("queue, a type of a mailbox", func(c *crowd) MessageFilter {
		return MessageFilter{Type: "11488-4", States: []greffe.State{greffe.StateDelivered}, Places: []string{"3@ch.example"}}
	}),
	{"waiting", 0, func(ctx context.Context, db *DB, c *crowd) error {
		_, err := db.Waiting(ctx, []string{"3@ch.example", "4@ch.example"}, "claire", time.Now())
		return err
	}},
	{"senders of what waits", 0, func(ctx context.Context, db *DB, c *crowd) error {
		_, err := db.Senders(ctx, []string{"3@ch.example", "4@ch.example"})
		return err
	}},
	{"tallies", 0, func(ctx context.Context, db *DB, c *crowd) error {
		_, err := db.Counts(ctx, []string{"3@ch.example"})
		return err
	}},
}

// keptDSNs are indexes that stay for the next time, when GREFFE_BENCH_KEEP names a
// directory: a SQLite file in it, and a schema of the server of GREFFE_TEST_POSTGRES.
func keptDSNs(b *testing.B, dir string) map[string]string {
	list := map[string]string{"sqlite": filepath.Join(dir, fmt.Sprintf("many-%d.db", many(b)))}
	server := os.Getenv("GREFFE_TEST_POSTGRES")
	if server == "" {
		return list
	}
	u, err := url.Parse(server)
	if err != nil {
		b.Fatal(err)
	}
	pool, err := sql.Open("pgx", server)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	schema := fmt.Sprintf("many_%d", many(b))
	if _, err := pool.ExecContext(b.Context(), `CREATE SCHEMA IF NOT EXISTS `+schema); err != nil {
		b.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	list["postgres"] = u.String()
	return list
}

// crowded calls f with an index of each engine that holds the crowd.
func crowded(b *testing.B, f func(b *testing.B, db *DB, c *crowd)) {
	fill := func(b *testing.B, db *DB) {
		c := newCrowd(many(b))
		if empty, err := db.empty(b.Context()); err != nil {
			b.Fatal(err)
		} else if empty {
			from := time.Now()
			c.load(b, db)
			b.Logf("%d documents, loaded in %v", c.n, time.Since(from).Round(time.Second))
		}
		f(b, db, c)
	}
	dir := os.Getenv("GREFFE_BENCH_KEEP")
	if dir == "" {
		engines(b, fill)
		return
	}
	for name, dsn := range keptDSNs(b, dir) {
		b.Run(name, func(b *testing.B) { fill(b, open(b, dsn)) })
	}
}

// BenchmarkMany reads pages of 50 from many documents and gives p50 and p99, in
// milliseconds. Marks: 20 ms at p99 with a million documents. "nothing" is a query that
// reads no table: what it takes at p99 is the machine's, not the index's.
func BenchmarkMany(b *testing.B) {
	crowded(b, func(b *testing.B, db *DB, c *crowd) {
		for _, l := range looks {
			b.Run(l.name, func(b *testing.B) {
				var took []time.Duration
				for b.Loop() {
					from := time.Now()
					if err := l.run(b.Context(), db, c); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(from))
				}
				slices.Sort(took)
				b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
				p99 := took[len(took)*99/100]
				b.ReportMetric(ms(p99), "p99-ms")
				if l.mark > 0 && p99 > l.mark && len(took) > 20 {
					b.Logf("p99 of %v is over the mark of %v", p99, l.mark)
				}
			})
		}
	})
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
