package parser

import (
	"bytes"
	"encoding/binary"
	"path"
	"strings"

	"greffe/pkg/greffe"
)

const oleStorage = "application/x-ole-storage"

// oleKinds are what an OLE file is by the streams that its directory names
// ([MS-CFB] §2.6), in the order they are looked for: a mail may hold the others.
var oleKinds = []struct {
	stream, ext string
	typ         typ
}{
	{"__substg1.0_", ".msg", typ{kind: greffe.PartOther, media: "application/vnd.ms-outlook", hold: ruleMSG}},
	{"__properties_version1.0", ".msg", typ{kind: greffe.PartOther, media: "application/vnd.ms-outlook", hold: ruleMSG}},
	{"EncryptedPackage", "", typ{kind: greffe.PartOther, media: oleStorage, hold: ruleEncrypted}}, // Office, protected by a password
	{"WordDocument", ".doc", other("application/msword", "ancien document Word")},
	{"Workbook", ".xls", other("application/vnd.ms-excel", "ancien classeur Excel")},
	{"PowerPoint Document", ".ppt", other("application/vnd.ms-powerpoint", "ancienne présentation PowerPoint")},
}

// oleType says what an OLE file is. Its directory often stands beyond the first
// bytes; only then does the name count.
func oleType(prefix []byte, name string) typ {
	directory := prefix
	if len(prefix) >= 0x34 { // [MS-CFB] §2.2: sector shift at 0x1E, first directory sector at 0x30
		shift, sector := binary.LittleEndian.Uint16(prefix[0x1e:]), uint64(binary.LittleEndian.Uint32(prefix[0x30:]))
		if at := (sector + 1) << min(shift, 16); at < uint64(len(prefix)) {
			directory = prefix[at:]
		}
	}
	for _, k := range oleKinds {
		if bytes.Contains(directory, utf16(k.stream)) {
			return k.typ
		}
	}
	for _, k := range oleKinds {
		if k.ext != "" && strings.EqualFold(path.Ext(name), k.ext) {
			return k.typ
		}
	}
	return other(oleStorage, "fichier Word, Excel ou Outlook ancien")
}

// utf16 writes ASCII in UTF-16LE.
func utf16(s string) []byte {
	b := make([]byte, 0, 2*len(s))
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return b
}
