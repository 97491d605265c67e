package xdm

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// Errors of OpenEntry, to be tested with errors.Is.
var (
	ErrRefused = errors.New("entry is not read")        // encrypted, unknown compression, folder, over a limit
	ErrCorrupt = errors.New("entry is not as declared") // size, checksum or compressed data
)

// OpenEntry gives the bytes of entry i: the same ones each time, never more than its
// Size, checked against its CRC-32 at the end. It returns an error that is ErrRefused
// for an entry that is not read; a read gives an error that is ErrCorrupt when the entry
// is not what the directory declares, or the error of the reader given to Open. A small
// document that Open has verified is not decompressed again: up to 4 MiB of an archive
// stay in memory as long as it does.
func (a *Archive) OpenEntry(i int) (io.ReadCloser, error) {
	if i < 0 || i >= len(a.Entries) {
		return nil, fmt.Errorf("open entry %d: %w: no such entry", i, ErrRefused)
	}
	if err := a.Entries[i].dead; err != nil {
		return nil, fmt.Errorf("open entry %d: %w", i, err)
	}
	if b := a.kept[i]; b != nil {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	rec := &a.files[i]
	e := &entryReader{size: int64(rec.UncompressedSize64), sum: rec.CRC32, hash: crc32.NewIEEE()}
	packed := io.NewSectionReader(a.r, rec.data, int64(rec.CompressedSize64))
	if rec.Method == zip.Deflate {
		e.r = inflate(packed)
	} else {
		e.r = io.NopCloser(packed)
	}
	return e, nil
}

// entryReader checks the bytes of an entry against what the directory says of them.
type entryReader struct {
	r    io.ReadCloser
	size int64 // bytes that are still to come
	sum  uint32
	hash hash.Hash32
	err  error // that ended it
}

// Read implements io.Reader.
func (e *entryReader) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.r.Read(p)
	switch {
	case int64(n) > e.size:
		n, err = 0, fmt.Errorf("%w: more bytes than declared", ErrCorrupt)
	case err == io.EOF && int64(n) < e.size:
		err = fmt.Errorf("%w: less bytes than declared", ErrCorrupt)
	case err != nil && err != io.EOF:
		err = corrupt(err)
	}
	e.size -= int64(n)
	e.hash.Write(p[:n])
	if err == io.EOF && e.hash.Sum32() != e.sum {
		err = fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read entry: %w", err)
	}
	e.err = err
	return n, err
}

// Close implements io.Closer.
func (e *entryReader) Close() error { return e.r.Close() }

// corrupt turns the errors that the bytes of the archive cause into ErrCorrupt, and into
// nothing else: io.ErrUnexpectedEOF inside it would pass for the end of a short entry.
// Errors of the reader below stay what they are.
func corrupt(err error) error {
	_, bad := errors.AsType[flate.CorruptInputError](err)
	_, internal := errors.AsType[flate.InternalError](err)
	if bad || internal || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return err
}
