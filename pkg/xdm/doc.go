// Package xdm opens the archives that carry documents in MSSanté mail: IHE XDM, a ZIP
// with one or more sets of documents, each described by a METADATA.XML (ebRIM).
//
// Open lists every entry of a ZIP, whether it is XDM or not, reads the metadata and
// matches each document with its entry by URI, size and SHA-1. OpenEntry gives the
// bytes of one entry. What is untidy but leaves no doubt is read and reported: case of
// names, backslashes, wrapping folders, noise files, a second copy of the tree, blanks
// before the XML, references to ids that do not exist (values are bound to the object
// that they are nested in). What is dangerous or contradictory is refused.
//
// A ZIP is read by this package and not by archive/zip, which believes the directory at the
// end of the archive alone: here the header before each file must say the same, no bytes may
// belong to two files, and none may hold a file that only some programs see.
//
// Nothing is written anywhere and no name of an entry is ever used as a path.
//
// Outside the standard library it uses golang.org/x/text, for names of entries in the code page
// of DOS, and github.com/klauspost/compress/flate, which inflates a document in two thirds of the
// time that compress/flate takes. METADATA.XML is read with the Scanner of package cda, which sets the limits.
package xdm
