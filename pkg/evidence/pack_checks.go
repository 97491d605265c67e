package evidence

import (
	"fmt"
	"slices"
	"sync"
)

// maxFaults bounds what one check lists; the rest is counted.
const maxFaults = 100

// Status is how a check ended.
type Status string

// Statuses. A warning is a reservation: nothing contradicts, but something that would
// prove more is not there, and the sentence says what.
const (
	StatusOK      Status = "OK"
	StatusKO      Status = "KO"
	StatusWarning Status = "warning"
)

// French is the status as people read it.
func (s Status) French() string {
	if s == StatusWarning {
		return "réserve"
	}
	return string(s)
}

// Check is one named check of a pack.
type Check struct {
	ID       string  `json:"id"`
	Where    string  `json:"where"` // reader, pack or archive
	Title    string  `json:"title"` // French: what is true when it is OK
	Compared string  `json:"compared"`
	Count    int64   `json:"count"` // how many things were compared
	Status   Status  `json:"status"`
	Text     string  `json:"text"` // French: how it ended and, when it is not OK, what to do
	Faults   []Fault `json:"faults,omitempty"`
	More     int     `json:"more,omitempty"` // faults that are not listed
}

// Where a check is made: on the finished pack, by whoever reads it; on what the pack
// holds, when it is written and again by whoever reads it; beside the archive, when the
// pack is written.
const (
	whereReader  = "reader"
	wherePack    = "pack"
	whereArchive = "archive"
)

// definition is a check before it is made.
type definition struct{ id, title, compared, advice string }

const (
	askAgain = "Le pack a été abîmé ou modifié : demandez-le de nouveau à l’établissement, et gardez celui-ci."
	// A file that the archive had lost when the pack was made is not in a new pack either.
	lostOrChanged = "Si « archive.object » ou « archive.manifest » le nomme aussi, l’archive ne l’avait plus tel qu’il a été reçu quand le pack a été fait : un nouveau pack n’y changerait rien, l’établissement doit d’abord le restaurer d’une sauvegarde (« greffe verify »). Sinon, le pack a été abîmé ou modifié : demandez-le de nouveau à l’établissement, et gardez celui-ci."
	lookLive      = "L’archive ne dit plus ce que dit le journal : lancez « greffe verify --full », restaurez ce qui manque depuis une sauvegarde et cherchez qui a pu le modifier."
)

// definitions are the checks of a pack, in the order in which they are shown. Those of
// the archive come last.
var definitions = []definition{
	{"pack.structure", "Le fichier ZIP est, octet par octet, celui qui a été écrit", "chaque octet du ZIP hors des fichiers avec celui que l’écriture du pack donne, et la somme CRC-32 de chaque fichier", askAgain},
	{"pack.files", "Aucun fichier ne manque et aucun n’est de trop", "les noms des fichiers du ZIP, dans leur ordre, avec SHA256SUMS et avec les noms qu’un pack peut contenir", askAgain},
	{"pack.sums", "Chaque fichier a l’empreinte que donne SHA256SUMS", "l’empreinte SHA-256 des octets de chaque fichier avec sa ligne de SHA256SUMS", askAgain},
	{"pack.signature", "La liste des empreintes est signée par la clé du journal", "la signature Ed25519 de SHA256SUMS.note avec la clé publique, et l’empreinte de SHA256SUMS avec celle qui est signée", askAgain},
	{"pack.record", "preuve.json dit ce que le pack contient", "les messages, documents, points de contrôle et jetons relus dans le pack avec ceux que preuve.json annonce", askAgain},

	{"pack.key", "La clé publique est celle qui a été remise par une autre voie", "les clés du pack avec la clé donnée à qui vérifie (--key)", "Demandez la clé publique à l’établissement par une autre voie (« greffe keys » l’affiche) et donnez-la avec --key."},
	{"manifest.format", "Chaque manifeste est complet et ne se contredit pas", "chaque manifeste avec le format greffe-manifest/1, et les objets qu’il nomme avec ses parties", askAgain},
	{"manifest.identity", "L’identifiant de chaque message découle de sa boîte, de son numéro et de son empreinte", "l’identifiant recalculé avec celui du manifeste", askAgain},
	{"mail.object", "Chaque message est celui qui a été reçu, octet par octet", "taille et empreinte SHA-256 du message joint avec son manifeste", lostOrChanged},
	{"part.object", "Chaque pièce jointe est celle qui a été reçue, octet par octet", "taille et empreinte SHA-256 de chaque pièce jointe avec son manifeste", lostOrChanged},
	{"document.object", "Chaque document demandé est dans le pack, tel qu’il a été reçu", "empreinte du document dans le manifeste avec celle de sa pièce et celle du fichier joint", lostOrChanged},
	{"journal.format", "Chaque ligne du journal est écrite comme elle doit l’être et parle d’un message du pack", "chaque ligne avec le format greffe-journal/1, caractère par caractère", askAgain},
	{"journal.hash", "Chaque ligne du journal porte sa propre empreinte", "l’empreinte recalculée de chaque ligne avec celle qu’elle porte", askAgain},
	{"journal.chain", "Les lignes qui se suivent sont chaînées", "l’empreinte de chaque ligne avec celle que reprend la ligne suivante", askAgain},
	{"journal.time", "Les dates des lignes vont dans l’ordre de leurs numéros", "la date de chaque ligne avec celle de la précédente", "L’horloge de la machine a reculé entre ces deux lignes : les dates proches sont à prendre avec prudence ; les jetons d’horodatage, eux, n’en dépendent pas."},
	{"journal.fact", "Ce que certaines lignes ne peuvent porter est joint, tel quel", "l’empreinte de chaque fait joint avec celle que porte sa ligne", askAgain},
	{"journal.received", "La réception de chaque message est au journal, avec son empreinte", "l’empreinte du message dans la ligne « received » avec celle du manifeste", "Le journal ne dit pas la réception de ce message avec cette empreinte : demandez pourquoi à l’établissement."},
	{"journal.archived", "L’archivage de chaque message est au journal, avec l’empreinte de son manifeste", "l’empreinte du manifeste dans la ligne « archived » avec celle du fichier joint", "Le journal ne dit pas l’archivage de ce message avec ce manifeste : demandez pourquoi à l’établissement."},
	{"journal.document", "L’archivage de chaque document est au journal, avec son empreinte", "l’empreinte du document dans la ligne « archived » avec celle du manifeste", "Le journal ne dit pas l’archivage de ce document avec cette empreinte : demandez pourquoi à l’établissement."},
	{"journal.inclusion", "Chaque ligne est dans l’arbre de Merkle d’un point de contrôle", "la racine recalculée depuis chaque ligne et sa preuve (RFC 6962) avec celle du point de contrôle", askAgain},
	{"checkpoint.signature", "Chaque point de contrôle est signé par la clé du journal", "la signature Ed25519 de chaque point de contrôle avec la clé publique", askAgain},
	{"checkpoint.growth", "Les points de contrôle sont ceux d’un seul journal qui n’a fait que croître", "la preuve de cohérence (RFC 6962) de chaque point de contrôle au suivant", askAgain},
	{"stamp.checkpoint", "Chaque demande d’horodatage nomme un point de contrôle du pack", "clé, empreinte et racine écrites dans chaque .stamp avec le point de contrôle joint", askAgain},
	{"token.imprint", "Chaque jeton d’horodatage (RFC 3161) porte sur sa demande", "l’empreinte SHA-256 de chaque .stamp avec celle que contient le jeton", askAgain},
	{"token.authority", "Chaque jeton est signé par une autorité d’horodatage reconnue", "la signature de chaque jeton, et la chaîne de ses certificats à la date du jeton, avec le certificat de l’autorité donné à qui vérifie (--tsa-ca)", "Demandez à l’autorité d’horodatage le certificat de sa racine et donnez-le avec --tsa-ca."},
	{"token.time", "Chaque jeton est postérieur aux lignes qu’il couvre", "la date du jeton avec celle du point de contrôle, et l’écart entre les deux", "L’horloge de la machine et celle de l’autorité ne s’accordent pas, ou l’horodatage est venu tard : la date certaine est celle du jeton."},
	{"token.coverage", "Toutes les lignes sont couvertes par un jeton d’horodatage", "le numéro de chaque ligne avec la taille des points de contrôle horodatés", "Ces lignes ont pour toute date celle de l’horloge de l’établissement. Si elles sont récentes, refaites la preuve après le prochain horodatage."},
	{"scope.patient", "Le pack ne parle d’aucun autre patient que celui des documents demandés", "les patients que nomment les documents du manifeste de chaque message", "Le manifeste nomme d’autres patients : ne remettez ce pack qu’à qui peut les connaître."},

	{"archive.object", "Chaque objet relu dans l’archive au moment de la preuve était intact", "taille et empreinte SHA-256 des octets relus avec le manifeste", lookLive},
	{"archive.manifest", "Chaque manifeste relu dans l’archive était celui que l’index connaît", "empreinte du manifeste relu avec celle qui a été enregistrée", lookLive},
	{"archive.lock", "Chaque objet est encore protégé contre l’effacement", "la date de fin de protection de chaque objet dans l’archive avec la date de la preuve", "La protection de ces objets est échue, ou l’archive n’en a pas (dossier) : leurs octets sont prouvés par leurs empreintes, pas leur maintien."},
	{"index.message", "L’index dit du message ce que dit son manifeste", "le message brut et les objets de chaque pièce dans l’index avec le manifeste", "L’index et l’archive diffèrent ; l’archive fait foi : « greffe reindex » reconstruit l’index."},
	{"index.document", "L’index dit des documents ce que dit le manifeste", "le nombre, la pièce et l’objet de chaque document dans l’index avec le manifeste", "L’index et l’archive diffèrent ; l’archive fait foi : « greffe reindex » reconstruit l’index."},
	{"index.journal", "Le journal de l’index est celui qui a été scellé", "chaque ligne du journal dans l’index avec la ligne du segment scellé dans l’archive", lookLive},
	{"journal.sealed", "Toutes les lignes connues étaient scellées au moment de la preuve", "le numéro de chaque ligne du journal de l’index avec la taille du dernier point de contrôle", "Ces lignes ne sont pas encore scellées et ne sont pas dans le pack : refaites la preuve dans quelques minutes."},
}

// The first checks of definitions that are made on what the pack holds, and beside the archive.
const (
	firstOfPack    = "manifest.format"
	firstOfArchive = "archive.object"
)

// optional are the checks that may have nothing to compare and be OK.
var optional = []string{"journal.chain", "journal.fact", "checkpoint.growth", "scope.patient", "stamp.checkpoint", "token.imprint", "token.authority", "token.time", "mail.object", "part.object", "document.object"}

// Checks gathers what the checks of a pack find. Its methods may be called at once.
type Checks struct {
	mu   sync.Mutex
	made map[string]*finding
}

type finding struct {
	count  int64
	ko     bool
	faults []Fault
	more   int
}

// NewChecks returns checks of which none was made.
func NewChecks() *Checks {
	c := &Checks{made: map[string]*finding{}}
	for _, d := range definitions {
		c.made[d.id] = &finding{}
	}
	return c
}

// OK counts n comparisons that held. id is one of the list of checks.
func (c *Checks) OK(id string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[id].count += int64(n)
}

// Fail notes a comparison that did not hold; about is a file of the pack or an id.
func (c *Checks) Fail(id, about, format string, args ...any) { c.note(id, true, about, format, args) }

// Warn notes a reservation.
func (c *Checks) Warn(id, about, format string, args ...any) { c.note(id, false, about, format, args) }

func (c *Checks) note(id string, ko bool, about, format string, args []any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.made[id]
	f.count++
	f.ko = f.ko || ko
	if len(f.faults) == maxFaults {
		f.more++
		return
	}
	f.faults = append(f.faults, Fault{about, fmt.Sprintf(format, args...)})
}

// list returns the checks of these places.
func (c *Checks) list(where ...string) []Check {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Check
	place := whereReader
	for _, d := range definitions {
		switch d.id {
		case firstOfPack:
			place = wherePack
		case firstOfArchive:
			place = whereArchive
		}
		if !slices.Contains(where, place) {
			continue
		}
		f := c.made[d.id]
		k := Check{ID: d.id, Where: place, Title: d.title, Compared: d.compared, Count: f.count, Status: StatusOK, Faults: f.faults, More: f.more}
		switch {
		case f.ko:
			k.Status, k.Text = StatusKO, d.advice
		case len(f.faults) > 0:
			k.Status, k.Text = StatusWarning, d.advice
		case f.count == 0 && slices.Contains(optional, d.id):
			k.Text = "Sans objet : ce pack n’a rien de tel à comparer."
		case f.count == 0:
			k.Status, k.Text = StatusWarning, "Rien n’a pu être comparé. "+d.advice
		case f.count == 1:
			k.Text = "Une comparaison, sans différence."
		default:
			k.Text = fmt.Sprintf("%d comparaisons, sans différence.", f.count)
		}
		list = append(list, k)
	}
	return list
}

// verdict is the worst status of the checks.
func verdict(checks []Check) Status {
	v := StatusOK
	for _, k := range checks {
		switch {
		case k.Status == StatusKO:
			return StatusKO
		case k.Status == StatusWarning:
			v = StatusWarning
		}
	}
	return v
}
