package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"greffe/pkg/greffe"
)

// ErrNotFound is returned for a name that the spool or a bucket does not hold.
var ErrNotFound = errors.New("bus: not found")

// Spool streams r into the spool under name, replacing what was there, and
// returns the digest of its bytes once it is durable. It holds at most 5 MiB in
// memory. An error of r is returned as it is and leaves what was there before.
func (b *Bus) Spool(ctx context.Context, name string, r io.Reader) (greffe.Digest, error) {
	sum, err := b.spool.put(ctx, name, r)
	if err != nil {
		return "", fmt.Errorf("bus: spool: %w", err)
	}
	return greffe.DigestFrom(sum), nil
}

// Unspool opens a spooled object; ErrNotFound when it is gone. The reader holds
// one chunk of 512 KiB, may be read as slowly as one likes, checks the digest at
// the end and returns an error instead of io.EOF when bytes are missing or wrong.
func (b *Bus) Unspool(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := b.spool.open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("bus: unspool: %w", err)
	}
	return r, nil
}

// Drop removes a spooled object; removing one that is gone is not an error.
func (b *Bus) Drop(ctx context.Context, name string) error {
	if err := b.spool.drop(ctx, name); err != nil {
		return fmt.Errorf("bus: drop: %w", err)
	}
	return nil
}

const (
	chunkSize   = 512 << 10 // bytes in the first message of an object: most objects are one message
	chunkNext   = 128 << 10 // in those after it: each is copied a few times on its way, and few at a time are
	spoolWindow = 4         // chunks sent and not yet acknowledged
	digestKind  = "SHA-256="
)

// errDamaged is an object whose chunks are not those that were put.
var errDamaged = errors.New("bus: spooled object damaged")

// objects is a JetStream object store. It writes and reads the chunks itself,
// in the documented format (NATS ADR-20), because the client's Put keeps up to
// 4000 chunks in flight and its Get must end within the deadline of its call.
type objects struct {
	b      *Bus
	name   string
	store  jetstream.ObjectStore
	stream jetstream.Stream
	recent recent
}

func (b *Bus) openObjects(ctx context.Context, name string, ttl time.Duration, replicas int) (*objects, error) {
	store, err := b.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: name, TTL: ttl, Storage: jetstream.FileStorage, Replicas: replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("bus: make object store %s: %w", name, err)
	}
	stream, err := b.js.Stream(ctx, "OBJ_"+name)
	if err != nil {
		return nil, fmt.Errorf("bus: open object store %s: %w", name, err)
	}
	return &objects{b: b, name: name, store: store, stream: stream}, nil
}

func (o *objects) chunks(id string) string { return "$O." + o.name + ".C." + id }

func (o *objects) description(name string) string {
	return "$O." + o.name + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// put streams r into chunks under a subject of their own, then publishes the
// description that makes them the object.
func (o *objects) put(ctx context.Context, name string, r io.Reader) (sum []byte, _ error) {
	old, err := o.info(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	info := &jetstream.ObjectInfo{Bucket: o.name, NUID: rand.Text()}
	info.Name = name
	info.Opts = &jetstream.ObjectMetaOptions{ChunkSize: chunkSize}
	sum, only, err := o.putChunks(ctx, info, r)
	if err == nil {
		o.recent.forget(name)
		err = o.describe(ctx, info)
	}
	if err != nil {
		o.purge(ctx, info.NUID)
		return nil, err
	}
	if only != nil && o.b.srv != nil {
		o.recent.keep(name, info, only)
	}
	if old != nil {
		o.purge(ctx, old.NUID)
	}
	return sum, nil
}

// describe publishes the description of an object in place of the one before.
func (o *objects) describe(ctx context.Context, info *jetstream.ObjectInfo) error {
	m := nats.NewMsg(o.description(info.Name))
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	var err error
	if m.Data, err = json.Marshal(info); err != nil {
		return err
	}
	_, err = o.b.send(ctx, m)
	return err
}

// purge removes chunks that no object is made of any more. It goes on after ctx
// is done, for it mends what a cut left behind; what it misses costs disk only.
func (o *objects) purge(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.chunks(id))); err != nil {
		o.b.log.Warn("bus chunks left behind", "store", o.name, "error", err)
	}
}

// putChunks sends r with a few chunks in flight and returns once all are
// acknowledged; it fills in size, count and digest, and returns the digest. When the object is a single
// chunk, its bytes are returned and belong to the caller.
func (o *objects) putChunks(ctx context.Context, info *jetstream.ObjectInfo, r io.Reader) (sum, only []byte, _ error) {
	digest := sha256.New()
	var flying []jetstream.PubAckFuture
	// A chunk's memory is used again only once its message is acknowledged: the
	// client keeps it to send it again.
	free := [][]byte{chunks.Get().(*[chunkSize]byte)[:0]}
	defer func() {
		for _, chunk := range free {
			if cap(chunk) == chunkSize {
				chunks.Put((*[chunkSize]byte)(chunk[:chunkSize]))
			}
		}
	}()
	land := func() error {
		f := flying[0]
		flying = flying[1:]
		select {
		case <-f.Ok():
			free = append(free, f.Msg().Data[:0])
			return nil
		case err := <-f.Err():
			return err
		case <-time.After(o.b.pace.patience):
			return nats.ErrTimeout
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	most := chunkSize
	for end := false; !end; most = chunkNext {
		if err := ctx.Err(); err != nil {
			return nil, nil, context.Cause(ctx)
		}
		var chunk []byte
		if len(free) > 0 {
			chunk, free = free[len(free)-1], free[:len(free)-1]
		} else {
			chunk = make([]byte, 0, chunkNext)
		}
		chunk, err := fill(r, chunk, most)
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return nil, nil, err
		}
		if len(chunk) == 0 {
			free = append(free, chunk)
			break
		}
		digest.Write(chunk)
		info.Size += uint64(len(chunk))
		if info.Chunks++; info.Chunks > 1 {
			only = nil
		} else if end {
			only = bytes.Clone(chunk)
		}
		if len(flying) == spoolWindow {
			if err := land(); err != nil {
				return nil, nil, err
			}
		}
		m := nats.NewMsg(o.chunks(info.NUID))
		m.Data = chunk
		f, err := o.b.js.PublishMsgAsync(m, jetstream.WithStallWait(o.b.pace.patience))
		if err != nil {
			return nil, nil, err
		}
		flying = append(flying, f)
	}
	for len(flying) > 0 {
		if err := land(); err != nil {
			return nil, nil, err
		}
	}
	sum = digest.Sum(nil)
	info.Digest = digestKind + base64.URLEncoding.EncodeToString(sum)
	return sum, only, nil
}

// chunks are the first chunks of objects, which are most of their bytes.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// fill reads up to most bytes, which chunk has room for. The error is io.EOF after
// the last bytes.
func fill(r io.Reader, chunk []byte, most int) ([]byte, error) {
	for len(chunk) < most {
		n, err := r.Read(chunk[len(chunk):min(cap(chunk), most)])
		chunk = chunk[:len(chunk)+n]
		if err != nil {
			return chunk, err
		}
	}
	return chunk, nil
}

// info returns the description of an object; ErrNotFound when there is none. A
// replica that lags may not know it yet: with replicas, "no" is asked again.
func (o *objects) info(ctx context.Context, name string) (*jetstream.ObjectInfo, error) {
	info, err := o.store.GetInfo(ctx, name)
	for range o.lag() {
		if !errors.Is(err, jetstream.ErrObjectNotFound) {
			break
		}
		sleep(ctx, 100*time.Millisecond)
		info, err = o.store.GetInfo(ctx, name)
	}
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, ErrNotFound
	}
	return info, err
}

// known returns the description of an object, from memory if it can.
func (o *objects) known(ctx context.Context, name string) (*jetstream.ObjectInfo, error) {
	if r := o.recent.get(name); r != nil {
		return r.info, nil
	}
	return o.info(ctx, name)
}

// lag is how many times an answer "not there" is asked again.
func (o *objects) lag() int {
	if o.b.cfg.Replicas > 1 {
		return 3
	}
	return 0
}

func (o *objects) open(ctx context.Context, name string) (io.ReadCloser, error) {
	if r := o.recent.get(name); r != nil {
		return io.NopCloser(bytes.NewReader(r.data)), nil
	}
	info, err := o.info(ctx, name)
	if err != nil {
		return nil, err
	}
	want, err := jetstream.DecodeObjectDigest(info.Digest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return &object{ctx: ctx, o: o, info: info, want: string(want), digest: sha256.New()}, nil
}

// drop removes the description first, so that no reader finds an object whose
// chunks are going. It purges both rather than use the client's Delete, which
// leaves a description of what was deleted: with one of those in each block of
// the file, the server would keep every block, on disk and in memory.
func (o *objects) drop(ctx context.Context, name string) error {
	info, err := o.known(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	o.recent.forget(name)
	if err := o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.description(name))); err != nil {
		return err
	}
	return o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.chunks(info.NUID)))
}
