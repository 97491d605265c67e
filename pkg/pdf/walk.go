package pdf

import (
	"bytes"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/types"
)

const (
	maxDepth   = 200     // nesting of direct objects that is followed
	maxActions = 100_000 // actions that run without a click and are followed: each may lead to many
)

// walkAll looks at every object of the file, also at those that no page needs: a
// viewer may come to them by another way than we do.
func (s *scan) walkAll() {
	for _, n := range slices.Sorted(maps.Keys(s.ctx.Table)) {
		e := s.ctx.Table[n]
		if e == nil || e.Free {
			continue
		}
		generation := 0
		if e.Generation != nil {
			generation = *e.Generation
		}
		// Through a reference: an object in an object stream is decoded only so.
		s.walk(s.deref(*types.NewIndirectRef(n, generation)), 0)
	}
	if root, err := s.ctx.Catalog(); err == nil {
		s.automatic(root["OpenAction"], 0)
		if _, ok := s.deref(root["Collection"]).(types.Dict); ok {
			s.found(rulePortfolio)
		}
	}
	s.nameAttached()
	if rest := len(s.file) - s.lay.begin - s.signed; s.signed > 0 && rest > 0 && len(bytes.Trim(s.file[len(s.file)-rest:], blanks)) > 0 {
		s.found(ruleAfterSign)
	}
}

func (s *scan) walk(o types.Object, depth int) {
	if depth > maxDepth {
		s.found(ruleDamaged)
		return
	}
	switch o := o.(type) {
	case types.Array:
		for _, v := range o {
			s.walk(v, depth+1)
		}
	case types.Dict:
		s.dict(o)
		for _, v := range o {
			s.walk(v, depth+1)
		}
	case types.StreamDict:
		s.stream(&o, depth)
	case *types.StreamDict:
		s.stream(o, depth)
	case types.ObjectStreamDict:
		s.stream(&o.StreamDict, depth)
	case types.XRefStreamDict:
		s.stream(&o.StreamDict, depth)
	}
}

func (s *scan) stream(sd *types.StreamDict, depth int) {
	if sd == nil {
		return
	}
	if _, ok := sd.Dict["F"]; ok { // data in another file (§7.3.8.2)
		s.found(ruleExternal)
	}
	switch s.name(sd.Dict["Type"]) {
	case "EmbeddedFile":
		s.loose = true
		s.embedded(sd)
	case "3D":
		s.found(ruleRich)
	case "XObject", "":
		if s.name(sd.Dict["Subtype"]) == "PS" || s.name(sd.Dict["Subtype2"]) == "PS" {
			s.found(rulePostScript)
		}
		if _, ok := s.deref(sd.Dict["Ref"]).(types.Dict); ok && s.name(sd.Dict["Subtype"]) == "Form" {
			s.found(ruleReference)
		}
	}
	s.walk(sd.Dict, depth+1)
}

// dict looks at one dictionary: an action (§12.6.4), an annotation, a file
// specification (§7.11.3), a form (§12.7.2), a signature (§12.8.1).
func (s *scan) dict(d types.Dict) {
	s.action(d)
	switch s.name(d["Subtype"]) {
	case "RichMedia", "3D":
		s.found(ruleRich)
	case "Movie", "Sound", "Screen":
		s.found(ruleMedia)
	}
	if _, ok := d["EF"]; ok {
		s.attachment(d)
	} else if t := s.name(d["Type"]); t == "Filespec" || t == "F" {
		s.found(ruleExternal)
	}
	if _, ok := d["XFA"]; ok {
		s.found(ruleXFA)
	}
	if fields, ok := s.deref(d["Fields"]).(types.Array); ok && len(fields) > 0 {
		s.found(ruleForm)
	}
	if aa, ok := s.deref(d["AA"]).(types.Dict); ok && len(aa) > 0 {
		s.found(ruleAdditional)
		for _, action := range aa {
			s.automatic(action, 0)
		}
	}
	s.signature(d)
}

// action looks at what a dictionary does when it is an action.
func (s *scan) action(d types.Dict) {
	switch s.name(d["S"]) {
	case "JavaScript":
		s.found(ruleScript)
	case "Launch":
		s.found(ruleLaunch)
	case "GoToR", "GoToE":
		s.found(ruleRemote)
	case "Thread":
		if _, ok := d["F"]; ok {
			s.found(ruleRemote)
		}
	case "SubmitForm":
		s.found(ruleSubmit)
	case "ImportData":
		s.found(ruleImport)
	case "URI":
		s.found(ruleLinks)
	case "Rendition", "Movie", "Sound":
		s.found(ruleMedia)
	case "RichMediaExecute", "GoTo3DView":
		s.found(ruleRich)
	}
	if v, ok := d["JS"]; ok {
		switch s.deref(v).(type) {
		case types.StringLiteral, types.HexLiteral, types.StreamDict, *types.StreamDict:
			s.found(ruleScript)
		}
	}
}

// signature counts electronic signatures and notes where the last of them ends.
func (s *scan) signature(d types.Dict) {
	parts, ok := s.deref(d["ByteRange"]).(types.Array)
	if !ok || d["Contents"] == nil {
		return
	}
	s.facts.Signatures++
	s.found(ruleSigned)
	if len(parts) < 2 {
		return
	}
	from, okFrom := s.deref(parts[len(parts)-2]).(types.Integer)
	size, okSize := s.deref(parts[len(parts)-1]).(types.Integer)
	if okFrom && okSize {
		s.signed = max(s.signed, from.Value()+size.Value())
	}
}

// automatic looks at an action that runs without a click, and at those that
// follow it. To turn to a page is harmless; scripts and programs are found by
// themselves.
func (s *scan) automatic(o types.Object, depth int) {
	d, ok := s.deref(o).(types.Dict)
	if !ok {
		return
	}
	if s.actions++; depth > 20 || s.actions > maxActions {
		s.found(ruleDamaged)
		return
	}
	switch s.name(d["S"]) {
	case "URI", "GoToR", "GoToE", "SubmitForm", "ImportData":
		s.found(ruleOpen)
	}
	switch next := s.deref(d["Next"]).(type) {
	case types.Dict:
		s.automatic(next, depth+1)
	case types.Array:
		for _, o := range next {
			s.automatic(o, depth+1)
		}
	}
}

// text returns the text that o is, or "".
func (s *scan) text(o types.Object) string {
	switch o := s.deref(o).(type) {
	case types.StringLiteral:
		t, err := types.StringLiteralToString(o)
		if err != nil {
			return string(o)
		}
		return t
	case types.HexLiteral:
		t, err := types.HexLiteralToString(o)
		if err != nil {
			return ""
		}
		return t
	}
	return ""
}

// The claim to be PDF/A, as an attribute or as an element (ISO 19005-1 §6.7.11).
var (
	pdfaPart        = regexp.MustCompile(`pdfaid:part\s*(?:=\s*["']|>)\s*([1-4])`)
	pdfaConformance = regexp.MustCompile(`pdfaid:conformance\s*(?:=\s*["']|>)\s*([ABUEFabuef])`)
)

// maxXMP is how much of the metadata is read: most have some 10 KiB, those of
// picture editors may have a hundred times that.
const maxXMP = 4 << 20

// claim returns the PDF/A part and level that the metadata of the file name.
func (s *scan) claim() string {
	root, err := s.ctx.Catalog()
	if err != nil || root == nil {
		return ""
	}
	var xmp []byte
	switch sd := s.deref(root["Metadata"]).(type) {
	case types.StreamDict:
		xmp, err = decode(&sd, maxXMP)
	case *types.StreamDict:
		xmp, err = decode(sd, maxXMP)
	}
	if len(xmp) == maxXMP || errors.Is(err, errBomb) {
		s.found(ruleBomb)
	}
	if bytes.HasPrefix(xmp, []byte("\xfe\xff")) || bytes.HasPrefix(xmp, []byte("\xff\xfe")) {
		xmp = bytes.ReplaceAll(xmp, []byte{0}, nil) // UTF-16: enough to find the claim
	}
	part := pdfaPart.FindSubmatch(xmp)
	if part == nil {
		return ""
	}
	level := pdfaConformance.FindSubmatch(xmp)
	if level == nil {
		return string(part[1]) // part 4 has no level
	}
	return string(part[1]) + strings.ToUpper(string(level[1]))
}
