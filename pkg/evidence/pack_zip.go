package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"strings"

	"greffe/pkg/greffe"
)

// Bounds of a pack's ZIP, for its writer and its reader.
const (
	maxZipFiles = 4_000_000
	maxZipName  = 200            // bytes
	maxZipFile  = 1<<32 - 2      // bytes of one file: above, ZIP needs other headers
	zipDate     = 1<<5 | 1       // 1 January 1980, the first that ZIP can write
	zipMode     = 0o100644 << 16 // a plain file, for programs that keep modes
)

// ErrName is returned for a name that a pack cannot hold.
var ErrName = errors.New("evidence: not a name of a file in a pack")

// ZipWriter writes a ZIP whose bytes are a function of the names and contents
// of its files alone: nothing is compressed, every date is 1 January 1980, there
// are no comments and no extra fields but those of ZIP64, which an offset from
// 4 GiB or 65,535 files need. So whoever has the files can write the same ZIP
// again, and a reader finds each byte of it that is not as it must be.
//
// It is not for use by several goroutines at once.
type ZipWriter struct {
	w     zipOutput
	at    int64
	files []zipFile
	names map[string]bool
}

// zipOutput is an *os.File: the checksum of a file is written over its header when
// the file has been read, and a file that fails is cut off again.
type zipOutput interface {
	io.Writer
	io.WriterAt
	Truncate(size int64) error
	Seek(offset int64, whence int) (int64, error)
}

// zipFile is one file of a ZIP.
type zipFile struct {
	name   string
	header int64 // offset of its local header
	size   int64
	crc    uint32
	sum    greffe.Digest
}

// content returns the offset of the bytes of f.
func (f zipFile) content() int64 { return f.header + zipLocal + int64(len(f.name)) }

// NewZipWriter returns a writer to an empty *os.File.
func NewZipWriter(w zipOutput) *ZipWriter { return &ZipWriter{w: w, names: map[string]bool{}} }

// Add writes the bytes of r, less than 4 GiB, as the next file and returns their
// digest. An error of r comes back wrapped, and the ZIP is then as if Add had not
// been called; after an error of the output nothing more can be added. A name
// that validZipName refuses, or that is there already, is ErrName.
func (z *ZipWriter) Add(name string, r io.Reader) (greffe.Digest, error) {
	if !validZipName(name) || z.names[strings.ToLower(name)] || len(z.files) == maxZipFiles {
		return "", fmt.Errorf("%w: %.40q", ErrName, name)
	}
	f := zipFile{name: name, header: z.at}
	sum, crc := sha256.New(), crc32.NewIEEE()
	// The header is written twice: now, and over itself when size and CRC are known.
	if _, err := z.w.Write(f.local()); err != nil {
		return "", fmt.Errorf("evidence: write pack: %w", err)
	}
	n, err := io.Copy(io.MultiWriter(z.w, sum, crc), io.LimitReader(r, maxZipFile+1))
	if err == nil && n > maxZipFile {
		err = errors.New("4 GiB or more")
	}
	if err != nil {
		_, back := z.w.Seek(z.at, io.SeekStart)
		return "", fmt.Errorf("evidence: add %s to pack: %w", name, errors.Join(err, z.w.Truncate(z.at), back))
	}
	f.size, f.crc, f.sum = n, crc.Sum32(), greffe.DigestFrom(sum.Sum(nil))
	if _, err := z.w.WriteAt(f.local(), f.header); err != nil {
		return "", fmt.Errorf("evidence: write pack: %w", err)
	}
	z.at = f.content() + n
	z.files, z.names[strings.ToLower(name)] = append(z.files, f), true
	return f.sum, nil
}

// Close writes the directory of the ZIP. It does not close the output.
func (z *ZipWriter) Close() error {
	for part := range zipTail(z.files, z.at) {
		if _, err := z.w.Write(part.bytes); err != nil {
			return fmt.Errorf("evidence: write pack: %w", err)
		}
	}
	return nil
}

// validZipName reports whether name is made of names of letters, digits, '.', '_'
// and '-' between single slashes, none of which begins with a dot: whatever unpacks
// the ZIP stays inside its folder and needs to rename nothing.
func validZipName(name string) bool {
	if name == "" || len(name) > maxZipName {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' {
			return false
		}
	}
	for i := range len(name) {
		c := name[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("./_-", rune(c)) {
			return false
		}
	}
	return true
}

// The records of ZIP (APPNOTE.TXT 6.3.10 §4.3), as this package writes them.
const (
	zipLocal     = 30 // bytes of a local header before the name
	sigLocal     = 0x04034b50
	sigDirectory = 0x02014b50
	sigEnd       = 0x06054b50
	sigEnd64     = 0x06064b50
	sigLocator64 = 0x07064b50
	full16       = 0xffff
	full32       = 0xffffffff
)

var le = binary.LittleEndian

// local returns the local header of f (§4.3.7), its name included.
func (f zipFile) local() []byte {
	b := make([]byte, 0, zipLocal+len(f.name))
	b = le.AppendUint32(b, sigLocal)
	b = le.AppendUint16(b, 10) // version needed to extract: stored
	b = le.AppendUint16(b, 0)  // flags
	b = le.AppendUint16(b, 0)  // method: stored
	b = le.AppendUint16(b, 0)  // time
	b = le.AppendUint16(b, zipDate)
	b = le.AppendUint32(b, f.crc)
	b = le.AppendUint32(b, uint32(f.size))
	b = le.AppendUint32(b, uint32(f.size))
	b = le.AppendUint16(b, uint16(len(f.name)))
	b = le.AppendUint16(b, 0) // no extra field
	return append(b, f.name...)
}

// directory returns the header of f in the central directory (§4.3.12).
func (f zipFile) directory() []byte {
	version, offset := uint16(10), uint32(f.header)
	var extra []byte
	if f.header >= full32 {
		version, offset = 45, full32
		extra = le.AppendUint16(extra, 1) // §4.5.3
		extra = le.AppendUint16(extra, 8)
		extra = le.AppendUint64(extra, uint64(f.header))
	}
	b := make([]byte, 0, 46+len(f.name)+len(extra))
	b = le.AppendUint32(b, sigDirectory)
	b = le.AppendUint16(b, 3<<8|20) // made by: Unix
	b = le.AppendUint16(b, version)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, zipDate)
	b = le.AppendUint32(b, f.crc)
	b = le.AppendUint32(b, uint32(f.size))
	b = le.AppendUint32(b, uint32(f.size))
	b = le.AppendUint16(b, uint16(len(f.name)))
	b = le.AppendUint16(b, uint16(len(extra)))
	b = le.AppendUint16(b, 0) // no comment
	b = le.AppendUint16(b, 0) // disk
	b = le.AppendUint16(b, 0) // internal attributes
	b = le.AppendUint32(b, zipMode)
	b = le.AppendUint32(b, offset)
	b = append(b, f.name...)
	return append(b, extra...)
}

// tailPart is one record behind the files: the directory line of a file, or the
// end of the ZIP when file is empty.
type tailPart struct {
	file  string
	bytes []byte
}

// zipTail gives everything that follows the last file, which ends at offset at.
func zipTail(files []zipFile, at int64) iter.Seq[tailPart] {
	return func(yield func(tailPart) bool) {
		var size int64
		for _, f := range files {
			b := f.directory()
			size += int64(len(b))
			if !yield(tailPart{f.name, b}) {
				return
			}
		}
		n := len(files)
		var b []byte
		if n >= full16 || at >= full32 || size >= full32 {
			end := at + size
			b = le.AppendUint32(b, sigEnd64) // §4.3.14
			b = le.AppendUint64(b, 44)
			b = le.AppendUint16(b, 3<<8|45)
			b = le.AppendUint16(b, 45)
			b = le.AppendUint32(b, 0)
			b = le.AppendUint32(b, 0)
			b = le.AppendUint64(b, uint64(n))
			b = le.AppendUint64(b, uint64(n))
			b = le.AppendUint64(b, uint64(size))
			b = le.AppendUint64(b, uint64(at))
			b = le.AppendUint32(b, sigLocator64) // §4.3.15
			b = le.AppendUint32(b, 0)
			b = le.AppendUint64(b, uint64(end))
			b = le.AppendUint32(b, 1)
		}
		b = le.AppendUint32(b, sigEnd) // §4.3.16
		b = le.AppendUint16(b, 0)
		b = le.AppendUint16(b, 0)
		b = le.AppendUint16(b, uint16(min(n, full16)))
		b = le.AppendUint16(b, uint16(min(n, full16)))
		b = le.AppendUint32(b, uint32(min(size, full32)))
		b = le.AppendUint32(b, uint32(min(at, full32)))
		b = le.AppendUint16(b, 0) // no comment
		yield(tailPart{"", b})
	}
}
