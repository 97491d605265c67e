package main

import (
	"testing"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
)

// twinsAreArchived: a document and its PDF copy are one document on screen and two files
// in the archive, and the manifest says which is the copy of which.
func twinsAreArchived(t *testing.T, s *scene) {
	a := &app{cfg: s.cfg, log: s.log}
	defer a.close()
	if err := a.openArchive(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, reason := range map[string]string{
		"CDA de niveau 1 avec sa copie PDF":                "copie du document",       // the same bytes
		"Compte rendu de biologie structuré (niveau 3)":    "version PDF du document", // a rendering
		"Compte rendu d'imagerie structuré avec une image": "version PDF du document",
	} {
		d := s.details[name]
		m, err := archive.ReadManifest(t.Context(), a.store, d.Manifest)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(d.Documents) != 1 || len(m.Parsed.Documents) != 1 || len(m.Parsed.Documents[0].Twins) != 1 {
			t.Errorf("%s: %d documents, twins %v", name, len(d.Documents), m.Parsed.Documents)
			continue
		}
		doc := m.Parsed.Documents[0]
		parts := map[string]greffe.Part{}
		for _, p := range m.Parsed.Parts {
			parts[p.Path] = p
		}
		twin := parts[doc.Twins[0]]
		of := parts[twin.TwinOf]
		if twin.Kind != greffe.PartPDF || twin.Reason != reason || of.Path != doc.Part && of.Path != doc.Body && of.Path != doc.Part+"#0" {
			t.Errorf("%s: the twin %+v is of %q", name, twin, of.Path)
		}
		for _, p := range []greffe.Part{twin, of} {
			o := m.Objects[p.Path]
			if o.SHA256 != p.SHA256 || o.Size != p.Size {
				t.Errorf("%s: part %s is %s in the manifest, its object %+v", name, p.Path, p.SHA256, o)
				continue
			}
			f, err := a.store.Open(t.Context(), o)
			if err != nil {
				t.Errorf("%s: part %s: %v", name, p.Path, err)
				continue
			}
			f.Close()
		}
		if same := twin.SHA256 == of.SHA256; same != (reason == "copie du document") {
			t.Errorf("%s: same bytes %v, %q", name, same, reason)
		}
	}
}
