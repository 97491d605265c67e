// Package api holds what Greffe promises to programs of others: the schemas of what it
// writes. They are embedded so that the tests hold each promise and the console can
// give it out.
package api

import _ "embed"

// InspectSchema is the JSON Schema (2020-12) of one object that "greffe inspect --json"
// writes.
//
//go:embed inspect.schema.json
var InspectSchema []byte

// ExportSchema is the JSON Schema (2020-12) of the index.json that "greffe export" writes.
//
//go:embed export.schema.json
var ExportSchema []byte

// VerifySchema is the JSON Schema (2020-12) of the object that "greffe verify --json"
// writes.
//
//go:embed verify.schema.json
var VerifySchema []byte

// CompletenessSchema is the JSON Schema (2020-12) of what "greffe completeness --json"
// writes.
//
//go:embed completeness.schema.json
var CompletenessSchema []byte

// EliminationSchema is the JSON Schema (2020-12) of the order and the certificate that an
// elimination leaves in the archive.
//
//go:embed elimination.schema.json
var EliminationSchema []byte

// RetainSchema is the JSON Schema (2020-12) of what "greffe retain --json" writes.
//
//go:embed retain.schema.json
var RetainSchema []byte

// ReindexSchema is the JSON Schema (2020-12) of what "greffe reindex --json" writes.
//
//go:embed reindex.schema.json
var ReindexSchema []byte

// ManifestSchema is the JSON Schema (2020-12) of manifest.json in the archive.
//
//go:embed manifest.schema.json
var ManifestSchema []byte

// SegmentSchema is the JSON Schema (2020-12) of one line of a segment of the journal.
//
//go:embed segment.schema.json
var SegmentSchema []byte

// PackSchema is the JSON Schema (2020-12) of the preuve.json of a proof pack.
//
//go:embed pack.schema.json
var PackSchema []byte

// DIImport is the OpenAPI 3.1 description of what a record system that speaks FHIR must
// offer, and of what it finds at the console.
//
//go:embed di-import.yaml
var DIImport []byte

// OpenAPI is the OpenAPI 3.1 description of the console's JSON API, which the console
// gives out at /api/openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte
