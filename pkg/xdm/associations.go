package xdm

import (
	"slices"
	"strings"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
)

// Kinds of association, by the last word of their URN: ebRIM 2.1 gives that word alone.
// (IHE ITI TF-3 §4.2.2.2 and table 4.2.2-1.)
const (
	hasMember = "HASMEMBER"
	replaces  = "RPLC"
	transRepl = "XFRM_RPLC"
	appends   = "APND"
	transform = "XFRM"
	signs     = "SIGNS"
	snapshot  = "ISSNAPSHOTOF"
)

// association is a link between two registry objects.
type association struct {
	kind, name     string // upper-case, and as written
	source, target string // bare ids
}

func readAssociations(r *registry) []association {
	var list []association
	for _, n := range r.associations[:min(len(r.associations), maxAssociations)] {
		name := clip(n.Attr("associationType"))
		if i := strings.LastIndexByte(name, ':'); i >= 0 {
			name = name[i+1:]
		}
		list = append(list, association{strings.ToUpper(name), name, bare(n.Attr("sourceObject")), bare(n.Attr("targetObject"))})
	}
	return list
}

// link tells the documents of a METADATA.XML what the associations say of them. In real
// files ids often point nowhere; a link then belongs to the document when there is only
// one, else nobody knows and a person decides.
func link(documents []*DocumentEntry, list []association, add func(greffe.Rule, ...any)) {
	byID := make(map[string]*DocumentEntry, len(documents))
	for _, d := range slices.Backward(documents) { // the first of an id has it
		if id := bare(d.EntryUUID); id != "" {
			byID[id] = d
		}
	}
	for _, as := range list {
		if as.kind == hasMember || as.kind == snapshot {
			continue
		}
		if !slices.Contains([]string{replaces, transRepl, appends, transform, signs}, as.kind) {
			add(ruleAssociation, as.name)
			return // one is enough to hold them all
		}
		source, target := byID[as.source], byID[as.target]
		if source == nil && len(documents) == 1 && target == nil {
			source = documents[0]
			if !hasRule(source.Findings, ruleAssociationID) {
				source.Findings = append(source.Findings, ruleAssociationID.At(""))
			}
		}
		if source == nil {
			add(ruleAssociationLost, as.name)
			return
		}
		note := func(r greffe.Rule) {
			if !hasRule(source.Findings, r) {
				source.Findings = append(source.Findings, r.At(""))
			}
		}
		switch as.kind {
		case replaces, transRepl:
			switch {
			case source == target, source.ReplacesEntry != "" && source.ReplacesEntry != as.target:
				note(ruleReplaces)
			case target != nil:
				source.Replaces = target.UniqueID
			}
			source.ReplacesEntry = as.target
		case appends:
			note(ruleAppends)
		case transform:
			note(ruleTransforms)
		case signs:
			source.Signs = true
		}
	}
}

// registry is the objects of a METADATA.XML. They stand in one list, but some writers put
// those of a set into its package.
type registry struct {
	list                              *cda.Node
	packages, documents, associations []*cda.Node

	// What stands in the list itself, nested in no object, by the id that it names.
	loose map[string][]*cda.Node
}

// collect finds the objects in n and in the lists and packages inside it.
func (r *registry) collect(n *cda.Node) {
	for _, c := range n.Children {
		switch local := strings.ToUpper(c.Local); {
		case local == "EXTRINSICOBJECT":
			r.documents = append(r.documents, c)
		case local == "ASSOCIATION":
			r.associations = append(r.associations, c)
		case local == "REGISTRYPACKAGE":
			r.packages = append(r.packages, c)
			r.collect(c)
		case strings.HasSuffix(local, "REGISTRYOBJECTLIST"): // Leaf… in ebRIM 2.1
			if r.list == nil || len(r.list.Children) == 0 {
				r.list = c
			}
			r.collect(c)
		}
	}
}

// index fills loose.
func (r *registry) index() {
	r.loose = make(map[string][]*cda.Node)
	for _, c := range r.list.Children {
		for _, attribute := range []string{"classifiedObject", "registryObject"} {
			if id := bare(c.Attr(attribute)); id != "" {
				r.loose[id] = append(r.loose[id], c)
			}
		}
	}
}

// readRegistry finds the request inside a METADATA.XML, and its objects; nil when there is
// none. wrapped says that the request is not the root: the metadata of an exchange by web
// service (XDR) were saved whole.
func readRegistry(root *cda.Node) (r *registry, request *cda.Node, wrapped bool) {
	const maxWrapping = 4 // envelope, body, ProvideAndRegisterDocumentSetRequest
	level := []*cda.Node{root}
	for depth := 0; depth < maxWrapping && len(level) > 0; depth++ {
		var next []*cda.Node
		for _, n := range level {
			if n.Local == "SubmitObjectsRequest" {
				r = &registry{}
				r.collect(n)
				if r.list == nil {
					r.list = n
				}
				r.index()
				return r, n, depth > 0
			}
			next = append(next, n.Children...)
		}
		level = next
	}
	return nil, nil, false
}
