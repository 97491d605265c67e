// Package greffe holds the words that every part of Greffe shares: the message
// and where it was found, its parts, the documents it carries, the patient they
// are about, what was found wrong, the state of the work and the events that
// pass between services.
//
// It imports only the standard library and does nothing: no network, no disk,
// no clock. Values are plain data that survive a round trip through JSON; the
// zero value of every field means "not known".
package greffe
