package cda

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

const xmlSpace = "http://www.w3.org/XML/1998/namespace"

// markup reads what starts with '<' at s.pos. It returns 0 for what is skipped:
// comments, processing instructions, the start of a CDATA section.
func (s *Scanner) markup() (Kind, error) {
	w := s.need(2)
	if len(w) < 2 {
		return 0, s.cut()
	}
	switch w[1] {
	case '?':
		s.pos += 2
		return 0, s.skip("?>")
	case '!':
		return 0, s.declaration()
	}
	tag, err := s.tag()
	if err != nil {
		return 0, err
	}
	s.pos += len(tag) + 2
	if tag[0] == '/' {
		return s.endTag(bytes.TrimRight(tag[1:], " \t\r\n"))
	}
	return s.startTag(tag)
}

// declaration reads a comment or the start of a CDATA section; anything else
// behind "<!" belongs to a document type, which is refused unread: entities
// (bombs, external files) can only come from there.
func (s *Scanner) declaration() error {
	switch w := s.need(9); {
	case bytes.HasPrefix(w, []byte("<!--")):
		s.pos += 4
		return s.skip("-->")
	case bytes.Equal(w, []byte("<![CDATA[")) && len(s.stack) > 0:
		s.pos += 9
		s.cdata = true
		return nil
	case len(w) < 9:
		return s.cut()
	case bytes.HasPrefix(bytes.ToUpper(w), []byte("<!DOCTYPE")):
		return s.fail(RuleDTD, "")
	}
	return s.fail(RuleXML, "une déclaration n’est pas à sa place")
}

// tag returns the inside of the tag at s.pos: at least one byte.
func (s *Scanner) tag() ([]byte, error) {
	var quote byte
	for i := 1; ; i++ {
		if s.pos+i == s.end {
			if i > maxTag {
				return nil, s.fail(RuleLimits, "une balise est trop longue")
			}
			if !s.fill() {
				return nil, s.cut()
			}
		}
		switch c := s.buf[s.pos+i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '<':
			return nil, s.fail(RuleXML, "une balise n’est pas fermée")
		case c == '>':
			if i == 1 {
				return nil, s.fail(RuleXML, "une balise est vide")
			}
			return s.buf[s.pos+1 : s.pos+i], nil
		}
	}
}

// startTag opens the element whose tag is given, without '<' and '>'.
func (s *Scanner) startTag(tag []byte) (Kind, error) {
	if tag[len(tag)-1] == '/' {
		s.closing = true
		tag = tag[:len(tag)-1]
	}
	name, rest := cutName(tag)
	if name == nil {
		return 0, s.fail(RuleXML, "un nom d’élément est invalide")
	}
	switch s.elements++; {
	case s.done:
		return 0, s.fail(RuleXML, "le fichier contient plusieurs éléments racines")
	case s.elements > s.maxElements:
		return 0, s.fail(RuleLimits, "il y a trop d’éléments")
	case len(s.stack) == maxDepth:
		return 0, s.fail(RuleLimits, "les éléments sont imbriqués trop profondément")
	}
	outside := len(s.bindings)
	if err := s.attributes(rest); err != nil {
		return 0, err
	}
	prefix, local := s.split(name)
	space, ok := s.resolve(prefix)
	if !ok {
		return 0, s.fail(RuleXML, "un préfixe d’espace de noms n’est pas déclaré")
	}
	s.space, s.local = space, local
	s.stack = append(s.stack, element{s.intern(name), space, local, outside})
	return Start, nil
}

// endTag closes the element on top of the stack.
func (s *Scanner) endTag(name []byte) (Kind, error) {
	if len(s.stack) == 0 || string(name) != s.stack[len(s.stack)-1].raw {
		return 0, s.fail(RuleXML, "une balise de fin ne correspond pas à sa balise de début")
	}
	return s.pop(), nil
}

func (s *Scanner) pop() Kind {
	top := s.stack[len(s.stack)-1]
	s.stack = s.stack[:len(s.stack)-1]
	s.bindings = s.bindings[:top.bindings]
	s.space, s.local, s.raw = top.space, top.local, top.raw
	s.attrs = s.attrs[:0]
	s.done = len(s.stack) == 0
	return End
}

// attributes reads the attributes of a start tag, binds the prefixes that they
// declare and resolves their names.
func (s *Scanner) attributes(b []byte) error {
	s.attrs, s.scratch = s.attrs[:0], s.scratch[:0]
	for {
		rest := bytes.TrimLeft(b, " \t\r\n")
		if len(rest) == 0 {
			break
		}
		if len(rest) == len(b) || len(s.attrs) == maxAttrs {
			return s.attrError(len(s.attrs) == maxAttrs)
		}
		name, after := cutName(rest)
		after = bytes.TrimLeft(after, " \t\r\n")
		if name == nil || len(after) == 0 || after[0] != '=' {
			return s.attrError(false)
		}
		after = bytes.TrimLeft(after[1:], " \t\r\n")
		if len(after) < 2 || (after[0] != '"' && after[0] != '\'') {
			return s.attrError(false)
		}
		n := bytes.IndexByte(after[1:], after[0])
		if n < 0 {
			return s.attrError(false)
		}
		value, err := s.attrValue(after[1 : 1+n])
		if err != nil {
			return err
		}
		b = after[n+2:]
		prefix, local := s.split(name)
		s.attrs = append(s.attrs, attr{prefix: prefix, local: local, value: value})
	}
	return s.namespaces()
}

func (s *Scanner) attrError(many bool) error {
	if many {
		return s.fail(RuleLimits, "un élément a trop d’attributs")
	}
	return s.fail(RuleXML, "un attribut est mal écrit")
}

// namespaces binds what the xmlns attributes declare, takes them off the list
// and resolves the others.
func (s *Scanner) namespaces() error {
	kept, outside := s.attrs[:0], len(s.bindings)
	for _, a := range s.attrs {
		var prefix string
		switch {
		case a.prefix == "xmlns":
			prefix = a.local
		case a.prefix != "" || a.local != "xmlns":
			kept = append(kept, a)
			continue
		}
		if len(a.value) == 0 && prefix != "" {
			return s.fail(RuleXML, "un espace de noms est vide")
		}
		for _, b := range s.bindings[outside:] {
			if b.prefix == prefix {
				return s.fail(RuleXML, "un attribut est écrit deux fois")
			}
		}
		if len(s.bindings) == maxBindings {
			return s.fail(RuleLimits, "il y a trop d’espaces de noms")
		}
		s.bindings = append(s.bindings, binding{prefix, s.intern(a.value)})
	}
	s.attrs = kept
	for i := range kept {
		a := &kept[i]
		if a.prefix != "" {
			space, ok := s.resolve(a.prefix)
			if !ok {
				return s.fail(RuleXML, "un préfixe d’espace de noms n’est pas déclaré")
			}
			a.space = space
		}
		for _, other := range kept[:i] {
			if other.local == a.local && other.space == a.space {
				return s.fail(RuleXML, "un attribut est écrit deux fois")
			}
		}
	}
	return nil
}

// resolve returns the namespace that prefix is bound to.
func (s *Scanner) resolve(prefix string) (string, bool) {
	for i := len(s.bindings) - 1; i >= 0; i-- {
		if s.bindings[i].prefix == prefix {
			return s.bindings[i].uri, true
		}
	}
	if prefix == "xml" {
		return xmlSpace, true
	}
	return "", prefix == ""
}

// attrValue checks the raw value and expands its references. The result lives in
// the window or in s.scratch.
func (s *Scanner) attrValue(raw []byte) ([]byte, error) {
	if !validText(raw) || bytes.IndexByte(raw, '<') >= 0 {
		return nil, s.fail(RuleXML, "un attribut contient un caractère interdit")
	}
	if bytes.IndexByte(raw, '&') < 0 {
		return raw, nil
	}
	from := len(s.scratch)
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '&')
		if i < 0 {
			s.scratch = append(s.scratch, raw...)
			break
		}
		s.scratch = append(s.scratch, raw[:i]...)
		r, n := decodeReference(raw[i:])
		if n == 0 {
			return nil, s.fail(RuleXML, "une entité n’est pas connue")
		}
		s.scratch = utf8.AppendRune(s.scratch, r)
		raw = raw[i+n:]
	}
	return s.scratch[from:len(s.scratch):len(s.scratch)], nil
}

// reference reads the character or entity reference at s.pos.
func (s *Scanner) reference() (Kind, error) {
	r, n := decodeReference(s.need(16))
	if n == 0 {
		return 0, s.fail(RuleXML, "une entité n’est pas connue")
	}
	s.scratch = utf8.AppendRune(s.scratch[:0], r)
	s.text = s.scratch
	s.pos += n
	return Text, nil
}

var entities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"', "apos": '\''}

// decodeReference reads the reference that b starts with and returns its
// character and length; 0 when it is none that XML itself defines.
func decodeReference(b []byte) (rune, int) {
	i := bytes.IndexByte(b[:min(len(b), 16)], ';')
	if i < 2 {
		return 0, 0
	}
	name := string(b[1:i])
	if r, ok := entities[name]; ok {
		return r, i + 1
	}
	if name[0] != '#' {
		return 0, 0
	}
	digits, base := name[1:], 10
	if len(digits) > 0 && digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	r := rune(n)
	if err != nil || !utf8.ValidRune(r) || (r < ' ' && r != '\t' && r != '\n' && r != '\r') || r == 0xFFFE || r == 0xFFFF {
		return 0, 0
	}
	return r, i + 1
}

// cutName splits the XML name off b; nil when b does not start with one.
func cutName(b []byte) (name, rest []byte) {
	i := 0
	for i < len(b) && nameByte(b[i]) {
		i++
	}
	if i == 0 || i > 256 || b[0] == '-' || b[0] == '.' || (b[0] >= '0' && b[0] <= '9') || !utf8.Valid(b[:i]) {
		return nil, b
	}
	if n := bytes.Count(b[:i], []byte(":")); n > 1 || n == 1 && (b[0] == ':' || b[i-1] == ':') {
		return nil, b
	}
	return b[:i], b[i:]
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '_' || c == '-' || c == '.' || c == ':' || c >= utf8.RuneSelf
}

// split returns the prefix and the local part of a name.
func (s *Scanner) split(name []byte) (prefix, local string) {
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		return s.intern(name[:i]), s.intern(name[i+1:])
	}
	return "", s.intern(name)
}

// intern returns b as a string, the same one each time: documents repeat few names.
func (s *Scanner) intern(b []byte) string {
	if v, ok := s.names[string(b)]; ok {
		return v
	}
	v := string(b)
	if len(s.names) < maxNames && len(v) <= 256 {
		s.names[v] = v
	}
	return v
}
