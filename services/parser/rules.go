package parser

import (
	"slices"

	"greffe/pkg/cda"
	"greffe/pkg/codes"
	"greffe/pkg/eml"
	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
	"greffe/pkg/xdm"
	"greffe/pkg/xsd"
)

const (
	lps  = "CI-SIS, Transmission au LPS"
	ref2 = "MSSanté, Référentiel socle n° 2"
	ours = "Greffe"
)

// Rules about what a person must decide because no document says it.
var (
	rulePDF       = rule("parser.pdf", greffe.Hold, "Ce PDF est arrivé sans document structuré (CDA) : une personne doit dire de quel patient il s’agit.", ours)
	ruleImage     = rule("parser.image", greffe.Hold, "Cette image est arrivée sans document structuré (CDA) : une personne doit dire de quel patient il s’agit.", ours)
	ruleImageSize = rule("parser.image-size", greffe.Info, "Image de %d × %d pixels.", ours)
	ruleImageCut  = rule("parser.image-cut", greffe.Warning, "L’image semble incomplète : sa fin manque. Vérifiez-la, ou demandez un nouvel envoi.", "ITU-T T.81 §B.2.1 ; ISO/IEC 15948 §11.2.5")
	ruleHPRIM     = rule("parser.hprim", greffe.Hold, "Résultat au format HPRIM : son en-tête ne suffit pas à désigner le patient avec certitude, une personne doit décider.", ours)
	ruleText      = rule("parser.text", greffe.Hold, "Un texte est joint au message : une personne doit dire s’il faut le classer, et pour quel patient.", ours)
	ruleUnknown   = rule("parser.unknown", greffe.Hold, "Ce fichier n’est pas d’un format que Greffe sait classer (%s) : une personne doit décider.", ours)
	ruleXML       = rule("parser.xml", greffe.Hold, "Ce fichier XML n’est pas un document CDA : une personne doit décider.", ours)
	ruleArchive   = rule("parser.archive", greffe.Hold, "Cette archive (%s) est gardée telle quelle : une personne doit dire quoi faire de ce qu’elle contient.", ours)
	ruleFormat    = rule("parser.archive.format", greffe.Hold, "Cette archive est au format %s, que Greffe n’ouvre pas : une personne doit décider. Demandez à l’expéditeur un envoi au format ZIP.", ours)
	ruleNestedZip = rule("parser.nested-zip", greffe.Hold, "Une archive se trouve dans une archive, elle-même dans une archive : elle n’a pas été ouverte. Ouvrez-la à part, ou demandez à l’expéditeur un envoi plus simple.", ours)
	rulePieces    = rule("parser.external", greffe.Hold, "Ce message ne contient qu’une partie ou un renvoi vers une pièce qui se trouve ailleurs. Demandez à l’expéditeur un envoi complet.", "RFC 2046 §5.2.2 et §5.2.3")
	ruleProgram   = rule("parser.program", greffe.Hold, "Ce fichier est un programme : ne l’ouvrez pas, et prévenez le service informatique.", ours)
	ruleEmpty     = rule("parser.empty", greffe.Hold, "La pièce jointe est vide : le document n’est pas arrivé. Demandez un nouvel envoi.", ours)
	ruleMail      = rule("parser.mail", greffe.Hold, "Le message joint n’a pas pu être ouvert : téléchargez-le, ou demandez à l’expéditeur un envoi direct.", ours)
)

// Rules about documents.
var (
	ruleBare         = rule("parser.bare", greffe.Warning, "Le document est joint sans archive XDM : rien ne confirme son intégrité ni ce qu’il faut en faire.", ref2+", ECO.2.1.1")
	ruleUnreferenced = rule("parser.unreferenced", greffe.Hold, "Ce document se trouve dans une archive dont les métadonnées ne le mentionnent pas : une personne doit décider.", "IHE ITI TF-2 §3.32 (XDM)")
	ruleNoDocument   = rule("parser.no-document", greffe.Refuse, "L’archive ne contient aucun document utilisable. Demandez un nouvel envoi à l’expéditeur.", ref2+", ECO.2.1.1")
	ruleNotCDA       = rule("parser.not-cda", greffe.Hold, "Le fichier décrit par les métadonnées n’est pas un document CDA : une personne doit décider.", "IHE ITI TF-2 §3.32 ; "+lps)
	ruleMasked       = rule("parser.masked", greffe.Hold, "Le document est masqué aux professionnels de santé : il ne doit pas être transmis au dossier. Voyez avec le médecin responsable ce qu’il faut en faire.", lps+", MASQUE_PS")
	ruleNoBody       = rule("parser.no-body", greffe.Hold, "Le document annonce un fichier à lire (PDF) mais n’en contient pas. Demandez un nouvel envoi à l’expéditeur.", "IHE ITI XDS-SD")
	ruleCodes        = rule("parser.codes", greffe.Info, "Les types de document annoncés par le message (X-MSS-CODECDA) ne sont pas ceux des documents joints.", ref2+", ECO.2.4.1")
)

// Rules about the limits of one message, and about reading.
var (
	ruleParts    = rule("parser.parts", greffe.Hold, "Le message contient plus de %d fichiers, archives comprises : les suivants n’ont pas été lus. Le message d’origine est conservé en entier. Ouvrez le message dans votre messagerie pour voir la suite.", ours)
	ruleUnpacked = rule("parser.unpacked", greffe.Hold, "Les archives de ce message dépassent %d Mio une fois décompressées : la suite n’a pas été lue. Le message d’origine est conservé en entier. Ouvrez le message dans votre messagerie pour voir la suite.", ours)
	ruleTime     = rule("parser.time", greffe.Hold, "La lecture de ce message a dépassé le temps admis : une partie des pièces n’a pas été lue. Le message d’origine est conservé en entier. Ouvrez le message dans votre messagerie pour voir la suite.", ours)
	ruleEntry    = rule("parser.entry", greffe.Refuse, "Ce fichier de l’archive est abîmé ou protégé : il n’a pas pu être lu. Demandez un nouvel envoi.", "IHE ITI TF-2 §3.32 (XDM)")
)

func rule(id string, severity greffe.Severity, text, source string) greffe.Rule {
	return greffe.Rule{ID: id, Severity: severity, Text: text, Source: source}
}

// Rules returns every rule that a message is read by: those of the format packages
// and those of the parser itself.
func Rules() []greffe.Rule {
	return slices.Concat(eml.Rules(), xdm.Rules(), cda.Rules(), pdf.Rules(), ins.Rules(), codes.Rules(), xsd.Rules(), mailRules, antivirusRules, identityRules, twinRules, valueRules, []greffe.Rule{
		rulePDF, ruleImage, ruleImageSize, ruleImageCut, ruleHPRIM, ruleText, ruleUnknown, ruleXML, ruleArchive, ruleFormat, ruleNestedZip, rulePieces,
		ruleProgram, ruleEmpty, ruleMail,
		ruleBare, ruleUnreferenced, ruleNoDocument, ruleNotCDA, ruleMasked, ruleNoBody, ruleCodes,
		ruleParts, ruleUnpacked, ruleTime, ruleEntry,
		ruleMbox, ruleMSG,
	})
}
