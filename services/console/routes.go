package console

import (
	"net/http"
)

// access is a set of those who may use a route.
type access uint16

const (
	anyone       access = 1 << iota // without a login
	secretary                       // works the queue of her mailboxes
	professional                    // reads what is addressed to them
	auditor                         // reads and proves, decides nothing
	admin                           // sees the machine, not the documents
	machine                         // a record system with its token
	token                           // a script with a token, and no session: one of the roles beside it
	whileLocked                     // and also while the session is locked
	beforeDuties                    // and also before the person has done what the account asks for

	readers  = secretary | professional | auditor
	everyone = readers | admin
)

// roles gives the meaning of index.User.Role.
var roles = map[string]access{"secretary": secretary, "professional": professional, "auditor": auditor, "admin": admin}

// route is one line of the table of what the console answers.
type route struct {
	pattern string // of http.ServeMux: method and path
	who     access
	// quiet routes are called by a page and not by a person: they neither keep a
	// session alive nor write it (two at once would undo each other's writes).
	quiet  bool
	handle func(w http.ResponseWriter, r *http.Request, v *visit) error
}

// routes is the one table of rights. A route that is not here does not exist, and
// whether the person may see the message or document named in the path is checked
// by message and document (visit.go), which every handler goes through.
func (c *Console) routes() []route {
	list := []route{
		{"GET /connexion", anyone, false, c.showLogin},
		{"POST /connexion", anyone, false, c.login},
		{"GET /connexion/code", anyone, false, c.showCode},
		{"POST /connexion/code", anyone, false, c.loginCode},
		{"GET /connexion/oidc", anyone, false, c.startOIDC},
		{"GET /connexion/oidc/retour", anyone, false, c.endOIDC},
		{"POST /deconnexion", everyone | whileLocked | beforeDuties, false, c.logout},
		{"GET /session", anyone, true, c.sessionState},
		{"POST /session", everyone | whileLocked | beforeDuties, true, c.stayActive},
		{"GET /verrou", everyone | whileLocked | beforeDuties, false, c.showLock},
		{"POST /verrou", everyone | whileLocked | beforeDuties, false, c.lock},
		{"POST /verrou/ouverture", everyone | whileLocked | beforeDuties, false, c.unlock},

		{"GET /compte", everyone | beforeDuties, false, c.showAccount},
		{"POST /compte/mot-de-passe", everyone | beforeDuties, false, c.changePassword},
		{"GET /compte/second-facteur", everyone | beforeDuties, false, c.showFactor},
		{"POST /compte/second-facteur", everyone | beforeDuties, false, c.saveFactor},
		{"POST /compte/second-facteur/retrait", everyone, false, c.removeFactor},
		{"POST /compte/second-facteur/secours", everyone, false, c.renewRecovery},
		{"GET /{$}", everyone, false, c.home},

		{"GET /file", readers, false, c.showQueue},
		{"POST /file", readers, false, c.filterQueue},
		{"GET /file/flux", readers, true, c.stream},
		{"POST /file/groupe", secretary, false, c.chooseBulk},
		{"POST /file/groupe/{choix}", secretary, false, c.decideBulk},
		{"GET /file/vues/{key}", readers, false, c.openView},
		{"POST /file/vues", readers, false, c.saveView},
		{"GET /messages/{id}", readers, false, c.showMessage},
		{"GET /messages/{id}/original", readers, true, c.downloadMessage},
		{"GET /messages/{id}/parties/{n}", readers, true, c.downloadPart},
		// What the antivirus did not call clean is handed out as evidence, on purpose.
		{"POST /messages/{id}/original", auditor, true, c.downloadMessage},
		{"POST /messages/{id}/parties/{n}", auditor, true, c.downloadPart},
		{"POST /documents/{id}/telechargement", auditor, true, c.downloadDocument},
		{"GET /documents/{id}", readers, false, c.showDocument},
		{"GET /documents/{id}/file", readers, true, c.inlineDocument},
		{"GET /documents/{id}/telechargement", readers, true, c.downloadDocument},
		{"POST /documents/{id}/decision", secretary, false, c.decide},
		{"GET /documents/{id}/patient", secretary, false, c.showPatient},
		{"POST /documents/{id}/patient", secretary, false, c.choosePatient},
		{"POST /messages/{id}/decision", secretary, false, c.triage},
		{"POST /messages/{id}/prise", secretary, true, c.keepTaking},
		{"POST /messages/{id}/rendre", secretary, true, c.giveBack},
		{"POST /messages/{id}/reprendre", secretary, false, c.takeOver},
		{"POST /messages/{id}/accuse", secretary, false, c.confirm},

		{"GET /recherche", readers, false, c.showSearch},
		{"POST /recherche", readers, false, c.search},
		{"GET /recherche/recherche.csv", auditor, true, c.exportSearch},

		{"POST /preuves/choix", auditor, false, c.chooseProof},
		{"GET /preuves", auditor, false, c.showProofs},
		{"POST /preuves", auditor, false, c.askProof},
		{"GET /preuves/flux", auditor, true, c.streamProofs},
		{"GET /preuves/{dossier}/telechargement", auditor, true, c.takeProof},
		{"POST /preuves/{dossier}/annuler", auditor, false, c.dropProof},
		{"GET /messages/{id}/verification", auditor, false, c.showCheckup},
		{"POST /messages/{id}/verification", auditor, false, c.askCheckup},
		{"POST /documents/{id}/verification", auditor, false, c.askCheckup},

		{"GET /journal", auditor, false, c.showJournal},
		{"POST /journal", auditor, false, c.filterJournal},
		{"GET /journal/journal.csv", auditor, true, c.exportJournal},
		{"GET /journal/completude", auditor, false, c.showStatements},
		{"GET /journal/completude/{jour}/{boite}", auditor, false, c.showStatement},
		{"GET /journal/completude/{jour}/{boite}/constat.json", auditor, true, c.takeStatement},
		{"GET /journal/patient", auditor, false, c.showReads},
		{"POST /journal/patient", auditor, false, c.readsFilter},
		{"GET /journal/patient/{forme}", auditor, true, c.extractReads},

		{"GET /systeme", admin, false, c.showSystem},
		{"POST /systeme/incidents/{id}/rejouer", admin, false, c.replay},
		{"GET /systeme/di", admin, false, c.showQueues},
		{"POST /systeme/di/{nom}/pause", admin, false, c.pauseDI},
		{"POST /systeme/di/{nom}/reprise", admin, false, c.resumeDI},
		{"GET /systeme/comptes", admin, false, c.showUsers},
		{"GET /systeme/comptes/nouveau", admin, false, c.newUser},
		{"POST /systeme/comptes", admin, false, c.addUser},
		{"GET /systeme/comptes/{compte}", admin, false, c.showUser},
		{"POST /systeme/comptes/{compte}", admin, false, c.changeUser},
		{"POST /systeme/comptes/{compte}/{acte}", admin, false, c.actOnUser},

		{"GET /systeme/jetons", admin, false, c.showTokens},
		{"POST /systeme/jetons", admin, false, c.addToken},
		{"POST /systeme/jetons/{jeton}/revocation", admin, false, c.revokeToken},

		{"GET /tableau", everyone, false, c.showDashboard},
		{"GET /systeme/boites", admin, false, c.showMailboxes},
		{"POST /systeme/incidents/rejouer", admin, false, c.replayAll},

		{"GET /raccourcis", everyone, false, c.showKeys},
		{"POST /raccourcis", everyone, false, c.saveKeys},
		{"GET /aide", everyone, false, c.showHelp},
		{"GET /aide/regles", everyone, false, c.showRules},
		{"GET /accessibilite", anyone, false, c.showAccessibility},

		{"GET /di/documents/{id}", machine, true, c.serveDI},
		{"GET /static/{file}", anyone, true, c.static},
		{"GET /metrics", machine, true, c.serveMetrics},
		{"GET /healthz", anyone, true, c.healthz},
		{"GET /readyz", anyone, true, c.readyz},
	}
	list = append(list, c.apiRoutes()...)
	for _, h := range helpRoles {
		list = append(list, route{"GET /aide/" + h.Slug, everyone, false, c.showRoleHelp(h.Slug, h.Name)})
	}
	if c.cfg.FourEyes {
		list = append(list,
			route{"GET /accords", auditor, false, c.showApprovals},
			route{"POST /accords/preuves/{dossier}/{suite}", auditor, false, c.decideProof},
			route{"POST /accords/{demande}/{suite}", auditor, false, c.decideApproval},
			route{"POST /messages/{id}/accord", auditor, false, c.askApproval})
	}
	return list
}
