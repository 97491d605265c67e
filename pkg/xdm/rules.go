package xdm

import "greffe/pkg/greffe"

const (
	itiXDM  = "IHE ITI TF-2 §3.32 (XDM)"
	itiMeta = "IHE ITI TF-3 §4.2 (métadonnées XDS)"
)

// Rules about the archive as a ZIP.
var (
	ruleTruncated     = rule("xdm.truncated", greffe.Refuse, "La fin de l’archive manque : elle a été coupée en chemin. Demandez à l’expéditeur de la renvoyer.", "PKWARE APPNOTE.TXT §4.3.6")
	ruleSplit         = rule("xdm.split", greffe.Refuse, "Cette archive n’est qu’un morceau d’une archive coupée en plusieurs. Demandez à l’expéditeur une archive entière.", "PKWARE APPNOTE.TXT §8")
	ruleContradiction = rule("xdm.contradiction", greffe.Refuse, "L’archive se contredit : selon le logiciel qui l’ouvre, on n’y voit pas les mêmes fichiers. Demandez à l’expéditeur de la refaire.", "PKWARE APPNOTE.TXT §4.3.7 et §4.3.12")
	ruleOverlap       = rule("xdm.overlap", greffe.Refuse, "Des fichiers de l’archive se recouvrent : elle est abîmée ou piégée. Demandez à l’expéditeur de la refaire.", "PKWARE APPNOTE.TXT §4.3.6")
	rulePrefix        = rule("xdm.prefix", greffe.Info, "Des octets étrangers précèdent l’archive ; ils ont été ignorés.", "PKWARE APPNOTE.TXT §4.1.9")
	ruleTrailing      = rule("xdm.trailing", greffe.Info, "Des octets étrangers suivent l’archive ; ils ont été ignorés.", "PKWARE APPNOTE.TXT §4.3.6")

	ruleZip       = rule("xdm.zip", greffe.Refuse, "L’archive ZIP est illisible ou vide. Demandez un nouvel envoi à l’expéditeur.", itiXDM)
	ruleEntries   = rule("xdm.entries", greffe.Refuse, "L’archive contient trop de fichiers (plus de %d). Demandez à l’expéditeur plusieurs envois.", "Greffe")
	ruleTotal     = rule("xdm.total", greffe.Refuse, "L’archive est trop volumineuse une fois décompressée. Demandez à l’expéditeur plusieurs envois.", "Greffe")
	ruleRatio     = rule("xdm.ratio", greffe.Refuse, "L’archive est une bombe de décompression : un fichier de quelques octets s’y déploie démesurément. Ne l’ouvrez pas, et prévenez le service informatique.", "Greffe")
	rulePath      = rule("xdm.path", greffe.Refuse, "L’archive contient un nom de fichier dangereux (chemin absolu, « .. », caractère de contrôle ou longueur démesurée). Ne l’ouvrez pas, et demandez à l’expéditeur de la refaire.", "Greffe")
	ruleSymlink   = rule("xdm.symlink", greffe.Refuse, "L’archive contient un lien ou un fichier spécial. Ne l’ouvrez pas, et demandez à l’expéditeur de la refaire.", "Greffe")
	ruleEncrypted = rule("xdm.encrypted", greffe.Refuse, "L’archive est protégée par un mot de passe. Demandez un envoi sans mot de passe (MSSanté protège déjà le transport).", itiXDM)
	ruleMethod    = rule("xdm.method", greffe.Hold, "Ce fichier de l’archive est compressé d’une façon que Greffe ne lit pas (%s) : une personne doit décider. Demandez à l’expéditeur une archive ZIP ordinaire.", itiXDM)
	ruleDuplicate = rule("xdm.duplicate", greffe.Refuse, "L’archive contient deux fichiers de même nom. Demandez à l’expéditeur de la refaire.", "Greffe")
	ruleEntry     = rule("xdm.entry", greffe.Refuse, "Un fichier de l’archive est abîmé. Demandez un nouvel envoi à l’expéditeur.", itiXDM)
	ruleNames     = rule("xdm.names", greffe.Info, "L’archive utilise « \\ » dans les noms de fichiers.", itiXDM)
)

// Rules about the tree and the metadata.
var (
	ruleMissing         = rule("xdm.metadata", greffe.Refuse, "L’archive XDM ne contient pas de fichier METADATA.XML. Demandez un nouvel envoi à l’expéditeur.", itiXDM)
	ruleMetadataXML     = rule("xdm.metadata.xml", greffe.Refuse, "Le fichier METADATA.XML ne peut pas être lu : %s. Demandez un nouvel envoi à l’expéditeur.", itiXDM)
	ruleMetadataRoot    = rule("xdm.metadata.root", greffe.Refuse, "Le fichier METADATA.XML ne décrit pas un lot de documents (SubmitObjectsRequest). Demandez un nouvel envoi à l’expéditeur.", itiMeta)
	ruleMetadataWrapped = rule("xdm.metadata.wrapped", greffe.Warning, "Le fichier METADATA.XML contient un message d’échange entier ; seul le lot qu’il transporte a été lu.", itiMeta)
	ruleEbRIM           = rule("xdm.ebrim", greffe.Hold, "Le fichier METADATA.XML est écrit dans une ancienne version du format (ebRIM 2.1) : il a été lu, mais une personne doit vérifier ce qu’il demande.", itiMeta)
	ruleNamespace       = rule("xdm.namespace", greffe.Warning, "L’espace de noms de METADATA.XML n’est pas celui d’ebRIM 3.0.", itiMeta)
	ruleBlanks          = rule("xdm.blanks", greffe.Info, "Des blancs précèdent le XML de METADATA.XML ; ils ont été ignorés.", "XML 1.0 §2.8")
	ruleLayout          = rule("xdm.layout", greffe.Warning, "Le fichier METADATA.XML n’est pas dans un dossier IHE_XDM/SUBSETnn.", itiXDM)
	ruleWrapped         = rule("xdm.wrapped", greffe.Info, "L’arborescence IHE_XDM se trouve dans un dossier de trop.", itiXDM)
	ruleIndex           = rule("xdm.index", greffe.Info, "Le fichier %s, prévu à la racine de l’archive, manque.", itiXDM)
	ruleCopy            = rule("xdm.copy", greffe.Info, "L’archive contient une seconde copie du même lot ; elle a été ignorée.", "Greffe")
	ruleSets            = rule("xdm.sets", greffe.Warning, "Le fichier METADATA.XML décrit plusieurs lots, au lieu d’un seul ; tous ont été lus.", itiMeta)
	ruleSet             = rule("xdm.set", greffe.Warning, "Le lot de soumission est incomplet : %s.", itiMeta)
	ruleNone            = rule("xdm.none", greffe.Refuse, "Le fichier METADATA.XML ne décrit aucun document. Demandez un nouvel envoi à l’expéditeur.", itiMeta)
	ruleMany            = rule("xdm.many", greffe.Refuse, "L’archive décrit trop de documents (plus de %d). Demandez à l’expéditeur plusieurs envois.", "Greffe")
	ruleAssociation     = rule("xdm.association", greffe.Hold, "Les métadonnées demandent une opération que Greffe ne connaît pas (%s) : une personne doit décider.", itiMeta+", associations")
	ruleAssociationLost = rule("xdm.association.lost", greffe.Hold, "Les métadonnées lient un document à un autre (%s), mais on ne sait pas lequel : une personne doit décider.", itiMeta+", associations")
	ruleActionSet       = rule("xdm.action.set", greffe.Hold, "L’action demandée (remplacement ou suppression) est indiquée sur le lot et non sur le document : une personne doit décider.", "CI-SIS, Transmission au LPS, action")
	ruleUnreferenced    = rule("xdm.unreferenced", greffe.Warning, "Ce fichier de l’archive n’est pas décrit dans METADATA.XML.", itiXDM)
)

// Rules about one document of the metadata.
var (
	ruleURI           = rule("xdm.uri", greffe.Refuse, "Les métadonnées du document n’indiquent pas de fichier (URI). Demandez un nouvel envoi à l’expéditeur.", itiMeta)
	ruleURIAttribute  = rule("xdm.uri.attribute", greffe.Warning, "Le fichier du document est indiqué hors de sa place normale (attribut uri).", itiMeta)
	ruleURICase       = rule("xdm.uri.case", greffe.Info, "Le nom de fichier des métadonnées diffère de celui de l’archive par la casse, un séparateur ou un dossier.", itiXDM)
	ruleURIHash       = rule("xdm.uri.hash", greffe.Warning, "Le fichier porte un autre nom que dans les métadonnées ; il a été reconnu par son empreinte.", itiMeta)
	ruleDocument      = rule("xdm.document", greffe.Refuse, "Le fichier du document annoncé dans les métadonnées est absent de l’archive. Demandez un nouvel envoi à l’expéditeur.", itiXDM)
	ruleShared        = rule("xdm.shared", greffe.Hold, "Plusieurs documents des métadonnées désignent le même fichier. Une personne doit dire de quel document il s’agit.", itiMeta)
	ruleSize          = rule("xdm.size", greffe.Refuse, "La taille du fichier (%d octets) diffère de celle des métadonnées (%s). Demandez un nouvel envoi à l’expéditeur.", itiMeta)
	ruleHash          = rule("xdm.hash", greffe.Refuse, "L’empreinte du fichier diffère de celle des métadonnées : le document a été modifié ou abîmé. Demandez un nouvel envoi à l’expéditeur.", itiMeta)
	ruleNoSize        = rule("xdm.size.missing", greffe.Warning, "Les métadonnées ne donnent pas la taille du document.", itiMeta)
	ruleNoHash        = rule("xdm.hash.missing", greffe.Warning, "Les métadonnées ne donnent pas l’empreinte du document : son intégrité n’a pas pu être vérifiée.", itiMeta)
	ruleHashForm      = rule("xdm.hash.form", greffe.Hold, "L’empreinte donnée par les métadonnées n’est pas celle que prévoit la norme (SHA-1) : l’intégrité du document n’a pas pu être vérifiée. Vérifiez le document avant de le classer.", itiMeta)
	ruleValues        = rule("xdm.values", greffe.Hold, "Les métadonnées du document se contredisent : « %s » y a plusieurs valeurs. Vérifiez le document avant de le classer.", itiMeta)
	ruleReplaces      = rule("xdm.replaces", greffe.Hold, "D’après les métadonnées, le document remplace plusieurs documents, ou lui-même : une personne doit décider.", itiMeta+", associations")
	ruleAppends       = rule("xdm.appends", greffe.Warning, "Ce document en complète un autre, envoyé auparavant ; Greffe le transmet comme un document à part.", itiMeta+", associations")
	ruleTransforms    = rule("xdm.transforms", greffe.Info, "Ce document est une autre forme d’un document déjà envoyé.", itiMeta+", associations")
	ruleAssociationID = rule("xdm.association.id", greffe.Warning, "Un lien des métadonnées porte un identifiant qui n’existe pas ; il a été rattaché au seul document de l’archive.", itiMeta+", associations")
	ruleUniqueID      = rule("xdm.uniqueid", greffe.Warning, "Les métadonnées du document n’ont pas d’identifiant unique.", itiMeta)
	ruleTwice         = rule("xdm.uniqueid.twice", greffe.Hold, "Deux documents de l’archive portent le même identifiant. Comparez-les avant de les classer.", itiMeta)
	rulePatientID     = rule("xdm.patientid", greffe.Warning, "Les métadonnées du document n’ont pas d’identifiant de patient.", itiMeta)
	rulePatients      = rule("xdm.patients", greffe.Refuse, "Les métadonnées de l’archive désignent plusieurs patients. Demandez à l’expéditeur un envoi par patient.", "MSSanté, Référentiel socle n° 2, ECO.2.1.1")
	ruleCodes         = rule("xdm.codes", greffe.Warning, "Les métadonnées du document sont incomplètes : %s.", itiMeta)
	ruleAction        = rule("xdm.action", greffe.Hold, "L’action demandée (« %s ») n’est ni un remplacement (C) ni une suppression (D). Une personne doit décider.", "CI-SIS, Transmission au LPS, action")
)

// Rules about a document and its metadata together (DocumentEntry.Complete).
var (
	ruleNotCDA         = rule("xdm.cda", greffe.Refuse, "Le fichier est annoncé comme un document CDA, mais n’en est pas un. Demandez un nouvel envoi à l’expéditeur.", "CI-SIS, structuration minimale des documents de santé")
	ruleNotSameID      = rule("xdm.cda.id", greffe.Warning, "L’identifiant du document diffère de celui des métadonnées.", itiMeta)
	ruleNotSameType    = rule("xdm.cda.type", greffe.Warning, "Le type du document (%s) diffère de celui des métadonnées (%s).", itiMeta)
	ruleNotSameTitle   = rule("xdm.cda.title", greffe.Info, "Le titre du document diffère de celui des métadonnées.", itiMeta)
	ruleNotSameConf    = rule("xdm.cda.confidentiality", greffe.Warning, "La confidentialité du document diffère de celle des métadonnées ; les deux sont gardées.", itiMeta)
	ruleNotSamePatient = rule("xdm.cda.patient", greffe.Hold, "Le patient du document n’est pas celui des métadonnées. Vérifiez de qui il s’agit, ou demandez un nouvel envoi.", "MSSanté, Référentiel socle n° 2, ECO.2.1.1")
	ruleOtherParent    = rule("xdm.cda.replaces", greffe.Hold, "Le document dit remplacer un autre document que celui que désignent les métadonnées : une personne doit décider.", itiMeta+", associations")
	ruleDeleteReplaces = rule("xdm.cda.delete", greffe.Hold, "Les métadonnées demandent à la fois une suppression et un remplacement : une personne doit décider.", "CI-SIS, Transmission au LPS, action")
	ruleNoAction       = rule("xdm.cda.action", greffe.Warning, "Le document en remplace un autre, mais les métadonnées ne le disent pas.", "CI-SIS, Transmission au LPS, action")
	ruleNoParent       = rule("xdm.cda.parent", greffe.Warning, "Les métadonnées demandent un remplacement, mais le document ne dit pas lequel il remplace.", "CI-SIS, Transmission au LPS, action")
)

func rule(id string, severity greffe.Severity, text, source string) greffe.Rule {
	return greffe.Rule{ID: id, Severity: severity, Text: text, Source: source}
}

// Rules returns every rule of this package.
func Rules() []greffe.Rule {
	return []greffe.Rule{
		ruleZip, ruleTruncated, ruleSplit, ruleContradiction, ruleOverlap, rulePrefix, ruleTrailing, ruleEntries, ruleTotal, ruleRatio, rulePath, ruleSymlink, ruleEncrypted, ruleMethod, ruleDuplicate, ruleEntry, ruleNames,
		ruleMissing, ruleMetadataXML, ruleMetadataRoot, ruleMetadataWrapped, ruleEbRIM, ruleNamespace, ruleBlanks, ruleLayout, ruleWrapped, ruleIndex,
		ruleCopy, ruleSets, ruleSet, ruleNone, ruleMany, ruleAssociation, ruleAssociationLost, ruleAssociationID, ruleActionSet, ruleUnreferenced,
		ruleURI, ruleURIAttribute, ruleURICase, ruleURIHash, ruleDocument, ruleShared, ruleSize, ruleHash, ruleNoSize, ruleNoHash, ruleHashForm, ruleValues, ruleReplaces, ruleAppends, ruleTransforms,
		ruleUniqueID, ruleTwice, rulePatientID, rulePatients, ruleCodes, ruleAction,
		ruleNotCDA, ruleNotSameID, ruleNotSameType, ruleNotSameTitle, ruleNotSameConf, ruleNotSamePatient, ruleOtherParent, ruleDeleteReplaces, ruleNoAction, ruleNoParent,
	}
}
