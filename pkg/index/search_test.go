package index

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

func TestQueueFilters(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		// Mailbox, subject and patient of messages 1, 2, 3…
		rows := []struct {
			mailbox, subject string
			patient          greffe.Patient
			state            greffe.State
		}{
			{"a@ch.example", "CR d'imagerie", maelle, greffe.StateDelivered},
			{"a@ch.example", "Résultats de laboratoire", patient("LEFÈVRE", "", "ŒDIPE", "19500101", "150012999900163"), greffe.StateTodo},
			{"b@ch.example", "Résultats d’échographie", maelle, greffe.StateRefused},
			{"b@ch.example", "Réunion", greffe.Patient{}, ""},
			{"c@ch.example", "Lettre de sortie", patient("LE FLOCH", "", "YVON", "19500101", "150012999900260"), greffe.StateTodo},
		}
		number := map[greffe.MessageID]int{}
		for i, r := range rows {
			p := message(r.mailbox, i+1)
			if r.state != "" {
				p = message(r.mailbox, i+1, document(fmt.Sprint(i), 1, r.patient))
			}
			p.Message.Subject = r.subject
			a := save(t, db, p)
			number[a.ID] = i + 1
			if r.state != "" {
				outcome(t, db, a.Documents[0], greffe.Outcome{State: r.state, At: start})
			}
		}
		minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
		for name, c := range map[string]struct {
			f    MessageFilter
			want []int
		}{
			"all":                       {MessageFilter{}, []int{5, 4, 3, 2, 1}},
			"state":                     {MessageFilter{States: []greffe.State{greffe.StateTodo}}, []int{5, 4, 2}},
			"states":                    {MessageFilter{States: []greffe.State{greffe.StateRefused, greffe.StateDelivered}}, []int{3, 1}},
			"mailbox":                   {MessageFilter{Places: []string{"b@ch.example"}}, []int{4, 3}},
			"mailboxes and state":       {MessageFilter{Places: []string{"a@ch.example", "c@ch.example"}, States: []greffe.State{greffe.StateTodo}}, []int{5, 2}},
			"no such mailbox":           {MessageFilter{Places: []string{"z@ch.example"}}, nil},
			"word, accents ignored":     {MessageFilter{Text: "resultats"}, []int{3, 2}},
			"two words":                 {MessageFilter{Text: "RÉSULTATS labo"}, []int{2}},
			"beginning of a name":       {MessageFilter{Text: "kerv"}, []int{3, 1}},
			"title":                     {MessageFilter{Text: "échographie", Places: []string{"a@ch.example"}}, []int{2, 1}},
			"sender":                    {MessageFilter{Text: "martel"}, []int{5, 4, 3, 2, 1}},
			"word and state":            {MessageFilter{Text: "resultats", States: []greffe.State{greffe.StateRefused}}, []int{3}},
			"no such word":              {MessageFilter{Text: "resultats introuvables"}, nil},
			"from":                      {MessageFilter{From: minute(4)}, []int{5, 4}},
			"to, itself not included":   {MessageFilter{To: minute(3)}, []int{2, 1}},
			"from, to, state and words": {MessageFilter{From: minute(2), To: minute(4), Text: "res", States: []greffe.State{greffe.StateTodo}}, []int{2}},
			"blank text":                {MessageFilter{Text: " - "}, []int{5, 4, 3, 2, 1}},
		} {
			for _, limit := range []int{0, 1, 2} { // pages of any size give the same list
				var got []int
				f := c.f
				f.Limit = limit
				for {
					list, next, err := db.Messages(t.Context(), f)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					for _, m := range list {
						got = append(got, number[m.ID])
					}
					if next == "" {
						break
					}
					f.Before = next
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s, limit %d: got %v, want %v", name, limit, got, c.want)
				}
			}
		}
		if counts, err := db.Counts(t.Context(), []string{"b@ch.example"}); err != nil || len(counts) != 2 || counts[greffe.StateRefused] != 1 || counts[greffe.StateTodo] != 1 {
			t.Errorf("counts %v %v", counts, err)
		}
		n := 0
		if err := db.EachMessage(t.Context(), func(d Detail) error { n++; return nil }); err != nil || n != len(rows) {
			t.Errorf("walked %d of %d: %v", n, len(rows), err)
		}
		stop := fmt.Errorf("stop")
		if err := db.EachMessage(t.Context(), func(d Detail) error { return stop }); err != stop {
			t.Errorf("got %v", err)
		}
	})
}

func TestDocumentSearch(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		patients := []greffe.Patient{
			1: maelle,
			2: patient("LEFÈVRE-D’AUBIGNÉ", "", "ŒDIPE", "19500101", "150012999900163"),
			3: patient("LE FLOCH", "", "YVON MARIE", "19500101", "1 50 01 29 999 001 63"),
			4: patient("MARTINEAU", "", "ANNE", "19850214", "285022999907752"),
			5: {},
			6: maelle,
		}
		number := map[greffe.DocumentID]int{}
		for i := 1; i < len(patients); i++ {
			mailbox := "a@ch.example"
			if i == 6 {
				mailbox = "b@ch.example"
			}
			number[save(t, db, message(mailbox, i, document(fmt.Sprint(i), 1, patients[i]))).Documents[0]] = i
		}
		for name, c := range map[string]struct {
			f    DocumentFilter
			want []int
		}{
			"all":                      {DocumentFilter{}, []int{6, 5, 4, 3, 2, 1}},
			"ins with blanks":          {DocumentFilter{INS: "2 85 02 29 999 077 51"}, []int{6, 1}},
			"ins without its key":      {DocumentFilter{INS: "2850229999077"}, []int{6, 4, 1}},
			"ins written with blanks":  {DocumentFilter{INS: "150012999900163"}, []int{3, 2}},
			"ins and name":             {DocumentFilter{INS: "2850229999077", Name: "martine"}, []int{4}},
			"birth name":               {DocumentFilter{Name: "essai"}, []int{6, 1}},
			"used name":                {DocumentFilter{Name: "Martin"}, []int{6, 4, 1}},
			"hyphen or blank":          {DocumentFilter{Name: "essai kerv"}, []int{6, 1}},
			"accents and apostrophe":   {DocumentFilter{Name: "lefevre d'aub"}, []int{2}},
			"ligature":                 {DocumentFilter{Name: "lefevre oed"}, []int{2}},
			"given name":               {DocumentFilter{Name: "martin maë"}, []int{6, 1}},
			"second given name":        {DocumentFilter{Name: "martin ann"}, []int{6, 4, 1}},
			"two given names":          {DocumentFilter{Name: "martin anne maelle"}, []int{6, 1}},
			"name in two words":        {DocumentFilter{Name: "le floch yvon"}, []int{3}},
			"name and birth date":      {DocumentFilter{Name: "le", BirthDate: "19500101"}, []int{3, 2}},
			"wrong birth date":         {DocumentFilter{Name: "le", BirthDate: "19500102"}, nil},
			"birth date":               {DocumentFilter{BirthDate: "19850214"}, []int{6, 4, 1}},
			"birth date and mailbox":   {DocumentFilter{BirthDate: "19850214", Places: []string{"b@ch.example"}}, []int{6}},
			"name and mailbox":         {DocumentFilter{Name: "martin", Places: []string{"a@ch.example"}}, []int{4, 1}},
			"mailboxes":                {DocumentFilter{Places: []string{"b@ch.example", "a@ch.example"}}, []int{6, 5, 4, 3, 2, 1}},
			"dates":                    {DocumentFilter{From: start.Add(2 * time.Minute), To: start.Add(4 * time.Minute)}, []int{3, 2}},
			"name and dates":           {DocumentFilter{Name: "martin", From: start.Add(2 * time.Minute)}, []int{6, 4}},
			"not the end of a name":    {DocumentFilter{Name: "kervella"}, nil},
			"given name is not enough": {DocumentFilter{Name: "maelle"}, nil},
		} {
			for _, limit := range []int{0, 1, 2} {
				var got []int
				f := c.f
				f.Limit = limit
				for {
					list, next, err := db.Documents(t.Context(), f)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					for _, d := range list {
						got = append(got, number[d.ID])
					}
					if next == "" {
						break
					}
					f.Before = next
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s, limit %d: got %v, want %v", name, limit, got, c.want)
				}
			}
		}
	})
}

func TestNormalise(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"  Œuvrard-LEFÈVRE  d’Aubigné  N°3 ": "oeuvrard lefevre d aubigne n 3",
		"Łukasz Nguyễn":                      "lukasz nguyen",
		"STRAẞE ß":                           "strasse ss",
		"e\u0301te\u0301":                    "ete",
		"\xff-\x00":                          "",
		"Ǽ":                                  "ae",
		"٣":                                  "٣",
	} {
		if got := normalise(in); got != want {
			t.Errorf("normalise(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"", "ESSAI-KERVELLA", "Œ\xff", "İI", "ﬃ", "Ǽ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := normalise(s)
		if again := normalise(once); again != once {
			t.Errorf("normalise(%q) = %q, again %q", s, once, again)
		}
		for _, w := range searchWords(s) {
			if len(w) > 40 || w == "" {
				t.Errorf("word %q", w)
			}
		}
	})
}

// A new version of the normalisation rewrites what the old one wrote.
func TestSearchColumnsAreRefreshed(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		a := save(t, db, message("a@ch.example", 1, document("1", 1, maelle)))
		for _, q := range []string{`UPDATE document_names SET family = 'old' WHERE family = 'martin'`, `DELETE FROM message_words`, `UPDATE settings SET value = '0'`} {
			if _, err := db.write.ExecContext(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.refreshSearch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if list, _, err := db.Documents(t.Context(), DocumentFilter{Name: "martin mae"}); err != nil || len(list) != 1 || list[0].ID != a.Documents[0] {
			t.Errorf("%v %v", list, err)
		}
		if list, _, err := db.Messages(t.Context(), MessageFilter{Text: "maelle"}); err != nil || len(list) != 1 {
			t.Errorf("%v %v", list, err)
		}
	})
}
