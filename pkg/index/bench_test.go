package index

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// engines runs a benchmark on SQLite, and on PostgreSQL when a server is given.
func engines(b *testing.B, f func(b *testing.B, db *DB)) {
	b.Run("sqlite", func(b *testing.B) { f(b, open(b, sqliteDSN(b))) })
	if os.Getenv("GREFFE_TEST_POSTGRES") != "" {
		b.Run("postgres", func(b *testing.B) { f(b, open(b, postgresDSN(b))) })
	}
}

// BenchmarkMessage is all that the index writes for one delivered message.
func BenchmarkMessage(b *testing.B) {
	engines(b, func(b *testing.B, db *DB) {
		n := 0
		for b.Loop() {
			n++
			p := message("a@ch.example", n, document(fmt.Sprint(n), 1, maelle))
			a := save(b, db, p)
			if _, err := db.Claim(b.Context(), p.Documents[0].Identity(), a.Documents[0]); err != nil {
				b.Fatal(err)
			}
			outcome(b, db, a.Documents[0], greffe.Outcome{DI: "dpi", Action: "T02", Control: fmt.Sprint(n), State: greffe.StateDelivered, Code: "AA", At: start})
		}
	})
}

// BenchmarkMessageParallel is the same from eight goroutines.
func BenchmarkMessageParallel(b *testing.B) {
	engines(b, func(b *testing.B, db *DB) {
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			box := fmt.Sprintf("%d@ch.example", rand.Uint64())
			for n := 1; pb.Next(); n++ {
				a := save(b, db, message(box, n, document(box+fmt.Sprint(n), 1, maelle)))
				outcome(b, db, a.Documents[0], greffe.Outcome{State: greffe.StateDelivered, Code: "AA", At: start})
			}
		})
	})
}

// fill writes n messages of one document each, from many patients, in large transactions.
func fill(b *testing.B, db *DB, n int) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	syllables := []string{"BER", "CA", "DU", "FON", "GAU", "KER", "LA", "MAR", "NO", "PO", "RE", "SA", "TI", "VAL", "LEC", "MON"}
	name := func(k int) (s string) {
		for range k {
			s += syllables[r.IntN(len(syllables))]
		}
		return s
	}
	for i := 0; i < n; {
		err := db.update(b.Context(), func(t *tx) error {
			for range min(1000, n-i) {
				i++
				who := patient(name(3), name(2), name(2)+" "+name(2), fmt.Sprintf("19%02d%02d%02d", r.IntN(100), 1+r.IntN(12), 1+r.IntN(28)), fmt.Sprintf("2%014d", r.IntN(n/4)))
				p := message(fmt.Sprintf("%d@ch.example", i%20), i, document(fmt.Sprint(i), 1, who))
				a, err := t.saveArchived(p, manifestOf(p), rawOf(p), objects(p))
				if err != nil {
					return err
				}
				state := greffe.StateDelivered
				if i%1000 == 0 {
					state = greffe.StateTodo
				}
				if _, err := t.saveOutcome(a.Documents[0], greffe.Outcome{State: state, At: start}, "", true); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSearch reads pages of 50 over 100,000 documents.
func BenchmarkSearch(b *testing.B) {
	engines(b, func(b *testing.B, db *DB) {
		from := time.Now()
		fill(b, db, 100_000)
		b.Logf("filled in %v", time.Since(from).Round(time.Second))
		middle := start.Add(50_000 * time.Minute)
		for name, f := range map[string]DocumentFilter{
			"documents/newest":      {},
			"documents/mailboxes":   {Places: []string{"3@ch.example", "4@ch.example"}, To: middle},
			"documents/ins":         {INS: "200000000001234"},
			"documents/birth":       {BirthDate: "19500612"},
			"documents/name":        {Name: "marker"},
			"documents/name2":       {Name: "ma"},
			"documents/name+given":  {Name: "mar le"},
			"documents/name+birth":  {Name: "mar", BirthDate: "19500612"},
			"documents/middle page": {To: middle},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if _, _, err := db.Documents(b.Context(), f); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		for name, f := range map[string]MessageFilter{
			"queue/newest":               {},
			"queue/todo":                 {States: []greffe.State{greffe.StateTodo}},
			"queue/todo of a mailbox":    {States: []greffe.State{greffe.StateTodo}, Places: []string{"0@ch.example"}},
			"queue/mailboxes":            {Places: []string{"3@ch.example", "4@ch.example"}},
			"queue/rare word":            {Text: "fontimon"},
			"queue/common words":         {Text: "compte rendu mar"},
			"queue/common word and todo": {Text: "compte", States: []greffe.State{greffe.StateTodo}},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if _, _, err := db.Messages(b.Context(), f); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}
