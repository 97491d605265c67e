package index

import (
	"context"
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// rareWord is how many messages may hold a word of the text filter for the
// search to start from the word. For a commoner one the queue is read from its
// newest message, and a page is soon full. Two common words need not stand
// together anywhere near, so that with several words the limit is higher.
const (
	rareWord    = 5_000
	rareOfWords = 50_000
)

// fewInState is how many messages may be in the states of a filter for the queue to be
// read through its states; with more of them it is read through the sender or the type
// that is asked for.
const fewInState = 20_000

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
	many := true
	if f.leads() && len(f.States) > 0 {
		counts, err := db.Counts(ctx, f.Places)
		if err != nil {
			return nil, "", err
		}
		total := 0
		for _, s := range f.States {
			total += counts[s]
		}
		many = total > fewInState
	}
	query, a, err := queueQuery(f, words, rare, many, n+1)
	if err != nil {
		return nil, "", err
	}
	list, err := db.messages(ctx, query, a...)
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(list) > n {
		next = position{millis(list[n-1].ReceivedAt), string(list[n-1].ID)}.cursor()
		list = list[:n]
	}
	return list, next, db.addAnswers(ctx, list)
}

// leads reports whether the filter names something that has an index of its own.
func (f MessageFilter) leads() bool { return f.Sender != "" || f.Type != "" }

// queueQuery returns the query for n rows of the queue: from the messages that hold
// the rare word, when there is one, or whose answers a person has to look after, else
// from the newest on. many: so many messages are
// in the states of f that another of its conditions has to lead.
func queueQuery(f MessageFilter, words []string, rare string, many bool, n int) (string, arguments, error) {
	var a arguments
	in, err := window(&a, "received_at", "id", f.From, f.To, f.Before)
	if err != nil {
		return "", nil, err
	}
	for _, w := range words {
		if w != rare || f.FollowUp {
			in += " AND EXISTS (SELECT 1 FROM message_words w WHERE w.message_id = messages.id AND w.word >= " +
				a.add(w) + " AND w.word < " + a.add(after(w)) + ")"
		}
	}
	in += f.narrow(&a)
	var with, page string
	switch {
	case rare != "", f.FollowUp:
		from := `answers WHERE state IN ('asked', 'failed')`
		if !f.FollowUp {
			from = `message_words WHERE word >= ` + a.add(rare) + ` AND word < ` + a.add(after(rare))
		}
		with = `WITH rare AS MATERIALIZED (SELECT DISTINCT message_id FROM ` + from + `) `
		in += f.lead(&a) + f.where(&a)
		// CROSS JOIN keeps SQLite from turning the join round.
		page = fmt.Sprintf(`SELECT id, received_at FROM rare CROSS JOIN messages WHERE messages.id = rare.message_id%s
			ORDER BY received_at DESC, id DESC LIMIT %d`, in, n)
	case f.leads() && many:
		in += f.hidden(&a)
		page = newest("messages", []string{strings.TrimPrefix(f.lead(&a), " AND ")}, in, n)
	default:
		in += f.lead(&a)
		page = newest("messages", queueBranches(&a, f.States, f.Places), in, n)
	}
	return with + `SELECT ` + messageColumns + ` FROM (` + page + `) AS q CROSS JOIN messages m
		WHERE m.id = q.id ORDER BY q.received_at DESC, q.id DESC`, a, nil
}

// lead returns the conditions that lead into an index of their own.
func (f MessageFilter) lead(a *arguments) string {
	var b strings.Builder
	if f.Sender != "" {
		b.WriteString(" AND sender_key = " + a.add(f.Sender))
	}
	if f.Type != "" {
		b.WriteString(" AND doctype = " + a.add(f.Type))
	}
	return b.String()
}

// where returns the conditions on state and place.
func (f MessageFilter) where(a *arguments) string {
	where := ""
	if len(f.States) > 0 {
		where += " AND state IN (" + marks(a, f.States) + ")"
	}
	return where + inPlaces(a, f.Places, messagePlace)
}

// hidden is where, written so that no index on state and place is led into by it.
func (f MessageFilter) hidden(a *arguments) string {
	where := ""
	if len(f.States) > 0 {
		where += " AND (state || '') IN (" + marks(a, f.States) + ")"
	}
	return where + inPlaces(a, f.Places, hiddenPlace)
}

// narrow returns the conditions that lead nowhere.
func (f MessageFilter) narrow(a *arguments) string {
	where := ""
	if f.Cause != "" {
		where += " AND cause = " + a.add(string(f.Cause))
	}
	if f.Assignee != "" {
		where += " AND assignee = " + a.add(f.Assignee)
	}
	if !f.Due.IsZero() {
		where += " AND later_at <= " + a.add(millis(f.Due))
	}
	if !f.Later.IsZero() {
		where += " AND later_at > " + a.add(millis(f.Later))
	}
	return where
}

// queueBranches returns the conditions that lead into the indexes on state and on
// place and state.
func queueBranches(a *arguments, states []greffe.State, places []string) []string {
	places = apart(places)
	if len(places) == 0 {
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
	if len(states)*len(places) > 100 {
		// Many mailboxes of many: most rows will do, the queue is read from its end.
		return []string{"state IN (" + marks(a, states) + ")" + inPlaces(a, places, messagePlace)}
	}
	var list []string
	for _, place := range placeConditions(a, places, messagePlace) {
		for _, s := range states {
			list = append(list, place+" AND state = "+a.add(string(s)))
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

// Counts returns how many messages of the places (none: all) are in each state.
func (db *DB) Counts(ctx context.Context, places []string) (map[greffe.State]int, error) {
	// Whole mailboxes are counted with each change, folders are not.
	var whole, parts []string
	for _, p := range apart(places) {
		if _, folder := SplitPlace(p); folder == "" {
			whole = append(whole, p)
		} else {
			parts = append(parts, p)
		}
	}
	counts := map[greffe.State]int{}
	if len(whole) > 0 || len(parts) == 0 {
		var a arguments
		in := inPlaces(&a, whole, tally)
		var err error
		if counts, _, err = db.tallies(ctx, `kind = 'message'`+in, a...); err != nil {
			return nil, fmt.Errorf("count messages: %w", err)
		}
	}
	if len(parts) > 0 {
		if err := db.countFolders(ctx, parts, counts); err != nil {
			return nil, fmt.Errorf("count messages: %w", err)
		}
	}
	return counts, nil
}

// countFolders adds the messages of the folders to counts.
func (db *DB) countFolders(ctx context.Context, folders []string, counts map[greffe.State]int) error {
	var a arguments
	var list []string
	for _, place := range placeConditions(&a, folders, messagePlace) {
		list = append(list, `SELECT state, COUNT(*) AS n FROM messages WHERE `+place+` GROUP BY state`)
	}
	rows, err := db.query(ctx, strings.Join(list, ` UNION ALL `), a...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var state string
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return err
		}
		counts[greffe.State(state)] += n
	}
	return rows.Err()
}

// waiting is the condition of the indexes on what waits for a person.
const waiting = `state IN ('à traiter', 'refusé par le DI', 'incident')`

// Waiting is what waits for a person.
type Waiting struct {
	Causes map[greffe.State]map[greffe.Cause]int // due now
	Later  int                                   // put off to a day that has not come
	Mine   int                                   // due now, passed to the one who asks
}

// Of returns how many wait in these states for a cause.
func (w Waiting) Of(cause greffe.Cause, states ...greffe.State) int {
	n := 0
	for _, s := range states {
		n += w.Causes[s][cause]
	}
	return n
}

// Waiting counts what waits for a person in the queues of these places (none: all) at a
// moment; login is who asks.
func (db *DB) Waiting(ctx context.Context, places []string, login string, at time.Time) (Waiting, error) {
	w := Waiting{Causes: map[greffe.State]map[greffe.Cause]int{}}
	var a arguments
	now, me := a.add(millis(at)), a.add(login)
	where := waiting + inPlaces(&a, places, messagePlace)
	rows, err := db.query(ctx, `SELECT state, cause, CASE WHEN later_at > `+now+` THEN 1 ELSE 0 END, CASE WHEN assignee = `+me+` AND assignee <> '' THEN 1 ELSE 0 END, COUNT(*)
		FROM messages WHERE `+where+` GROUP BY 1, 2, 3, 4`, a...)
	if err != nil {
		return w, fmt.Errorf("count what waits: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var state greffe.State
		var cause greffe.Cause
		var later, mine, n int
		if err := rows.Scan(&state, &cause, &later, &mine, &n); err != nil {
			return w, fmt.Errorf("count what waits: %w", err)
		}
		if later > 0 {
			w.Later += n
			continue
		}
		if w.Causes[state] == nil {
			w.Causes[state] = map[greffe.Cause]int{}
		}
		w.Causes[state][cause] += n
		if mine > 0 {
			w.Mine += n
		}
	}
	if err := rows.Err(); err != nil {
		return w, fmt.Errorf("count what waits: %w", err)
	}
	return w, nil
}

// Choice is one value that the queue can be filtered by.
type Choice struct {
	Key   string
	Label string
	Of    string // mailbox of a folder
	N     int
}

// Senders returns the senders of what waits for a person in these queues, those with
// the most messages first, at most 100.
func (db *DB) Senders(ctx context.Context, places []string) ([]Choice, error) {
	var a arguments
	where := waiting + inPlaces(&a, places, messagePlace)
	return db.choices(ctx, `SELECT sender_key, MIN(sender), '', COUNT(*) FROM messages WHERE `+where+` AND sender_key <> '' GROUP BY sender_key ORDER BY 4 DESC, 2 LIMIT 100`, a...)
}

// Types returns the types of document that were received, by name, at most 300.
func (db *DB) Types(ctx context.Context) ([]Choice, error) {
	return db.choices(ctx, `SELECT code, label, '', 0 FROM doctypes ORDER BY label, code LIMIT 300`)
}

// Folders returns the folders that were compared with their server, at most 500.
func (db *DB) Folders(ctx context.Context) ([]Choice, error) {
	return db.choices(ctx, `SELECT mailbox || '/' || folder, folder, mailbox, 0 FROM compared ORDER BY mailbox, folder LIMIT 500`)
}

func (db *DB) choices(ctx context.Context, query string, args ...any) ([]Choice, error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read choices: %w", err)
	}
	defer rows.Close()
	var list []Choice
	for rows.Next() {
		var c Choice
		if err := rows.Scan(&c.Key, &c.Label, &c.Of, &c.N); err != nil {
			return nil, fmt.Errorf("read choices: %w", err)
		}
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read choices: %w", err)
	}
	return list, nil
}
