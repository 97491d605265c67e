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
	words := strings.Fields(normalise(clean(f.Name, 200)))
	parts := nameParts(words[:min(len(words), 6)])
	if ins := insKey(f.INS); ins != "" && len(ins) < 13 || f.Name != "" && len(parts) == 0 {
		return nil, "", ErrTooShort
	}
	if insKey(f.INS) == "" && f.BirthDate == "" {
		if err := db.weigh(ctx, f, parts); err != nil {
			return nil, "", err
		}
	}
	query, a, err := documentQuery(f, parts, n+1)
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
func documentQuery(f DocumentFilter, parts []namePart, n int) (string, arguments, error) {
	var a arguments
	var page string
	ins := insKey(f.INS)
	switch {
	case ins == "" && len(parts) > 0:
		narrow, err := narrowed(&a, f, "document_id")
		if err != nil {
			return "", nil, err
		}
		// A document is found at most twice (two family names) by each part: that many
		// rows hold enough different ones.
		page = fmt.Sprintf(`SELECT DISTINCT document_id AS id, received_at FROM (%s) AS p ORDER BY received_at DESC, id DESC LIMIT %d`,
			namesQuery(&a, parts, narrow, 2*n), n)
	case ins == "" && f.BirthDate == "" && len(apart(f.Places)) > 0: // one index range for each mailbox
		in, err := window(&a, "received_at", "id", f.From, f.To, f.Before)
		if err != nil {
			return "", nil, err
		}
		page = newest("documents", placeConditions(&a, f.Places, documentPlace), in, n)
	default:
		narrow, err := narrowed(&a, f, "id")
		if err != nil {
			return "", nil, err
		}
		where := "1 = 1"
		switch {
		case len(ins) == 13: // without its key
			where = "ins >= " + a.add(ins) + " AND ins < " + a.add(after(ins))
		case ins != "":
			where = "ins = " + a.add(ins)
		}
		if ins != "" && len(parts) > 0 {
			where += " AND id IN (SELECT document_id FROM (" + namesQuery(&a, parts, "", 0) + ") AS h)"
		}
		page = newest("documents", []string{where}, narrow, n)
	}
	return `WITH page AS MATERIALIZED (` + page + `) SELECT ` + documentColumns +
		` FROM page CROSS JOIN documents d CROSS JOIN messages m WHERE d.id = page.id AND m.id = d.message_id
		ORDER BY page.received_at DESC, page.id DESC`, a, nil
}

// namePart is one way to read the words of a name: the first are the beginning of a
// family name, the rest those of given names. Nobody types a comma.
type namePart struct {
	family string
	givens []string
	common bool // so many are called so that the newest are found faster from the newest on
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

// where returns the conditions of a part. Of a common one they lead into no index on
// names, whatever the planner thinks: the rows are then walked from the newest.
func (p namePart) where(a *arguments) string {
	column := "family"
	if p.common {
		column = "(family || '')"
	}
	where := column + " >= " + a.add(p.family) + " AND " + column + " < " + a.add(after(p.family))
	for _, given := range p.givens {
		// Within the range of the family name. Normalised words hold no % or _.
		where += " AND givens LIKE " + a.add("% "+given+"%")
	}
	return where
}

// namesQuery returns a query for the documents that some part finds, with their time,
// and for each part at most the newest n (0: all).
func namesQuery(a *arguments, parts []namePart, and string, n int) string {
	list := make([]string, len(parts))
	for i, p := range parts {
		list[i] = "SELECT document_id, received_at FROM document_names WHERE " + p.where(a) + and
		if n > 0 {
			list[i] = fmt.Sprintf("SELECT document_id, received_at FROM (%s ORDER BY received_at DESC, document_id DESC LIMIT %d) AS n%d", list[i], n, i)
		}
	}
	return strings.Join(list, " UNION ALL ")
}

// commonName is how many documents a name must find to be common. Sorting that many
// takes some milliseconds, as does walking past the others until a page is full.
const commonName = 4_000

// weigh finds out which parts of a search by name are common.
func (db *DB) weigh(ctx context.Context, f DocumentFilter, parts []namePart) error {
	for i := range parts {
		var a arguments
		and, err := narrowed(&a, f, "document_id")
		if err != nil {
			return err
		}
		var n int
		err = db.read.QueryRowContext(ctx, fmt.Sprintf(`SELECT COUNT(*) FROM (SELECT 1 FROM document_names WHERE %s%s LIMIT %d) AS c`,
			parts[i].where(&a), and, commonName+1), a...).Scan(&n)
		if err != nil {
			return err
		}
		parts[i].common = n > commonName
	}
	return nil
}

// narrowed returns the conditions of a search other than who the patient is.
func narrowed(a *arguments, f DocumentFilter, id string) (string, error) {
	narrow, err := window(a, "received_at", id, f.From, f.To, f.Before)
	if err != nil {
		return "", err
	}
	place := documentPlace
	if id == "document_id" {
		place = namePlace
	}
	narrow += inPlaces(a, f.Places, place)
	if f.BirthDate != "" {
		narrow += " AND birth_date = " + a.add(clean(f.BirthDate, 8))
	}
	return narrow, nil
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
