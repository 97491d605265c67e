package sandbox

import (
	"html/template"
	"net/http"
	"slices"
)

var diPage = template.Must(template.New("di").Parse(`<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="3">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DI de démonstration</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<h1>Dossier informatisé de démonstration</h1>
<p>Ce qu'un dossier patient reçoit de Greffe. Toutes les identités sont inventées.</p>
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
<thead><tr><th scope="col">Heure</th><th scope="col">Par</th><th scope="col">Demande</th><th scope="col">Document</th><th scope="col">Patient</th><th scope="col">Réponse</th></tr></thead>
<tbody>
{{- range .Lines}}
<tr><td>{{.At.Format "15:04:05"}}</td><td>{{.Through}}</td><td>{{.Event}}</td><td>{{.Title}}<br><small>{{.Number}}</small></td><td>{{.Name}}</td><td{{if not .Good}} class="bad"{{end}}>{{.Answer}}</td></tr>
{{- else}}
<tr><td colspan="6">Rien n'est encore arrivé.</td></tr>
{{- end}}
</tbody>
</table>
</body>
</html>
`))

const diCSS = `body { font-family: system-ui, sans-serif; margin: 2rem; color: #1b1b1b; }
.counts { display: flex; flex-wrap: wrap; gap: 1.5rem; padding: 0; list-style: none; }
.counts strong { font-size: 1.4rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #ccc; vertical-align: top; }
.bad { color: #a40000; }
small { color: #595959; }
`

// page shows the counts and the last 200 requests.
func (d *DI) page(w http.ResponseWriter, _ *http.Request) {
	stats := d.Stats()
	d.mu.Lock()
	lines := slices.Clone(d.log[max(0, len(d.log)-200):])
	d.mu.Unlock()
	slices.Reverse(lines)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	diPage.Execute(w, struct {
		Stats DIStats
		Lines []diLine
	}{stats, lines})
}

func diStyle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write([]byte(diCSS))
}
