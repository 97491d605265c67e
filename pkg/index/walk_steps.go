package index

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// step returns the next rows of a lead in the order of the walk, each once, as far as every
// one of its conditions was read; end is where that is, when there are more.
func (db *DB) step(ctx context.Context, w walk, l lead, r reach) (list []position, end position, more bool, err error) {
	query, a, share, err := w.next(l, r)
	if err != nil {
		return nil, end, false, err
	}
	rows, err := db.query(ctx, query, a...)
	if err != nil {
		return nil, end, false, err
	}
	defer rows.Close()
	read, last := make([]int, len(l.where)), make([]position, len(l.where))
	for rows.Next() {
		var part, hit int
		var p position
		if err := rows.Scan(&part, &hit, &p.at, &p.id); err != nil {
			return nil, end, false, err
		}
		if read[part] == 0 || w.beyond(p, last[part]) {
			last[part] = p
		}
		if read[part]++; hit == 1 {
			list = append(list, p)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, end, false, err
	}
	for i, n := range read {
		if n == share && (!more || w.beyond(end, last[i])) {
			end, more = last[i], true
		}
	}
	if more {
		list = slices.DeleteFunc(list, func(p position) bool { return w.beyond(p, end) })
	}
	slices.SortFunc(list, func(a, b position) int {
		switch {
		case a == b:
			return 0
		case w.beyond(b, a):
			return -1
		}
		return 1
	})
	return slices.Compact(list), end, more, nil
}

// next returns the query of a step, and how many rows it reads for each condition at most.
func (w walk) next(l lead, r reach) (query string, a arguments, share int, err error) {
	share = max(20, r.far/len(l.where))
	if w.alone(l) {
		share = w.n + 1 // fills the page
	}
	if l.sift != nil && l.ordered {
		share = max(20, r.scan/len(l.where))
	}
	var parts []string
	for i, condition := range l.where {
		where := condition(&a)
		in, err := w.window(&a, l.at, l.id)
		if err != nil {
			return "", nil, 0, err
		}
		where += in
		order := w.order(l.at, l.id)
		switch {
		case l.sift == nil:
			parts = append(parts, fmt.Sprintf(`SELECT %d AS part, 1 AS hit, %s AS at, %s AS id FROM (SELECT %[2]s, %[3]s FROM %[4]s WHERE %[5]s%[6]s LIMIT %[7]d) AS p%[1]d`,
				i, l.at, l.id, l.table, where, order, share))
		case !l.ordered: // they are few
			parts = append(parts, fmt.Sprintf(`SELECT %d AS part, 1 AS hit, %s AS at, %s AS id FROM (SELECT %[2]s, %[3]s FROM %[4]s WHERE %[5]s AND %[8]s%[6]s LIMIT %[7]d) AS p%[1]d`,
				i, l.at, l.id, l.table, where, order, share, l.sift(&a)))
		default:
			parts = append(parts, fmt.Sprintf(`SELECT %d AS part, CASE WHEN %[8]s THEN 1 ELSE 0 END AS hit, %[2]s AS at, %[3]s AS id FROM (SELECT * FROM %[4]s WHERE %[5]s%[6]s LIMIT %[7]d) AS p%[1]d`,
				i, l.at, l.id, l.table, where, order, share, l.sift(&a)))
		}
	}
	return strings.Join(parts, " UNION ALL "), a, share, nil
}

// alone reports whether a lead is the only condition of a walk.
func (w walk) alone(l lead) bool {
	return l.sift == nil && !slices.ContainsFunc(w.tests, func(t test) bool { return t.by != l.by })
}

// filter returns the tests that a lead leaves open.
func (w walk) filter(a *arguments, l lead) (s string) {
	for _, t := range w.tests {
		if t.by != l.by {
			s += " AND " + t.where(a)
		}
	}
	return s
}

// keep returns those rows that pass the tests, in their order.
func (db *DB) keep(ctx context.Context, w walk, l lead, list []position) ([]position, error) {
	if w.alone(l) || l.sift != nil && w.filter(new(arguments), l) == "" {
		return list, nil
	}
	query, a := w.tested(l, list)
	rows, err := db.query(ctx, query, a...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	kept := make(map[string]bool, len(list))
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		kept[id] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(p position) bool { return !kept[p.id] }), rows.Err()
}

// tested returns the query for those rows that pass the tests.
func (w walk) tested(l lead, list []position) (string, arguments) {
	var a arguments
	ids := make([]string, len(list))
	for i, p := range list {
		ids[i] = p.id
	}
	// LIMIT keeps both engines from reading through the index of a test.
	return fmt.Sprintf(`SELECT r.%[1]s FROM (SELECT * FROM %[2]s WHERE %[1]s IN (%[3]s) LIMIT %[4]d) AS r WHERE 1 = 1%[5]s`,
		w.id, w.table, marks(&a, ids), len(ids), w.filter(&a, l)), a
}

// whole returns the first rows of a walk along a lead of few rows that does not know their
// time, one more than a page.
func (db *DB) whole(ctx context.Context, w walk, l lead) (list []position, err error) {
	query, a, err := w.all(l)
	if err != nil {
		return nil, err
	}
	rows, err := db.query(ctx, query, a...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p position
		if err := rows.Scan(&p.id, &p.at); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// all returns the query of whole.
func (w walk) all(l lead) (query string, a arguments, err error) {
	var parts []string
	for _, condition := range l.where {
		where := condition(&a)
		if l.sift != nil {
			where += " AND " + l.sift(&a)
		}
		parts = append(parts, fmt.Sprintf(`SELECT DISTINCT %s AS hit FROM %s WHERE %s`, l.id, l.table, where))
	}
	filter := w.filter(&a, l)
	in, err := w.window(&a, "r."+w.at, "r."+w.id)
	if err != nil {
		return "", nil, err
	}
	// CROSS JOIN keeps SQLite from turning the join round, UNION gives each row once.
	query = fmt.Sprintf(`SELECT r.%[1]s, r.%[2]s FROM (%[3]s) AS c CROSS JOIN %[4]s r WHERE r.%[1]s = c.hit%[5]s%[6]s LIMIT %[7]d`,
		w.id, w.at, strings.Join(parts, " UNION "), w.table, filter+in, w.order("r."+w.at, "r."+w.id), w.n+1)
	return query, a, nil
}
