package cda

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endless gives first, then unit again and again up to size bytes.
type endless struct {
	first, unit string
	left        int
	pending     string
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if e.pending == "" {
			e.pending, e.first = e.first, ""
		}
		if e.pending == "" {
			if e.left <= 0 {
				break
			}
			e.pending = e.unit
			e.left -= len(e.unit)
		}
		k := copy(p[n:], e.pending)
		e.pending = e.pending[k:]
		n += k
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// processor returns the processor time that this process took so far.
func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func prefixes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` xmlns:p%d="u%d"`, i, i)
	}
	return b.String()
}

// Whatever a document holds, reading it takes less memory than twice its size, beside what
// a header may hold, and time that only grows with the size.
func TestHostileDocumentsAreCheap(t *testing.T) {
	const size, header = 4 << 20, 16 << 20
	const cda = `<ClinicalDocument xmlns="urn:hl7-org:v3">`
	for name, doc := range map[string]*endless{
		"deep":              {first: cda, unit: "<a>"},
		"processing":        {first: "", unit: "<?p " + strings.Repeat("x", 100) + "?>"},
		"comments":          {first: cda, unit: "<!---->"},
		"one comment":       {first: cda + "<!--", unit: "--  -"},
		"one instruction":   {first: cda + "<?p ", unit: "? >"},
		"one tag":           {first: "<a ", unit: "b='c' "},
		"one value":         {first: "<a b='", unit: "xxxxxxxx"},
		"one name":          {first: "<", unit: "aaaaaaaa"},
		"one text":          {first: cda, unit: "xxxxxxxx"},
		"one CDATA":         {first: cda + "<![CDATA[", unit: "]] ]>"},
		"references":        {first: cda, unit: "&lt;&#65;"},
		"elements":          {first: cda, unit: "<a/>"},
		"names":             {first: cda, unit: "<aaaa/><" + strings.Repeat("b", 200) + "/>"},
		"attributes":        {first: cda, unit: "<a " + manyAttributes(100) + "/>"},
		"namespaces":        {first: "<a" + prefixes(90) + "><b", unit: " p0:a=''"},
		"prefixes":          {first: "<a" + prefixes(90) + ">", unit: "<b p0:a='' p1:b='' p2:c='' p3:d='' p4:e=''/>"},
		"bindings in depth": {first: "", unit: "<a" + prefixes(90) + ">"},
		"blanks":            {first: "", unit: "        "},
		"templates":         {first: cda, unit: "<templateId root='1'/>"},
		"names of patients": {first: cda + "<recordTarget><patientRole><patient><name>", unit: "<given>a</given><given qualifier='BR'>b</given><family>c</family>"},
		"8-bit text":        {first: cda, unit: "\xe9t\xe9 "},
		"values":            {first: cda, unit: "<b representation='B64'>QUJD</b>"},
		"base64 of junk":    {first: cda + "<b representation='B64'>", unit: "!!!!****"},
		"document type":     {first: "<!DOCTYPE a [", unit: "<!ENTITY a 'b'>"},
		"UTF-16":            {first: "\xff\xfe<\x00a\x00>\x00", unit: "x\x00"},
	} {
		var before, after runtime.MemStats
		for what, read := range map[string]func(io.Reader) error{
			"Read": func(r io.Reader) error { Read(r); return nil },
			"Embedded": func(r io.Reader) error {
				_, err := Embedded(r, func(v *Value) error { _, err := io.Copy(io.Discard, v); return err })
				return err
			},
			"WritePlain": func(r io.Reader) error { return WritePlain(io.Discard, r) },
			"WriteHTML":  func(r io.Reader) error { return WriteHTML(io.Discard, r) },
		} {
			one := *doc
			one.left = size
			runtime.ReadMemStats(&before)
			start := processor()
			err := read(&one)
			took := processor() - start
			runtime.ReadMemStats(&after)
			if _, bad := errors.AsType[*SyntaxError](err); err != nil && !bad && !errors.Is(err, ErrNotCDA) {
				t.Errorf("%s, %s: error %v", name, what, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 2*size+header {
				t.Errorf("%s, %s: %d MB were allocated", name, what, used>>20)
			}
			if took > 30*time.Second {
				t.Errorf("%s, %s: took %v of the processor", name, what, took)
			}
			if testing.Verbose() {
				t.Logf("%-18s %-10s %7.1f ms, %6d KB", name, what, took.Seconds()*1000, (after.TotalAlloc-before.TotalAlloc)>>10)
			}
		}
	}
}

// A header that repeats its faults says each of them once.
func TestFindingsAreFew(t *testing.T) {
	t.Parallel()
	doc := strings.Replace(sample, `<patient>`, `<patient><name>`+strings.Repeat(`<family qualifier="BR">x</family><family qualifier="BR">y</family><family qualifier="BR">`+strings.Repeat("z", 2000)+`</family>`, 500)+`</name>`, 1)
	if doc == sample {
		t.Fatal("the sample has no patient")
	}
	_, findings := Read(bytes.NewReader([]byte(doc)))
	if len(findings) > 10 {
		t.Errorf("%d findings", len(findings))
	}
}
