package xdm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHostileArchivesCostLittle: archives that make a reader do the same work again and
// again. The limit is far above what they take, and far below what they are made for.
func TestHostileArchivesCostLittle(t *testing.T) {
	const limit = time.Minute
	md := func(text string, more ...entry) []entry {
		return append([]entry{{name: "INDEX.HTM"}, {name: "README.TXT"}, {name: "IHE_XDM/SUBSET01/METADATA.XML", content: text}}, more...)
	}
	const end = "</rim:RegistryObjectList></lcm:SubmitObjectsRequest>"
	objects := func(n int, object func(i int) string) string {
		var b strings.Builder
		b.WriteString(strings.TrimSuffix(metadata(meta{uri: "DOC0001.XML", content: cdaFile}), end))
		for i := range n {
			b.WriteString(object(i))
		}
		return b.String() + end
	}
	zeros := strings.Repeat("\x00", 900_000) // below what counts as a bomb, 160 MB together
	var files []entry
	var lost, same []meta
	for i := range 180 {
		files = append(files, entry{name: fmt.Sprintf("IHE_XDM/SUBSET01/F%d", i), content: zeros})
		lost = append(lost, meta{uri: fmt.Sprintf("X%d", i), size: "900000", hash: strings.Repeat("0", 40), id: fmt.Sprint("1.", i)})
		same = append(same, meta{uri: "F1", size: "900000", hash: strings.Repeat("0", 40), id: fmt.Sprint("1.", i)})
	}
	var names []entry
	for i := range 190 {
		names = append(names, entry{name: strings.Repeat(fmt.Sprintf("é%d/", i), 5_000)[:18_000] + fmt.Sprint(i)})
	}
	for name, c := range map[string]struct {
		entries []entry
		rule    string
	}{
		"documents looked for by their hash": {md(metadata(lost...), files...), "xdm.document"},
		"one file under many documents":      {md(metadata(same...), files[1]), "xdm.shared"},
		"long names":                         {md(metadata(lost...), names...), "xdm.path"},
		"packages and what names them": {md(objects(24_000, func(i int) string {
			return fmt.Sprintf(`<rim:RegistryPackage id="p%d"/><rim:Classification classificationNode=%q classifiedObject="p%d"/>`, i, nodeSubmissionSet, i)
		})), "xdm.sets"},
		"links": {md(objects(60_000, func(i int) string { return associationXML("HasMember", "set1", fmt.Sprint("doc", i)) })), "xdm.association"},
		"one object of many codes": {md(objects(1, func(int) string {
			return `<rim:ExtrinsicObject id="x">` + strings.Repeat(codeXML(docType, "1"), 10_000) + `</rim:ExtrinsicObject>`
		})), "xdm.uri"},
		"documents":    {md(objects(5_000, func(i int) string { return fmt.Sprintf(`<rim:ExtrinsicObject id="d%d"/>`, i) })), "xdm.many"},
		"nested lists": {md(strings.Repeat("<SubmitObjectsRequest>", 120) + strings.Repeat("</SubmitObjectsRequest>", 120)), "xdm.none"},
	} {
		b := build(t, c.entries...)
		start := time.Now()
		a := open(t, b, Limits{Ratio: 10_000})
		if took := time.Since(start); took > limit {
			t.Errorf("%s: %v", name, took)
		} else {
			t.Logf("%s: %d bytes, %v", name, len(b), took)
		}
		if got := a.rules(t); !slices.Contains(got, c.rule) {
			t.Errorf("%s: rules %v", name, got)
		}
	}
}
