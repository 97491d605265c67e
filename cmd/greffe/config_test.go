package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "greffe.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigurationMistakesNameFileLineKeyAndWhatWasExpected(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ yaml, want string }{
		"unknown key":         {"data_dir: /d\nmailbox: []\n", ":2 : mailbox : clé inconnue ; clés admises ici : data_dir, log, timezone, mailboxes"},
		"unknown nested key":  {"fetch:\n  maxsize: 1MiB\n", ":2 : fetch.maxsize : clé inconnue ; clés admises ici : max_size"},
		"in a list":           {"mailboxes:\n  - address: a@b.example\n    imap: imaps://h\n    auth: { mechanism: plain }\n", ":4 : mailboxes[0].auth.password_file : le mécanisme plain demande"},
		"no unit":             {"fetch:\n  reconcile: 5\n", ":2 : fetch.reconcile : \"5\" n'est pas une durée"},
		"bad size":            {"fetch: { max_size: lots }\n", ":1 : fetch.max_size : \"lots\" n'est pas une taille"},
		"a list is needed":    {"mailboxes: a@b.example\n", ":1 : mailboxes : une liste est attendue"},
		"a mapping is needed": {"console: oui\n", ":1 : console : des clés sont attendues (listen"},
		"a number is needed":  {"bus: { replicas: trois }\n", ":1 : bus.replicas : un nombre entier est attendu"},
		"true or false":       {"di:\n  - name: dpi\n    mllp:\n      tls: peut-être\n", ":4 : di[0].mllp.tls : true ou false"},
		"twice":               {"bus: {}\nbus: {}\n", "twice-or-yaml"},
		"enum":                {"identity: { environment: prod }\n", ":1 : identity.environment : \"prod\" n'est pas admis ; attendu : production | test"},
		"same mailbox":        {"mailboxes:\n  - { address: A@b.example, imap: 'imaps://h', auth: { password_file: greffe.yaml } }\n  - { address: a@b.example, imap: 'imaps://h', auth: { password_file: greffe.yaml } }\n", ":3 : mailboxes[1].address : déjà donnée par mailboxes[0]"},
		"plain imap scheme":   {"mailboxes:\n  - { address: a@b.example, imap: 'http://h', auth: { password_file: greffe.yaml } }\n", ":2 : mailboxes[0].imap : imaps://hôte:port"},
		"secret in dsn":       {"index: { dsn: 'postgres://u:secret@h/db' }\n", ":1 : index.dsn : pas de mot de passe"},
		"missing file":        {"bus: { url: 'tls://h:4222', credentials: nowhere.creds }\n", "nowhere.creds ne peut pas être lu (il n'existe pas)"},
		"alias":               {"bus: &b { url: '' }\nindex: *b\n", "ancres et alias"},
		"not yaml":            {"a: [\n", "n'est pas du YAML"},
		"two documents":       {"bus: {}\n---\nbus: {}\n", "un seul document"},
		"finess":              {"mailboxes:\n  - { address: a@b.example, imap: 'imaps://h', auth: { password_file: greffe.yaml }, service: { finess: '99 000 0010' } }\n", ":2 : mailboxes[0].service.finess : un numéro FINESS"},
		"huge duration":       {"archive: { retention: 9999999y }\n", ":1 : archive.retention : \"9999999y\" n'est pas une durée"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeConfig(t, tc.yaml)
			_, err := loadConfig(path, "")
			var bad *ConfigError
			if !errors.As(err, &bad) {
				t.Fatalf("loadConfig = %v, want a ConfigError", err)
			}
			if tc.want == "twice-or-yaml" {
				return
			}
			if !strings.Contains(err.Error(), tc.want) || (strings.HasPrefix(tc.want, ":") && !strings.Contains(err.Error(), path+tc.want)) {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Error("the message repeats a secret")
			}
		})
	}
}

func TestAnEmptyConfigurationIsTheDefaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n# nothing\n", "{}\n", "fetch:\n"} {
		cfg, err := loadConfig(writeConfig(t, text), "")
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if cfg.Archive.Mode != "compliance" || time.Duration(cfg.Archive.Retention) != 20*year || cfg.Fetch.MaxSize != 100<<20 {
			t.Errorf("%q: defaults are %+v", text, cfg)
		}
	}
}

func TestTheAnnotatedConfigurationReadsBackTheSame(t *testing.T) {
	t.Parallel()
	cfg, err := loadConfig(writeConfig(t, `
data_dir: data
mailboxes:
  - address: a@b.example
    imap: imaps://h:993
    auth: { password_file: greffe.yaml }
    on_delivered: { move: Traités }
di:
  - { name: dpi, protocol: hl7v2, mllp: { address: "dpi:2575" }, sending: "GREFFE^CH" }
retry: [1s, 90s, 2w]
`), "")
	if err != nil {
		t.Fatal(err)
	}
	text, err := annotated(cfg)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadConfig(writeConfig(t, string(text)), "")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(cfg, again) {
		t.Errorf("reads back as\n%+v\nwas\n%+v", again, cfg)
	}
	if !filepath.IsAbs(cfg.DataDir) || !strings.Contains(string(text), "# Attente d'un accusé") {
		t.Errorf("data dir %s, or no explanations:\n%s", cfg.DataDir, text)
	}
}

// Every key is explained: "greffe config" is the reference.
func TestEveryKeyIsExplained(t *testing.T) {
	t.Parallel()
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for f := range typ.Fields() {
			if f.Tag.Get("doc") == "" || f.Tag.Get("yaml") == "" {
				t.Errorf("%s.%s has no doc or yaml tag", typ, f.Name)
			}
			ft := f.Type
			if ft.Kind() == reflect.Slice {
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct {
				walk(ft)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}

func TestDurationsAndSizesReadBack(t *testing.T) {
	t.Parallel()
	for _, d := range []Duration{0, Duration(1500 * time.Millisecond), Duration(90 * time.Second), Duration(36 * time.Hour), Duration(20 * year), Duration(14 * day)} {
		cfg, err := loadConfig(writeConfig(t, "retry: [1s]\nconsole: {}\nfetch: { retake: 1s, reconcile: "+Duration(d+1e9).String()+" }\n"), "")
		if err != nil || cfg.Fetch.Reconcile != d+1e9 {
			t.Errorf("%s: %v", Duration(d+1e9), err)
		}
	}
	for size, want := range map[Size]string{0: "0B", 1: "1B", 1024: "1KiB", 100 << 20: "100MiB", 3 << 30: "3GiB", 1025: "1025B"} {
		if size.String() != want {
			t.Errorf("%d = %s, want %s", size, size.String(), want)
		}
	}
}
