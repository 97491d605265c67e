// Package hl7 speaks HL7 v2.6 to a record system: the MDM messages that carry
// one document each (French volet "Transmission au LPS d'un document CDA
// provenant d'un courriel MSSanté"), their acknowledgements, the ER7 encoding
// and the MLLP transport.
//
// Where the volet, its examples and the standards it borrows from disagree, the rule
// of the volet holds and Settings has a field for the other form.
//
// A document is never held whole: Encode takes a reader for it and writes base64
// while it reads, Decoder hands long fields to a writer. Everything read from
// the peer is bounded in size.
//
// golang.org/x/text turns text into ISO 8859-15 for receivers that know nothing
// else, and takes letters apart when they are outside it.
package hl7
