package sandbox

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"fmt"
	"strings"
	"text/template"
	"time"

	"greffe/pkg/greffe"
)

// XDMFile is one document of an archive.
type XDMFile struct {
	Facts greffe.Document // of its header; Class, FormatCode, Confidentiality and Action go to the metadata
	Data  []byte
}

// XDMSpec says what an archive holds. All its documents are about the patient of
// the first one, unless the sample is about that mistake.
type XDMSpec struct {
	Files []XDMFile
	Time  time.Time // of the submission
	// The rest is for archives that are not as they should be.
	Folder   string                  // put before IHE_XDM, for example "export/"
	Slash    string                  // "\\" for tools that write backslashes
	Metadata func(xml []byte) []byte // changes METADATA.XML; nil bytes leave it out
	Extra    []ZipEntry              // further entries
}

// ZipEntry is a file of a ZIP archive.
type ZipEntry struct {
	Name string
	Data []byte
}

// XDM returns a ZIP archive in the layout of IHE XDM with its METADATA.XML
// (ebRIM 3.0, the metadata of XDS), README.TXT and INDEX.HTM.
func XDM(s XDMSpec) []byte {
	sender := s.Files[0].Facts.Authors[0].Organization
	entries := []ZipEntry{
		{"INDEX.HTM", fmt.Appendf(nil, indexHTM, escape(sender.Name))},
		{"README.TXT", fmt.Appendf(nil, readme, sender.Name)},
	}
	folder := s.Folder + "IHE_XDM/SUBSET01/"
	if xml := metadata(s); xml != nil {
		entries = append(entries, ZipEntry{folder + "METADATA.XML", xml})
	}
	for i, f := range s.Files {
		if f.Data != nil {
			entries = append(entries, ZipEntry{folder + documentName(i), f.Data})
		}
	}
	entries = append(entries, s.Extra...)
	if s.Slash != "" {
		for i := range entries {
			entries[i].Name = strings.ReplaceAll(entries[i].Name, "/", s.Slash)
		}
	}
	return Zip(entries, s.Time)
}

// Zip returns a deflated ZIP archive of the entries, all of the same date.
func Zip(entries []ZipEntry, at time.Time) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.CreateHeader(&zip.FileHeader{Name: e.Name, Method: zip.Deflate, Modified: at})
		if err == nil {
			_, err = w.Write(e.Data)
		}
		if err != nil {
			panic(fmt.Sprintf("sandbox: zip: %v", err)) // memory does not fail
		}
	}
	if err := z.Close(); err != nil {
		panic(fmt.Sprintf("sandbox: zip: %v", err))
	}
	return b.Bytes()
}

func documentName(i int) string { return fmt.Sprintf("DOC%04d.XML", i+1) }

const indexHTM = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Documents</title></head>
<body><p>Expéditeur : %s</p><p><a href="README.TXT">Lisez-moi</a></p></body></html>
`

const readme = "Emetteur\r\n========\r\n  %s\r\n\r\nArborescence\r\n============\r\n" +
	"  README.TXT\r\n  INDEX.HTM\r\n  IHE_XDM\\SUBSET01\\METADATA.XML\r\n"

// metadata returns METADATA.XML.
func metadata(s XDMSpec) []byte {
	type entry struct {
		greffe.Document
		Number         int
		URI, Hash      string
		Bytes          int
		Author         greffe.Person
		ActionCode     string
		Start, Created string
	}
	var entries []entry
	for i, f := range s.Files {
		action := map[greffe.Action]string{greffe.ActionReplace: "C", greffe.ActionDelete: "D"}[f.Facts.Action]
		entries = append(entries, entry{
			Document: f.Facts, Number: i + 1, URI: documentName(i), Hash: fmt.Sprintf("%X", sha1.Sum(f.Data)), Bytes: len(f.Data),
			Author: f.Facts.Authors[0], ActionCode: action, Start: hl7UTC(f.Facts.ServiceStart), Created: hl7UTC(f.Facts.Created),
		})
	}
	first := entries[0]
	var b bytes.Buffer
	err := metadataTemplate.Execute(&b, map[string]any{
		"First": first, "Entries": entries, "Time": s.Time.UTC().Format("20060102150405"), "UniqueID": first.UniqueID.Root + ".0",
	})
	if err != nil {
		panic(fmt.Sprintf("sandbox: metadata template: %v", err)) // the template is a constant and its data strings
	}
	if s.Metadata != nil {
		return s.Metadata(b.Bytes())
	}
	return b.Bytes()
}

var metadataTemplate = template.Must(template.New("metadata").Funcs(template.FuncMap{
	"x":     escape,
	"value": func(o greffe.OID) string { return escape(o.String()) },
	"cx": func(p greffe.Patient) string {
		id := p.INS
		if id.IsZero() && len(p.IDs) > 0 {
			return escape(fmt.Sprintf("%s^^^&%s&ISO^PI", p.IDs[0].Extension, p.IDs[0].Root))
		}
		return escape(fmt.Sprintf("%s^^^&%s&ISO^NH", id.Extension, id.Root))
	},
	"xcn": func(p greffe.Person) string {
		return escape(fmt.Sprintf("%s^%s^%s^^^^^^&%s&ISO^D^^^IDNPS", p.ID.Extension, p.Family, p.Given, p.ID.Root))
	},
	"xon": func(o greffe.Org) string {
		return escape(fmt.Sprintf("%s^^^^^&%s&ISO^IDNST^^^%s", o.Name, o.ID.Root, o.ID.Extension))
	},
	"label": func(c greffe.Code) string {
		return escape(fmt.Sprintf("%s^%s^%s", c.Code, c.Label, c.System))
	},
	"split": func(s string) []string { return strings.SplitN(s, "|", 2) },
}).Parse(`<lcm:SubmitObjectsRequest xmlns:lcm="urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0" xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0">
<rim:RegistryObjectList>
<rim:RegistryPackage id="SubmissionSet01" status="urn:oasis:names:tc:ebxml-regrep:StatusType:Approved">
{{template "slot" (printf "submissionTime|%s" .Time)}}
<rim:Name><rim:LocalizedString xml:lang="FR" charset="UTF8" value="{{x .First.Title}}"/></rim:Name>
<rim:Classification id="SubmissionSet01_c0" classificationNode="urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd" classifiedObject="SubmissionSet01"/>
<rim:Classification id="SubmissionSet01_c1" classificationScheme="urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d" classifiedObject="SubmissionSet01" nodeRepresentation="">
{{template "author" .First.Author}}</rim:Classification>
<rim:Classification id="SubmissionSet01_c2" classificationScheme="urn:uuid:aa543740-bdda-424e-8c96-df4873be8500" classifiedObject="SubmissionSet01" nodeRepresentation="{{x .First.Facility.Code}}">
{{template "coded" .First.Facility}}</rim:Classification>
<rim:ExternalIdentifier id="SubmissionSet01_i0" identificationScheme="urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446" registryObject="SubmissionSet01" value="{{cx .First.Patient}}"><rim:Name><rim:LocalizedString value="XDSSubmissionSet.patientId"/></rim:Name></rim:ExternalIdentifier>
<rim:ExternalIdentifier id="SubmissionSet01_i1" identificationScheme="urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832" registryObject="SubmissionSet01" value="{{x .First.Author.Organization.ID.Root}}.{{x .First.Author.Organization.ID.Extension}}"><rim:Name><rim:LocalizedString value="XDSSubmissionSet.sourceId"/></rim:Name></rim:ExternalIdentifier>
<rim:ExternalIdentifier id="SubmissionSet01_i2" identificationScheme="urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8" registryObject="SubmissionSet01" value="{{x .UniqueID}}"><rim:Name><rim:LocalizedString value="XDSSubmissionSet.uniqueId"/></rim:Name></rim:ExternalIdentifier>
</rim:RegistryPackage>
{{- range .Entries}}
<rim:ExtrinsicObject id="Document{{.Number}}" mimeType="text/xml" objectType="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1" status="urn:oasis:names:tc:ebxml-regrep:StatusType:Approved">
{{- with .ActionCode}}
{{template "slot" (printf "urn:action:extraMetadataSlot|%s" .)}}
{{- end}}
{{template "slot" (printf "hash|%s" .Hash)}}
{{template "slot" (printf "size|%d" .Bytes)}}
{{template "slot" (printf "URI|%s" .URI)}}
{{template "slot" (printf "creationTime|%s" .Created)}}
{{template "slot" "languageCode|fr-FR"}}
<rim:Slot name="legalAuthenticator"><rim:ValueList><rim:Value>{{xcn .Author}}</rim:Value></rim:ValueList></rim:Slot>
{{template "slot" (printf "serviceStartTime|%s" .Start)}}
<rim:Slot name="sourcePatientId"><rim:ValueList><rim:Value>{{cx .Patient}}</rim:Value></rim:ValueList></rim:Slot>
<rim:Slot name="sourcePatientInfo"><rim:ValueList>
<rim:Value>PID-5|{{x .Patient.BirthFamily}}^{{x .Patient.FirstGiven}}^{{x .Patient.Givens}}^^^^L</rim:Value>
<rim:Value>PID-7|{{x .Patient.BirthDate}}</rim:Value>
<rim:Value>PID-8|{{x .Patient.Sex}}</rim:Value>
<rim:Value>PID-11|^^^^^^BDL^^{{x .Patient.BirthPlace}}</rim:Value>
</rim:ValueList></rim:Slot>
<rim:Name><rim:LocalizedString xml:lang="FR" charset="UTF8" value="{{x .Title}}"/></rim:Name>
<rim:Classification id="Document{{.Number}}_author" classificationScheme="urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d" classifiedObject="Document{{.Number}}" nodeRepresentation="">
{{template "author" .Author}}</rim:Classification>
<rim:Classification id="Document{{.Number}}_class" classificationScheme="urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a" classifiedObject="Document{{.Number}}" nodeRepresentation="{{x .Class.Code}}">{{template "coded" .Class}}</rim:Classification>
{{- range .Confidentiality}}
<rim:Classification classificationScheme="urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f" nodeRepresentation="{{x .Code}}">{{template "coded" .}}</rim:Classification>
{{- end}}
<rim:Classification id="Document{{.Number}}_format" classificationScheme="urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d" classifiedObject="Document{{.Number}}" nodeRepresentation="{{x .FormatCode.Code}}">{{template "coded" .FormatCode}}</rim:Classification>
<rim:Classification id="Document{{.Number}}_facility" classificationScheme="urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1" classifiedObject="Document{{.Number}}" nodeRepresentation="{{x .Facility.Code}}">{{template "coded" .Facility}}</rim:Classification>
<rim:Classification id="Document{{.Number}}_practice" classificationScheme="urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead" classifiedObject="Document{{.Number}}" nodeRepresentation="{{x .Practice.Code}}">{{template "coded" .Practice}}</rim:Classification>
<rim:Classification id="Document{{.Number}}_type" classificationScheme="urn:uuid:f0306f51-975f-434e-a61c-c59651d33983" classifiedObject="Document{{.Number}}" nodeRepresentation="{{x .Type.Code}}">{{template "coded" .Type}}</rim:Classification>
<rim:ExternalIdentifier id="Document{{.Number}}_i0" identificationScheme="urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427" registryObject="Document{{.Number}}" value="{{cx .Patient}}"><rim:Name><rim:LocalizedString value="XDSDocumentEntry.patientId"/></rim:Name></rim:ExternalIdentifier>
<rim:ExternalIdentifier id="Document{{.Number}}_i1" identificationScheme="urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab" registryObject="Document{{.Number}}" value="{{value .UniqueID}}"><rim:Name><rim:LocalizedString value="XDSDocumentEntry.uniqueId"/></rim:Name></rim:ExternalIdentifier>
</rim:ExtrinsicObject>
<rim:Association id="Association{{.Number}}" associationType="urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember" sourceObject="SubmissionSet01" targetObject="Document{{.Number}}">{{template "slot" "SubmissionSetStatus|Original"}}</rim:Association>
{{- end}}
</rim:RegistryObjectList>
</lcm:SubmitObjectsRequest>
{{define "slot"}}{{$v := split .}}<rim:Slot name="{{index $v 0}}"><rim:ValueList><rim:Value>{{x (index $v 1)}}</rim:Value></rim:ValueList></rim:Slot>{{end}}
{{- define "coded"}}<rim:Slot name="codingScheme"><rim:ValueList><rim:Value>{{x .System}}</rim:Value></rim:ValueList></rim:Slot><rim:Name><rim:LocalizedString xml:lang="FR" charset="UTF8" value="{{x .Label}}"/></rim:Name>{{end}}
{{- define "author"}}<rim:Slot name="authorInstitution"><rim:ValueList><rim:Value>{{xon .Organization}}</rim:Value></rim:ValueList></rim:Slot>
<rim:Slot name="authorPerson"><rim:ValueList><rim:Value>{{xcn .}}</rim:Value></rim:ValueList></rim:Slot>
<rim:Slot name="authorSpecialty"><rim:ValueList><rim:Value>{{label .Specialty}}</rim:Value></rim:ValueList></rim:Slot>
{{end}}`))
