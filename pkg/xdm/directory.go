package xdm

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"unicode/utf8"

	"greffe/pkg/greffe"
)

// A ZIP says twice what it holds: in the directory at its end and in a header before each
// file. archive/zip believes the directory, other programs the headers, and an archive may
// be made so that they see different files. So both are read here and must agree; section
// numbers are those of PKWARE's APPNOTE.TXT.

const (
	sigLocal   = "PK\x03\x04" // §4.3.7
	sigCentral = "PK\x01\x02" // §4.3.12
	sigSigned  = "PK\x05\x05" // §4.3.13
	sigEnd     = "PK\x05\x06" // §4.3.16
	sigEnd64   = "PK\x06\x06" // §4.3.14
	sigLocator = "PK\x06\x07" // §4.3.15

	lenLocal, lenCentral, lenEnd, lenEnd64, lenLocator = 30, 46, 22, 56, 20

	extraZip64   = 0x0001 // §4.5.3
	extraUnicode = 0x7075 // §4.6.9

	maxComment  = 1<<16 - 1
	maxTrailing = 1 << 20   // bytes behind an archive that are looked past to find its end
	maxOffset   = 1<<63 - 1 // of the format's 64 bits
)

// record is one entry as the directory describes it.
type record struct {
	zip.FileHeader
	unicode string // the name in UTF-8, where an extra field gives one
	at      int64  // place of its local header
	data    int64  // place of its bytes, once its local header was read
	broken  bool   // the local header cannot be read
}

// directory is what is known of an archive before any of its files is read.
type directory struct {
	records  []record
	start    int64 // its place
	prefix   int64 // bytes before the archive, which all places count from
	trailing int64 // bytes behind the archive
	torn     bool  // two programs may read it differently
}

// readDirectory finds and reads the directory of the ZIP in r. What is wrong with the
// archive is a finding; an error is r's.
func readDirectory(r io.ReaderAt, size int64, lim Limits) (*directory, *greffe.Finding, error) {
	bad := func(rule greffe.Rule, args ...any) (*directory, *greffe.Finding, error) {
		f := rule.At("", args...)
		return nil, &f, nil
	}
	e, err := findEnd(r, size)
	if err != nil {
		return nil, nil, err
	}
	if e == nil {
		first := make([]byte, len(sigLocal))
		if n, err := readAt(r, first, 0); err != nil {
			return nil, nil, err
		} else if string(first[:n]) == sigLocal {
			return bad(ruleTruncated)
		}
		return bad(ruleZip)
	}
	if e.split {
		return bad(ruleSplit)
	}
	d := &directory{trailing: size - e.stop, torn: e.torn}
	ok, err := d.place(r, e)
	if err != nil {
		return nil, nil, err
	}
	length := e.at - d.start
	switch {
	case !ok || e.count == 0 && length == 0:
		return bad(ruleZip)
	case length > maxDirectory:
		return bad(ruleEntries, lim.Entries)
	}
	b := make([]byte, length)
	if n, err := readAt(r, b, d.start); err != nil {
		return nil, nil, err
	} else if n < len(b) {
		return bad(ruleTruncated)
	}
	rest := d.parse(b)
	if len(d.records) == 0 {
		return bad(ruleZip)
	}
	// The number of entries is cut to 16 bits in archives that are not ZIP64.
	counted := uint64(len(d.records))
	if counted != e.count && (e.wide || uint16(counted) != uint16(e.count)) || len(rest) > 0 && !bytes.HasPrefix(rest, []byte(sigSigned)) {
		d.torn = true
	}
	// An end of archive inside the directory is one that another program may take.
	d.torn = d.torn || bytes.Contains(b, []byte(sigEnd))
	return d, nil, nil
}

// place decides where the directory begins: before its end record, by its length, or where
// its offset says. Both are the same but for bytes before the archive or a wrong length.
func (d *directory) place(r io.ReaderAt, e *ending) (bool, error) {
	byLength, byOffset := int64(-1), int64(-1)
	if e.length <= uint64(e.at) {
		byLength = e.at - int64(e.length)
	}
	if e.offset <= uint64(e.at) {
		byOffset = int64(e.offset)
	}
	is := func(at int64) (bool, error) {
		if at < 0 {
			return false, nil
		}
		b := make([]byte, 4)
		n, err := readAt(r, b, at)
		return string(b[:n]) == sigCentral, err
	}
	one, err := is(byLength)
	if err != nil {
		return false, err
	}
	other, err := is(byOffset)
	switch {
	case err != nil:
		return false, err
	case byLength == byOffset || one && !other:
		d.start = byLength
	case other:
		d.start = byOffset
		d.torn = d.torn || one
	default:
		return false, nil
	}
	if byOffset < 0 {
		return false, nil // the directory says that it lies behind itself
	}
	d.prefix = d.start - byOffset
	return d.prefix >= 0 && (one || other || e.count == 0), nil
}

// parse reads the records of the directory and returns the bytes that are none.
func (d *directory) parse(b []byte) []byte {
	le := binary.LittleEndian
	for len(b) >= lenCentral && string(b[:4]) == sigCentral {
		name, extra, comment := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
		end := lenCentral + name + extra + comment
		if end > len(b) {
			break
		}
		rec := record{FileHeader: zip.FileHeader{
			Name: string(b[lenCentral : lenCentral+name]), CreatorVersion: le.Uint16(b[4:]), Flags: le.Uint16(b[8:]), Method: le.Uint16(b[10:]),
			CRC32: le.Uint32(b[16:]), CompressedSize64: uint64(le.Uint32(b[20:])), UncompressedSize64: uint64(le.Uint32(b[24:])),
			ExternalAttrs: le.Uint32(b[38:]),
		}}
		offset := uint64(le.Uint32(b[42:]))
		fields := b[lenCentral+name : lenCentral+name+extra]
		rec.unicode = unicodeName(fields, b[lenCentral:lenCentral+name])
		wide := field(fields, extraZip64)
		for _, v := range []*uint64{&rec.UncompressedSize64, &rec.CompressedSize64, &offset} {
			if *v == 0xffffffff && len(wide) >= 8 {
				*v, wide = le.Uint64(wide), wide[8:]
			}
		}
		if rec.at = int64(min(offset, maxOffset)); rec.at > maxOffset-d.prefix {
			rec.at = maxOffset
		} else {
			rec.at += d.prefix
		}
		d.records = append(d.records, rec)
		b = b[end:]
	}
	return b
}

// field returns the first extra field of a kind (§4.5.1), or nil.
func field(extra []byte, id uint16) []byte {
	for len(extra) >= 4 {
		size := int(binary.LittleEndian.Uint16(extra[2:]))
		if size > len(extra)-4 {
			return nil
		}
		if binary.LittleEndian.Uint16(extra) == id {
			return extra[4 : 4+size]
		}
		extra = extra[4+size:]
	}
	return nil
}

// unicodeName returns the name of the Info-ZIP Unicode Path field, which counts as long as
// it was made for the name that stands in the header.
func unicodeName(extra, name []byte) string {
	f := field(extra, extraUnicode)
	if len(f) < 6 || f[0] != 1 || binary.LittleEndian.Uint32(f[1:]) != crc32.ChecksumIEEE(name) || !utf8.Valid(f[5:]) {
		return ""
	}
	return string(f[5:])
}

// readAt fills b as far as r goes; the end of r is no error.
func readAt(r io.ReaderAt, b []byte, off int64) (int, error) {
	n, err := r.ReadAt(b, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}
