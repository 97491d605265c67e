package fhir

import (
	"encoding/base64"
	"encoding/json"
)

// PatchForm is how a change of one element is written. PDSm asks for FHIRPath in the
// transaction of a replacement and for JSON Patch in its update of metadata; servers
// know one, the other, or both.
type PatchForm string

// Forms of a patch (FHIR R4 §3.1.0.8).
const (
	PatchFHIRPath PatchForm = "fhirpath" // Parameters; the empty value, too
	PatchJSON     PatchForm = "json"     // RFC 6902; a Binary inside a transaction
)

const jsonPatch = "application/json-patch+json"

// operation is one step of a JSON Patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value"`
}

// setStatus returns the patch that sets the status of a DocumentReference: the body
// of a PATCH, its content type, and the resource that carries it in a transaction.
func (f PatchForm) setStatus(status string) (body []byte, contentType string, resource json.RawMessage) {
	if f == PatchJSON {
		b := raw([]operation{{"replace", "/status", status}})
		return b, jsonPatch, raw(Binary{ResourceType: "Binary", ContentType: jsonPatch, Data: base64.StdEncoding.EncodeToString(b)})
	}
	b := raw(Parameters{ResourceType: "Parameters", Parameter: []Parameter{{Name: "operation", Part: []Parameter{
		{Name: "type", ValueCode: "replace"},
		{Name: "path", ValueString: "DocumentReference.status"},
		{Name: "value", ValueCode: status},
	}}}})
	return b, fhirJSON, b
}

// ReadStatus returns the status that a patch sets, in either form; "" when it is not
// a patch that sets the status and nothing else.
func ReadStatus(patch []byte) string {
	var steps []operation
	if json.Unmarshal(patch, &steps) == nil {
		if len(steps) == 1 && steps[0].Op == "replace" && steps[0].Path == "/status" {
			return steps[0].Value
		}
		return ""
	}
	var bin Binary
	if json.Unmarshal(patch, &bin) == nil && bin.ResourceType == "Binary" && bin.ContentType == jsonPatch {
		b, err := base64.StdEncoding.DecodeString(bin.Data)
		if err != nil || resourceType(b) != "" {
			return ""
		}
		return ReadStatus(b)
	}
	var p Parameters
	if json.Unmarshal(patch, &p) != nil || p.ResourceType != "Parameters" || len(p.Parameter) != 1 || p.Parameter[0].Name != "operation" {
		return ""
	}
	var kind, path, value string
	for _, part := range p.Parameter[0].Part {
		switch part.Name {
		case "type":
			kind = part.ValueCode
		case "path":
			path = part.ValueString
		case "value":
			value = part.ValueCode
		}
	}
	if kind != "replace" || path != "DocumentReference.status" {
		return ""
	}
	return value
}
