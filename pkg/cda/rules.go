package cda

import "greffe/pkg/greffe"

const (
	structMin = "CI-SIS, structuration minimale des documents de santé, en-tête"
	xdsSD     = "IHE ITI XDS-SD, corps non structuré"
)

// Rules about the file as XML. RuleXML, RuleLimits and RuleEncoding take the
// reason in French.
var (
	RuleXML      = greffe.Rule{ID: "cda.xml", Severity: greffe.Refuse, Text: "Le document ne peut pas être lu jusqu’au bout : %s. Demandez un nouvel envoi à l’expéditeur.", Source: "XML 1.0 §2.1 et Namespaces in XML 1.0 §7"}
	RuleDTD      = greffe.Rule{ID: "cda.dtd", Severity: greffe.Refuse, Text: "Le document contient une déclaration de type (DTD), interdite dans un document de santé. Demandez un nouvel envoi à l’expéditeur.", Source: "Greffe"}
	RuleLimits   = greffe.Rule{ID: "cda.limits", Severity: greffe.Refuse, Text: "Le document dépasse les limites de lecture : %s. Demandez un nouvel envoi à l’expéditeur.", Source: "Greffe"}
	RuleEncoding = greffe.Rule{ID: "cda.encoding", Severity: greffe.Refuse, Text: "Le document est écrit dans un jeu de caractères que Greffe ne lit pas (%s). Demandez un nouvel envoi à l’expéditeur.", Source: "XML 1.0 §4.3.3"}
	RuleDeclared = greffe.Rule{ID: "cda.encoding.declared", Severity: greffe.Warning, Text: "Le document n’est pas écrit dans le jeu de caractères qu’il annonce. Greffe l’a lu au mieux : vérifiez les accents, et que le dossier du patient l’accepte.", Source: "XML 1.0 §4.3.3"}
)

// Rules about the header. Cardinalities are warnings: a document that breaks one
// can be attached. What would make it wrong, or attach it to the wrong patient, is held.
var (
	ruleRoot      = rule("cda.root", greffe.Refuse, "Le fichier n’est pas un document CDA. Demandez un nouvel envoi à l’expéditeur.", "HL7 CDA R2 §4.2.1")
	ruleNamespace = rule("cda.namespace", greffe.Hold, "L’espace de noms du document n’est pas celui de CDA R2 (urn:hl7-org:v3). Vérifiez le document avant de le classer.", "HL7 CDA R2 §4.2.1")
	ruleBlanks    = rule("cda.blanks", greffe.Info, "Des blancs précèdent le XML ; ils ont été ignorés.", "XML 1.0 §2.8")
	ruleRealm     = rule("cda.realm", greffe.Warning, "Le domaine d’application du document n’est pas la France (realmCode FR).", structMin)
	ruleType      = rule("cda.typeid", greffe.Warning, "L’identifiant de type CDA (typeId POCD_HD000040) manque ou est inattendu.", structMin)
	ruleTemplate  = rule("cda.template", greffe.Warning, "Le document ne déclare pas sa conformité au CI-SIS (templateId).", structMin)
	ruleID        = rule("cda.id", greffe.Hold, "Le document n’a pas d’identifiant unique : une personne doit décider.", structMin)
	ruleCode      = rule("cda.code", greffe.Warning, "Le type du document (code) n’est pas indiqué.", structMin)
	ruleTitle     = rule("cda.title", greffe.Warning, "Le document n’a pas de titre.", structMin)
	ruleTime      = rule("cda.time", greffe.Warning, "La date du document manque ou n’est pas une date.", structMin)
	ruleConf      = rule("cda.confidentiality", greffe.Warning, "Le niveau de confidentialité n’est pas indiqué.", structMin)
	ruleLanguage  = rule("cda.language", greffe.Warning, "La langue du document manque ou est mal écrite.", structMin)
	ruleSet       = rule("cda.set", greffe.Warning, "L’identifiant commun aux versions du document (setId) manque.", structMin)
	ruleVersion   = rule("cda.version", greffe.Warning, "Le numéro de version manque ou n’est pas un entier positif.", structMin)
	ruleAuthor    = rule("cda.author", greffe.Warning, "L’auteur du document n’est pas indiqué, ou il est sans nom.", structMin)
	ruleCustodian = rule("cda.custodian", greffe.Warning, "L’organisme chargé de la conservation n’est pas indiqué.", structMin)
	ruleSigner    = rule("cda.signer", greffe.Warning, "Le responsable du document (legalAuthenticator) manque.", structMin)
	ruleService   = rule("cda.service", greffe.Warning, "L’acte documenté est incomplet : %s.", structMin)
	ruleEncounter = rule("cda.encounter", greffe.Warning, "La prise en charge (componentOf) est incomplète : %s.", structMin)
	ruleRepeated  = rule("cda.repeated", greffe.Warning, "L’élément %s est écrit plusieurs fois ; le premier a été lu.", structMin)
	ruleIDs       = rule("cda.ids", greffe.Hold, "Le document porte plusieurs identifiants différents. Vérifiez le document avant de le classer.", structMin)
	ruleLong      = rule("cda.long", greffe.Hold, "Une donnée d’en-tête est démesurée (%s) ; elle n’a pas été reprise. Vérifiez le document avant de le classer.", "Greffe")
	ruleMany      = rule("cda.many", greffe.Warning, "L’en-tête contient trop d’éléments %s ; les premiers ont été lus.", "Greffe")
	ruleBody      = rule("cda.body", greffe.Hold, "Le document n’a pas de corps. Demandez un nouvel envoi à l’expéditeur.", structMin)
	ruleBodyType  = rule("cda.body.type", greffe.Warning, "Le corps du document n’est pas un PDF en base 64 (type annoncé : %s).", xdsSD)

	ruleReference  = rule("cda.reference", greffe.Info, "Le document renvoie à un fichier qu’il ne contient pas ; Greffe ne va jamais le chercher.", "HL7 CDA R2, ED.reference")
	ruleForeign    = rule("cda.value.base64", greffe.Warning, "Un fichier contenu dans le document est mal codé (base 64) : les caractères étrangers ont été ignorés. Vérifiez qu’il s’ouvre.", "RFC 4648 §3.3")
	ruleCut        = rule("cda.value.cut", greffe.Warning, "Un fichier contenu dans le document semble tronqué : la fin de son codage manque. Vérifiez qu’il s’ouvre.", "RFC 4648 §4")
	ruleCompressed = rule("cda.value.compressed", greffe.Hold, "Un fichier contenu dans le document est compressé et n’a pas pu être lu : %s. Demandez un nouvel envoi.", "HL7 v3, ED.compression")
	ruleMethod     = rule("cda.value.method", greffe.Hold, "Un fichier contenu dans le document est compressé d’une façon que Greffe n’ouvre pas (%s) : une personne doit décider.", "HL7 v3, ED.compression")
	ruleIntegrity  = rule("cda.value.integrity", greffe.Hold, "Un fichier contenu dans le document ne correspond pas à son empreinte (integrityCheck) : il a pu être altéré. Demandez un nouvel envoi.", "HL7 v3, ED.integrityCheck")
	ruleAlgorithm  = rule("cda.value.algorithm", greffe.Info, "L’empreinte d’un fichier contenu dans le document n’a pas été vérifiée : son algorithme n’est pas connu (%s).", "HL7 v3, ED.integrityCheckAlgorithm")

	ruleVolet       = rule("cda.template.volet", greffe.Warning, "Le document ne dit pas quel modèle de document du CI-SIS il suit (templateId).", structMin+", templateId 3..*")
	ruleConfMask    = rule("cda.confidentiality.mask", greffe.Warning, "L’en-tête porte une marque de masquage (%s) à la place du niveau de confidentialité ; elle a été prise en compte.", structMin+", confidentialityCode")
	ruleAuthorLacks = rule("cda.author.lacks", greffe.Warning, "L’auteur du document est incomplet ; il manque : %s.", structMin+", author")
	ruleSignerLacks = rule("cda.signer.lacks", greffe.Warning, "Le responsable du document est incomplet ; il manque : %s.", structMin+", legalAuthenticator 1..1")
	ruleCustodianID = rule("cda.custodian.id", greffe.Warning, "L’organisme chargé de la conservation n’a pas d’identifiant national.", structMin+", custodian")
	ruleParticipant = rule("cda.participant", greffe.Warning, "La participation d’une personne (participant) n’est pas datée.", structMin+", participant/time")
	ruleConsent     = rule("cda.consent", greffe.Warning, "Un consentement (authorization) n’est pas dans l’état « completed ».", structMin+", authorization/consent")
	ruleRelated     = rule("cda.related", greffe.Warning, "Le document se rapporte à un autre sans le remplacer (%s) : Greffe le traite comme un document à part.", structMin+", relatedDocument")
	ruleQualifier   = rule("cda.patient.qualifier", greffe.Warning, "Un nom du patient ne dit pas s’il est de naissance ou utilisé : il a été lu comme nom utilisé, sauf mention contraire.", structMin+", recordTarget, family/@qualifier")

	ruleParents    = rule("cda.parents", greffe.Hold, "Le document dit remplacer plusieurs documents différents. Une personne doit décider.", "CI-SIS, structuration minimale, relatedDocument 0..1")
	ruleParent     = rule("cda.parent", greffe.Warning, "Le document dit remplacer un document sans en donner l’identifiant.", "CI-SIS, structuration minimale, relatedDocument")
	ruleSelf       = rule("cda.self", greffe.Hold, "Le document dit se remplacer lui-même. Une personne doit décider.", "CI-SIS, structuration minimale, relatedDocument")
	ruleFirst      = rule("cda.first", greffe.Warning, "La version 1 du document dit remplacer un autre document.", "CI-SIS, structuration minimale, versionNumber")
	ruleParentSet  = rule("cda.parentset", greffe.Warning, "Le document remplacé n’appartient pas au même ensemble de versions (setId).", "CI-SIS, structuration minimale, setId")
	ruleParentLess = rule("cda.parentversion", greffe.Warning, "Le document remplacé a un numéro de version égal ou supérieur.", "CI-SIS, structuration minimale, versionNumber")

	rulePatient      = rule("cda.patient", greffe.Hold, "Le document ne dit pas de quel patient il s’agit. Une personne doit retrouver le patient.", structMin)
	rulePatientID    = rule("cda.patient.id", greffe.Hold, "Le patient n’a aucun identifiant dans le document. Une personne doit retrouver le patient.", structMin)
	rulePatients     = rule("cda.patients", greffe.Hold, "Le document désigne plusieurs patients. Vérifiez de qui il s’agit, ou demandez un nouvel envoi.", "CI-SIS, structuration minimale, recordTarget 1..1")
	rulePatientName  = rule("cda.patient.name", greffe.Hold, "Le document donne au patient plusieurs valeurs différentes : %s. Vérifiez de qui il s’agit.", "CI-SIS, structuration minimale, recordTarget")
	rulePatientBirth = rule("cda.patient.birth", greffe.Warning, "La date de naissance manque ou n’est pas une date.", "CI-SIS, structuration minimale, birthTime")
	rulePatientSex   = rule("cda.patient.sex", greffe.Warning, "Le sexe du patient manque ou n’est pas F, M ou UN.", "JDV_J143-AdministrativeGender-CISIS")
	rulePatientMail  = rule("cda.patient.mail", greffe.Hold, "L’adresse MSSanté du patient porte un autre matricule que son INS. Vérifiez de qui il s’agit.", "CI-SIS, structuration minimale, telecom du patient")
)

func rule(id string, severity greffe.Severity, text, source string) greffe.Rule {
	return greffe.Rule{ID: id, Severity: severity, Text: text, Source: source}
}

// Rules returns every rule of this package.
func Rules() []greffe.Rule {
	return []greffe.Rule{
		RuleXML, RuleDTD, RuleLimits, RuleEncoding, RuleDeclared,
		ruleRoot, ruleNamespace, ruleBlanks, ruleRealm, ruleType, ruleTemplate, ruleID, ruleCode, ruleTitle, ruleTime,
		ruleConf, ruleLanguage, ruleSet, ruleVersion, ruleAuthor, ruleCustodian, ruleSigner, ruleService, ruleEncounter,
		ruleRepeated, ruleIDs, ruleLong, ruleMany, ruleBody, ruleBodyType,
		ruleVolet, ruleConfMask, ruleAuthorLacks, ruleSignerLacks, ruleCustodianID, ruleParticipant, ruleConsent, ruleRelated, ruleQualifier,
		ruleReference, ruleForeign, ruleCut, ruleCompressed, ruleMethod, ruleIntegrity, ruleAlgorithm,
		ruleParents, ruleParent, ruleSelf, ruleFirst, ruleParentSet, ruleParentLess,
		rulePatient, rulePatientID, rulePatients, rulePatientName, rulePatientBirth, rulePatientSex, rulePatientMail,
	}
}
