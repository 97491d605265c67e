package main

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/hl7"
)

const hl7Config = "mailboxes:\n  - { address: a@b.example, imap: 'imaps://h', auth: { password_file: greffe.yaml } }\n" +
	"di:\n  - { name: dpi, protocol: hl7v2, mllp: { address: 'dpi:2575' }, "

// What is left out is the rule of the volet, and every key reaches the messages.
func TestHL7Settings(t *testing.T) {
	t.Parallel()
	cfg, err := loadConfig(writeConfig(t, hl7Config+"sending: 'A^B' }\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	want := hl7.Settings{Sending: "A^B", Receiving: "DI^DI", Processing: "P", Charset: hl7.UTF8, Patients: hl7.ListAll, INSType: "INS", Unknown: "U", Number: hl7.NumberRule, Subtype: "text"}
	if got := cfg.DI[0].settings(); got != want {
		t.Errorf("default\n%+v\nwant\n%+v", got, want)
	}
	if got := integratorConfig(cfg).DIs[0].Events; !slices.Equal(got, []hl7.Event{hl7.First, hl7.Replace, hl7.Delete}) {
		t.Errorf("default events %v", got)
	}
	if cfg.DI[0].MLLP.Connections != 4 {
		t.Errorf("%d connections", cfg.DI[0].MLLP.Connections)
	}
	cfg, err = loadConfig(writeConfig(t, hl7Config+`hl7: { profile: '1.1^ CISIS_CDA_HL7_LPS', structure: 'MDM^T02^MDM_T02', identifiers: own, ins_type: NH,
  own_oid: 1.2.3, own_name: CH, sex_unknown: UN, reliability: QUAL, number: example, namespace: CH, subtype: TEXT, authority_hd: true,
  bare_message_id: true, message_id_limit: 20, subject_limit: 199, plain_pdf: '51851-4^Document administratif^LN', pdf_type: 'AP^PDF', events: [T02, T04] } }
`), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := integratorConfig(cfg).DIs[0].Events; !slices.Equal(got, []hl7.Event{hl7.First, hl7.Delete}) {
		t.Errorf("events %v", got)
	}
	s := reflect.ValueOf(integratorConfig(cfg).DIs[0].HL7)
	for i := range s.NumField() {
		if s.Field(i).IsZero() {
			t.Errorf("%s is not set from the configuration", s.Type().Field(i).Name)
		}
	}
}

func TestHL7SettingsAreChecked(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"hl7: { identifiers: some }":                      `di[0].hl7.identifiers : "some" n'est pas admis ; attendu : all | own | ins`,
		"hl7: { identifiers: own }":                       "di[0].hl7.own_oid : l'OID",
		"hl7: { ins_type: NIR }":                          "di[0].hl7.ins_type",
		"hl7: { sex_unknown: O }":                         "di[0].hl7.sex_unknown",
		"hl7: { reliability: SURE }":                      "di[0].hl7.reliability",
		"hl7: { number: root }":                           "di[0].hl7.number",
		"hl7: { plain_pdf: true }":                        "di[0].hl7.plain_pdf : code^libellé^système",
		"hl7: { pdf_type: pdf }":                          "di[0].hl7.pdf_type",
		"hl7: { events: [T02, T11] }":                     `di[0].hl7.events : "T11" n'est pas admis`,
		"hl7: { events: [T10] }":                          "di[0].hl7.events : T02 est attendu",
		"hl7: { subject_limit: -1 }":                      "di[0].hl7.subject_limit : un nombre de caractères",
		"hl7: { profile: 'a|b' }":                         "di[0].hl7.profile : les séparateurs",
		"hl7: { own_name: 'a^b' }":                        "di[0].hl7.own_name : les séparateurs",
		"sending: GREFFE":                                 "di[0].sending : application^établissement",
		"receiving: 'A^B|C'":                              "di[0].receiving : les séparateurs",
		"mllp: { address: 'dpi:2575', connections: 100 }": "di[0].mllp.connections : de 1 à 64",
		"mllp: { address: 'dpi:2575', connections: -1 }":  "di[0].mllp.connections : de 1 à 64",
	} {
		text := hl7Config + value + " }\n"
		if strings.HasPrefix(value, "mllp") {
			text = strings.Replace(text, "mllp: { address: 'dpi:2575' }, ", "", 1)
		}
		_, err := loadConfig(writeConfig(t, text), "")
		var bad *ConfigError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", value, err, want)
		}
	}
}
