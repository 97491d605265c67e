package index

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Errors about what a person asked for.
var (
	ErrCursor   = errors.New("index: not a cursor")
	ErrTooShort = errors.New("index: too little to search for") // a name of less than 2 letters, a matricule of less than 13 characters
)

// rareWord is how many messages may hold a word of the text filter for the
// search to start from the word. For a commoner one the queue is read from its
// newest message, and a page is soon full. Two common words need not stand
// together anywhere near, so that with several words the limit is higher.
const (
	rareWord    = 5_000
	rareOfWords = 50_000
)

// position is the place of a row in a list, newest first.
type position struct {
	at int64
	id string
}

func (p position) cursor() string { return strconv.FormatInt(p.at, 10) + "." + p.id }

// parseCursor reads a cursor; it comes back from a URL.
func parseCursor(s string) (position, error) {
	at, id, ok := strings.Cut(s, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || !greffe.MessageID(id).Valid() && !greffe.DocumentID(id).Valid() {
		return position{}, ErrCursor
	}
	return position{ms, id}, nil
}

func pageSize(limit int) int {
	if limit <= 0 {
		return 50
	}
	return min(limit, 200)
}

// window returns the conditions on the time and the page, for columns
// received_at and id of the table called alias.
func window(a *arguments, received, id string, from, to time.Time, before string) (string, error) {
	var b strings.Builder
	if !from.IsZero() {
		b.WriteString(" AND " + received + " >= " + a.add(from.UnixMilli()))
	}
	if !to.IsZero() {
		b.WriteString(" AND " + received + " < " + a.add(to.UnixMilli()))
	}
	if before != "" {
		p, err := parseCursor(before)
		if err != nil {
			return "", err
		}
		b.WriteString(" AND (" + received + ", " + id + ") < (" + a.add(p.at) + ", " + a.add(p.id) + ")")
	}
	return b.String(), nil
}

// newest returns a query for the ids of the newest n rows of a table for which
// one of the conditions holds. Each condition must lead into an index that ends
// with received_at and id: each is read as far as a page needs and no further,
// whatever the planner thinks of OR.
func newest(table string, conditions []string, window string, n int) string {
	parts := make([]string, len(conditions))
	for i, c := range conditions {
		parts[i] = fmt.Sprintf(`SELECT id, received_at FROM (SELECT id, received_at FROM %s WHERE %s%s ORDER BY received_at DESC, id DESC LIMIT %d) AS p%d`,
			table, c, window, n, i)
	}
	return `SELECT id, received_at FROM (` + strings.Join(parts, ` UNION ALL `) +
		fmt.Sprintf(`) AS p ORDER BY received_at DESC, id DESC LIMIT %d`, n)
}

// Messages returns a page of the queue, newest first (by the time Greffe took
// them), and the cursor of the next one ("" at the end). From is included, To
// is not. ErrCursor when f.Before is not a cursor.
func (db *DB) Messages(ctx context.Context, f MessageFilter) ([]Message, string, error) {
	list, next, err := db.queue(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("search messages: %w", err)
	}
	return list, next, nil
}

func (db *DB) queue(ctx context.Context, f MessageFilter) ([]Message, string, error) {
	n := pageSize(f.Limit)
	words := searchWords(clean(f.Text, 200))
	rare := ""
	if len(words) > 0 {
		var found bool
		var err error
		if rare, found, err = db.rarest(ctx, words); err != nil || !found {
			return nil, "", err
		}
	}
	query, a, err := queueQuery(f, words, rare, n+1)
	if err != nil {
		return nil, "", err
	}
	list, err := db.messages(ctx, query, a...)
	if err != nil || len(list) <= n {
		return list, "", err
	}
	last := list[n-1]
	return list[:n], position{millis(last.ReceivedAt), string(last.ID)}.cursor(), nil
}

// queueQuery returns the query for n rows of the queue: from the messages that hold
// the rare word, when there is one, else from the newest on.
func queueQuery(f MessageFilter, words []string, rare string, n int) (string, arguments, error) {
	var a arguments
	in, err := window(&a, "received_at", "id", f.From, f.To, f.Before)
	if err != nil {
		return "", nil, err
	}
	for _, w := range words {
		if w != rare {
			in += " AND EXISTS (SELECT 1 FROM message_words w WHERE w.message_id = messages.id AND w.word >= " +
				a.add(w) + " AND w.word < " + a.add(after(w)) + ")"
		}
	}
	var with, page string
	if rare == "" {
		page = newest("messages", queueBranches(&a, f.States, f.Mailboxes), in, n)
	} else {
		with = `WITH rare AS MATERIALIZED (SELECT DISTINCT message_id FROM message_words WHERE word >= ` + a.add(rare) +
			` AND word < ` + a.add(after(rare)) + `) `
		if len(f.States) > 0 {
			in += " AND state IN (" + marks(&a, f.States) + ")"
		}
		if len(f.Mailboxes) > 0 {
			in += " AND mailbox IN (" + marks(&a, f.Mailboxes) + ")"
		}
		// CROSS JOIN keeps SQLite from turning the join round.
		page = fmt.Sprintf(`SELECT id, received_at FROM rare CROSS JOIN messages WHERE messages.id = rare.message_id%s
			ORDER BY received_at DESC, id DESC LIMIT %d`, in, n)
	}
	return with + `SELECT ` + messageColumns + ` FROM (` + page + `) AS q CROSS JOIN messages m
		WHERE m.id = q.id ORDER BY q.received_at DESC, q.id DESC`, a, nil
}

// queueBranches returns the conditions that lead into the indexes on state and
// on mailbox and state.
func queueBranches(a *arguments, states []greffe.State, mailboxes []string) []string {
	if len(mailboxes) == 0 {
		if len(states) == 0 {
			return []string{"1 = 1"}
		}
		var list []string
		for _, s := range states {
			list = append(list, "state = "+a.add(string(s)))
		}
		return list
	}
	if len(states) == 0 {
		states = greffe.States
	}
	if len(states)*len(mailboxes) > 100 {
		// Many mailboxes of many: most rows will do, the queue is read from its end.
		return []string{"state IN (" + marks(a, states) + ") AND mailbox IN (" + marks(a, mailboxes) + ")"}
	}
	var list []string
	for _, m := range mailboxes {
		mailbox := a.add(m)
		for _, s := range states {
			list = append(list, "mailbox = "+mailbox+" AND state = "+a.add(string(s)))
		}
	}
	return list
}

// rarest returns the word that the fewest messages hold, or "" when all are
// common; false when no message can hold them all.
func (db *DB) rarest(ctx context.Context, words []string) (string, bool, error) {
	limit := rareWord
	if len(words) > 1 {
		limit = rareOfWords
	}
	best, least := "", limit+1
	for _, w := range words {
		var n int
		err := db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM message_words WHERE word >= $1 AND word < $2 LIMIT $3) AS c`,
			w, after(w), limit+1).Scan(&n)
		if err != nil {
			return "", false, err
		}
		if n == 0 {
			return "", false, nil
		}
		if n < least {
			best, least = w, n
		}
	}
	return best, true, nil
}

// Documents returns a page of documents, newest first (by the time Greffe took
// their message), and the cursor of the next one. ErrTooShort when the name or
// matricule is too short, ErrCursor when f.Before is not a cursor.
func (db *DB) Documents(ctx context.Context, f DocumentFilter) ([]Document, string, error) {
	list, next, err := db.search(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("search documents: %w", err)
	}
	return list, next, nil
}

func (db *DB) search(ctx context.Context, f DocumentFilter) ([]Document, string, error) {
	n := pageSize(f.Limit)
	query, a, err := documentQuery(f, n+1)
	if err != nil {
		return nil, "", err
	}
	list, err := db.documents(ctx, query, a...)
	if err != nil || len(list) <= n {
		return list, "", err
	}
	last := list[n-1]
	return list[:n], position{millis(last.ReceivedAt), string(last.ID)}.cursor(), nil
}

// documentQuery returns the query for the newest n documents of a search.
func documentQuery(f DocumentFilter, n int) (string, arguments, error) {
	ins := insKey(f.INS)
	words := strings.Fields(normalise(clean(f.Name, 200)))
	words = words[:min(len(words), 6)]
	if ins != "" && len(ins) < 13 || f.Name != "" && len(strings.Join(words, "")) < 2 {
		return "", nil, ErrTooShort
	}
	var a arguments
	byName := ins == "" && len(words) > 0
	id := "id"
	if byName {
		id = "document_id"
	}
	in, err := window(&a, "received_at", id, f.From, f.To, f.Before)
	if err != nil {
		return "", nil, err
	}
	narrow := in
	byMailbox := ins == "" && !byName && f.BirthDate == "" && len(f.Mailboxes) > 0
	if len(f.Mailboxes) > 0 && !byMailbox {
		narrow += " AND mailbox IN (" + marks(&a, f.Mailboxes) + ")"
	}
	if f.BirthDate != "" {
		narrow += " AND birth_date = " + a.add(clean(f.BirthDate, 8))
	}
	var page string
	switch {
	case byMailbox: // one index range for each
		var branches []string
		for _, m := range f.Mailboxes {
			branches = append(branches, "mailbox = "+a.add(m))
		}
		page = newest("documents", branches, in, n)
	case ins != "":
		to := ins
		if len(ins) == 13 {
			to = after(ins)
		}
		where := "ins >= " + a.add(ins) + " AND ins <= " + a.add(to)
		if len(words) > 0 {
			where += " AND id IN (SELECT document_id FROM (" + namesQuery(&a, words, "") + ") AS h)"
		}
		page = newest("documents", []string{where}, narrow, n)
	case byName:
		// A document is found at most twice (two family names) by each of the
		// branches: that many rows hold enough different ones.
		page = fmt.Sprintf(`SELECT DISTINCT document_id AS id, received_at FROM (SELECT document_id, received_at FROM (%s) AS h
			ORDER BY received_at DESC, document_id DESC LIMIT %d) AS p ORDER BY received_at DESC, id DESC LIMIT %d`,
			namesQuery(&a, words, narrow), 2*len(words)*(n), n)
	default:
		page = newest("documents", []string{"1 = 1"}, narrow, n)
	}
	return `WITH page AS MATERIALIZED (` + page + `) SELECT ` + documentColumns +
		` FROM page CROSS JOIN documents d CROSS JOIN messages m WHERE d.id = page.id AND m.id = d.message_id
		ORDER BY page.received_at DESC, page.id DESC`, a, nil
}

// namesQuery returns a query for the documents whose patient has a family name
// that begins with the first words, and given names that begin with the rest,
// wherever the one ends and the other starts: nobody types a comma.
func namesQuery(a *arguments, words []string, and string) string {
	var parts []string
	for k := len(words); k > 0; k-- {
		family := strings.Join(words[:k], " ")
		if len(family) < 2 {
			continue
		}
		where := "family >= " + a.add(family) + " AND family < " + a.add(after(family))
		for _, given := range words[k:] {
			// Within the range of the family name. Normalised words hold no % or _.
			where += " AND givens LIKE " + a.add("% "+given+"%")
		}
		parts = append(parts, "SELECT document_id, received_at FROM document_names WHERE "+where+and)
	}
	return strings.Join(parts, " UNION ALL ")
}

// Counts returns how many messages are in each state, in these mailboxes (nil: all).
func (db *DB) Counts(ctx context.Context, mailboxes []string) (map[greffe.State]int, error) {
	var a arguments
	where := ""
	if len(mailboxes) > 0 {
		where = " AND mailbox IN (" + marks(&a, mailboxes) + ")"
	}
	counts, _, err := db.tallies(ctx, `kind = 'message'`+where, a...)
	if err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	return counts, nil
}

// Tally returns how many messages and documents are in each state.
func (db *DB) Tally(ctx context.Context) (messages, documents map[greffe.State]int, err error) {
	messages, documents, err = db.tallies(ctx, `1 = 1`)
	if err != nil {
		return nil, nil, fmt.Errorf("count messages and documents: %w", err)
	}
	return messages, documents, nil
}

func (db *DB) tallies(ctx context.Context, where string, args ...any) (messages, documents map[greffe.State]int, err error) {
	rows, err := db.read.QueryContext(ctx, `SELECT kind, state, n FROM tallies WHERE n <> 0 AND `+where, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	messages, documents = map[greffe.State]int{}, map[greffe.State]int{}
	for rows.Next() {
		var kind string
		var state greffe.State
		var n int
		if err := rows.Scan(&kind, &state, &n); err != nil {
			return nil, nil, err
		}
		if kind == "message" {
			messages[state] += n
		} else {
			documents[state] += n
		}
	}
	return messages, documents, rows.Err()
}
