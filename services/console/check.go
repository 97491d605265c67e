package console

import (
	"context"
	"slices"
)

// CheckResult is one thing that was tried, with a French sentence.
type CheckResult struct {
	Name string
	OK   bool
	Text string
}

// CheckOIDC asks the identity provider what it publishes and says whether logins can
// work: reachable under its own name, with keys, and PKCE. Nobody is logged in. No
// results when none is configured. It ends with ctx, after 10 seconds at most.
func CheckOIDC(ctx context.Context, cfg OIDC, publicURL string) []CheckResult {
	if cfg.Issuer == "" {
		return nil
	}
	p, err := newProvider(cfg, publicURL)
	if err != nil {
		return []CheckResult{{"réglages", false, "inutilisables (" + err.Error() + ")"}}
	}
	defer p.client.CloseIdleConnections()
	found, err := p.get(ctx)
	if err != nil {
		return []CheckResult{{"découverte", false, "ne répond pas comme attendu (" + err.Error() + ") : vérifier console.oidc.issuer, écrit comme le fournisseur l'écrit, et les autorités de son certificat (ca)"}}
	}
	var says struct {
		PKCE []string `json:"code_challenge_methods_supported"`
		ACR  []string `json:"acr_values_supported"`
	}
	if err := found.Claims(&says); err != nil {
		return []CheckResult{{"découverte", false, "réponse illisible (" + err.Error() + ")"}}
	}
	out := []CheckResult{{"découverte", true, "répond sous le nom attendu"}}
	switch {
	case len(says.PKCE) == 0:
		out = append(out, CheckResult{"PKCE", true, "attention : le fournisseur ne dit pas s'il vérifie PKCE (S256) ; Greffe l'envoie toujours"})
	case !slices.Contains(says.PKCE, "S256"):
		out = append(out, CheckResult{"PKCE", false, "le fournisseur n'admet pas S256, que Greffe exige"})
	default:
		out = append(out, CheckResult{"PKCE", true, "S256 admis"})
	}
	for _, acr := range cfg.ACR {
		if len(says.ACR) > 0 && !slices.Contains(says.ACR, acr) {
			out = append(out, CheckResult{"niveau " + acr, false, "le fournisseur ne le propose pas : corriger console.oidc.acr"})
		}
	}
	if found.logout == "" {
		out = append(out, CheckResult{"déconnexion", true, "attention : le fournisseur n'a pas de page de déconnexion ; seule la session de Greffe est fermée"})
	}
	return out
}
