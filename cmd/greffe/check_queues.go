package main

import (
	"context"
	"strings"

	"greffe/pkg/index"
	"greffe/services/integrator"
)

// checkQueues tells what stands before each DI: a queue that a person paused or an error
// stopped is not forgotten.
func (a *app) checkQueues(ctx context.Context) []result {
	db, err := index.Open(ctx, dsn(a.cfg), a.log)
	if err != nil {
		return nil // checkIndex says so
	}
	defer db.Close()
	queues, err := db.Queues(ctx)
	if err != nil {
		return []result{{"files des DI", "lecture", false, "illisibles (" + err.Error() + ")"}}
	}
	var out []result
	for _, q := range queues {
		st, ok := integrator.Standing(q)
		if !ok || q.Test {
			continue
		}
		text := strings.TrimSpace(st.Trouble + st.Warning + " " + st.Text)
		out = append(out, result{"DI " + q.Name, "file", st.Trouble == "" && st.Warning == "", text})
	}
	return out
}
