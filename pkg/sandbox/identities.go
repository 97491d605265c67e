package sandbox

import (
	"fmt"
	"strconv"
	"strings"

	"greffe/pkg/greffe"
)

// Everything in the sandbox is about people who do not exist: the matricules are
// of the INS test OID, for communes that have no such code, so that no real
// person can match; professionals and structures carry numbers outside the
// ranges in use; mail domains end in .example (RFC 2606).

// OIDs of identifiers (domain: CI-SIS, identifiers of patients and professionals).
const (
	oidINSTest       = "1.2.250.1.213.1.4.10" // INS-NIR of test
	oidINSProduction = "1.2.250.1.213.1.4.8"  // INS-NIR of production
	oidPersons       = "1.2.250.1.71.4.2.1"   // IDNPS
	oidStructures    = "1.2.250.1.71.4.2.2"   // IDNST
	oidHospital      = "1.2.250.1.999.1"      // the hospital of the sandbox: its IPP
	oidDocuments     = "1.2.250.1.999.2"      // documents of the senders
)

// matricule returns a matricule of 15 characters with its key (97 − N mod 97,
// where 2A counts as 19 and 2B as 18). first is its first 13 characters.
func matricule(first string) string {
	digits := strings.NewReplacer("2A", "19", "2B", "18").Replace(first)
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(first) != 13 {
		panic("sandbox: not the beginning of a matricule: " + first) // a constant of this package
	}
	return fmt.Sprintf("%s%02d", first, 97-n%97)
}

// person builds a patient with an INS of test and five strict traits. first is
// the beginning of the matricule, birth YYYYMMDD, cog the code of the birth place.
func person(first, family, used, givens, birth, cog string) greffe.Patient {
	given, _, _ := strings.Cut(givens, " ")
	sex := "M"
	if first[0] == '2' {
		sex = "F"
	}
	p := greffe.Patient{
		INS: greffe.OID{Root: oidINSTest, Extension: matricule(first)}, BirthFamily: family, UsedFamily: used,
		FirstGiven: given, Givens: givens, UsedGiven: given, Sex: sex, BirthDate: birth, BirthPlace: cog,
	}
	p.IDs = []greffe.OID{p.INS}
	return p
}

// Patients with a part in the samples. The demo DI knows all of them but the last two.
var (
	maelle   = person("2850229999077", "ESSAI-KERVELLA", "ESSAI-KERVELLA", "MAELLE ANNE", "19850214", "29999")
	yvon     = person("1480529999012", "TESTARD", "TESTARD", "YVON MARIE", "19480503", "29999")
	soizic   = person("2911229999034", "FICTIF-LE GALL", "MARTINEAU", "SOIZIC", "19911224", "29999")
	pascal   = person("155082A999123", "ESSAI-CASANOVA", "ESSAI-CASANOVA", "PASCAL ANTOINE", "19550817", "2A999")
	laetitia = person("292072B999115", "TESTINI", "ROSSI-TESTINI", "LAETITIA", "19920709", "2B999")
	joao     = person("1721199999055", "FICTIVO", "FICTIVO", "JOAO PEDRO", "19721130", "99999")
	jeanne   = person("2320629999021", "TESTEVUIDE", "L'ESSAI", "JEANNE MARIE-LOUISE", "19320618", "29999")
	lucas    = person("1180929999045", "FICTIF", "FICTIF", "LUCAS", "20180905", "29999")
	unknown  = person("1660329999099", "INCONNU-ESSAI", "INCONNU-ESSAI", "ARMAND", "19660322", "29999")
	stranger = person("2740129999088", "ESSAI-ABSENT", "ESSAI-ABSENT", "ODILE", "19740111", "29999")
)

// mistyped is a patient whose matricule of test carries a wrong key, as several
// of the official examples do; the DI knows her by it.
var mistyped = func() greffe.Patient {
	p := person("2630429999066", "TESTU", "TESTU", "BRIGITTE", "19630409", "29999")
	key := "01"
	if strings.HasSuffix(p.INS.Extension, key) {
		key = "02"
	}
	p.INS.Extension = p.INS.Extension[:13] + key
	p.IDs = []greffe.OID{p.INS}
	return p
}()

// pipelinePatients is how many different patients Patient gives.
const pipelinePatients = 1000

// Patient returns one of 1,000 invented patients, for i from 0; i wraps around.
func Patient(i int) greffe.Patient {
	i = (i%pipelinePatients + pipelinePatients) % pipelinePatients
	starts := []string{"ESSAI", "TESTOU", "FICTI", "EXEMPLO", "MODELI", "EPREUVE", "SPECIMEN", "FIGUREL", "PROTOTI", "BANCDE"}
	ends := []string{"KER", "VEC", "GUEN", "BERT", "MARE", "DANE", "LOUX", "RIEU", "SANS", "TIER"}
	women := []string{"ANNE", "CLAIRE", "DENISE", "ELODIE", "FANNY", "GWENAELLE", "HELENE", "INES", "JULIE", "KARINE"}
	men := []string{"ALAIN", "BRUNO", "CEDRIC", "DIDIER", "ERWAN", "FABRICE", "GILLES", "HUGO", "IVAN", "JEAN"}
	sex, given := 1, men[i/100]
	if i%2 == 0 {
		sex, given = 2, women[i/100]
	}
	year, month, day := 1930+i%90, 1+i/90%12, 1+i%28
	first := fmt.Sprintf("%d%02d%02d29999%03d", sex, year%100, month, 1+i%999)
	family := starts[i%10] + ends[i/10%10]
	return person(first, family, family, given+" MARIE", fmt.Sprintf("%d%02d%02d", year, month, day), "29999")
}

// KnownPatients returns the patients that the demo DI knows: those of the samples
// that it should know, and every Patient.
func KnownPatients() []greffe.Patient {
	list := []greffe.Patient{maelle, yvon, soizic, pascal, laetitia, joao, jeanne, lucas, mistyped}
	for i := range pipelinePatients {
		list = append(list, Patient(i))
	}
	return list
}

// sender is a professional with the structure and mailbox that mails come from.
type sender struct {
	person   greffe.Person
	address  string
	facility greffe.Code
	practice greffe.Code
	software string // X-MSS-NIL
}

func luhn(digits string) string {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return digits + strconv.Itoa((10-sum%10)%10)
}

// professional builds a sender: the RPPS and FINESS numbers are outside the
// ranges in use, with the right check digit.
func professional(rpps int, prefix, given, family string, specialty greffe.Code, finess int, structure, address string, facility, practice greffe.Code) sender {
	return sender{
		person: greffe.Person{
			ID: greffe.OID{Root: oidPersons, Extension: "8" + luhn(fmt.Sprintf("999%07d", rpps))}, Prefix: prefix, Given: given, Family: family,
			Specialty:    specialty,
			Organization: greffe.Org{ID: greffe.OID{Root: oidStructures, Extension: "1" + luhn(fmt.Sprintf("99%06d", finess))}, Name: structure},
		},
		address: address, facility: facility, practice: practice, software: "DEV999001",
	}
}

// Codes of the value sets JDV_J01, J02, J04 and J07 that the samples use.
var (
	generalist   = greffe.Code{Code: "G15_10/SM26", System: "1.2.250.1.213.1.1.4.5", Label: "Médecin - Qualifié en Médecine Générale (SM)"}
	cardiologist = greffe.Code{Code: "G15_10/SM04", System: "1.2.250.1.213.1.1.4.5", Label: "Médecin - Cardiologie et maladies vasculaires (SM)"}
	radiologist  = greffe.Code{Code: "G15_10/SM44", System: "1.2.250.1.213.1.1.4.5", Label: "Médecin - Radio-diagnostic (SM)"}
	biologist    = greffe.Code{Code: "G15_10/SM03", System: "1.2.250.1.213.1.1.4.5", Label: "Médecin - Biologie médicale (SM)"}

	publicHospital = greffe.Code{Code: "SA01", System: "1.2.250.1.71.4.2.4", Label: "Etablissement public de santé"}
	ownPractice    = greffe.Code{Code: "SA07", System: "1.2.250.1.71.4.2.4", Label: "Cabinet individuel"}
	groupPractice  = greffe.Code{Code: "SA08", System: "1.2.250.1.71.4.2.4", Label: "Cabinet de groupe"}
	laboratory     = greffe.Code{Code: "SA25", System: "1.2.250.1.71.4.2.4", Label: "Laboratoire de biologie médicale"}

	ambulatory  = greffe.Code{Code: "AMBULATOIRE", System: "1.2.250.1.213.1.1.4.9", Label: "Ambulatoire"}
	institution = greffe.Code{Code: "ETABLISSEMENT", System: "1.2.250.1.213.1.1.4.9", Label: "Etablissement de santé"}

	typeImaging      = loinc("18748-4", "CR d'imagerie médicale")
	typeLaboratory   = loinc("11502-2", "CR d'examens biologiques")
	typeConsultation = loinc("11488-4", "CR ou fiche de consultation ou de visite")
	typeDischarge    = loinc("11490-0", "Lettre de liaison à la sortie d'un établissement de soins")
	typeStay         = loinc("34112-3", "CR hospitalier (séjour)")
	typePrescription = loinc("57833-6", "Prescription de produits de santé")
	typeMeeting      = loinc("34794-8", "CR de réunion de concertation pluridisciplinaire")

	classReport       = greffe.Code{Code: "10", System: "1.2.250.1.213.1.1.4.1", Label: "Compte rendu"}
	classImaging      = greffe.Code{Code: "31", System: "1.2.250.1.213.1.1.4.1", Label: "Imagerie médicale"}
	classPrescription = greffe.Code{Code: "42", System: "1.2.250.1.213.1.1.4.1", Label: "Prescription"}

	formatPDF        = greffe.Code{Code: "urn:ihe:iti:xds-sd:pdf:2008", System: "1.2.250.1.213.1.1.4.12", Label: "Document à corps non structuré en Pdf/A-1"}
	formatLaboratory = greffe.Code{Code: "urn:ihe:lab:xd-lab:2008", System: "1.2.250.1.213.1.1.4.12", Label: "CR d'examens biologiques"}
	formatImaging    = greffe.Code{Code: "urn:ihe:rad:CDA:ImagingReportStructuredHeadings:2013", System: "1.2.250.1.213.1.1.4.12", Label: "CR d'imagerie médicale"}

	normal = greffe.Code{Code: "N", System: "2.16.840.1.113883.5.25", Label: "Normal"}
)

func loinc(code, label string) greffe.Code {
	return greffe.Code{Code: code, System: "2.16.840.1.113883.6.1", Label: label}
}

func masking(code, label string) greffe.Code {
	return greffe.Code{Code: code, System: "1.2.250.1.213.1.1.4.13", Label: label}
}

// Senders of the samples.
var (
	martel = professional(1, "DR", "Yvon", "MARTEL", generalist, 1, "Cabinet du docteur Martel",
		"yvon.martel@cabinet-martel.example", ownPractice, ambulatory)
	leroux = professional(2, "DR", "Camille", "LEROUX-ESSAI", radiologist, 2, "Imagerie médicale de la Rade",
		"secretariat@imagerie-rade.example", groupPractice, ambulatory)
	labo = professional(3, "DR", "Solène", "TESTIER", biologist, 3, "Laboratoire de l'Odet",
		"resultats@labo-odet.example", laboratory, ambulatory)
	clinic = professional(4, "DR", "Bertrand", "D'ESSAINT", cardiologist, 4, "Centre hospitalier de Test-sur-Mer",
		"cardiologie@ch-test-sur-mer.example", publicHospital, institution)
)
