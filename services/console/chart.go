package console

import (
	"fmt"
	"time"
)

// Size of the drawing in the units of its viewBox; values and dates stand around it.
const (
	chartWidth  = 1200
	chartHeight = 200
	dayForm     = "02/01/2006" // days are midnights in the hospital's zone
)

// chart is a drawing of one figure for each day: as bars of several parts one upon the
// other, or as lines. The table of the same figures stands behind it.
type chart struct {
	ID, Name string // what it shows, for who does not see it
	Bars     []bar
	Lines    []line
	Grid     []gridLine
	Labels   []dayLabel
}

// bar is one part of a day's bar.
type bar struct {
	X, Y, W, H string
	Class      string
	Title      string
}

// line is a polyline.
type line struct{ Points, Class string }

// gridLine is a horizontal line with its value.
type gridLine struct{ Y, Text string }

// dayLabel is a date under the chart.
type dayLabel struct{ X, Text string }

// part is one figure of a day.
type part struct {
	Name, Class string
	N           func(tallied) int
}

// parts of a day's bar, from the bottom: what needed nobody first.
var parts = []part{
	{"intégrés sans intervention", "c-machine", func(t tallied) int { return t.Machine }},
	{"intégrés après décision", "c-hand", func(t tallied) int { return t.Hand }},
	{"archivés ou en attente du DI", "c-waiting", func(t tallied) int { return t.Waiting }},
	{"à traiter", "c-todo", func(t tallied) int { return t.Todo }},
	{"refusés", "c-refused", func(t tallied) int { return t.Refused }},
	{"en incident", "c-incident", func(t tallied) int { return t.Incident }},
	{"classés", "c-closed", func(t tallied) int { return t.Closed }},
}

func coordinate(f float64) string { return fmt.Sprintf("%.1f", f) }

// volumes draws the documents of each day.
func volumes(days []dayTally) chart {
	top := 0
	for _, d := range days {
		top = max(top, d.Documents)
	}
	c, scale := newChart(days, float64(top), func(v float64) string { return number(int(v)) })
	c.ID, c.Name = "c-volumes", "Documents par jour d’arrivée et par état ; les chiffres sont dans le tableau qui suit."
	wide := float64(chartWidth) / float64(len(days))
	for i, d := range days {
		y := float64(chartHeight)
		for _, p := range parts {
			n := p.N(d.tallied)
			if n == 0 {
				continue
			}
			h := float64(n) * scale
			y -= h
			c.Bars = append(c.Bars, bar{
				X: coordinate(float64(i)*wide + wide*.12), W: coordinate(wide * .76), Y: coordinate(y), H: coordinate(h), Class: p.Class,
				Title: d.Day.Format(dayForm) + " : " + number(n) + " " + p.Name,
			})
		}
	}
	return c
}

// delays draws the median and the 95th percentile of the time from arrival to the DI.
func delays(days []dayTally) chart {
	var top time.Duration
	for _, d := range days {
		if most, ok := d.delay(95); ok {
			top = max(top, most)
		}
	}
	c, scale := newChart(days, float64(top), func(v float64) string { return span(time.Duration(v)) })
	c.ID, c.Name = "c-delays", "Délai médian et délai de 95 % des documents, par jour d’arrivée ; les chiffres sont dans le tableau des documents par jour."
	for _, l := range []struct {
		p     int
		class string
	}{{95, "c-most"}, {50, "c-median"}} {
		c.curve(days, l.class, scale, func(t tallied) (float64, string, bool) {
			v, ok := t.delay(l.p)
			return float64(v), fmt.Sprintf("%d %% en %s au plus", l.p, span(v)), ok
		})
	}
	return c
}

// shares draws how many of a hundred documents of each day were integrated without a hand.
func shares(days []dayTally) chart {
	c, scale := newChart(days, 100, func(v float64) string { return number(int(v)) + " %" })
	c.ID, c.Name = "c-shares", "Part des documents intégrés sans intervention, par jour d’arrivée ; les chiffres sont dans le tableau des documents par jour."
	c.curve(days, "c-share", scale, func(t tallied) (float64, string, bool) {
		return float64(t.Share()), number(t.Share()) + " % intégrés sans intervention", t.Documents > 0
	})
	return c
}

// curve draws a line through the days that have a figure, with a point at each.
func (c *chart) curve(days []dayTally, class string, scale float64, of func(tallied) (v float64, title string, ok bool)) {
	wide, points := float64(chartWidth)/float64(len(days)), ""
	for i, d := range days {
		v, title, ok := of(d.tallied)
		if !ok {
			continue
		}
		x, y := (float64(i)+.5)*wide, chartHeight-v*scale
		points += coordinate(x) + "," + coordinate(y) + " "
		c.Bars = append(c.Bars, bar{X: coordinate(x - 3), Y: coordinate(y - 3), W: "6", H: "6", Class: class, Title: d.Day.Format(dayForm) + " : " + title})
	}
	c.Lines = append(c.Lines, line{points, class})
}

// newChart makes an empty chart for figures up to top and returns how high one is.
func newChart(days []dayTally, top float64, text func(float64) string) (chart, float64) {
	var c chart
	if top == 0 || len(days) == 0 {
		return c, 0
	}
	scale := chartHeight * .94 / top
	for _, share := range []float64{1, .5} {
		c.Grid = append(c.Grid, gridLine{Y: coordinate(chartHeight - top*share*scale), Text: text(top * share)})
	}
	every := (len(days) + 9) / 10
	for i, d := range days {
		if (len(days)-1-i)%every == 0 {
			c.Labels = append(c.Labels, dayLabel{X: coordinate((float64(i) + .5) * chartWidth / float64(len(days))), Text: d.Day.Format("02/01")})
		}
	}
	return c, scale
}
