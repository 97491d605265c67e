package cda

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// sample is a complete header of level 3 that gives no finding; identities are invented.
const sample = `<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc">
<realmCode code="FR"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<templateId root="2.16.840.1.113883.2.8.2.1"/><templateId root="1.2.250.1.213.1.1.1.1"/><templateId root="1.2.250.1.213.1.1.1.55"/>
<id root="1.2.3.4.5" extension="A-1"/>
<code code="11502-2" displayName="CR d'examens biologiques" codeSystem="2.16.840.1.113883.6.1"/>
<title>Compte rendu  d'essai</title><effectiveTime value="20260102030405+0100"/>
<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/><languageCode code="fr-FR"/>
<setId root="1.2.3.4.5" extension="A"/><versionNumber value="2"/>
<recordTarget><patientRole>
<id root="1.2.250.1.213.1.4.10" extension="285022999907751"/><id root="1.2.3.4.567.8.9.10" extension="77"/>
<telecom value="mailto:285022999907751@patient.mssante.fr"/>
<patient><name><family qualifier="BR">ESSAI-KERVELLA</family><given>MAELLE ANNE</given><given qualifier="BR">MAELLE</given><family qualifier="CL">ESSAI</family><given qualifier="CL">ANNE</given></name>
<administrativeGenderCode code="F"/><birthTime value="19850214"/><sdtc:deceasedInd value="false"/>
<birthplace><place><addr><county>29999</county><city>ESSAI</city></addr></place></birthplace></patient></patientRole></recordTarget>
<author><time value="20260102"/><assignedAuthor><id root="9.9" extension="local"/><id root="1.2.250.1.71.4.2.1" extension="899900000011"/>
<code code="G15_10/SM26" displayName="Médecin" codeSystem="1.2.250.1.213.1.1.4.5"/>
<assignedPerson><name><prefix>DR</prefix><given>Yvon</given><family>MARTEL</family></name></assignedPerson>
<representedOrganization><id root="1.2.250.1.71.4.2.2" extension="1990000010"/><name>Clinique d'essai</name></representedOrganization></assignedAuthor></author>
<author><time value="20260102"/><assignedAuthor><id root="9.9.9" extension="1"/><assignedAuthoringDevice><manufacturerModelName>SIL</manufacturerModelName><softwareName>Labo</softwareName></assignedAuthoringDevice></assignedAuthor></author>
<custodian><assignedCustodian><representedCustodianOrganization><id root="1.2.250.1.71.4.2.2" extension="1990000010"/><name>Clinique d'essai</name></representedCustodianOrganization></assignedCustodian></custodian>
<informationRecipient><intendedRecipient><id root="1.2.250.1.71.4.2.1" extension="899900000029"/><informationRecipient><name><family>LEROUX</family><given>Ana</given></name></informationRecipient><receivedOrganization><name>CH d'essai</name></receivedOrganization></intendedRecipient></informationRecipient>
<legalAuthenticator><time value="20260102"/><signatureCode code="S"/><assignedEntity><id root="1.2.250.1.71.4.2.1" extension="899900000011"/><assignedPerson><name>Dr Yvon MARTEL</name></assignedPerson></assignedEntity></legalAuthenticator>
<inFulfillmentOf><order><id root="1.2.3" extension="P1"/></order></inFulfillmentOf>
<documentationOf><serviceEvent><code code="18723-7" displayName="Hématologie" codeSystem="2.16.840.1.113883.6.1"/><effectiveTime><low value="202601020800+0100"/><high value="202601020900+0100"/></effectiveTime>
<performer typeCode="PRF"><assignedEntity><representedOrganization><standardIndustryClassCode code="ETABLISSEMENT" codeSystem="1.2.250.1.213.1.1.4.9"/></representedOrganization></assignedEntity></performer></serviceEvent></documentationOf>
<documentationOf><serviceEvent><code code="other"/></serviceEvent></documentationOf>
<relatedDocument typeCode="RPLC"><parentDocument><id root="1.2.3.4.5" extension="A-0"/><setId root="1.2.3.4.5" extension="A"/><versionNumber value="1"/></parentDocument></relatedDocument>
<componentOf><encompassingEncounter><id root="1.2.250.1.71.4.2.1" extension="899900000011"/><id root="1.2.3.9" extension="NDA7"/><effectiveTime><low value="20260102"/></effectiveTime><location><healthCareFacility><code code="SA01" codeSystem="1.2.250.1.71.4.2.4"/></healthCareFacility></location></encompassingEncounter></componentOf>
<component><structuredBody><component><section><title>Résultat</title><text>rien</text></section></component></structuredBody></component>
</ClinicalDocument>`

// levelOne returns a document of level 1 of about size bytes.
func levelOne(size int) []byte {
	pdf := bytes.Repeat([]byte("%PDF-1.4 essai "), size*3/4/15+1)
	body := `<nonXMLBody><text mediaType="application/pdf" representation="B64">` + base64.StdEncoding.EncodeToString(pdf) + `</text></nonXMLBody>`
	at, end := strings.Index(sample, "<structuredBody>"), strings.Index(sample, "</structuredBody>")+len("</structuredBody>")
	return []byte(sample[:at] + body + sample[end:])
}

// checkRules compares the set of broken rules.
func checkRules(t *testing.T, findings []greffe.Finding, want ...string) {
	t.Helper()
	var got []string
	known := make(map[string]bool)
	for _, r := range Rules() {
		known[r.ID] = true
	}
	for _, f := range findings {
		if !known[f.Rule] {
			t.Errorf("rule %s is not listed", f.Rule)
		}
		if strings.Contains(f.Text, "%!") {
			t.Errorf("text of %s is not complete: %s", f.Rule, f.Text)
		}
		got = append(got, f.Rule)
	}
	slices.Sort(got)
	slices.Sort(want)
	if got := slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("rules broken: %v, want %v", got, want)
	}
}

func TestRulesAreWellFormed(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range Rules() {
		if seen[r.ID] || !strings.HasPrefix(r.ID, "cda.") || r.Text == "" || r.Source == "" || r.Severity == "" {
			t.Errorf("rule %+v", r)
		}
		seen[r.ID] = true
	}
}
