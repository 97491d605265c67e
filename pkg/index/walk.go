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

// hurry is how long a page is looked for before it goes on from where it has come to. What
// a page takes beside it, and the last step, which is under way then, come on top.
const hurry = 15 * time.Millisecond

// page reads a page, newest first. goOn is the cursor to go on with in the direction of
// the walk, "" at its end.
func (db *DB) page(ctx context.Context, w walk) (list []position, goOn string, err error) {
	begun := time.Now()
	l, few, err := db.choose(ctx, w)
	if err != nil {
		return nil, "", err
	}
	if l.at == "" {
		list, err = db.whole(ctx, w, l)
		if len(list) > w.n {
			list = list[:w.n]
			goOn = list[w.n-1].cursor()
		}
	} else {
		list, goOn, err = db.along(ctx, w, l, few, begun)
	}
	if w.after != "" {
		slices.Reverse(list)
	}
	return list, goOn, err
}

// along reads a page along a lead, in steps that grow. A step takes the next rows of each
// condition of the lead, no farther than all of them have been read, and tries the tests
// on these.
func (db *DB) along(ctx context.Context, w walk, l lead, few bool, begun time.Time) (list []position, goOn string, err error) {
	r := reach{far: 4 * (w.n + 1), scan: 20 * (w.n + 1)}
	for read := 0; ; {
		if !few {
			r = reach{far: min(r.far, db.reach.far-read), scan: min(r.scan, db.reach.scan)}
		}
		next, end, more, err := db.step(ctx, w, l, r)
		if err != nil {
			return nil, "", err
		}
		tired := func() bool { return time.Since(begun) > hurry }
		for len(next) > 0 {
			some := next[:min(len(next), 4*(w.n+1))]
			next = next[len(some):]
			kept, err := db.keep(ctx, w, l, some)
			if err != nil {
				return nil, "", err
			}
			list = append(list, kept...)
			switch {
			case len(list) > w.n:
				return list[:w.n], list[w.n-1].cursor(), nil
			case len(next) > 0 && tired():
				return list, some[len(some)-1].cursor(), nil
			}
		}
		if !more {
			return list, "", nil
		}
		if read += r.far; !few && read >= db.reach.far || tired() {
			return list, end.cursor(), nil
		}
		if w.after == "" {
			w.before = end.cursor()
		} else {
			w.after = end.cursor()
		}
		r.far, r.scan = 4*r.far, 4*r.scan
	}
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
