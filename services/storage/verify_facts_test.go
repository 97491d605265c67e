package storage

import (
	"slices"
	"testing"
)

// What became of documents, and what their senders were told, is held against the
// journal word for word: a row that somebody made agree with the others is named.
func TestVerifyNamesWhatTheJournalDoesNotTell(t *testing.T) {
	t.Parallel()
	everywhere := func(from, to string) string {
		sql := ""
		for _, table := range []string{"outcomes", "deliveries", "documents"} {
			sql += `UPDATE ` + table + ` SET outcome_json = replace(outcome_json, '` + from + `', '` + to + `');`
		}
		return sql
	}
	facts := `DROP TRIGGER IF EXISTS journal_facts_no_update; UPDATE journal_facts SET fact = replace(fact, '"AA"', '"AE 906"');`
	for name, c := range map[string]struct {
		sql  string
		want []CheckID
	}{
		"nothing":                     {``, nil},
		"an AA replaced everywhere":   {everywhere(`"AA"`, `"AE 906"`), []CheckID{CheckEntries}},
		"the fact of it, too":         {everywhere(`"AA"`, `"AE 906"`) + facts, []CheckID{CheckEntries}},
		"the fact taken away":         {`DROP TRIGGER IF EXISTS journal_facts_no_delete; DELETE FROM journal_facts`, []CheckID{CheckGates, CheckEntries}},
		"another MSH-10":              {everywhere(`"c2"`, `"c9"`), []CheckID{CheckEntries}},
		"delivered that never was":    {`INSERT INTO deliveries SELECT id, 'ris', 'intégré', 1, 0, 0, '', '{"di":"ris","state":"intégré","code":"AA","at":"2026-11-22T08:00:00Z"}' FROM documents`, []CheckID{CheckState}},
		"on its way and delivered":    {`INSERT INTO deliveries SELECT id, 'ris', 'intégré', 1, 0, 0, '', '' FROM documents`, []CheckID{CheckState}},
		"a delivery taken away":       {`DELETE FROM deliveries`, []CheckID{CheckState}},
		"a delivery in another state": {`UPDATE deliveries SET state = 'refusé par le DI'`, []CheckID{CheckState}},
		"an answer that went nowhere": {`UPDATE answers SET state = 'sent'`, []CheckID{CheckEntries}},
		"an answer to another":        {`UPDATE answers SET recipient = 'autre@cabinet.example'`, []CheckID{CheckEntries}},
		"an answer let go by nobody":  {`UPDATE answers SET state = 'due'`, []CheckID{CheckEntries}},
		"an answer taken away":        {`DELETE FROM answers`, []CheckID{CheckEntries}},
		"an answer that nobody wrote": {`INSERT INTO answers SELECT 'autre', message_id, kind, 'sent', code, recipient, mail_id, reason, begun_at, at FROM answers`, []CheckID{CheckEntries}},
		"another patient chosen":      {`UPDATE documents SET chosen_json = replace(chosen_json, 'MAELLE', 'MARIE')`, []CheckID{CheckRow, CheckEntries}},
		"another decision":            {`UPDATE decisions SET decision_json = replace(decision_json, '"anne"', '"yvon"')`, []CheckID{CheckEntries}},
		"another triage":              {`UPDATE triages SET triage_json = replace(triage_json, '"anne"', '"yvon"')`, []CheckID{CheckEntries}},
		"a stop lifted by nobody":     {`UPDATE dis SET stopped_at = 0, stopped_json = '', stopped_document = ''`, []CheckID{CheckGates}},
		"a pause asked by nobody":     {`UPDATE dis SET paused_at = 1, paused_by = 'x' WHERE name = 'dpi'`, []CheckID{CheckGates}},
		"a DI forgotten":              {`DELETE FROM dis`, []CheckID{CheckGates}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			pdf := fakePDF(7, 2000)
			raw := fakeMail(fakeZip(t, fakeCDA(pdf)))
			a, err := h.storeMessage(t.Context(), parse(t, h.receive(t, 1, raw), raw))
			if err != nil {
				t.Fatal(err)
			}
			h.settle(t, a, 3)
			if c.sql != "" {
				h.sql(t, c.sql)
			}
			rep, err := Verify(t.Context(), h.store, h.db, VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var got []CheckID
			for _, p := range rep.Holes {
				got = append(got, p.Check)
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v\n%s", got, c.want, rep)
			}
		})
	}
}
