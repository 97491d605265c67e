package bus

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// object reads a spooled object chunk by chunk, each when it is needed.
type object struct {
	ctx    context.Context
	o      *objects
	info   *jetstream.ObjectInfo
	want   string
	digest hash.Hash
	chunk  []byte // not yet read
	seq    uint64 // of the last chunk in the stream
	read   uint32 // chunks
	err    error
}

func (r *object) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.err = r.next(); r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// next fetches the next chunk, or returns io.EOF after the last one when all the
// bytes are those that were put.
func (r *object) next() error {
	if r.read == r.info.Chunks {
		if string(r.digest.Sum(nil)) != r.want {
			return fmt.Errorf("%w: digest differs", errDamaged)
		}
		return io.EOF
	}
	subject := jetstream.WithGetMsgSubject(r.o.chunks(r.info.NUID))
	m, err := r.o.stream.GetMsg(r.ctx, r.seq+1, subject)
	for range r.o.lag() {
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		sleep(r.ctx, 100*time.Millisecond)
		m, err = r.o.stream.GetMsg(r.ctx, r.seq+1, subject)
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		// Dropped or replaced while it was read.
		return fmt.Errorf("%w: chunk %d of %d is gone", errDamaged, r.read+1, r.info.Chunks)
	}
	if err != nil {
		return fmt.Errorf("bus: read chunk %d of %d: %w", r.read+1, r.info.Chunks, err)
	}
	r.seq, r.chunk = m.Sequence, m.Data
	r.read++
	r.digest.Write(m.Data)
	return nil
}

// Close ends the reading; it frees nothing on the server.
func (r *object) Close() error {
	r.chunk, r.err = nil, io.ErrClosedPipe
	return nil
}
