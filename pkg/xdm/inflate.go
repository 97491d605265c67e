package xdm

import (
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// inflaters are decompressors to use again: each holds some 40 KB.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflate is the decompressor of the entries of an archive. Close gives it back.
func inflate(r io.Reader) io.ReadCloser {
	f := inflaters.Get().(io.ReadCloser)
	// Reset with a nil dictionary does not fail.
	_ = f.(flate.Resetter).Reset(r, nil)
	return &inflater{f: f}
}

// inflater is used by one goroutine, as archive/zip uses it.
type inflater struct{ f io.ReadCloser }

func (i *inflater) Read(p []byte) (int, error) {
	if i.f == nil {
		return 0, io.ErrClosedPipe
	}
	return i.f.Read(p)
}

func (i *inflater) Close() error {
	if i.f == nil {
		return nil
	}
	err := i.f.Close()
	inflaters.Put(i.f)
	i.f = nil
	return err
}
