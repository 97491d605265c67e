package cda

import (
	"bytes"
	"io"
	"strings"
)

// Node is one element of a part of a document that is small enough to be held:
// a CDA header, METADATA.XML. A nil *Node is an absent element: it has no
// attribute, no text and no children.
type Node struct {
	Space, Local string
	Attrs        map[string]string // those without namespace, and xml:lang
	Text         string            // its own text, blanks collapsed
	Children     []*Node
}

// TreeLimits bounds what Tree holds.
type TreeLimits struct {
	Nodes int
	Bytes int // of text and attribute values
}

// Tree reads the element whose Start was just returned, up to its End.
func (s *Scanner) Tree(lim *TreeLimits) (*Node, error) {
	n := &Node{Space: s.space, Local: s.local}
	lim.Nodes -= 1 + len(s.attrs)/8 // a map of attributes weighs more than an element
	for i := range s.attrs {
		if a := &s.attrs[i]; a.space == xmlSpace && a.local == "lang" {
			if n.Attrs == nil {
				n.Attrs = make(map[string]string, len(s.attrs))
			}
			n.Attrs["xml:lang"] = string(a.value)
			lim.Bytes -= len(a.value)
		} else if a.space == "" {
			if n.Attrs == nil {
				n.Attrs = make(map[string]string, len(s.attrs))
			}
			n.Attrs[a.local] = string(a.value)
			lim.Bytes -= len(a.value)
		}
	}
	var text []byte
	for {
		if lim.Nodes < 0 || lim.Bytes < 0 {
			return nil, s.fail(RuleLimits, "il y a trop de données")
		}
		kind, err := s.Next()
		if err == io.EOF {
			err = s.fail(RuleXML, "le fichier est tronqué")
		}
		if err != nil {
			return nil, err
		}
		switch kind {
		case Start:
			child, err := s.Tree(lim)
			if err != nil {
				return nil, err
			}
			n.Children = append(n.Children, child)
		case Text:
			lim.Bytes -= len(s.text)
			if len(text) > 0 || len(bytes.TrimSpace(s.text)) > 0 {
				text = append(text, s.text...)
			}
		case End:
			n.Text = strings.Join(strings.Fields(string(text)), " ")
			return n, nil
		}
	}
}

// Attr returns the value of an attribute without namespace, trimmed, or "".
func (n *Node) Attr(local string) string {
	if n == nil {
		return ""
	}
	return strings.TrimSpace(n.Attrs[local])
}

// All returns the children with the local name, in the namespace of n.
func (n *Node) All(local string) []*Node {
	if n == nil {
		return nil
	}
	var found []*Node
	for _, c := range n.Children {
		if c.Local == local && c.Space == n.Space {
			found = append(found, c)
		}
	}
	return found
}

// Get follows a path of local names, each time to the first child, in the
// namespace of n. It returns nil when there is none.
func (n *Node) Get(path ...string) *Node {
	for _, local := range path {
		all := n.All(local)
		if len(all) == 0 {
			return nil
		}
		n = all[0]
	}
	return n
}

// String returns the text of n; "" for nil.
func (n *Node) String() string {
	if n == nil {
		return ""
	}
	return n.Text
}
