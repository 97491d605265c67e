package sandbox

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
)

// take integrates a reference whose content is given, or has to be fetched.
func (d *DI) take(ctx context.Context, ref fhir.DocumentReference, content []byte) (*DIDocument, bool, *diRefusal) {
	if ref.MasterIdentifier == nil || len(ref.Content) != 1 || len(ref.Identifier) == 0 {
		return nil, false, &diOther
	}
	a := ref.Content[0].Attachment
	req := diRequest{event: greffe.ActionNew, control: ref.Identifier[0].Value, number: diNumber(*ref.MasterIdentifier), title: a.Title, through: "FHIR"}
	d.mu.Lock()
	_, before := d.accepted[req.control]
	d.mu.Unlock()
	if !before {
		var hash []byte
		if content != nil {
			s1, s2 := sha1.Sum(content), sha256.Sum256(content)
			hash, req.size, req.sha256 = s1[:], int64(len(content)), greffe.DigestFrom(s2[:])
		} else {
			var err error
			if hash, req.size, req.sha256, err = d.download(ctx, a.URL); err != nil {
				return nil, false, &diRefusal{"906", "Document introuvable à l'adresse donnée"}
			}
		}
		if base64.StdEncoding.EncodeToString(hash) != a.Hash || req.size != a.Size {
			return nil, false, &diRefusal{"906", "L'empreinte du document ne correspond pas"}
		}
	}
	if ref.Type != nil && len(ref.Type.Coding) > 0 {
		req.kind = ref.Type.Coding[0].Code
	}
	for _, c := range ref.Contained {
		var p fhir.Patient
		if json.Unmarshal(c, &p) == nil && p.ResourceType == "Patient" {
			req.patient = p.Traits()
		}
		var who fhir.Practitioner
		if json.Unmarshal(c, &who) == nil && who.ResourceType == "Practitioner" && who.ID == "author1" && len(who.Identifier) > 0 {
			req.author = diNumber(who.Identifier[0])
		}
	}
	for _, rel := range ref.RelatesTo {
		if rel.Code == "replaces" {
			req.event = greffe.ActionReplace
			d.mu.Lock()
			if old := d.byID[strings.TrimPrefix(rel.Target.Reference, "DocumentReference/")]; old != nil {
				req.parent = old.Number
			}
			d.mu.Unlock()
		}
	}
	return d.integrate(req)
}

// download reads a referenced document and returns its digests.
func (d *DI) download(ctx context.Context, address string) (sha []byte, size int64, digest greffe.Digest, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, 0, "", fmt.Errorf("demo DI: not an address")
	}
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		return nil, 0, "", err
	}
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	resp, err := d.fetch.Do(req)
	if err != nil {
		return nil, 0, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, "", fmt.Errorf("demo DI: document answered %d", resp.StatusCode)
	}
	s1, s2 := sha1.New(), sha256.New()
	size, err = io.Copy(io.MultiWriter(s1, s2), io.LimitReader(resp.Body, diBody))
	return s1.Sum(nil), size, greffe.DigestFrom(s2.Sum(nil)), err
}

// diNumber turns an identifier back into root or root^extension.
func diNumber(i fhir.Identifier) string {
	if root, ok := strings.CutPrefix(i.Value, "urn:oid:"); ok {
		return root
	}
	return greffe.OID{Root: strings.TrimPrefix(i.System, "urn:oid:"), Extension: i.Value}.String()
}
