package greffe

// The French words for what users read, in the console, in reports and in the help.
// They begin in upper case where a label does; a coded value without a word is
// returned as it is.

var kindFrench = map[MessageKind]string{
	KindDelivery:  "Envoi de documents",
	KindForward:   "Transfert",
	KindReply:     "Réponse",
	KindMDN:       "Accusé de lecture",
	KindDSN:       "Avis de remise",
	KindKO:        "Avis d’échec d’intégration",
	KindAutoReply: "Réponse automatique",
	KindPatient:   "Message d’un patient",
	KindNotice:    "Avis de l’opérateur",
	KindText:      "Message sans pièce jointe",
	KindEmpty:     "Message vide",
	KindUnread:    "Message non lu",
}

var formatFrench = map[Format]string{
	FormatCDA1:    "CDA niveau 1",
	FormatCDA3:    "CDA niveau 3",
	FormatPDF:     "PDF",
	FormatHPRIM:   "Texte HPRIM",
	FormatImage:   "Image",
	FormatText:    "Texte",
	FormatUnknown: "Format non reconnu",
}

var partFrench = map[PartKind]string{
	PartText:      "Texte",
	PartHTML:      "Texte mis en forme (HTML)",
	PartPDF:       "PDF",
	PartXDM:       "Archive XDM",
	PartZip:       "Archive ZIP",
	PartCDA:       "Document CDA",
	PartMetadata:  "Métadonnées XDM",
	PartXML:       "XML",
	PartHPRIM:     "Texte HPRIM",
	PartImage:     "Image",
	PartMessage:   "Message joint",
	PartReport:    "Avis automatique",
	PartSignature: "Signature",
	PartOther:     "Autre fichier",
	PartEmpty:     "Vide",
}

var verdictFrench = map[Verdict]string{
	VerdictIgnored: "sans objet",
	VerdictOK:      "correct",
	VerdictWarning: "à noter",
	VerdictHeld:    "à vérifier",
	VerdictRefused: "inutilisable",
}

var severityFrench = map[Severity]string{
	Info:    "Information",
	Warning: "À noter",
	Hold:    "À vérifier",
	Refuse:  "Inutilisable",
}

var actionFrench = map[Action]string{
	ActionNew:     "Nouveau document",
	ActionReplace: "Remplace une version précédente",
	ActionDelete:  "Demande de suppression",
}

// French returns the word for a kind of message.
func (k MessageKind) French() string { return french(kindFrench, k) }

// French returns the word for a form of document.
func (f Format) French() string { return french(formatFrench, f) }

// French returns the word for a kind of part.
func (k PartKind) French() string { return french(partFrench, k) }

// French returns the word for a verdict, in lower case.
func (v Verdict) French() string { return french(verdictFrench, v) }

// French returns the word for a severity.
func (s Severity) French() string { return french(severityFrench, s) }

// French returns the words for an action.
func (a Action) French() string { return french(actionFrench, a) }

func french[K ~string](words map[K]string, k K) string {
	if w, ok := words[k]; ok {
		return w
	}
	return string(k)
}
