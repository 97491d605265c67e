package evidence

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"greffe/pkg/greffe"
)

const (
	maxRecord   = 64 << 20 // bytes of preuve.json: about 100,000 messages
	leastChecks = 20       // of a record
)

// PackReport is what VerifyPack found.
type PackReport struct {
	Verdict Status  `json:"verdict"`
	Checks  []Check `json:"checks"` // made now; then those of the record that were made beside the archive
	// Unchecked: something could not be checked for want of a key or of an authority.
	Unchecked bool    `json:"unchecked,omitempty"`
	Record    *Record `json:"record,omitempty"` // as preuve.json says it; nil when it cannot be read
}

// VerifyPack checks a pack of size bytes with nothing but what it holds and trust. It
// returns an error when r cannot be read or ctx is done, not for what it finds: each
// changed byte, each file too many or missing is in the report, by the name of the file.
//
// The pack may be hostile: names, sizes and counts are bounded, files are read one at a
// time, and memory grows by a few hundred bytes a file and a line of the journal that are
// really there, and by the size of one manifest and of preuve.json.
func VerifyPack(ctx context.Context, r io.ReaderAt, size int64, trust Trust, progress func(done, total int64)) (PackReport, error) {
	checks := NewChecks()
	files, faults, err := scanZip(ctx, r, size, progress)
	if err != nil {
		return PackReport{}, err
	}
	for _, f := range faults {
		checks.Fail("pack.structure", f.File, "%s", f.Text)
	}
	checks.OK("pack.structure", len(files)-min(len(files), len(faults)))
	rec := &Record{}
	p := newPack(ctx, r, files, checks, trust, rec)
	for _, step := range []func() error{p.readSums, p.readNote, p.readRecord} {
		if err := step(); err != nil {
			return PackReport{}, fmt.Errorf("evidence: read pack: %w", err)
		}
	}
	claimed := *rec
	rec.Messages = make([]PackMessage, len(claimed.Messages))
	for i, m := range claimed.Messages {
		rec.Messages[i] = m
		rec.Messages[i].Documents = slices.Clone(m.Documents)
	}
	rec.Stamps = []PackedStamp{}
	if err := p.examine(); err != nil {
		return PackReport{}, err
	}
	p.compareRecord(&claimed)
	// The signature needs the keys, which examine reads.
	if err := p.checkNote(); err != nil {
		return PackReport{}, fmt.Errorf("evidence: read pack: %w", err)
	}
	rep := PackReport{Checks: checks.list(whereReader, wherePack)}
	rep.Unchecked = len(trust.Keys) == 0 || trust.Authorities == nil && len(rec.Stamps) > 0
	if claimed.Format == PackFormat {
		rep.Record = &claimed
		for _, k := range claimed.Checks {
			if k.Where == whereArchive {
				rep.Checks = append(rep.Checks, k)
			}
		}
	}
	rep.Verdict = verdict(rep.Checks)
	return rep, nil
}

// readSums compares SHA256SUMS with the files, in their order.
func (p *pack) readSums() error {
	f, ok := p.byName[sumsName]
	if !ok {
		p.checks.Fail("pack.files", sumsName, "ce fichier manque")
		return nil
	}
	// Every file but the last two is listed, in the order of the ZIP.
	var rest []zipFile
	if n := len(p.files); n >= 2 && p.files[n-2].name == sumsName && p.files[n-1].name == noteName {
		rest = p.files[:n-2]
	} else {
		p.checks.Fail("pack.files", noteName, "%s et %s doivent être les deux derniers fichiers du ZIP", sumsName, noteName)
		rest = slices.DeleteFunc(slices.Clone(p.files), func(f zipFile) bool { return f.name == sumsName || f.name == noteName })
	}
	listed := map[string]bool{}
	s := bufio.NewScanner(p.open(f))
	s.Buffer(make([]byte, 0, 1<<10), 1<<10)
	s.Split(wholeLines)
	next, ordered := 0, true
	for s.Scan() {
		sum, name, ok := strings.Cut(s.Text(), "  ")
		if !ok || !greffe.Digest(sum).Valid() || !validZipName(name) || listed[name] || len(listed) > maxZipFiles {
			p.checks.Fail("pack.sums", sumsName, "la ligne %d n’est pas écrite comme elle doit l’être", len(listed)+1)
			return nil
		}
		listed[name] = true
		file, there := p.byName[name]
		switch {
		case !there:
			p.checks.Fail("pack.files", name, "ce fichier manque : %s le nomme", sumsName)
			ordered = false
			continue
		case file.sum != greffe.Digest(sum):
			p.checks.Fail("pack.sums", name, "ses octets ont changé (SHA-256 %s, attendu %s)", file.sum, sum)
		default:
			p.checks.OK("pack.sums", 1)
		}
		if next < len(rest) && rest[next].name == name {
			next++
		} else if ordered && there {
			p.checks.Fail("pack.files", name, "ce fichier n’est pas à sa place dans le ZIP")
			ordered = false
		}
	}
	if err := s.Err(); err != nil {
		if p.ctx.Err() != nil {
			return err
		}
		p.checks.Fail("pack.sums", sumsName, "une ligne est trop longue ou coupée")
	}
	for _, f := range rest {
		switch {
		case !listed[f.name]:
			p.checks.Fail("pack.files", f.name, "ce fichier est de trop : %s ne le nomme pas", sumsName)
		case !known(f.name):
			p.checks.Fail("pack.files", f.name, "un pack n’a pas de fichier de ce nom")
		default:
			p.checks.OK("pack.files", 1)
		}
	}
	return nil
}

// readNote says early that the signature is missing.
func (p *pack) readNote() error {
	if _, ok := p.byName[noteName]; !ok {
		p.checks.Fail("pack.files", noteName, "ce fichier manque")
	}
	return nil
}

// checkNote checks the signature of SHA256SUMS.
func (p *pack) checkNote() error {
	f, ok := p.byName[noteName]
	if !ok {
		p.checks.Fail("pack.signature", noteName, "ce fichier manque : rien ne dit qui a fait ce pack")
		return nil
	}
	b, err := p.read(f, maxSmallFile)
	if err != nil && !errors.Is(err, ErrFormat) {
		return err
	}
	n, err := note.Open(b, note.VerifierList(p.keys...))
	if err != nil || len(n.Sigs) == 0 {
		p.checks.Fail("pack.signature", noteName, "ce n’est pas une signature par une clé connue")
		return nil
	}
	want := fmt.Sprintf("%s\n%s  %s\n", PackFormat, p.byName[sumsName].sum, sumsName)
	switch {
	case n.Text != want:
		p.checks.Fail("pack.signature", sumsName, "ce n’est pas la liste d’empreintes qui a été signée")
	case n.Sigs[0].Name != p.record.Journal:
		p.checks.Fail("pack.signature", noteName, "signé par la clé d’un autre journal : %s", n.Sigs[0].Name)
	case len(n.UnverifiedSigs) > 0 || len(n.Sigs) > 1:
		p.checks.Fail("pack.signature", noteName, "plus d’une signature")
	default:
		p.checks.OK("pack.signature", 1)
	}
	return nil
}

// readRecord reads preuve.json.
func (p *pack) readRecord() error {
	for _, name := range []string{readmeName, recordName, reportName} {
		if _, ok := p.byName[name]; !ok {
			p.checks.Fail("pack.files", name, "ce fichier manque")
		}
	}
	f, ok := p.byName[recordName]
	if !ok {
		p.checks.Fail("pack.record", recordName, "ce fichier manque")
		return nil
	}
	b, err := p.read(f, maxRecord)
	if err != nil && !errors.Is(err, ErrFormat) {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var rec Record
	err = d.Decode(&rec)
	again, _ := rec.encode()
	// One record has one spelling: nothing hides in doubled members or behind the end.
	if err != nil || rec.Format != PackFormat || !bytes.Equal(again, b) {
		p.checks.Fail("pack.record", recordName, "ce n’est pas un relevé au format %s", PackFormat)
		return nil
	}
	*p.record = rec
	return nil
}

// compareRecord compares what was found with what preuve.json claims.
func (p *pack) compareRecord(claimed *Record) {
	if claimed.Format != PackFormat {
		return
	}
	differs := func(what string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			p.checks.Fail("pack.record", recordName, "%s", what+" ne sont pas ceux du pack")
		} else {
			p.checks.OK("pack.record", 1)
		}
	}
	differs("les messages et documents annoncés", p.record.Messages, claimed.Messages)
	differs("les nombres de lignes annoncés", p.record.Entries, claimed.Entries)
	differs("les points de contrôle annoncés", p.record.Checkpoints, claimed.Checkpoints)
	differs("les jetons annoncés", p.record.Stamps, claimed.Stamps)
	ids := map[string]bool{}
	for _, k := range claimed.Checks {
		ids[k.ID] = true
	}
	if len(ids) < leastChecks || len(ids) < len(claimed.Checks) {
		p.checks.Fail("pack.record", recordName, "moins de %d contrôles annoncés, ou deux fois le même", leastChecks)
	}
	if claimed.Verdict != verdict(claimed.Checks) {
		p.checks.Fail("pack.record", recordName, "le résultat annoncé ne découle pas des contrôles annoncés")
	}
}
