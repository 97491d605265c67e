package evidence

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// What a token may be apart from its checkpoint without a word.
const (
	clockSlack = time.Minute    // before: clocks differ
	farApart   = 25 * time.Hour // after: it is asked for every day
)

// certificateFile returns the name and the bytes of a certificate in a pack.
func certificateFile(c *x509.Certificate) (string, []byte) {
	sum := sha256.Sum256(c.Raw)
	return certificatesFolder + hex.EncodeToString(sum[:]) + ".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// readStamps checks the time stamps of the pack.
func (p *pack) readStamps() error {
	for _, f := range p.files {
		if sum, ok := between(f.name, certificatesFolder, ".pem"); ok {
			if err := p.certificate(f, greffe.Digest(sum)); err != nil {
				return err
			}
			continue
		}
		r, kind, ok := ParseKey(f.name)
		if !ok || kind != KindStamp && kind != KindToken {
			continue
		}
		if kind == KindStamp {
			if _, ok := p.byName[r.Key(KindToken)]; !ok {
				p.checks.Fail("token.imprint", r.Key(KindToken), "le jeton de cette demande manque")
			}
			continue
		}
		if err := p.stamp(f, r); err != nil {
			return err
		}
	}
	p.coverage()
	return nil
}

// certificate checks that a certificate is the one that its name says.
func (p *pack) certificate(f zipFile, sum greffe.Digest) error {
	b, err := p.read(f, maxSmallFile)
	if err != nil && !errors.Is(err, ErrFormat) {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" || greffe.DigestOf(block.Bytes) != sum || !bytes.Equal(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}), b) {
		p.checks.Fail("token.authority", f.name, "ce n’est pas le certificat que son nom annonce")
	}
	return nil
}

// stamp checks one token with what it stamps.
func (p *pack) stamp(f zipFile, r Range) error {
	asked, ok := p.byName[r.Key(KindStamp)]
	if !ok {
		p.checks.Fail("token.imprint", r.Key(KindStamp), "la demande de ce jeton manque")
		return nil
	}
	data, err1 := p.read(asked, maxStamp)
	answer, err2 := p.read(f, MaxToken)
	if err := errors.Join(err1, err2); err != nil && !errors.Is(err, ErrFormat) {
		return err
	}
	s, err := ParseStamp(data)
	if err != nil {
		p.checks.Fail("stamp.checkpoint", asked.name, "ce n’est pas une demande d’horodatage écrite par Greffe")
		return nil
	}
	c := p.byKey[s.Checkpoint.Key]
	if c == nil || s.Range() != r || c.file.sum != s.Checkpoint.SHA256 || c.Root != s.Root {
		p.checks.Fail("stamp.checkpoint", asked.name, "le point de contrôle qu’elle nomme n’est pas celui du pack")
		return nil
	}
	p.checks.OK("stamp.checkpoint", 1)
	for _, l := range []Link{s.Previous, s.Month, s.Year} {
		if before, ok := p.byName[l.Key]; ok && before.sum != l.SHA256 {
			p.checks.Fail("stamp.checkpoint", asked.name, "elle ne nomme pas le jeton %s tel qu’il est", l.Key)
		}
	}
	t, err := ParseToken(answer)
	if err != nil {
		p.checks.Fail("token.authority", f.name, "ce n’est pas un jeton d’horodatage signé")
		return nil
	}
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], t.Imprint) {
		p.checks.Fail("token.imprint", f.name, "ce jeton porte sur autre chose que %s", asked.name)
		return nil
	}
	p.checks.OK("token.imprint", 1)
	switch err := t.Check(data, p.trust.Authorities, ""); {
	case err == nil:
		p.checks.OK("token.authority", 1)
	case p.trust.Authorities == nil:
		p.checks.Warn("token.authority", f.name, "aucun certificat d’autorité n’a été donné : la signature est juste, son auteur n’est pas vérifié")
	default:
		p.checks.Fail("token.authority", f.name, "il n’est pas signé par une autorité de confiance : %v", err)
		return nil
	}
	switch {
	case t.Time.Before(c.Time.Add(-clockSlack)):
		p.checks.Warn("token.time", f.name, "le jeton est daté de %s, avant la dernière ligne qu’il couvre", frenchTime(t.Time))
	case t.Time.After(c.Time.Add(farApart)):
		p.checks.Warn("token.time", f.name, "le jeton est venu %s après la dernière ligne qu’il couvre", t.Time.Sub(c.Time).Round(time.Minute))
	default:
		p.checks.OK("token.time", 1)
	}
	p.stamped = max(p.stamped, c.Size)
	p.record.Stamps = append(p.record.Stamps, PackedStamp{
		File: f.name, Checkpoint: c.file.name, Time: t.Time.UTC(), Policy: t.Policy, Serial: t.Serial, Authority: fmt.Sprint(t.Signer.Subject),
	})
	return nil
}
