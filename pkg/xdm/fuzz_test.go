package xdm

import (
	"bytes"
	"io"
	"testing"

	"greffe/pkg/greffe"
)

func FuzzOpen(f *testing.F) {
	f.Add(build(f, good()...))
	f.Add(build(f, entry{name: "../a", content: "x"}, entry{name: "IHE_XDM/S/METADATA.XML", content: "<a/>"}))
	f.Add(build(f, stored("a.txt", "secret", 6, 1), entry{name: "b/"}))
	f.Add([]byte("PK\x05\x06" + string(make([]byte, 18))))
	f.Add(wide(build(f, good()...)))
	f.Add(append([]byte("x"), build(f, stored("R\x82.txt", "abc", 3, 0))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		lim := Limits{Entries: 20, Total: 1 << 20}
		a, findings, err := Open(bytes.NewReader(b), int64(len(b)), lim)
		if err != nil {
			t.Fatal(err)
		}
		if a == nil {
			if greffe.VerdictOf(findings) != greffe.VerdictRefused {
				t.Errorf("no archive, findings %v", findings)
			}
			return
		}
		(opened{a, findings}).rules(t)
		agree(t, b, a, findings)
		var total int64
		for i := range a.Entries {
			rc, err := a.OpenEntry(i)
			if err != nil {
				continue
			}
			n, _ := io.Copy(io.Discard, rc)
			rc.Close()
			if total += n; n > a.Entries[i].Size {
				t.Errorf("entry %d of %d bytes gives %d", i, a.Entries[i].Size, n)
			}
		}
		if total > lim.Total {
			t.Errorf("%d bytes came out", total)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add(metadata(meta{uri: "DOC0001.XML", content: cdaFile}))
	f.Add(metadata(meta{uri: "..\\x", content: cdaFile, action: "C", extra: slotXML("URI", "2|b", "1|a")}))
	f.Add(`<SubmitObjectsRequest><LeafRegistryObjectList><ExtrinsicObject uri="%zz"/></LeafRegistryObjectList></SubmitObjectsRequest>`)
	f.Fuzz(func(t *testing.T, text string) {
		b := build(t, entry{name: "IHE_XDM/S/METADATA.XML", content: text}, entry{name: "IHE_XDM/S/DOC0001.XML", content: cdaFile})
		a := open(t, b, Limits{})
		a.rules(t)
		for _, s := range a.Sets {
			for _, d := range s.Documents {
				if d.Entry < -1 || d.Entry > 1 {
					t.Errorf("entry %d", d.Entry)
				}
				doc := greffe.Document{Format: greffe.FormatCDA3}
				ruleIDs(t, d.Complete(&doc, ""))
			}
		}
	})
}
