// Package fhir speaks FHIR R4 to a record system: the few resources that carry a
// document reference, how a document becomes them (French profile PDSm of IHE
// MHD), and a client with bounds.
//
// It is written by hand: of FHIR's 150 resources Greffe needs six, and of those a
// few elements each. What is not modelled is not sent and, when received, ignored.
package fhir
