package xdm

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"sync"
)

// ending is the record at the end of an archive.
type ending struct {
	at     int64  // place of the first of the records that end the directory
	stop   int64  // place behind its comment
	offset uint64 // of the directory, from the beginning of the archive
	length uint64 // of the directory, bytes
	count  uint64 // of entries
	wide   bool   // ZIP64
	split  bool   // one piece of several
	torn   bool
}

// tails are windows on the end of an archive.
var tails = sync.Pool{New: func() any { b := make([]byte, lenEnd+maxComment); return &b }}

// findEnd looks for the last end record that is whole; nil when there is none.
func findEnd(r io.ReaderAt, size int64) (*ending, error) {
	for _, window := range []int64{lenEnd + maxComment, lenEnd + maxComment + maxTrailing} {
		n := min(window, size)
		buf := tails.Get().(*[]byte)
		defer tails.Put(buf)
		if int64(cap(*buf)) < n {
			*buf = make([]byte, n)
		}
		b := (*buf)[:n]
		if k, err := readAt(r, b, size-n); err != nil {
			return nil, err
		} else if b = b[:k]; int64(k) < n {
			return nil, nil
		}
		ends := indexAll(b, sigEnd)
		for last, i := range slices.Backward(ends) {
			if stop := endStop(b, i); stop > 0 {
				e := &ending{at: size - n + int64(i), stop: size - n + int64(stop)}
				// Another end record behind it, or one whose comment it lies in.
				e.torn = last < len(ends)-1 || slices.ContainsFunc(ends[:last], func(j int) bool { return endStop(b, j) > i })
				return e, e.read(r, b[i:])
			}
		}
		if n == size {
			break
		}
	}
	return nil, nil
}

// indexAll returns where sig is found in b.
func indexAll(b []byte, sig string) []int {
	var found []int
	for from := 0; ; from = found[len(found)-1] + 1 {
		i := bytes.Index(b[from:], []byte(sig))
		if i < 0 {
			return found
		}
		found = append(found, from+i)
	}
}

// endStop returns where the end record at b[i:] stops with its comment; 0 when it is cut.
func endStop(b []byte, i int) int {
	if i+lenEnd > len(b) {
		return 0
	}
	if stop := i + lenEnd + int(binary.LittleEndian.Uint16(b[i+20:])); stop <= len(b) {
		return stop
	}
	return 0
}

// read fills e from its bytes and from the ZIP64 records before it (§4.3.14, §4.3.15).
func (e *ending) read(r io.ReaderAt, b []byte) error {
	le := binary.LittleEndian
	disk, start := le.Uint16(b[4:]), le.Uint16(b[6:])
	count := le.Uint16(b[10:])
	e.count, e.length, e.offset = uint64(count), uint64(le.Uint32(b[12:])), uint64(le.Uint32(b[16:]))
	e.split = disk != 0 && disk != 0xffff || start != disk || le.Uint16(b[8:]) != count
	if e.at < lenLocator+lenEnd64 {
		return nil
	}
	w := make([]byte, lenEnd64+lenLocator)
	if n, err := readAt(r, w, e.at-int64(len(w))); err != nil || n < len(w) {
		return err
	}
	locator := w[lenEnd64:]
	if string(locator[:4]) != sigLocator {
		return nil
	}
	if le.Uint32(locator[16:]) > 1 || le.Uint32(locator[4:]) != 0 {
		e.split = true
		return nil
	}
	at := e.at - int64(len(w))
	if string(w[:4]) != sigEnd64 {
		// A longer one, or none: the locator says where it is.
		if at = int64(min(le.Uint64(locator[8:]), maxOffset)); at > e.at-int64(len(w)) {
			e.torn = true
			return nil
		}
		if n, err := readAt(r, w[:lenEnd64], at); err != nil || n < lenEnd64 || string(w[:4]) != sigEnd64 {
			e.torn = true
			return err
		}
	}
	e.wide, e.at = true, at
	for _, f := range []struct {
		value *uint64
		wide  uint64
		full  uint64
	}{{&e.count, le.Uint64(w[32:]), 0xffff}, {&e.length, le.Uint64(w[40:]), 0xffffffff}, {&e.offset, le.Uint64(w[48:]), 0xffffffff}} {
		if *f.value != f.full && *f.value != f.wide {
			e.torn = true // a program that knows no ZIP64 sees another archive
		}
		*f.value = f.wide
	}
	e.split = e.split || le.Uint32(w[16:]) != 0 || le.Uint32(w[20:]) != 0
	return nil
}
