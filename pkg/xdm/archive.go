package xdm

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
	"golang.org/x/text/encoding/charmap"

	"greffe/pkg/greffe"
)

// Limits bounds what is read from an archive. A zero field means its default.
type Limits struct {
	Entries  int   // entries that are listed; default 200
	Total    int64 // bytes of all entries, decompressed; default 200 MB
	Metadata int64 // bytes of one METADATA.XML; default 8 MB
	Ratio    int   // decompressed to compressed bytes, past the first MiB; default 100
}

func (l Limits) withDefaults() Limits {
	if l.Entries <= 0 {
		l.Entries = 200
	}
	if l.Total <= 0 {
		l.Total = 200_000_000
	}
	if l.Metadata <= 0 {
		l.Metadata = 8_000_000
	}
	if l.Ratio <= 0 {
		l.Ratio = 100
	}
	return l
}

const (
	maxDirectory = 4 << 20 // bytes of the central directory: 200 entries need 50 KB
	ratioFloor   = 1 << 20 // an entry smaller than this harms nobody, whatever its ratio
	maxName      = 500     // bytes of a name, for display
	maxKept      = 4 << 20 // bytes of documents that were read to verify them, kept for OpenEntry
)

// Archive is a ZIP that was opened. Its methods may be called by several goroutines at
// once as long as its reader allows it.
type Archive struct {
	Entries []Entry         // in the order of the central directory
	Sets    []SubmissionSet // in the order of their METADATA.XML

	files []*zip.File
	paths []string // cleaned names: slashes, no leading "./"
	lim   Limits
	xdm   bool

	kept     map[int][]byte // by entry: read to its end and right, by its CRC-32; only Open writes it
	keptSize int64
}

// Entry is one entry of the archive.
type Entry struct {
	Index    int
	Name     string // as written, made valid UTF-8; for display only
	Size     int64  // bytes, as declared; OpenEntry never gives more
	Dir      bool
	Noise    bool   // carries nothing: resource forks, stylesheets, the index of the medium
	Reason   string // French; why it is noise
	Findings []greffe.Finding

	dead error // why OpenEntry refuses
}

// Errors of OpenEntry, to be tested with errors.Is.
var (
	ErrRefused = errors.New("entry is not read")        // encrypted, unknown compression, folder, over a limit
	ErrCorrupt = errors.New("entry is not as declared") // size, checksum or compressed data
)

// Open reads the directory of the ZIP in r, of size bytes, and the metadata that it
// holds. Where a finding points inside the archive it names the entry as "!n", to be
// put behind the path of the part that the archive is. Findings about one entry, set or
// document are in the Findings of that value; those returned concern the whole. A danger
// that an entry carries concerns both, and is in both, once for the whole.
//
// A ZIP that cannot be read gives a nil Archive and a finding. A dangerous one gives an
// Archive whose harmless entries can still be read and kept, without sets.
func Open(r io.ReaderAt, size int64, lim Limits) (*Archive, []greffe.Finding) {
	lim = lim.withDefaults()
	// The directory is read at once by archive/zip: bound it, an entry costs 46 bytes.
	bounded := &budgetReader{r: r, left: maxDirectory}
	z, err := zip.NewReader(bounded, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) || len(z.File) == 0 {
		if bounded.left < 0 {
			return nil, []greffe.Finding{ruleEntries.At("", lim.Entries)}
		}
		return nil, []greffe.Finding{ruleZip.At("")}
	}
	bounded.unbounded = true
	z.RegisterDecompressor(zip.Deflate, inflate)
	a := &Archive{lim: lim, files: z.File}
	var findings []greffe.Finding
	if len(z.File) > lim.Entries {
		findings = append(findings, ruleEntries.At("", lim.Entries))
		a.files = z.File[:lim.Entries]
	}
	findings = append(findings, a.list(size)...)
	a.recognise()
	if greffe.VerdictOf(findings) != greffe.VerdictRefused {
		findings = append(findings, a.readSets()...)
	}
	return a, findings
}

// IsXDM reports whether the archive means to be XDM: it has a METADATA.XML, a folder
// IHE_XDM, or the INDEX.HTM and README.TXT of the medium side by side.
func (a *Archive) IsXDM() bool { return a.xdm }

// list fills Entries and checks each of them.
func (a *Archive) list(size int64) []greffe.Finding {
	var findings []greffe.Finding
	once := func(r greffe.Rule, i int, args ...any) {
		where := fmt.Sprintf("!%d", i)
		a.Entries[i].Findings = append(a.Entries[i].Findings, r.At(where, args...))
		for _, f := range findings {
			if f.Rule == r.ID {
				return
			}
		}
		findings = append(findings, r.At(where, args...))
	}
	names := make(map[string]bool)
	var total, packed int64
	for i, f := range a.files {
		clean := cleanPath(f.Name)
		e := Entry{Index: i, Name: displayName(f.Name), Dir: strings.HasSuffix(clean, "/") || f.Mode().IsDir()}
		if f.UncompressedSize64 > 1<<40 {
			f.UncompressedSize64 = 1 << 40 // far over any limit, and sums do not overflow
		}
		e.Size = int64(f.UncompressedSize64)
		total += e.Size
		packed += int64(min(f.CompressedSize64, 1<<40))
		a.Entries = append(a.Entries, e)
		a.paths = append(a.paths, strings.TrimSuffix(clean, "/"))

		if strings.Contains(f.Name, `\`) {
			once(ruleNames, i)
		}
		if unsafePath(f.Name) {
			once(rulePath, i)
		}
		if mode := f.Mode(); mode&fs.ModeType != 0 && !mode.IsDir() {
			once(ruleSymlink, i)
		}
		if f.Flags&(1|1<<6) != 0 {
			once(ruleEncrypted, i)
			a.Entries[i].dead = fmt.Errorf("%w: encrypted", ErrRefused)
		} else if f.Method != zip.Store && f.Method != zip.Deflate {
			once(ruleMethod, i)
			a.Entries[i].dead = fmt.Errorf("%w: compression method %d", ErrRefused, f.Method)
		}
		if total > a.lim.Total {
			once(ruleTotal, i)
			a.Entries[i].dead = fmt.Errorf("%w: archive over %d bytes", ErrRefused, a.lim.Total)
		}
		if e.Size > ratioFloor && e.Size/int64(a.lim.Ratio) > int64(f.CompressedSize64) {
			once(ruleRatio, i)
			a.Entries[i].dead = fmt.Errorf("%w: ratio over %d", ErrRefused, a.lim.Ratio)
		}
		if key := fold(a.paths[i]); !e.Dir {
			if names[key] {
				once(ruleDuplicate, i)
			}
			names[key] = true
		}
		if e.Dir {
			a.Entries[i].dead = fmt.Errorf("%w: folder", ErrRefused)
		}
	}
	// Entries that share their compressed bytes are the other way to build a bomb.
	if packed > size && len(a.Entries) > 0 {
		once(ruleRatio, 0)
		for i := range a.Entries {
			a.Entries[i].dead = fmt.Errorf("%w: entries overlap", ErrRefused)
		}
	}
	return findings
}

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
	rc, err := a.files[i].Open()
	if err != nil {
		return nil, fmt.Errorf("open entry %d: %w", i, corrupt(err))
	}
	return &entryReader{rc}, nil
}

// entryReader sorts the errors of archive/zip, which stops an entry that gives more than
// it declared.
type entryReader struct{ rc io.ReadCloser }

// Read implements io.Reader.
func (e *entryReader) Read(p []byte) (int, error) {
	n, err := e.rc.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read entry: %w", corrupt(err))
	}
	return n, err
}

// corrupt turns the errors that the bytes of the archive cause into ErrCorrupt, and into
// nothing else: io.ErrUnexpectedEOF inside it would pass for the end of a short entry.
// Errors of the reader below stay what they are.
func corrupt(err error) error {
	_, bad := errors.AsType[flate.CorruptInputError](err)
	_, internal := errors.AsType[flate.InternalError](err)
	if bad || internal || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrChecksum) || errors.Is(err, zip.ErrAlgorithm) {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return err
}

// Close implements io.Closer.
func (e *entryReader) Close() error { return e.rc.Close() }

// budgetReader gives up after so many bytes, until it is told that there is no bound.
type budgetReader struct {
	r         io.ReaderAt
	left      int64
	unbounded bool
}

var errBudget = errors.New("directory of the archive is too large")

// ReadAt implements io.ReaderAt.
func (b *budgetReader) ReadAt(p []byte, off int64) (int, error) {
	if !b.unbounded {
		if b.left -= int64(len(p)); b.left < 0 {
			return 0, errBudget
		}
	}
	return b.r.ReadAt(p, off)
}

// cleanPath returns the name with slashes and without "./" or doubled slashes; a folder
// keeps its last slash.
func cleanPath(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if strings.HasSuffix(name, "/") {
		clean += "/"
	}
	return clean
}

// fold returns the form in which names are compared.
func fold(name string) string { return strings.ToUpper(name) }

// unsafePath reports whether the name would leave a folder that it were unpacked in.
func unsafePath(name string) bool {
	name = strings.ReplaceAll(name, `\`, "/")
	if strings.HasPrefix(name, "/") || len(name) > 1 && name[1] == ':' || name == "" {
		return true
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return true
		}
	}
	return strings.IndexFunc(name, unicode.IsControl) >= 0
}

// displayName returns a name that can be shown: valid UTF-8, of bounded length. Names
// without the UTF-8 flag are in the code page of DOS, 850 in France.
func displayName(name string) string {
	if !utf8.ValidString(name) {
		name, _ = charmap.CodePage850.NewDecoder().String(name)
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, name)
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "") + "…"
	}
	return name
}
