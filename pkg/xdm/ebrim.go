package xdm

import (
	"regexp"
	"strings"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
)

// object is a registry object with the list it stands in. Values are bound to it by
// nesting: in real files the references between objects are often wrong. Only what lies
// in the list itself, nested in no object, is bound by reference.
type object struct {
	n *cda.Node
	r *registry
}

// kind returns the children of an element name, whatever their namespace and case.
func kind(n *cda.Node, local string) []*cda.Node {
	var found []*cda.Node
	if n == nil {
		return nil
	}
	for _, c := range n.Children {
		if strings.EqualFold(c.Local, local) {
			found = append(found, c)
		}
	}
	return found
}

// bare returns an identifier without its prefix, lower-case.
func bare(id string) string {
	return strings.TrimPrefix(strings.ToLower(strings.TrimSpace(id)), "urn:uuid:")
}

// clip drops a value that is too long to be one.
func clip(v string) string {
	if len(v) > maxValue {
		return ""
	}
	return strings.TrimSpace(v)
}

// slots returns the values of a slot of n.
func slots(n *cda.Node, name string) []string {
	var values []string
	for _, s := range kind(n, "Slot") {
		if !strings.EqualFold(s.Attr("name"), name) {
			continue
		}
		for _, list := range kind(s, "ValueList") {
			for _, v := range kind(list, "Value") {
				if v := clip(v.Text); v != "" && len(values) < maxValues {
					values = append(values, v)
				}
			}
		}
	}
	return values
}

// slot returns the first value of a slot, or "".
func (o object) slot(name string) string {
	if v := slots(o.n, name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// name returns the title of the object.
func (o object) name() string { return label(o.n) }

// label returns the name of an object: the French one, else the first that says something.
func label(n *cda.Node) string {
	first := ""
	for _, name := range kind(n, "Name") {
		for _, s := range kind(name, "LocalizedString") {
			v := clip(s.Attr("value"))
			lang := s.Attr("xml:lang")
			if lang == "" {
				lang = s.Attr("lang")
			}
			if v != "" && len(lang) >= 2 && strings.EqualFold(lang[:2], "fr") {
				return v
			}
			if first == "" {
				first = v
			}
		}
	}
	return first
}

// nested returns the elements of a kind that carry the scheme: those inside the object,
// else those beside it that name it.
func (o object) nested(local, attribute, scheme, reference string) []*cda.Node {
	var found []*cda.Node
	for _, c := range kind(o.n, local) {
		if bare(c.Attr(attribute)) == scheme {
			found = append(found, c)
		}
	}
	if id := bare(o.n.Attr("id")); len(found) == 0 && id != "" {
		for _, c := range o.r.loose[id] {
			if strings.EqualFold(c.Local, local) && bare(c.Attr(attribute)) == scheme && bare(c.Attr(reference)) == id {
				found = append(found, c)
			}
		}
	}
	return found[:min(len(found), maxValues)]
}

// identifier returns the value of an ExternalIdentifier, or "".
func (o object) identifier(scheme string) string {
	if v := o.identifiers(scheme); len(v) > 0 {
		return v[0]
	}
	return ""
}

// identifiers returns every value of an ExternalIdentifier that should have one.
func (o object) identifiers(scheme string) []string {
	var values []string
	for _, e := range o.nested("ExternalIdentifier", "identificationScheme", scheme, "registryObject") {
		if v := clip(e.Attr("value")); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// codes returns the codes of a Classification scheme.
func (o object) codes(scheme string) []greffe.Code {
	var codes []greffe.Code
	for _, c := range o.nested("Classification", "classificationScheme", scheme, "classifiedObject") {
		code := greffe.Code{Code: clip(c.Attr("nodeRepresentation")), Label: label(c)}
		if s := slots(c, "codingScheme"); len(s) > 0 {
			code.System = strings.TrimPrefix(s[0], "urn:oid:")
		}
		if code.Code != "" {
			codes = append(codes, code)
		}
	}
	return codes
}

// code returns the first code of a scheme.
func (o object) code(scheme string) greffe.Code {
	if c := o.codes(scheme); len(c) > 0 {
		return c[0]
	}
	return greffe.Code{}
}

// authors returns the persons of an author Classification.
func (o object) authors(scheme string) []greffe.Person {
	var people []greffe.Person
	for _, c := range o.nested("Classification", "classificationScheme", scheme, "classifiedObject") {
		var p greffe.Person
		if v := slots(c, "authorPerson"); len(v) > 0 {
			p = parseXCN(v[0])
		}
		if v := slots(c, "authorInstitution"); len(v) > 0 {
			p.Organization = parseXON(v[0])
		}
		if v := slots(c, "authorSpecialty"); len(v) > 0 {
			p.Specialty = parseCE(v[0])
		}
		if p != (greffe.Person{}) {
			people = append(people, p)
		}
	}
	return people
}

// component returns the i-th component, from 1, of an HL7 v2 field.
func component(field string, i int) string {
	for ; i > 1; i-- {
		_, rest, ok := strings.Cut(field, "^")
		if !ok {
			return ""
		}
		field = rest
	}
	field, _, _ = strings.Cut(field, "^")
	return strings.TrimSpace(unescapeHL7(field))
}

// unescapeHL7 resolves the escapes of HL7 v2 for its own separators (§2.7.1).
func unescapeHL7(v string) string {
	if !strings.Contains(v, `\`) {
		return v
	}
	return separators.Replace(v)
}

var separators = strings.NewReplacer(`\F\`, "|", `\S\`, "^", `\T\`, "&", `\R\`, "~", `\E\`, `\`)

// authority returns the OID of an assigning authority "name&OID&ISO".
func authority(hd string) string {
	parts := strings.Split(hd, "&")
	if len(parts) < 2 {
		return strings.TrimPrefix(strings.TrimSpace(hd), "urn:oid:")
	}
	return strings.TrimPrefix(strings.TrimSpace(parts[1]), "urn:oid:")
}

// parseCX reads a patient id, id^^^&OID&ISO^type.
func parseCX(field string) greffe.OID {
	id := greffe.OID{Root: authority(component(field, 4)), Extension: component(field, 1)}
	if id.Extension == "" {
		return greffe.OID{}
	}
	return id
}

// parseXCN reads a person, id^family^given^^^^^^&OID&ISO^type. Type U is a device. A value
// without components is a name in one piece.
func parseXCN(field string) greffe.Person {
	if !strings.Contains(field, "^") {
		return greffe.Person{Family: field}
	}
	p := greffe.Person{Family: component(field, 2), Given: component(field, 3)}
	if ext := component(field, 1); ext != "" {
		p.ID = greffe.OID{Root: authority(component(field, 9)), Extension: ext}
	}
	if component(field, 10) == "U" {
		p.Device = strings.TrimSpace(p.Family + " " + p.Given)
		p.Family, p.Given = "", ""
	}
	return p
}

// parseXON reads an organisation, name^^^^^&OID&ISO^type^^^id.
func parseXON(field string) greffe.Org {
	o := greffe.Org{Name: component(field, 1)}
	if ext := component(field, 10); ext != "" {
		o.ID = greffe.OID{Root: authority(component(field, 6)), Extension: ext}
	}
	return o
}

// parseCE reads a code, code^label^OID; a value without components is a label.
func parseCE(field string) greffe.Code {
	if !strings.Contains(field, "^") {
		return greffe.Code{Label: field}
	}
	return greffe.Code{Code: component(field, 1), Label: component(field, 2), System: authority(component(field, 3))}
}

var patientField = regexp.MustCompile(`(?i)^\s*PID-([0-9]{1,2})\s*\|(.*)$`)

// parsePatient reads sourcePatientInfo, the fields of a PID segment, and the ids.
func parsePatient(info []string, ids ...greffe.OID) greffe.Patient {
	var p greffe.Patient
	add := func(id greffe.OID) {
		for _, known := range p.IDs {
			if known == id {
				return
			}
		}
		if id.Extension != "" && len(p.IDs) < maxValues {
			p.IDs = append(p.IDs, id)
		}
	}
	for _, id := range ids {
		add(id)
	}
	for _, line := range info {
		m := patientField.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for v := range strings.SplitSeq(m[2], "~") {
			switch v = strings.TrimSpace(v); m[1] {
			case "3":
				add(parseCX(v))
			case "5":
				if strings.EqualFold(component(v, 7), "L") { // legal name: that of birth
					p.BirthFamily, p.FirstGiven, p.Givens = component(v, 1), component(v, 2), component(v, 3)
				} else if p.UsedFamily == "" {
					p.UsedFamily, p.UsedGiven = component(v, 1), component(v, 2)
				}
			case "7":
				p.BirthDate = v[:min(8, len(v))]
			case "8":
				p.Sex = strings.ToUpper(v)
			case "11":
				if strings.EqualFold(component(v, 7), "BDL") { // place of birth; its code is the county
					p.BirthPlace = component(v, 9)
				}
			}
		}
	}
	p.INS = cda.INS(p.IDs)
	return p
}
