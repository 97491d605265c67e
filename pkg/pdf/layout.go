package pdf

import (
	"bytes"
	"regexp"
	"strconv"
)

// layout is a file seen from outside, from its first byte to its last and without
// its cross-reference table: what a reader finds that has to rebuild that table,
// and what a table may leave out on purpose.
type layout struct {
	begin     int  // of the header
	end       int  // of the last end-of-file mark that stands outside streams; -1 without one
	start     int  // of the last startxref outside streams; -1 without one
	starts    int  // how many of them there are: one more than updates (§7.5.6)
	tooLong   bool // a stream says that it ends where the file is over
	open      bool // the file ends inside a stream
	active    bool // what stands outside streams names a script or a program
	objStms   []objStm
	encrypted bool // a trailer or a cross-reference stream names an encryption
}

// objStm is an object stream (§7.5.7) as it stands in the file.
type objStm struct {
	at   int // where its data begin
	data []byte
	raw  bool // not compressed
}

// maxObjStms bounds the object streams that are noted.
const maxObjStms = 4096

var (
	headerMark = []byte("%PDF-")
	endMark    = []byte("%%EOF")
	startMark  = []byte("startxref")
	streamMark = []byte("stream")
	endStream  = []byte("endstream")
)

const blanks = "\x00\t\n\f\r "

// lay walks over the file from the header at begin.
func lay(file []byte, begin int) layout {
	l := layout{begin: begin, end: -1, start: -1}
	from := begin // what stands outside streams begins here
	for at := begin; ; {
		i := bytes.Index(file[at:], streamMark)
		if i < 0 {
			l.outside(file, from, len(file))
			return l
		}
		at += i + len(streamMark)
		data, dict := streamAt(file, at, from)
		if data < 0 {
			continue
		}
		l.outside(file, from, at)
		next := l.stream(file, data, dict)
		if next < 0 {
			l.open = true
			l.outside(file, data, len(file)) // a file without this one keyword can still be whole
			return l
		}
		at, from = next, next
	}
}

// streamAt returns where the data begin of a stream whose keyword ends at at, and
// its dictionary with what stands before it; -1 when that is no stream (§7.3.8.1).
func streamAt(file []byte, at, from int) (data int, dict []byte) {
	before := bytes.TrimRight(file[max(from, at-len(streamMark)-4096):at-len(streamMark)], blanks)
	if !bytes.HasSuffix(before, []byte(">>")) || at >= len(file) {
		return -1, nil
	}
	switch {
	case file[at] == '\n':
		return at + 1, before
	case file[at] == '\r' && at+1 < len(file) && file[at+1] == '\n':
		return at + 2, before
	case file[at] == '\r':
		return at + 1, before
	case file[at] == ' ' && at+1 < len(file) && (file[at+1] == '\n' || file[at+1] == '\r'): // seen in the wild
		return at + 2, before
	}
	return -1, nil
}

// stream notes one stream and returns where it ends; -1 when it does not.
func (l *layout) stream(file []byte, data int, dict []byte) int {
	n, ok := directLength(dict)
	end := -1
	if ok && n <= len(file)-data {
		if rest := bytes.TrimLeft(file[data+n:min(len(file), data+n+16)], blanks); bytes.HasPrefix(rest, endStream) {
			end = data + n
		}
	}
	if end < 0 {
		if i := bytes.Index(file[data:], endStream); i >= 0 {
			end = data + i
		}
		if ok && n+len(endStream) > len(file)-data {
			l.tooLong = true
		}
	}
	if end < 0 {
		return -1
	}
	if bytes.Contains(dict, []byte("/ObjStm")) && len(l.objStms) < maxObjStms {
		l.objStms = append(l.objStms, objStm{data, file[data:end], !bytes.Contains(dict, []byte("/Filter"))})
	}
	return end
}

// directLength returns the length that a dictionary gives itself as a number, not as
// a reference.
func directLength(dict []byte) (int, bool) {
	for {
		i := bytes.LastIndex(dict, []byte("/Length"))
		if i < 0 {
			return 0, false
		}
		if m := lengthValue.FindSubmatch(dict[i:]); m != nil {
			n, err := strconv.Atoi(string(m[1]))
			return n, err == nil && m[2] == nil
		}
		dict = dict[:i] // that was Length1
	}
}

var lengthValue = regexp.MustCompile(`^/Length[\s\x00]+(\d{1,12})\b([\s\x00]+\d+[\s\x00]+R)?`)

// outside looks at what stands between two streams.
func (l *layout) outside(file []byte, from, to int) {
	b := file[from:to]
	if i := bytes.LastIndex(b, endMark); i >= 0 {
		l.end = from + i
	}
	if i := bytes.LastIndex(b, startMark); i >= 0 {
		l.start = from + i
		l.starts += bytes.Count(b, startMark)
		l.starts -= len(emptyTable.FindAll(b, -1)) // some programs end with a table that adds nothing
	}
	l.active = l.active || active(b)
	l.encrypted = l.encrypted || bytes.Contains(b, []byte("/Encrypt"))
}

var emptyTable = regexp.MustCompile(`xref[\s\x00]+0 0[\s\x00]+trailer`)

var startValue = regexp.MustCompile(`^startxref[\s\x00]+(\d{1,12})`)

// startOffset returns the offset that the last startxref gives.
func (l *layout) startOffset(file []byte) (int, bool) {
	if l.start < 0 {
		return 0, false
	}
	m := startValue.FindSubmatch(file[l.start:min(len(file), l.start+64)])
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(m[1]))
	return n, err == nil
}

// tableAt reports whether a cross-reference table or stream begins at offset,
// counted from the start of the file or, as some programs do, of the header.
func (l *layout) tableAt(file []byte, offset int) bool {
	for _, at := range []int{offset, offset + l.begin} {
		if at >= len(file) {
			continue
		}
		b := bytes.TrimLeft(file[at:min(at+64, len(file))], blanks)
		if bytes.HasPrefix(b, []byte("xref")) {
			return true
		}
		if objectHead.Match(b) {
			head, _, _ := bytes.Cut(file[at:min(at+4096, len(file))], streamMark)
			if bytes.Contains(head, []byte("/XRef")) {
				return true
			}
		}
	}
	return false
}

// tableBefore returns where the cross-reference table or stream stands that ends
// before the last startxref; -1 when none is found near it.
func (l *layout) tableBefore(file []byte) int {
	b := file[max(0, l.start-4<<20):l.start]
	base := l.start - len(b)
	table := -1
	for end := len(b); table < 0; {
		i := bytes.LastIndex(b[:end], []byte("xref"))
		if i < 0 {
			break
		}
		if i < 5 || string(b[i-5:i]) != "start" {
			table = base + i
		}
		end = i
	}
	if i := bytes.LastIndex(b, []byte("/XRef")); i >= 0 && base+i > table {
		if heads := objectAny.FindAllIndex(b[max(0, i-4096):i], -1); len(heads) > 0 {
			table = base + max(0, i-4096) + heads[len(heads)-1][0]
		}
	}
	return table
}

var (
	objectHead = regexp.MustCompile(`^\d+[\s\x00]+\d+[\s\x00]+obj`)
	objectAny  = regexp.MustCompile(`\d+[\s\x00]+\d+[\s\x00]+obj`)
	// objectMark matches what only stands in a PDF, whole or cut off.
	objectMark = regexp.MustCompile(`\d+ \d+ obj|startxref|endstream|endobj|^\d+( \d+( o(b)?)?)?$`)
	linearized = regexp.MustCompile(`/Linearized\b`)
	wholeValue = regexp.MustCompile(`/L[\s\x00]+(\d{1,12})\b`)
)

// missing returns by how many bytes the file is shorter than its linearisation
// dictionary says (Annex F.2.2); not positive when it is not.
func (l *layout) missing(file []byte) int {
	head := file[l.begin:min(len(file), l.begin+1024)]
	if !linearized.Match(head) {
		return 0
	}
	m := wholeValue.FindSubmatch(head)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}
	return n - (len(file) - l.begin)
}
