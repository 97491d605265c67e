package storage

import (
	"context"
	"fmt"
	"slices"

	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// journal gathers the sealed lines about what was chosen, with their proofs.
func (p *prover) journal(ctx context.Context) (evidence.PackJournal, error) {
	j := evidence.PackJournal{Checkpoints: map[string][]byte{}, Stamps: map[string][]byte{}, Keys: p.keyLines}
	last, err := p.db.LastSeal(ctx)
	if err != nil {
		return j, fmt.Errorf("dernier scellement : %w", err)
	}
	entries, err := p.entries(ctx)
	if err != nil {
		return j, err
	}
	sealed := entries[:0]
	for _, e := range entries {
		if e.Seq > last.Last {
			p.pack.Checks.Warn("journal.sealed", e.Subject, "la ligne %d n’est pas encore scellée", e.Seq)
			continue
		}
		p.pack.Checks.OK("journal.sealed", 1)
		sealed = append(sealed, e)
	}
	if err := p.lines(ctx, sealed, &j); err != nil {
		return j, err
	}
	anchors, err := p.anchors(ctx, last, sealed, &j)
	if err != nil {
		return j, err
	}
	return j, p.proofs(ctx, sealed, anchors, &j)
}

// entries returns the entries of the index about the chosen messages and documents.
func (p *prover) entries(ctx context.Context) ([]index.Entry, error) {
	var list []index.Entry
	for _, c := range p.what.Chosen {
		if c.ArchivedAt.IsZero() {
			continue
		}
		wanted := map[string]bool{string(c.ID): true}
		for _, d := range c.Documents {
			wanted[string(d.ID)] = true
		}
		for seq := int64(0); ; {
			page, err := p.db.JournalAbout(ctx, c.ID, seq, 1000)
			if err != nil {
				return nil, err
			}
			if len(page) == 0 {
				break
			}
			seq = page[len(page)-1].Seq
			for _, e := range page {
				if wanted[e.Subject] {
					list = append(list, e)
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b index.Entry) int { return int(min(max(a.Seq-b.Seq, -1), 1)) })
	return list, nil
}

// lines takes the lines of the entries, and their facts, out of the sealed segments: it
// is the archive that is proven, the index only says where to look.
func (p *prover) lines(ctx context.Context, entries []index.Entry, j *evidence.PackJournal) error {
	for len(entries) > 0 {
		seal, err := p.db.SealOf(ctx, entries[0].Seq)
		if err != nil {
			return fmt.Errorf("scellement de la ligne %d : %w", entries[0].Seq, err)
		}
		n := 0
		wanted := map[int64]bool{}
		for n < len(entries) && entries[n].Seq <= seal.Last {
			wanted[entries[n].Seq] = true
			n++
		}
		b, err := p.bytes(ctx, seal.Segment)
		if err != nil {
			return fmt.Errorf("segment %s : %w", seal.Segment.Key, err)
		}
		segment, err := evidence.ParseSegment(b)
		if err != nil {
			return fmt.Errorf("segment %s : %w ; lancez « greffe verify »", seal.Segment.Key, err)
		}
		for _, e := range entries[:n] {
			i := int(e.Seq - seal.First)
			if i < 0 || i >= len(segment.Lines) || segment.Entries[i].Seq != e.Seq {
				return fmt.Errorf("segment %s : la ligne %d n'y est pas ; lancez « greffe verify »", seal.Segment.Key, e.Seq)
			}
			if segment.Entries[i] != e {
				p.pack.Checks.Fail("index.journal", e.Subject, "la ligne %d de l’index n’est pas celle qui a été scellée", e.Seq)
			} else {
				p.pack.Checks.OK("index.journal", 1)
			}
			j.Lines = append(j.Lines, segment.Lines[i])
		}
		if !seal.Facts.IsZero() {
			if b, err = p.bytes(ctx, seal.Facts); err != nil {
				return fmt.Errorf("faits %s : %w", seal.Facts.Key, err)
			}
			facts, err := evidence.ParseFacts(b)
			if err != nil {
				return fmt.Errorf("faits %s : %w", seal.Facts.Key, err)
			}
			facts = slices.DeleteFunc(facts, func(f greffe.Fact) bool { return !wanted[f.Seq] })
			for i := range facts {
				line, err := evidence.EncodeFacts(facts[i : i+1])
				if err != nil {
					return err
				}
				j.Facts = append(j.Facts, line)
			}
		}
		entries = entries[n:]
	}
	return nil
}

// checkpoint reads the checkpoint of a seal into the pack.
func (p *prover) checkpoint(ctx context.Context, seal index.Seal, j *evidence.PackJournal) (*evidence.Checkpoint, error) {
	b, err := p.bytes(ctx, seal.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("point de contrôle %s : %w", seal.Checkpoint.Key, err)
	}
	c, _, err := evidence.OpenCheckpoint(b, p.keys...)
	if err != nil {
		return nil, fmt.Errorf("point de contrôle %s : %w ; lancez « greffe verify »", seal.Checkpoint.Key, err)
	}
	j.Checkpoints[seal.Checkpoint.Key] = b
	return c, nil
}

// tile reads a tile of the tree.
func (p *prover) tile(ctx context.Context) evidence.ReadTile {
	return func(level int, number int64, _ int) ([]byte, error) { return p.db.Tile(ctx, level, number) }
}

// proofs proves each entry in the first of the checkpoints, which are in the order of
// their sizes, that holds it, and each of these in the next.
func (p *prover) proofs(ctx context.Context, entries []index.Entry, anchors []*evidence.Checkpoint, j *evidence.PackJournal) error {
	read := p.tile(ctx)
	at := 0
	for _, e := range entries {
		for anchors[at].Size < e.Seq {
			at++
		}
		hashes, err := evidence.ProveEntry(anchors[at], e.Seq, read)
		if err != nil {
			return fmt.Errorf("preuve de la ligne %d : %w ; lancez « greffe verify », puis « greffe reindex »", e.Seq, err)
		}
		j.Entries = append(j.Entries, evidence.EntryProof{Seq: e.Seq, Checkpoint: anchors[at], Hashes: hashes})
	}
	for i := range anchors[:max(len(anchors)-1, 0)] {
		hashes, err := evidence.ProveGrowth(anchors[i], anchors[i+1], read)
		if err != nil {
			return fmt.Errorf("preuve de cohérence : %w ; lancez « greffe verify »", err)
		}
		j.Growth = append(j.Growth, evidence.GrowthProof{Old: anchors[i], New: anchors[i+1], Hashes: hashes})
	}
	return nil
}
