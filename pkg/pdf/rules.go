package pdf

import "greffe/pkg/greffe"

// Rules about whether the file can be read. ISO 32000-1 is PDF 1.7, ISO 19005 is
// PDF/A.
var (
	ruleEmpty      = rule("pdf.empty", greffe.Refuse, "Le fichier PDF est vide. Demandez un nouvel envoi à l’expéditeur.", "ISO 32000-1 §7.5")
	ruleNotPDF     = rule("pdf.not-pdf", greffe.Refuse, "Le fichier n’est pas un PDF, malgré son nom ou son type. Demandez un nouvel envoi à l’expéditeur.", "ISO 32000-1 §7.5.2")
	ruleUnreadable = rule("pdf.unreadable", greffe.Refuse, "Le PDF est endommagé : il ne peut pas être lu. Demandez un nouvel envoi.", "ISO 32000-1 §7.5")
	rulePages      = rule("pdf.pages", greffe.Refuse, "Le PDF ne contient aucune page. Demandez un nouvel envoi à l’expéditeur.", "ISO 32000-1 §7.7.3")
	ruleSize       = rule("pdf.size", greffe.Hold, "Le PDF dépasse %d Mio et n’a pas été vérifié. Ouvrez-le et vérifiez-le avant de le classer.", ours)
	ruleOverrun    = rule("pdf.overrun", greffe.Hold, "Le PDF demande trop de temps ou de mémoire pour être vérifié ; il peut être piégé. Ne l’ouvrez pas sans l’avis du service informatique.", ours)
	ruleBomb       = rule("pdf.bomb", greffe.Hold, "Le PDF contient des données qui enflent démesurément à l’ouverture ; il peut être piégé. Ne l’ouvrez pas sans l’avis du service informatique.", ours)
	ruleEncrypted  = rule("pdf.encrypted", greffe.Hold, "Le PDF est protégé par un mot de passe : il ne peut pas être ouvert. Demandez à l’expéditeur un fichier sans mot de passe.", "ISO 32000-1 §7.6")
	ruleTruncated  = rule("pdf.truncated", greffe.Hold, "Le PDF est incomplet : sa fin, ou une partie, manque. Demandez un nouvel envoi.", "ISO 32000-1 §7.5.5")
	ruleDamaged    = rule("pdf.damaged", greffe.Warning, "Le PDF est abîmé ou mal formé ; il a pu être lu, mais son affichage est à vérifier.", "ISO 32000-1 §7.5")
	ruleLeading    = rule("pdf.leading", greffe.Warning, "Des données étrangères précèdent le début du PDF.", "ISO 32000-1 §7.5.2")
	ruleTrailing   = rule("pdf.trailing", greffe.Warning, "Des données étrangères suivent la fin du PDF.", "ISO 32000-1 §7.5.5")
	ruleBlank      = rule("pdf.blank", greffe.Info, "Toutes les pages du PDF semblent blanches.", "ISO 32000-1 §7.8.2")
	ruleRestricted = rule("pdf.restricted", greffe.Info, "Le PDF s’ouvre sans mot de passe, mais restreint l’impression, la copie ou la modification.", "ISO 32000-1 §7.6.3")
	ruleUpdated    = rule("pdf.updated", greffe.Info, "Le PDF a été modifié ou complété après sa création.", "ISO 32000-1 §7.5.6")
)

// Rules about what acts by itself: a person looks before it goes on.
var (
	rulePolyglot   = rule("pdf.polyglot", greffe.Hold, "Le fichier est à la fois un PDF et un autre type de fichier (programme, archive ou page web) ; il peut être piégé. Ne l’ouvrez pas sans l’avis du service informatique.", ours)
	ruleScript     = rule("pdf.javascript", greffe.Hold, "Le PDF contient un programme (JavaScript). Demandez à l’expéditeur un PDF simple (PDF/A).", "ISO 32000-1 §12.6.4.16")
	ruleLaunch     = rule("pdf.launch", greffe.Hold, "Le PDF peut lancer un programme ou ouvrir un fichier de l’ordinateur. Ne l’ouvrez pas, et demandez à l’expéditeur un PDF simple (PDF/A).", "ISO 32000-1 §12.6.4.5")
	ruleHidden     = rule("pdf.hidden", greffe.Hold, "Une partie du PDF que l’affichage n’utilise pas (version antérieure ou objet caché) contient un programme. Demandez à l’expéditeur un PDF simple (PDF/A).", "ISO 32000-1 §7.5.6, §12.6.4")
	ruleOpen       = rule("pdf.open-action", greffe.Hold, "Le PDF se connecte à un site ou à un autre fichier dès son ouverture ou pendant la lecture. Demandez à l’expéditeur un PDF simple (PDF/A).", "ISO 32000-1 §12.6.3")
	ruleRich       = rule("pdf.rich-media", greffe.Hold, "Le PDF contient une animation qui peut exécuter des programmes (Flash, 3D ou multimédia enrichi). Demandez à l’expéditeur un PDF simple (PDF/A).", "ISO 32000-1 §13.6 ; Adobe Supplement to ISO 32000, ExtensionLevel 3, §9.6")
	rulePostScript = rule("pdf.postscript", greffe.Hold, "Le PDF contient un programme destiné à l’imprimante (PostScript). Demandez à l’expéditeur un PDF simple (PDF/A).", "ISO 32000-1 §8.8.2")
	ruleXFA        = rule("pdf.xfa", greffe.Hold, "Le PDF est un formulaire dynamique (XFA) : il peut contenir des programmes et ne s’affiche pas partout. Demandez à l’expéditeur un PDF simple (PDF/A).", "ISO 32000-1 §12.7.8")
	rulePortfolio  = rule("pdf.portfolio", greffe.Hold, "Le PDF est un porte-documents : le document médical peut se trouver dans ses fichiers joints et non dans ses pages. Ouvrez-le et vérifiez ce qu’il contient, ou demandez un PDF simple.", "ISO 32000-1 §12.3.5")
	ruleProgram    = rule("pdf.embedded-program", greffe.Hold, "Le PDF renferme un fichier joint qui est un programme ou une page active : ne l’ouvrez pas.", "ISO 32000-1 §7.11.4")
	ruleArchive    = rule("pdf.embedded-archive", greffe.Hold, "Le PDF renferme une archive ou un fichier de bureautique joint, que Greffe n’ouvre pas. Demandez à l’expéditeur de joindre ce fichier à part.", "ISO 32000-1 §7.11.4")
)

// Rules about what a reader of the document may meet: it goes its way.
var (
	ruleEmbedded   = rule("pdf.embedded", greffe.Warning, "Le PDF renferme des fichiers joints : %s.", "ISO 32000-1 §7.11.4")
	ruleMedia      = rule("pdf.media", greffe.Warning, "Le PDF renferme du son ou de la vidéo.", "ISO 32000-1 §13.2, §13.3, §13.4")
	ruleRemote     = rule("pdf.goto-remote", greffe.Warning, "Un lien du PDF ouvre un autre fichier.", "ISO 32000-1 §12.6.4.3, §12.6.4.4")
	ruleSubmit     = rule("pdf.submit", greffe.Warning, "Le PDF peut transmettre ce qu’on y saisit à un site.", "ISO 32000-1 §12.7.5.2")
	ruleImport     = rule("pdf.import", greffe.Warning, "Le PDF peut importer les données d’un autre fichier.", "ISO 32000-1 §12.7.5.4")
	ruleExternal   = rule("pdf.external", greffe.Warning, "Une partie du PDF se trouve dans un autre fichier, qui n’est pas arrivé avec lui.", "ISO 32000-1 §7.3.8.2, §7.11")
	ruleReference  = rule("pdf.reference-xobject", greffe.Warning, "Le PDF montre une page d’un autre fichier, qui n’est pas arrivé avec lui.", "ISO 32000-1 §8.10.4")
	ruleAdditional = rule("pdf.additional-action", greffe.Info, "Le PDF réagit à l’ouverture, à l’impression ou au passage d’une page.", "ISO 32000-1 §12.6.3")
	ruleForm       = rule("pdf.form", greffe.Info, "Le PDF est un formulaire à remplir.", "ISO 32000-1 §12.7")
	ruleLinks      = rule("pdf.links", greffe.Info, "Le PDF contient des liens vers des sites.", "ISO 32000-1 §12.6.4.7")
	ruleSigned     = rule("pdf.signed", greffe.Info, "Le PDF porte une signature électronique, que Greffe ne vérifie pas.", "ISO 32000-1 §12.8")
	ruleAfterSign  = rule("pdf.updated-after-signature", greffe.Info, "Le PDF a été complété après sa dernière signature électronique.", "ISO 32000-1 §12.8.1")
)

const ours = "Greffe"

func rule(id string, severity greffe.Severity, text, source string) greffe.Rule {
	return greffe.Rule{ID: id, Severity: severity, Text: text, Source: source}
}

var rules = []greffe.Rule{
	ruleEmpty, ruleNotPDF, ruleUnreadable, rulePages,
	ruleSize, ruleOverrun, ruleBomb, ruleEncrypted, ruleTruncated,
	rulePolyglot, ruleScript, ruleLaunch, ruleHidden, ruleOpen, ruleRich, rulePostScript, ruleXFA, rulePortfolio, ruleProgram, ruleArchive,
	ruleEmbedded, ruleMedia, ruleRemote, ruleSubmit, ruleImport, ruleExternal, ruleReference, ruleDamaged, ruleLeading, ruleTrailing,
	ruleBlank, ruleAdditional, ruleForm, ruleLinks, ruleSigned, ruleAfterSign, ruleUpdated, ruleRestricted,
}

// Rules lists what this package checks, the gravest first: the order in which
// findings are returned.
func Rules() []greffe.Rule { return append([]greffe.Rule(nil), rules...) }
