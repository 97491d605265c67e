package eml

// MAPI properties that are read (MS-OXPROPS §2).
const (
	pidName         = 0x3001 // PidTagDisplayName
	pidFile         = 0x3704 // PidTagAttachFilename, 8.3
	pidLong         = 0x3707 // PidTagAttachLongFilename
	pidMIME         = 0x370E // PidTagAttachMimeTag
	pidContentID    = 0x3712 // PidTagAttachContentId
	pidData         = 0x3701 // PidTagAttachDataBinary, PidTagAttachDataObject
	pidHidden       = 0x7FFE // PidTagAttachmentHidden
	pidBody         = 0x1000
	pidRTF          = 0x1009 // PidTagRtfCompressed
	pidHTML         = 0x1013
	pidInternetPage = 0x3FDE // PidTagInternetCodepage, of the HTML
)

// Types of property values (MS-OXCDATA §2.11.1).
const (
	ptypNull    = 0x0001
	ptypInt16   = 0x0002
	ptypBool    = 0x000B
	ptypInt32   = 0x0003
	ptypFloat   = 0x0004
	ptypError   = 0x000A
	ptypDouble  = 0x0005
	ptypMoney   = 0x0006
	ptypDate    = 0x0007
	ptypInt64   = 0x0014
	ptypTime    = 0x0040
	ptypGUID    = 0x0048
	ptypObject  = 0x000D
	ptypString8 = 0x001E
	ptypString  = 0x001F
	ptypBinary  = 0x0102
	ptypMulti   = 0x1000
)

// guidSize is what stands before the bytes of an object: the interface that it has.
// An embedded mail (IMessage) is a TNEF stream of its own after it.
const guidSize = 16

// properties reads a list of MAPI properties (MS-OXTNEF §2.1.3.4), those of the
// attachment f or, when it is nil, of the message.
func (t *tnef) properties(list span, f *tnefFile) {
	c := &cursor{src: t.src, off: list.off, end: list.off + list.size}
	count := c.u32()
	html := -1
	for n := uint32(0); n < count && c.err == nil; n++ {
		if n == maxProperties {
			t.many = true
			break
		}
		typ, id := c.u16(), c.u16()
		if id >= 0x8000 { // a named property: its name comes first
			c.skip(guidSize)
			if kind := c.u32(); kind == 0 {
				c.skip(4)
			} else {
				c.skip(padded(int64(c.u32())))
			}
			id = 0
		}
		base := typ &^ ptypMulti
		size, variable := sizeOf(base)
		values := uint32(1)
		if variable || typ&ptypMulti != 0 {
			values = c.u32()
		}
		if size == 0 && !variable {
			values = min(values, 1) // nothing bounds how many of no bytes there are
		}
		if size < 0 {
			t.find(ruleTNEFDamaged) // a type nobody knows: what follows cannot be found
			return
		}
		for v := uint32(0); v < values && c.err == nil; v++ {
			value := span{off: c.off, size: size}
			if variable {
				value.size = int64(c.u32())
				value.off = c.off
				if value.size > c.end-c.off {
					value.size = c.end - c.off
					t.find(ruleTNEFDamaged)
				}
			}
			c.skip(padded(value.size))
			if v > 0 {
				continue
			}
			if f != nil {
				t.fileProperty(f, id, base, value)
			} else {
				html = t.messageProperty(id, base, value, html)
			}
		}
	}
	if c.err != nil {
		t.find(ruleTNEFDamaged)
	}
}

// sizeOf returns the size of a value of a fixed size; -1 for an unknown type.
func sizeOf(typ uint16) (size int64, variable bool) {
	switch typ {
	case ptypNull:
		return 0, false
	case ptypInt16, ptypBool, ptypInt32, ptypFloat, ptypError:
		return 4, false // padded
	case ptypDouble, ptypMoney, ptypDate, ptypInt64, ptypTime:
		return 8, false
	case ptypGUID:
		return guidSize, false
	case ptypObject, ptypString8, ptypString, ptypBinary:
		return 0, true
	}
	return -1, false
}

func padded(n int64) int64 { return (n + 3) &^ 3 }

func (t *tnef) fileProperty(f *tnefFile, id, typ uint16, v span) {
	text := func() string {
		if typ != ptypString && typ != ptypString8 {
			return ""
		}
		return t.text(v, typ == ptypString)
	}
	switch id {
	case pidLong:
		f.long = text()
	case pidFile, pidName:
		if s := text(); f.title == "" || id == pidFile && f.long == "" {
			f.title = s
		}
	case pidMIME:
		f.mime = text()
	case pidContentID:
		f.cid = text()
	case pidHidden:
		b := t.bytes(v, 1)
		f.hidden = len(b) == 1 && b[0] != 0
	case pidData:
		if typ == ptypObject && v.size > guidSize {
			v.off, v.size = v.off+guidSize, v.size-guidSize
		}
		f.object = v
	}
}

// messageProperty takes the texts of the message. html is the index of the HTML body,
// whose charset may come before or after it.
func (t *tnef) messageProperty(id, typ uint16, v span, html int) int {
	switch id {
	case pidInternetPage:
		if b := t.bytes(v, 4); len(b) == 4 {
			t.internet = charsetOf(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
		}
	case pidBody, pidHTML, pidRTF:
		switch {
		case v.size == 0 || len(t.bodies) == maxBodies:
			return html
		case id == pidBody:
			v.media, v.charset = "text/plain", t.codepage
		case id == pidHTML:
			v.media, v.charset = "text/html", t.codepage
			html = len(t.bodies)
		default:
			v.media = "application/rtf"
		}
		if v.wide = typ == ptypString; v.media != "application/rtf" {
			v = t.unended(v)
		}
		t.bodies = append(t.bodies, v)
	}
	if html >= 0 && html < len(t.bodies) && t.internet != "" {
		t.bodies[html].charset = t.internet
	}
	return html
}
