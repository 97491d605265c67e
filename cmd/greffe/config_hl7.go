package main

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"greffe/pkg/hl7"
	"greffe/services/integrator"
)

// HL7Config says how a DI wants its messages written, where the volet and its
// examples disagree or are silent. Every default is the rule of the volet.
type HL7Config struct {
	Profile        string   `yaml:"profile" doc:"MSH-21. Vide : 1.1^CISIS_CDA_HL7_LPS ; des exemples ont un blanc après ^."`
	Structure      string   `yaml:"structure" doc:"MSH-9.3. Vide : MDM_T02 ; une ligne du volet imprime MDM^T02^MDM^T02^MDM_T02, soit ici MDM^T02^MDM_T02."`
	Identifiers    string   `yaml:"identifiers" doc:"PID-3 : all (la liste du document, règle du volet) | own (INS et IPP de own_oid) | ins (INS seule)"`
	INSType        string   `yaml:"ins_type" doc:"PID-3.5 d'une INS : INS (règle, avec l'autorité ASIP-SANTE-INS-NIR en PID-3.4) | NH (forme XDS, sans nom d'autorité)"`
	OwnOID         string   `yaml:"own_oid" doc:"OID des IPP de l'établissement."`
	OwnName        string   `yaml:"own_name" doc:"Nom de leur autorité, en PID-3.4. Vide : l'OID seul."`
	SexUnknown     string   `yaml:"sex_unknown" doc:"PID-8 quand le document dit UN : U (table HL7 0001) | UN"`
	Reliability    string   `yaml:"reliability" doc:"PID-32 : PROV | RECUP | VALI | QUAL. Vide : QUAL quand le courriel affirme une INS qualifiée (X-MSS-INS: O), VALI sinon, PROV sans INS."`
	Number         string   `yaml:"number" doc:"TXA-12 et TXA-13 : rule (extension^^racine^ISO, règle du volet) | example (racine.extension^namespace, exemples)"`
	Namespace      string   `yaml:"namespace" doc:"Second composant de la forme example."`
	Subtype        string   `yaml:"subtype" doc:"OBX-5.2 du document : text (règle) | TEXT"`
	AuthorityHD    bool     `yaml:"authority_hd" doc:"PRT-8.6 : false (FINESS nu, volet) | true (FINESS&OID&ISO, type de données HD)"`
	BareMessageID  bool     `yaml:"bare_message_id" doc:"OBX-3.1 : false (<…>, comme dans le courriel) | true (sans chevrons, comme dans les exemples)"`
	MessageIDLimit int      `yaml:"message_id_limit" doc:"Longueur d'OBX-3.1, en caractères, pour un DI qui s'en tient aux 20 de HL7. 0 : entier."`
	SubjectLimit   int      `yaml:"subject_limit" doc:"Longueur de l'objet en OBX-3.2, en caractères, pour un DI qui s'en tient aux 199 de HL7. 0 : entier."`
	PlainPDF       string   `yaml:"plain_pdf" doc:"Type (OBR-4) d'un PDF sans CDA, envoyé une fois qu'une personne en a choisi le patient : code^libellé^système, par exemple 51851-4^Document administratif^LN. Vide : jamais, le volet ne connaît que le CDA."`
	Events         []string `yaml:"events" doc:"Événements MDM que le DI prend : T02, T10 (remplacement), T04 (suppression). Sans T10 ou T04, ce changement n'est pas envoyé : une personne le fait à la main dans le DI. Un DI qui répond ERR 200 ou 201 à l'un des trois arrête sa file."`
	PDFType        string   `yaml:"pdf_type" doc:"OBX-5.2 et OBX-5.3 de ce PDF. Vide : application^pdf."`
}

// setDefaults fills what the file leaves out.
func (h *HL7Config) setDefaults() {
	for _, f := range []struct {
		to *string
		v  string
	}{
		{&h.Identifiers, "all"}, {&h.INSType, "INS"}, {&h.SexUnknown, "U"}, {&h.Number, "rule"}, {&h.Subtype, "text"},
	} {
		if *f.to == "" {
			*f.to = f.v
		}
	}
	if len(h.Events) == 0 {
		h.Events = []string{string(hl7.First), string(hl7.Replace), string(hl7.Delete)}
	}
}

// events are the kinds of message that d takes.
func (h *HL7Config) events() []hl7.Event {
	list := make([]hl7.Event, len(h.Events))
	for i, e := range h.Events {
		list[i] = hl7.Event(e)
	}
	return list
}

// settings are those of the messages to d.
func (d *DIConfig) settings() hl7.Settings {
	h := d.HL7
	return hl7.Settings{
		Sending: d.Sending, Receiving: d.Receiving, Processing: d.Processing, Charset: hl7.Charset(d.Charset),
		Profile: h.Profile, Structure: h.Structure, Patients: hl7.PatientList(h.Identifiers), INSType: h.INSType,
		OwnRoot: h.OwnOID, OwnName: h.OwnName, Unknown: h.SexUnknown, Reliability: h.Reliability,
		Number: hl7.NumberForm(h.Number), Namespace: h.Namespace, Subtype: h.Subtype, OrganizationHD: h.AuthorityHD,
		BareMessageID: h.BareMessageID, MessageIDLimit: h.MessageIDLimit, SubjectLimit: h.SubjectLimit,
		PlainPDF: h.PlainPDF, PDFType: h.PDFType,
	}
}

// mllp is the address and the limits of the listener of d.
func (d *DIConfig) mllp() integrator.MLLP {
	m := d.MLLP
	return integrator.MLLP{Address: m.Address, TLS: m.TLS, CA: m.CA, Certificate: m.Certificate, Timeout: time.Duration(m.Timeout), Connections: m.Connections}
}

// validateHL7 says what is wrong with the keys of a DI that speaks HL7 v2.
func (d *DIConfig) validateHL7(key string, bad func(key, format string, args ...any), oneOf func(key, value string, allowed ...string)) {
	h := &d.HL7
	oneOf(key+"hl7.identifiers", h.Identifiers, "all", "own", "ins")
	oneOf(key+"hl7.ins_type", h.INSType, "INS", "NH")
	oneOf(key+"hl7.sex_unknown", h.SexUnknown, "U", "UN")
	oneOf(key+"hl7.reliability", h.Reliability, "", "PROV", "RECUP", "VALI", "QUAL")
	oneOf(key+"hl7.number", h.Number, "rule", "example")
	for _, e := range h.Events {
		oneOf(key+"hl7.events", e, string(hl7.First), string(hl7.Replace), string(hl7.Delete))
	}
	if len(h.Events) > 0 && !slices.Contains(h.Events, string(hl7.First)) {
		bad(key+"hl7.events", "T02 est attendu : un DI qui ne le prend pas ne reçoit aucun document")
	}
	if h.Identifiers == "own" && h.OwnOID == "" {
		bad(key+"hl7.own_oid", "l'OID des IPP de l'établissement est attendu avec identifiers: own")
	}
	if n := strings.Split(h.PlainPDF, "^"); h.PlainPDF != "" && (len(n) != 3 || slices.Contains(n, "")) {
		bad(key+"hl7.plain_pdf", "code^libellé^système est attendu, par exemple 51851-4^Document administratif^LN")
	}
	if n := strings.Split(h.PDFType, "^"); h.PDFType != "" && (len(n) != 2 || slices.Contains(n, "")) {
		bad(key+"hl7.pdf_type", "type^sous-type est attendu, par exemple application^pdf")
	}
	for _, p := range []struct{ key, value string }{{"sending", d.Sending}, {"receiving", d.Receiving}} {
		if n := strings.Split(p.value, "^"); len(n) != 2 || slices.Contains(n, "") {
			bad(key+p.key, "application^établissement est attendu, par exemple GREFFE^CH_EXEMPLE")
		}
	}
	for _, p := range []struct {
		key   string
		value int
	}{{"message_id_limit", h.MessageIDLimit}, {"subject_limit", h.SubjectLimit}} {
		if p.value < 0 {
			bad(key+"hl7."+p.key, "un nombre de caractères est attendu ; 0 : tous")
		}
	}
	if n := d.MLLP.Connections; n < 1 || n > maxConnections {
		bad(key+"mllp.connections", "de 1 à %d connexions sont possibles", maxConnections)
	}
	// What is left to refuse are characters that separate fields.
	for _, p := range []struct{ key, value, but string }{
		{"sending", d.Sending, "^"}, {"receiving", d.Receiving, "^"}, {"hl7.profile", h.Profile, "^"}, {"hl7.structure", h.Structure, "^"},
		{"hl7.own_oid", h.OwnOID, ""}, {"hl7.own_name", h.OwnName, ""}, {"hl7.namespace", h.Namespace, ""}, {"hl7.subtype", h.Subtype, ""},
		{"hl7.plain_pdf", h.PlainPDF, "^"}, {"hl7.pdf_type", h.PDFType, "^"},
	} {
		if i := strings.IndexAny(strings.ReplaceAll(p.value, p.but, ""), "|^~\\&\r\n\v\x1c"); i >= 0 {
			bad(key+p.key, "les séparateurs de HL7 (| ~ \\ &, et ^ entre d'autres champs) n'y ont pas de place")
		}
	}
}

// finess is the shape of a FINESS number; those of Corsica have a letter.
var finess = regexp.MustCompile(`^[0-9][0-9AB][0-9]{7}$`)

// maxConnections bounds the connections to one DI.
const maxConnections = 64
