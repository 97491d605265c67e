package evidence

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"greffe/pkg/greffe"
)

// structure is what a fault names when no file of the pack is to blame, but the ZIP
// around them.
const structure = "(structure du ZIP)"

// Fault is one thing that is not as it must be.
type Fault struct {
	File string `json:"file,omitempty"` // of the pack, "(structure du ZIP)", or the id of what it is about
	Text string `json:"text"`           // French
}

// scanZip reads a pack once from its first byte to its last and compares each byte
// that is not the content of a file with what ZipWriter writes. It returns the files
// that it could read, with their digests, and what is wrong; an error only when r
// cannot be read or ctx is done. What r claims about itself bounds nothing: a file
// is never larger than what is left of r, and memory grows by about 200 bytes for
// each file that is really there.
func scanZip(ctx context.Context, r io.ReaderAt, size int64, progress func(done, total int64)) ([]zipFile, []Fault, error) {
	s := &zipScan{ctx: ctx, r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), size: size, names: map[string]bool{}}
	for {
		more, err := s.file()
		if err != nil {
			return nil, nil, err
		}
		if progress != nil {
			progress(s.at, size)
		}
		if !more {
			break
		}
	}
	if s.lost {
		return s.files, s.faults, nil
	}
	if err := s.tail(); err != nil {
		return nil, nil, err
	}
	return s.files, s.faults, nil
}

type zipScan struct {
	ctx    context.Context
	r      *bufio.Reader
	at     int64
	size   int64
	files  []zipFile
	names  map[string]bool
	faults []Fault
	lost   bool // where the next record begins is not known
}

func (s *zipScan) fault(file, format string, args ...any) {
	if len(s.faults) < maxFaults {
		s.faults = append(s.faults, Fault{file, fmt.Sprintf(format, args...)})
	}
}

// file reads the next file; false when none follows or none can be found.
func (s *zipScan) file() (more bool, err error) {
	if err := s.ctx.Err(); err != nil {
		return false, context.Cause(s.ctx)
	}
	head, err := s.r.Peek(zipLocal)
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("evidence: read pack: %w", err)
	}
	if len(head) >= 4 {
		switch le.Uint32(head) {
		case sigDirectory, sigEnd, sigEnd64:
			return false, nil
		}
	}
	previous := "au début"
	if n := len(s.files); n > 0 {
		previous = "après " + s.files[n-1].name
	}
	if len(head) < zipLocal || le.Uint32(head) != sigLocal {
		s.fault(structure, "à l’octet %d, %s : ni fichier ni répertoire du ZIP ; la suite ne peut pas être lue", s.at, previous)
		s.lost = true
		return false, nil
	}
	length := int(le.Uint16(head[26:]))
	if length == 0 || length > maxZipName || len(s.files) == maxZipFiles {
		s.fault(structure, "à l’octet %d, %s : en-tête de fichier impossible ; la suite ne peut pas être lue", s.at, previous)
		s.lost = true
		return false, nil
	}
	record := make([]byte, zipLocal+length)
	if _, err := io.ReadFull(s.r, record); err != nil {
		s.fault(structure, "à l’octet %d, %s : le ZIP est coupé", s.at, previous)
		s.lost = true
		return false, nil
	}
	f := zipFile{name: string(record[zipLocal:]), header: s.at, crc: le.Uint32(record[14:]), size: int64(le.Uint32(record[22:]))}
	s.at += int64(len(record))
	if !validZipName(f.name) {
		s.fault(structure, "à l’octet %d, %s : nom de fichier impossible %.60q", f.header, previous, f.name)
	}
	if s.names[strings.ToLower(f.name)] {
		s.fault(f.name, "ce nom est deux fois dans le ZIP")
	}
	if f.size > s.size-s.at {
		s.fault(f.name, "annonce %d octets, plus qu’il n’en reste dans le ZIP", f.size)
		s.lost = true
		return false, nil
	}
	if !bytes.Equal(record, f.local()) {
		s.fault(f.name, "son en-tête dans le ZIP n’est pas celui qui a été écrit (octet %d)", f.header+int64(firstDifference(record, f.local())))
	}
	sum, crc := sha256.New(), crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(sum, crc), io.LimitReader(contextReader{s.ctx, s.r}, f.size))
	s.at += n
	if err != nil {
		return false, fmt.Errorf("evidence: read pack: %w", err)
	}
	if n < f.size {
		s.fault(f.name, "le ZIP est coupé dans ce fichier")
		s.lost = true
		return false, nil
	}
	f.sum = greffe.DigestFrom(sum.Sum(nil))
	if crc.Sum32() != f.crc {
		s.fault(f.name, "ses octets, ou leur somme de contrôle dans le ZIP, ont changé (CRC-32 %08x, annoncé %08x)", crc.Sum32(), f.crc)
	}
	s.files = append(s.files, f)
	s.names[strings.ToLower(f.name)] = true
	return true, nil
}

// tail compares what follows the files with what must follow them.
func (s *zipScan) tail() error {
	start := s.at
	for part := range zipTail(s.files, start) {
		got := make([]byte, len(part.bytes))
		n, err := io.ReadFull(s.r, got)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return fmt.Errorf("evidence: read pack: %w", err)
		}
		if n < len(got) {
			s.fault(structure, "le ZIP est coupé à l’octet %d", s.at+int64(n))
			return nil
		}
		if i := firstDifference(got, part.bytes); i < len(got) {
			if part.file != "" {
				s.fault(part.file, "sa ligne dans le répertoire du ZIP n’est pas celle qui a été écrite (octet %d)", s.at+int64(i))
			} else {
				s.fault(structure, "la fin du ZIP n’est pas celle qui a été écrite (octet %d)", s.at+int64(i))
			}
			if len(s.faults) >= maxFaults {
				return nil
			}
		}
		s.at += int64(n)
	}
	if s.at != s.size {
		s.fault(structure, "%d octets de trop après la fin du ZIP", s.size-s.at)
	}
	return nil
}

// firstDifference returns the index of the first byte in which a and b differ, the
// length of the shorter one when there is none.
func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// contextReader stops reading when ctx is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
