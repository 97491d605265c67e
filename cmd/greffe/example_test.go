package main

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write golden files")

// exampleConfig is what deployments/greffe.yaml shows: a hospital with its own
// bus, archive and database, one mailbox and one DI of each kind.
func exampleConfig() *Config {
	cfg := defaults()
	cfg.Mailboxes = []MailboxConfig{{
		Address: "cardiologie@ch-exemple.mssante.example", IMAP: "imaps://imap.operateur.example:993",
		CA: "/etc/greffe/igc-sante.pem", Certificate: "/run/secrets/structure.pem",
		Auth:    AuthConfig{Mechanism: "external"},
		Folders: []string{"INBOX", "INBOX/Dr Martin"}, Professionals: []ProfessionalConfig{{RPPS: "99900000011", Folder: "INBOX/Dr Martin"}},
		OnArchived: MarkConfig{Keyword: "$Archived"}, OnDelivered: MarkConfig{Move: "Traités"}, OnFailed: MarkConfig{Move: "À traiter"},
	}}
	cfg.Bus = BusConfig{URL: "tls://nats:4222", Credentials: "/run/secrets/nats.creds", CA: "/etc/greffe/interne.pem", Replicas: 3}
	cfg.Antivirus.Clamd = "tcp://clamd:3310"
	cfg.Archive.S3 = S3Config{Endpoint: "https://s3.ch-exemple.example", Bucket: "greffe", AccessKeyFile: "/run/secrets/s3.access", SecretKeyFile: "/run/secrets/s3.secret"}
	cfg.Index.DSN = "postgres://greffe@postgres/greffe?sslmode=verify-full&passfile=/run/secrets/pgpass"
	cfg.DI = []DIConfig{
		{Name: "dpi", Protocol: "hl7v2", MLLP: MLLPConfig{Address: "dpi:2575", TLS: true, CA: "/etc/greffe/interne.pem"}, Sending: "GREFFE^CH_EXEMPLE", Receiving: "DPI^CH_EXEMPLE"},
	}
	cfg.Console.PublicURL = "https://greffe.ch-exemple.example"
	cfg.Console.SecondFactor = []string{"auditor", "admin"}
	cfg.Console.OIDC = OIDCConfig{Issuer: "https://idp.ch-exemple.example/realms/hopital", Name: "Compte de l'hôpital", ClientID: "greffe", ClientSecret: "/run/secrets/oidc.secret",
		Scopes: []string{"openid", "profile"}, LoginClaim: "preferred_username", NameClaim: "name", RPPSClaim: "rpps", Rules: []OIDCRuleConfig{
			{Claim: "realm_access.roles", Value: "greffe-cardiologie", Role: "secretary", Mailboxes: []string{"cardiologie@ch-exemple.mssante.example"}},
			{Claim: "realm_access.roles", Value: "greffe-audit", Role: "auditor", Mailboxes: []string{"*"}},
			{Claim: "rpps", Value: "*", Role: "professional"},
		}}
	cfg.setDefaults()
	return &cfg
}

// The annotated example in deployments/ is written by the program, so it cannot
// fall behind: go test ./cmd/greffe -run Example -update
func TestExampleConfigurationIsCurrent(t *testing.T) {
	t.Parallel()
	text, err := annotated(exampleConfig())
	if err != nil {
		t.Fatal(err)
	}
	text = append([]byte("# Exemple de configuration de Greffe, tel que « greffe config » l'écrit.\n"), text...)
	const path = "../../deployments/greffe.yaml"
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, text) {
		t.Errorf("%s is not what the program writes; run the test with -update", path)
	}
}
