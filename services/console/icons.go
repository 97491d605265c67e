package console

import "html/template"

// icons are the drawings of a 16 by 16 grid. Each state has its own shape, so that
// colour is never the only sign (RGAA 3.1); the word beside it is always written.
var icons = map[string]template.HTML{
	"todo":      `<path d="M8 1.5 15.2 14.3H.8z" fill="currentColor"/><path d="M8 6v4M8 11.6v1.2" class="knock" stroke-width="1.7"/>`,
	"refused":   `<path d="M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z" fill="currentColor"/><path d="m5.2 5.2 5.6 5.6m0-5.6-5.6 5.6" class="knock" stroke-width="1.8"/>`,
	"incident":  `<path d="M8 .6 15.4 8 8 15.4.6 8z" fill="currentColor"/><path d="M8 4.2v5M8 10.6v1.4" class="knock" stroke-width="1.8"/>`,
	"waiting":   `<circle cx="8" cy="8" r="6.6" fill="none" stroke="currentColor" stroke-width="1.7"/><path d="M8 4.2V8l2.8 1.9" fill="none" stroke="currentColor" stroke-width="1.7"/>`,
	"received":  `<path d="M1.2 3.2h13.6v9.6H1.2z" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="m1.6 3.8 6.4 5 6.4-5" fill="none" stroke="currentColor" stroke-width="1.5"/>`,
	"archived":  `<path d="M1 2h14v3.4H1z" fill="currentColor"/><path d="M2.2 6.2h11.6V14H2.2z" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M6 8.8h4" stroke="currentColor" stroke-width="1.6"/>`,
	"delivered": `<circle cx="8" cy="8" r="7.2" fill="currentColor"/><path d="m4.4 8.3 2.5 2.5 4.8-5.2" fill="none" class="knock" stroke-width="1.9"/>`,
	"duplicate": `<path d="M1.4 1.4h8.8v8.8H1.4z" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M5.8 5.8h8.8v8.8H5.8z" fill="currentColor"/>`,
	"dismissed": `<circle cx="8" cy="8" r="6.6" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M4.6 8h6.8" stroke="currentColor" stroke-width="1.8"/>`,

	"ok":      `<path d="m2 8.4 4 4L14 4" fill="none" stroke="currentColor" stroke-width="2.2"/>`,
	"warning": `<path d="M8 1.5 15.2 14.3H.8z" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M8 6v4M8 11.4v1.2" stroke="currentColor" stroke-width="1.6"/>`,
	"held":    `<path d="M8 1.5 15.2 14.3H.8z" fill="currentColor"/><path d="M8 6v4M8 11.6v1.2" class="knock" stroke-width="1.7"/>`,
	"ignored": `<path d="M3 8h10" stroke="currentColor" stroke-width="1.8"/>`,
	"info":    `<circle cx="8" cy="8" r="6.6" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M8 7v4.4M8 4.2v1.4" stroke="currentColor" stroke-width="1.7"/>`,
	"hold":    `<path d="M8 1.5 15.2 14.3H.8z" fill="currentColor"/><path d="M8 6v4M8 11.6v1.2" class="knock" stroke-width="1.7"/>`,
	"refuse":  `<path d="M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z" fill="currentColor"/><path d="m5.2 5.2 5.6 5.6m0-5.6-5.6 5.6" class="knock" stroke-width="1.8"/>`,

	"lock":     `<path d="M2.8 7h10.4v7.4H2.8z" fill="currentColor"/><path d="M4.9 7V4.6a3.1 3.1 0 0 1 6.2 0V7" fill="none" stroke="currentColor" stroke-width="1.6"/>`,
	"shield":   `<path d="M8 .9 14 3v4.6c0 3.7-2.6 6.3-6 7.5-3.4-1.2-6-3.8-6-7.5V3z" fill="currentColor"/><path d="m4.9 7.8 2.2 2.2 4-4.4" fill="none" class="knock" stroke-width="1.7"/>`,
	"download": `<path d="M8 1.4v8.2M4.4 6.4 8 10l3.6-3.6M2 13.6h12" fill="none" stroke="currentColor" stroke-width="1.8"/>`,
	"search":   `<circle cx="6.8" cy="6.8" r="4.9" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="m10.4 10.4 4.2 4.2" stroke="currentColor" stroke-width="2"/>`,
	"person":   `<circle cx="8" cy="4.6" r="3.2" fill="currentColor"/><path d="M1.8 15c0-3.6 2.8-5.6 6.2-5.6s6.2 2 6.2 5.6z" fill="currentColor"/>`,
	"up":       `<path d="m3 10.6 5-5 5 5" fill="none" stroke="currentColor" stroke-width="2"/>`,
	"down":     `<path d="m3 5.4 5 5 5-5" fill="none" stroke="currentColor" stroke-width="2"/>`,
	"back":     `<path d="M14 8H3M7.4 3.4 2.8 8l4.6 4.6" fill="none" stroke="currentColor" stroke-width="1.8"/>`,
	"send":     `<path d="M13.6 8A5.6 5.6 0 1 1 11.4 3.6" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="M11 .6v3.6h3.6" fill="none" stroke="currentColor" stroke-width="1.8"/>`,
	"clip":     `<path d="M13.2 7.4 8 12.6a3.2 3.2 0 0 1-4.6-4.6l5.6-5.6a2.2 2.2 0 0 1 3.1 3.1L6.8 10.8a1 1 0 0 1-1.5-1.5l4.6-4.6" fill="none" stroke="currentColor" stroke-width="1.5"/>`,
}

// icon returns a drawing that assistive technology skips: the word beside it says
// the same.
func icon(name string) template.HTML {
	return `<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">` + icons[name] + `</svg>`
}
