package xdm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
)

// linked is an archive whose one METADATA.XML describes these documents and holds further
// objects.
func linked(t *testing.T, objects string, docs ...meta) opened {
	t.Helper()
	const end = "</rim:RegistryObjectList></lcm:SubmitObjectsRequest>"
	text := metadata(docs...)
	entries := []entry{{name: "INDEX.HTM"}, {name: "README.TXT"}, {name: "IHE_XDM/SUBSET01/METADATA.XML", content: strings.TrimSuffix(text, end) + objects + end}}
	for _, d := range docs {
		entries = append(entries, entry{name: "IHE_XDM/SUBSET01/" + d.uri, content: d.content})
	}
	return open(t, build(t, entries...), Limits{})
}

func associationXML(kind, source, target string) string {
	return fmt.Sprintf(`<rim:Association associationType=%q sourceObject=%q targetObject=%q/>`, kind, source, target)
}

const (
	rplcURN = "urn:ihe:iti:2007:AssociationType:RPLC"
	cdaHead = `<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3.4.5"/><code code="11502-2"/><title>Essai</title>`
	parent  = `<relatedDocument typeCode="RPLC"><parentDocument><id root="1.2.3.4.%d"/></parentDocument></relatedDocument>`
)

// TestActions has a row for each row of the decision table (domain §4.4) as far as an
// archive alone decides it, and for what associations add to it. Whether the parent is
// known is a question for who sends the document.
func TestActions(t *testing.T) {
	t.Parallel()
	const body = `<component><structuredBody/></component></ClinicalDocument>`
	plain := cdaHead + body
	replacing := func(n int) string { return cdaHead + fmt.Sprintf(parent, n) + body }
	const (
		none    = ""
		unknown = "urn:uuid:6f5c8a0e-0000-4000-8000-000000000001"
	)
	toUnknown := associationXML(rplcURN, "urn:uuid:doc1", unknown)
	for name, c := range map[string]struct {
		slot, cda    string
		associations string
		action       greffe.Action
		replaces     string
		rules        []string
	}{
		"– / no":                     {none, plain, "", greffe.ActionNew, "", nil},
		"– / yes":                    {none, replacing(4), "", greffe.ActionReplace, "1.2.3.4.4", []string{"xdm.cda.action"}},
		"C / yes":                    {"C", replacing(4), "", greffe.ActionReplace, "1.2.3.4.4", nil},
		"C / no":                     {"C", plain, "", greffe.ActionReplace, "", []string{"xdm.cda.parent"}},
		"D / no":                     {"D", plain, "", greffe.ActionDelete, "", nil},
		"D / yes":                    {"D", replacing(4), "", greffe.ActionDelete, "1.2.3.4.4", nil},
		"other value":                {"X", plain, "", greffe.ActionNew, "", []string{"xdm.action"}},
		"other value, lower case":    {"d", plain, "", greffe.ActionNew, "", []string{"xdm.action"}},
		"two values":                 {"C</rim:Value><rim:Value>D", plain, "", greffe.ActionReplace, "", []string{"xdm.cda.parent", "xdm.values"}},
		"association alone":          {none, plain, toUnknown, greffe.ActionReplace, "", []string{"xdm.cda.parent"}},
		"association and parent":     {none, replacing(4), toUnknown, greffe.ActionReplace, "1.2.3.4.4", nil},
		"C, association, no parent":  {"C", plain, toUnknown, greffe.ActionReplace, "", []string{"xdm.cda.parent"}},
		"D and association":          {"D", plain, toUnknown, greffe.ActionDelete, "", []string{"xdm.cda.delete"}},
		"bare id, bare word":         {none, replacing(4), associationXML("RPLC", "doc1", "6F5C"), greffe.ActionReplace, "1.2.3.4.4", nil},
		"transformation too":         {none, replacing(4), associationXML("urn:ihe:iti:2007:AssociationType:XFRM_RPLC", "urn:uuid:DOC1", unknown), greffe.ActionReplace, "1.2.3.4.4", nil},
		"to a document of the set":   {none, plain, associationXML(rplcURN, "urn:uuid:doc1", "urn:uuid:doc2"), greffe.ActionReplace, "1.2.3.4.6", []string{"xdm.cda.parent"}},
		"the same as the document":   {none, replacing(6), associationXML(rplcURN, "urn:uuid:doc1", "urn:uuid:doc2"), greffe.ActionReplace, "1.2.3.4.6", nil},
		"another than the document":  {none, replacing(4), associationXML(rplcURN, "urn:uuid:doc1", "urn:uuid:doc2"), greffe.ActionReplace, "1.2.3.4.4", []string{"xdm.cda.replaces"}},
		"two parents":                {none, plain, toUnknown + associationXML(rplcURN, "urn:uuid:doc1", "urn:uuid:doc2"), greffe.ActionReplace, "", []string{"xdm.cda.parent", "xdm.replaces"}},
		"the same link twice":        {none, replacing(4), toUnknown + toUnknown, greffe.ActionReplace, "1.2.3.4.4", nil},
		"itself":                     {none, plain, associationXML(rplcURN, "urn:uuid:doc1", "urn:uuid:doc1"), greffe.ActionReplace, "", []string{"xdm.cda.parent", "xdm.replaces"}},
		"from nowhere":               {none, plain, associationXML(rplcURN, "urn:uuid:stale", unknown), greffe.ActionNew, "", []string{"xdm.association.lost"}},
		"complement":                 {none, plain, associationXML("urn:ihe:iti:2007:AssociationType:APND", "urn:uuid:doc1", unknown), greffe.ActionNew, "", []string{"xdm.appends"}},
		"transformation":             {none, plain, associationXML("urn:ihe:iti:2007:AssociationType:XFRM", "urn:uuid:doc1", unknown), greffe.ActionNew, "", []string{"xdm.transforms"}},
		"members, with stale ids":    {none, plain, associationXML("HasMember", "urn:uuid:1", "urn:uuid:2"), greffe.ActionNew, "", nil},
		"an operation of a registry": {none, plain, associationXML("urn:ihe:iti:2010:AssociationType:UpdateAvailabilityStatus", "set1", unknown), greffe.ActionNew, "", []string{"xdm.association"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := linked(t, c.associations, meta{uri: "DOC0001.XML", content: c.cda, action: c.slot}, meta{uri: "DOC0002.XML", content: cdaHead + "<!-- 2 --></ClinicalDocument>"})
			d := a.Sets[0].Documents[0]
			doc, _ := cda.Read(strings.NewReader(c.cda))
			doc.Patient = d.Patient
			got := append(a.rules(t), ruleIDs(t, d.Complete(&doc, "2!3"))...)
			slices.Sort(got)
			if !slices.Equal(got, c.rules) {
				t.Errorf("rules %v, want %v", got, c.rules)
			}
			if doc.Action != c.action || doc.Replaces.String() != c.replaces {
				t.Errorf("action %s of %s, want %s of %s", doc.Action, doc.Replaces, c.action, c.replaces)
			}
		})
	}
}

// With one document there is no doubt which one a link belongs to.
func TestLinkOfTheOnlyDocument(t *testing.T) {
	t.Parallel()
	a := linked(t, associationXML(rplcURN, "urn:uuid:stale", "urn:uuid:old"), meta{uri: "DOC0001.XML", content: cdaFile})
	if d := a.Sets[0].Documents[0]; d.ReplacesEntry != "old" || !slices.Equal(a.rules(t), []string{"xdm.association.id"}) {
		t.Errorf("replaces %q, rules %v", d.ReplacesEntry, a.rules(t))
	}
}

func TestSignatureIsNoDocument(t *testing.T) {
	t.Parallel()
	a := linked(t, associationXML("urn:ihe:iti:2007:AssociationType:signs", "urn:uuid:doc2", "urn:uuid:doc1"),
		meta{uri: "DOC0001.XML", content: cdaFile}, meta{uri: "SIGN0001.XML", content: "<ds:Signature/>"})
	docs := a.Sets[0].Documents
	if docs[0].Signs || !docs[1].Signs || len(a.rules(t)) > 0 {
		t.Errorf("signs %v %v, rules %v", docs[0].Signs, docs[1].Signs, a.rules(t))
	}
}

// Documents are in whichever place the writer puts them, and in the set that has them.
func TestSeveralSetsAndPlaces(t *testing.T) {
	t.Parallel()
	one := meta{uri: "DOC0001.XML", content: cdaFile}
	two := meta{uri: "DOC0002.XML", content: cdaFile + " "}
	other := func(patient string) string {
		return `<rim:RegistryPackage id="set2"><rim:Classification classificationNode="urn:uuid:` + nodeSubmissionSet + `"/>` + idXML(setUniqueID, "1.9.10") + idXML(setPatientID, patient) + `</rim:RegistryPackage>` +
			associationXML("urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember", "set2", "urn:uuid:doc2")
	}
	a := linked(t, other(testPatient), one, two)
	if len(a.Sets) != 2 || a.Sets[0].Documents[0].URI != one.uri || a.Sets[1].Documents[0].URI != two.uri || a.Sets[1].UniqueID != "1.9.10" {
		t.Errorf("sets %+v", a.Sets)
	}
	if got := a.rules(t); !slices.Equal(got, []string{"xdm.sets"}) {
		t.Errorf("rules %v", got)
	}
	someone := strings.ReplaceAll(testPatient, "285022999907751", "172119999905581")
	if got := linked(t, other(someone), one, two).rules(t); !slices.Equal(got, []string{"xdm.patients", "xdm.sets"}) {
		t.Errorf("two sets of two patients: %v", got)
	}
	folder := `<rim:RegistryPackage id="f"><rim:Classification classificationNode="urn:uuid:d9d542f3-6cc4-48b6-8870-ea235fbc94c2"/>` + idXML(folderPatientID, someone) + `</rim:RegistryPackage>`
	if got := linked(t, folder, one).rules(t); !slices.Equal(got, []string{"xdm.patients"}) {
		t.Errorf("folder of another patient: %v", got)
	}

	text := metadata(one)
	inside := strings.Replace(text, `</rim:RegistryPackage>`, `<rim:RegistryObjectList>`, 1)
	inside = strings.Replace(inside, `<rim:Association `, `</rim:RegistryObjectList></rim:RegistryPackage><rim:Association `, 1)
	for name, c := range map[string]struct {
		text  string
		rules []string
	}{
		"in the package": {inside, nil},
		"in an envelope": {`<s:Envelope xmlns:s="urn:s"><s:Header/><s:Body><x:ProvideAndRegisterDocumentSetRequest xmlns:x="urn:x">` + text + `</x:ProvideAndRegisterDocumentSetRequest></s:Body></s:Envelope>`, []string{"xdm.metadata.wrapped"}},
		"too deep":       {strings.Repeat("<a>", 4) + text + strings.Repeat("</a>", 4), []string{"xdm.metadata.root"}},
	} {
		a := open(t, build(t, entry{name: "INDEX.HTM"}, entry{name: "README.TXT"}, entry{name: "IHE_XDM/S/METADATA.XML", content: c.text}, entry{name: "IHE_XDM/S/DOC0001.XML", content: cdaFile}), Limits{})
		if got := a.rules(t); !slices.Equal(got, c.rules) {
			t.Errorf("%s: rules %v", name, got)
		}
		if found := len(a.Sets[0].Documents) == 1 && a.Sets[0].Documents[0].Entry == 3; found != (name != "too deep") {
			t.Errorf("%s: sets %+v", name, a.Sets)
		}
	}
}

// TestUntidyValues: values that are written in other ways, or that contradict each other.
func TestUntidyValues(t *testing.T) {
	t.Parallel()
	good := metadata(meta{uri: "DOC0001.XML", content: cdaFile})
	for name, c := range map[string]struct {
		old, new string
		rules    []string
		check    func(d DocumentEntry) bool
	}{
		"two sizes":       {slotXML("size", fmt.Sprint(len(cdaFile))), slotXML("size", fmt.Sprint(len(cdaFile)), "12"), []string{"xdm.values"}, nil},
		"two slots":       {slotXML("URI", "DOC0001.XML"), slotXML("URI", "DOC0001.XML") + slotXML("URI", "DOC0002.XML"), []string{"xdm.values"}, func(d DocumentEntry) bool { return d.Entry == 3 }},
		"one value twice": {slotXML("URI", "DOC0001.XML"), slotXML("URI", "DOC0001.XML", "DOC0001.XML"), nil, func(d DocumentEntry) bool { return d.Entry == 3 }},
		"two ids":         {idXML(docUniqueID, "1.2.3.4.5"), idXML(docUniqueID, "1.2.3.4.5") + idXML(docUniqueID, "1.2.3.4.6"), []string{"xdm.values"}, nil},
		"two patients":    {idXML(docPatientID, testPatient), idXML(docPatientID, testPatient) + idXML(docPatientID, strings.ReplaceAll(testPatient, "2850", "2860")), []string{"xdm.patients"}, nil},
		"name of a slot":  {`name="hash"`, `name="Hash"`, nil, func(d DocumentEntry) bool { return len(d.SHA1) == 40 }},
		"other hash":      {slotXML("hash", good[strings.Index(good, `"hash"`)+len(`"hash"><rim:ValueList><rim:Value>`):][:40]), slotXML("hash", strings.Repeat("ab", 32)), []string{"xdm.hash.form"}, nil},
		"size in words":   {slotXML("size", fmt.Sprint(len(cdaFile))), slotXML("size", "136 octets"), []string{"xdm.size.missing"}, nil},
		"action of a set": {`<rim:RegistryPackage id="set1">`, `<rim:RegistryPackage id="set1">` + slotXML("urn:action:extraMetadataSlot", "D"), []string{"xdm.action.set"}, nil},
		"languages": {`<rim:LocalizedString value="Essai"/>`, `<rim:LocalizedString xml:lang="en-US" charset="ISO-8859-1" value="Test"/><rim:LocalizedString xml:lang="FR" value="Essai réussi"/>`, nil,
			func(d DocumentEntry) bool { return d.Title == "Essai réussi" }},
		"another language": {`<rim:LocalizedString value="Essai"/>`, `<rim:LocalizedString xml:lang="de" value=""/><rim:LocalizedString xml:lang="de" value="Prüfung"/>`, nil,
			func(d DocumentEntry) bool { return d.Title == "Prüfung" }},
		"repetitions": {"PID-5|ESSAI-KERVELLA^MAELLE^MAELLE ANNE^^^^L</rim:Value><rim:Value>PID-5|ESSAI^ANNE^^^^^D", `pid-5 |ESSAI\S\X^ANNE^^^^^D~ESSAI-KERVELLA^MAELLE^MAELLE ANNE^^^^l`, nil,
			func(d DocumentEntry) bool {
				return d.Patient.BirthFamily == "ESSAI-KERVELLA" && d.Patient.UsedFamily == "ESSAI^X"
			}},
		"more ids": {"PID-8|F", `PID-8|f</rim:Value><rim:Value>PID-3|88^^^&amp;1.5&amp;ISO~99^^^A\T\B&amp;urn:oid:1.6&amp;ISO`, nil, func(d DocumentEntry) bool {
			return d.Patient.Sex == "F" && len(d.Patient.IDs) == 4 && d.Patient.IDs[3].Extension == "99"
		}},
		"a date with its time": {"PID-7|19850214", "PID-7|19850214083000+0100", nil, func(d DocumentEntry) bool { return d.Patient.BirthDate == "19850214" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.ReplaceAll(good, c.old, c.new)
			if text == good {
				t.Fatalf("the metadata do not contain %q", c.old)
			}
			a := open(t, build(t, entry{name: "INDEX.HTM"}, entry{name: "README.TXT"}, entry{name: "IHE_XDM/S/METADATA.XML", content: text}, entry{name: "IHE_XDM/S/DOC0001.XML", content: cdaFile}), Limits{})
			if got := a.rules(t); !slices.Equal(got, c.rules) {
				t.Errorf("rules %v, want %v", got, c.rules)
			}
			if d := a.Sets[0].Documents[0]; c.check != nil && !c.check(d) {
				t.Errorf("document %+v", d)
			}
		})
	}
}

// TestOldMetadata: ebRIM 2.1, with its own names of lists and its values beside the objects
// that they belong to, is read, and held for a person.
func TestOldMetadata(t *testing.T) {
	t.Parallel()
	const text = `<?xml version="1.0" encoding="ISO-8859-1"?>
<rs:SubmitObjectsRequest xmlns:rs="urn:oasis:names:tc:ebxml-regrep:registry:xsd:2.1" xmlns="urn:oasis:names:tc:ebxml-regrep:rim:xsd:2.1">
<LeafRegistryObjectList>
<ObjectRef id="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"/>
<ExtrinsicObject id="Document01" mimeType="text/xml" objectType="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1">
<Name><LocalizedString value="Compte rendu opératoire"/></Name>
<Slot name="URI"><ValueList><Value>DOC0001.XML</Value></ValueList></Slot>
</ExtrinsicObject>
<ExternalIdentifier id="e1" registryObject="Document01" identificationScheme="urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab" value="1.2.3.4.5"/>
<ExternalIdentifier id="e2" registryObject="Document01" identificationScheme="urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427" value="285022999907751^^^&amp;1.2.250.1.213.1.4.10&amp;ISO"/>
<Classification id="c1" classifiedObject="Document01" classificationScheme="urn:uuid:f0306f51-975f-434e-a61c-c59651d33983" nodeRepresentation="11502-2"/>
<RegistryPackage id="SubmissionSet01"/>
<Classification id="c2" classifiedObject="SubmissionSet01" classificationNode="urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"/>
<ExternalIdentifier id="e3" registryObject="SubmissionSet01" identificationScheme="urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8" value="1.2.3.9"/>
<Association id="a1" associationType="HasMember" sourceObject="SubmissionSet01" targetObject="Document01"/>
<Association id="a2" associationType="RPLC" sourceObject="Document01" targetObject="urn:uuid:old"/>
</LeafRegistryObjectList></rs:SubmitObjectsRequest>`
	a := open(t, build(t, entry{name: "INDEX.HTM"}, entry{name: "README.TXT"}, entry{name: "IHE_XDM/S/METADATA.XML", content: text}, entry{name: "IHE_XDM/S/DOC0001.XML", content: cdaFile}), Limits{})
	if got := a.rules(t); !slices.Equal(got, []string{"xdm.codes", "xdm.ebrim", "xdm.hash.missing", "xdm.size.missing"}) {
		t.Errorf("rules %v", got)
	}
	if greffe.VerdictOf(a.Sets[0].Findings) != greffe.VerdictHeld {
		t.Error("the set is not held")
	}
	d := a.Sets[0].Documents[0]
	if d.Entry != 3 || d.UniqueID.Root != "1.2.3.4.5" || d.Patient.INS.Extension != "285022999907751" || d.Type.Code != "11502-2" || d.ReplacesEntry != "old" ||
		d.Title != "Compte rendu opératoire" || a.Sets[0].UniqueID != "1.2.3.9" {
		t.Errorf("document %+v", d)
	}
}
