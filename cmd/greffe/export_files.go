package main

import (
	"encoding/csv"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// exportDocument is one document of index.json.
type exportDocument struct {
	ID       greffe.DocumentID `json:"id"`
	Message  greffe.MessageID  `json:"message"`
	Mailbox  string            `json:"mailbox"`
	Received time.Time         `json:"received"` // by Greffe
	Created  string            `json:"created,omitempty"`
	Title    string            `json:"title,omitempty"`
	Type     greffe.Code       `json:"type,omitzero"`
	Format   greffe.Format     `json:"format"`
	Author   string            `json:"author,omitempty"`
	Patient  exportPatient     `json:"patient"`
	State    greffe.State      `json:"state"`
	Suspect  bool              `json:"suspect,omitempty"` // the antivirus did not call it clean
	Files    []exportFile      `json:"files"`             // the first is the document itself, unless Remark says that it is missing
	Remark   string            `json:"remark,omitempty"`  // French: what could not be copied

	plan []plannedFile
}

// exportPatient is whom the document names; nothing in it was verified by the export.
type exportPatient struct {
	Family    string `json:"family,omitempty"`
	Given     string `json:"given,omitempty"`
	BirthDate string `json:"birth_date,omitempty"`
	INS       string `json:"ins,omitempty"`
}

// exportFile is one file of a document.
type exportFile struct {
	File      string        `json:"file"`
	Role      string        `json:"role"` // document, or reading: the file inside a CDA that a person reads
	MediaType string        `json:"media_type,omitempty"`
	Size      int64         `json:"size"`
	SHA256    greffe.Digest `json:"sha256"`
}

type plannedFile struct {
	file   exportFile
	object greffe.Object
}

func newExportDocument(m *greffe.Parsed, d index.Document) exportDocument {
	f := &d.Facts
	x := exportDocument{
		ID: d.ID, Message: d.Message, Mailbox: d.Origin.Mailbox, Received: d.ReceivedAt, Created: f.Created, Title: titleOf(f), Type: f.Type, Format: f.Format,
		Patient: exportPatient{Family: f.Patient.BirthFamily, Given: f.Patient.FirstGiven, BirthDate: f.Patient.BirthDate, INS: f.Patient.INS.Extension},
		State:   d.State, Suspect: greffe.Unsafe(f.Findings), Files: []exportFile{},
	}
	if x.Patient.Family == "" {
		x.Patient.Family = f.Patient.UsedFamily
	}
	if x.Patient.Given == "" {
		x.Patient.Given = f.Patient.UsedGiven
	}
	if len(f.Authors) > 0 {
		a := f.Authors[0]
		x.Author = strings.Join(strings.Fields(a.Prefix+" "+a.Given+" "+a.Family+" "+a.Device), " ")
	}
	stem := fileStem(d)
	x.add(stem, "document", mediaOf(m, f.Part, f.MediaType), d.Object)
	if d.BodyObject.SHA256 != d.Object.SHA256 {
		x.add(stem, "reading", mediaOf(m, f.Body, ""), d.BodyObject)
	}
	return x
}

func (x *exportDocument) add(stem, role, media string, o greffe.Object) {
	if o.IsZero() {
		return
	}
	name := "documents/" + stem
	if role == "reading" && greffe.Extension(media) == greffe.Extension(x.plan[0].file.MediaType) {
		name += "-lisible" // a CDA in a CDA
	}
	name += greffe.Extension(media)
	if x.Suspect {
		name = "documents/SUSPECT-" + strings.TrimPrefix(name, "documents/") + ".suspect"
	}
	x.plan = append(x.plan, plannedFile{exportFile{name, role, media, o.Size, o.SHA256}, o})
}

// mediaOf returns the media type of a part by its content.
func mediaOf(m *greffe.Parsed, part, declared string) string {
	if m != nil {
		for _, p := range m.Parts {
			if p.Path == part && p.Detected != "" {
				return p.Detected
			}
		}
	}
	return declared
}

func titleOf(d *greffe.Document) string {
	switch {
	case strings.TrimSpace(d.Title) != "":
		return d.Title
	case d.Type.Label != "":
		return d.Type.Label
	}
	return d.Format.French()
}

// fileStem is the name of the files of a document without ending: its date, its title,
// its patient and, which makes it unique, its id.
func fileStem(d index.Document) string {
	day := d.ReceivedAt.UTC().Format("2006-01-02")
	if t, err := time.Parse("20060102", d.Facts.Created[:min(8, len(d.Facts.Created))]); err == nil {
		day = t.Format("2006-01-02")
	}
	p := &d.Facts.Patient
	family, given := p.BirthFamily, p.FirstGiven
	if family == "" {
		family = p.UsedFamily
	}
	parts := []string{day, safeName(titleOf(&d.Facts), 60)}
	if who := safeName(family+" "+given, 40); who != "" {
		parts = append(parts, who)
	}
	return strings.Join(append(parts, string(d.ID)), "_")
}

// safeName writes s with ASCII letters, digits and hyphens only, at most n bytes: a name
// that every file system and every archiver takes, whatever the sender wrote.
func safeName(s string, n int) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(ligatures.Replace(s[:min(len(s), 1000)])) {
		switch {
		case r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r): // an accent
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= n {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}

var ligatures = strings.NewReplacer("œ", "oe", "Œ", "OE", "æ", "ae", "Æ", "AE", "ß", "ss", "ø", "o", "Ø", "O")

// csv is index.csv: one line a file, for the spreadsheets that are used in France
// (semicolons, a byte order mark).
func (x *exportIndex) csv() (string, error) {
	var b strings.Builder
	b.WriteString("\ufeff")
	w := csv.NewWriter(&b)
	w.Comma, w.UseCRLF = ';', true
	rows := [][]string{{"Fichier", "Rôle", "Document", "Message", "Boîte aux lettres", "Reçu le (UTC)", "Date du document", "Titre", "Code du type", "Auteur",
		"Nom de naissance", "Prénom", "Date de naissance", "INS", "État", "Suspect", "Taille", "SHA-256", "Remarque"}}
	for _, d := range x.Documents {
		files := d.Files
		if len(files) == 0 {
			files = []exportFile{{}}
		}
		for _, f := range files {
			suspect, role := "", map[string]string{"document": "document", "reading": "lecture"}[f.Role]
			if d.Suspect {
				suspect = "oui"
			}
			rows = append(rows, []string{f.File, role, string(d.ID), string(d.Message), d.Mailbox, d.Received.UTC().Format("2006-01-02 15:04:05"), d.Created, d.Title, d.Type.Code, d.Author,
				d.Patient.Family, d.Patient.Given, d.Patient.BirthDate, d.Patient.INS, string(d.State), suspect, strconv.FormatInt(f.Size, 10), string(f.SHA256), d.Remark})
		}
	}
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
	}
	err := w.WriteAll(rows)
	return b.String(), err
}

// cell keeps a spreadsheet from taking what a sender wrote for a formula, and a line
// in its line.
func cell(s string) string {
	s = strings.Join(strings.FieldsFunc(s, unicode.IsControl), " ")
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}
