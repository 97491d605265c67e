package eml

import "greffe/pkg/greffe"

// Rules of this package. A finding's Where is the path of the leaf, or empty for
// the message as a whole.
var (
	ruleNotMail = greffe.Rule{ID: "eml.not-mail", Severity: greffe.Hold, Source: "RFC 5322 §2.1",
		Text: "Ce message n’a pas la forme d’un courriel : aucun en-tête n’a été reconnu. Son contenu est conservé tel quel. Ouvrez-le dans votre messagerie, ou demandez un nouvel envoi."}
	ruleHeaderLine = greffe.Rule{ID: "eml.header-line", Severity: greffe.Warning, Source: "RFC 5322 §2.2",
		Text: "Une ligne d’en-tête illisible a été laissée de côté."}
	ruleHeaderEnd = greffe.Rule{ID: "eml.header-end", Severity: greffe.Warning, Source: "RFC 5322 §2.1",
		Text: "La ligne vide entre l’en-tête et le contenu manque."}
	ruleHeaderSize = greffe.Rule{ID: "eml.header-size", Severity: greffe.Hold, Source: "Greffe",
		Text: "L’en-tête dépasse la taille admise (%d Kio) : la suite n’a pas été lue. Vérifiez le message dans votre messagerie."}
	ruleMessageID = greffe.Rule{ID: "eml.message-id", Severity: greffe.Info, Source: "RFC 5322 §3.6.4 ; MSSanté ECO.2.2.1",
		Text: "L’identifiant du message (Message-ID) est absent ou répété."}
	ruleDate = greffe.Rule{ID: "eml.date", Severity: greffe.Info, Source: "RFC 5322 §3.6.1",
		Text: "La date d’envoi est absente, répétée ou illisible."}
	ruleFrom = greffe.Rule{ID: "eml.from", Severity: greffe.Warning, Source: "RFC 5322 §3.6.2",
		Text: "L’expéditeur est absent, répété ou illisible."}
	ruleBoundaryFound = greffe.Rule{ID: "eml.boundary-found", Severity: greffe.Warning, Source: "RFC 2046 §5.1.1",
		Text: "Le séparateur annoncé manque ou n’est pas le bon : les pièces ont été séparées d’après le contenu."}
	ruleBoundaryMissing = greffe.Rule{ID: "eml.boundary-missing", Severity: greffe.Hold, Source: "RFC 2046 §5.1.1",
		Text: "Les pièces de ce message n’ont pas pu être séparées : le séparateur est introuvable. Ouvrez le message dans votre messagerie, ou demandez un nouvel envoi."}
	ruleEndMissing = greffe.Rule{ID: "eml.end-missing", Severity: greffe.Warning, Source: "RFC 2046 §5.1.1",
		Text: "La marque de fin du message manque : la dernière pièce est peut-être incomplète."}
	ruleAfterEnd = greffe.Rule{ID: "eml.after-end", Severity: greffe.Warning, Source: "RFC 2046 §5.1.1",
		Text: "Des pièces suivent la marque de fin du message ; elles ont été lues."}
	ruleEncoding = greffe.Rule{ID: "eml.encoding", Severity: greffe.Hold, Source: "RFC 2045 §6.4",
		Text: "Le codage de cette pièce (%s) n’est pas connu : elle est conservée sans être décodée. Demandez un nouvel envoi à l’expéditeur."}
	ruleBase64 = greffe.Rule{ID: "eml.base64", Severity: greffe.Warning, Source: "RFC 2045 §6.8",
		Text: "Le codage base64 de cette pièce contient des caractères parasites ; ils ont été ignorés."}
	ruleBase64Cut = greffe.Rule{ID: "eml.base64-cut", Severity: greffe.Warning, Source: "RFC 2045 §6.8",
		Text: "Le codage base64 de cette pièce s’arrête avant sa fin : la pièce est peut-être incomplète."}
	ruleBase64Tail = greffe.Rule{ID: "eml.base64-tail", Severity: greffe.Info, Source: "RFC 2045 §6.8",
		Text: "Du texte a été ajouté après la fin de cette pièce (pied de page d’un antivirus, par exemple) ; il a été ignoré."}
	ruleQuoted = greffe.Rule{ID: "eml.quoted-printable", Severity: greffe.Info, Source: "RFC 2045 §6.7",
		Text: "Le codage quoted-printable de cette pièce comporte des erreurs ; elle a été lue au mieux."}
	ruleUU = greffe.Rule{ID: "eml.uuencode", Severity: greffe.Warning, Source: "POSIX uuencode",
		Text: "Le codage uuencode de cette pièce comporte des erreurs : la pièce est peut-être incomplète."}
	rulePieces = greffe.Rule{ID: "eml.pieces", Severity: greffe.Hold, Source: "Greffe",
		Text: "Cette pièce contient plus de %d fichiers : les suivants n’ont pas été lus. Le message d’origine est conservé en entier. Ouvrez le message dans votre messagerie pour voir la suite."}
	ruleTNEFDamaged = greffe.Rule{ID: "eml.tnef", Severity: greffe.Hold, Source: "MS-OXTNEF §2.1.3",
		Text: "La pièce winmail.dat (Outlook) est abîmée ou coupée : tous ses fichiers n’ont peut-être pas pu être lus. Vérifiez-les ou demandez à l’expéditeur un nouvel envoi, sans le format propre à Outlook."}
	ruleSignatureValid = greffe.Rule{ID: "eml.signature", Severity: greffe.Info, Source: "RFC 8551 ; RFC 8550",
		Text: "Le message porte une signature électronique valide de %s."}
	ruleSignatureIntact = greffe.Rule{ID: "eml.signature-intact", Severity: greffe.Info, Source: "RFC 8551",
		Text: "Signature électronique intacte, signataire non vérifié : %s. Rien n’a été modifié depuis la signature ; qui a signé n’est pas prouvé."}
	ruleSignatureUntrusted = greffe.Rule{ID: "eml.signature-untrusted", Severity: greffe.Warning, Source: "RFC 8550 §3 et §4",
		Text: "Signature électronique intacte, mais le certificat de %s n’est pas reconnu, ou n’était pas valable à la date de la signature. En cas de doute, appelez l’expéditeur."}
	ruleSignatureSender = greffe.Rule{ID: "eml.signature-sender", Severity: greffe.Warning, Source: "RFC 8550 §3",
		Text: "Signature électronique intacte, mais celui qui a signé (%s) n’est pas l’expéditeur du message. En cas de doute, appelez l’expéditeur."}
	ruleSignatureInvalid = greffe.Rule{ID: "eml.signature-invalid", Severity: greffe.Warning, Source: "RFC 8551 ; RFC 5652 §5.6",
		Text: "La signature électronique (%s) ne correspond pas au contenu : le message a été modifié après la signature, peut-être par un relais. En cas de doute, appelez l’expéditeur."}
	ruleSignatureUnread = greffe.Rule{ID: "eml.signature-unread", Severity: greffe.Warning, Source: "RFC 8551 ; RFC 5652",
		Text: "Le message est signé électroniquement, mais la signature n’a pas pu être vérifiée (forme ou algorithme que Greffe ne connaît pas). Le contenu a été lu."}
	ruleSignaturePGP = greffe.Rule{ID: "eml.signature-pgp", Severity: greffe.Warning, Source: "RFC 3156 §5",
		Text: "Le message porte une signature PGP, que Greffe ne vérifie pas. Le contenu a été lu."}
	ruleSignedCut = greffe.Rule{ID: "eml.signed-cut", Severity: greffe.Hold, Source: "RFC 5652 §5.1",
		Text: "La pièce signée s’arrête avant sa fin : ce qu’elle contient est peut-être incomplet. Demandez un nouvel envoi."}
	rulePatientInside = greffe.Rule{ID: "eml.patient", Severity: greffe.Hold, Source: "MSSanté, Référentiel socle n° 2, ECO.2.2.6",
		Text: "Le message joint vient d’un patient (Mon espace santé) : ce qu’il contient n’est pas le document d’un professionnel, une personne doit décider."}
	ruleCharset = greffe.Rule{ID: "eml.charset", Severity: greffe.Info, Source: "RFC 2046 §4.1.2",
		Text: "Le jeu de caractères annoncé pour ce texte n’est pas connu : des lettres peuvent être fausses."}
	ruleParts = greffe.Rule{ID: "eml.parts", Severity: greffe.Hold, Source: "Greffe",
		Text: "Ce message contient plus de %d pièces : les suivantes n’ont pas été lues. Le message d’origine est conservé en entier. Ouvrez le message dans votre messagerie pour voir la suite."}
	ruleDepth = greffe.Rule{ID: "eml.depth", Severity: greffe.Hold, Source: "Greffe",
		Text: "Les pièces de ce message sont trop imbriquées : celle-ci n’a pas été ouverte. Ouvrez le message dans votre messagerie."}
	ruleNested = greffe.Rule{ID: "eml.nested", Severity: greffe.Hold, Source: "Greffe",
		Text: "Trop de messages sont joints les uns dans les autres : celui-ci n’a pas été ouvert. Ouvrez le message dans votre messagerie."}
	ruleSize = greffe.Rule{ID: "eml.size", Severity: greffe.Hold, Source: "Greffe",
		Text: "Les pièces décodées dépassent %d Mio : les suivantes n’ont pas été lues. Le message d’origine est conservé en entier. Ouvrez le message dans votre messagerie pour voir la suite."}
)

// Rules lists what this package checks.
func Rules() []greffe.Rule {
	return []greffe.Rule{
		ruleNotMail, ruleHeaderLine, ruleHeaderEnd, ruleHeaderSize, ruleMessageID, ruleDate, ruleFrom,
		ruleBoundaryFound, ruleBoundaryMissing, ruleEndMissing, ruleAfterEnd,
		ruleEncoding, ruleBase64, ruleBase64Cut, ruleBase64Tail, ruleQuoted, ruleUU, rulePieces, rulePatientInside, ruleTNEFDamaged, ruleCharset,
		ruleSignatureValid, ruleSignatureIntact, ruleSignatureUntrusted, ruleSignatureSender, ruleSignatureInvalid, ruleSignatureUnread, ruleSignaturePGP, ruleSignedCut,
		ruleParts, ruleDepth, ruleNested, ruleSize,
	}
}
