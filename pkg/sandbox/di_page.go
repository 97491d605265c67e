package sandbox

import (
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// diChoice is one rule that the page offers; its place in diChoices is what the
// form sends.
type diChoice struct {
	Label string
	Rule  DIRule
}

var diChoices = func() []diChoice {
	var out []diChoice
	for n, short := range []string{
		"version inattendue", "auteur non autorisé", "patient inconnu", "INS absente", "identité différente", "traits incomplets", "autre",
	} { // one line each; diRefusals are in the order of their codes
		code := diRefusals[n].code
		out = append(out, diChoice{"Refuser : " + code + ", " + short, DIRule{Behaviour: DIRefuse, Code: code}})
	}
	return append(out,
		diChoice{"Revenir plus tard (AR)", DIRule{Behaviour: DIBusy}},
		diChoice{"Ralentir (429)", DIRule{Behaviour: DIThrottled}},
		diChoice{"Erreur technique (AE 103, TXA-2)", DIRule{Behaviour: DITechnical}},
		diChoice{"Répondre 5 secondes plus tard", DIRule{Delay: 5 * time.Second}},
		diChoice{"Répondre une minute plus tard", DIRule{Delay: time.Minute}},
		diChoice{"Ne jamais répondre", DIRule{Behaviour: DISilent}},
		diChoice{"Intégrer, puis fermer sans répondre", DIRule{Behaviour: DIForget}},
		diChoice{"Intégrer, puis couper la réponse", DIRule{Behaviour: DICut}},
		diChoice{"Intégrer, puis répondre autre chose", DIRule{Behaviour: DIGarbage}},
	)
}()

// clock shows a time of day as the console does by default, where the machine knows the zone.
var clock = template.FuncMap{"clock": func(at time.Time) string {
	if paris, err := time.LoadLocation("Europe/Paris"); err == nil {
		at = at.In(paris)
	}
	return at.Format(time.TimeOnly)
}}

// diPage is refreshed by the browser; there is no script.
var diPage = template.Must(template.New("di").Funcs(clock).Parse(`<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Name}}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<h1>{{.Name}}</h1>
<p>Ce que ce logiciel reçoit de Greffe. Toutes les identités sont inventées.</p>
<div class="columns">
<main>
<ul class="counts">
<li><strong>{{.Stats.New}}</strong> nouveaux</li>
<li><strong>{{.Stats.Replaced}}</strong> remplacements</li>
<li><strong>{{.Stats.Deleted}}</strong> suppressions</li>
<li><strong>{{.Stats.Repeats}}</strong> répétitions reconnues</li>
{{- range $code, $n := .Stats.Refused}}
<li class="bad"><strong>{{$n}}</strong> refus {{$code}}</li>
{{- end}}
</ul>
<table>
<caption>Derniers messages</caption>
<thead><tr><th scope="col">Heure</th><th scope="col">Par</th><th scope="col">Demande</th><th scope="col">Document</th><th scope="col">Patient</th><th scope="col">Réponse</th></tr></thead>
<tbody>
{{- range .Lines}}
<tr><td>{{clock .At}}</td><td>{{.Through}}</td><td>{{.Event}}</td><td>{{.Title}}<br><small>{{.Number}}</small></td><td>{{.Name}}</td><td{{if not .Good}} class="bad"{{end}}>{{.Answer}}</td></tr>
{{- else}}
<tr><td colspan="6">Rien n’est encore arrivé.</td></tr>
{{- end}}
</tbody>
</table>
</main>
<aside>
<form method="post" action="/rule">
<h2>Réponse aux prochains messages</h2>
<p class="now{{if .Rule}} bad{{end}}" role="status">{{if .Rule}}{{.Rule}}, {{if .Left}}pour {{if eq .Left 1}}le prochain message{{else}}les {{.Left}} prochains messages{{end}}{{else}}pour tous les messages{{end}}.{{else}}Normale : selon le patient, la version et l’auteur.{{end}}</p>
<button name="all" value="normal"{{if not .Rule}} disabled{{end}}>Répondre normalement</button>
<table class="rules">
<thead><tr><th scope="col">Faire semblant</th><th scope="col" colspan="2">Pour</th></tr></thead>
<tbody>
{{- range $n, $c := .Choices}}
<tr><th scope="row">{{$c.Label}}</th><td><button name="once" value="{{$n}}" aria-label="{{$c.Label}}, pour le prochain message">le prochain</button></td><td><button name="all" value="{{$n}}" aria-label="{{$c.Label}}, pour tous les messages">tous</button></td></tr>
{{- end}}
</tbody>
</table>
</form>
</aside>
</div>
</body>
</html>
`))

const diCSS = `body { font-family: system-ui, sans-serif; margin: 1rem 1.5rem; color: #1b1b1b; line-height: 1.35; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 0 0 .4rem; }
p { margin: .3rem 0 .8rem; }
.columns { display: flex; gap: 2rem; align-items: flex-start; }
main { flex: 1; min-width: 0; }
aside { flex: 0 0 27rem; background: #f4f4f1; padding: .8rem 1rem; border-radius: .3rem; }
.counts { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; padding: 0; margin: 0 0 .8rem; list-style: none; }
.counts strong { font-size: 1.3rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { text-align: left; padding: .35rem .5rem; border-bottom: 1px solid #ccc; vertical-align: top; }
td small { overflow-wrap: anywhere; }
.rules { margin-top: .6rem; font-size: .84rem; }
.rules th, .rules td { padding: .14rem .25rem; vertical-align: middle; }
.rules tbody th { font-weight: 400; width: 100%; }
button { font: inherit; white-space: nowrap; padding: .1rem .5rem; border: 1px solid #767676; border-radius: .2rem; background: #fff; cursor: pointer; }
button:hover, button:focus-visible { background: #003b71; color: #fff; }
button:disabled { background: none; color: #6b6b6b; cursor: default; }
.bad { color: #a40000; }
small { color: #595959; }
@media (max-width: 60rem) { .columns { flex-direction: column; } aside { flex: none; } }
`

// page shows the counts, the last 200 requests and the buttons.
func (d *DI) page(w http.ResponseWriter, _ *http.Request) {
	stats := d.Stats()
	d.mu.Lock()
	lines := slices.Clone(d.log[max(0, len(d.log)-200):])
	rule, left := d.rule, d.left
	other := d.behave != nil
	d.mu.Unlock()
	slices.Reverse(lines)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	diPage.Execute(w, struct {
		Name    string
		Stats   DIStats
		Lines   []diLine
		Choices []diChoice
		Rule    string
		Left    int
	}{d.name, stats, lines, diChoices, rule.label(other), left})
}

// label is what the page calls the rule; empty for normal answers.
func (r DIRule) label(other bool) string {
	if other {
		return "Un programme en décide"
	}
	for _, c := range diChoices {
		if c.Rule.Behaviour == r.Behaviour && c.Rule.Code == r.Code && c.Rule.Delay == r.Delay {
			return c.Label
		}
	}
	if r.Behaviour == DINormal && r.Delay == 0 {
		return ""
	}
	return "Autre consigne"
}

// setRule is what the buttons do.
func (d *DI) setRule(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	rule, value := DIRule{}, r.PostFormValue("all")
	if once := r.PostFormValue("once"); once != "" {
		value, rule.Times = once, 1
	}
	if value != "normal" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n >= len(diChoices) {
			http.Error(w, "Choix inconnu : revenir à la page et appuyer sur un de ses boutons.", http.StatusBadRequest)
			return
		}
		times := rule.Times
		rule = diChoices[n].Rule
		rule.Times = times
	}
	d.Obey(rule)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func diStyle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write([]byte(diCSS))
}
