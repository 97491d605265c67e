package main

import (
	"net/url"
	"regexp"
	"time"

	"greffe/pkg/fhir"
	"greffe/services/integrator"
)

// FHIRConfig is the address of a FHIR server.
type FHIRConfig struct {
	Base        string      `yaml:"base" doc:"Adresse de base, par exemple https://dpi.exemple/fhir"`
	Mode        string      `yaml:"mode" doc:"reference (le DI lit le document sur la console) | mhd (transaction ITI-65 avec le contenu) | simplified (ITI-105 : la fiche seule, le contenu dedans)"`
	TokenFile   string      `yaml:"token_file" doc:"Fichier d'un jeton porteur fixe envoyé au DI, relu à chaque demande."`
	OAuth2      OAuthConfig `yaml:"oauth2" doc:"Jetons d'accès demandés à un serveur d'autorisation (OAuth 2.0, client credentials), à la place de token_file."`
	CA          string      `yaml:"ca" doc:"Fichier PEM des autorités admises."`
	Certificate string      `yaml:"certificate" doc:"Fichier PEM du certificat client et de sa clé."`
	Timeout     Duration    `yaml:"timeout" doc:"Attente d'une réponse."`
	Connections int         `yaml:"connections" doc:"Demandes en cours à la fois."`
	Deletion    string      `yaml:"deletion" doc:"Suppression demandée par l'émetteur, pour laquelle PDSm n'a pas de règle : ask (une personne la fait dans le DI) | entered-in-error (la fiche passe à ce statut, par accord avec le DI)"`
	Patch       string      `yaml:"patch" doc:"Forme du changement de statut d'une fiche : fhirpath (Parameters, règle de PDSm pour un remplacement) | json (JSON Patch)"`
	SourceID    string      `yaml:"source_id" doc:"OID de cette installation, source des lots de soumission (mode mhd)."`

	ReadToken       string `yaml:"read_token_file" doc:"Fichier du jeton que le DI présente à la console pour lire un document (mode reference)."`
	ReadCertificate string `yaml:"read_certificate" doc:"Fichier PEM du certificat client que le DI présente à la console, à la place du jeton ou en plus ; plusieurs à la suite pendant un renouvellement. La console doit tenir TLS elle-même."`
}

// OAuthConfig says how access tokens are had.
type OAuthConfig struct {
	TokenURL   string `yaml:"token_url" doc:"Adresse du serveur d'autorisation. Vide : pas d'OAuth 2.0."`
	ClientID   string `yaml:"client_id" doc:"Nom de Greffe auprès de ce serveur."`
	SecretFile string `yaml:"client_secret_file" doc:"Fichier du secret. Ou private_key_file."`
	KeyFile    string `yaml:"private_key_file" doc:"Fichier PEM de la clé privée, RSA ou EC, qui signe les demandes (private_key_jwt)."`
	KeyID      string `yaml:"key_id" doc:"Nom de cette clé (kid), si le serveur en demande un."`
	Scope      string `yaml:"scope" doc:"Portées demandées, séparées par des blancs."`
}

// setDefaults fills what the file leaves out.
func (f *FHIRConfig) setDefaults() {
	if f.Timeout == 0 {
		f.Timeout = Duration(30 * time.Second)
	}
	if f.Connections == 0 {
		f.Connections = 4
	}
	for _, d := range []struct {
		to *string
		v  string
	}{{&f.Deletion, "ask"}, {&f.Patch, string(fhir.PatchFHIRPath)}} {
		if *d.to == "" {
			*d.to = d.v
		}
	}
}

// settings are those of the integrator.
func (f *FHIRConfig) settings() integrator.FHIR {
	return integrator.FHIR{
		Base: f.Base, Mode: f.Mode, TokenFile: f.TokenFile, CA: f.CA, Certificate: f.Certificate, Timeout: time.Duration(f.Timeout),
		Connections: f.Connections, Deletion: f.Deletion, Patch: f.Patch, SourceID: f.SourceID,
		OAuth: fhir.OAuth{
			TokenURL: f.OAuth2.TokenURL, ClientID: f.OAuth2.ClientID, SecretFile: f.OAuth2.SecretFile,
			KeyFile: f.OAuth2.KeyFile, KeyID: f.OAuth2.KeyID, Scope: f.OAuth2.Scope,
		},
	}
}

// files are the paths that must be readable, each after its key.
func (f *FHIRConfig) files() [][2]string {
	return [][2]string{
		{"ca", f.CA}, {"certificate", f.Certificate}, {"token_file", f.TokenFile},
		{"oauth2.client_secret_file", f.OAuth2.SecretFile}, {"oauth2.private_key_file", f.OAuth2.KeyFile},
		{"read_token_file", f.ReadToken}, {"read_certificate", f.ReadCertificate},
	}
}

var oidForm = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]*)){2,}$`)

// validateFHIR reports what is wrong with the settings of a DI that speaks FHIR.
func (c *Config) validateFHIR(f FHIRConfig, key string, bad func(key, format string, args ...any), oneOf func(key, value string, allowed ...string)) {
	key += "fhir."
	address := func(s string) bool {
		u, err := url.Parse(s)
		return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
	}
	if !address(f.Base) {
		bad(key+"base", "https://hôte/chemin est attendu")
	}
	oneOf(key+"mode", f.Mode, "reference", "mhd", "simplified")
	oneOf(key+"deletion", f.Deletion, "ask", "entered-in-error")
	oneOf(key+"patch", f.Patch, string(fhir.PatchFHIRPath), string(fhir.PatchJSON))
	if f.Connections < 1 || f.Connections > 64 {
		bad(key+"connections", "de 1 à 64 demandes à la fois")
	}
	if f.SourceID != "" && !oidForm.MatchString(f.SourceID) {
		bad(key+"source_id", "un OID est attendu, par exemple 1.2.250.1.999.2")
	}
	if f.Mode == "reference" && f.ReadToken == "" && f.ReadCertificate == "" {
		bad(key+"read_token_file", "le mode reference demande le jeton, ou le certificat (read_certificate), que le DI présentera à la console")
	}
	if f.ReadCertificate != "" && c.Console.Certificate == "" {
		bad(key+"read_certificate", "la console doit tenir TLS elle-même (console.certificate) pour voir le certificat du DI ; derrière un mandataire, donner un jeton (read_token_file)")
	}
	o := f.OAuth2
	switch {
	case o == OAuthConfig{}:
	case !address(o.TokenURL):
		bad(key+"oauth2.token_url", "https://hôte/chemin est attendu")
	case o.ClientID == "":
		bad(key+"oauth2.client_id", "le nom de Greffe auprès du serveur d'autorisation est attendu")
	case (o.SecretFile == "") == (o.KeyFile == ""):
		bad(key+"oauth2.client_secret_file", "un secret, ou une clé privée (private_key_file), l'un des deux")
	}
	if o.TokenURL != "" && f.TokenFile != "" {
		bad(key+"token_file", "un jeton fixe ou oauth2, l'un des deux")
	}
}
