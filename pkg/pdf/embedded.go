package pdf

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/types"

	"greffe/pkg/greffe"
)

const (
	maxNames  = 8        // embedded files that the finding names
	maxName   = 60       // characters of such a name
	maxNested = 2        // PDFs in PDFs that are looked into
	maxOpened = 64 << 20 // bytes of such PDFs, together
)

// attachment looks at a file specification that embeds a file (§7.11.3, §7.11.4).
func (s *scan) attachment(d types.Dict) {
	name := ""
	for _, key := range []string{"UF", "F", "DOS", "Unix", "Mac"} {
		t := s.text(d[key])
		if programName(t) {
			s.found(ruleProgram)
		}
		if name == "" {
			name = t
		}
	}
	s.attached = append(s.attached, name)
	files, ok := s.deref(d["EF"]).(types.Dict)
	if !ok {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(files)) {
		switch sd := s.deref(files[key]).(type) {
		case types.StreamDict:
			s.embedded(&sd)
		case *types.StreamDict:
			s.embedded(sd)
		}
	}
}

// embedded looks at the content of an embedded file. The name that it goes by is not
// asked.
func (s *scan) embedded(sd *types.StreamDict) {
	if sd == nil || len(sd.Raw) == 0 || s.looked[&sd.Raw[0]] {
		return
	}
	if s.looked == nil {
		s.looked = make(map[*byte]bool)
	}
	s.looked[&sd.Raw[0]] = true // one file may go by many names
	first, err := decode(sd, 4096)
	switch {
	case errors.Is(err, errBomb):
		s.found(ruleBomb)
		return
	case err != nil:
		return
	}
	text := strings.TrimLeft(strings.TrimPrefix(string(first), "\ufeff"), blanks)
	switch {
	case program(first), page([]byte(text)) && strings.HasPrefix(text, "<"):
		s.found(ruleProgram)
	case archive(first):
		s.found(ruleArchive)
	case strings.HasPrefix(text, "%PDF-"):
		s.nested(sd)
	}
}

// nested looks into an embedded PDF for what acts.
func (s *scan) nested(sd *types.StreamDict) {
	if s.depth >= maxNested || s.opened >= maxOpened {
		s.found(ruleArchive) // there is something in it that nobody looked at
		return
	}
	file, _ := decode(sd, int64(maxOpened-s.opened))
	s.opened += len(file)
	if s.opened >= maxOpened {
		s.found(ruleBomb)
		return
	}
	in := &scan{file: file, depth: s.depth + 1, opened: s.opened, seen: map[string]greffe.Finding{}}
	in.run()
	s.opened, s.spent = in.opened, s.spent || in.spent
	for _, r := range []greffe.Rule{
		ruleOverrun, ruleBomb, rulePolyglot, ruleScript, ruleLaunch, ruleHidden, ruleOpen, ruleRich, rulePostScript, ruleXFA, ruleProgram, ruleArchive,
	} {
		if in.has(r) {
			s.found(r)
		}
	}
	if in.has(ruleEncrypted) {
		s.found(ruleArchive)
	}
}

// nameAttached writes the finding that lists the embedded files.
func (s *scan) nameAttached() {
	names := s.attached
	switch {
	case len(names) == 0 && !s.loose:
		return
	case len(names) == 0:
		names = []string{""}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var list []string
	for _, n := range names[:min(len(names), maxNames)] {
		list = append(list, "« "+readable(n)+" »")
	}
	text := strings.Join(list, ", ")
	if more := len(names) - maxNames; more > 0 {
		text += fmt.Sprintf(" et %d autres", more)
	}
	s.found(ruleEmbedded, text)
}

// readable returns a name that can be shown: short, on one line, without characters
// that turn the line around.
func readable(name string) string {
	name = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return -1
		}
		return c
	}, name)
	if name == "" {
		return "sans nom"
	}
	if r := []rune(name); len(r) > maxName {
		name = string(r[:maxName]) + "…"
	}
	return name
}

// programs are the endings of files that a click runs on a hospital's computers.
var programs = []string{
	".exe", ".com", ".scr", ".pif", ".bat", ".cmd", ".ps1", ".psm1", ".vbs", ".vbe", ".js", ".jse", ".mjs", ".wsf", ".wsh", ".wsc", ".sct",
	".hta", ".msi", ".msp", ".mst", ".dll", ".cpl", ".ocx", ".sys", ".jar", ".class", ".jnlp", ".lnk", ".reg", ".inf", ".sh", ".py", ".app", ".command",
	".docm", ".dotm", ".xlsm", ".xltm", ".xlam", ".xll", ".pptm", ".ppam", ".ppsm", ".sldm", ".iqy", ".slk",
	".iso", ".img", ".vhd", ".vhdx", ".appx", ".appxbundle", ".msix", ".msixbundle", ".application", ".apk", ".dmg", ".pkg", ".deb", ".rpm",
	".url", ".website", ".desktop", ".settingcontent-ms", ".appref-ms", ".library-ms", ".search-ms", ".searchconnector-ms", ".chm", ".hlp", ".gadget", ".diagcab", ".theme", ".one", ".swf",
	".htm", ".html", ".xht", ".xhtml", ".shtml", ".mht", ".mhtml", ".svg", ".svgz", ".php", ".asp", ".aspx",
}

func programName(name string) bool {
	name = strings.ToLower(strings.TrimRight(name, ". \x00"))
	return slices.Contains(programs, path.Ext(name))
}
