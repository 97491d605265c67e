package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is the release, set by the linker; "dev" outside a release.
var version = "dev"

// versionString says exactly which program this is: release, commit, Go.
func versionString() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += " " + s.Value[:12]
			}
		}
	}
	return v
}

var versionCommand = command{
	name: "version", summary: "dit quelle version c'est",
	help: "Écrit la version, le commit et la version de Go avec laquelle elle a été compilée.",
	run: func(_ context.Context, c *call) error {
		_, err := fmt.Fprintf(c.out, "greffe %s (%s, %s/%s)\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	},
}

var configCommand = command{
	name: "config", args: "[--config FICHIER | --data DOSSIER]", summary: "écrit la configuration effective, expliquée",
	help: `
Lit la configuration, la vérifie, et écrit le résultat effectif : chaque clé avec sa
valeur et son explication. Ce texte est lui-même une configuration valable : sans option,
c'est un bon point de départ. Les secrets n'y figurent pas, seulement leurs fichiers.`,
	run: func(_ context.Context, c *call) error {
		cfg, err := loadConfig(c.config, c.data)
		if err != nil {
			return err
		}
		text, err := annotated(cfg)
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		_, err = c.out.Write(text)
		return err
	},
}
