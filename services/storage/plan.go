package storage

import (
	"fmt"
	"strconv"
	"strings"

	"greffe/pkg/greffe"
)

// node is a part and what was found inside it: the entries of a ZIP archive, the
// pieces of a winmail.dat or of a text, or the values embedded in a CDA.
type node struct {
	part   *greffe.Part
	op     byte          // '!' or '#' when there is something inside
	inside map[int]*node // by number
}

// maxInside bounds archives in archives: what an event may ask to be opened.
const maxInside = 8

// maxSize is far above any message or part: 1 TiB.
const maxSize = 1 << 40

// plan arranges the parts of an event as a tree, whose roots are the MIME parts by
// their path. The parser reads hostile input: what it says is checked before
// anything is done about it.
func plan(p greffe.Parsed) (map[string]*node, error) {
	bad := func(why, path string) error {
		return fmt.Errorf("%w: message %s, part %.40q: %s", ErrEvent, p.Received.ID, path, why)
	}
	if p.Received.Refused != nil && len(p.Parts) > 0 {
		return nil, bad("of a message that was not read", p.Parts[0].Path)
	}
	all := make(map[string]*node, len(p.Parts))
	for i := range p.Parts {
		part := &p.Parts[i]
		if !part.Skipped && (!part.SHA256.Valid() || part.Size < 0 || part.Size > maxSize) {
			return nil, bad("no digest or an absurd size", part.Path)
		}
		if all[part.Path] != nil {
			return nil, bad("listed twice", part.Path)
		}
		all[part.Path] = &node{part: part}
	}
	roots := make(map[string]*node)
	for path, n := range all {
		parent, op, number, ok := splitPath(path)
		if !ok {
			return nil, bad("not a path", path)
		}
		if op == 0 {
			roots[path] = n
			continue
		}
		up := all[parent]
		switch {
		case up == nil:
			return nil, bad("inside of what is not listed", path)
		case up.part.Skipped && !n.part.Skipped:
			return nil, bad("inside of what was not read", path)
		case up.op != 0 && up.op != op:
			return nil, bad("inside of two kinds", path)
		case strings.Count(path, "!")+strings.Count(path, "#") > maxInside:
			return nil, bad("too deep", path)
		}
		if up.inside == nil {
			up.op, up.inside = op, make(map[int]*node)
		}
		up.inside[number] = n
	}
	return roots, nil
}

// splitPath cuts the last step off a part path: "2!4#0" is value 0 of "2!4". op
// is 0 for a MIME part, which has no step. ok is false for anything that does not
// follow the grammar of greffe.Part, so that one place has one path.
func splitPath(path string) (parent string, op byte, number int, ok bool) {
	i := strings.LastIndexAny(path, "!#")
	if i < 0 {
		for s := range strings.SplitSeq(path, ".") {
			if n, ok := decimal(s); !ok || n == 0 {
				return "", 0, 0, false
			}
		}
		return "", 0, 0, true
	}
	number, ok = decimal(path[i+1:])
	return path[:i], path[i], number, ok
}

// decimal reads a number written in the one way: no sign, no leading zero.
func decimal(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n < 1<<20 && strconv.Itoa(n) == s
}
