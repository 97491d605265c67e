package console

import (
	"net/http"

	"greffe/pkg/greffe"
)

// helpRoles are the profiles that have a help page of their own, by their place in the
// address.
var helpRoles = []struct {
	Slug string
	Who  access
	Name string
}{
	{"secretaire", secretary, "Secrétaire"},
	{"professionnel", professional, "Professionnel"},
	{"auditeur", auditor, "Auditeur"},
	{"administrateur", admin, "Administrateur"},
}

// helpAt names the section of the help that explains a page, by the page's template. The
// help of every role that may see the page has such a section: TestHelpExplainsEveryPage.
var helpAt = map[string]string{
	"file": "file", "document": "document", "message": "message", "patient": "patient", "groupe": "groupe", "pris": "une-personne",
	"recherche": "recherche", "tableau": "tableau", "raccourcis": "clavier", "regles": "regles", "erreur": "que-faire",
	"compte": "compte", "facteur": "second-facteur", "accessibilite": "clavier",
	"journal": "journal", "completude": "completude", "constat": "completude", "acces": "qui-a-lu", "accord": "accords", "accords": "accords", "preuve": "suspecte",
	"systeme": "systeme", "dossiers": "di", "boites": "boites", "comptes": "comptes", "utilisateur": "comptes", "jetons": "jetons", "preuves": "preuves", "demande": "preuves", "verification": "integrite",
}

// helpFor returns the address of the help of a page for a role.
func helpFor(role access, name string) string {
	for _, h := range helpRoles {
		if h.Who != role {
			continue
		}
		if at := helpAt[name]; at != "" {
			return "/aide/" + h.Slug + "#" + at
		}
		break
	}
	return "/aide"
}

// explained is a word of the console with what it means.
type explained struct {
	Key  string
	Name string
	Help string
}

// causesExplained says of each cause what happened and what to do first.
var causesExplained = []struct {
	Cause greffe.Cause
	Help  string
}{
	{greffe.CauseUnknown, "Le DI ne connaît pas ce patient. Vérifiez l’identité ; faites créer le dossier s’il doit l’être, puis renvoyez. Si le dossier existe sous d’autres traits, comparez et choisissez le patient."},
	{greffe.CauseIdentity, "L’INS ou un trait (nom, prénom, sexe, date ou lieu de naissance) n’est pas celui du DI, ou deux documents du message se contredisent. Ne devinez pas : comparez, et appelez l’expéditeur au moindre doute."},
	{greffe.CauseNoINS, "Le document n’a pas d’INS, ou il lui manque des traits. Une personne doit dire de qui il s’agit."},
	{greffe.CauseNoPatient, "Rien ne dit à la machine de qui parle la pièce : un PDF seul, une photo, un texte. Lisez-la, puis choisissez le patient."},
	{greffe.CauseRefused, "Le DI a refusé le document pour une autre raison ; elle est écrite. Corrigez-la dans le DI ou faites-la corriger, puis renvoyez."},
	{greffe.CauseMasked, "L’auteur a masqué ce document aux professionnels : il n’est jamais envoyé au DI, quoi que l’on décide, et Greffe n’en propose pas l’envoi. Voyez avec le médecin responsable ce qu’il faut en faire. « Refuser, et l’écrire à l’expéditeur… » demande un nouvel envoi sans ce masquage ; « Classer sans suite… » clôt l’affaire."},
	{greffe.CauseVersion, "Le document se dit une nouvelle version, mais ne va pas avec celles déjà reçues. Comparez-les avant d’envoyer."},
	{greffe.CauseControl, "Un contrôle a trouvé une anomalie dans le fichier (PDF protégé, archive incomplète…). Elle est décrite dans « Remarques »."},
	{greffe.CauseSuspect, "L’antivirus y a trouvé quelque chose, ou n’a pas pu l’analyser. N’ouvrez rien : prévenez le responsable de la sécurité informatique."},
	{greffe.CauseReply, "Un confrère répond à un compte rendu. Lisez, répondez depuis votre messagerie s’il le faut, puis classez le message."},
	{greffe.CauseToRead, "Un message sans document, écrit par une personne. Lisez-le, puis classez-le."},
	{greffe.CauseReopened, "Quelqu’un a annulé un classement : le document est de nouveau à décider."},
	{greffe.CauseOther, "Un motif plus rare : il est écrit en toutes lettres à côté de l’état."},
}

// decisionsExplained says of each decision what it does and whether it can be undone.
var decisionsExplained = []struct {
	Verb greffe.Verb
	Name string // as on the button
	Help string
	Undo string
}{
	{greffe.VerbAttach, "Comparer et choisir le patient…", "Vous dites de qui parle le document ; il part au DI sous cette identité.", "Ne s’annule pas."},
	{greffe.VerbRetry, "Envoyer, Renvoyer au DI ou Réessayer", "Greffe refait ses contrôles, puis envoie. À choisir quand la cause a été corrigée. N’est pas proposé pour un document masqué aux professionnels ou suspect.", "Ne s’annule pas."},
	{greffe.VerbDismiss, "Classer sans suite…", "Le document n’entre pas dans le dossier. L’expéditeur n’en sait rien. Le motif est conservé.", "Peut être annulé."},
	{greffe.VerbReopen, "Annuler le classement", "Le document classé revient dans « À traiter ».", "Il suffit de le classer de nouveau."},
	{greffe.VerbRefuse, "Refuser, et l’écrire à l’expéditeur…", "L’expéditeur reçoit un avis de refus avec votre motif. N’y écrivez ni nom ni INS.", "Ne s’annule pas."},
	{greffe.VerbCopy, "C’est le doublon d’un autre document…", "Le DI a déjà ce document : rien n’est envoyé une seconde fois.", "Ne s’annule pas."},
	{greffe.VerbClose, "Classer ce message", "Une fois lu, pour un message sans document ou une réponse dont les documents avaient déjà été reçus.", "Peut être annulé."},
	{greffe.VerbLater, "Plus tard…", "Le message quitte « À traiter » et revient de lui-même le jour choisi.", "Peut être annulé."},
	{greffe.VerbPass, "Passer à une collègue, un collègue…", "Le message apparaît dans son bouton « Pour moi ». Tous continuent de le voir.", "Peut être annulé."},
	{greffe.VerbMove, "Passer à un autre service…", "Les personnes de ce service verront le message et ses documents.", "Ne s’annule pas : seul ce service peut vous le repasser."},
	{greffe.VerbHold, "Geler (contentieux)…", "Le message et ses pièces ne sont plus éliminés tant que le gel dure.", "Peut être levé."},
	{greffe.VerbRelease, "Lever le gel…", "Le message sera de nouveau éliminé au terme de sa conservation.", "Il suffit de geler de nouveau."},
}

// tabsExplained says what each tab of the queue holds, by its place in the address.
var tabsExplained = map[string]string{
	"a-traiter": "Ce qui attend une personne. Les boutons au-dessous trient par motif ; « Plus tard » et « Pour moi » montrent ce qui est remis ou vous a été passé.",
	"attente":   "Le DI n’a pas répondu, ou il est en pause. Greffe réessaie seul : rien à faire.",
	"integre":   "Le DI a accepté le document.",
	"doublon":   "Le même document était déjà arrivé ; il n’a pas été envoyé deux fois.",
	"incident":  "Greffe a rencontré un problème. Prévenez l’administrateur ; le document est conservé.",
	"en-cours":  "Vient d’arriver : conservé, bientôt lu et envoyé.",
	"classe":    "Classé sans suite, par une règle ou par une personne. Se rouvre par « Annuler le classement ».",
	"reponses":  "Les réponses aux expéditeurs qu’une personne doit suivre.",
}

type helpPage struct {
	States    []stateWords
	Keys      []keyChoice // of the person; none when they are turned off
	Tabs      []explained
	Causes    []explained
	Decisions any
	FourEyes  bool
	Idle      int // minutes
	Min       int // characters of a password
	Days      int // after which a mailbox that nobody opens is told of
	Contact   string
}

// showHelp shows the page that leads to the help of each profile.
func (c *Console) showHelp(w http.ResponseWriter, r *http.Request, v *visit) error {
	return c.renderHelp(w, r, v, "aide", "Aide")
}

// showRoleHelp shows the help of one profile.
func (c *Console) showRoleHelp(slug, name string) func(http.ResponseWriter, *http.Request, *visit) error {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		return c.renderHelp(w, r, v, "aide-"+slug, "Aide : "+name)
	}
}

func (c *Console) renderHelp(w http.ResponseWriter, r *http.Request, v *visit, name, title string) error {
	if err := c.loadKeyboard(r.Context(), v.user.Login); err != nil {
		return err
	}
	p := helpPage{States: statesShown, Decisions: decisionsExplained, FourEyes: c.cfg.FourEyes, Idle: int(c.cfg.IdleTimeout.Minutes()), Min: minPassword, Days: int(c.cfg.Unattended.Hours() / 24), Contact: c.cfg.Contact}
	for _, t := range tabs {
		p.Tabs = append(p.Tabs, explained{t.Slug, t.Name, tabsExplained[t.Slug]})
	}
	for _, x := range causesExplained {
		p.Causes = append(p.Causes, explained{string(x.Cause), causeWords[x.Cause], x.Help})
	}
	if k := c.keyboardOf(r.Context()); !k.Off {
		p.Keys = k.list()
	}
	return c.render(w, r, v, http.StatusOK, name, page{Title: title, Nav: "aide", Data: p})
}
