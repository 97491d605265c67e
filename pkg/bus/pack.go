package bus

import (
	"context"
	"fmt"
	"io"
	"time"
)

// MaxPackAge is for how long a proof pack may lie on the bus; what nobody removed goes a
// day later.
const MaxPackAge = 90 * 24 * time.Hour

// PutPack streams r to the packs under name, replacing what was there, and returns once
// it is durable. Every client of the bus can read it: it must be covered. Memory and
// errors as of Spool.
func (b *Bus) PutPack(ctx context.Context, name string, r io.Reader) error {
	if _, err := b.packs.put(ctx, name, r); err != nil {
		return fmt.Errorf("bus: put pack: %w", err)
	}
	return nil
}

// OpenPack opens a pack as Unspool does; ErrNotFound when it is gone.
func (b *Bus) OpenPack(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := b.packs.open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("bus: open pack: %w", err)
	}
	return r, nil
}

// DropPack removes a pack; removing one that is gone is not an error.
func (b *Bus) DropPack(ctx context.Context, name string) error {
	if err := b.packs.drop(ctx, name); err != nil {
		return fmt.Errorf("bus: drop pack: %w", err)
	}
	return nil
}
