package pdf

import (
	"bytes"
	"compress/zlib"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/types"
)

// maxDepth bounds the nesting of direct objects that is followed.
const maxDepth = 200

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
	if s.name(sd.Dict["Type"]) == "EmbeddedFile" {
		s.found(ruleEmbedded)
		if program(inflate(sd, 64)) {
			s.found(ruleProgram)
		}
	}
	s.walk(sd.Dict, depth+1)
}

// dict looks at one dictionary: an action (§12.6.4), an annotation, a file
// specification (§7.11.3), a form (§12.7.2).
func (s *scan) dict(d types.Dict) {
	switch s.name(d["S"]) {
	case "JavaScript":
		s.found(ruleScript)
	case "Launch":
		s.found(ruleLaunch)
	case "GoToR", "SubmitForm", "ImportData":
		s.found(ruleExternal)
	case "URI":
		s.found(ruleLinks)
	case "Rendition", "Movie", "Sound", "RichMediaExecute":
		s.found(ruleMedia)
	}
	switch s.name(d["Subtype"]) {
	case "RichMedia", "3D", "Movie", "Sound", "Screen":
		s.found(ruleMedia)
	}
	if v, ok := d["JS"]; ok {
		switch s.deref(v).(type) {
		case types.StringLiteral, types.HexLiteral, types.StreamDict, *types.StreamDict:
			s.found(ruleScript)
		}
	}
	if _, ok := d["EF"]; ok {
		s.found(ruleEmbedded)
		for _, key := range []string{"F", "UF", "DOS", "Unix", "Mac"} {
			if programName(s.text(d[key])) {
				s.found(ruleProgram)
			}
		}
	}
	if _, ok := d["XFA"]; ok {
		s.found(ruleXFA)
	}
	if fields, ok := s.deref(d["Fields"]).(types.Array); ok && len(fields) > 0 {
		s.found(ruleForm)
	}
	if aa, ok := s.deref(d["AA"]).(types.Dict); ok {
		for _, action := range aa {
			s.automatic(action, 0)
		}
	}
}

// automatic looks at an action that runs without a click, and at those that
// follow it. To turn to a page is harmless; scripts and programs are found by
// themselves.
func (s *scan) automatic(o types.Object, depth int) {
	d, ok := s.deref(o).(types.Dict)
	if !ok || depth > 20 {
		return
	}
	switch s.name(d["S"]) {
	case "URI", "GoToR", "SubmitForm", "ImportData":
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

// programs are the endings of files that a click runs on a hospital's computers.
var programs = []string{
	".exe", ".com", ".scr", ".pif", ".bat", ".cmd", ".ps1", ".vbs", ".vbe", ".js", ".jse", ".wsf", ".wsh",
	".hta", ".msi", ".msp", ".dll", ".cpl", ".jar", ".lnk", ".reg", ".sh", ".app", ".docm", ".xlsm", ".pptm",
	".iso", ".img", ".vhd", ".appx", ".msix", ".url", ".settingcontent-ms",
}

func programName(name string) bool {
	name = strings.ToLower(strings.TrimRight(name, ". \x00"))
	return slices.Contains(programs, path.Ext(name))
}

// inflate returns at most limit bytes of a stream, or nil when it has another
// filter than Flate. It never decodes more than it returns, whatever the stream
// would grow to.
func inflate(sd *types.StreamDict, limit int64) []byte {
	var r io.Reader = bytes.NewReader(sd.Raw)
	switch {
	case len(sd.FilterPipeline) == 0:
	case len(sd.FilterPipeline) == 1 && sd.FilterPipeline[0].Name == "FlateDecode":
		z, err := zlib.NewReader(r)
		if err != nil {
			return nil
		}
		defer z.Close()
		r = z
	default:
		return nil
	}
	b, _ := io.ReadAll(io.LimitReader(r, limit)) // what could be read of a broken stream
	return b
}

// The claim to be PDF/A, as an attribute or as an element (ISO 19005-1 §6.7.11).
var (
	pdfaPart        = regexp.MustCompile(`pdfaid:part\s*(?:=\s*["']|>)\s*([1-4])`)
	pdfaConformance = regexp.MustCompile(`pdfaid:conformance\s*(?:=\s*["']|>)\s*([ABUEFabuef])`)
)

// maxXMP is how much of the metadata is read: real ones have some 10 KiB.
const maxXMP = 1 << 20

// claim returns the PDF/A part and level that the metadata of the file name.
func (s *scan) claim() string {
	root, err := s.ctx.Catalog()
	if err != nil || root == nil {
		return ""
	}
	var xmp []byte
	switch sd := s.deref(root["Metadata"]).(type) {
	case types.StreamDict:
		xmp = inflate(&sd, maxXMP)
	case *types.StreamDict:
		xmp = inflate(sd, maxXMP)
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

// pages counts the pages that can be reached (§7.7.3), whatever the file says
// their number is. A tree that comes back to itself is followed once.
func (s *scan) pages() int {
	root, err := s.ctx.Catalog()
	if err != nil || root == nil {
		return 0
	}
	said := 0
	if tree, ok := s.deref(root["Pages"]).(types.Dict); ok {
		if n, ok := s.deref(tree["Count"]).(types.Integer); ok {
			said = n.Value()
		}
	}
	n := 0
	seen := map[int]bool{}
	for todo := []types.Object{root["Pages"]}; len(todo) > 0; {
		o := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if ref, ok := o.(types.IndirectRef); ok {
			at := ref.ObjectNumber.Value()
			if seen[at] {
				s.found(ruleDamaged)
				continue
			}
			seen[at] = true
		}
		d, ok := s.deref(o).(types.Dict)
		if !ok {
			s.found(ruleDamaged)
			continue
		}
		if kids, ok := s.deref(d["Kids"]).(types.Array); ok {
			todo = append(todo, kids...)
		} else if s.name(d["Type"]) != "Pages" {
			n++
		}
	}
	if n != said {
		s.found(ruleDamaged)
	}
	return n
}
