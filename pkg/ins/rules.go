package ins

import "greffe/pkg/greffe"

const (
	insGuide = "Référentiel INS (matricule, OID et traits)"
	rniv     = "RNIV, traits stricts ; CI-SIS, Transmission au LPS, code 905"
	ref2     = "MSSanté, Référentiel socle n° 2, ECO.2.1.1"
	ours     = "Greffe"
)

// Rules about the matricule.
var (
	ruleMissing     = rule("ins.missing", greffe.Hold, "Le document ne porte pas d’INS : une personne doit retrouver le patient.", "CI-SIS, Transmission au LPS, code 903")
	ruleTwo         = rule("ins.two", greffe.Hold, "Le document porte deux INS différents pour le patient : une personne doit vérifier de qui il s’agit.", insGuide)
	ruleEnvironment = rule("ins.environment", greffe.Refuse, "L’INS n’est pas du bon environnement : %s reçu sur une installation %s. Prévenez le service informatique : l’expéditeur ou cette installation est mal réglé.", insGuide)
	ruleSyntax      = rule("ins.syntax", greffe.Hold, "Le matricule INS est mal formé (15 caractères attendus). Une personne doit retrouver le patient.", insGuide)
	ruleKey         = rule("ins.key", greffe.Hold, "La clé du matricule INS est fausse : c’est sans doute une faute de frappe. Une personne doit vérifier de qui il s’agit.", insGuide)
	ruleKeyTest     = rule("ins.key.test", greffe.Warning, "La clé de ce matricule INS de test est fausse.", insGuide)
	ruleNoKey       = rule("ins.key.missing", greffe.Hold, "Le matricule INS n’a que 13 caractères : sa clé manque, rien n’y protège d’une faute de frappe. Une personne doit vérifier de qui il s’agit.", insGuide)
	ruleForm        = rule("ins.form", greffe.Warning, "Le matricule INS est écrit avec des espaces, des points ou des minuscules : le DI peut ne pas le reconnaître.", insGuide)
	ruleProvisional = rule("ins.provisional", greffe.Warning, "Le matricule est un numéro d’attente, mais il est présenté comme un NIR définitif.", insGuide)
	ruleOID         = rule("ins.oid", greffe.Warning, "Un identifiant du patient a la forme d’un matricule INS sans en porter l’OID : il n’est pas pris pour une INS.", insGuide)
	ruleObsolete    = rule("ins.obsolete", greffe.Info, "Le document porte un ancien identifiant calculé (INS-C), abandonné : il n’est pas utilisé.", insGuide)
)

// Rules about the traits.
var (
	ruleTraits = rule("ins.traits", greffe.Hold, "L’INS n’est pas accompagné de ses cinq traits stricts ; il manque : %s. Une personne doit vérifier de qui il s’agit.", rniv)
	ruleGiven  = rule("ins.given", greffe.Warning, "Le premier prénom de naissance n’est pas le premier de la liste des prénoms.", rniv)
	ruleDate   = rule("ins.date", greffe.Warning, "La date de naissance n’existe pas au calendrier.", rniv)
	rulePlace  = rule("ins.place", greffe.Warning, "Le lieu de naissance n’est pas un code INSEE de commune ou de pays : le DI peut refuser le document (905).", rniv)
	ruleBirth  = rule("ins.birth", greffe.Warning, "L’année ou le mois de naissance ne correspond pas au matricule INS.", ours)
	ruleSex    = rule("ins.sex", greffe.Warning, "Le sexe ne correspond pas au matricule INS.", ours)
	ruleBorn   = rule("ins.birthplace", greffe.Info, "Le lieu de naissance n’est pas celui que porte le matricule INS.", ours)
)

// Rules about two descriptions of the patient of one document.
var (
	ruleConflict = rule("ins.conflict", greffe.Hold, "Le document (CDA) et ses métadonnées (METADATA.XML) ne décrivent pas le même patient ; ce qui diffère : %s. Une personne doit vérifier.", ref2)
	ruleSpelling = rule("ins.spelling", greffe.Warning, "Le document (CDA) et ses métadonnées (METADATA.XML) n’écrivent pas de la même façon %s.", ref2)
)

func rule(id string, severity greffe.Severity, text, source string) greffe.Rule {
	return greffe.Rule{ID: id, Severity: severity, Text: text, Source: source}
}

// Rules returns every rule of this package.
func Rules() []greffe.Rule {
	return []greffe.Rule{
		ruleMissing, ruleTwo, ruleEnvironment, ruleSyntax, ruleKey, ruleKeyTest, ruleNoKey, ruleForm, ruleProvisional, ruleOID, ruleObsolete,
		ruleTraits, ruleGiven, ruleDate, rulePlace, ruleBirth, ruleSex, ruleBorn, ruleConflict, ruleSpelling,
		ruleRPPS, ruleADELI, ruleFINESS, ruleSIREN, ruleSIRET, ruleNational, ruleStructure,
	}
}
