package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"strings"
	"text/template"
	"time"

	"greffe/pkg/greffe"
)

// hl7Time is the form of a date in a CDA header (HL7 TS with time zone).
const hl7Time = "20060102150405-0700"

// CDASpec says what a CDA document says. These facts of the header must be set:
// UniqueID, SetID, Version, Type, Title, Created (in the form
// 20060102150405-0700), Patient with its IDs, one author, Facility and Practice.
// The signer and the custodian are the author and his organisation.
type CDASpec struct {
	greffe.Document
	PDF            []byte // level 1: the PDF that is the body
	Sections       string // level 3: XML of the components of structuredBody
	Templates      []string
	SelfPresenting bool // wrapped in a style sheet (auto-présentable)
}

// CDA returns the XML of a CDA document as French senders write it (CI-SIS,
// structuration minimale).
func CDA(s CDASpec) []byte {
	templates := []string{"2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1"}
	if s.PDF != nil {
		templates = append(templates, "1.3.6.1.4.1.19376.1.2.20")
	} else if len(s.Templates) == 0 {
		templates = append(templates, "1.2.250.1.213.1.1.1.55") // CR de biologie: a document follows some volet
	}
	var b bytes.Buffer
	err := cdaTemplate.Execute(&b, struct {
		CDASpec
		Templates []string
		Author    greffe.Person
		Body      string
	}{s, append(templates, s.Templates...), s.Authors[0], base64.StdEncoding.EncodeToString(s.PDF)})
	if err != nil {
		panic(fmt.Sprintf("sandbox: CDA template: %v", err)) // the template is a constant and its data strings
	}
	document := b.String()
	if s.SelfPresenting {
		document = fmt.Sprintf(selfPresenting, document)
	}
	return []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + document)
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

var cdaTemplate = template.Must(template.New("cda").Funcs(template.FuncMap{
	"x":    escape,
	"id":   func(o greffe.OID) string { return idAttributes(o) },
	"code": func(c greffe.Code) string { return codeAttributes(c) },
	"date": func(ts string) string { return ts[:min(8, len(ts))] },
}).Parse(`<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <realmCode code="FR"/>
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
{{- range .Templates}}
  <templateId root="{{.}}"/>
{{- end}}
  <id {{id .UniqueID}}/>
  <code {{code .Type}}/>
  <title>{{x .Title}}</title>
  <effectiveTime value="{{.Created}}"/>
  <confidentialityCode code="N" displayName="Normal" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="fr-FR"/>
  <setId {{id .SetID}}/>
  <versionNumber value="{{.Version}}"/>
  <recordTarget>
    <patientRole>
{{- range .Patient.IDs}}
      <id {{id .}}/>
{{- end}}
      <addr nullFlavor="NASK"/>
      <telecom nullFlavor="NASK"/>
      <patient classCode="PSN">
        <name>
          <family qualifier="BR">{{x .Patient.BirthFamily}}</family>
{{- with .Patient.Givens}}
          <given>{{x .}}</given>
{{- end}}
          <given qualifier="BR">{{x .Patient.FirstGiven}}</given>
{{- with .Patient.UsedFamily}}
          <family qualifier="CL">{{x .}}</family>
{{- end}}
{{- with .Patient.UsedGiven}}
          <given qualifier="CL">{{x .}}</given>
{{- end}}
        </name>
{{- with .Patient.Sex}}
        <administrativeGenderCode code="{{.}}" codeSystem="2.16.840.1.113883.5.1"/>
{{- else}}
        <administrativeGenderCode nullFlavor="UNK"/>
{{- end}}
{{- with .Patient.BirthDate}}
        <birthTime value="{{.}}"/>
{{- else}}
        <birthTime nullFlavor="UNK"/>
{{- end}}
{{- with .Patient.BirthPlace}}
        <birthplace>
          <place>
            <addr>
              <county>{{x .}}</county>
            </addr>
          </place>
        </birthplace>
{{- end}}
      </patient>
    </patientRole>
  </recordTarget>
  <author>
    <time value="{{.Created}}"/>
    <assignedAuthor>{{template "entity" .Author}}
      <representedOrganization>
        <id {{id .Author.Organization.ID}}/>
        <name>{{x .Author.Organization.Name}}</name>
      </representedOrganization>
    </assignedAuthor>
  </author>
  <custodian>
    <assignedCustodian>
      <representedCustodianOrganization>
        <id {{id .Author.Organization.ID}}/>
        <name>{{x .Author.Organization.Name}}</name>
      </representedCustodianOrganization>
    </assignedCustodian>
  </custodian>
  <legalAuthenticator>
    <time value="{{.Created}}"/>
    <signatureCode code="S"/>
    <assignedEntity>{{template "entity" .Author}}
      <representedOrganization>
        <id {{id .Author.Organization.ID}}/>
        <name>{{x .Author.Organization.Name}}</name>
      </representedOrganization>
    </assignedEntity>
  </legalAuthenticator>
  <documentationOf>
    <serviceEvent>
      {{if .Event.Code}}<code {{code .Event}}/>{{end}}
      <effectiveTime>
        <low value="{{.ServiceStart}}"/>
      </effectiveTime>
      <performer typeCode="PRF">
        <assignedEntity>{{template "entity" .Author}}
          <representedOrganization>
            <id {{id .Author.Organization.ID}}/>
            <name>{{x .Author.Organization.Name}}</name>
            <standardIndustryClassCode {{code .Practice}}/>
          </representedOrganization>
        </assignedEntity>
      </performer>
    </serviceEvent>
  </documentationOf>
{{- if .Replaces.Root}}
  <relatedDocument typeCode="RPLC">
    <parentDocument>
      <id {{id .Replaces}}/>
    </parentDocument>
  </relatedDocument>
{{- end}}
  <componentOf>
    <encompassingEncounter>
      <code code="AMB" displayName="Ambulatoire (hors établissement)" codeSystem="2.16.840.1.113883.5.4"/>
      <effectiveTime>
        <low value="{{.ServiceStart}}"/>
      </effectiveTime>
      <location>
        <healthCareFacility>
          <code {{code .Facility}}/>
        </healthCareFacility>
      </location>
    </encompassingEncounter>
  </componentOf>
  <component>
{{- if .Body}}
    <nonXMLBody>
      <text mediaType="application/pdf" representation="B64">{{.Body}}</text>
    </nonXMLBody>
{{- else}}
    <structuredBody>
{{.Sections}}
    </structuredBody>
{{- end}}
  </component>
</ClinicalDocument>
{{define "entity"}}
      <id {{id .ID}}/>
      {{if .Specialty.Code}}<code {{code .Specialty}}/>{{end}}
      <addr nullFlavor="NASK"/>
      <telecom nullFlavor="NASK"/>
      <assignedPerson>
        <name>
          <prefix>{{x .Prefix}}</prefix>
          <given>{{x .Given}}</given>
          <family>{{x .Family}}</family>
        </name>
      </assignedPerson>
{{- end}}`))

func idAttributes(o greffe.OID) string {
	if o.Extension == "" {
		return `root="` + escape(o.Root) + `"`
	}
	return `root="` + escape(o.Root) + `" extension="` + escape(o.Extension) + `"`
}

func codeAttributes(c greffe.Code) string {
	return fmt.Sprintf(`code="%s" displayName="%s" codeSystem="%s"`, escape(c.Code), escape(c.Label), escape(c.System))
}

// selfPresenting is a file that a browser shows by itself: a style sheet with
// the document inside (CI-SIS, documents auto-présentables).
const selfPresenting = `<?xml-stylesheet type="text/xsl" href="#"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:data="urn:asip-sante:ci-sis" xmlns:c="urn:hl7-org:v3">
<xsl:output method="html" encoding="UTF-8"/>
<data:Contenu>
%s
</data:Contenu>
<xsl:template match="/">
<html lang="fr"><head><title><xsl:value-of select="//c:ClinicalDocument/c:title"/></title></head>
<body><h1><xsl:value-of select="//c:ClinicalDocument/c:title"/></h1><xsl:apply-templates select="//c:section/c:text"/></body></html>
</xsl:template>
</xsl:stylesheet>
`

// section returns a component of structuredBody: a title and a narrative.
func section(code greffe.Code, title, text, entries string) string {
	return fmt.Sprintf(`      <component>
        <section>
          <code %s/>
          <title>%s</title>
          <text>%s</text>
%s        </section>
      </component>
`, codeAttributes(code), escape(title), text, entries)
}

// table returns a narrative table.
func table(head []string, rows ...[]string) string {
	var b strings.Builder
	line := func(cell string, cells []string) {
		b.WriteString("<tr>")
		for _, c := range cells {
			fmt.Fprintf(&b, "<%s>%s</%s>", cell, escape(c), cell)
		}
		b.WriteString("</tr>")
	}
	b.WriteString(`<table border="1"><thead>`)
	line("th", head)
	b.WriteString("</thead><tbody>")
	for _, r := range rows {
		line("td", r)
	}
	b.WriteString("</tbody></table>")
	return b.String()
}

// media returns an entry that carries a file of a section, named so that the
// narrative can show it (renderMultiMedia).
func media(name, mediaType string, data []byte) string {
	return fmt.Sprintf(`          <entry>
            <observationMedia classCode="OBS" moodCode="EVN" ID="%s">
              <value mediaType="%s" representation="B64">%s</value>
            </observationMedia>
          </entry>
`, name, mediaType, base64.StdEncoding.EncodeToString(data))
}

// hl7UTC returns the date of a header as METADATA.XML writes it: 14 digits, UTC.
func hl7UTC(ts string) string {
	t, err := time.Parse(hl7Time, ts)
	if err != nil {
		return ts
	}
	return t.UTC().Format("20060102150405")
}
