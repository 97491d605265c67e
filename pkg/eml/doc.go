// Package eml walks a mail message as it came and gives every piece of it, once,
// decoded, with what was wrong about it.
//
// Real mail breaks the rules: boundaries that are missing or other than declared,
// header lines that are none, base64 with a footer glued to it, names in four
// broken forms. None of that may cost a document, so nothing here is an error:
// what cannot be read by the book is read as well as can be and noted as a
// [greffe.Finding]. Only the reader of the message or the caller's own function
// can make [Walk] fail.
//
// The walk is one pass in constant memory, whatever the size of the message: one
// buffer per nested mail, no part is ever held whole. It is deterministic: two
// walks over the same bytes give the same leaves with the same paths and bytes,
// which is what lets the archive read a message a second time.
//
// Dependencies: github.com/emersion/go-message/charset for its table of mail
// charsets, golang.org/x/text for windows-1252, golang.org/x/net/html to reduce
// an HTML body to text. The reader of parts is our own and not go-message's,
// because that one ends at the first header line it cannot read (the rest of the
// message is lost), settles on one kind of line end, and needs a boundary that is
// declared and right.
//
// Specifications followed: RFC 5322, 2045, 2046, 2047, 2231, 3464, 3834, 6532, 8098;
// Référentiel MSSanté n° 2 (headers X-MSS-*, subject marker XDM/1.0/DDM).
package eml
