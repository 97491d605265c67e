package archive

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestCover(t *testing.T) {
	t.Parallel()
	key, err := NewCover()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCover()
	if err != nil {
		t.Fatal(err)
	}
	secret := bytes.Repeat([]byte("patient MARTIN "), 10_000)
	r, err := Cover(key, bytes.NewReader(secret))
	if err != nil {
		t.Fatal(err)
	}
	covered, err := io.ReadAll(r)
	if err != nil || bytes.Contains(covered, []byte("MARTIN")) {
		t.Fatalf("covered bytes hold the secret, or %v", err)
	}
	uncover := func(key string, b []byte) ([]byte, error) {
		r, err := Uncover(key, bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	if got, err := uncover(key, covered); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("uncovered %d bytes of %d, %v", len(got), len(secret), err)
	}
	changed := bytes.Clone(covered)
	changed[len(changed)/2] ^= 1
	for name, c := range map[string]struct {
		key string
		b   []byte
	}{"another key": {other, covered}, "no key": {"", covered}, "a changed byte": {key, changed}, "cut": {key, covered[:len(covered)-1]}, "cut between chunks": {key, covered[:len(covered)-len(covered)%(ageChunk+ageTag)]}, "nothing": {key, nil}} {
		if got, err := uncover(c.key, c.b); !errors.Is(err, ErrCover) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	gone := errors.New("the bus went away")
	if r, err := Uncover(key, io.MultiReader(bytes.NewReader(covered[:len(covered)/2]), failing{gone})); err != nil {
		t.Error(err)
	} else if _, err := io.ReadAll(r); !errors.Is(err, gone) || errors.Is(err, ErrCover) {
		t.Errorf("a source that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
