package pdf

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/types"

	"greffe/pkg/greffe"
)

// scan is the check of one file. It runs in the child.
type scan struct {
	file  []byte
	ctx   *model.Context
	facts greffe.PDF
	seen  map[string]greffe.Finding
}

// found notes that a rule is broken; once is enough.
func (s *scan) found(r greffe.Rule) { s.seen[r.ID] = r.At("") }

// findings lists what was found in the order of the rules.
func (s *scan) findings() []greffe.Finding {
	var list []greffe.Finding
	for _, r := range rules {
		if f, ok := s.seen[r.ID]; ok {
			list = append(list, f)
		}
	}
	return list
}

// prepare does what is done once per process.
func prepare() { config() }

// config returns the settings of pdfcpu. Its own limits come before those of the
// process: they turn most bombs into an error at once.
var config = sync.OnceValue(func() *model.Configuration {
	api.DisableConfigDir() // it would write one into the home directory
	conf := model.NewDefaultConfiguration()
	conf.ValidationMode = model.ValidationRelaxed
	conf.Offline = true
	conf.Optimize = false
	conf.Limits.MaxStreamBytes = 128 << 20
	conf.Limits.MaxDecodeBytes = 64 << 20
	conf.Limits.MaxObjectCount = 2_000_000
	conf.Limits.MaxXRefEntries = 2_000_000
	conf.Limits.MaxObjectStreamCount = 200_000
	return conf
})

func (s *scan) run() {
	if len(s.file) == 0 {
		s.found(ruleEmpty)
		return
	}
	if !s.structure() {
		return
	}
	conf := *config()
	ctx, err := api.ReadContext(bytes.NewReader(s.file), &conf)
	if err != nil {
		s.unread(err)
		return
	}
	s.ctx = ctx
	s.facts.Version = ctx.VersionString()
	if s.facts.Encrypted = ctx.Encrypt != nil; s.facts.Encrypted {
		s.found(ruleRestricted)
	}
	// Before the validation, which mends and drops what it does not like.
	s.facts.PDFA = s.claim()
	s.facts.Pages = s.pages()
	s.walkAll()
	if err := api.ValidateContext(ctx); err != nil {
		s.found(ruleDamaged)
	}
	s.facts.Title = s.title()
	if s.facts.Pages == 0 {
		s.found(rulePages)
	}
}

// unread says why a file cannot be read.
func (s *scan) unread(err error) {
	// An encryption that pdfcpu does not know (a certificate instead of a password)
	// is no damage. The word stands in the trailer, which is never encrypted.
	if errors.Is(err, pdfcpu.ErrWrongPassword) || bytes.Contains(s.file, []byte("/Encrypt")) {
		s.facts.Encrypted = true
		s.found(ruleEncrypted)
		return
	}
	s.found(ruleUnreadable)
}

// title returns the title of the document information, bounded.
func (s *scan) title() string {
	t := strings.TrimSpace(strings.ToValidUTF8(s.ctx.Title, "�"))
	if utf8.RuneCountInString(t) > 200 {
		t = string([]rune(t)[:200])
	}
	return t
}

var (
	headerMark = []byte("%PDF-")
	endMark    = []byte("%%EOF")
	startxref  = regexp.MustCompile(`startxref[\s\x00]+(\d{1,12})[\s\x00]`)
	objectMark = regexp.MustCompile(`\d+ \d+ obj|startxref|endstream|endobj`)
	xrefMark   = regexp.MustCompile(`^[\s\x00]*(xref|\d+[\s\x00]+\d+[\s\x00]+obj)`)
)

const blanks = "\x00\t\n\f\r "

// structure looks at the file from outside (ISO 32000-1 §7.5): header, end, and
// foreign bytes around them. It reports whether there is a PDF to read.
func (s *scan) structure() bool {
	// Readers look for the header in the first 1024 bytes (Annex H, note 13).
	begin := bytes.Index(s.file[:min(len(s.file), 1024+len(headerMark))], headerMark)
	if begin < 0 {
		s.found(ruleNotPDF)
		return false
	}
	if lead := s.file[:begin]; strings.Trim(string(lead), blanks+"\ufeff") != "" {
		s.found(ruleLeading)
		if foreign(lead) {
			s.found(rulePolyglot)
		}
	}
	end := bytes.LastIndex(s.file, endMark)
	if end < 0 {
		s.found(ruleTruncated)
		return true
	}
	if tail := bytes.Trim(s.file[end+len(endMark):], blanks); len(tail) > 0 {
		// Objects after the last end: an update, or the main part of a linearised
		// file, that was cut.
		if objectMark.Match(tail) {
			s.found(ruleTruncated)
			return true
		}
		s.found(ruleTrailing)
		if foreign(tail) {
			s.found(rulePolyglot)
		}
	}
	if !s.startPlausible(begin, end) {
		s.found(ruleDamaged)
	}
	return true
}

// startPlausible reports whether the offset before the last %%EOF leads to a
// cross-reference table, counted from the start of the file or of the header.
func (s *scan) startPlausible(begin, end int) bool {
	from := max(0, end-1024)
	all := startxref.FindAllSubmatch(s.file[from:end], -1)
	if len(all) == 0 {
		return false
	}
	offset := 0
	for _, digit := range all[len(all)-1][1] {
		offset = offset*10 + int(digit-'0')
	}
	for _, at := range []int{offset, offset + begin} {
		if at < len(s.file) && xrefMark.Match(s.file[at:min(at+64, len(s.file))]) {
			return true
		}
	}
	return false
}

// foreign reports whether b looks like the start of a program, an archive or a
// page, or holds an archive's directory.
func foreign(b []byte) bool {
	if program(b) || bytes.Contains(b, []byte("PK\x05\x06")) || bytes.HasPrefix(b, []byte("PK\x03\x04")) {
		return true
	}
	head := bytes.ToLower(b[:min(len(b), 4096)])
	for _, tag := range []string{"<html", "<script", "<!doctype", "<svg", "<?php", "<hta:"} {
		if bytes.Contains(head, []byte(tag)) {
			return true
		}
	}
	return false
}

// program reports whether b begins as a program does (PE, ELF, Mach-O, script,
// Java class, shortcut).
func program(b []byte) bool {
	for _, magic := range []string{"MZ", "\x7fELF", "\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xca\xfe\xba\xbe", "#!", "L\x00\x00\x00\x01\x14\x02\x00"} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	return false
}

// name returns the name that o is, or "".
func (s *scan) name(o types.Object) string {
	o = s.deref(o)
	if n, ok := o.(types.Name); ok {
		return string(n)
	}
	return ""
}

// deref resolves a reference; objects of object streams are decoded on the way. A
// reference that leads nowhere is null (§7.3.10).
func (s *scan) deref(o types.Object) types.Object {
	for range 8 { // a reference to a reference is malformed; a ring of them must end
		if _, ok := o.(types.IndirectRef); !ok {
			return o
		}
		var err error
		if o, err = s.ctx.Dereference(o); err != nil {
			s.found(ruleDamaged)
			return nil
		}
	}
	return nil
}
