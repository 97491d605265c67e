package bus

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is a small shared map of the bus (JetStream KV). Keys may be any text
// that is not empty: they are encoded. Revision 0 means "not there".
type Bucket struct{ kv jetstream.KeyValue }

// ErrConflict is returned by Put when the revision is not the newest.
var ErrConflict = errors.New("bus: changed by another")

// Bucket opens or makes the bucket called name: ASCII letters, digits, hyphens
// and underscores; "spool", "claims", "attempts", "leases" and "standings" are taken.
func (b *Bus) Bucket(ctx context.Context, name string) (*Bucket, error) {
	kv, err := b.keyValue(ctx, name, 0, jetstream.FileStorage)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.buckets, name) {
		b.buckets = append(b.buckets, name)
	}
	return &Bucket{kv}, nil
}

// Get returns the value and its revision; ErrNotFound when there is none.
func (k *Bucket) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	e, err := k.kv.Get(ctx, encodeKey(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, ErrNotFound
	}
	if err != nil {
		return nil, 0, fmt.Errorf("bus: get from %s: %w", k.kv.Bucket(), err)
	}
	return e.Value(), e.Revision(), nil
}

// Put writes the value if the newest revision is rev (0: if there is none), and
// returns the new revision once it is durable; ErrConflict when rev is not the
// newest. After any other error the value may or may not be there: Get tells.
func (k *Bucket) Put(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	var err error
	if rev == 0 {
		rev, err = k.kv.Create(ctx, encodeKey(key), value)
	} else {
		rev, err = k.kv.Update(ctx, encodeKey(key), value, rev)
	}
	if stale(err) {
		return 0, ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("bus: put into %s: %w", k.kv.Bucket(), err)
	}
	return rev, nil
}

// stale reports whether a conditional write met another revision.
func stale(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
	}
	return errors.Is(err, jetstream.ErrKeyExists)
}

// encodeKey writes any text with the characters that a key may have.
func encodeKey(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }
