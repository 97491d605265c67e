package pdf

import "greffe/pkg/greffe"

// Rules of this package. ISO 32000-1 is PDF 1.7, ISO 19005 is PDF/A.
var (
	ruleEmpty      = greffe.Rule{ID: "pdf.empty", Severity: greffe.Refuse, Text: "Le fichier PDF est vide.", Source: "ISO 32000-1 §7.5"}
	ruleNotPDF     = greffe.Rule{ID: "pdf.not-pdf", Severity: greffe.Refuse, Text: "Le fichier n'est pas un PDF, malgré son nom ou son type.", Source: "ISO 32000-1 §7.5.2"}
	ruleSize       = greffe.Rule{ID: "pdf.size", Severity: greffe.Hold, Text: "Le PDF dépasse %d Mio et n'a pas été vérifié.", Source: "Greffe"}
	ruleOverrun    = greffe.Rule{ID: "pdf.overrun", Severity: greffe.Hold, Text: "Le PDF demande trop de temps ou de mémoire pour être vérifié ; il peut être piégé.", Source: "Greffe"}
	ruleUnreadable = greffe.Rule{ID: "pdf.unreadable", Severity: greffe.Refuse, Text: "Le PDF est endommagé : il ne peut pas être lu.", Source: "ISO 32000-1 §7.5"}
	ruleEncrypted  = greffe.Rule{ID: "pdf.encrypted", Severity: greffe.Hold, Text: "Le PDF est protégé par un mot de passe : il ne peut pas être ouvert.", Source: "ISO 32000-1 §7.6"}
	ruleTruncated  = greffe.Rule{ID: "pdf.truncated", Severity: greffe.Hold, Text: "Le PDF est incomplet : sa fin manque.", Source: "ISO 32000-1 §7.5.5"}
	rulePages      = greffe.Rule{ID: "pdf.pages", Severity: greffe.Refuse, Text: "Le PDF ne contient aucune page.", Source: "ISO 32000-1 §7.7.3"}
	rulePolyglot   = greffe.Rule{ID: "pdf.polyglot", Severity: greffe.Hold, Text: "Le fichier est à la fois un PDF et un autre type de fichier (programme, archive ou page web) ; il peut être piégé.", Source: "Greffe"}
	ruleScript     = greffe.Rule{ID: "pdf.javascript", Severity: greffe.Hold, Text: "Le PDF contient un programme (JavaScript).", Source: "ISO 32000-1 §12.6.4.16"}
	ruleLaunch     = greffe.Rule{ID: "pdf.launch", Severity: greffe.Hold, Text: "Le PDF peut lancer un programme ou ouvrir un fichier de l'ordinateur.", Source: "ISO 32000-1 §12.6.4.5"}
	ruleOpen       = greffe.Rule{ID: "pdf.open-action", Severity: greffe.Hold, Text: "Le PDF se connecte à un site ou à un autre fichier dès son ouverture ou pendant la lecture.", Source: "ISO 32000-1 §12.6.3"}
	ruleProgram    = greffe.Rule{ID: "pdf.embedded-program", Severity: greffe.Hold, Text: "Le PDF renferme un fichier joint qui est un programme.", Source: "ISO 32000-1 §7.11.4"}
	ruleXFA        = greffe.Rule{ID: "pdf.xfa", Severity: greffe.Hold, Text: "Le PDF est un formulaire dynamique (XFA) : il peut contenir des programmes et ne s'affiche pas partout.", Source: "ISO 32000-1 §12.7.8"}
	ruleEmbedded   = greffe.Rule{ID: "pdf.embedded", Severity: greffe.Warning, Text: "Le PDF renferme des fichiers joints.", Source: "ISO 32000-1 §7.11.4"}
	ruleMedia      = greffe.Rule{ID: "pdf.media", Severity: greffe.Warning, Text: "Le PDF renferme du son, de la vidéo ou un contenu animé.", Source: "ISO 32000-1 §13"}
	ruleExternal   = greffe.Rule{ID: "pdf.external", Severity: greffe.Warning, Text: "Le PDF renvoie à des fichiers extérieurs ou peut transmettre des données.", Source: "ISO 32000-1 §7.11, §12.7.5"}
	ruleDamaged    = greffe.Rule{ID: "pdf.damaged", Severity: greffe.Warning, Text: "Le PDF est abîmé ou mal formé ; il a pu être lu, mais son affichage est à vérifier.", Source: "ISO 32000-1 §7.5"}
	ruleLeading    = greffe.Rule{ID: "pdf.leading", Severity: greffe.Warning, Text: "Des données étrangères précèdent le début du PDF.", Source: "ISO 32000-1 §7.5.2"}
	ruleTrailing   = greffe.Rule{ID: "pdf.trailing", Severity: greffe.Warning, Text: "Des données étrangères suivent la fin du PDF.", Source: "ISO 32000-1 §7.5.5"}
	ruleForm       = greffe.Rule{ID: "pdf.form", Severity: greffe.Info, Text: "Le PDF est un formulaire à remplir.", Source: "ISO 32000-1 §12.7"}
	ruleLinks      = greffe.Rule{ID: "pdf.links", Severity: greffe.Info, Text: "Le PDF contient des liens vers des sites.", Source: "ISO 32000-1 §12.6.4.7"}
	ruleRestricted = greffe.Rule{ID: "pdf.restricted", Severity: greffe.Info, Text: "Le PDF s'ouvre sans mot de passe, mais restreint l'impression, la copie ou la modification.", Source: "ISO 32000-1 §7.6.3"}
)

var rules = []greffe.Rule{
	ruleEmpty, ruleNotPDF, ruleSize, ruleOverrun, ruleUnreadable, ruleEncrypted, ruleTruncated, rulePages,
	rulePolyglot, ruleScript, ruleLaunch, ruleOpen, ruleProgram, ruleXFA,
	ruleEmbedded, ruleMedia, ruleExternal, ruleDamaged, ruleLeading, ruleTrailing,
	ruleForm, ruleLinks, ruleRestricted,
}

// Rules lists what this package checks, the gravest first: the order in which
// findings are returned.
func Rules() []greffe.Rule { return append([]greffe.Rule(nil), rules...) }
