// Package cda reads the clinical documents that Greffe carries: HL7 CDA R2 with a
// French header, of level 1 (a header around a PDF), of level 3 (coded sections)
// and auto-présentable (the document inside its own stylesheet).
//
// Read gives the facts of the header, Embedded every file carried inside the
// document in base64, WriteHTML what a person reads. All of them work on a
// Scanner, an XML reader of our own, for three reasons: encoding/xml holds a whole
// text node in memory (the base64 of a PDF is one node, and may weigh 70 MB), it
// accepts what must be refused (document types, two roots, undeclared prefixes,
// duplicate attributes) and it sets no limits. Package xdm reads METADATA.XML with
// the same Scanner.
//
// The package has no state, uses neither network nor disk and never follows a
// reference. Everything in it may be called by several goroutines at once, each
// with its own reader.
//
// Outside the standard library it uses golang.org/x/text, to turn UTF-16 and the
// 8-bit character sets that hospitals still write into UTF-8.
package cda
