package main

import (
	"bytes"
	"strings"
	"testing"
)

// While all services run the System page misses none of them, and says what the archive
// promises as the check command does.
func TestSystemPageHearsEveryService(t *testing.T) {
	t.Parallel()
	for _, dep := range deployments[:2] {
		t.Run(dep.name, func(t *testing.T) {
			t.Parallel()
			in := install(t, dep)
			if cc, err := consoleConfig(in.cfg); err != nil || strings.Join(cc.Services, " ") != "storage integrator notifier" {
				t.Fatalf("missed when silent: %v, %v", cc.Services, err)
			}
			in.start()
			defer in.halt()
			admin := in.login("admin")
			var page []byte
			in.until("all have spoken", func() (bool, string) {
				_, page = get(t, admin, in.console()+"/systeme")
				return bytes.Contains(page, []byte("Écriture vérifiée le")) && !bytes.Contains(page, []byte("signe de vie")), string(page)
			})
			for _, want := range []string{"Stockage de l’archive", "sans verrou du stockage", "un administrateur de la machine le peut", "Archive et journal", "Dossier informatisé", "Réponses aux expéditeurs"} {
				if !bytes.Contains(page, []byte(want)) {
					t.Errorf("the System page does not say %q", want)
				}
			}
		})
	}
	cfg := defaults()
	if cc, err := consoleConfig(&cfg); err != nil || strings.Join(cc.Services, " ") != "storage" {
		t.Errorf("missed without a DI and a server that sends: %v, %v", cc.Services, err)
	}
}
