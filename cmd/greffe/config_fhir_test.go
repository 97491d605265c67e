package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const fhirConfig = "mailboxes:\n  - { address: a@b.example, imap: 'imaps://h', auth: { password_file: greffe.yaml } }\n" +
	"di:\n  - { name: dpi, protocol: fhir, fhir: { base: 'https://dpi.example/fhir', "

// Every key reaches the integrator.
func TestFHIRSettings(t *testing.T) {
	t.Parallel()
	path := writeConfig(t, "")
	own := "'" + filepath.Join(filepath.Dir(path), "greffe.yaml") + "'"
	write := func(text string) *Config {
		t.Helper()
		if err := os.WriteFile(path, []byte(fhirConfig+text+" } }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := loadConfig(path, "")
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	d := write("mode: mhd").DI[0].FHIR
	if d.Deletion != "ask" || d.Patch != "fhirpath" || d.Connections != 4 || d.Timeout == 0 {
		t.Errorf("defaults %+v", d)
	}
	cfg := write("mode: simplified, ca: " + own + ", certificate: " + own + ", timeout: 10s, connections: 8, deletion: entered-in-error, patch: json, source_id: 1.2.250.1.999.2, " +
		"oauth2: { token_url: 'https://auth.example/token', client_id: greffe, private_key_file: " + own + ", key_id: k1, scope: 'system/*.cru' }")
	s := reflect.ValueOf(integratorConfig(cfg).DIs[0].FHIR)
	for i := range s.NumField() {
		if s.Field(i).IsZero() && s.Type().Field(i).Name != "TokenFile" {
			t.Errorf("%s is not set from the configuration", s.Type().Field(i).Name)
		}
	}
}

func TestFHIRSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"mode: push":      `di[0].fhir.mode : "push" n'est pas admis`,
		"mode: reference": "di[0].fhir.read_token_file : le mode reference demande",
		"mode: reference, read_certificate: greffe.yaml":                "di[0].fhir.read_certificate : la console doit tenir TLS",
		"mode: mhd, deletion: delete":                                   "di[0].fhir.deletion",
		"mode: mhd, patch: xml":                                         "di[0].fhir.patch",
		"mode: mhd, connections: 100":                                   "di[0].fhir.connections : de 1 à 64",
		"mode: mhd, source_id: 'urn:oid:1.2'":                           "di[0].fhir.source_id : un OID",
		"mode: mhd, token_file: /nulle/part":                            "di[0].fhir.token_file",
		"mode: mhd, oauth2: { client_id: greffe }":                      "di[0].fhir.oauth2.token_url",
		"mode: mhd, oauth2: { token_url: 'https://a/t' }":               "di[0].fhir.oauth2.client_id",
		"mode: mhd, oauth2: { token_url: 'https://a/t', client_id: g }": "di[0].fhir.oauth2.client_secret_file : un secret",
		"mode: mhd, oauth2: { client_secret_file: /nulle/part }":        "di[0].fhir.oauth2.client_secret_file",
		"mode: mhd, token_file: greffe.yaml, oauth2: { token_url: 'https://a/t', client_id: g, client_secret_file: greffe.yaml }": "di[0].fhir.token_file : un jeton fixe ou oauth2",
	} {
		_, err := loadConfig(writeConfig(t, fhirConfig+value+" } }\n"), "")
		var bad *ConfigError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", value, err)
		}
	}
}
