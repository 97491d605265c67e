package console

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// TestMetricsOfDIs: what a watcher has to know of each DI comes from the index, so that it
// is there although no integrator runs in this process, or at all.
func TestMetricsOfDIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db, ctx := w.console.db, t.Context()
	for _, live := range [][]string{{"parti"}, {"dpi", "ris", "labo", "vide"}} {
		if err := db.ConfigureDIs(ctx, live, []string{"essai"}); err != nil {
			t.Fatal(err)
		}
	}
	for n, o := range []greffe.Outcome{
		{DI: "dpi", State: greffe.StateDelivered, Code: "AA"},
		{DI: "dpi", State: greffe.StateRefused, Code: "AE 902"},
		{DI: "dpi", State: greffe.StateWaiting, Code: "AR"},
		{DI: "dpi", State: greffe.StateWaiting, Code: "paused"},
		{DI: "ris", State: greffe.StateWaiting, Code: "no answer"},
		{DI: "parti", State: greffe.StateWaiting, Code: "no answer"},
	} {
		number := strconv.Itoa(n)
		w.receive(mail{ago: time.Duration(n+1) * time.Hour, docs: []doc{{facts: cda1(number, 1, "Compte rendu", maelle), bytes: []byte(number), outcomes: []greffe.Outcome{o}}}})
	}
	for _, err := range []error{
		second(db.PauseDI(ctx, "dpi", "admin", "")), second(db.DIDown(ctx, "ris", "Le DI ne répond pas.")),
		second(db.StopDI(ctx, "labo", "x", greffe.Outcome{DI: "labo", State: greffe.StateIncident, Code: "AE 101"})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	body := w.visitor().get("/metrics", "Authorization", "Bearer "+metrics1).body
	for _, want := range []string{
		`greffe_di_waiting_documents{di="dpi"} 2`, `greffe_di_waiting_documents{di="ris"} 1`, `greffe_di_waiting_documents{di="vide"} 0`, `greffe_di_oldest_waiting_seconds{di="vide"} 0`,
		`greffe_di_paused{di="dpi"} 1`, `greffe_di_paused{di="ris"} 0`, `greffe_di_stopped{di="labo"} 1`, `greffe_di_stopped{di="dpi"} 0`, `greffe_di_down{di="ris"} 1`, `greffe_di_down{di="labo"} 0`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("metrics do not say %s", want)
		}
	}
	for _, not := range []string{`last_answer_timestamp_seconds{di="ris"}`, `di="essai"`} {
		if strings.Contains(body, not) {
			t.Errorf("metrics say %s", not)
		}
	}
	if !strings.Contains(body, `greffe_di_waiting_documents{di="parti"} 1`) {
		t.Error("what waits for a DI that is no longer configured is not told")
	}
	if m := regexp.MustCompile(`greffe_di_last_answer_timestamp_seconds\{di="dpi"\} (\S+)`).FindStringSubmatch(body); m == nil {
		t.Error("no last answer")
	} else if at, err := strconv.ParseFloat(m[1], 64); err != nil || time.Since(time.Unix(int64(at), 0)).Abs() > 24*time.Hour {
		t.Errorf("last answer at %s, %v", m[1], err)
	}
	if m := regexp.MustCompile(`greffe_di_oldest_waiting_seconds\{di="dpi"\} (\S+)`).FindStringSubmatch(body); m == nil {
		t.Error("no age of what waits")
	} else if age, err := strconv.ParseFloat(m[1], 64); err != nil || age < 3600 || age > 86400 {
		t.Errorf("the oldest that waits is %s seconds old, %v", m[1], err)
	}
	if t.Failed() {
		t.Log(body)
	}
}

func second(_ bool, err error) error { return err }
