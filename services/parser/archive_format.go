package parser

import (
	"bytes"
	"compress/gzip"
	"io"
	"path"
	"strconv"
	"strings"

	"greffe/pkg/greffe"
)

// archiveFormats are the archives and compressed files other than ZIP that are told by
// what they begin with. They are not opened; their name tells the sender what to change.
var archiveFormats = []struct {
	magic       string
	at          int
	media, name string
}{
	{"7z\xbc\xaf\x27\x1c", 0, "application/x-7z-compressed", "7z"},
	{"Rar!\x1a\x07", 0, "application/vnd.rar", "RAR"},
	{"RE\x7e\x5e", 0, "application/vnd.rar", "RAR"}, // before RAR 1.5
	{"MSCF\x00\x00\x00\x00", 0, "application/vnd.ms-cab-compressed", "CAB"},
	{"**ACE**", 7, "application/x-ace-compressed", "ACE"},
	{"\x60\xea", 0, "application/x-arj", "ARJ"},
	{"-lh", 2, "application/x-lzh-compressed", "LZH"},
	{"-lz", 2, "application/x-lzh-compressed", "LZH"},
	{"ZOO ", 0, "application/x-zoo", "ZOO"},
	{"SIT!", 0, "application/x-stuffit", "StuffIt"},
	{"StuffIt ", 0, "application/x-stuffit", "StuffIt"},
	{"xar!", 0, "application/x-xar", "XAR"},
	{"!<arch>\n", 0, "application/x-archive", "ar"},
	{"070701", 0, "application/x-cpio", "cpio"},
	{"070707", 0, "application/x-cpio", "cpio"},
	{"MSWIM\x00\x00\x00", 0, "application/x-ms-wim", "WIM"},
	{"ustar", 257, "application/x-tar", "tar"},
	{"BZh", 0, "application/x-bzip2", "bzip2"},
	{"\xfd7zXZ\x00", 0, "application/x-xz", "xz"},
	{"\x28\xb5\x2f\xfd", 0, "application/zstd", "Zstandard"},
	{"\x04\x22\x4d\x18", 0, "application/x-lz4", "LZ4"},
	{"LZIP\x01", 0, "application/x-lzip", "lzip"},
	{"\x1f\x9d", 0, "application/x-compress", "compress (.Z)"},
	{"\x1f\xa0", 0, "application/x-compress", "compress (.Z)"},
	{"\x5d\x00\x00", 0, "application/x-lzma", "LZMA"},
	{"PK\x07\x08PK\x03\x04", 0, "application/zip", "ZIP en plusieurs morceaux"},
}

// sniffArchive tells which archive a part is that no signature of ours begins. Short
// marks are also how a text may begin. A ZIP may have bytes before it, the rest of a
// broken mail or of a web form: what is called one is looked into.
func sniffArchive(prefix []byte, declared, name string) (typ, bool) {
	zip := strings.EqualFold(path.Ext(name), ".zip") || declared == "application/zip" || declared == "application/x-zip-compressed"
	if zip && bytes.Contains(prefix[:min(len(prefix), 1024)], []byte("PK\x03\x04")) {
		return typ{kind: greffe.PartZip, media: "application/zip", zip: true}, true
	}
	held := func(media, name string) (typ, bool) {
		return typ{kind: greffe.PartOther, media: media, hold: ruleFormat, args: []any{name}}, true
	}
	for _, f := range archiveFormats {
		if len(prefix) < f.at+len(f.magic) || string(prefix[f.at:f.at+len(f.magic)]) != f.magic || isText(prefix) {
			continue
		}
		if strings.HasSuffix(strings.ToLower(name), ".tar"+path.Ext(strings.ToLower(name))) {
			return held(f.media, "tar ("+f.name+")")
		}
		return held(f.media, f.name)
	}
	if bytes.HasPrefix(prefix, []byte("\x1f\x8b")) {
		if isTar(gunzipped(prefix)) {
			return held("application/gzip", "tar.gz")
		}
		return held("application/gzip", "gzip")
	}
	if isTar(prefix) {
		return held("application/x-tar", "tar")
	}
	// The mark of a disk image is farther than the prefix goes: 16 sectors of zeros lead it.
	if ext := strings.ToLower(path.Ext(name)); (ext == ".iso" || ext == ".udf") && len(prefix) == prefixSize && len(bytes.TrimLeft(prefix, "\x00")) == 0 {
		return held("application/x-iso9660-image", "ISO (image de disque)")
	}
	return typ{}, false
}

// gunzipped returns the first 512 bytes that a gzip file unpacks to, or what there is.
func gunzipped(prefix []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(prefix))
	if err != nil {
		return nil
	}
	b := make([]byte, 512)
	n, _ := io.ReadFull(z, b) // the prefix ends somewhere inside
	return b[:n]
}

// isTar reports whether b begins with the header of a tar: its checksum is right (POSIX
// pax, ustar Interchange Format), which also tells the old ones without a mark.
func isTar(b []byte) bool {
	if len(b) < 512 || b[0] == 0 {
		return false
	}
	field := strings.Trim(string(b[148:156]), " \x00")
	want, err := strconv.ParseInt(field, 8, 32)
	if err != nil {
		return false
	}
	sum := int64(8 * ' ') // the field itself counts as blanks
	for i, c := range b[:512] {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	return sum == want
}
