package parser

import "greffe/pkg/greffe"

// Rules about what senders' programs do to mail.
var (
	ruleTNEF          = rule("parser.tnef", greffe.Hold, "Cette pièce est au format propre à Outlook (winmail.dat) et aucun fichier n’a pu y être lu. Demandez à l’expéditeur un envoi sans ce format.", "MS-OXTNEF")
	ruleYEnc          = rule("parser.yenc", greffe.Hold, "Ce texte contient un fichier codé en yEnc, que Greffe n’ouvre pas. Demandez à l’expéditeur de le joindre normalement.", ours)
	ruleEncrypted     = rule("parser.encrypted", greffe.Hold, "Cette pièce est chiffrée : Greffe ne peut pas la lire. Ouvrez-la dans votre messagerie, ou demandez un envoi sans chiffrement (MSSanté protège déjà le transport).", "RFC 8551 ; RFC 3156")
	ruleSigned        = rule("parser.signed", greffe.Hold, "Cette pièce est signée ou comprimée sous une forme que Greffe n’ouvre pas. Demandez un envoi ordinaire à l’expéditeur.", "RFC 5652 ; RFC 3274")
	ruleHPRIMHeader   = rule("parser.hprim-header", greffe.Info, "En-tête du résultat HPRIM, tel que l’expéditeur l’a rempli, à vérifier : %s.", "HPRIM Médecins 3.0 ; HPRIM Santé 2.x")
	ruleBeside        = rule("parser.beside", greffe.Hold, "Des pièces sont jointes à côté d’un accusé ou d’un avis automatique : une personne doit dire si elles sont nouvelles ou déjà reçues.", ref2+" ; RFC 6522")
	rulePatientQuoted = rule("parser.patient", greffe.Hold, "Ce message transfère le courriel d’un patient (Mon espace santé) : ses pièces ne viennent pas d’un professionnel, une personne doit décider.", ref2+", ECO.2.2.6")
	rulePiecesDeep    = rule("parser.deep", greffe.Hold, "Des fichiers sont enveloppés trop de fois les uns dans les autres : celui-ci n’a pas été ouvert. Ouvrez-le à part, ou demandez à l’expéditeur un envoi plus simple.", ours)
)

var mailRules = []greffe.Rule{ruleTNEF, ruleYEnc, ruleEncrypted, ruleSigned, ruleHPRIMHeader, ruleBeside, rulePatientQuoted, rulePiecesDeep}
