package fhir

import (
	"encoding/json"
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// Meta says which profiles a resource follows.
type Meta struct {
	Profile []string `json:"profile,omitempty"`
}

// Coding is a coded value.
type Coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code,omitempty"`
	Display string `json:"display,omitempty"`
}

// Concept is a CodeableConcept.
type Concept struct {
	Coding []Coding `json:"coding,omitempty"`
	Text   string   `json:"text,omitempty"`
}

// Identifier is a business identifier.
type Identifier struct {
	Use    string `json:"use,omitempty"`
	System string `json:"system,omitempty"`
	Value  string `json:"value,omitempty"`
}

// Token returns the form of the identifier in a search: system|value.
func (i Identifier) Token() string { return i.System + "|" + i.Value }

// OID returns the identifier as the documents write it; zero when its system is no OID.
func (i Identifier) OID() greffe.OID {
	if root, ok := strings.CutPrefix(i.Value, "urn:oid:"); ok && i.System == uri {
		return greffe.OID{Root: root}
	}
	root, ok := strings.CutPrefix(i.System, "urn:oid:")
	if !ok || i.Value == "" {
		return greffe.OID{}
	}
	return greffe.OID{Root: root, Extension: i.Value}
}

// Reference points at another resource, by address or by identifier.
type Reference struct {
	Reference  string      `json:"reference,omitempty"`
	Identifier *Identifier `json:"identifier,omitempty"`
	Display    string      `json:"display,omitempty"`
}

// Extension is an extension with one of the values Greffe uses.
type Extension struct {
	URL             string      `json:"url"`
	Extension       []Extension `json:"extension,omitempty"`
	ValueAddress    *Address    `json:"valueAddress,omitempty"`
	ValueCoding     *Coding     `json:"valueCoding,omitempty"`
	ValueConcept    *Concept    `json:"valueCodeableConcept,omitempty"`
	ValueIdentifier *Identifier `json:"valueIdentifier,omitempty"`
	ValueString     string      `json:"valueString,omitempty"`
}

// Address is a place of birth: its code is in an extension.
type Address struct {
	Extension []Extension `json:"extension,omitempty"`
}

// HumanName is a name with its use: official, usual, maiden.
type HumanName struct {
	Extension []Extension `json:"extension,omitempty"`
	Use       string      `json:"use,omitempty"`
	Family    string      `json:"family,omitempty"`
	Given     []string    `json:"given,omitempty"`
	Prefix    []string    `json:"prefix,omitempty"`
}

// Period is a span of time, each end a dateTime.
type Period struct {
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
}

// Patient is read from searches and sent contained, as the document says it.
type Patient struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id,omitempty"`
	Extension    []Extension  `json:"extension,omitempty"`
	Identifier   []Identifier `json:"identifier,omitempty"`
	Active       *bool        `json:"active,omitempty"`
	Name         []HumanName  `json:"name,omitempty"`
	Gender       string       `json:"gender,omitempty"`
	BirthDate    string       `json:"birthDate,omitempty"`
	Link         []Link       `json:"link,omitempty"`
}

// Link says what became of a patient's entry: replaced-by, replaces, refer, seealso.
type Link struct {
	Other Reference `json:"other"`
	Type  string    `json:"type"`
}

// Practitioner is an author or signer, contained.
type Practitioner struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id,omitempty"`
	Identifier   []Identifier `json:"identifier,omitempty"`
	Name         []HumanName  `json:"name,omitempty"`
}

// DocumentReference describes one document.
type DocumentReference struct {
	ResourceType     string            `json:"resourceType"`
	ID               string            `json:"id,omitempty"`
	Meta             *Meta             `json:"meta,omitempty"`
	Contained        []json.RawMessage `json:"contained,omitempty"`
	MasterIdentifier *Identifier       `json:"masterIdentifier,omitempty"`
	Identifier       []Identifier      `json:"identifier,omitempty"`
	Status           string            `json:"status,omitempty"`
	Type             *Concept          `json:"type,omitempty"`
	Category         []Concept         `json:"category,omitempty"`
	Subject          *Reference        `json:"subject,omitempty"`
	Date             string            `json:"date,omitempty"`
	Author           []Reference       `json:"author,omitempty"`
	Authenticator    *Reference        `json:"authenticator,omitempty"`
	Custodian        *Reference        `json:"custodian,omitempty"`
	RelatesTo        []RelatesTo       `json:"relatesTo,omitempty"`
	SecurityLabel    []Concept         `json:"securityLabel,omitempty"`
	Content          []Content         `json:"content,omitempty"`
	Context          *Context          `json:"context,omitempty"`
}

// RelatesTo links a document to the one it replaces.
type RelatesTo struct {
	Code   string    `json:"code"`
	Target Reference `json:"target"`
}

// Content is the file of a document.
type Content struct {
	Attachment Attachment `json:"attachment"`
	Format     *Coding    `json:"format,omitempty"`
}

// Attachment says where the bytes are. Hash is base64 of the 20 raw bytes of the
// SHA-1 of the file, not the hexadecimal that XDM writes.
type Attachment struct {
	ContentType string  `json:"contentType,omitempty"`
	Language    string  `json:"language,omitempty"`
	Data        *string `json:"data,omitempty"`
	URL         string  `json:"url,omitempty"`
	Size        int64   `json:"size,omitempty"`
	Hash        string  `json:"hash,omitempty"`
	Title       string  `json:"title,omitempty"`
	Creation    string  `json:"creation,omitempty"`
}

// Context is the clinical context of a document.
type Context struct {
	Event             []Concept  `json:"event,omitempty"`
	Period            *Period    `json:"period,omitempty"`
	FacilityType      *Concept   `json:"facilityType,omitempty"`
	PracticeSetting   *Concept   `json:"practiceSetting,omitempty"`
	SourcePatientInfo *Reference `json:"sourcePatientInfo,omitempty"`
}

// List is the submission set of an ITI-65 transaction.
type List struct {
	ResourceType string            `json:"resourceType"`
	ID           string            `json:"id,omitempty"`
	Contained    []json.RawMessage `json:"contained,omitempty"`
	Extension    []Extension       `json:"extension,omitempty"`
	Identifier   []Identifier      `json:"identifier,omitempty"`
	Status       string            `json:"status"`
	Mode         string            `json:"mode"`
	Code         *Concept          `json:"code,omitempty"`
	Subject      *Reference        `json:"subject,omitempty"`
	Date         string            `json:"date,omitempty"`
	Source       *Reference        `json:"source,omitempty"`
	Entry        []ListEntry       `json:"entry,omitempty"`
}

// Device is the author of a submission set: a program.
type Device struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id,omitempty"`
	Identifier   []Identifier `json:"identifier,omitempty"`
	DeviceName   []DeviceName `json:"deviceName,omitempty"`
}

// DeviceName is one name of a device; Type is model-name, user-friendly-name …
type DeviceName struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// ListEntry is one document of a submission set.
type ListEntry struct {
	Item Reference `json:"item"`
}

// Binary is a file inside a transaction.
type Binary struct {
	ResourceType string `json:"resourceType"`
	ContentType  string `json:"contentType"`
	Data         string `json:"data"`
}

// Parameters carries a FHIRPath patch.
type Parameters struct {
	ResourceType string      `json:"resourceType"`
	Parameter    []Parameter `json:"parameter,omitempty"`
}

// Parameter is one named value, or a group of them.
type Parameter struct {
	Name        string      `json:"name"`
	ValueCode   string      `json:"valueCode,omitempty"`
	ValueString string      `json:"valueString,omitempty"`
	Part        []Parameter `json:"part,omitempty"`
}

// Bundle is a transaction, its response, or a page of search results.
type Bundle struct {
	ResourceType string       `json:"resourceType"`
	Meta         *Meta        `json:"meta,omitempty"`
	Type         string       `json:"type,omitempty"`
	Link         []BundleLink `json:"link,omitempty"`
	Entry        []Entry      `json:"entry,omitempty"`
}

// BundleLink leads to another page: self, next, previous.
type BundleLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

// next returns the address of the next page; "" when this is the last one.
func (b Bundle) next() string {
	for _, l := range b.Link {
		if l.Relation == "next" {
			return l.URL
		}
	}
	return ""
}

// Entry is one resource of a bundle.
type Entry struct {
	FullURL  string          `json:"fullUrl,omitempty"`
	Resource json.RawMessage `json:"resource,omitempty"`
	Search   *Search         `json:"search,omitempty"`
	Request  *Request        `json:"request,omitempty"`
	Response *Response       `json:"response,omitempty"`
}

// Search says why an entry is in a page of results: match, include, outcome.
type Search struct {
	Mode string `json:"mode,omitempty"`
}

// Request is what a transaction asks for one entry.
type Request struct {
	Method      string `json:"method"`
	URL         string `json:"url"`
	IfNoneExist string `json:"ifNoneExist,omitempty"`
}

// Response is what became of one entry of a transaction.
type Response struct {
	Status   string          `json:"status"`
	Location string          `json:"location,omitempty"`
	Outcome  json.RawMessage `json:"outcome,omitempty"`
}

// OperationOutcome says what a server thought of a request. Warnings come with
// success, too.
type OperationOutcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []Issue `json:"issue,omitempty"`
}

// Issue is one error, warning or remark.
type Issue struct {
	Severity    string   `json:"severity"` // fatal, error, warning, information
	Code        string   `json:"code"`
	Details     *Concept `json:"details,omitempty"`
	Diagnostics string   `json:"diagnostics,omitempty"`
	Expression  []string `json:"expression,omitempty"` // FHIRPath into the request
}

// Text returns what the issue says, for a person: the words of the server, and where
// in our request it saw the fault.
func (i Issue) Text() string {
	text := i.words()
	if i.Diagnostics != "" && i.Diagnostics != text {
		text = strings.TrimPrefix(text+" : "+i.Diagnostics, " : ")
	}
	if text == "" {
		text = i.Code
	}
	if len(i.Expression) > 0 && i.Expression[0] != "" {
		text += " (" + i.Expression[0] + ")"
	}
	return text
}

func (i Issue) words() string {
	if i.Details == nil {
		return ""
	}
	if i.Details.Text != "" {
		return i.Details.Text
	}
	for _, c := range i.Details.Coding {
		if c.Display != "" {
			return c.Display
		}
	}
	return ""
}

// Grave reports whether the issue is an error.
func (i Issue) Grave() bool { return i.Severity == "error" || i.Severity == "fatal" }

// Failed reports whether one of the issues is an error.
func (o OperationOutcome) Failed() bool { return slices.ContainsFunc(o.Issue, Issue.Grave) }

// raw encodes one of the types above, which cannot fail.
func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	return b
}
