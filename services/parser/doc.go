// Package parser reads messages: it turns the raw bytes of a mail into parts,
// documents and findings.
//
// It opens hostile input, so it is cut off from what could be harmed: it reads the
// spool and publishes events over the bus, and holds no other credential. PDFs are
// looked at in a child process (package pdf). Parts are scanned by clamd, when there is
// one (scan.go); while it does not answer no message is read (antivirus.go).
//
// # How a message is read
//
//  1. eml.Walk gives each leaf of the message once. In that one pass a leaf is
//     hashed and its kind decided by its content; only what needs a second look
//     (archives, CDAs, PDFs) is kept, in memory up to 1 MiB, else in an unlinked
//     temporary file. The antivirus gets the bytes of every part, from there or as
//     they go by.
//  2. Archives are opened, CDA headers read, the files inside both hashed and
//     looked at in the same way. Each becomes a part with a path of its own.
//     What senders' programs wrap files into (winmail.dat, uuencode) is opened by
//     eml.Pieces, which the archive's second reading asks as well.
//  3. When all is read the message is classified, copies are found, and every
//     part ends in one of three ways: it is a document or a piece of one; it is
//     ignored, with a reason that a secretary understands; or it is the container
//     of others. Nothing that was attached is left without one of these.
//
// A message is about one patient (identity.go): what its documents, their metadata and
// its headers say is compared trait by trait, and a contradiction holds every document. A
// document that came twice is one document with twins (twins.go): by its bytes, or, for
// the PDF that shows a level 3 document, by what the name and title of the PDF say
// (renderings.go, evidence.go). Twins are never told by the order of the parts.
//
// What is wrong with a message is a finding. An error means that the bus, the
// temporary disk or the antivirus failed, and that the message is to be read again.
package parser
