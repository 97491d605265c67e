package console

import "strings"

// Sizes of a drawing of the most frequent, in the units of its viewBox, which is 600 wide: the
// words beside the longest bar have to find room.
const (
	rankingBar  = 270 // of the longest bar
	rankingRow  = 42  // of a row: its name, and the bar below it
	rankingName = 80  // letters of a name that find room; the table has it whole
)

// ranking is a drawing of the most frequent, as a bar for each with how its documents
// stand in words beside it. The table of the same figures stands behind it.
type ranking struct {
	ID, Title string
	Name      string // what it shows, for who does not see it
	Column    string // what the first column of the table holds
	Summary   string // over the table
	Kinds     []kind
	Rows      []rankedBar
	Height    int
}

// rankedBar is a row of it.
type rankedBar struct {
	ranked
	Short         string
	YName, YWords int
	XWords        string
	Words         string
	Bars          []bar
}

// kind is one figure of a row.
type kind struct {
	Name, Class string
	N           func(held) int
}

// kinds of what is held, from the left.
var kinds = []kind{
	{"à traiter", "c-todo", func(h held) int { return h.Todo }},
	{"refusés", "c-refused", func(h held) int { return h.Refused }},
	{"en incident", "c-incident", func(h held) int { return h.Incident }},
}

// said says how many they are, and how they stand.
func (h held) said() string {
	words := h.words()
	if len(words) == 1 {
		return words[0]
	}
	return number(h.All()) + " : " + strings.Join(words, ", ")
}

// words says how many there are of each kind that there is.
func (h held) words() []string {
	var out []string
	if h.Todo > 0 {
		out = append(out, number(h.Todo)+" à traiter")
	}
	if h.Refused > 0 {
		out = append(out, plural(h.Refused, "refusé", "refusés"))
	}
	if h.Incident > 0 {
		out = append(out, number(h.Incident)+" en incident")
	}
	return out
}

// draw draws the rows of r, and those that are not among them under a name of their own.
func (r *ranking) draw(top []ranked, others held, othersName string) {
	if others.All() > 0 {
		top = append(top, ranked{othersName, others})
	}
	most := 0
	for _, t := range top {
		most = max(most, t.All())
	}
	r.Kinds, r.Height = kinds, len(top)*rankingRow
	for i, t := range top {
		y := i * rankingRow
		row := rankedBar{ranked: t, Short: shorten(t.Name), YName: y + 14, YWords: y + 31, Words: t.said()}
		x := 0.0
		for _, k := range kinds {
			if n := k.N(t.held); n > 0 {
				w := float64(n) / float64(most) * rankingBar
				row.Bars = append(row.Bars, bar{X: coordinate(x), Y: coordinate(float64(y + 20)), W: coordinate(w), H: "14", Class: k.Class})
				x += w
			}
		}
		row.XWords = coordinate(x + 8)
		r.Rows = append(r.Rows, row)
	}
}

// shorten bounds a name to what finds room over a bar.
func shorten(name string) string {
	if r := []rune(name); len(r) > rankingName {
		return string(r[:rankingName-1]) + "…"
	}
	return name
}
