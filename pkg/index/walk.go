package index

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A page of a list is read through the one of its conditions that the fewest rows
// fulfil, its lead; the others are tried on each row that the lead gives, newest first,
// until the page is full. Two conditions can each be common and never come together: so
// that no page takes long, a walk ends after so many rows, and the page goes on from
// there. It then holds fewer rows than were asked for, perhaps none, and is not the last.
type reach struct {
	few  int // a lead with no more rows is read whole
	far  int // rows of a lead that one page is looked for in
	scan int // rows that are tried on nothing but the index of the lead
}

var defaultReach = reach{2_000, 5_000, 8_000}

// condition is part of a query: it notes its values and returns what goes after WHERE.
type condition func(a *arguments) string

// test is a condition on a row called r. A lead of the same name fulfils it.
type test struct {
	by    string
	where condition
}

// walk is one page of a table in the order of a column of time.
type walk struct {
	table, id, at string // id is unique, at is in milliseconds
	from, to      time.Time
	before, after string // cursors; with after the page is read from its other end
	n             int
	tests         []test // every condition but the time
	leads         []lead // of them; none: the table is read from its end
}

// lead is one condition that an index answers.
type lead struct {
	by        string
	table, id string
	at        string      // the column of the walk's time there; "" when there is none
	ordered   bool        // the rows of each condition can be read in the order of at and id
	where     []condition // the rows for which one of them holds
	sift      condition   // and this one, which is tried on the rows of the index; nil: none
	last      bool        // is for when no other will do
}

// page reads a page, newest first. goOn is the cursor to go on with in the direction of
// the walk, "" at its end.
func (db *DB) page(ctx context.Context, w walk) (list []position, goOn string, err error) {
	l, few, err := db.choose(ctx, w)
	if err != nil {
		return nil, "", err
	}
	steps := []reach{{far: 4 * (w.n + 1), scan: 20 * (w.n + 1)}, db.reach}
	if few {
		steps = []reach{{far: 4 * (w.n + 1), scan: db.reach.scan}, {far: (2*db.reach.few + 1) * len(l.where), scan: db.reach.scan}} // none is cut
		if l.at == "" {
			steps = steps[1:]
		}
	}
	for _, r := range steps {
		if list, err = db.rows(ctx, w, l, r); err != nil {
			return nil, "", err
		}
		if len(list) > w.n {
			break
		}
	}
	if len(list) > w.n {
		list = list[:w.n]
		goOn = list[w.n-1].cursor()
	} else if !few {
		end, truncated, err := db.horizon(ctx, w, l, db.reach)
		if err != nil {
			return nil, "", err
		}
		if truncated {
			// What is beyond may have rows before it that were not seen.
			list = slices.DeleteFunc(list, func(p position) bool { return w.beyond(p, end) })
			goOn = end.cursor()
		}
	}
	if w.after != "" {
		slices.Reverse(list)
	}
	return list, goOn, nil
}

// beyond reports whether p comes after end in the direction of the walk.
func (w walk) beyond(p, end position) bool {
	if w.after != "" {
		p, end = end, p
	}
	return p.at < end.at || p.at == end.at && p.id < end.id
}

// order is the direction of the walk.
func (w walk) order(at, id string) string {
	if w.after != "" {
		return " ORDER BY " + at + ", " + id
	}
	return " ORDER BY " + at + " DESC, " + id + " DESC"
}

// window returns the conditions on the time and the page.
func (w walk) window(a *arguments, at, id string) (string, error) {
	if w.after == "" {
		return window(a, at, id, w.from, w.to, w.before)
	}
	in, err := window(a, at, id, w.from, w.to, "")
	if err != nil {
		return "", err
	}
	p, err := parseCursor(w.after)
	return in + " AND (" + at + ", " + id + ") > (" + a.add(p.at) + ", " + a.add(p.id) + ")", err
}

// every is the lead of a walk without one: the table from its end.
func (w walk) every() lead {
	return lead{table: w.table, id: w.id, at: w.at, ordered: true, where: []condition{anything}}
}

func anything(*arguments) string { return "1 = 1" }

// choose returns the lead with the fewest rows; few says that it has few. Of leads with
// many, that can be read in order, it is the one whose newest rows reach farthest back.
func (db *DB) choose(ctx context.Context, w walk) (best lead, few bool, err error) {
	best = w.every()
	if len(w.leads) == 0 {
		return best, false, nil
	}
	if len(w.leads) == 1 && w.leads[0].ordered {
		return w.leads[0], false, nil
	}
	fewest, thinnest := 0, 0.0
	for _, l := range w.leads {
		if l.last {
			if !few && thinnest == 0 {
				best = l
			}
			continue
		}
		n, density, whole, err := db.probe(ctx, w, l)
		switch {
		case err != nil:
			return best, false, err
		case whole && (!few || n < fewest):
			best, fewest, few = l, n, true
		case !few && l.ordered && (thinnest == 0 || density < thinnest):
			best, thinnest = l, density
		}
	}
	return best, few, nil
}

// probe returns how many rows a lead has and whether these are few; and of an ordered one
// how many of the next there are in a millisecond.
func (db *DB) probe(ctx context.Context, w walk, l lead) (n int, density float64, few bool, err error) {
	var a arguments
	limit, most, sift := db.reach.few+1, db.reach.few, "1 = 1"
	if l.sift != nil { // most rows are told apart without another look
		most *= 2
		limit, sift = db.reach.scan/len(l.where)+1, l.sift(&a)
	}
	var parts []string
	for i, condition := range l.where {
		where, at, order := condition(&a), "0", ""
		if l.at != "" {
			in, err := w.window(&a, l.at, l.id)
			if err != nil {
				return 0, 0, false, err
			}
			where, at = where+in, l.at
		}
		if l.ordered {
			order = w.order(l.at, l.id)
		}
		columns := at + " AS at"
		if l.sift != nil {
			columns, at = "*", l.at
			if at == "" {
				at = "0"
			}
		} else {
			at = "at"
		}
		parts = append(parts, fmt.Sprintf(`SELECT COUNT(*) AS n, COALESCE(SUM(CASE WHEN %s THEN 1 ELSE 0 END), 0) AS hits, COALESCE(MIN(%s), 0) AS lo, COALESCE(MAX(%s), 0) AS hi FROM (SELECT %s FROM %s WHERE %s%s LIMIT %d) AS p%d`,
			sift, at, at, columns, l.table, where, order, limit, i))
	}
	rows, err := db.query(ctx, strings.Join(parts, " UNION ALL "), a...)
	if err != nil {
		return 0, 0, false, err
	}
	defer rows.Close()
	few = true
	for rows.Next() {
		var all, hits, lo, hi int64
		if err := rows.Scan(&all, &hits, &lo, &hi); err != nil {
			return 0, 0, false, err
		}
		n += int(hits)
		density += float64(all) / float64(hi-lo+1)
		few = few && int(all) < limit
	}
	return n, density, few && n <= most, rows.Err()
}

// rows returns the first rows of a walk, one more than a page, that are within reach of
// its lead.
func (db *DB) rows(ctx context.Context, w walk, l lead, r reach) ([]position, error) {
	query, a, err := w.query(l, r)
	if err != nil {
		return nil, err
	}
	rows, err := db.query(ctx, query, a...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []position
	for rows.Next() {
		var p position
		if err := rows.Scan(&p.id, &p.at); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

func (w walk) query(l lead, r reach) (string, arguments, error) {
	var a arguments
	var parts []string
	for i, condition := range l.where {
		where, filter := condition(&a), ""
		for _, t := range w.tests {
			if t.by != l.by {
				filter += " AND " + t.where(&a)
			}
		}
		alone := filter == ""
		if l.at != "" {
			in, err := w.window(&a, l.at, l.id)
			if err != nil {
				return "", nil, err
			}
			where += in
		} else {
			in, err := w.window(&a, "r."+w.at, "r."+w.id)
			if err != nil {
				return "", nil, err
			}
			filter += in
		}
		if l.sift == nil && l.table == w.table && l.ordered && !alone {
			parts = append(parts, fmt.Sprintf(`SELECT r.%s AS id, r.%s AS at FROM (SELECT * FROM %s WHERE %s%s LIMIT %d) AS r WHERE 1 = 1%s`,
				w.id, w.at, l.table, where, w.order(l.at, l.id), w.share(l, r), filter))
			continue
		}
		hits := w.hits(&a, l, where, r, i)
		if alone && l.at != "" {
			parts = append(parts, fmt.Sprintf(`SELECT hit AS id, hit_at AS at FROM (%s) AS c%d`, hits, i))
			continue
		}
		// CROSS JOIN keeps SQLite from turning the join round.
		parts = append(parts, fmt.Sprintf(`SELECT r.%s AS id, r.%s AS at FROM (%s) AS c%d CROSS JOIN %s r WHERE r.%s = c%d.hit%s`, w.id, w.at, hits, i, w.table, w.id, i, filter))
	}
	return fmt.Sprintf(`SELECT id, at FROM (%s) AS u GROUP BY id, at%s LIMIT %d`, strings.Join(parts, " UNION ALL "), w.order("at", "id"), w.n+1), a, nil
}

// hits returns the query for the rows of one condition of a lead that are within reach,
// the i-th.
func (w walk) hits(a *arguments, l lead, where string, r reach, i int) string {
	at, from, order := l.at, l.table, ""
	if at == "" {
		at = "0"
	} else {
		order = w.order(l.at, l.id)
	}
	if l.sift != nil {
		inner := ""
		if l.ordered {
			inner = order
		}
		from = fmt.Sprintf(`(SELECT * FROM %s WHERE %s%s LIMIT %d) AS s%d`, l.table, where, inner, w.share(l, r), i)
		where = l.sift(a)
	}
	return fmt.Sprintf(`SELECT %s AS hit, %s AS hit_at FROM %s WHERE %s%s LIMIT %d`, l.id, at, from, where, order, max(r.far, w.n+1))
}

// share is how many rows of an index are read for each condition of a lead.
func (w walk) share(l lead, r reach) int {
	switch {
	case l.sift != nil:
		return max(w.n+1, r.scan/len(l.where)+1)
	case !l.ordered:
		return r.far // they are few, and all of them are needed
	}
	return max(w.n+1, r.far/len(l.where))
}

// horizon returns how far a walk has come that did not fill its page: the nearest of the
// last rows of those conditions that have more; false when it saw all there are.
func (db *DB) horizon(ctx context.Context, w walk, l lead, r reach) (position, bool, error) {
	var nearest position
	truncated := false
	share := w.share(l, r)
	for _, condition := range l.where {
		var a arguments
		where := condition(&a)
		in, err := w.window(&a, l.at, l.id)
		if err != nil {
			return nearest, false, err
		}
		rows, err := db.query(ctx, fmt.Sprintf(`WITH c AS MATERIALIZED (SELECT %[1]s AS at, %[2]s AS id FROM %[3]s WHERE %[4]s%[5]s LIMIT %[6]d)
			SELECT (SELECT COUNT(*) FROM c), at, id FROM c%[7]s LIMIT 1`,
			l.at, l.id, l.table, where+in, w.order(l.at, l.id), share, w.back().order("at", "id")), a...)
		if err != nil {
			return nearest, false, err
		}
		var n int
		var last position
		for rows.Next() {
			if err := rows.Scan(&n, &last.at, &last.id); err != nil {
				rows.Close()
				return nearest, false, err
			}
		}
		if err := rows.Err(); err != nil {
			return nearest, false, err
		}
		if n == share && (!truncated || w.beyond(nearest, last)) {
			nearest, truncated = last, true
		}
	}
	return nearest, truncated, nil
}

// back is the walk in the other direction.
func (w walk) back() walk {
	if w.after != "" {
		w.after = ""
	} else {
		w.after = "x"
	}
	return w
}
