package evidence

import (
	"fmt"
	"strings"
	"time"

	"greffe/pkg/report"
)

// maxRows bounds the rows of a table of the report; preuve.json has all of them.
const maxRows = 1000

// report writes preuve.pdf: what preuve.json says, to be read.
func (r *Record) report() ([]byte, error) {
	p, err := report.New("Relevé de preuve Greffe", r.Made)
	if err != nil {
		return nil, err
	}
	documents := 0
	for _, m := range r.Messages {
		documents += len(m.Documents)
	}
	p.Heading(1, "Relevé de preuve")
	p.Paragraph(verdictSentence(r))
	p.Table([]int{30, 70}, true, []string{"Élément", "Valeur"}, [][]string{
		{"Établi le", frenchTime(r.Made)},
		{"Par", r.By},
		{"Journal", r.Journal},
		{"Objet de la preuve", scopeFrench(r.Scope)},
		{"Messages", fmt.Sprint(len(r.Messages))},
		{"Documents", fmt.Sprint(documents)},
		{"Lignes du journal", fmt.Sprint(r.Entries)},
		{"Jetons d’horodatage", fmt.Sprint(len(r.Stamps))},
	})

	p.Heading(2, "Contrôles")
	p.Paragraph("Les contrôles du pack peuvent être refaits par quiconque avec ce seul pack, sans l’établissement et sans réseau. " +
		"Ceux de l’archive ont été faits dans l’établissement au moment de la preuve. Une réserve ne contredit rien : elle dit ce qui prouverait davantage et n’y est pas.")
	var rows [][]string
	for i, k := range r.Checks {
		where := "pack"
		if k.Where == whereArchive {
			where = "archive"
		}
		rows = append(rows, []string{fmt.Sprint(i + 1), k.Title + " (" + k.ID + ")", k.Status.French(), where, upperFirst(k.Compared) + "."})
	}
	p.Table([]int{5, 38, 9, 9, 39}, true, []string{"N°", "Contrôle", "Résultat", "Lieu", "Ce qui a été comparé"}, rows)
	for _, k := range r.Checks {
		if k.Status != StatusOK {
			p.Heading(3, k.ID+" : "+k.Status.French())
			p.Paragraph(k.Title + ". " + k.Text)
			rows = nil
			for _, f := range k.Faults {
				rows = append(rows, []string{f.File, f.Text})
			}
			if k.More > 0 {
				rows = append(rows, []string{"…", fmt.Sprintf("et %d autres", k.More)})
			}
			if len(rows) > 0 {
				p.Table([]int{50, 50}, true, []string{"Sur quoi", "Constat"}, rows)
			}
		}
	}

	p.Heading(2, "Messages et documents")
	p.Paragraph("Un document y est nommé par son identifiant et son empreinte SHA-256. Son titre, son patient et son auteur sont dans le manifeste de son message, joint au pack.")
	rows = nil
	for _, m := range r.Messages {
		what := "Message reçu"
		if m.Withheld {
			what = "Message reçu (non joint : il porte des documents d’un autre patient)"
		}
		rows = append(rows, []string{string(m.ID), what + " le " + frenchTime(m.Received) + " dans " + m.Mailbox, orDash(string(m.Mail))})
		for _, d := range m.Documents {
			label := d.Label
			if label == "" {
				label = d.Format.French()
			}
			rows = append(rows, []string{string(d.ID), "Document : " + label, string(d.SHA256)})
		}
	}
	p.Table([]int{32, 34, 34}, true, []string{"Identifiant", "Quoi", "SHA-256"}, bounded(rows))

	p.Heading(2, "Points de contrôle du journal")
	rows = nil
	for _, c := range r.Checkpoints {
		rows = append(rows, []string{fmt.Sprint(c.Size), frenchTime(c.Time), c.Root, strings.Join(c.Keys, ", ")})
	}
	p.Table([]int{12, 28, 44, 16}, true, []string{"Lignes", "Dernière ligne du", "Racine de l’arbre (base64)", "Clé"}, bounded(rows))

	p.Heading(2, "Horodatage")
	if len(r.Stamps) == 0 {
		p.Paragraph("Aucun jeton d’horodatage n’est joint : les dates sont celles de l’horloge de l’établissement.")
	} else {
		rows = nil
		for _, s := range r.Stamps {
			rows = append(rows, []string{frenchTime(s.Time), orDash(s.Authority), orDash(s.Policy), s.Checkpoint})
		}
		p.Table([]int{24, 26, 18, 32}, true, []string{"Date du jeton", "Autorité", "Politique", "Point de contrôle"}, bounded(rows))
	}

	p.Heading(2, "Ce que ce pack prouve")
	for _, s := range proves {
		p.Paragraph(s)
	}
	p.Heading(2, "Ce qu’il ne prouve pas")
	for _, s := range provesNot {
		p.Paragraph(s)
	}
	p.Heading(2, "Refaire les contrôles")
	p.Paragraph("LISEZMOI.txt, dans le pack, montre comment avec les seuls programmes sha256sum et openssl. Avec le programme Greffe, sans configuration ni réseau : " +
		"greffe verify --pack PACK.zip --key CLE.pub --tsa-ca AUTORITE.pem")
	return p.Bytes(), nil
}

// What a pack proves, and what not; in the report, in LISEZMOI.txt and in the help.
var (
	proves = []string{
		"Que les messages et documents joints sont, octet par octet, ceux que l’établissement a reçus de l’opérateur MSSanté et archivés : leurs empreintes sont dans les manifestes, celles des manifestes dans le journal.",
		"Que les lignes du journal qui disent leur réception, leur archivage, leur remise au dossier du patient et leur consultation n’ont été ni modifiées ni insérées après coup : elles sont dans un arbre de Merkle dont la racine est signée par la clé du journal.",
		"Que tout cela existait à la date de chaque jeton d’horodatage joint, au plus tard : cette date ne dépend pas de l’établissement, mais de l’autorité qui a signé le jeton.",
	}
	provesNot = []string{
		"Il ne dit pas que le contenu d’un document est exact, ni que son auteur est celui qu’il annonce : il a été reçu ainsi.",
		"Il ne dit pas qu’aucun autre document n’a été reçu : il porte sur ce qui a été demandé.",
		"Sans jeton d’horodatage, ou pour les lignes plus récentes que le dernier, les dates sont celles de l’horloge de l’établissement.",
		"Il vaut ce que valent la clé publique du journal et le certificat de l’autorité d’horodatage : demandez-les par une autre voie que ce pack.",
	}
)

func verdictSentence(r *Record) string {
	ok, warn, ko := 0, 0, 0
	for _, k := range r.Checks {
		switch k.Status {
		case StatusOK:
			ok++
		case StatusWarning:
			warn++
		default:
			ko++
		}
	}
	count := fmt.Sprintf("%d contrôles : %d conformes, %d avec réserve, %d en défaut. ", len(r.Checks), ok, warn, ko)
	switch r.Verdict {
	case StatusOK:
		return count + "Tout ce qui a été contrôlé est conforme."
	case StatusWarning:
		return count + "Rien n’est en défaut ; les réserves sont expliquées plus bas."
	}
	return count + "Au moins un contrôle est en défaut : la preuve n’est pas entière. Les défauts sont expliqués plus bas."
}

func scopeFrench(s Scope) string {
	switch s.Kind {
	case "document":
		return "un document"
	case "message":
		return "un message et ses documents"
	case "selection":
		return "des documents choisis un par un ou par une recherche"
	case "patient":
		return "les documents d’un patient" + periodFrench(s)
	}
	return "les messages reçus" + periodFrench(s)
}

func periodFrench(s Scope) string {
	t := ""
	if s.From != "" {
		t += " du " + s.From
	}
	if s.To != "" {
		t += " au " + s.To + " compris"
	}
	return t
}

func frenchTime(t time.Time) string { return t.UTC().Format("02/01/2006 15:04:05") + " UTC" }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func upperFirst(s string) string {
	r := []rune(s)
	if len(r) == 0 {
		return s
	}
	return strings.ToUpper(string(r[0])) + string(r[1:])
}

func bounded(rows [][]string) [][]string {
	if len(rows) <= maxRows {
		return rows
	}
	more := make([]string, len(rows[0]))
	more[0] = fmt.Sprintf("et %d autres, dans preuve.json", len(rows)-maxRows)
	return append(rows[:maxRows:maxRows], more)
}
