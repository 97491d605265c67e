package parser

import "greffe/pkg/greffe"

// Rules about what senders' programs do to mail.
var (
	ruleTNEF          = rule("parser.tnef", greffe.Hold, "Cette pièce est au format propre à Outlook (winmail.dat) et aucun fichier n’a pu y être lu. Demandez à l’expéditeur un envoi sans ce format.", "MS-OXTNEF")
	ruleYEnc          = rule("parser.yenc", greffe.Hold, "Ce texte contient un fichier codé en yEnc, que Greffe n’ouvre pas. Demandez à l’expéditeur de le joindre normalement.", ours)
	ruleBeside        = rule("parser.beside", greffe.Hold, "Des pièces sont jointes à côté d’un accusé ou d’un avis automatique : une personne doit dire si elles sont nouvelles ou déjà reçues.", ref2+" ; RFC 6522")
	rulePatientQuoted = rule("parser.patient", greffe.Hold, "Ce message transfère le courriel d’un patient (Mon espace santé) : ses pièces ne viennent pas d’un professionnel, une personne doit décider.", ref2+", ECO.2.2.6")
	rulePiecesDeep    = rule("parser.deep", greffe.Hold, "Des fichiers sont enveloppés trop de fois les uns dans les autres : celui-ci n’a pas été ouvert. Ouvrez-le à part, ou demandez à l’expéditeur un envoi plus simple.", ours)
)

var mailRules = []greffe.Rule{ruleTNEF, ruleYEnc, ruleBeside, rulePatientQuoted, rulePiecesDeep}
