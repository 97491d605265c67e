package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// "greffe replay --di" sends a past day to a test DI while the live states stay as they
// are, row by row; the journal says so, and the exit code says whether it went as in the
// live DI. "greffe check" tells of the queue of each live DI.
func TestReplayToATestDI(t *testing.T) {
	t.Parallel()
	in := install(t, deployment{name: "all in one"})
	trial, err := sandbox.StartDI(sandbox.DIConfig{Patients: sandbox.KnownPatients()})
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	second := in.cfg.DI[0]
	second.Name, second.Test, second.MLLP.Address = "essai", true, trial.MLLPAddr()
	in.cfg.DI = append(in.cfg.DI, second)
	const n = 3
	for i := range n {
		if _, err := in.mail.Append(sandbox.Mailboxes()[0].Address, "INBOX", sandbox.PipelineMessage(i), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	in.start()
	in.settled(n)
	in.halt()
	config := in.configFile()
	if s := trial.Stats(); s.Messages != 0 {
		t.Fatalf("the test DI got live documents: %+v", s)
	}

	tables := []string{"messages", "message_facts", "documents", "document_names", "deliveries", "outcomes", "decisions", "claims", "answers", "triages", "dis", "tallies"}
	state := func() map[string][]string {
		all := map[string][]string{}
		for _, table := range tables {
			all[table] = tableRows(t, in.cfg.dir("index.db"), table, 1<<40)
		}
		return all
	}
	before, live := state(), in.di.Stats()
	replayed := func() int {
		db := in.openIndex()
		defer db.Close()
		list, err := db.SearchJournal(t.Context(), index.JournalFilter{Action: "replayed", Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	day := time.Now().Format("2006-01-02")
	run := func(args ...string) (int, replayReport, string, string) {
		code, out, errs := cli(nil, append([]string{"replay", "--config", config}, args...)...)
		var r replayReport
		if slices.Contains(args, "--json") {
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Errorf("%v: %v\n%s%s", args, err, out, errs)
			}
		}
		return code, r, out, errs
	}

	code, r, _, errs := run("--di", "essai", "--from", day, "--to", day, "--json")
	if code != exitOK || r.DI != "essai" || r.Sent != n || r.Taken != n || r.Otherwise != 0 || len(r.Documents) != n || r.Run == "" {
		t.Errorf("exit %d, %+v\n%s", code, r, errs)
	}
	for _, d := range r.Documents {
		if d.Real != string(greffe.StateDelivered) || d.State != string(greffe.StateDelivered) || d.Code != "AA" || d.Document == "" {
			t.Errorf("%+v", d)
		}
	}
	if s := trial.Stats(); s.New != n {
		t.Errorf("the test DI holds %+v", s)
	}
	if got := replayed(); got != n {
		t.Errorf("%d entries of the journal, want %d", got, n)
	}
	// A day without documents.
	if code, r, _, errs := run("--di", "essai", "--from", "2020-01-01", "--to", "2020-01-31", "--json"); code != exitOK || r.Sent != 0 {
		t.Errorf("an old day: exit %d, %+v\n%s", code, r, errs)
	}
	// The test DI refuses what the live one took.
	trial.Obey(sandbox.DIRule{Behaviour: sandbox.DIRefuse})
	code, _, out, errs := run("--di", "essai", "--from", day, "--to", day)
	if code != exitWrong || !strings.Contains(out, "3 documents renvoyés au DI d'essai « essai » : 0 intégrés, 3 autrement") || !strings.Contains(errs, "3 documents que les vrais DI ont intégrés") {
		t.Errorf("refused: exit %d\n%s\n%s", code, out, errs)
	}
	// It does not answer: said after the first one.
	trial.Obey(sandbox.DIRule{Behaviour: sandbox.DIBusy})
	if code, _, _, errs := run("--di", "essai", "--from", day, "--to", day); code != exitWrong || !strings.Contains(errs, "ne répond pas, après 1 documents") {
		t.Errorf("busy: exit %d\n%s", code, errs)
	}
	for _, args := range [][]string{
		{"--di", "dpi", "--from", day, "--to", day}, {"--di", "autre", "--from", day, "--to", day}, // never a live one
		{"--di", "essai"}, {"--di", "essai", "--from", day}, {"--from", day, "--to", day},
		{"--di", "essai", "--from", "hier", "--to", day}, {"--di", "essai", "--from", day, "--to", "2020-01-01"}, {"--di", "essai", "--from", day, "--to", day, "--all"},
	} {
		if code, _, _, errs := run(args...); code != exitUsage || errs == "" {
			t.Errorf("%v: exit %d\n%s", args, code, errs)
		}
	}
	if code, out, _ := cli(nil, "replay", "--help"); code != exitOK || !strings.Contains(out, "DI d'essai") || !strings.Contains(out, "--json") {
		t.Errorf("help: exit %d\n%s", code, out)
	}

	after := state()
	for _, table := range tables {
		if !slices.Equal(before[table], after[table]) {
			t.Errorf("%s was changed", table)
		}
	}
	if s := in.di.Stats(); s.Messages != live.Messages {
		t.Errorf("the live DI was sent something: %+v", s)
	}
	if got := replayed(); got != 2*n+1 {
		t.Errorf("%d entries of the journal, want %d", got, 2*n+1)
	}
	in.checksQueues(config)
}

// checksQueues looks at what "greffe check" tells of the queues.
func (in *installation) checksQueues(config string) {
	in.t.Helper()
	ctx := in.t.Context()
	told := func() (list []result) {
		a := &app{cfg: in.cfg, log: in.log}
		defer a.close()
		return a.checkQueues(ctx)
	}
	db := in.openIndex()
	defer db.Close()
	for _, c := range []struct {
		name string
		do   func() (bool, error)
		ok   bool
		text string
	}{
		{"open", func() (bool, error) { return true, nil }, true, "Aucun document n’attend."},
		{"paused", func() (bool, error) { return db.PauseDI(ctx, "dpi", "chef", "") }, false, "Envois en pause, à la demande de chef."},
		{"resumed", func() (bool, error) { return db.ResumeDI(ctx, "dpi", "chef", "") }, true, "Aucun document n’attend."},
		{"down", func() (bool, error) { return db.DIDown(ctx, "dpi", "Le DI ne répond pas.") }, false, "Le DI ne répond pas"},
		{"stopped", func() (bool, error) {
			return db.StopDI(ctx, "dpi", "x", greffe.Outcome{DI: "dpi", State: greffe.StateIncident, Code: "AE 101", Text: "Champ absent : TXA-12."})
		}, false, "Envois arrêtés par une erreur technique. Champ absent : TXA-12."},
	} {
		if changed, err := c.do(); err != nil || !changed {
			in.t.Fatalf("%s: %v, %v", c.name, changed, err)
		}
		list := told()
		if len(list) != 1 || list[0].Target != "DI dpi" || list[0].OK != c.ok || !strings.Contains(list[0].Text, c.text) {
			in.t.Errorf("%s: %+v", c.name, list)
		}
	}
	// The command itself ends with 1 then, and says so.
	code, out, _ := cli(nil, "check", "--config", config)
	if code != exitWrong || !strings.Contains(out, "Envois arrêtés par une erreur technique.") {
		in.t.Errorf("check: exit %d\n%s", code, out)
	}
}
