// Package report writes reports as PDF that programs can read aloud: ISO 32000-1 §14.7 and
// §14.8 (logical structure, tagged PDF), in French. Headings, paragraphs and tables are
// elements of its structure tree, header cells have a scope, what only decorates is an
// artifact; the fonts are embedded, with their way back to Unicode.
//
// No library at hand writes tagged PDF, and this needs no more than is here. Third-party
// code: golang.org/x/image for the fonts Go Regular and Go Bold and for their outlines.
package report
