package parser

import "greffe/pkg/greffe"

// Rules about what senders' programs do to mail.
var (
	ruleTNEF       = rule("parser.tnef", greffe.Hold, "Cette pièce est au format propre à Outlook (winmail.dat) et aucun fichier n’a pu y être lu. Demandez à l’expéditeur un envoi sans ce format.", "MS-OXTNEF")
	ruleYEnc       = rule("parser.yenc", greffe.Hold, "Ce texte contient un fichier codé en yEnc, que Greffe n’ouvre pas. Demandez à l’expéditeur de le joindre normalement.", ours)
	rulePiecesDeep = rule("parser.deep", greffe.Hold, "Des fichiers sont enveloppés trop de fois les uns dans les autres : celui-ci n’a pas été ouvert. Ouvrez-le à part, ou demandez à l’expéditeur un envoi plus simple.", ours)
)

var mailRules = []greffe.Rule{ruleTNEF, ruleYEnc, rulePiecesDeep}
