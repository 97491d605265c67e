package xdm

import (
	"archive/zip"
	"fmt"
	"io"
	"io/fs"
	"strings"

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
	maxPath      = 1024    // bytes of a name; more is made to harm, as names are compared with each other
	maxKept      = 4 << 20 // bytes of documents that were read to verify them, kept for OpenEntry
)

// Archive is a ZIP that was opened. Its methods may be called by several goroutines at
// once as long as its reader allows it.
type Archive struct {
	Entries []Entry         // in the order of the central directory
	Sets    []SubmissionSet // in the order of their METADATA.XML

	r      io.ReaderAt
	files  []record
	paths  []string       // cleaned names: slashes, no leading "./"
	folded []string       // the same, as names are compared
	exact  map[string]int // the first file of a path; of all ways to read it
	like   map[string]int // the same without regard to case
	lim    Limits
	xdm    bool

	// What verifying documents left behind; only Open writes it.
	sums     map[int]sum    // by entry
	kept     map[int][]byte // by entry: read to its end and right, by its CRC-32
	keptSize int64
	found    int // documents described so far
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

// Open reads the directory of the ZIP in r, of size bytes, and the metadata that it
// holds. Where a finding points inside the archive it names the entry as "!n", to be
// put behind the path of the part that the archive is. Findings about one entry, set or
// document are in the Findings of that value; those returned concern the whole. A danger
// that an entry carries concerns both, and is in both, once for the whole.
//
// A ZIP that cannot be read gives a nil Archive and a finding. A dangerous one gives an
// Archive whose harmless entries can still be read and kept, without sets. An error is
// that of r: what is wrong with the archive never is one.
func Open(r io.ReaderAt, size int64, lim Limits) (*Archive, []greffe.Finding, error) {
	lim = lim.withDefaults()
	d, bad, err := readDirectory(r, size, lim)
	if err != nil {
		return nil, nil, fmt.Errorf("read the directory of an archive: %w", err)
	}
	if bad != nil {
		return nil, []greffe.Finding{*bad}, nil
	}
	overlap, err := d.checkLocal(r)
	if err != nil {
		return nil, nil, fmt.Errorf("read the headers of an archive: %w", err)
	}
	source := &source{r: r}
	a := &Archive{lim: lim, files: d.records, r: source}
	var findings []greffe.Finding
	if len(d.records) > lim.Entries {
		findings = append(findings, ruleEntries.At("", lim.Entries))
		a.files = d.records[:lim.Entries]
	}
	findings = append(findings, a.list()...)
	findings = append(findings, a.checkStructure(d, overlap)...)
	a.recognise()
	if greffe.VerdictOf(findings) != greffe.VerdictRefused {
		findings = append(findings, a.readSets()...)
	}
	if source.err != nil {
		return nil, nil, fmt.Errorf("read an archive: %w", source.err)
	}
	a.r = r
	return a, findings, nil
}

// source notes an error of its reader that is not the end: the fault of no archive.
type source struct {
	r   io.ReaderAt
	err error
}

// ReadAt implements io.ReaderAt.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if err != nil && err != io.EOF && s.err == nil {
		s.err = err
	}
	return n, err
}

// IsXDM reports whether the archive means to be XDM: it has a METADATA.XML, a folder
// IHE_XDM, or the INDEX.HTM and README.TXT of the medium side by side.
func (a *Archive) IsXDM() bool { return a.xdm }

// list fills Entries and checks each of them.
func (a *Archive) list() []greffe.Finding {
	var findings []greffe.Finding
	once := func(r greffe.Rule, i int, args ...any) {
		a.Entries[i].Findings = append(a.Entries[i].Findings, r.At(where(i), args...))
		for _, f := range findings {
			if f.Rule == r.ID {
				return
			}
		}
		findings = append(findings, r.At(where(i), args...))
	}
	n := len(a.files)
	a.Entries, a.paths, a.folded = make([]Entry, 0, n), make([]string, 0, n), make([]string, 0, n)
	a.exact, a.like = make(map[string]int, n), make(map[string]int, n)
	var total int64
	for i := range a.files {
		f := &a.files[i]
		name, others := f.decodeName()
		clean := cleanPath(name)
		mode := f.Mode()
		e := Entry{Index: i, Name: displayName(name), Dir: strings.HasSuffix(clean, "/") || mode.IsDir()}
		f.UncompressedSize64 = min(f.UncompressedSize64, 1<<40) // far over any limit, and sums do not overflow
		e.Size = int64(f.UncompressedSize64)
		total += e.Size
		a.Entries = append(a.Entries, e)
		clean = strings.TrimSuffix(clean, "/")
		a.paths, a.folded = append(a.paths, clean), append(a.folded, fold(clean))
		taken := !e.Dir && a.index(i, clean)
		for _, other := range others {
			a.index(i, cleanPath(other))
		}
		refuse := func(why string) { a.Entries[i].dead = fmt.Errorf("%w: %s", ErrRefused, why) }

		if strings.Contains(name, `\`) {
			once(ruleNames, i)
		}
		if len(f.Name) > maxPath || unsafePath(name) || unsafePath(f.Name) {
			once(rulePath, i)
		}
		if mode&fs.ModeType != 0 && !mode.IsDir() {
			once(ruleSymlink, i)
		}
		if f.Flags&(1|1<<6|1<<13) != 0 {
			once(ruleEncrypted, i)
			refuse("encrypted")
		} else if f.Method != zip.Store && f.Method != zip.Deflate {
			// Of this file alone: the others can be used.
			a.Entries[i].Findings = append(a.Entries[i].Findings, ruleMethod.At(where(i), methodName(f.Method)))
			refuse("compression method")
		} else if f.broken {
			a.Entries[i].dead = fmt.Errorf("%w: no local header", ErrCorrupt)
		}
		if total > a.lim.Total {
			once(ruleTotal, i)
			refuse("archive is too large")
		}
		if e.Size > ratioFloor && uint64(e.Size)/uint64(a.lim.Ratio) > f.CompressedSize64 {
			once(ruleRatio, i)
			refuse("ratio")
		}
		if taken {
			once(ruleDuplicate, i)
		}
		if e.Dir {
			refuse("folder")
		}
	}
	return findings
}

// index notes a path of file i and reports whether another file has it.
func (a *Archive) index(i int, name string) (taken bool) {
	if _, ok := a.exact[name]; !ok {
		a.exact[name] = i
	}
	key := fold(name)
	first, ok := a.like[key]
	if !ok {
		a.like[key] = i
	}
	return ok && first != i
}

// checkStructure reports what is wrong with the archive as a whole.
func (a *Archive) checkStructure(d *directory, overlap bool) []greffe.Finding {
	var findings []greffe.Finding
	if overlap {
		// The other way to build a bomb; which file the bytes belong to is anybody's guess.
		findings = append(findings, ruleOverlap.At(""))
		for i := range a.Entries {
			a.Entries[i].dead = fmt.Errorf("%w: entries overlap", ErrRefused)
		}
	}
	torn, first := d.torn, int64(maxOffset)
	for i := range d.records {
		rec := &d.records[i]
		first = min(first, rec.at)
		// A second name in plain letters is another name, not another way to write it.
		torn = torn || rec.unicode != "" && rec.unicode != rec.Name && isASCII(rec.unicode)
	}
	if torn {
		findings = append(findings, ruleContradiction.At(""))
	}
	if first > 0 {
		findings = append(findings, rulePrefix.At(""))
	}
	if d.trailing > 0 {
		findings = append(findings, ruleTrailing.At(""))
	}
	return findings
}

func isASCII(s string) bool { return strings.IndexFunc(s, func(c rune) bool { return c > 127 }) < 0 }

// methodName names a compression method of APPNOTE.TXT §4.4.5.
func methodName(method uint16) string {
	switch method {
	case 6:
		return "Implode"
	case 9:
		return "Deflate64"
	case 12:
		return "bzip2"
	case 14:
		return "LZMA"
	case 93:
		return "Zstandard"
	case 95:
		return "XZ"
	case 98:
		return "PPMd"
	}
	return fmt.Sprintf("méthode %d", method)
}
