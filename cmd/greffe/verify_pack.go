package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/note"

	"greffe/pkg/evidence"
)

// packOptions are the options of "greffe verify" that are about a proof pack.
type packOptions struct{ file, key, authority string }

func (o *packOptions) flags(fs *flag.FlagSet) {
	fs.StringVar(&o.file, "pack", "", "vérifie un `PACK.zip` de « greffe prove », sans configuration, réseau, index ni archive")
	fs.StringVar(&o.key, "key", "", "avec --pack : `FICHIER` des clés publiques du journal (greffe keys), reçues par une autre voie")
	fs.StringVar(&o.authority, "tsa-ca", "", "avec --pack : `FICHIER` PEM des autorités d'horodatage de confiance")
}

// used reports whether a pack is to be verified; --key and --tsa-ca alone are a wrong use.
func (o *packOptions) used() (bool, error) {
	if o.file == "" && (o.key != "" || o.authority != "") {
		return false, fmt.Errorf("%w : --key et --tsa-ca vont avec --pack", errUsage)
	}
	return o.file != "", nil
}

// packHelp is what the help of "greffe verify" says about packs.
const packHelp = `  --pack PACK.zip       un pack de preuve (greffe prove), avec --key et --tsa-ca : sans configuration,
                        réseau, index ni archive. Chaque octet changé, chaque fichier de trop ou
                        manquant est nommé. Sort avec 0 si tout est conforme ou avec réserve, avec 1
                        si un contrôle est KO ou n'a pu être fait faute de --key ou de --tsa-ca
`

func runVerifyPack(ctx context.Context, c *call, o *packOptions) error {
	if c.config != "" || c.data != "" || len(c.args) > 0 {
		return fmt.Errorf("%w : --pack ne demande ni configuration ni argument", errUsage)
	}
	var trust evidence.Trust
	var err error
	if trust.Authorities, err = authorities(o.authority); err != nil {
		return fmt.Errorf("--tsa-ca : %w", err)
	}
	if o.key != "" {
		if trust.Keys, err = readVerifiers(o.key); err != nil {
			return fmt.Errorf("--key : %w", err)
		}
	}
	f, err := os.Open(o.file)
	if err != nil {
		return fmt.Errorf("%s : %s", o.file, reason(err))
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s n'est pas un fichier ; --pack attend le ZIP, non décompressé", o.file)
	}
	bar := newProgress(c.err, "vérification")
	rep, err := evidence.VerifyPack(ctx, f, fi.Size(), trust, func(done, total int64) { bar.update(int(done>>10), int(total>>10)) })
	bar.done()
	if err != nil {
		return err
	}
	if c.json {
		if err := json.NewEncoder(c.out).Encode(rep); err != nil {
			return err
		}
	} else {
		printPack(c.out, rep)
	}
	if rep.Verdict == evidence.StatusKO || rep.Unchecked {
		return errFound
	}
	return nil
}

func printPack(w io.Writer, rep evidence.PackReport) {
	if r := rep.Record; r != nil {
		fmt.Fprintf(w, "Pack fait le %s par %s, journal %s : %d messages, %d lignes du journal, %d horodatages\n\n",
			r.Made.UTC().Format("02/01/2006 15:04:05 UTC"), r.By, r.Journal, len(r.Messages), r.Entries, len(r.Stamps))
	}
	printChecks(w, rep.Checks)
}

// readVerifiers reads public keys, a line each.
func readVerifiers(path string) ([]note.Verifier, error) {
	b, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("%s : %s", path, reason(err))
	}
	var list []note.Verifier
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		line := bytes.TrimSpace(s.Bytes())
		if len(line) == 0 {
			continue
		}
		v, err := evidence.ParsePublicKey(string(line))
		if err != nil {
			return nil, fmt.Errorf("%s : ce n'est pas une clé publique du journal, telle que « greffe keys » l'affiche", path)
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s : aucune clé", path)
	}
	return list, nil
}
