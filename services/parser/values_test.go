package parser

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
	"greffe/pkg/sandbox"
)

func packed(t testing.TB, method string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch method {
	case "DF":
		w, err = flate.NewWriter(&b, flate.BestSpeed)
	case "GZ":
		w = gzip.NewWriter(&b)
	case "ZL":
		w = zlib.NewWriter(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// media wraps a file as a level 3 document carries it.
func media(attributes string, data []byte) string {
	return `<entry><observationMedia classCode="OBS" moodCode="EVN"><value representation="B64" ` + attributes + `>` +
		"\n" + base64.StdEncoding.EncodeToString(data) + "\n" + `</value></observationMedia></entry>`
}

func withValues(values ...string) []byte {
	return sandbox.CDA(sandbox.CDASpec{Document: facts(0, 1), Sections: `<component><section><title>x</title><text>y</text>` + strings.Join(values, "") + `</section></component>`})
}

// every CDA that is attached is read again as the archive does, and gives the same values.
func readAgain(t *testing.T, path string, doc []byte, digests map[string]greffe.Digest) {
	_, _ = cda.Embedded(bytes.NewReader(doc), func(v *cda.Value) error {
		inside := path + "#" + string('0'+rune(v.N))
		b, err := io.ReadAll(v)
		if err != nil {
			return nil
		}
		digests[inside] = greffe.DigestOf(b)
		if cda.IsCDA(b) {
			readAgain(t, inside, b, digests)
		}
		return nil
	})
}

func TestFilesInsideDocuments(t *testing.T) {
	t.Parallel()
	file := sandbox.PDF("Compte rendu", nil, 0)
	png := []byte("\x89PNG\r\n\x1a\n0123")
	sum1, sum256 := sha1.Sum(file), sha256.Sum256(file)
	other := facts(0, 2)
	other.Patient = sandbox.Patient(1)
	deep := level3(facts(0, 9)).Data
	for range 5 {
		deep = withValues(media(`mediaType="text/xml"`, deep))
	}
	for name, c := range map[string]struct {
		doc   []byte
		parts []string // detected type of each value, in order
		rules []string // of the document, those about values
	}{
		"nothing wrong":    {withValues(media(`mediaType="application/pdf"`, file), media(`mediaType="image/png"`, png)), []string{"application/pdf", "image/png"}, nil},
		"no type said":     {withValues(media("", file)), []string{"application/pdf"}, nil},
		"another type":     {withValues(media(`mediaType="image/jpeg"`, file)), []string{"application/pdf"}, []string{"parser.value.type"}},
		"deflated":         {withValues(media(`mediaType="application/pdf" compression="DF"`, packed(t, "DF", file))), []string{"application/pdf"}, nil},
		"gzipped":          {withValues(media(`mediaType="application/pdf" compression="GZ"`, packed(t, "GZ", file))), []string{"application/pdf"}, nil},
		"zlib, said DF":    {withValues(media(`mediaType="application/pdf" compression="DF"`, packed(t, "ZL", file))), []string{"application/pdf"}, nil},
		"compress":         {withValues(media(`mediaType="application/pdf" compression="Z"`, []byte("\x1f\x9d\x90\x00\xff\x80\x90\x91\x92"))), []string{"application/x-compress"}, []string{"cda.value.method"}},
		"not compressed":   {withValues(media(`mediaType="application/pdf" compression="GZ"`, []byte("\x1f\x8bzzzz")), media("", png)), []string{"", "image/png"}, []string{"cda.value.compressed"}},
		"bomb":             {withValues(media(`compression="GZ"`, packed(t, "GZ", make([]byte, 8<<20))), media("", png)), []string{"", "image/png"}, []string{"cda.value.compressed"}},
		"SHA-1":            {withValues(media(`integrityCheck="`+base64.StdEncoding.EncodeToString(sum1[:])+`"`, file)), []string{"application/pdf"}, nil},
		"SHA-256 in hex":   {withValues(media(`integrityCheckAlgorithm="SHA-256" integrityCheck="`+hex.EncodeToString(sum256[:])+`"`, file)), []string{"application/pdf"}, nil},
		"checksum of file": {withValues(media(`compression="GZ" integrityCheck="`+base64.StdEncoding.EncodeToString(sum1[:])+`"`, packed(t, "GZ", file))), []string{"application/pdf"}, nil},
		"altered":          {withValues(media(`integrityCheck="`+base64.StdEncoding.EncodeToString(sum1[:])+`"`, append(slices.Clone(file), 'x'))), []string{"application/pdf"}, []string{"cda.value.integrity"}},
		"unknown checksum": {withValues(media(`integrityCheckAlgorithm="MD5" integrityCheck="x"`, file)), []string{"application/pdf"}, []string{"cda.value.algorithm"}},
		"dirty base64":     {bytes.Replace(withValues(media("", file)), []byte("JVBERi"), []byte("J!VB*ERi"), 1), []string{"application/pdf"}, []string{"cda.value.base64"}},
		"program":          {withValues(media(`mediaType="image/png"`, []byte("MZ\x90\x00\x03\x00\x00\x00"))), []string{"application/vnd.microsoft.portable-executable"}, []string{"parser.program", "parser.value.type"}},
		"archive":          {withValues(media("", zipOf(t, "a.txt", "abc"))), []string{"application/zip"}, []string{"parser.value"}},
		"page":             {withValues(media(`mediaType="text/html"`, []byte("<html><script>alert(1)</script></html>"))), []string{"text/html"}, []string{"parser.value.other"}},
		"a file elsewhere": {withValues(`<entry><observationMedia><value mediaType="image/png"><reference value="IMAGE.PNG"/></value></observationMedia></entry>`), nil, []string{"cda.reference"}},
		"document inside":  {withValues(media(`mediaType="text/xml"`, withValues(media("", png)))), []string{"text/xml", "image/png"}, []string{"parser.inner"}},
		"of someone else":  {withValues(media(`mediaType="text/xml"`, level3(other).Data)), []string{"text/xml"}, []string{"parser.inner.patient"}},
		"broken inside":    {withValues(media(`mediaType="text/xml"`, []byte(`<ClinicalDocument xmlns="urn:hl7-org:v3"><id`))), []string{"text/xml"}, []string{"parser.inner.xml"}},
		"program in it":    {withValues(media("", withValues(media("", []byte("\x7fELF\x02\x01\x01\x00"))))), []string{"text/xml", "application/x-elf"}, []string{"parser.inner", "parser.program"}},
		"too deep":         {deep, []string{"text/xml", "text/xml", "text/xml", "text/xml"}, []string{"parser.inner", "parser.inner.deep"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := parse(t, quiet(), mail("", attachment{name: "cda.xml", media: "text/xml", data: c.doc}))
			if len(out.Documents) != 1 {
				t.Fatalf("%d documents", len(out.Documents))
			}
			digests := map[string]greffe.Digest{}
			readAgain(t, out.Documents[0].Part, c.doc, digests)
			var types []string
			for _, p := range out.Parts {
				if !strings.Contains(p.Path, "#") {
					continue
				}
				types = append(types, p.Detected)
				if p.Skipped {
					types[len(types)-1] = ""
				} else if digests[p.Path] != p.SHA256 {
					t.Errorf("part %s is read otherwise the second time", p.Path)
				}
			}
			if !slices.Equal(types, c.parts) {
				t.Errorf("parts %q, want %q", types, c.parts)
			}
			var got []string
			for _, f := range out.Documents[0].Findings {
				value := strings.HasPrefix(f.Rule, "cda.value") || strings.HasPrefix(f.Rule, "parser.value") || strings.HasPrefix(f.Rule, "parser.inner") || f.Rule == "parser.program" || f.Rule == "cda.reference" ||
					f.Rule == "cda.xml"
				if value && !slices.Contains(got, f.Rule) {
					got = append(got, f.Rule)
				}
			}
			for _, p := range out.Parts { // what is only worth knowing stays with its part
				for _, f := range p.Findings {
					if f.Severity == greffe.Info && strings.HasPrefix(f.Rule, "cda.value") {
						got = append(got, f.Rule)
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.rules) {
				t.Errorf("rules %q, want %q", got, c.rules)
			}
		})
	}
}
