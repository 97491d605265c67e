package xdm

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// checkLocal reads the header before each file. It sets where their bytes are, and reports
// whether the headers contradict the directory (a name, a method, a size, a file that only
// they know) and whether files share bytes. An error is r's.
func (d *directory) checkLocal(r io.ReaderAt) (overlap bool, err error) {
	order := make([]int, len(d.records))
	buf := make([]byte, 0, 512)
	for i := range d.records {
		order[i] = i
		same, err := d.readLocal(r, &d.records[i], &buf)
		if err != nil {
			return false, err
		}
		d.torn = d.torn || !same
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(d.records[i].at, d.records[j].at) })
	end := int64(0)
	for _, i := range order {
		rec := &d.records[i]
		if rec.at < end {
			overlap = true
		} else if err := d.checkGap(r, end, min(rec.at, d.start)); err != nil {
			return overlap, err
		}
		if end = max(end, rec.at); !rec.broken {
			end = max(end, rec.data+int64(rec.CompressedSize64))
		}
	}
	if end < d.start {
		err = d.checkGap(r, end, d.start)
	}
	return overlap, err
}

// readLocal reads the local header of rec and reports whether it says the same as rec.
func (d *directory) readLocal(r io.ReaderAt, rec *record, scratch *[]byte) (same bool, err error) {
	le := binary.LittleEndian
	if rec.at > d.start-lenLocal {
		rec.broken = true
		return true, nil
	}
	// Most extra fields are read in one go with the name.
	b := slices.Grow((*scratch)[:0], lenLocal+len(rec.Name)+64)[:lenLocal+len(rec.Name)+64]
	*scratch = b
	n, err := readAt(r, b, rec.at)
	if err != nil {
		return false, err
	}
	if b = b[:n]; n < lenLocal || string(b[:4]) != sigLocal {
		rec.broken = true
		return true, nil
	}
	name, extra := int(le.Uint16(b[26:])), int(le.Uint16(b[28:]))
	rec.data = rec.at + lenLocal + int64(name) + int64(extra)
	if rec.CompressedSize64 > uint64(max(0, d.start-rec.data)) || rec.data > d.start {
		rec.broken = true
		return true, nil
	}
	if need := lenLocal + name + extra; need > len(b) {
		b = make([]byte, need)
		if n, err := readAt(r, b, rec.at); err != nil || n < need {
			return false, err
		}
	}
	return rec.agrees(b, b[lenLocal:lenLocal+name], b[lenLocal+name:lenLocal+name+extra]), nil
}

// agrees compares rec with its local header. Sizes and checksum come behind the file and
// are zero here when flag 3 says so (§4.4.4), and with some writers that do not set it.
func (rec *record) agrees(b, name, extra []byte) bool {
	const protected = 1 | 1<<6 | 1<<13
	le := binary.LittleEndian
	flags := le.Uint16(b[6:])
	local := record{FileHeader: zip.FileHeader{Name: string(name)}, unicode: unicodeName(extra, name)}
	if local.Name != rec.Name && !sameName(&local, rec) || local.unicode != "" && !sameName(&local, rec) || (flags^rec.Flags)&protected != 0 {
		return false
	}
	if strings.HasSuffix(rec.Name, "/") && rec.UncompressedSize64 == 0 {
		return true // a folder; writers differ in what they say of its bytes
	}
	if le.Uint16(b[8:]) != rec.Method {
		return false
	}
	if flags&(1<<3) != 0 {
		return true
	}
	crc, packed, size := le.Uint32(b[14:]), uint64(le.Uint32(b[18:])), uint64(le.Uint32(b[22:]))
	wide := field(extra, extraZip64)
	for _, v := range []*uint64{&size, &packed} {
		if *v == 0xffffffff && len(wide) >= 8 {
			*v, wide = le.Uint64(wide), wide[8:]
		}
	}
	return (crc == 0 || crc == rec.CRC32) && (packed == 0 || packed == rec.CompressedSize64) && (size == 0 || size == rec.UncompressedSize64)
}

// sameName reports whether two headers name the same file: they may write it with other
// separators, or in another code page.
func sameName(a, b *record) bool {
	one, _ := a.decodeName()
	two, _ := b.decodeName()
	return norm.NFC.String(cleanPath(one)) == norm.NFC.String(cleanPath(two))
}

// checkGap looks for the header of a file that the directory does not know, in bytes that
// belong to no file: a program that reads from the beginning would see it.
func (d *directory) checkGap(r io.ReaderAt, from, to int64) error {
	const window = 64 << 10
	if to-from < lenLocal || d.torn {
		return nil
	}
	buf := make([]byte, min(window, to-from))
	for from < to {
		b := buf[:min(window, to-from)]
		n, err := readAt(r, b, from)
		if err != nil {
			return err
		}
		b = b[:n]
		for i := bytes.Index(b, []byte(sigLocal)); i >= 0; {
			if isLocal(b[i:]) {
				d.torn = true
				return nil
			}
			next := bytes.Index(b[i+1:], []byte(sigLocal))
			if next < 0 {
				break
			}
			i += 1 + next
		}
		if n < lenLocal || from+int64(n) >= to {
			return nil
		}
		from += int64(n) - lenLocal + 1 // a header may lie across the border
	}
	return nil
}

// isLocal reports whether b can be the header of a file, and not four bytes of something
// else: a version and a method that exist, a name of sensible length.
func isLocal(b []byte) bool {
	if len(b) < lenLocal {
		return false
	}
	le := binary.LittleEndian
	method, name := le.Uint16(b[8:]), le.Uint16(b[26:])
	return le.Uint16(b[4:])&0xff <= 63 && (method <= 20 || method >= 93 && method <= 99) && name > 0 && name <= 1024
}
