package pdf

import (
	"bytes"
	"strings"
)

// structure looks at the file from outside (ISO 32000-1 §7.5): header, end, what is
// missing and foreign bytes around it. It reports whether there is a PDF to read.
func (s *scan) structure() bool {
	// Readers look for the header in the first 1024 bytes (Annex H.3, note 13).
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
	if archiveAround(s.file) {
		s.found(rulePolyglot)
	}
	s.lay = lay(s.file, begin)
	l := &s.lay
	if l.starts > 2 || l.starts == 2 && !linearized.Match(s.file[begin:min(len(s.file), begin+1024)]) {
		s.found(ruleUpdated)
	}
	offset, ok := l.startOffset(s.file)
	whole := ok && l.tableAt(s.file, offset)
	if s.cut(offset, whole) {
		s.found(ruleTruncated)
		return true
	}
	if !whole || l.end < l.start {
		s.found(ruleDamaged)
	}
	if l.end < l.start {
		return true
	}
	if tail := s.tail(); len(tail) > 0 {
		s.found(ruleTrailing)
		if foreign(tail) {
			s.found(rulePolyglot)
		}
	}
	return true
}

// tail returns what follows the last end of the file, without blanks around it.
func (s *scan) tail() []byte {
	return bytes.Trim(s.file[s.lay.end+len(endMark):], blanks)
}

// cut reports whether bytes of the file did not arrive. pdfcpu reads such a file by
// looking for whatever objects are left. offset is what the last startxref gives;
// whole says that the cross-reference table is there.
func (s *scan) cut(offset int, whole bool) bool {
	l := &s.lay
	switch {
	case l.missing(s.file) > 16: // some lose blanks at their end
		return true
	case whole && l.start > l.end:
		return false // only the mark of the end is lost
	case l.end < 0:
		return true
	case objectMark.Match(s.tail()):
		return true // an update, or the main part of a linearised file, that was cut
	case whole:
		return false
	case l.open, l.tooLong:
		return true
	case l.start < 0:
		return false
	}
	// The table stands nearer to the beginning than the file says: what was before
	// it is missing. The other way round, something was put in.
	table := l.tableBefore(s.file)
	return table >= 0 && offset > table && offset != table+l.begin
}

// foreign reports whether b looks like the start of a program, an archive or a
// page, or holds an archive's directory.
func foreign(b []byte) bool {
	if program(b) || archive(b) || bytes.Contains(b, []byte("PK\x05\x06")) {
		return true
	}
	return page(b)
}

// archiveAround reports whether the file ends as a ZIP archive does: with a
// directory whose comment goes on to the last byte (APPNOTE.TXT §4.3.16). A PDF
// stands inside such a comment, or before the directory.
func archiveAround(file []byte) bool {
	for end := len(file); ; {
		from := max(0, len(file)-22-0xffff)
		i := bytes.LastIndex(file[from:end], []byte("PK\x05\x06"))
		if i < 0 {
			return false
		}
		at := from + i
		if at+22 <= len(file) && at+22+int(file[at+20])+int(file[at+21])<<8 == len(file) {
			return true
		}
		end = at + 3
		if end <= from {
			return false
		}
	}
}

// page reports whether b holds a page that a browser would run.
func page(b []byte) bool {
	head := bytes.ToLower(b[:min(len(b), 4096)])
	for _, tag := range []string{"<html", "<script", "<!doctype html", "<svg", "<?php", "<hta:", "<iframe"} {
		if bytes.Contains(head, []byte(tag)) {
			return true
		}
	}
	return false
}

// program reports whether b begins as a program does (PE, ELF, Mach-O, script,
// Java class, shortcut, Flash, WebAssembly, Android).
func program(b []byte) bool {
	return begins(b, "MZ", "\x7fELF", "\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xca\xfe\xba\xbe", "#!",
		"L\x00\x00\x00\x01\x14\x02\x00", "FWS", "CWS", "ZWS", "\x00asm", "dex\n")
}

// archive reports whether b begins as an archive, a disk image or an office file
// does: what may hold programs that are not looked for.
func archive(b []byte) bool {
	return begins(b, "PK\x03\x04", "PK\x05\x06", "Rar!\x1a\x07", "7z\xbc\xaf\x27\x1c", "\x1f\x8b", "BZh", "\xfd7zXZ\x00", "MSCF",
		"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "{\\rtf", "\x28\xb5\x2f\xfd") || len(b) > 262 && string(b[257:262]) == "ustar"
}

func begins(b []byte, magics ...string) bool {
	for _, m := range magics {
		if bytes.HasPrefix(b, []byte(m)) {
			return true
		}
	}
	return false
}
