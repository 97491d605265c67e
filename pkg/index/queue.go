package index

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Messages returns a page of the queue, newest first (by the time Greffe took them), and
// the cursor to go on with, "" at the end. From is included, To is not. A page may hold
// fewer messages than f.Limit, even none, and have a cursor: no page takes long, see
// Reached. With f.After it is the page before. ErrCursor when f.Before or f.After is not a
// cursor.
func (db *DB) Messages(ctx context.Context, f MessageFilter) ([]Message, string, error) {
	list, next, err := db.queue(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("search messages: %w", err)
	}
	return list, next, nil
}

func (db *DB) queue(ctx context.Context, f MessageFilter) ([]Message, string, error) {
	for _, cursor := range []string{f.Before, f.After} {
		if _, err := parseCursor(cursor); cursor != "" && err != nil {
			return nil, "", err
		}
	}
	words := searchWords(clean(f.Text, 200))
	forms := make([][]string, len(words))
	for i, word := range words {
		var err error
		if forms[i], err = db.formsOf(ctx, word); err != nil || len(forms[i]) == 0 {
			return nil, "", err
		}
	}
	page, next, err := db.page(ctx, f.walk(words, forms))
	if err != nil || len(page) == 0 {
		return nil, next, err
	}
	ids := make([]greffe.MessageID, len(page))
	for i, p := range page {
		ids[i] = greffe.MessageID(p.id)
	}
	var a arguments
	list, err := db.messages(ctx, `SELECT `+messageColumns+` FROM messages m WHERE m.id IN (`+marks(&a, ids)+`) ORDER BY m.received_at DESC, m.id DESC`, a...)
	if err != nil {
		return nil, "", err
	}
	return list, next, db.addAnswers(ctx, list)
}

// MessagesNamed returns the messages with a Message-ID (with or without <>) that were
// taken from these places or passed to them (none: all), newest first, at most 50.
func (db *DB) MessagesNamed(ctx context.Context, name string, places []string) ([]Message, error) {
	var a arguments
	list, err := db.messages(ctx, `SELECT `+messageColumns+` FROM messages m WHERE m.header_id = `+a.add(mailID(name))+
		inEither(&a, places)+` ORDER BY m.received_at DESC, m.id DESC LIMIT 50`, a...)
	if err != nil {
		return nil, fmt.Errorf("read messages of one name: %w", err)
	}
	return list, nil
}

// mailID returns a Message-ID as its column holds it.
func mailID(s string) string { return clean(strings.Trim(s, "<> "), 1000) }

// Cursor returns the cursor of a message in the queue.
func (m *Message) Cursor() string { return position{millis(m.ReceivedAt), string(m.ID)}.cursor() }

// manyForms is how many words may begin with what was typed for the messages of each to
// be read in their order.
const manyForms = 40

// formsOf returns the words that begin like one, at most one more than manyForms.
func (db *DB) formsOf(ctx context.Context, word string) (list []string, err error) {
	rows, err := db.query(ctx, fmt.Sprintf(`WITH RECURSIVE t(w) AS (
			SELECT MIN(word) FROM message_words WHERE word >= $1 AND word < $2
			UNION ALL SELECT (SELECT MIN(word) FROM message_words WHERE word > t.w AND word < $2) FROM t WHERE t.w IS NOT NULL)
		SELECT w FROM t WHERE w IS NOT NULL LIMIT %d`, manyForms+1), word, after(word))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w string
		if err := rows.Scan(&w); err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, rows.Err()
}

// walk is the page of the queue as a walk over messages. forms are the words that begin
// like each of words.
func (f MessageFilter) walk(words []string, forms [][]string) walk {
	w := walk{table: "messages", id: "id", at: "received_at", from: f.From, to: f.To, before: f.Before, after: f.After, n: pageSize(f.Limit)}
	add := func(by string, where ...condition) {
		w.leads = append(w.leads, lead{by: by, table: w.table, id: w.id, at: w.at, ordered: true, where: where})
	}
	must := func(by string, where condition) { w.tests = append(w.tests, test{by, where}) }
	for _, c := range [][2]string{{"cause", string(f.Cause)}, {"assignee", f.Assignee}, {"sender_key", f.Sender}, {"doctype", f.Type}} {
		if c[1] != "" {
			must(c[0], equal("r."+c[0], c[1]))
		}
	}
	if f.Sender != "" {
		add("sender_key", equal("sender_key", f.Sender))
	}
	if f.Type != "" {
		add("doctype", equal("doctype", f.Type))
	}
	if standing := standings(f.States, f.Places); len(standing) > 0 {
		add("standing", standing...)
	}
	if len(apart(f.Places)) > 0 {
		must("standing", func(a *arguments) string { return strings.TrimPrefix(inPlaces(a, f.Places, messagePlace), " AND ") })
	}
	if len(f.States) > 0 {
		must("standing", func(a *arguments) string { return "r.state IN (" + marks(a, f.States) + ")" })
	}
	if !f.Due.IsZero() {
		must("due", func(a *arguments) string { return "r.later_at <= " + a.add(millis(f.Due)) })
	}
	if !f.Later.IsZero() {
		must("later", func(a *arguments) string { return "r.later_at > " + a.add(millis(f.Later)) })
	}
	if f.FollowUp {
		w.leads = append(w.leads, lead{by: "answers", table: "answers", id: "message_id", where: []condition{func(*arguments) string { return followed }}})
		must("answers", func(*arguments) string {
			return "EXISTS (SELECT 1 FROM answers x WHERE x.message_id = r.id AND x." + followed + ")"
		})
	}
	for i, word := range words {
		by := fmt.Sprint("word ", i)
		l := lead{by: by, table: "message_words", id: "message_id", at: w.at, where: []condition{func(a *arguments) string { return begins(a, "word", word) }}}
		if len(forms[i]) <= manyForms {
			l.ordered, l.where = true, nil
			for _, form := range forms[i] {
				l.where = append(l.where, equal("word", form))
			}
		}
		w.leads = append(w.leads, l)
		must(by, func(a *arguments) string {
			return "(SELECT COUNT(*) FROM message_words x WHERE x.message_id = r.id AND " + begins(a, "x.word", word) + ") > 0" // as in a search
		})
	}
	return w
}

// Facet is what the queue is filtered by of one message.
type Facet struct {
	message Message
	doctype string
	words   []string
}

// FacetOf returns the facet of a message as it is now.
func FacetOf(d *Detail) Facet {
	f := Facet{message: d.Message}
	if d.Parsed != nil {
		f.doctype, _ = doctype(d.Parsed)
		f.words = messageWords(d.Parsed)
	}
	f.message.Documents = nil // nothing asks for them
	return f
}

// Keeps reports whether the filter, whatever its page, keeps a message, as Messages does.
func (f MessageFilter) Keeps(x Facet) bool {
	m := &x.message
	for _, word := range searchWords(clean(f.Text, 200)) {
		if !slices.ContainsFunc(x.words, func(w string) bool { return strings.HasPrefix(w, word) }) {
			return false
		}
	}
	follow := slices.ContainsFunc(m.Answers, func(a greffe.Answer) bool { return a.State == greffe.AnswerAsked || a.State == greffe.AnswerFailed })
	return Within(f.Places, m.Queue) && (len(f.States) == 0 || slices.Contains(f.States, m.State)) && (!f.FollowUp || follow) &&
		(f.Cause == "" || f.Cause == m.Cause) && (f.Type == "" || f.Type == x.doctype) && (f.Sender == "" || f.Sender == m.Sender) &&
		(f.Assignee == "" || f.Assignee == m.Assignee) && (f.Due.IsZero() || !m.Later.After(f.Due)) && (f.Later.IsZero() || m.Later.After(f.Later)) &&
		(f.From.IsZero() || !m.ReceivedAt.Before(f.From)) && (f.To.IsZero() || m.ReceivedAt.Before(f.To))
}

// followed is the condition of the index on answers that a person looks after.
const followed = `state IN ('asked', 'failed')`

// begins is the condition that a column begins with a text.
func begins(a *arguments, column, text string) string {
	return column + " >= " + a.add(text) + " AND " + column + " < " + a.add(after(text))
}

// standings returns the conditions that lead into the indexes on state and on place and
// state; none for no states and places, or for so many that most rows will do.
func standings(states []greffe.State, places []string) (list []condition) {
	places = apart(places)
	if len(places) == 0 {
		for _, s := range states {
			list = append(list, equal("state", string(s)))
		}
		return list
	}
	if len(states) == 0 {
		states = greffe.States
	}
	if len(states)*len(places) > 100 {
		return nil
	}
	for _, p := range places {
		for _, s := range states {
			list = append(list, func(a *arguments) string {
				return placeConditions(a, []string{p}, messagePlace)[0] + " AND state = " + a.add(string(s))
			})
		}
	}
	return list
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
	N     int
}

// Senders returns the senders of what waits for a person in these queues, those with
// the most messages first, at most 100.
func (db *DB) Senders(ctx context.Context, places []string) ([]Choice, error) {
	var a arguments
	where := waiting + inPlaces(&a, places, messagePlace)
	return db.choices(ctx, `SELECT sender_key, MIN(sender), COUNT(*) FROM messages WHERE `+where+` AND sender_key <> '' GROUP BY sender_key ORDER BY 3 DESC, 2 LIMIT 100`, a...)
}

// Types returns the types of document that were received, by name, at most 300.
func (db *DB) Types(ctx context.Context) ([]Choice, error) {
	return db.choices(ctx, `SELECT code, label, 0 FROM doctypes ORDER BY label, code LIMIT 300`)
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
		if err := rows.Scan(&c.Key, &c.Label, &c.N); err != nil {
			return nil, fmt.Errorf("read choices: %w", err)
		}
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read choices: %w", err)
	}
	return list, nil
}
