package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/clamd"
	"greffe/pkg/evidence"
	"greffe/pkg/mss"
	"greffe/pkg/xsd"
	"greffe/services/console"
	"greffe/services/notifier"
)

// Config is the whole configuration: one YAML file, strict. Each field carries
// its explanation in a doc tag, which "greffe config" prints beside the value,
// so that the explanation and the program cannot part ways. The doc tags are in
// French, because administrators read them. Every default is safe: a file that
// only names a mailbox and a DI is a working installation in one process.
type Config struct {
	DataDir   string          `yaml:"data_dir" doc:"Dossier des données de cette installation : bus, archive et index embarqués y vivent. À sauvegarder."`
	Log       LogConfig       `yaml:"log" doc:"Journal technique, sur la sortie d'erreur. Il ne contient ni nom, ni INS, ni objet de message."`
	Timezone  string          `yaml:"timezone" doc:"Fuseau horaire de l'établissement, par exemple Europe/Paris ou Indian/Reunion : les constats de complétude sont faits par jour de ce fuseau."`
	Mailboxes []MailboxConfig `yaml:"mailboxes" doc:"Boîtes aux lettres MSSanté à relever. La boîte n'est modifiée qu'après archivage, et seulement si on_… le demande."`
	Fetch     FetchConfig     `yaml:"fetch" doc:"Relève des boîtes."`
	Identity  IdentityConfig  `yaml:"identity" doc:"Identité des patients."`
	Parser    ParserConfig    `yaml:"parser" doc:"Lecture des messages."`
	CDA       CDAConfig       `yaml:"cda" doc:"Contrôle des documents CDA."`
	Antivirus AntivirusConfig `yaml:"antivirus" doc:"Analyse de chaque pièce par ClamAV. Tant qu'il est configuré et ne répond pas, les messages attendent : rien ne passe sans analyse."`
	Bus       BusConfig       `yaml:"bus" doc:"Bus NATS JetStream entre les services. Sans url : embarqué dans le processus, sans port ouvert."`
	Archive   ArchiveConfig   `yaml:"archive" doc:"Archive à écriture unique. Sans s3.endpoint : le dossier archive/ de data_dir, que Greffe ne réécrit pas et n'efface pas avant terme, sans pouvoir en empêcher un administrateur."`
	Index     IndexConfig     `yaml:"index" doc:"Index des files et des recherches. Sans dsn : le fichier SQLite index.db de data_dir."`
	Journal   JournalConfig   `yaml:"journal" doc:"Journal de preuve : scellé dans l'archive chaque minute, signé, horodaté."`
	Verify    VerifyConfig    `yaml:"verify" doc:"Vérification que le service storage fait de lui-même, une fois par jour. Son résultat est dans le journal et sur la page Système."`
	Proofs    ProofsConfig    `yaml:"proofs" doc:"Dossiers de preuve que les auditeurs demandent dans la console (« greffe prove » n'a pas ces limites)."`
	DI        []DIConfig      `yaml:"di" doc:"Dossiers informatisés qui reçoivent les documents. Vide : les documents sont archivés et montrés, sans envoi."`
	Retry     []Duration      `yaml:"retry" doc:"Attentes successives quand le DI ne répond pas ou demande de revenir plus tard ; la dernière se répète."`
	Answers   AnswersConfig   `yaml:"answers" doc:"Réponses aux expéditeurs : accusés (MDN) demandés et avis de refus (KO), depuis les boîtes qui ont un serveur smtp. Une seule réponse par message, jamais à un automate ni à un patient."`
	Console   ConsoleConfig   `yaml:"console" doc:"Console web des secrétaires, des auditeurs et des administrateurs."`
}

// LogConfig says what is logged.
type LogConfig struct {
	Level  string `yaml:"level" doc:"debug | info | warn | error"`
	Format string `yaml:"format" doc:"text | json"`
}

// MailboxConfig is one mailbox to watch.
type MailboxConfig struct {
	Address       string               `yaml:"address" doc:"Adresse MSSanté de la boîte."`
	Kind          string               `yaml:"kind" doc:"organisational | applicative | personal"`
	IMAP          string               `yaml:"imap" doc:"imaps://hôte:993 (TLS d'emblée) ou imap://hôte:143 (STARTTLS exigé). TLS 1.2 au moins."`
	CA            string               `yaml:"ca" doc:"Fichier PEM des autorités admises pour ce serveur (IGC-Santé). Vide : celles du système."`
	Certificate   string               `yaml:"certificate" doc:"Fichier PEM du certificat client et de sa clé (certificat de la structure), si l'opérateur l'exige."`
	Auth          AuthConfig           `yaml:"auth" doc:"Connexion à la boîte, pour lire et pour envoyer."`
	SMTP          string               `yaml:"smtp" doc:"Serveur d'envoi de l'opérateur : smtps://hôte:465 (TLS d'emblée) ou smtp://hôte:587 (STARTTLS exigé), avec le même certificat et la même connexion. Vide : cette boîte ne répond pas aux expéditeurs."`
	RepliesTo     string               `yaml:"replies_to" doc:"D'une boîte applicative : adresse de la boîte organisationnelle du service, que des personnes lisent. Qui écrit à la boîte applicative apprend, une fois par jour, que personne ne la lit et où écrire ; son message y est transmis entier. Vide : il reste dans la file."`
	Folders       []string             `yaml:"folders" doc:"Dossiers à relever ; un sous-dossier par professionnel si besoin."`
	Service       ServiceConfig        `yaml:"service" doc:"Unité de l'établissement à qui la boîte appartient ; transmise au DI comme destinataire."`
	Responsible   ResponsibleConfig    `yaml:"responsible" doc:"Personne qui répond de la boîte : ses indicateurs et le rappel de ce qui attend lui sont destinés."`
	PasswordUntil string               `yaml:"password_until" doc:"Fin de validité du mot de passe de la boîte, AAAA-MM-JJ : le serveur ne la dit pas. Greffe prévient 90, 60, 30 et 7 jours avant. Vide : inconnue."`
	Professionals []ProfessionalConfig `yaml:"professionals" doc:"Professionnels à qui la boîte, ou un de ses dossiers, est destinée : la console le leur montre."`
	OnArchived    MarkConfig           `yaml:"on_archived" doc:"Après archivage. Vide : la boîte n'est pas touchée."`
	OnDelivered   MarkConfig           `yaml:"on_delivered" doc:"Quand tout est intégré, classé ou en double."`
	OnFailed      MarkConfig           `yaml:"on_failed" doc:"Quand une personne doit s'en occuper."`
}

// ServiceConfig is a unit of the hospital.
type ServiceConfig struct {
	Code   string `yaml:"code" doc:"Code de l'unité fonctionnelle (UF)."`
	Name   string `yaml:"name" doc:"Son nom."`
	FINESS string `yaml:"finess" doc:"Numéro FINESS de son établissement, 9 caractères (PRT-8.6 du message HL7)."`
}

// ProfessionalConfig says what of a mailbox is addressed to a professional.
type ProfessionalConfig struct {
	RPPS   string `yaml:"rpps" doc:"Numéro RPPS, 11 chiffres : celui de son compte, ou celui que donne le fournisseur d'identité."`
	Folder string `yaml:"folder" doc:"Dossier de la boîte qui lui est destiné. Vide : toute la boîte."`
}

// ResponsibleConfig is the person who answers for a mailbox.
type ResponsibleConfig struct {
	Name    string `yaml:"name" doc:"Nom affiché."`
	RPPS    string `yaml:"rpps" doc:"Numéro RPPS, s'il y a lieu."`
	Address string `yaml:"address" doc:"Son adresse MSSanté."`
}

// AuthConfig says how to log in to a mailbox. Secrets are paths of files.
type AuthConfig struct {
	Mechanism    string `yaml:"mechanism" doc:"external | plain | login | oauthbearer | xoauth2"`
	Username     string `yaml:"username" doc:"Vide : l'adresse de la boîte."`
	PasswordFile string `yaml:"password_file" doc:"Fichier qui contient le mot de passe (plain, login)."`
	TokenFile    string `yaml:"token_file" doc:"Fichier qui contient le jeton d'accès (oauthbearer, xoauth2), relu à chaque connexion."`
}

// MarkConfig says what is done to a message in its mailbox.
type MarkConfig struct {
	Keyword string `yaml:"keyword" doc:"Mot-clé IMAP à poser, par exemple $Archived."`
	Move    string `yaml:"move" doc:"Dossier où déplacer le message ; créé s'il manque."`
}

// FetchConfig tunes the fetcher.
type FetchConfig struct {
	MaxSize   Size     `yaml:"max_size" doc:"Taille au-delà de laquelle un message n'est pas téléchargé : il apparaît dans la file et reste dans sa boîte."`
	Reconcile Duration `yaml:"reconcile" doc:"Période du rapprochement complet entre la boîte et l'archive."`
	Retake    Duration `yaml:"retake" doc:"Un message relevé mais toujours pas archivé après ce délai est relevé de nouveau."`
}

// IdentityConfig says which identities are real here.
type IdentityConfig struct {
	Environment string `yaml:"environment" doc:"production | test. Une INS de l'autre environnement est refusée : le document attend une personne."`
}

// ParserConfig tunes the parser.
type ParserConfig struct {
	Workers     int      `yaml:"workers" doc:"Messages lus en même temps dans un processus. 0 : le nombre de cœurs."`
	PDFTimeout  Duration `yaml:"pdf_timeout" doc:"Temps de calcul laissé au contrôle d'un PDF ; au plus cinq fois autant à l'horloge. Au-delà, le PDF attend une personne."`
	PDFMemory   Size     `yaml:"pdf_memory" doc:"Mémoire laissée au contrôle d'un PDF, dans son processus à part. Un PDF de plus d'un huitième de cette taille n'est pas contrôlé et attend une personne."`
	Authorities string   `yaml:"authorities" doc:"Fichier PEM des autorités dont doit venir le certificat de qui signe un message (S/MIME). Vide : la signature est vérifiée, le signataire non."`
}

// CDAConfig says what CDA documents are checked by, besides the rules of Greffe.
type CDAConfig struct {
	Schemas string `yaml:"schemas" doc:"Dossier des schémas XML de CDA publiés par l'ANS, avec CDA_extended.xsd. Vide : les documents ne sont pas contrôlés par schéma. Un écart est signalé, jamais refusé."`
	XMLLint string `yaml:"xmllint" doc:"Programme xmllint (paquet libxml2-utils) qui contrôle les documents, dans des processus à part."`
}

// AntivirusConfig says what scans the parts.
type AntivirusConfig struct {
	Clamd   string   `yaml:"clamd" doc:"Adresse de clamd : tcp://hôte:3310 ou unix:///run/clamav/clamd.ctl (hôte:port et /chemin sont admis). Vide : les pièces ne sont pas analysées. Les pièces y passent en clair : même machine ou réseau protégé. Dans clamd.conf : AlertExceedsMax yes, StreamMaxLength au moins fetch.max_size et au plus MaxFileSize."`
	Timeout Duration `yaml:"timeout" doc:"Temps laissé à l'analyse de toutes les pièces d'un message. Au-delà, le message est relu plus tard, puis retenu."`
	BaseAge Duration `yaml:"base_age" doc:"Âge de la base de signatures à partir duquel « greffe check » et la page Système préviennent."`
}

// BusConfig says where the bus is.
type BusConfig struct {
	URL         string `yaml:"url" doc:"nats://hôte:4222 ou tls://… ; plusieurs adresses séparées par des virgules. Vide : embarqué."`
	Credentials string `yaml:"credentials" doc:"Fichier d'identifiants NATS (.creds)."`
	CA          string `yaml:"ca" doc:"Fichier PEM des autorités admises."`
	Certificate string `yaml:"certificate" doc:"Fichier PEM du certificat client et de sa clé."`
	Replicas    int    `yaml:"replicas" doc:"Copies de chaque flux : 3 dans une grappe NATS de trois serveurs ou plus, 1 sinon."`
}

// ArchiveConfig says where the archive is.
type ArchiveConfig struct {
	S3         S3Config         `yaml:"s3" doc:"Stockage compatible S3 avec verrouillage d'objets (Object Lock)."`
	Encryption EncryptionConfig `yaml:"encryption" doc:"Chiffrement par Greffe de ce qu'il archive, une clé par objet, pour que personne ne le lise sur le stockage et qu'un message puisse être effacé avant terme (« greffe retain erase »)."`
	Retention  Duration         `yaml:"retention" doc:"Durée de conservation verrouillée à l'écriture, prolongée quand le même contenu revient ; « greffe retain » prolonge. 20y : article R1112-7 du code de la santé publique."`
	Mode       string           `yaml:"mode" doc:"compliance (personne ne peut effacer avant terme ; sur S3, Greffe ne démarre que si le serveur le prouve) | governance (essais) | none (sans verrou)"`
}

// EncryptionConfig says whether the archive is encrypted.
type EncryptionConfig struct {
	MasterKey string `yaml:"master_key" doc:"Fichier des clés maîtresses (« greffe keys --new-master » en fait une), lisible du seul service ; la première protège ce qui arrive, les autres ne servent qu'à lire. Sans lui, tout ce qui est chiffré est perdu : gardez-en deux copies hors de l'archive et de ses sauvegardes. Vide : rien n'est chiffré."`
}

// S3Config says where the bucket is.
type S3Config struct {
	Endpoint      string `yaml:"endpoint" doc:"https://hôte:port"`
	Bucket        string `yaml:"bucket" doc:"Nom du bucket, créé avec le verrouillage d'objets."`
	Region        string `yaml:"region" doc:"Région, si le fournisseur en demande une."`
	AccessKeyFile string `yaml:"access_key_file" doc:"Fichier qui contient l'identifiant de clé."`
	SecretKeyFile string `yaml:"secret_key_file" doc:"Fichier qui contient la clé secrète."`
	CA            string `yaml:"ca" doc:"Fichier PEM des autorités admises. Vide : celles du système."`
}

// IndexConfig says where the index is.
type IndexConfig struct {
	DSN string `yaml:"dsn" doc:"postgres://greffe@hôte/greffe?sslmode=verify-full&passfile=/run/secrets/pgpass. Pas de mot de passe ici : passfile."`
}

// JournalConfig says how the journal is sealed.
type JournalConfig struct {
	Key       string          `yaml:"key" doc:"Fichier de la clé privée qui signe le journal (« greffe keys --new » en fait une). Vide : journal.key de data_dir, créé s'il manque ; des services séparés doivent le nommer. À sauvegarder hors de l'archive, lisible du seul service."`
	Timestamp TimestampConfig `yaml:"timestamp" doc:"Autorité d'horodatage (RFC 3161) du journal scellé. Ne sort de l'établissement qu'une empreinte SHA-256."`
}

// TimestampConfig says who stamps the journal.
type TimestampConfig struct {
	URL          string   `yaml:"url" doc:"https://… de l'autorité. Vide : le journal n'est pas horodaté. Injoignable : le scellement continue, le retard est montré et rattrapé."`
	CA           string   `yaml:"ca" doc:"Fichier PEM des autorités dont doit venir le certificat qui signe les jetons."`
	User         string   `yaml:"user" doc:"Nom de qui demande, quand l'autorité en veut un (mot de passe HTTP, https seulement)."`
	PasswordFile string   `yaml:"password_file" doc:"Fichier qui contient son mot de passe, relu à chaque jeton."`
	Certificate  string   `yaml:"certificate" doc:"Fichier PEM du certificat client et de sa clé, quand l'autorité en veut un."`
	Policy       string   `yaml:"policy" doc:"Politique demandée et exigée (OID), par exemple 1.2.250.1.1.1. Vide : celle de l'autorité."`
	Every        Duration `yaml:"every" doc:"Délai entre deux jetons, 24h au plus."`
}

// VerifyConfig says when the archive is verified by itself.
type VerifyConfig struct {
	At     string  `yaml:"at" doc:"Heure, dans le fuseau de la machine. Vide : jamais, et rien ne prévient d'une altération."`
	Sample Percent `yaml:"sample" doc:"Part des messages, tirée au hasard chaque jour, dont tous les octets sont relus. 5% : la plupart le sont au moins une fois par mois."`
}

// ProofsConfig bounds the proof packs that are asked for in the console.
type ProofsConfig struct {
	Documents int      `yaml:"documents" doc:"Documents d'un dossier, au plus, de 1 à 10000."`
	Size      Size     `yaml:"size" doc:"Taille d'un dossier, au plus. Pendant qu'il est fait, il en faut autant dans data_dir du service storage, puis autant sur le bus tant qu'il y attend son demandeur."`
	Keep      Duration `yaml:"keep" doc:"Durée pendant laquelle un dossier prêt peut être téléchargé par qui l'a demandé, et pendant laquelle une demande attend un second auditeur ; de 1h à 90d. Ensuite il est retiré ; la demande peut être refaite."`
}

// DIConfig is one record system.
type DIConfig struct {
	Name       string     `yaml:"name" doc:"Nom court et définitif : il entre dans les identifiants des envois."`
	Protocol   string     `yaml:"protocol" doc:"hl7v2 | fhir"`
	Mailboxes  []string   `yaml:"mailboxes" doc:"Boîtes dont les documents vont à ce DI. Vide : toutes. Un document va à chaque DI qui le prend, par sa boîte, son service et son type, et a un état dans chacun."`
	Services   []string   `yaml:"services" doc:"Codes des unités (service.code des boîtes) dont les documents vont à ce DI. Vide : toutes."`
	Types      []string   `yaml:"types" doc:"Types de documents que ce DI prend : code LOINC du type, code de classe, ou pdf, cda-n1, cda-n3. Vide : tous. Un document qu'aucun DI de son service ne prend attend une personne."`
	Test       bool       `yaml:"test" doc:"true : DI d'essai. Il ne reçoit rien en continu, seulement ce que « greffe replay --di » lui renvoie."`
	Patient    string     `yaml:"patient" doc:"di-decides (le DI compare INS et traits, et refuse) | ask-first (Greffe demande d'abord au DI qui est le patient et compare ; fhir seulement, HL7 v2 n'offre pas de recherche)"`
	Hold       Duration   `yaml:"hold_unknown" doc:"Durée pendant laquelle un document dont le DI ne connaît pas le patient (902) est proposé de nouveau avant qu'une personne n'en décide. 0s : tout de suite à une personne."`
	MLLP       MLLPConfig `yaml:"mllp" doc:"Adresse HL7 v2 (MLLP)."`
	FHIR       FHIRConfig `yaml:"fhir" doc:"Adresse FHIR R4."`
	Sending    string     `yaml:"sending" doc:"MSH-3^MSH-4 : application et établissement émetteurs."`
	Receiving  string     `yaml:"receiving" doc:"MSH-5^MSH-6 : application et établissement destinataires."`
	Processing string     `yaml:"processing" doc:"MSH-11 : P (production) | T (test) | D (mise au point)"`
	Charset    string     `yaml:"charset" doc:"MSH-18 : UNICODE UTF-8 | 8859/15. En 8859/15, des accents et des signes se perdent dans le texte libre ; un document dont le nom du patient ou un numéro ne peut pas s'écrire n'est pas envoyé et attend une personne."`
	HL7        HL7Config  `yaml:"hl7" doc:"Forme des messages HL7 v2, là où le volet et ses exemples divergent ou se taisent. Par défaut, la règle du volet."`
}

// MLLPConfig is the address of an HL7 v2 listener.
type MLLPConfig struct {
	Address     string   `yaml:"address" doc:"hôte:port"`
	TLS         bool     `yaml:"tls" doc:"true : MLLP sur TLS."`
	CA          string   `yaml:"ca" doc:"Fichier PEM des autorités admises."`
	Certificate string   `yaml:"certificate" doc:"Fichier PEM du certificat client et de sa clé."`
	Timeout     Duration `yaml:"timeout" doc:"Attente d'un accusé de réception."`
	Connections int      `yaml:"connections" doc:"Connexions ouvertes à la fois, un message en cours sur chacune."`
}

// AnswersConfig says whom Greffe may write to.
type AnswersConfig struct {
	WhiteList       string   `yaml:"white_list" doc:"Domaines de l'espace de confiance MSSanté : adresse https de listeblanchemssante.xml, relue toutes les 6 heures, ou fichier (ce XML, ou un domaine par ligne), relu quand il change. La dernière bonne liste est gardée dans data_dir. Vide : aucune réponse ne part."`
	WhiteListCA     string   `yaml:"white_list_ca" doc:"Fichier PEM des seules autorités admises pour cette adresse (chaîne IGC-Santé). Vide : celles du système."`
	WhiteListShrink Percent  `yaml:"white_list_shrink" doc:"Part de ses domaines que la liste peut perdre d'un coup ; au-delà elle est refusée et la dernière bonne reste en vigueur."`
	KO              string   `yaml:"ko" doc:"À qui vont les avis de refus (KO) : sender (l'expéditeur, donc la personne qui a transféré le message) | forwarder (la boîte qui l'a redirigé, Resent-From, sinon l'expéditeur) | une adresse, la même pour tous"`
	Sender          string   `yaml:"sender" doc:"Expéditeur d'enveloppe des accusés et des réponses automatiques : null (RFC 8098, aucune boucle possible) | mailbox (serveurs qui refusent l'adresse nulle). Les avis de refus et les transferts partent toujours au nom de la boîte : l'opérateur peut dire qu'ils ne sont pas arrivés."`
	PerHour         int      `yaml:"per_hour" doc:"Réponses à une même adresse en une heure, au plus ; les suivantes attendent."`
	NotOlder        Duration `yaml:"not_older_than" doc:"Âge, au moment de la relève, au-delà duquel un message ne reçoit plus de réponse : une boîte que Greffe commence à relever peut contenir des années de courrier. Ce qui n'est pas envoyé est noté au journal et sur la page du message."`
	DailyAt         string   `yaml:"daily_at" doc:"Heure (timezone) à laquelle la personne responsable de boîtes (responsible.address) reçoit, une fois par jour, ce qui y attend : des nombres et des dates, jamais un contenu, vers un domaine de la liste blanche seulement. Vide : jamais."`
	DailyAlways     bool     `yaml:"daily_always" doc:"true : ce rappel part aussi quand rien n'attend."`
}

// ConsoleConfig says how the console is reached.
type ConsoleConfig struct {
	Listen       string     `yaml:"listen" doc:"Adresse d'écoute. Hors de la machine locale, un certificat ou un mandataire TLS est nécessaire."`
	PublicURL    string     `yaml:"public_url" doc:"Adresse que voient les navigateurs et les DI, par exemple https://greffe.ch-exemple.fr"`
	Certificate  string     `yaml:"certificate" doc:"Fichier PEM du certificat et de sa clé ; vide : HTTP."`
	Idle         Duration   `yaml:"idle" doc:"Temps sans activité après lequel une session se verrouille, de 1m à 1h. La saisie en cours est gardée."`
	Lifetime     Duration   `yaml:"lifetime" doc:"Durée d'une session, même active ; 24h au plus. Ensuite, il faut se reconnecter."`
	Proxies      []string   `yaml:"proxies" doc:"Adresses ou réseaux (10.0.0.0/8) des mandataires TLS dont l'en-tête X-Forwarded-For est cru : sans eux, le journal note l'adresse du mandataire."`
	Unattended   Duration   `yaml:"unattended" doc:"Une boîte où des messages attendent et que personne n'a consultée depuis ce délai est signalée."`
	MetricsToken string     `yaml:"metrics_token" doc:"Fichier d'un jeton d'au moins 20 caractères, à présenter en « Authorization: Bearer » pour lire /metrics (Prometheus). Vide : pas de /metrics."`
	MaskedShown  bool       `yaml:"masked_to_professionals" doc:"true : un professionnel ouvre aussi les documents que leur auteur a masqués aux professionnels de santé (MASQUE_PS). Par défaut, seuls le secrétariat de la boîte et les auditeurs les ouvrent ; jamais transmis au DI."`
	FourEyes     bool       `yaml:"four_eyes" doc:"true : un auditeur n'ouvre les documents d'un patient qu'avec l'accord d'un second auditeur, valable 24 heures. Les listes restent visibles. À n'activer qu'avec deux auditeurs au moins."`
	SecondFactor []string   `yaml:"second_factor" doc:"Rôles dont les comptes propres à Greffe doivent avoir un second facteur : secretary | professional | auditor | admin. Les autres peuvent en mettre un en place."`
	Contact      string     `yaml:"contact" doc:"À qui écrire quand une page ne peut pas être lue ou utilisée : référent accessibilité, adresse ou téléphone. Montré dans la déclaration d'accessibilité. Vide : personne n'y est nommé."`
	Audit        Audit      `yaml:"accessibility_audit" doc:"Dernier audit d'accessibilité (RGAA 4.1) en cours de validité. Sans audit, la console se déclare non conforme, comme le RGAA le veut."`
	OIDC         OIDCConfig `yaml:"oidc" doc:"Fournisseur d'identité OpenID Connect : Pro Santé Connect, Keycloak ou un autre. Les comptes propres à Greffe restent."`
}

// Audit is what the declaration of accessibility says of an audit.
type Audit struct {
	By   string  `yaml:"by" doc:"Qui l'a mené. Vide : aucun audit."`
	Date string  `yaml:"date" doc:"Jour de sa fin : 2027-01-31"`
	Rate float64 `yaml:"rate" doc:"Critères respectés, de 0 à 100. 100 : totalement conforme ; à partir de 50 : partiellement."`
}

// OIDCConfig says who vouches for persons and what its claims mean.
type OIDCConfig struct {
	Issuer       string           `yaml:"issuer" doc:"Adresse du fournisseur, telle qu'il l'écrit (iss) ; il y publie /.well-known/openid-configuration. Vide : comptes propres à Greffe seuls. À déclarer chez lui : public_url suivi de /connexion/oidc/retour, et de /connexion pour la déconnexion."`
	Name         string           `yaml:"name" doc:"Nom sur le bouton de connexion."`
	ClientID     string           `yaml:"client_id" doc:"Identifiant de Greffe chez le fournisseur."`
	ClientSecret string           `yaml:"client_secret_file" doc:"Fichier qui contient le secret. Vide : client public, protégé par PKCE seul."`
	CA           string           `yaml:"ca" doc:"Fichier PEM des autorités admises. Vide : celles du système."`
	Scopes       []string         `yaml:"scopes" doc:"Portées demandées ; openid en fait partie. Pro Santé Connect : openid et scope_all."`
	ACR          []string         `yaml:"acr" doc:"Niveaux d'authentification admis (acr), demandés et exigés ; Pro Santé Connect : eidas1. Vide : tous."`
	LoginClaim   string           `yaml:"login_claim" doc:"Donnée qui sert d'identifiant dans Greffe et dans son journal. Vide : tiré du sujet (sub)."`
	NameClaim    string           `yaml:"name_claim" doc:"Donnée qui donne le nom affiché ; à défaut given_name et family_name."`
	RPPSClaim    string           `yaml:"rpps_claim" doc:"Donnée qui donne le numéro RPPS (11 chiffres, précédés ou non de 8). Pro Santé Connect : SubjectNameID."`
	Rules        []OIDCRuleConfig `yaml:"rules" doc:"Qui a quels droits. Le rôle est celui de la première règle qui s'applique et en donne un ; les boîtes de toutes celles qui s'appliquent s'ajoutent. Sans rôle : connexion refusée."`
}

// OIDCRuleConfig gives rights to those for whom a claim has a value.
type OIDCRuleConfig struct {
	Claim     string   `yaml:"claim" doc:"Chemin de la donnée, étapes séparées par des points, par exemple realm_access.roles ; les listes sont parcourues."`
	Value     string   `yaml:"value" doc:"Valeur attendue ; * : n'importe laquelle."`
	Role      string   `yaml:"role" doc:"secretary | professional | auditor | admin. Vide : la règle ne donne que des boîtes."`
	Mailboxes []string `yaml:"mailboxes" doc:"Ce que la personne voit : adresse, adresse/dossier, ou * pour toutes les boîtes."`
}

// defaults returns the configuration of an empty file.
func defaults() Config {
	return Config{
		DataDir:   "/var/lib/greffe",
		Log:       LogConfig{Level: "info", Format: "text"},
		Timezone:  "Europe/Paris",
		Fetch:     FetchConfig{MaxSize: 100 << 20, Reconcile: Duration(5 * time.Minute), Retake: Duration(15 * time.Minute)},
		Identity:  IdentityConfig{Environment: "production"},
		Parser:    ParserConfig{PDFTimeout: Duration(10 * time.Second), PDFMemory: 1 << 30},
		CDA:       CDAConfig{XMLLint: "xmllint"},
		Antivirus: AntivirusConfig{Timeout: Duration(5 * time.Minute), BaseAge: Duration(7 * day)},
		Bus:       BusConfig{Replicas: 1},
		Archive:   ArchiveConfig{Retention: Duration(20 * year), Mode: "compliance"},
		Verify:    VerifyConfig{At: "02:00", Sample: 5},
		Proofs:    ProofsConfig{Documents: 2000, Size: 2 << 30, Keep: Duration(7 * day)},
		Retry:     []Duration{Duration(time.Minute), Duration(5 * time.Minute), Duration(15 * time.Minute), Duration(time.Hour)},
		Answers:   AnswersConfig{WhiteListShrink: 10, KO: "sender", Sender: "null", PerHour: 60, NotOlder: Duration(30 * day), DailyAt: "07:30"},
		Journal:   JournalConfig{Timestamp: TimestampConfig{Every: Duration(day)}},
		Console:   ConsoleConfig{Listen: "127.0.0.1:8080", Idle: Duration(10 * time.Minute), Lifetime: Duration(12 * time.Hour), Unattended: Duration(7 * day)},
	}
}

// setDefaults fills what a list element leaves out; defaults cannot reach into lists.
func (c *Config) setDefaults() {
	for i := range c.Mailboxes {
		m := &c.Mailboxes[i]
		if m.Kind == "" {
			m.Kind = "organisational"
		}
		if len(m.Folders) == 0 {
			m.Folders = []string{"INBOX"}
		}
		if m.Auth.Mechanism == "" {
			m.Auth.Mechanism = "plain"
		}
		if m.Auth.Username == "" {
			m.Auth.Username = m.Address
		}
	}
	for i := range c.DI {
		d := &c.DI[i]
		if d.Sending == "" {
			d.Sending = "GREFFE^GREFFE"
		}
		if d.Receiving == "" {
			d.Receiving = "DI^DI"
		}
		if d.Processing == "" {
			d.Processing = "P"
		}
		if d.Patient == "" {
			d.Patient = "di-decides"
		}
		if d.Charset == "" {
			d.Charset = "UNICODE UTF-8"
		}
		if d.MLLP.Timeout == 0 {
			d.MLLP.Timeout = Duration(30 * time.Second)
		}
		if d.MLLP.Connections == 0 {
			d.MLLP.Connections = 4
		}
		d.HL7.setDefaults()
		d.FHIR.setDefaults()
		if d.Protocol == "fhir" && d.FHIR.Mode == "" {
			d.FHIR.Mode = "reference"
		}
	}
	if c.Console.PublicURL == "" {
		scheme := "http"
		if c.Console.Certificate != "" {
			scheme = "https"
		}
		c.Console.PublicURL = scheme + "://" + c.Console.Listen
	}
}

// problem is a configuration mistake at a key.
type problem struct {
	key  string // dotted path: "mailboxes[0].imap"
	text string // French: what was expected
}

// validate returns what is wrong with the values, each with the key to mend.
func (c *Config) validate() []problem {
	var out []problem
	bad := func(key, format string, args ...any) {
		out = append(out, problem{key, fmt.Sprintf(format, args...)})
	}
	oneOf := func(key, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			bad(key, "%q n'est pas admis ; attendu : %s", value, strings.Join(allowed, " | "))
		}
	}
	file := func(key, path string) {
		if path == "" {
			return
		}
		if fi, err := os.Stat(path); err != nil {
			bad(key, "le fichier %s ne peut pas être lu (%s)", path, reason(err))
		} else if fi.IsDir() {
			bad(key, "%s est un dossier ; un fichier est attendu", path)
		}
	}
	if c.DataDir == "" {
		bad("data_dir", "un dossier est attendu")
	}
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	if _, err := time.LoadLocation(c.Timezone); c.Timezone == "" || c.Timezone == "Local" || err != nil {
		bad("timezone", "un fuseau de la base IANA est attendu, par exemple Europe/Paris")
	}
	oneOf("identity.environment", c.Identity.Environment, "production", "test")
	if _, err := time.Parse("15:04", c.Verify.At); err != nil && c.Verify.At != "" {
		bad("verify.at", "une heure est attendue, par exemple 02:00 ; vide : jamais")
	}
	if c.Fetch.MaxSize < 1<<20 {
		bad("fetch.max_size", "au moins 1MiB")
	}
	if c.Fetch.Reconcile <= 0 {
		bad("fetch.reconcile", "une durée positive est attendue, par exemple 5m")
	}
	if c.Fetch.Retake <= 0 {
		bad("fetch.retake", "une durée positive est attendue, par exemple 15m")
	}
	if c.Parser.Workers < 0 {
		bad("parser.workers", "0 ou plus")
	}
	file("parser.authorities", c.Parser.Authorities)
	if c.CDA.Schemas != "" && c.CDA.XMLLint == "" {
		bad("cda.xmllint", "le nom ou le chemin du programme est attendu")
	}
	if c.CDA.Schemas != "" {
		file("cda.schemas", filepath.Join(c.CDA.Schemas, xsd.Entry))
	}
	if c.Antivirus.Clamd != "" {
		if _, _, err := clamd.ParseAddress(c.Antivirus.Clamd); err != nil {
			bad("antivirus.clamd", "tcp://hôte:port ou unix:///chemin est attendu")
		}
	}
	if c.Antivirus.Timeout <= 0 {
		bad("antivirus.timeout", "une durée positive est attendue, par exemple 5m")
	}
	if c.Antivirus.BaseAge <= 0 {
		bad("antivirus.base_age", "une durée positive est attendue, par exemple 7d")
	}
	seen, applicative := map[string]int{}, map[string]int{}
	for i, m := range c.Mailboxes {
		if m.Kind == "applicative" {
			applicative[strings.ToLower(m.Address)] = i
		}
	}
	for i, m := range c.Mailboxes {
		key := fmt.Sprintf("mailboxes[%d].", i)
		if !strings.Contains(m.Address, "@") {
			bad(key+"address", "une adresse de messagerie est attendue")
		}
		if j, twice := seen[strings.ToLower(m.Address)]; twice {
			bad(key+"address", "déjà donnée par mailboxes[%d]", j)
		}
		seen[strings.ToLower(m.Address)] = i
		oneOf(key+"kind", m.Kind, "organisational", "applicative", "personal")
		if u, err := url.Parse(m.IMAP); err != nil || u.Hostname() == "" || (u.Scheme != "imaps" && u.Scheme != "imap") || (u.Path != "" && u.Path != "/") || u.User != nil {
			bad(key+"imap", "imaps://hôte:port ou imap://hôte:port (STARTTLS) est attendu")
		}
		if m.SMTP != "" {
			if err := (notifier.Mailbox{Address: m.Address, URL: m.SMTP, Certificate: m.Certificate, Auth: mss.Auth(m.Auth)}).ValidURL(); err != nil {
				bad(key+"smtp", "smtps://hôte:port ou smtp://hôte:port (STARTTLS) est attendu")
			}
		}
		if f := m.Service.FINESS; f != "" && !finess.MatchString(f) {
			bad(key+"service.finess", "un numéro FINESS de 9 caractères est attendu")
		}
		if m.PasswordUntil != "" {
			if _, err := time.Parse(time.DateOnly, m.PasswordUntil); err != nil {
				bad(key+"password_until", "une date AAAA-MM-JJ est attendue")
			}
		}
		if a := m.Responsible.Address; a != "" && !strings.Contains(a, "@") {
			bad(key+"responsible.address", "une adresse de messagerie est attendue")
		}
		if r := m.Responsible.RPPS; r != "" && (len(r) != 11 || strings.Trim(r, "0123456789") != "") {
			bad(key+"responsible.rpps", "11 chiffres sont attendus")
		}
		for j, p := range m.Professionals {
			if console.RPPS(p.RPPS) != p.RPPS || p.RPPS == "" {
				bad(fmt.Sprintf("%sprofessionals[%d].rpps", key, j), "11 chiffres sont attendus")
			}
			if p.Folder != "" && !slices.Contains(m.Folders, p.Folder) {
				bad(fmt.Sprintf("%sprofessionals[%d].folder", key, j), "%q n'est pas un dossier relevé (folders)", p.Folder)
			}
		}
		switch j, ours := applicative[strings.ToLower(m.RepliesTo)]; {
		case m.RepliesTo == "":
		case !strings.Contains(m.RepliesTo, "@"):
			bad(key+"replies_to", "une adresse de messagerie est attendue")
		case m.Kind != "applicative":
			bad(key+"replies_to", "seule une boîte applicative, que personne ne lit, en a une")
		case ours:
			bad(key+"replies_to", "mailboxes[%d] est applicative : personne ne la lit", j)
		case m.SMTP == "":
			bad(key+"replies_to", "sans serveur d'envoi (smtp), rien ne peut être transmis")
		}
		file(key+"ca", m.CA)
		file(key+"certificate", m.Certificate)
		oneOf(key+"auth.mechanism", m.Auth.Mechanism, "external", "plain", "login", "oauthbearer", "xoauth2")
		switch m.Auth.Mechanism {
		case "plain", "login":
			if m.Auth.PasswordFile == "" {
				bad(key+"auth.password_file", "le mécanisme %s demande un fichier de mot de passe", m.Auth.Mechanism)
			}
		case "oauthbearer", "xoauth2":
			if m.Auth.TokenFile == "" {
				bad(key+"auth.token_file", "le mécanisme %s demande un fichier de jeton", m.Auth.Mechanism)
			}
		case "external":
			if m.Certificate == "" {
				bad(key+"certificate", "le mécanisme external demande un certificat client")
			}
		}
		file(key+"auth.password_file", m.Auth.PasswordFile)
		file(key+"auth.token_file", m.Auth.TokenFile)
	}
	switch u, err := url.Parse(c.Answers.WhiteList); {
	case !strings.Contains(c.Answers.WhiteList, "://"):
		file("answers.white_list", c.Answers.WhiteList)
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil:
		bad("answers.white_list", "un fichier ou une adresse https:// est attendu")
	}
	file("answers.white_list_ca", c.Answers.WhiteListCA)
	if c.Answers.WhiteListShrink <= 0 || c.Answers.WhiteListShrink > 100 {
		bad("answers.white_list_shrink", "une part de 1%% à 100%% est attendue")
	}
	if !strings.Contains(c.Answers.KO, "@") {
		oneOf("answers.ko", c.Answers.KO, "sender", "forwarder")
	}
	oneOf("answers.sender", c.Answers.Sender, "null", "mailbox")
	if c.Answers.NotOlder < Duration(time.Hour) {
		bad("answers.not_older_than", "au moins 1h, par exemple 30d")
	}
	if _, err := time.Parse("15:04", c.Answers.DailyAt); err != nil && c.Answers.DailyAt != "" {
		bad("answers.daily_at", "une heure est attendue, par exemple 07:30 ; vide : jamais")
	}
	if c.Answers.PerHour < 1 {
		bad("answers.per_hour", "1 ou plus")
	}
	if c.Bus.URL != "" {
		for _, s := range strings.Split(c.Bus.URL, ",") {
			if u, err := url.Parse(strings.TrimSpace(s)); err != nil || u.Host == "" || u.User != nil {
				bad("bus.url", "nats://hôte:port ou tls://hôte:port est attendu, sans mot de passe (voir credentials)")
			}
		}
	}
	if c.Bus.Replicas < 1 || c.Bus.Replicas > 5 {
		bad("bus.replicas", "1 à 5")
	}
	file("bus.credentials", c.Bus.Credentials)
	file("bus.ca", c.Bus.CA)
	file("bus.certificate", c.Bus.Certificate)
	if c.Console.Unattended <= 0 {
		bad("console.unattended", "une durée positive est attendue, par exemple 7d")
	}
	if n := c.Proofs.Documents; n < 1 || n > 10_000 {
		bad("proofs.documents", "un nombre de 1 à 10000 est attendu")
	}
	if c.Proofs.Size < 1<<20 {
		bad("proofs.size", "1MiB au moins")
	}
	if k := time.Duration(c.Proofs.Keep); k < time.Hour || k > bus.MaxPackAge {
		bad("proofs.keep", "une durée de 1h à 90d est attendue")
	}
	file("console.metrics_token", c.Console.MetricsToken)
	// Only processes that open the archive have the file: openStore misses it.
	if key := c.Archive.Encryption.MasterKey; key != "" {
		if _, err := archive.ReadMasters(key); err != nil && !errors.Is(err, os.ErrNotExist) {
			bad("archive.encryption.master_key", "%s ne contient pas de clé maîtresse lisible (%s) ; « greffe keys --new-master » en fait une", key, reason(err))
		}
	}
	oneOf("archive.mode", c.Archive.Mode, "compliance", "governance", "none")
	if r := time.Duration(c.Archive.Retention); c.Archive.Mode != "none" && (r < time.Second || r > 200*year) {
		bad("archive.retention", "une durée d'une seconde à 200 ans est attendue, par exemple 20y")
	}
	if c.Archive.S3.Endpoint != "" {
		if u, err := url.Parse(c.Archive.S3.Endpoint); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			bad("archive.s3.endpoint", "https://hôte:port est attendu")
		}
		for _, f := range []struct{ key, value string }{
			{"bucket", c.Archive.S3.Bucket}, {"access_key_file", c.Archive.S3.AccessKeyFile}, {"secret_key_file", c.Archive.S3.SecretKeyFile},
		} {
			if f.value == "" {
				bad("archive.s3."+f.key, "nécessaire avec s3.endpoint")
			}
		}
		file("archive.s3.access_key_file", c.Archive.S3.AccessKeyFile)
		file("archive.s3.secret_key_file", c.Archive.S3.SecretKeyFile)
		file("archive.s3.ca", c.Archive.S3.CA)
	}
	if ts := c.Journal.Timestamp; ts.URL != "" {
		if u, err := url.Parse(ts.URL); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
			bad("journal.timestamp.url", "https://hôte/chemin est attendu, sans mot de passe")
		}
		if (ts.User == "") != (ts.PasswordFile == "") {
			bad("journal.timestamp.password_file", "user et password_file vont ensemble")
		}
		if (ts.User != "" || ts.Certificate != "") && !strings.HasPrefix(ts.URL, "https:") {
			bad("journal.timestamp.url", "https:// est nécessaire avec un mot de passe ou un certificat client")
		}
		if ts.CA == "" {
			bad("journal.timestamp.ca", "nécessaire avec url : le certificat de l'autorité qui signe les jetons")
		}
		if _, err := evidence.ParsePolicy(ts.Policy); err != nil {
			bad("journal.timestamp.policy", "un OID est attendu, par exemple 1.2.250.1.1.1")
		}
		if ts.Every < Duration(time.Minute) || ts.Every > Duration(day) {
			bad("journal.timestamp.every", "entre 1m et 24h")
		}
	}
	file("journal.timestamp.ca", c.Journal.Timestamp.CA)
	file("journal.timestamp.password_file", c.Journal.Timestamp.PasswordFile)
	file("journal.timestamp.certificate", c.Journal.Timestamp.Certificate)
	if c.Index.DSN != "" {
		u, err := url.Parse(c.Index.DSN)
		if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
			bad("index.dsn", "postgres://utilisateur@hôte/base est attendu")
		} else if _, has := u.User.Password(); has || u.Query().Has("password") {
			bad("index.dsn", "pas de mot de passe dans la configuration : donner passfile=/chemin dans l'adresse")
		}
	}
	names := map[string]int{}
	for i, d := range c.DI {
		key := fmt.Sprintf("di[%d].", i)
		if d.Name == "" || strings.ContainsFunc(d.Name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
		}) {
			bad(key+"name", "un nom court en minuscules, chiffres et tirets est attendu")
		}
		if j, twice := names[d.Name]; twice {
			bad(key+"name", "déjà donné par di[%d]", j)
		}
		names[d.Name] = i
		for _, m := range d.Mailboxes {
			if _, ok := seen[strings.ToLower(m)]; !ok {
				bad(key+"mailboxes", "%s n'est pas une boîte configurée", m)
			}
		}
		for _, code := range d.Services {
			if !slices.ContainsFunc(c.Mailboxes, func(m MailboxConfig) bool { return m.Service.Code == code }) {
				bad(key+"services", "%s n'est le service d'aucune boîte configurée", code)
			}
		}
		oneOf(key+"patient", d.Patient, "di-decides", "ask-first")
		if d.Patient == "ask-first" && d.Protocol == "hl7v2" {
			bad(key+"patient", "ask-first demande une recherche de patients, que HL7 v2 n'offre pas : di-decides, ou un DI fhir")
		}
		if d.Hold < 0 || d.Hold > Duration(90*day) {
			bad(key+"hold_unknown", "entre 0s et 90d")
		}
		oneOf(key+"protocol", d.Protocol, "hl7v2", "fhir")
		oneOf(key+"processing", d.Processing, "P", "T", "D")
		oneOf(key+"charset", d.Charset, "UNICODE UTF-8", "8859/15")
		switch d.Protocol {
		case "hl7v2":
			if _, _, err := net.SplitHostPort(d.MLLP.Address); err != nil {
				bad(key+"mllp.address", "hôte:port est attendu")
			}
			d.validateHL7(key, bad, oneOf)
		case "fhir":
			c.validateFHIR(d.FHIR, key, bad, oneOf)
		}
		file(key+"mllp.ca", d.MLLP.CA)
		file(key+"mllp.certificate", d.MLLP.Certificate)
		for _, f := range d.FHIR.files() {
			file(key+"fhir."+f[0], f[1])
		}
	}
	if len(c.Retry) == 0 {
		bad("retry", "au moins une durée est attendue")
	}
	for i, d := range c.Retry {
		if d <= 0 {
			bad(fmt.Sprintf("retry[%d]", i), "une durée positive est attendue")
		}
	}
	if _, _, err := net.SplitHostPort(c.Console.Listen); err != nil {
		bad("console.listen", "adresse:port est attendu, par exemple 127.0.0.1:8080")
	}
	if u, err := url.Parse(c.Console.PublicURL); err != nil || u.Host == "" {
		bad("console.public_url", "https://hôte est attendu")
	}
	file("console.certificate", c.Console.Certificate)
	if c.Console.Idle < Duration(time.Minute) || c.Console.Idle > Duration(time.Hour) {
		bad("console.idle", "une durée de 1m à 1h est attendue, par exemple 10m")
	}
	if c.Console.Lifetime < c.Console.Idle || c.Console.Lifetime > Duration(day) {
		bad("console.lifetime", "une durée d'au moins console.idle et de 24h au plus est attendue")
	}
	if a := c.Console.Audit; a != (Audit{}) {
		if _, err := time.Parse(time.DateOnly, a.Date); err != nil {
			bad("console.accessibility_audit.date", "le jour de la fin de l'audit est attendu, par exemple 2027-01-31")
		}
		if a.By == "" {
			bad("console.accessibility_audit.by", "le nom de qui a mené l'audit est attendu")
		}
		if !(a.Rate >= 0 && a.Rate <= 100) {
			bad("console.accessibility_audit.rate", "une part de 0 à 100 est attendue")
		}
	}
	for i, r := range c.Console.SecondFactor {
		oneOf(fmt.Sprintf("console.second_factor[%d]", i), r, console.Roles...)
	}
	c.validateOIDC(bad, oneOf, file)
	for i, p := range c.Console.Proxies {
		if _, err := parseProxy(p); err != nil {
			bad(fmt.Sprintf("console.proxies[%d]", i), "une adresse IP ou un réseau est attendu, par exemple 10.0.0.0/8")
		}
	}
	return out
}

// validateServices says what a process that runs only some services needs to
// find the others.
func (c *Config) validateServices(services []string) []problem {
	if len(services) == len(serviceNames) {
		return nil
	}
	var out []problem
	if c.Bus.URL == "" {
		out = append(out, problem{"bus.url", "des services séparés ont besoin d'un bus partagé : donner l'adresse d'un serveur NATS"})
	}
	if c.Journal.Key == "" && slices.Contains(services, "storage") {
		out = append(out, problem{"journal.key", "des services séparés ont besoin d'une clé de journal commune : « greffe keys --new FICHIER » en fait une"})
	}
	return out
}

// validateOIDC is validate for the identity provider.
func (c *Config) validateOIDC(bad func(key, format string, args ...any), oneOf func(key, value string, allowed ...string), file func(key, path string)) {
	o := c.Console.OIDC
	if o.Issuer == "" {
		return
	}
	const key = "console.oidc."
	if u, err := url.Parse(o.Issuer); err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || (u.Scheme != "https" && u.Scheme != "http") {
		bad(key+"issuer", "https://hôte/chemin est attendu")
	}
	if o.ClientID == "" {
		bad(key+"client_id", "nécessaire avec issuer")
	}
	if o.Name == "" {
		bad(key+"name", "un nom est attendu pour le bouton de connexion")
	}
	if !slices.Contains(o.Scopes, "openid") {
		bad(key+"scopes", "openid en fait partie")
	}
	if len(o.Rules) == 0 {
		bad(key+"rules", "au moins une règle est attendue : sans elle, personne n'a de droit")
	}
	file(key+"client_secret_file", o.ClientSecret)
	file(key+"ca", o.CA)
	for i, r := range o.Rules {
		key := fmt.Sprintf("%srules[%d].", key, i)
		if r.Claim == "" || r.Value == "" {
			bad(key+"claim", "claim et value sont attendus ; value: \"*\" admet toute valeur")
		}
		if r.Role != "" {
			oneOf(key+"role", r.Role, console.Roles...)
		}
		for j, p := range r.Mailboxes {
			if _, ok := c.place(p); !ok {
				bad(fmt.Sprintf("%smailboxes[%d]", key, j), "%s n'est pas une boîte configurée", p)
			}
		}
	}
}

// parseProxy reads an address or a network.
func parseProxy(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// reason is the short French reason of a file error.
func reason(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "il n'existe pas"
	case errors.Is(err, os.ErrPermission):
		return "accès refusé"
	}
	return err.Error()
}

// dir returns a path below the data directory.
func (c *Config) dir(name string) string { return filepath.Join(c.DataDir, name) }
