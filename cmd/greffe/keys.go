package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/services/storage"
)

type keysOptions struct{ file, name, master string }

var keysCommand = command{
	name: "keys", args: "[--new FICHIER [--name NOM] | --new-master FICHIER] [--json]", summary: "montre les clés publiques du journal, ou en fait une nouvelle",
	help: `
Écrit les clés publiques qui vérifient le journal scellé, une par ligne : d'abord celle de la clé
configurée (journal.key), puis celles qui ont signé avant elle et que l'archive garde. Remettez-les à
un tiers (auditeur, archives, RSSI) : c'est par cette copie, gardée hors de Greffe, que se prouve plus
tard qui a signé.

Avec --new, écrit dans FICHIER une nouvelle clé privée, lisible du seul utilisateur, et montre sa clé
publique. Elle porte le nom du journal configuré, ou celui que donne --name. Pour changer de clé :
« greffe keys --new », journal.key au nouveau fichier, redémarrage. L'ancienne clé publique reste dans
l'archive et vérifie ce qu'elle a signé ; l'ancienne clé privée se détruit.

Avec --new-master, écrit dans FICHIER une clé maîtresse du chiffrement de l'archive
(archive.encryption.master_key), lisible du seul utilisateur. C'est un fichier du programme age. Pour
en changer : une nouvelle clé, puis ajouter en dessous, dans le même fichier, toutes les lignes de
l'ancien, et redémarrer : la première protège ce qui arrive, les autres continuent de lire ce qu'elles
ont protégé et ne se détruisent jamais tant que l'archive en garde. Perdre une clé maîtresse, c'est
perdre tout ce qu'elle protège : deux copies, hors de cette machine.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &keysOptions{}
		c.opt = o
		fs.StringVar(&o.file, "new", "", "`FICHIER` à créer, avec une nouvelle clé privée")
		fs.StringVar(&o.master, "new-master", "", "`FICHIER` à créer, avec une clé maîtresse du chiffrement de l'archive")
		fs.StringVar(&o.name, "name", "", "`NOM` du journal pour --new ; défaut : celui de la clé configurée")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON")
	},
	run: runKeys,
}

// publicKey is a key as "greffe keys --json" tells it.
type publicKey struct {
	ID      string `json:"id"`
	Journal string `json:"journal"`
	Key     string `json:"key"`    // the line that verifies
	Active  bool   `json:"active"` // it is the one that signs now
}

func runKeys(ctx context.Context, c *call) error {
	o := c.opt.(*keysOptions)
	if o.master != "" { // before there is a configuration that names it
		return newMaster(c, o)
	}
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	var list []publicKey
	if o.file != "" {
		k, err := newKeyFile(cfg, o)
		if err != nil {
			return err
		}
		list = append(list, publicKey{k.ID(), k.Name(), k.Public(), false})
	} else if list, err = allKeys(ctx, c, cfg); err != nil {
		return err
	}
	if c.json {
		return json.NewEncoder(c.out).Encode(list)
	}
	for _, k := range list {
		fmt.Fprintln(c.out, k.Key)
	}
	return nil
}

// newMaster makes a file with a master key for --new-master.
func newMaster(c *call, o *keysOptions) error {
	if o.file != "" || o.name != "" {
		return fmt.Errorf("%w : --new-master va seul", errUsage)
	}
	text, err := archive.NewMaster()
	if err != nil {
		return err
	}
	m, err := archive.ParseMasters(text)
	if err != nil {
		return err
	}
	err = writeSecret(o.master, text)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w : %s existe déjà ; une clé n'est jamais remplacée, donnez un autre nom", errUsage, o.master)
	}
	if err != nil {
		return fmt.Errorf("clé maîtresse : %w", err)
	}
	if c.json {
		return json.NewEncoder(c.out).Encode(struct {
			ID   string `json:"id"`
			File string `json:"file"`
		}{m.ID(), o.master})
	}
	fmt.Fprintf(c.out, "Clé maîtresse %s écrite dans %s. Faites-en deux copies hors de cette machine avant de vous en servir : sans elle, ce qu'elle protège est perdu.\n", m.ID(), o.master)
	return nil
}

// newKeyFile makes a key for --new, of the journal that is configured.
func newKeyFile(cfg *Config, o *keysOptions) (*evidence.Key, error) {
	name := o.name
	if name == "" {
		k, err := readKey(keyPath(cfg))
		switch {
		case err == nil:
			name = k.Name()
		case errors.Is(err, fs.ErrNotExist):
			name = newJournalName()
		default:
			return nil, err
		}
	}
	if err := writeKey(o.file, name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%w : %s existe déjà ; une clé n'est jamais remplacée, donnez un autre nom", errUsage, o.file)
		}
		if errors.Is(err, evidence.ErrFormat) {
			return nil, fmt.Errorf("%w : --name : lettres, chiffres, points et tirets, au plus 100", errUsage)
		}
		return nil, err
	}
	return readKey(o.file)
}

// allKeys returns the configured key, then the others of the archive.
func allKeys(ctx context.Context, c *call, cfg *Config) ([]publicKey, error) {
	k, err := readKey(keyPath(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("il n'y a pas encore de clé (%s) : « greffe run » la fait à son premier démarrage, « greffe keys --new FICHIER » pour des services séparés", keyPath(cfg))
	}
	if err != nil {
		return nil, err
	}
	list := []publicKey{{k.ID(), k.Name(), k.Public(), true}}
	store, err := openStore(ctx, cfg, newLogger(LogConfig{Level: "error", Format: "text"}, c.err))
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	defer store.Close()
	lines, err := storage.KeyLines(ctx, store)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		v, err := evidence.ParsePublicKey(line)
		if err != nil {
			return nil, err
		}
		if line != k.Public() {
			list = append(list, publicKey{fmt.Sprintf("%08x", v.KeyHash()), v.Name(), line, false})
		}
	}
	return list, nil
}

// keyPath is the file of the key that signs the journal.
func keyPath(cfg *Config) string {
	if cfg.Journal.Key != "" {
		return cfg.Journal.Key
	}
	return cfg.dir("journal.key")
}

// journalKey returns the key that signs the journal. Where none is configured, one is
// made at the first start.
func journalKey(cfg *Config) (*evidence.Key, error) {
	k, err := readKey(keyPath(cfg))
	if errors.Is(err, fs.ErrNotExist) && cfg.Journal.Key == "" {
		if err := writeKey(keyPath(cfg), newJournalName()); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		k, err = readKey(keyPath(cfg))
	}
	return k, err
}

// newJournalName returns a name that no other journal has: the origin of checkpoints
// must be unique in the world (C2SP tlog-checkpoint).
func newJournalName() string { return "greffe-" + strings.ToLower(rand.Text()[:12]) }

func readKey(path string) (*evidence.Key, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("clé du journal : %w", err)
	}
	k, err := evidence.ParsePrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("clé du journal : %s n'est pas une clé faite par « greffe keys --new » : %w", path, err)
	}
	return k, nil
}

// writeKey writes a new key to a file that does not exist yet.
func writeKey(path, name string) error {
	text, err := evidence.GenerateKey(name)
	if err != nil {
		return err
	}
	if err := writeSecret(path, text); err != nil {
		return fmt.Errorf("clé du journal : %w", err)
	}
	return nil
}

// writeSecret writes a file that does not exist yet, in full or not at all: temporary file
// 0600, fsync, link, which never replaces, fsync of the directory.
func writeSecret(path, text string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".greffe-key-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Link(f.Name(), path)
	}
	if err == nil {
		var d *os.File
		if d, err = os.Open(dir); err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
	}
	return err
}
