package sandbox

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
)

// TNEFFile is an attachment of a winmail.dat.
type TNEFFile struct {
	Name string
	Data []byte // of an embedded message: a TNEF stream
	Mail bool   // Data is an embedded message
}

// TNEF builds a winmail.dat as Outlook and Exchange do (MS-OXTNEF): a message with
// its texts, then its attachments with a short and a long name. Empty texts are left
// out; rtf is the compressed form.
func TNEF(text, html string, rtf []byte, files ...TNEFFile) []byte {
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			binary.Write(&b, binary.LittleEndian, v) // a bytes.Buffer does not fail
		}
	}
	attribute := func(level byte, id uint32, data []byte) {
		sum := uint16(0)
		for _, c := range data {
			sum += uint16(c)
		}
		put(level, id, uint32(len(data)), data, sum)
	}
	put(uint32(0x223E9F78), uint16(1))
	attribute(1, 0x00089006, []byte{0, 0, 1, 0})                    // attTnefVersion
	attribute(1, 0x00069007, []byte{0xE4, 0x04, 0, 0, 0, 0, 0, 0})  // attOemCodepage, 1252
	attribute(1, 0x00078008, []byte("IPM.Microsoft Mail.Note\x00")) // attMessageClass
	var message properties
	message.number(0x3FDE, 65001) // PidTagInternetCodepage
	message.named()
	if text != "" {
		message.text(0x1000, text)
	}
	if html != "" {
		message.binary(0x1013, []byte(html))
	}
	if rtf != nil {
		message.binary(0x1009, rtf)
	}
	attribute(1, 0x00069003, message.bytes()) // attMsgProps
	for _, f := range files {
		attribute(2, 0x00069002, make([]byte, 14)) // attAttachRendData
		short := "PIECE~1.DAT\x00"
		var p properties
		p.text(0x3707, f.Name)
		p.number(0x3705, 1)
		if f.Mail {
			p.object(0x3701, append([]byte("\x07\x03\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"), f.Data...))
		} else {
			attribute(2, 0x0006800F, f.Data) // attAttachData
		}
		attribute(2, 0x00018010, []byte(short)) // attAttachTitle
		attribute(2, 0x00069005, p.bytes())     // attAttachment
	}
	return b.Bytes()
}

// properties is a list of MAPI properties (MS-OXTNEF §2.1.3.4).
type properties struct {
	b bytes.Buffer
	n uint32
}

func (p *properties) head(typ, id uint16) {
	p.n++
	binary.Write(&p.b, binary.LittleEndian, []uint16{typ, id})
}

func (p *properties) number(id uint16, v uint32) {
	p.head(3, id)
	binary.Write(&p.b, binary.LittleEndian, v)
}

// named adds a property that has a name instead of a number.
func (p *properties) named() {
	p.head(0x1E, 0x8001)
	p.b.Write(make([]byte, 16))
	binary.Write(&p.b, binary.LittleEndian, uint32(1))
	p.value([]byte("n\x00o\x00m\x00\x00\x00"))
	binary.Write(&p.b, binary.LittleEndian, uint32(1))
	p.value([]byte("valeur\x00"))
}

func (p *properties) text(id uint16, s string) {
	p.head(0x1F, id)
	binary.Write(&p.b, binary.LittleEndian, uint32(1))
	var b []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	p.value(b)
}

func (p *properties) binary(id uint16, v []byte) { p.variable(0x102, id, v) }
func (p *properties) object(id uint16, v []byte) { p.variable(0x0D, id, v) }

func (p *properties) variable(typ, id uint16, v []byte) {
	p.head(typ, id)
	binary.Write(&p.b, binary.LittleEndian, uint32(1))
	p.value(v)
}

// value writes a size, the bytes and what makes them a multiple of four.
func (p *properties) value(v []byte) {
	binary.Write(&p.b, binary.LittleEndian, uint32(len(v)))
	p.b.Write(v)
	p.b.Write(make([]byte, (4-len(v)%4)%4))
}

func (p *properties) bytes() []byte {
	return append(binary.LittleEndian.AppendUint32(nil, p.n), p.b.Bytes()...)
}
