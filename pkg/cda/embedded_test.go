package cda

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// embedded returns what Embedded gives, as "mediaType:bytes".
func embedded(t *testing.T, r io.Reader) ([]string, error) {
	t.Helper()
	var got []string
	_, err := Embedded(r, func(v *Value) error {
		if v.N != len(got) {
			t.Errorf("value %d comes as number %d", len(got), v.N)
		}
		b, err := io.ReadAll(v)
		if err == nil {
			got = append(got, v.MediaType+":"+string(b))
		}
		return err
	})
	return got, err
}

func TestEmbeddedFindsEveryValue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		xml  string
		want []string
	}{
		"none":             {`<a><b>Ym9u</b></a>`, nil},
		"plain":            {`<a><b representation="B64" mediaType="Application/PDF; x=y">Ym9uam91cg==</b></a>`, []string{"application/pdf:bonjour"}},
		"any element":      {`<x xmlns="u"><y representation='B64'>Ym9u</y><z representation="B64" mediaType="image/png">am91cg==</z></x>`, []string{":bon", "image/png:jour"}},
		"blanks and lines": {"<b representation='B64'>\r\n  Ym 9u\n\tam91 cg=\t=\n</b>", []string{":bonjour"}},
		"no padding":       {`<b representation="B64">Ym9uam91cg</b>`, []string{":bonjour"}},
		"junk inside":      {`<b representation="B64">Ym!9u*am91cg==</b>`, []string{":bonjour"}},
		"url alphabet":     {`<b representation="B64">__-_</b>`, []string{":\xff\xff\xbf"}},
		"joined values":    {`<b representation="B64">Ym9u` + `am91cg==` + `Ym9u</b>`, []string{":bonjourbon"}},
		"references":       {`<b representation="B64">Ym9&#117;am91&#x63;g==</b>`, []string{":bonjour"}},
		"CDATA":            {`<b representation="B64"><![CDATA[Ym9u]]>am91cg==</b>`, []string{":bonjour"}},
		"comment inside":   {`<b representation="B64">Ym9u<!-- x -->am91cg==</b>`, []string{":bonjour"}},
		"thumbnail":        {`<b representation="B64" mediaType="x/y"><thumbnail representation="B64">Ym9u</thumbnail>am91cg==</b>`, []string{":bon", "x/y:jour"}},
		"child after":      {`<b representation="B64">Ym9u<reference value="x"/></b>`, []string{":bon"}},
		"empty":            {`<a><b representation="B64"/><b representation="B64"> </b><b representation="B64">Ym9u</b></a>`, []string{":bon"}},
		"form not said":    {`<c><nonXMLBody><text mediaType="application/pdf">Ym9u</text></nonXMLBody></c>`, []string{"application/pdf:bon"}},
		"text, not said":   {`<c><nonXMLBody><text mediaType="text/plain">Ym9u</text></nonXMLBody><text mediaType="application/pdf">Ym9u</text></c>`, nil},
		"other form":       {`<a><b representation="TXT">Ym9u</b></a>`, nil},
		"strange type":     {"<b representation='B64' mediaType='text/é'>Ym9u</b>", []string{":bon"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(c.xml), iotest.OneByteReader(strings.NewReader(c.xml))} {
				got, err := embedded(t, r)
				if err != nil || !slices.Equal(got, c.want) {
					t.Errorf("got %q (%v), want %q", got, err, c.want)
				}
			}
		})
	}
}

func TestEmbeddedDecodesAnySize(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{1, 2, 3, 4, 5, 100, window*3/4 - 1, window * 3 / 4, window, 1 << 20} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		doc := `<b representation="B64">` + base64.StdEncoding.EncodeToString(data) + `</b>`
		for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader} {
			_, err := Embedded(strings.NewReader(doc), func(r *Value) error {
				got, err := io.ReadAll(wrap(r))
				if err == nil && !bytes.Equal(got, data) {
					err = fmt.Errorf("%d bytes come back as %d others", size, len(got))
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

func TestEmbeddedStopsWhenAsked(t *testing.T) {
	t.Parallel()
	doc := `<a><b representation="B64">Ym9u</b><b representation="B64">am91cg==</b></a>`
	stop := errors.New("stop")
	calls := 0
	if _, err := Embedded(strings.NewReader(doc), func(*Value) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
	// Values that f leaves unread do not shift the others.
	var last []byte
	_, err := Embedded(strings.NewReader(doc), func(v *Value) (err error) {
		if v.N == 1 {
			last, err = io.ReadAll(v)
		}
		return err
	})
	if err != nil || string(last) != "jour" {
		t.Errorf("second value %q, error %v", last, err)
	}
}

func TestEmbeddedReportsWhatIsBroken(t *testing.T) {
	t.Parallel()
	disk := errors.New("disk")
	whole := `<a><b representation="B64">Ym9u</b>`
	for name, r := range map[string]io.Reader{
		"cut after a value":  strings.NewReader(whole),
		"cut inside a value": strings.NewReader(whole + `<b representation="B64">am91`),
		"bad tag":            strings.NewReader(whole + `</c>`),
		"reader":             io.MultiReader(strings.NewReader(whole+`<b representation="B64">am91`), iotest.ErrReader(disk)),
	} {
		got, err := embedded(t, r)
		if !slices.Equal(got, []string{":bon"}) {
			t.Errorf("%s: whole values are %q", name, got)
		}
		if _, bad := errors.AsType[*SyntaxError](err); bad == (name == "reader") || err == nil || name == "reader" && !errors.Is(err, disk) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	many := `<a>` + strings.Repeat(`<b representation="B64">Ym9u</b>`, maxValues+1) + `</a>`
	if got, err := embedded(t, strings.NewReader(many)); err == nil || len(got) != maxValues {
		t.Errorf("%d values, error %v", len(got), err)
	}
}

// A value of 64 MB passes through in little memory.
func TestEmbeddedHoldsNothingWhole(t *testing.T) {
	const size = 64 << 20
	line := bytes.Repeat([]byte("QUJD"), 1<<14)
	doc := io.MultiReader(strings.NewReader(`<b representation="B64">`), &repeat{line: line, left: size / len(line)}, strings.NewReader(`</b>`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var n int64
	_, err := Embedded(doc, func(r *Value) (err error) {
		n, err = io.Copy(io.Discard, r)
		return err
	})
	runtime.ReadMemStats(&after)
	if err != nil || n != size/4*3 {
		t.Errorf("%d bytes, error %v", n, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
}

type repeat struct {
	line []byte
	left int
	from int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.line[r.from:])
	if r.from += n; r.from == len(r.line) {
		r.from, r.left = 0, r.left-1
	}
	return n, nil
}
