package evidence

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
)

// Bounds of what is read of a pack into memory.
const (
	maxManifestFile = 64 << 20
	maxSmallFile    = 1 << 20
	maxPackEntries  = 5_000_000 // about 60 bytes each
	maxCheckpoints  = 20_000
)

// Trust is what a reader of a pack was given by another way than the pack.
type Trust struct {
	// Keys are the public keys of the journal. Without any, those of the pack are
	// used, which proves that it hangs together and not who made it.
	Keys []note.Verifier
	// Authorities are the roots of time-stamping authorities; nil when none were given.
	Authorities *x509.CertPool
}

// pack is a pack that is being looked at. Every check reads the bytes of the pack;
// nothing is taken from where they came.
type pack struct {
	ctx    context.Context
	r      io.ReaderAt
	files  []zipFile
	byName map[string]zipFile
	checks *Checks
	trust  Trust
	keys   []note.Verifier // that signatures are checked with

	record      *Record // what is asked for; filled with what is found
	messages    map[greffe.MessageID]*packedMessage
	leaves      []leaf
	facts       map[int64]greffe.Digest // of entries that have one
	checkpoints []*packedCheckpoint     // by size
	byKey       map[string]*packedCheckpoint
	stamped     int64 // entries under a time stamp
}

type packedMessage struct {
	m         *archive.Manifest
	sum       greffe.Digest // of the manifest
	received  bool
	archived  bool
	documents map[greffe.DocumentID]greffe.Digest // selected; removed when its entry is found
}

type leaf struct {
	seq  int64
	hash tlog.Hash
}

type packedCheckpoint struct {
	*Checkpoint
	file zipFile
	keys []string
}

func newPack(ctx context.Context, r io.ReaderAt, files []zipFile, checks *Checks, trust Trust, record *Record) *pack {
	p := &pack{ctx: ctx, r: r, files: files, byName: make(map[string]zipFile, len(files)), checks: checks, trust: trust, record: record,
		messages: map[greffe.MessageID]*packedMessage{}, facts: map[int64]greffe.Digest{}, byKey: map[string]*packedCheckpoint{}}
	for _, f := range files {
		p.byName[f.name] = f
	}
	return p
}

func (p *pack) open(f zipFile) io.Reader {
	return contextReader{p.ctx, io.NewSectionReader(p.r, f.content(), f.size)}
}

// read returns the bytes of a small file.
func (p *pack) read(f zipFile, most int64) ([]byte, error) {
	if f.size > most {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrFormat, f.name, f.size)
	}
	return io.ReadAll(p.open(f))
}

// examine makes every check that needs nothing but the files that carry the proof. It
// writes what it found into the record. An error means that the pack could not be read.
func (p *pack) examine() error {
	for _, step := range []func() error{p.readKeys, p.readManifests, p.readEntries, p.readFacts, p.readCheckpoints, p.readProofs, p.readStamps} {
		if err := p.ctx.Err(); err != nil {
			return context.Cause(p.ctx)
		}
		if err := step(); err != nil {
			return fmt.Errorf("evidence: read pack: %w", err)
		}
	}
	return nil
}

// readKeys reads the keys of the pack and compares them with those that were given.
func (p *pack) readKeys() error {
	p.keys = slices.Clone(p.trust.Keys)
	for _, f := range p.files {
		id, ok := between(f.name, keysFolder, ".pub")
		if !ok {
			continue
		}
		b, err := p.read(f, maxKey)
		if err != nil && !errors.Is(err, ErrFormat) {
			return err
		}
		v, err := ParsePublicKey(string(b))
		if err != nil || fmt.Sprintf("%08x", v.KeyHash()) != id {
			p.checks.Fail("pack.key", f.name, "ce n’est pas la clé publique que son nom annonce")
			continue
		}
		pem, err := p.read(p.byName[keysFolder+id+".pem"], maxKey)
		if want, bad := publicPEM(string(b)); err != nil || bad != nil || string(pem) != want {
			p.checks.Fail("pack.key", keysFolder+id+".pem", "la forme PEM n’est pas celle de la même clé")
			continue
		}
		switch {
		case len(p.trust.Keys) == 0:
			p.keys = append(p.keys, v)
			p.checks.Warn("pack.key", f.name, "aucune clé n’a été donnée par une autre voie : cette clé ne vient que du pack")
		case !slices.ContainsFunc(p.trust.Keys, func(t note.Verifier) bool { return sameKey(t, v) }):
			p.checks.Fail("pack.key", f.name, "cette clé n’est pas parmi celles qui ont été données")
		default:
			p.checks.OK("pack.key", 1)
		}
	}
	return nil
}

// sameKey compares name and key id, of which a forger cannot choose the second: it is
// 32 bits of a hash over name and key. So what was signed is checked with the given key.
func sameKey(a, b note.Verifier) bool { return a.Name() == b.Name() && a.KeyHash() == b.KeyHash() }

// readManifests reads the manifests and looks for the objects that they name.
func (p *pack) readManifests() error {
	wanted := map[greffe.MessageID]*PackMessage{}
	for i := range p.record.Messages {
		wanted[p.record.Messages[i].ID] = &p.record.Messages[i]
	}
	named := map[string]bool{}
	for _, f := range p.files {
		id, ok := between(f.name, manifestsPrefix, ".json")
		if !ok {
			continue
		}
		b, err := p.read(f, maxManifestFile)
		if err != nil && !errors.Is(err, ErrFormat) {
			return err
		}
		m, err := archive.ParseManifest(b)
		if err != nil || string(m.Parsed.Received.ID) != id {
			p.checks.Fail("manifest.format", f.name, "ce n’est pas le manifeste de ce message")
			continue
		}
		p.checks.OK("manifest.format", 1)
		r := m.Parsed.Received
		if greffe.NewMessageID(r.Origin, r.SHA256) != r.ID {
			p.checks.Fail("manifest.identity", f.name, "l’identifiant ne découle pas de ce que dit le manifeste")
		} else {
			p.checks.OK("manifest.identity", 1)
		}
		want := wanted[r.ID]
		if want == nil {
			p.checks.Fail("pack.record", f.name, "preuve.json n’annonce pas ce message")
			continue
		}
		delete(wanted, r.ID)
		p.message(m, f.sum, want, named)
	}
	for id := range wanted {
		p.checks.Fail("manifest.format", manifestFile(id), "ce manifeste manque")
	}
	for _, f := range p.files {
		if strings.HasPrefix(f.name, objectsPrefix) && !named[f.name] {
			p.checks.Fail("pack.files", f.name, "aucun manifeste ne nomme ce fichier : il est de trop")
		}
	}
	return nil
}

// message looks for the objects of a message and fills in what the record says of it.
func (p *pack) message(m *archive.Manifest, sum greffe.Digest, want *PackMessage, named map[string]bool) {
	id := m.Parsed.Received.ID
	full, missing := describe(m, sum, *want)
	for _, d := range missing {
		p.checks.Fail("document.object", string(d), "le manifeste de son message n’a pas de tel document")
	}
	found := &packedMessage{m: m, sum: sum, documents: map[greffe.DocumentID]greffe.Digest{}}
	p.messages[id] = found
	*want = full
	if !m.Raw.IsZero() {
		named[fileOf(m.Raw)] = true
		if !want.Withheld || p.has(m.Raw) {
			p.object("mail.object", m.Raw)
		}
	}
	needed := map[string]bool{}
	for _, d := range want.Documents {
		found.documents[d.ID] = d.SHA256
		for i := range m.Parsed.Documents {
			doc := &m.Parsed.Documents[i]
			if greffe.NewDocumentID(id, i+1) != d.ID {
				continue
			}
			needed[doc.Part], needed[doc.Body] = true, true
			if o := m.Objects[doc.Part]; o.SHA256 != doc.SHA256 || o.Size != doc.Size {
				p.checks.Fail("document.object", string(d.ID), "le manifeste ne donne pas à ce document l’empreinte de sa pièce")
			} else if !p.has(o) {
				p.checks.Fail("document.object", fileOf(o), "le document %s n’est pas dans le pack", d.ID)
			} else {
				p.checks.OK("document.object", 1)
			}
		}
	}
	for path, o := range m.Objects {
		named[fileOf(o)] = true
		if !want.Withheld || needed[path] || p.has(o) {
			p.object("part.object", o)
		}
	}
	if p.record.Scope.Kind == "document" || p.record.Scope.Kind == "patient" {
		if OtherPatients(m, want.Documents) {
			p.checks.Warn("scope.patient", manifestFile(id), "le manifeste de ce message nomme d’autres patients")
		} else {
			p.checks.OK("scope.patient", 1)
		}
	}
}

func (p *pack) has(o greffe.Object) bool {
	_, ok := p.byName[fileOf(o)]
	return ok
}

// object compares a file with what its manifest says.
func (p *pack) object(check string, o greffe.Object) {
	f, ok := p.byName[fileOf(o)]
	switch {
	case !ok:
		p.checks.Fail(check, fileOf(o), "ce fichier manque")
	case f.size != o.Size || f.sum != o.SHA256:
		p.checks.Fail(check, f.name, "ses octets ne sont pas ceux que dit le manifeste (SHA-256 %s, attendu %s)", f.sum, o.SHA256)
	default:
		p.checks.OK(check, 1)
	}
}

// describe fills in what a manifest says about a message of which ID, Withheld and the ids
// of the documents are given. missing are documents that the message does not have.
func describe(m *archive.Manifest, sum greffe.Digest, want PackMessage) (full PackMessage, missing []greffe.DocumentID) {
	r := m.Parsed.Received
	full = PackMessage{ID: r.ID, Mailbox: r.Origin.Mailbox, Received: r.At.UTC(), Manifest: sum, Mail: m.Raw.SHA256, Withheld: want.Withheld, Documents: []PackDocument{}}
	for _, w := range want.Documents {
		i := -1
		for k := range m.Parsed.Documents {
			if greffe.NewDocumentID(r.ID, k+1) == w.ID {
				i = k
			}
		}
		if i < 0 {
			missing = append(missing, w.ID)
			continue
		}
		d := &m.Parsed.Documents[i]
		full.Documents = append(full.Documents, PackDocument{ID: w.ID, Format: d.Format, Type: d.Type.Code, Label: d.Type.Label, SHA256: d.SHA256, Size: d.Size, File: fileOf(m.Objects[d.Part])})
	}
	return full, missing
}

// OtherPatients reports whether a message has documents of other patients than those of
// the given documents: what else the mail holds is then not for whoever may have these.
// A document that names nobody counts for another.
func OtherPatients(m *archive.Manifest, documents []PackDocument) bool {
	ours := map[string]bool{}
	var others []string
	for i := range m.Parsed.Documents {
		id := greffe.NewDocumentID(m.Parsed.Received.ID, i+1)
		who := patientOf(m.Parsed.Documents[i].Patient)
		if slices.ContainsFunc(documents, func(d PackDocument) bool { return d.ID == id }) {
			ours[who] = true
		} else {
			others = append(others, who)
		}
	}
	return slices.ContainsFunc(others, func(who string) bool { return !ours[who] }) || len(ours) > 1
}

func patientOf(p greffe.Patient) string {
	if p.INS.Extension != "" {
		return p.INS.String()
	}
	return strings.ToUpper(strings.Join([]string{p.BirthFamily, p.UsedFamily, p.FirstGiven, p.BirthDate}, "\x00"))
}

// readEntries reads the lines of the journal.
func (p *pack) readEntries() error {
	f, ok := p.byName[entriesName]
	if !ok {
		p.checks.Fail("journal.format", entriesName, "ce fichier manque")
		return nil
	}
	s := bufio.NewScanner(p.open(f))
	s.Buffer(make([]byte, 0, maxLine+2), maxLine+2)
	s.Split(wholeLines)
	before := greffe.Entry{Hash: greffe.FirstPrev}
	for s.Scan() {
		if len(p.leaves) == maxPackEntries {
			p.checks.Fail("journal.format", f.name, "plus de %d lignes", maxPackEntries)
			break
		}
		e, err := ParseLine(s.Bytes())
		switch {
		case errors.Is(err, greffe.ErrChain):
			p.checks.Fail("journal.hash", f.name, "la ligne %d a été modifiée : son empreinte n’est pas celle qu’elle porte", e.Seq)
		case err != nil || e.Seq <= before.Seq:
			p.checks.Fail("journal.format", f.name, "la ligne après le numéro %d n’est pas écrite comme elle doit l’être", before.Seq)
			continue
		default:
			p.checks.OK("journal.hash", 1)
		}
		p.entry(e, before)
		p.leaves = append(p.leaves, leaf{e.Seq, LeafHash(s.Bytes())})
		before = e
	}
	if err := s.Err(); err != nil {
		if p.ctx.Err() != nil {
			return err
		}
		p.checks.Fail("journal.format", f.name, "une ligne est trop longue ou coupée")
	}
	p.record.Entries = len(p.leaves)
	for id, m := range p.messages {
		if !m.received {
			p.checks.Fail("journal.received", string(id), "aucune ligne ne dit sa réception avec l’empreinte %s", m.m.Parsed.Received.SHA256)
		}
		if !m.archived {
			p.checks.Fail("journal.archived", string(id), "aucune ligne ne dit son archivage avec le manifeste %s", m.sum)
		}
		for d, sum := range m.documents {
			p.checks.Fail("journal.document", string(d), "aucune ligne ne dit son archivage avec l’empreinte %s", sum)
		}
	}
	return nil
}

// entry looks at one line after the one before.
func (p *pack) entry(e, before greffe.Entry) {
	id, doc := greffe.MessageID(e.Subject), greffe.DocumentID(e.Subject)
	if doc.Valid() {
		id = doc.Message()
	}
	m := p.messages[id]
	if m == nil {
		p.checks.Fail("journal.format", entriesName, "la ligne %d ne parle d’aucun message du pack", e.Seq)
		return
	}
	p.checks.OK("journal.format", 1)
	if e.Seq == before.Seq+1 {
		if e.Prev != before.Hash {
			p.checks.Fail("journal.chain", entriesName, "la ligne %d ne suit pas la ligne %d", e.Seq, before.Seq)
		} else {
			p.checks.OK("journal.chain", 1)
		}
	}
	if e.At.Before(before.At) {
		p.checks.Warn("journal.time", entriesName, "la ligne %d est datée d’avant la ligne %d", e.Seq, before.Seq)
	} else {
		p.checks.OK("journal.time", 1)
	}
	fact, detail := e.FactDigest()
	if fact != "" {
		p.facts[e.Seq] = fact
	}
	says := func(d greffe.Digest) bool { return d != "" && slices.Contains(strings.Fields(detail), string(d)) }
	r := m.m.Parsed.Received
	switch {
	case e.Action == "received" && !doc.Valid() && !m.received && (r.Refused != nil || says(r.SHA256)):
		m.received = true
		p.checks.OK("journal.received", 1)
	case e.Action == "archived" && !doc.Valid() && !m.archived && says(m.sum):
		m.archived = true
		p.checks.OK("journal.archived", 1)
	case e.Action == "archived" && doc.Valid() && says(m.documents[doc]):
		delete(m.documents, doc)
		p.checks.OK("journal.document", 1)
	}
}

// readFacts compares the facts with the lines that name them.
func (p *pack) readFacts() error {
	if f, ok := p.byName[factsName]; ok {
		s := bufio.NewScanner(p.open(f))
		s.Buffer(make([]byte, 0, 1<<16), maxFact+100)
		s.Split(wholeLines)
		last := int64(0)
		for s.Scan() {
			facts, err := ParseFacts(append(bytes.Clone(s.Bytes()), '\n'))
			if err != nil || len(facts) != 1 || facts[0].Seq <= last {
				p.checks.Fail("journal.fact", f.name, "la ligne après le numéro %d n’est pas écrite comme elle doit l’être", last)
				break
			}
			x := facts[0]
			last = x.Seq
			if want := p.facts[x.Seq]; want == "" || greffe.DigestOf(x.Text) != want {
				p.checks.Fail("journal.fact", f.name, "le fait de la ligne %d n’est pas celui dont elle porte l’empreinte", x.Seq)
			} else {
				p.checks.OK("journal.fact", 1)
			}
			delete(p.facts, x.Seq)
		}
		if err := s.Err(); err != nil {
			if p.ctx.Err() != nil {
				return err
			}
			p.checks.Fail("journal.fact", f.name, "une ligne est trop longue ou coupée")
		}
	}
	for seq := range p.facts {
		p.checks.Fail("journal.fact", factsName, "le fait de la ligne %d manque", seq)
	}
	return nil
}

// readCheckpoints reads the checkpoints and their signatures.
func (p *pack) readCheckpoints() error {
	for _, f := range p.files {
		if _, kind, ok := ParseKey(f.name); !ok || kind != KindCheckpoint {
			continue
		}
		b, err := p.read(f, MaxCheckpoint)
		if err != nil && !errors.Is(err, ErrFormat) {
			return err
		}
		c, signed, err := OpenCheckpoint(b, p.keys...)
		if c == nil || c.Key() != f.name || len(p.checkpoints) == maxCheckpoints {
			p.checks.Fail("checkpoint.signature", f.name, "ce n’est pas un point de contrôle écrit par Greffe sous ce nom, ou sa signature est fausse")
			continue
		}
		switch {
		case err != nil:
			p.checks.Fail("checkpoint.signature", f.name, "aucune clé connue ne l’a signé")
		case p.record.Journal != c.Origin:
			p.checks.Fail("checkpoint.signature", f.name, "il est d’un autre journal : %s", c.Origin)
		default:
			p.checks.OK("checkpoint.signature", 1)
		}
		x := &packedCheckpoint{c, f, signed}
		p.checkpoints, p.byKey[f.name] = append(p.checkpoints, x), x
	}
	slices.SortFunc(p.checkpoints, func(a, b *packedCheckpoint) int { return int(min(max(a.Size-b.Size, -1), 1)) })
	p.record.Checkpoints = []PackedCheckpoint{}
	for _, c := range p.checkpoints {
		p.record.Checkpoints = append(p.record.Checkpoints, PackedCheckpoint{c.file.name, c.Size, c.Root.String(), c.Time.UTC(), c.keys})
	}
	return nil
}

// readProofs checks that each line is in the tree of a checkpoint, and that the
// checkpoints are of one journal.
func (p *pack) readProofs() error {
	f, ok := p.byName[proofsName]
	if !ok {
		p.checks.Fail("journal.inclusion", proofsName, "ce fichier manque")
		return nil
	}
	next, pair := 0, 0
	err := readProofs(p.open(f), func(b proofBlock) error {
		c := p.byKey[b.keys[len(b.keys)-1]]
		if b.seq > 0 {
			if next == len(p.leaves) || p.leaves[next].seq != b.seq {
				return fmt.Errorf("%w: entry %d", ErrFormat, b.seq)
			}
			l := p.leaves[next]
			next++
			switch {
			case c == nil:
				p.checks.Fail("journal.inclusion", proofsName, "le point de contrôle de la ligne %d n’est pas dans le pack", l.seq)
			case b.sides != sides(l.seq-1, c.Size) || l.seq > c.Size || tlog.CheckRecord(b.hashes, c.Size, c.Root, l.seq-1, l.hash) != nil:
				p.checks.Fail("journal.inclusion", proofsName, "la preuve de la ligne %d ne mène pas à la racine de %s", l.seq, c.file.name)
			default:
				p.checks.OK("journal.inclusion", 1)
			}
			return nil
		}
		if pair+1 >= len(p.checkpoints) || p.checkpoints[pair].file.name != b.keys[0] || p.checkpoints[pair+1] != c {
			return fmt.Errorf("%w: growth %s", ErrFormat, b.keys[0])
		}
		if CheckGrowth(p.checkpoints[pair].Checkpoint, c.Checkpoint, b.hashes) != nil {
			p.checks.Fail("checkpoint.growth", c.file.name, "il ne continue pas %s", b.keys[0])
		} else {
			p.checks.OK("checkpoint.growth", 1)
		}
		pair++
		return nil
	})
	switch {
	case err != nil && p.ctx.Err() != nil:
		return err
	case err != nil:
		p.checks.Fail("journal.inclusion", proofsName, "ce fichier n’est pas écrit comme il doit l’être")
	case next < len(p.leaves):
		p.checks.Fail("journal.inclusion", proofsName, "la ligne %d est sans preuve", p.leaves[next].seq)
	case pair+1 < len(p.checkpoints):
		p.checks.Fail("checkpoint.growth", p.checkpoints[pair].file.name, "la preuve que le point de contrôle suivant le continue manque")
	}
	return nil
}

// coverage says which lines have a certain date.
func (p *pack) coverage() {
	covered := 0
	for covered < len(p.leaves) && p.leaves[covered].seq <= p.stamped {
		covered++
	}
	p.checks.OK("token.coverage", covered)
	if n := len(p.leaves); covered < n {
		p.checks.Warn("token.coverage", entriesName, "%d lignes, de la ligne %d à la ligne %d, ne sont couvertes par aucun jeton", n-covered, p.leaves[covered].seq, p.leaves[n-1].seq)
	}
}
