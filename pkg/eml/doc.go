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
// buffer per open multipart and nested mail, no part is ever held whole. It is
// deterministic: two walks over the same bytes give the same leaves with the same
// paths and bytes, which is what lets the archive read a message a second time.
//
// Dependencies: github.com/emersion/go-message reads the mail, golang.org/x/text
// does windows-1252, golang.org/x/net/html reduces an HTML body to text,
// github.com/smallstep/pkcs7 verifies signatures: it has releases and no dependency of
// its own, and takes the digest of what was hashed as it went by (cms.go gives it the
// signature alone, rewritten in DER; it copies content and costs the square of BER).
//
// What go-message does: textproto.ReadHeader reads all headers, textproto's
// MultipartReader cuts the parts at every level (an outer part ends the multipart
// in it, closed or not), mail.Header and message.Header read types, dispositions,
// parameters, encoded words, addresses, dates and identifiers, charset converts.
//
// What stands around it, because go-message alone loses something (each reason is a
// case of TestWhatGoMessageLosesAlone):
//   - [mender] rewrites each multipart before MultipartReader sees it, with a boundary
//     of its own, and prepares the block that ReadHeader gets. Alone, the reader ends
//     the message at a header line that is none, at a final boundary that is missing
//     or comes too early, at content that begins like a delimiter, when line ends
//     change, and finds nothing when the boundary is not the declared one. ReadHeader
//     holds some hundred times the size of a header made of tiny fields.
//   - Lenient readers take the values that go-message refuses, or gets wrong without
//     saying so (value.go): RFC 2231 in other charsets than UTF-8, raw 8-bit, utf-7,
//     unquoted names. Comments cost go-message and net/mail quadratic time.
//   - Transfer encodings are undone here (decode.go, quoted.go). message.New ends at
//     the first character outside base64, at padding inside it and at a line of
//     quoted-printable over 4 KiB, knows no uuencode, and converts texts to UTF-8,
//     where the archive needs the bytes that were sent.
//   - Nested mails are opened by [Walk]: to go-message they are leaves. So is opaque
//     signed data (seal.go, cms.go), read as it goes by; signed parts are hashed as they
//     came, before anything is mended.
//
// What needs a second look at a part lies in [Pieces]: winmail.dat (tnef.go) and files
// coded into a text (uu.go). Kinds of mail are told apart by [Kind], from what headers,
// reports and texts say (kind.go, quote.go).
//
// Specifications followed: RFC 5322, 2045, 2046, 2047, 2231, 3464, 3834, 6532, 8098;
// RFC 1847, 5652, 8551 (signed mail); MS-OXTNEF, MS-OXRTFCP (winmail.dat);
// Référentiel MSSanté n° 2 (headers X-MSS-*, subject marker XDM/1.0/DDM).
package eml
