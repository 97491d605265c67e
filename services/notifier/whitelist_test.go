package notifier

import (
	"bytes"
	"os"
	"testing"
	"time"
)

func TestWhiteList(t *testing.T) {
	t.Parallel()
	const list = `<?xml version="1.0"?><ListeBlanche xmlns="https://listeblanche.mssante.fr/schema"><Domaine><Nom>ch-a.mssante.fr</Nom></Domaine><Domaine><Nom>hôpital.example</Nom><Autre>x.example</Autre></Domaine></ListeBlanche>`
	path := t.TempDir() + "/list"
	put := func(s string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	w := newWhiteList(WhiteList{Source: path})
	if w.has("ch-a.mssante.fr") {
		t.Error("a list that is not there allows")
	}
	put(list, 10*time.Hour)
	for domain, want := range map[string]bool{"ch-a.mssante.fr": true, "CH-A.mssante.fr.": true, "hôpital.example": true, "xn--hpital-ixa.example": true, "x.example": false, "b.ch-a.mssante.fr": false, "mssante.fr": false, "": false} {
		if got := w.has(domain); got != want {
			t.Errorf("%q: %v", domain, got)
		}
	}
	put("ch-a.mssante.fr\n", 9*time.Hour) // half of it is gone
	if _, _, err := w.check(); err == nil || !w.has("hôpital.example") {
		t.Errorf("a list that shrank is believed: %v", err)
	}
	put("<ListeBlanche><Domaine>", 8*time.Hour)
	if _, _, err := w.check(); err == nil || !w.has("hôpital.example") {
		t.Errorf("a torn list is believed: %v", err)
	}
	put("# notes\nch-a.mssante.fr\nhôpital.example # le nôtre\nch-c.mssante.fr\n", 7*time.Hour)
	if n, _, err := w.check(); err != nil || n != 3 || !w.has("ch-c.mssante.fr") {
		t.Errorf("%d domains, %v", n, err)
	}
}

func FuzzWhiteList(f *testing.F) {
	f.Add([]byte("<a><Domaine><Nom>b.example</Nom></Domaine></a>"))
	f.Add([]byte("b.example\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		domains, err := readWhiteList(bytes.NewReader(b))
		if err == nil && len(domains) == 0 {
			t.Error("no domain and no error")
		}
		for d := range domains {
			if ascii(d) != d {
				t.Errorf("%q is not how it is looked up", d)
			}
		}
	})
}
