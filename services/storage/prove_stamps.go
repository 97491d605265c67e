package storage

import (
	"context"
	"fmt"

	"greffe/pkg/evidence"
	"greffe/pkg/index"
)

// anchors returns the checkpoints that the entries are proven in, by size: for each entry
// the first one with a time stamp, which dates it best, and the newest of all for those
// that none covers. The stamps go into j.
func (p *prover) anchors(ctx context.Context, last index.Seal, entries []index.Entry, j *evidence.PackJournal) ([]*evidence.Checkpoint, error) {
	var list []*evidence.Checkpoint
	covered := int64(0)
	for _, e := range entries {
		if e.Seq <= covered {
			continue
		}
		seal := last
		stamps, err := p.db.Stamps(ctx, e.Seq-1, 1)
		if err != nil {
			return nil, err
		}
		if len(stamps) > 0 {
			if seal, err = p.db.SealOf(ctx, stamps[0].Last); err != nil {
				return nil, fmt.Errorf("scellement horodaté : %w", err)
			}
			if err := p.stamp(ctx, stamps[0], j); err != nil {
				return nil, err
			}
		}
		c, err := p.checkpoint(ctx, seal, j)
		if err != nil {
			return nil, err
		}
		list, covered = append(list, c), c.Size
	}
	return list, nil
}

// stamp reads a time stamp into the pack.
func (p *prover) stamp(ctx context.Context, s index.Stamp, j *evidence.PackJournal) error {
	data, err := p.bytes(ctx, s.Stamp)
	if err != nil {
		return fmt.Errorf("horodatage %s : %w", s.Stamp.Key, err)
	}
	answer, err := p.bytes(ctx, s.Token)
	if err != nil {
		return fmt.Errorf("jeton %s : %w", s.Token.Key, err)
	}
	t, err := evidence.ParseToken(answer)
	if err != nil {
		return fmt.Errorf("jeton %s : %w ; lancez « greffe verify »", s.Token.Key, err)
	}
	j.Stamps[s.Stamp.Key], j.Stamps[s.Token.Key] = data, answer
	j.Certificates = append(j.Certificates, t.Certificates...)
	return nil
}
