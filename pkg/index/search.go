package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// Documents returns a page of documents, newest first (by the time Greffe took their
// message; by the day of the document or the time of archiving where the search is for
// a range of these), and the cursor to go on with, "" at the end. A page may hold fewer
// documents than f.Limit, even none, and have a cursor: no page takes long, see Reached.
// With f.After it is the page before, and the cursor goes on in that direction.
// ErrTooShort when the name or matricule is too short, ErrCursor when f.Before or f.After
// is not a cursor.
func (db *DB) Documents(ctx context.Context, f DocumentFilter) ([]Document, string, error) {
	list, next, err := db.search(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("search documents: %w", err)
	}
	return list, next, nil
}

// Reached returns how far back a list was looked through that goes on at a cursor.
func Reached(cursor string) (time.Time, bool) {
	p, err := parseCursor(cursor)
	return moment(p.at), err == nil
}

// Cursor returns the cursor of a document that the search found: the page after it goes
// on from there, and the page before it ends there.
func (f DocumentFilter) Cursor(d *Document) string {
	at := millis(d.ReceivedAt)
	switch f.order() {
	case "dated_at":
		at = millis(dayOf(d.Facts.Created))
	case "archived_at":
		at = millis(d.ArchivedAt)
	}
	return position{at, string(d.ID)}.cursor()
}

// order is the column of document_keys in whose order a search gives its documents.
func (f DocumentFilter) order() string {
	switch {
	case !f.From.IsZero() || !f.To.IsZero():
	case !f.DatedFrom.IsZero() || !f.DatedTo.IsZero():
		return "dated_at"
	case !f.ArchivedFrom.IsZero() || !f.ArchivedTo.IsZero():
		return "archived_at"
	}
	return "received_at"
}

func (db *DB) search(ctx context.Context, f DocumentFilter) ([]Document, string, error) {
	words := strings.Fields(normalise(clean(f.Name, 200)))
	parts := nameParts(words[:min(len(words), 6)])
	if ins := insKey(f.INS); ins != "" && len(ins) < 13 || f.Name != "" && len(parts) == 0 {
		return nil, "", ErrTooShort
	}
	senders, found, err := db.sendersOf(ctx, f.Sender)
	if err != nil || !found {
		return nil, "", err
	}
	w := f.walk(parts, senders)
	for _, cursor := range []string{f.Before, f.After} {
		if _, err := parseCursor(cursor); cursor != "" && err != nil {
			return nil, "", err
		}
	}
	page, next, err := db.page(ctx, w)
	if err != nil || len(page) == 0 {
		return nil, next, err
	}
	ids := make([]greffe.DocumentID, len(page))
	place := make(map[greffe.DocumentID]int, len(page))
	for i, p := range page {
		ids[i] = greffe.DocumentID(p.id)
		place[ids[i]] = i
	}
	var a arguments
	list, err := db.documents(ctx, `SELECT `+documentColumns+fromDocuments+`WHERE d.id IN (`+marks(&a, ids)+`)`, a...)
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(list, func(a, b Document) int { return cmp.Compare(place[a.ID], place[b.ID]) })
	return list, next, nil
}

// manySenders is how many senders a text may find for each to be looked up by itself.
const manySenders = 20

// sendersOf returns the keys of the senders whose name or address holds words that begin
// like those of a text, none when these are many; false when there is no such sender.
func (db *DB) sendersOf(ctx context.Context, text string) (keys []string, found bool, err error) {
	if text == "" {
		return nil, true, nil
	}
	var a arguments
	rows, err := db.query(ctx, `SELECT DISTINCT sender_key FROM sender_words s WHERE `+strings.TrimPrefix(sentBy(&a, text, "s.sender_key"), " AND ")+
		fmt.Sprintf(` LIMIT %d`, manySenders+1), a...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, false, err
		}
		keys = append(keys, key)
	}
	found = len(keys) > 0
	if len(keys) > manySenders {
		keys = nil
	}
	return keys, found, rows.Err()
}

// sentBy returns the conditions that a sender has words that begin like those of a text.
func sentBy(a *arguments, text, column string) string {
	words := searchWords(clean(text, 200))
	where := ""
	for _, word := range words[:min(len(words), 6)] {
		where += " AND " + column + " IN (SELECT sender_key FROM sender_words WHERE " + begins(a, "word", word) + ")"
	}
	if where == "" {
		where = " AND 1 = 0"
	}
	return where
}

// equal is the condition that a column has a value.
func equal(column, value string) condition {
	return func(a *arguments) string { return column + " = " + a.add(value) }
}

// walk is the search as a walk over document_keys. senders are the keys of those that
// f.Sender finds, when they are few.
func (f DocumentFilter) walk(parts []namePart, senders []string) walk {
	by := f.order()
	w := walk{table: "document_keys", id: "document_id", at: by, before: f.Before, after: f.After, n: pageSize(f.Limit)}
	ranges := map[string][2]time.Time{"received_at": {f.From, f.To}, "dated_at": {f.DatedFrom, f.DatedTo}, "archived_at": {f.ArchivedFrom, f.ArchivedTo}}
	w.from, w.to = ranges[by][0], ranges[by][1]
	ins, birth := insKey(f.INS), clean(f.BirthDate, 8)

	add := func(by, table, id string, where ...condition) {
		l := lead{by: by, table: table, id: id, where: where}
		if by := w.at; by == "received_at" {
			l.at, l.ordered = by, true
		}
		w.leads = append(w.leads, l)
	}
	same := func(column, value string) {
		if value != "" {
			w.tests = append(w.tests, test{column, equal("r."+column, value)})
			add(column, w.table, w.id, equal(column, value))
		}
	}
	there := func(by, table, key string, where condition) {
		w.tests = append(w.tests, test{by, func(a *arguments) string {
			// A count, where EXISTS would say the same: PostgreSQL may read all the rows of
			// an EXISTS first, and these are looked up for few.
			return "(SELECT COUNT(*) FROM " + table + " x WHERE x." + key + " = r.document_id AND " + where(a) + ") > 0"
		}})
	}
	if where := inEither(new(arguments), f.Places); where != "" {
		w.tests = append(w.tests, test{"place", func(a *arguments) string { return strings.TrimPrefix(inEither(a, f.Places), " AND ") }})
	}
	same("state", string(f.State))
	same("doctype", clean(f.Type, 60))
	same("format", string(f.Format))
	if f.Sender != "" {
		where := func(a *arguments) string { return strings.TrimPrefix(sentBy(a, f.Sender, "r.sender_key"), " AND ") }
		if len(senders) > 0 {
			where = func(a *arguments) string { return "r.sender_key IN (" + marks(a, senders) + ")" }
			each := make([]condition, len(senders))
			for i, s := range senders {
				each[i] = equal("sender_key", s)
			}
			add("sender", w.table, w.id, each...)
		}
		w.tests = append(w.tests, test{"sender", where})
	}
	for _, column := range []string{"received_at", "dated_at", "archived_at"} {
		if between := ranges[column]; column != by && (!between[0].IsZero() || !between[1].IsZero()) {
			w.tests = append(w.tests, test{column, func(a *arguments) string {
				in, _ := window(a, "r."+column, "", between[0], between[1], "") // fails for a cursor only
				return strings.TrimPrefix(in, " AND ")
			}})
		}
	}
	if boxes := mailboxesOf(f.Places); len(boxes) > 0 && len(boxes) <= 4 {
		by := "place"
		if !slices.Equal(boxes, apart(f.Places)) {
			by = "mailbox" // and the folder is still to be looked at
		}
		var each []condition
		for _, m := range boxes {
			each = append(each, equal("mailbox", m), func(a *arguments) string { return "desk = " + a.add(m) + " AND desk <> mailbox" })
		}
		add(by, w.table, w.id, each...)
	}
	if ins != "" {
		where := equal("ins", ins)
		if len(ins) == 13 { // without its key
			where = func(a *arguments) string { return begins(a, "ins", ins) }
		}
		there("ins", "documents", "id", where)
		add("ins", "documents", "id", where)
		l := &w.leads[len(w.leads)-1]
		l.ordered = l.ordered && len(ins) > 13
	}
	if name := mailID(f.MessageID); name != "" {
		where := func(a *arguments) string {
			return "message_id IN (SELECT m.id FROM messages m WHERE m.header_id = " + a.add(name) + ")"
		}
		there("message-id", "documents", "id", where)
		w.leads = append(w.leads, lead{by: "message-id", table: "documents", id: "id", where: []condition{where}})
	}
	if birth != "" && len(parts) == 0 {
		there("birth", "documents", "id", equal("birth_date", birth))
		add("birth", "documents", "id", equal("birth_date", birth))
	}
	if len(parts) > 0 {
		// The birth date goes with the name: a document has those of its own patient and
		// those of whom a person chose.
		for i := range parts {
			parts[i].birth = birth
		}
		there("name", "document_names", "document_id", func(a *arguments) string { return anyOf(a, parts) })
		names := lead{by: "name", table: "document_names", id: "document_id", sift: func(a *arguments) string { return f.near(a) }}
		for _, p := range parts {
			names.where = append(names.where, p.where)
		}
		if by == "received_at" {
			names.at = by
		}
		w.leads = append(w.leads, names)
		if by == "received_at" { // so many are called so that the newest are found faster from the newest on
			names.ordered, names.last, names.where = true, true, []condition{anything}
			names.sift = func(a *arguments) string { return anyOf(a, parts) + " AND " + f.near(a) }
			w.leads = append(w.leads, names)
		}
	}
	return w
}

// mailboxesOf returns the mailboxes of places, each once; none for everywhere.
func mailboxesOf(places []string) (list []string) {
	for _, p := range apart(places) {
		if mailbox, _ := SplitPlace(p); !slices.Contains(list, mailbox) {
			list = append(list, mailbox)
		}
	}
	return list
}

// near returns the condition that a row of document_names is of the mailboxes of a search.
func (f DocumentFilter) near(a *arguments) string {
	boxes := mailboxesOf(f.Places)
	if len(boxes) == 0 {
		return "1 = 1"
	}
	return "(mailbox IN (" + marks(a, boxes) + ") OR desk IN (" + marks(a, boxes) + "))"
}

// anyOf returns the condition that a name can be read in one of the ways.
func anyOf(a *arguments, parts []namePart) string {
	list := make([]string, len(parts))
	for i, p := range parts {
		list[i] = "(" + p.where(a) + ")"
	}
	return "(" + strings.Join(list, " OR ") + ")"
}

// namePart is one way to read the words of a name: the first are the beginning of a
// family name, the rest those of given names. Nobody types a comma.
type namePart struct {
	family string
	givens []string
	birth  string // YYYYMMDD; "" for any
}

// nameParts returns each way to read the words.
func nameParts(words []string) (parts []namePart) {
	for k := len(words); k > 0; k-- {
		if family := strings.Join(words[:k], " "); len(family) >= 2 {
			parts = append(parts, namePart{family: family, givens: words[k:]})
		}
	}
	return parts
}

// where returns the conditions of a part.
func (p namePart) where(a *arguments) string {
	where := begins(a, "family", p.family)
	for _, given := range p.givens {
		// Within the range of the family name. Normalised words hold no % or _.
		where += " AND givens LIKE " + a.add("% "+given+"%")
	}
	if p.birth != "" {
		where += " AND birth_date = " + a.add(p.birth)
	}
	return where
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
