package integrator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"greffe/pkg/fhir"
	"greffe/pkg/hl7"
	"greffe/pkg/ins"
)

// Config says where documents go.
type Config struct {
	DIs []DI
	// ConsoleURL is the address under which the DIs reach the console, without
	// slash at the end; needed by the reference mode.
	ConsoleURL string
	// Concurrency is how many messages are worked on at once; 0 means 8.
	Concurrency int
	// Alone says that no other process runs an integrator on this bus, as with an
	// embedded one: the table in the process is then enough to keep the order, and no
	// lease is written for each document.
	Alone bool
	// Retry are the delays between attempts when a DI does not answer or asks to
	// come back, counted from the first; the last one repeats without end, since an
	// outage is no reason to give a document up. Default: 1 min, 5 min, 15 min, 1 h.
	Retry []time.Duration
	// Order is how long a replacement or deletion waits, from its archiving, for the
	// document it refers to when Greffe does not know it: messages of one mailbox
	// overtake each other by some seconds. After it the DI is asked all the same,
	// since it may have that document from elsewhere. Default: 5 s.
	Order time.Duration
	// Services are the units of the hospital that mailboxes belong to, by address.
	Services map[string]hl7.Service
	// Environment says which INS are real here: a patient whom a person chose must have one.
	Environment ins.Environment
	// TimeZone is the one of the times in HL7 messages, which carry no offset;
	// default Europe/Paris.
	TimeZone string
}

// DI is one record system (dossier informatisé).
type DI struct {
	Name     string // short and for ever: identifiers derive from it
	Protocol string // hl7v2 | fhir
	// Mailboxes, Services and Types say which documents go to this DI: those of these
	// addresses, of mailboxes of these units (their code), and of these kinds (code of the
	// type or class, or a greffe.Format); empty: all. A document goes to every DI that
	// takes it.
	Mailboxes []string
	Services  []string
	Types     []string
	// Test marks a DI that gets no document but what Replay sends it.
	Test bool
	// Patient is who decides about the patient; empty: DIDecides.
	Patient Policy
	// HoldUnknown is for how long, from its archiving, a document whose patient the DI
	// does not know (902) is offered again before a person has to decide; 0: not at all.
	HoldUnknown time.Duration

	MLLP       MLLP
	Sending    string // MSH-3^MSH-4
	Receiving  string // MSH-5^MSH-6
	Processing string // MSH-11: P | T | D
	Charset    string // MSH-18: UNICODE UTF-8 | 8859/15
	// HL7 are the other settings of the volet's open points. Sending, Receiving,
	// Processing and Charset above go before the ones in it.
	HL7 hl7.Settings
	// Events are the HL7 events that the DI takes: T02, and T10 and T04 unless it is known
	// not to (ERR-3 200 or 201). A replacement or deletion that it does not take is left to
	// a person and not sent. Empty: all three.
	Events []hl7.Event

	FHIR FHIR
}

// MLLP is the address of an HL7 v2 listener.
type MLLP struct {
	Address     string        // host:port
	TLS         bool          // MLLP over TLS
	CA          string        // path of a PEM file; empty: the system's authorities
	Certificate string        // path of a PEM file with client certificate and key
	Timeout     time.Duration // for an acknowledgement; 0 means 60 s
	Connections int           // at once; 0 means 4
}

// FHIR is the address of a FHIR R4 server.
type FHIR struct {
	Base        string // http(s)://host/path
	Mode        string // reference (default) | mhd | simplified
	TokenFile   string // path of a file with a bearer token; empty: none
	OAuth       fhir.OAuth
	CA          string        // path of a PEM file; empty: the system's authorities
	Certificate string        // path of a PEM file with client certificate and key
	Timeout     time.Duration // for an answer; 0 means 60 s
	Connections int           // at once; 0 means 4
	// Deletion is what is done about a deletion, for which the French profile has no
	// rule: "ask" (default) leaves it to a person, "entered-in-error" sets the status
	// of the reference, by agreement with the DI.
	Deletion string
	Patch    string // how a status is changed: fhirpath (default) | json
	SourceID string // OID of this installation, for the submission set of ITI-65
}

var defaultRetry = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

// open makes the sender of a DI; it does not connect yet.
func (d DI) open(cfg Config) (Sender, error) {
	if d.Name == "" || strings.ContainsAny(d.Name, " \t\r\n|^~\\&\x00") {
		return nil, fmt.Errorf("di %q: want a name without blanks", d.Name)
	}
	var s Sender
	var err error
	switch d.Protocol {
	case "hl7v2":
		s, err = newMLLPSender(d, cfg)
	case "fhir":
		s, err = newFHIRSender(d, cfg)
	default:
		err = fmt.Errorf("protocol %q: want hl7v2 or fhir", d.Protocol)
	}
	if err != nil {
		return nil, fmt.Errorf("di %s: %w", d.Name, err)
	}
	switch d.policy() {
	case DIDecides:
	case AskFirst:
		if _, ok := s.(Finder); !ok {
			s.Close()
			return nil, fmt.Errorf("di %s: patient %s: protocol %s offers no search for patients", d.Name, d.Patient, d.Protocol)
		}
	default:
		s.Close()
		return nil, fmt.Errorf("di %s: patient %q: want %s or %s", d.Name, d.Patient, DIDecides, AskFirst)
	}
	return s, nil
}

// errFile marks an error of reading the files of a TLS connection, which may be renewed
// while Greffe runs.
var errFile = errors.New("read TLS files")

// tlsConfig reads the authorities and the client certificate, now and for each connection,
// so that renewed ones are used without a restart.
func tlsConfig(ca, certificate string) (func() (*tls.Config, error), error) {
	read := func() (*tls.Config, error) {
		cfg := &tls.Config{MinVersion: tls.VersionTLS12}
		if ca != "" {
			pem, err := os.ReadFile(ca)
			if err != nil {
				return nil, fmt.Errorf("%w: authorities: %w", errFile, err)
			}
			cfg.RootCAs = x509.NewCertPool()
			if !cfg.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("%w: authorities: %s holds no certificate", errFile, ca)
			}
		}
		if certificate != "" {
			pair, err := tls.LoadX509KeyPair(certificate, certificate)
			if err != nil {
				return nil, fmt.Errorf("%w: client certificate: %w", errFile, err)
			}
			// Whatever authorities the DI names: some name none of theirs.
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		return cfg, nil
	}
	_, err := read()
	return read, err
}

// Check is one thing that was tried.
type Check struct {
	Name string // French, a few words
	OK   bool
	Text string // French: what was found and, when not OK, what to do
}

// CheckDI tries the connection to a DI. It sends no document.
func CheckDI(ctx context.Context, d DI) []Check {
	s, err := d.open(Config{ConsoleURL: "http://console.invalid"})
	if err != nil {
		return []Check{{"réglage", false, "Réglage à corriger : " + err.Error() + "."}}
	}
	defer s.Close()
	return []Check{checkSender(ctx, d, s)}
}

// Check tries the connection to every DI.
func (i *Integrator) Check(ctx context.Context) []Check {
	var out []Check
	for _, t := range i.targets {
		c := checkSender(ctx, t.DI, t.sender)
		c.Name = t.Name + " : " + c.Name
		out = append(out, c)
	}
	return out
}

func checkSender(ctx context.Context, d DI, s Sender) Check {
	address := d.MLLP.Address
	if d.Protocol == "fhir" {
		address = d.FHIR.Base
	}
	err := s.Ping(ctx)
	if err == nil {
		return Check{"connexion", true, "Le DI répond à " + address + "."}
	}
	text := "Le DI ne répond pas à " + address + " (" + err.Error() + "). "
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		op   *net.OpError
		http *fhir.Error
		auth *fhir.TokenError
	)
	switch {
	case errors.As(err, &auth):
		text = fmt.Sprintf("Le serveur d'autorisation ne donne pas de jeton (%d %s). Vérifier oauth2.client_id, le secret ou la clé, et les portées.", auth.Status, auth.Code)
	case errors.Is(err, fhir.ErrToken):
		text = "Greffe n'a pas de jeton pour le DI (" + err.Error() + "). Vérifier le fichier du jeton, ou l'adresse et les secrets du serveur d'autorisation (oauth2)."
	case errors.Is(err, fhir.ErrVersion):
		text = "Le serveur à " + address + " ne dit pas qu'il parle FHIR R4 (4.0). Vérifier que l'adresse est celle du service FHIR."
	case errors.As(err, &http) && (http.Status == 401 || http.Status == 403):
		text = "Le DI refuse l'identification de Greffe. Vérifier le jeton ou le certificat client et les droits ouverts dans le DI."
	case errors.As(err, &http):
		text = fmt.Sprintf("Le serveur à %s répond %d à la demande de ses capacités ou à une recherche. Vérifier que l'adresse est celle du service FHIR.", address, http.Status)
	case errors.As(err, &cert):
		text += "Son certificat n'est pas signé par une autorité admise : donner le fichier de l'autorité (ca) ou faire renouveler le certificat."
	case errors.As(err, &dns):
		text += "Ce nom est inconnu du DNS : vérifier l'adresse."
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		text += "Le DI refuse la connexion TLS : vérifier le certificat client et ce que le DI en attend."
	case errors.As(err, &op) && op.Op == "dial":
		text += "Vérifier l'adresse, que le DI est démarré et que le pare-feu laisse passer."
	default:
		text += "Vérifier l'adresse et si TLS est attendu."
	}
	return Check{"connexion", false, text}
}
