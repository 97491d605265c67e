package storage

import "time"

// CheckID names one thing that Verify establishes.
type CheckID string

// Checks, by the link that they hold. Those that begin with "archive." are surplus:
// they harm nothing; a crash leaves it, or a message that is being stored while
// Verify runs.
const (
	// archive ↔ manifests
	CheckManifest      CheckID = "manifest.present"
	CheckManifestBytes CheckID = "manifest.bytes"
	CheckObject        CheckID = "object.present"
	CheckObjectBytes   CheckID = "object.bytes"
	CheckRetention     CheckID = "object.retention"
	CheckKey           CheckID = "object.key"
	CheckErased        CheckID = "object.erased"
	// manifests ↔ index
	CheckIndexed CheckID = "index.message"
	CheckRow     CheckID = "index.row"
	CheckState   CheckID = "index.state"
	CheckTally   CheckID = "index.tally"
	CheckGates   CheckID = "index.dis"
	// index ↔ journal
	CheckEntries CheckID = "journal.entries"
	CheckChain   CheckID = "journal.chain"
	CheckClock   CheckID = "journal.clock"
	// journal ↔ segments ↔ checkpoints
	CheckSealing    CheckID = "journal.sealed"
	CheckSeals      CheckID = "journal.seals"
	CheckCheckpoint CheckID = "journal.checkpoint"
	CheckSignature  CheckID = "journal.signature"
	CheckPrevious   CheckID = "journal.previous"
	CheckSegment    CheckID = "journal.segment"
	CheckRoot       CheckID = "journal.root"
	CheckSame       CheckID = "journal.same"
	CheckFacts      CheckID = "journal.facts"
	// checkpoints ↔ tokens
	CheckToken    CheckID = "token.present"
	CheckImprint  CheckID = "token.valid"
	CheckStamped  CheckID = "token.checkpoint"
	CheckLinks    CheckID = "token.links"
	CheckStamping CheckID = "token.gap"
	// surplus
	OrphanMessage    CheckID = "archive.message"
	OrphanContent    CheckID = "archive.content"
	OrphanJournal    CheckID = "archive.journal"
	OrphanForeignKey CheckID = "archive.unknown"
)

// check is one row of the table of checks.
type check struct {
	id     CheckID
	must   string // French: what must hold
	broken string // French: what it means when it does not
	todo   string // French: what to do then
}

// checks are in the order in which a report lists them.
var checks = []check{
	{CheckManifest, "Chaque message archivé a son manifeste.",
		"Le manifeste de ce message manque dans l’archive.", "Restaurez-le depuis une sauvegarde de l’archive."},
	{CheckManifestBytes, "Chaque manifeste est, octet pour octet, celui qui a été enregistré.",
		"Le manifeste de ce message n’est plus celui qui a été enregistré.", "Restaurez-le depuis une sauvegarde de l’archive et cherchez qui a pu le modifier."},
	{CheckObject, "Chaque message brut et chaque pièce que nomme un manifeste est dans l’archive.",
		"Un contenu de ce message manque dans l’archive.", "Restaurez-le depuis une sauvegarde de l’archive ou, s’il y est encore, reprenez le message dans sa boîte aux lettres."},
	{CheckObjectBytes, "Chaque contenu a la taille et l’empreinte enregistrées.",
		"Un contenu de ce message n’est plus celui qui a été enregistré.", "Restaurez-le depuis une sauvegarde de l’archive et cherchez qui a pu le modifier."},
	{CheckRetention, "Chaque objet est verrouillé au moins aussi longtemps que le prévoit la configuration.",
		"Cet objet n’est pas verrouillé assez longtemps.", "Prolongez sa conservation (greffe retain) et vérifiez les réglages du bucket (greffe check)."},
	{CheckKey, "Chaque objet chiffré a sa clé, que la clé maîtresse ouvre.",
		"La clé de cet objet chiffré manque ou est abîmée, sans qu’un effacement l’explique : il est illisible.", "Restaurez keys/ depuis une sauvegarde de l’archive ; si le message est encore dans sa boîte aux lettres, il peut en être repris."},
	{CheckErased, "Chaque objet dont la clé a été détruite est nommé par un certificat d’effacement.",
		"La clé de cet objet a été détruite, et aucun certificat d’effacement ne le nomme.", "« greffe retain erase » liste les effacements interrompus : relancez-en la confirmation. Sinon, restaurez keys/ depuis une sauvegarde et cherchez qui a pu détruire cette clé."},
	{CheckIndexed, "Chaque message complet de l’archive est connu de l’index.",
		"Ce message est complet dans l’archive mais absent de l’index : personne ne le voit.", "Reconstruisez l’index (greffe reindex)."},
	{CheckRow, "L’index dit de chaque message et de chaque document ce que dit le manifeste.",
		"L’index et le manifeste de ce message ne disent pas la même chose.", "L’archive fait foi : reconstruisez l’index (greffe reindex) et cherchez qui a pu le modifier."},
	{CheckState, "L’état de chaque message et de chaque document découle de ce qui lui est arrivé.",
		"L’état affiché ne découle pas des envois et des décisions enregistrés.", "Reconstruisez l’index (greffe reindex) et cherchez qui a pu le modifier."},
	{CheckTally, "Les compteurs de la file sont ceux de ses lignes.",
		"Un compteur de la file ne correspond pas à ses lignes.", "Reconstruisez l’index (greffe reindex)."},
	{CheckGates, "Ce qui retient les envois à chaque DI (pause, arrêt, silence) est ce que dit le journal.",
		"Ce qui retient ou non les envois à un DI n’est pas ce que dit le journal.", "Mettez ce DI en pause puis reprenez les envois (page Système) : l’un et l’autre sont inscrits au journal ; cherchez qui a pu modifier l’index."},
	{CheckEntries, "Chaque message, document, envoi, décision et réponse de l’index est, mot pour mot, dans le journal, et réciproquement.",
		"Le journal ne dit pas de ce message ce que dit l’index.", "Reconstruisez l’index (greffe reindex) et cherchez qui a pu le modifier."},
	{CheckChain, "Les entrées du journal se suivent, chacune liée à la précédente par son empreinte.",
		"Le journal a été modifié ou coupé dans l’index.", "Comparez-le avec les segments scellés de l’archive, reconstruisez l’index (greffe reindex) et cherchez qui a pu le modifier."},
	{CheckClock, "Les heures du journal ne reculent pas.",
		"L’horloge a reculé entre deux entrées du journal, ou elle avançait.", "Vérifiez la synchronisation de l’heure (NTP) ; l’ordre des entrées et les jetons d’horodatage restent la preuve. Consignez l’incident."},
	{CheckSealing, "Le journal est scellé dans l’archive sans retard.",
		"Des entrées du journal ne sont pas encore scellées dans l’archive.", "Vérifiez que le service storage tourne et que l’archive accepte les écritures (greffe check)."},
	{CheckSeals, "Chaque scellé que connaît l’index est dans l’archive, et réciproquement.",
		"L’index et l’archive ne connaissent pas les mêmes scellés.", "Si l’archive les a tous, reconstruisez l’index (greffe reindex) ; sinon restaurez-la depuis une sauvegarde."},
	{CheckCheckpoint, "Chaque segment du journal a son point de contrôle, et aucun ne manque dans la suite.",
		"Un point de contrôle du journal manque ou ne se lit pas.", "Restaurez-le depuis une sauvegarde de l’archive et cherchez qui a pu l’enlever."},
	{CheckSignature, "Chaque point de contrôle est signé par une clé connue.",
		"Ce point de contrôle n’est pas signé par une clé connue.", "Comparez la clé avec celle que « greffe keys » affiche et celles conservées par l’établissement ; cherchez qui a pu écrire ce point de contrôle."},
	{CheckPrevious, "Chaque point de contrôle nomme le précédent et son empreinte.",
		"Ce point de contrôle ne suit pas le précédent.", "Restaurez les points de contrôle depuis une sauvegarde de l’archive et cherchez qui a pu les remplacer."},
	{CheckSegment, "Chaque segment du journal est là, avec l’empreinte que nomme son point de contrôle.",
		"Ce segment du journal manque, est déchiré ou a été remplacé.", "Restaurez-le depuis une sauvegarde de l’archive et cherchez qui a pu le modifier."},
	{CheckRoot, "L’arbre de toutes les entrées a la racine que chaque point de contrôle a signée.",
		"Les entrées du journal n’ont pas la racine que ce point de contrôle a signée.", "Comparez avec une sauvegarde de l’archive : des entrées ont été changées, ajoutées ou enlevées."},
	{CheckSame, "Le journal de l’index est celui des segments scellés.",
		"Le journal de l’index n’est pas celui qui a été scellé.", "L’archive fait foi : reconstruisez l’index (greffe reindex) et cherchez qui a pu le modifier."},
	{CheckFacts, "Les faits que nomment les entrées du journal sont conservés à côté, avec leurs empreintes.",
		"Les faits conservés à côté de ce segment manquent ou ont changé.", "Restaurez-les depuis une sauvegarde de l’archive et cherchez qui a pu les modifier."},
	{CheckToken, "Chaque demande d’horodatage a son jeton.",
		"Un jeton d’horodatage manque ou ne se lit pas.", "Restaurez-le depuis une sauvegarde de l’archive ; un nouveau jeton sera pris sous 24 heures."},
	{CheckImprint, "Chaque jeton d’horodatage est valide : empreinte, signature, certificat, politique.",
		"Ce jeton d’horodatage n’est pas valide.", "Vérifiez journal.timestamp.ca dans la configuration ; si elle est juste, cherchez qui a pu remplacer le jeton."},
	{CheckStamped, "Chaque jeton porte sur le point de contrôle de l’archive.",
		"Ce jeton porte sur un autre point de contrôle que celui de l’archive.", "Comparez avec une sauvegarde de l’archive et cherchez qui a pu remplacer l’un ou l’autre."},
	{CheckLinks, "Chaque jeton est lié au précédent, à celui d’il y a un mois et à celui d’il y a un an.",
		"Ce jeton n’est pas lié aux jetons plus anciens comme il doit l’être.", "Comparez avec une sauvegarde de l’archive et cherchez qui a pu remplacer des jetons."},
	{CheckStamping, "Le journal est horodaté sans trou.",
		"Le journal n’a pas été horodaté à temps.", "Vérifiez que l’autorité d’horodatage répond (greffe check) ; ce qui manque sera horodaté plus tard."},

	{OrphanMessage, "Aucun message brut n’est inconnu de l’index.",
		"Message brut archivé que l’index ne connaît pas encore : surplus sans conséquence.", "Il est repris au prochain rapprochement de la boîte aux lettres."},
	{OrphanContent, "Aucun contenu n’est sans message.",
		"Contenu archivé qu’aucun message ne désigne : surplus sans conséquence, laissé par une interruption.", "Rien à faire."},
	{OrphanJournal, "Aucun objet du journal n’est en trop.",
		"Objet du journal qu’aucun point de contrôle ne nomme : surplus sans conséquence, laissé par une interruption.", "Rien à faire."},
	{OrphanForeignKey, "Aucun objet étranger n’est dans l’archive.",
		"Objet que Greffe n’a pas écrit : surplus sans conséquence.", "À retirer par qui l’y a mis."},
}

// place finds a check in the table.
var place = func() map[CheckID]int {
	m := make(map[CheckID]int, len(checks))
	for i, c := range checks {
		m[c.id] = i
	}
	return m
}()

// surplus reports whether a failure of the check harms nothing.
func (id CheckID) surplus() bool {
	switch id {
	case OrphanMessage, OrphanContent, OrphanJournal, OrphanForeignKey:
		return true
	}
	return false
}

// Bounds of what is a doubt.
const (
	// clockSlack is by how much the time of an entry may be before that of the one
	// before: hosts that write into one journal have one time only nearly.
	clockSlack = 5 * time.Second
	// sealPatience is for how long entries may wait to be sealed.
	sealPatience = 2 * time.Hour
	// lockSlack is by how much an object may be locked for less than promised: its
	// lock is counted from before it was sent.
	lockSlack = 24 * time.Hour
)
