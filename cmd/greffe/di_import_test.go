package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"greffe/api"
	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
	"greffe/pkg/sandbox"
)

// diImport returns api/di-import.yaml as a tree, and the schema of one of its parts.
func diImport(t *testing.T) (tree map[string]any, schema func(name string) *jsonschema.Schema) {
	t.Helper()
	if err := yaml.Unmarshal(api.DIImport, &tree); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("di-import.json", doc); err != nil {
		t.Fatal(err)
	}
	return tree, func(name string) *jsonschema.Schema {
		t.Helper()
		s, err := c.Compile("di-import.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// The demo DI offers everything that a DI is asked to offer.
func TestTheDemoDIOffersWhatADIMust(t *testing.T) {
	t.Parallel()
	tree, _ := diImport(t)
	di, err := sandbox.StartDI(sandbox.DIConfig{Patients: sandbox.KnownPatients()})
	if err != nil {
		t.Fatal(err)
	}
	defer di.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	n := 0
	for path, ops := range tree["paths"].(map[string]any) {
		for method, op := range ops.(map[string]any) {
			o, ok := op.(map[string]any)
			if !ok || o["tags"] == nil || o["tags"].([]any)[0] != "DI" {
				continue
			}
			n++
			req, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), di.FHIRBase()+strings.TrimSuffix(strings.Replace(path, "{id}", "1", 1), "/"), strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.Header.Get("Content-Type") != "application/fhir+json" {
				t.Errorf("%s %s: %d, %s", method, path, resp.StatusCode, resp.Header.Get("Content-Type"))
			}
		}
	}
	if n != 6 {
		t.Errorf("%d operations", n)
	}
}

// What Greffe sends to a DI is what the description says that it sends.
func TestWhatADIGetsIsDescribed(t *testing.T) {
	t.Parallel()
	_, schema := diImport(t)
	var mu sync.Mutex
	got := map[string][]byte{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got[r.Method+" "+strings.TrimSuffix(r.URL.Path, "/")+" "+r.Header.Get("Content-Type")] = b
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer server.Close()
	c, err := fhir.New(fhir.Config{Base: server.URL + "/fhir"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	content := &fhir.Blob{Size: 4, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("<a/>")), nil }}
	s := fhir.Submission{UUID: "11111111-0000-8000-8000-000000000002", URL: "https://greffe.example/di/documents/x-1", SHA1: make([]byte, 20), At: time.Now(),
		SourceID: "1.2.3", Replaces: "DocumentReference/1",
		Document: greffe.Document{UniqueID: greffe.OID{Root: "1.2.3.4"}, MediaType: "text/xml", Size: 4, Patient: sandbox.KnownPatients()[0]}}
	ctx := t.Context()
	c.Provide(ctx, s.Provide(content))
	c.SetStatus(ctx, "DocumentReference/1", "superseded", fhir.PatchFHIRPath)
	c.SetStatus(ctx, "DocumentReference/1", "superseded", fhir.PatchJSON)
	hold := func(name string, text []byte) {
		t.Helper()
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err == nil {
			err = schema(name).Validate(v)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bundle := got["POST /fhir application/fhir+json"]
	hold("Transaction", bundle)
	var b fhir.Bundle
	if err := json.Unmarshal(bundle, &b); err != nil || len(b.Entry) != 4 {
		t.Fatalf("%d entries, %v", len(b.Entry), err)
	}
	hold("DocumentReference", b.Entry[1].Resource)
	hold("FHIRPathPatch", got["PATCH /fhir/DocumentReference/1 application/fhir+json"])
	hold("JSONPatch", got["PATCH /fhir/DocumentReference/1 application/json-patch+json"])
	for _, content := range []*fhir.Blob{nil, content} {
		c.Create(ctx, s.Create(content))
		hold("DocumentReference", got["POST /fhir/DocumentReference application/fhir+json"])
	}
	s.Replaces = ""
	c.Provide(ctx, s.Provide(content))
	hold("Transaction", got["POST /fhir application/fhir+json"])
	if schema("DocumentReference").Validate(map[string]any{"resourceType": "DocumentReference"}) == nil {
		t.Error("the schema holds nothing")
	}
}
