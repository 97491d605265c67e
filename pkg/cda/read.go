package cda

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"greffe/pkg/greffe"
)

// Namespaces of a document and of the wrapper of an auto-présentable one.
const (
	HL7  = "urn:hl7-org:v3"
	xsl  = "http://www.w3.org/1999/XSL/Transform"
	asip = "urn:asip-sante:ci-sis" // namespace of the element Contenu, which holds the document
)

// Media types of a document as it is kept: plain, and auto-présentable.
const (
	MediaType    = "text/xml"
	MediaTypeXSL = "application/xslt+xml"
)

const xdsSDTemplate = "1.3.6.1.4.1.19376.1.2.20"

// Read reads the header of the document in r: everything of greffe.Document that a
// CDA says, but not Part, Body, Twins, SHA256, Size, Verdict and Findings, which are
// the caller's. Action follows from the document alone: replace when it names the
// document that it replaces, else new. Class and the other data of METADATA.XML stay
// empty; FormatCode is filled for level 1 only.
//
// It stops at the body, so that the cost does not depend on the size of the
// document: a fault further on is found by Embedded, which reads to the end. What was
// read before a fault is returned with the finding of the fault. An error of r is
// reported like a truncated document.
func Read(r io.Reader) (greffe.Document, []greffe.Finding) {
	h := header{s: NewScanner(r)}
	defer h.s.Close()
	h.d.Format = greffe.FormatUnknown
	h.d.Action = greffe.ActionNew
	h.d.MediaType = MediaType
	err := h.scan()
	if h.root != nil {
		h.facts()
	}
	if h.s.Misdeclared() {
		h.add(RuleDeclared, "")
	}
	if err != nil {
		if bad, ok := errors.AsType[*SyntaxError](err); ok {
			h.findings = append(h.findings, bad.Finding(""))
		} else {
			h.add(RuleXML, "", "la lecture s’est interrompue")
		}
	}
	return h.d, h.findings
}

// Limits of a header: the largest of the official examples has 1,000 elements.
const (
	maxHeaderNodes = 20_000
	maxHeaderBytes = 2 << 20
	maxFindings    = 200 // different ones about one header
)

// header gathers what Read finds.
type header struct {
	s        *Scanner
	root     *Node // ClinicalDocument with the children before its body
	body     *Node // component with its first child, which has no children of its own but text
	d        greffe.Document
	findings []greffe.Finding
}

func (h *header) add(rule greffe.Rule, where string, args ...any) {
	f := rule.At(where, args...)
	if len(h.findings) < maxFindings && !slices.Contains(h.findings, f) {
		h.findings = append(h.findings, f)
	}
}

// scan holds the header as a tree and stops at the body.
func (h *header) scan() error {
	wrapped, err := openDocument(h.s)
	if errors.Is(err, errNotCDA) {
		h.add(ruleRoot, "")
		return nil
	}
	if err != nil {
		return err
	}
	if wrapped {
		h.d.MediaType = MediaTypeXSL
	}
	space, _ := h.s.Name()
	h.root = &Node{Space: space, Local: "ClinicalDocument"}
	depth := h.s.Depth()
	lim := TreeLimits{Nodes: maxHeaderNodes, Bytes: maxHeaderBytes}
	for {
		kind, err := h.s.Next()
		if err != nil {
			return err
		}
		switch {
		case kind == End && h.s.Depth() < depth:
			return nil
		case kind == Start && h.s.Is(space, "component"):
			return h.scanBody(space)
		case kind == Start:
			n, err := h.s.Tree(&lim)
			if err != nil {
				return err
			}
			h.root.Children = append(h.root.Children, n)
		}
	}
}

// scanBody looks at the start of the body: enough to tell the levels apart.
func (h *header) scanBody(space string) error {
	for {
		kind, err := h.s.Next()
		if err != nil {
			return err
		}
		switch {
		case kind == End:
			return nil
		case kind == Start && h.s.Is(space, "structuredBody"):
			h.body = &Node{Space: space, Local: "structuredBody"}
			return nil
		case kind == Start && h.s.Is(space, "nonXMLBody"):
			h.body = &Node{Space: space, Local: "nonXMLBody"}
		case kind == Start && h.body != nil && h.s.Is(space, "text"):
			h.body.Attrs = map[string]string{"mediaType": h.s.Attr("mediaType"), "representation": h.s.Attr("representation")}
			return nil
		case kind == Start:
			if _, err := h.s.Tree(&TreeLimits{Nodes: maxHeaderNodes, Bytes: maxHeaderBytes}); err != nil {
				return err
			}
		}
	}
}

var errNotCDA = errors.New("not a CDA document")

// openDocument moves s to the Start of ClinicalDocument: the root, or inside the
// root of an auto-présentable document. It accepts any namespace, so that a
// document with a wrong one can be shown.
func openDocument(s *Scanner) (wrapped bool, err error) {
	for {
		kind, err := s.Next()
		if err == io.EOF {
			return false, errNotCDA
		}
		if err != nil {
			return false, err
		}
		if kind != Start {
			continue
		}
		space, local := s.Name()
		switch {
		case local == "ClinicalDocument" && (s.Depth() == 1 || space == HL7):
			return s.Depth() > 1, nil
		case s.Depth() == 1 && (space != xsl || local != "stylesheet" && local != "transform"):
			return false, errNotCDA
		}
	}
}

// IsCDA reports whether a file that starts with prefix is a CDA document, plain or
// auto-présentable. Give it 8 KB or more: comments often precede the root.
func IsCDA(prefix []byte) bool {
	s := NewScanner(bytes.NewReader(prefix))
	defer s.Close()
	for {
		kind, err := s.Next()
		if err != nil {
			// Cut short, or bad before the root: then it is for Read to say why.
			return bytes.Contains(prefix, []byte("<ClinicalDocument")) || bytes.Contains(prefix, []byte(":ClinicalDocument"))
		}
		if kind != Start {
			continue
		}
		space, local := s.Name()
		switch {
		case local == "ClinicalDocument":
			return true
		case s.Depth() > 1:
		case space != xsl || local != "stylesheet" && local != "transform":
			return false
		default:
			for _, b := range s.bindings {
				if b.uri == asip {
					return true
				}
			}
		}
	}
}
