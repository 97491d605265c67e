package main

import "context"

// checkSchemas says whether documents are checked against the schemas of CDA, and by what.
func checkSchemas(ctx context.Context, cfg *Config) []result {
	const target = "schémas CDA"
	c := schemas(cfg, 1)
	if c == nil {
		return []result{{target, "configuration", true, "aucun schéma n'est configuré : les documents sont contrôlés par les seules règles de Greffe ; cda.schemas donne le dossier des schémas"}}
	}
	defer c.Close()
	version, err := c.Probe(ctx)
	if err != nil {
		return []result{{target, "contrôle", false, err.Error()}}
	}
	return []result{{target, "contrôle", true, "chargés par xmllint, libxml2 " + version}}
}
