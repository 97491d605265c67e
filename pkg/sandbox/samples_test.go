package sandbox

import (
	"bytes"
	"io"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"

	"greffe/pkg/cda"
	"greffe/pkg/eml"
	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
	"greffe/pkg/xdm"
)

var options = SampleOptions{Now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), Seed: 3}

func TestSamplesAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	list, again := Samples(options), Samples(options)
	if len(list) < 45 {
		t.Errorf("%d samples, want at least 45", len(list))
	}
	names := map[string]bool{}
	for i, s := range list {
		if !bytes.Equal(s.Raw, again[i].Raw) || s.Name != again[i].Name {
			t.Errorf("%s differs from one time to the next", s.Name)
		}
		if names[s.Name] {
			t.Errorf("two samples are called %s", s.Name)
		}
		names[s.Name] = true
		if s.At.After(options.Now) || s.At.Before(options.Now.Add(-6*24*time.Hour)) || i > 0 && s.At.Before(list[i-1].At) {
			t.Errorf("%s is dated %v", s.Name, s.At)
		}
		if s.Want.State == "" || s.Want.Verdict == "" || !s.Want.Open && (s.Want.Kind == "" || s.Want.State != greffe.Summary(s.Want.Kind, s.Want.Documents)) {
			t.Errorf("%s: unlikely expectation %+v", s.Name, s.Want)
		}
	}
	for _, s := range list {
		if s.Want.Same != "" && !names[s.Want.Same] {
			t.Errorf("%s names %q, which is not there", s.Name, s.Want.Same)
		}
	}
	if other := Samples(SampleOptions{Now: options.Now, Seed: 4}); bytes.Equal(other[0].Raw, list[0].Raw) {
		t.Error("the seed changes nothing")
	}
}

func TestExpectedRulesExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, r := range slices.Concat(eml.Rules(), xdm.Rules(), cda.Rules(), ins.Rules(), pdf.Rules()) {
		known[r.ID] = true
	}
	for _, s := range Samples(options) {
		if s.Want.Rule != "" && !known[s.Want.Rule] && !strings.HasPrefix(s.Want.Rule, "parser.") { // whose rules no pkg may see; greffe selftest finds them or not
			t.Errorf("%s: nobody declares the rule %s", s.Name, s.Want.Rule)
		}
	}
}

// No real address, and no INS but those of test, may ever be in a sample; the
// one with an OID of production has a wrong key.
func TestSamplesNameNobody(t *testing.T) {
	t.Parallel()
	address := regexp.MustCompile(`[\w.-]+@[\w-]+(\.[\w-]+)+`)
	for _, s := range Samples(options) {
		for _, a := range address.FindAllString(string(s.Raw), -1) {
			if !strings.HasSuffix(a, ".example") && !strings.Contains(a, "logo@martel") {
				t.Errorf("%s: address %s", s.Name, a)
			}
		}
	}
	for _, p := range KnownPatients() {
		findings := ins.Check(p, ins.Test, "")
		if len(findings) > 0 && p.INS != mistyped.INS {
			t.Errorf("%s %s: %v", p.BirthFamily, p.INS, findings)
		}
	}
	if findings := ins.Check(mistyped, ins.Test, ""); len(findings) != 1 || findings[0].Rule != "ins.key.test" {
		t.Errorf("mistyped: %v", findings)
	}
}

func TestKnownPatientsAreDifferent(t *testing.T) {
	t.Parallel()
	seen := map[greffe.OID]string{}
	for _, p := range KnownPatients() {
		if other, ok := seen[p.INS]; ok {
			t.Errorf("%s and %s have one INS", other, p.BirthFamily)
		}
		seen[p.INS] = p.BirthFamily
	}
	for _, p := range []greffe.Patient{unknown, stranger} {
		if _, ok := seen[p.INS]; ok {
			t.Errorf("%s is known", p.BirthFamily)
		}
	}
}

func TestPDFIsValidAndOfTheSizeAsked(t *testing.T) {
	t.Parallel()
	conf := model.NewDefaultConfiguration()
	conf.ValidationMode = model.ValidationRelaxed
	lines := strings.Split(strings.Repeat("Élévation modérée (à surveiller) \\ œdème – 5 €\n", 100), "\n")
	for _, size := range []int{0, 20_000, 150_000, 2_000_000} {
		b := PDF("Compte rendu d’échographie", lines, size)
		if err := api.Validate(bytes.NewReader(b), conf); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
		if n, err := api.PageCount(bytes.NewReader(b), conf); err != nil || n != 3 {
			t.Errorf("size %d: %d pages, %v", size, n, err)
		}
		if size > 0 && (len(b) < size*95/100 || len(b) > size*105/100) {
			t.Errorf("asked for %d bytes, got %d", size, len(b))
		}
	}
}

// A delivery comes back through the readers as it was written.
func TestBuildersAgreeWithReaders(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{PipelineMessage(7), Samples(options)[0].Raw, Samples(options)[1].Raw, Samples(options)[3].Raw} {
		var zip, copied []byte
		result, err := eml.Walk(bytes.NewReader(raw), eml.Limits{}, func(l *eml.Leaf, r io.Reader) error {
			b, err := io.ReadAll(r)
			switch {
			case bytes.HasPrefix(b, []byte("PK\x03\x04")):
				zip = b
			case bytes.HasPrefix(b, []byte("%PDF-")):
				copied = b
			}
			return err
		})
		if err != nil || len(result.Findings) > 0 {
			t.Fatalf("%v %+v", err, result)
		}
		a, findings, _ := xdm.Open(bytes.NewReader(zip), int64(len(zip)), xdm.Limits{})
		if len(findings) > 0 || !a.IsXDM() || len(a.Sets) != 1 || len(a.Sets[0].Documents) != 1 {
			t.Fatalf("%v %+v", findings, a)
		}
		entry := a.Sets[0].Documents[0]
		if len(entry.Findings) > 0 {
			t.Errorf("metadata: %v", entry.Findings)
		}
		r, err := a.OpenEntry(entry.Entry)
		if err != nil {
			t.Fatal(err)
		}
		file, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		d, findings := cda.Read(bytes.NewReader(file))
		findings = append(findings, entry.Complete(&d, "")...)
		if len(findings) > 0 {
			t.Errorf("document: %v", findings)
		}
		if !d.Patient.HasTraits() || d.UniqueID.IsZero() || d.Authors[0].Family == "" || d.Class.Code == "" || d.Practice.Code == "" {
			t.Errorf("header: %+v", d)
		}
		n := 0
		_, err = cda.Embedded(bytes.NewReader(file), func(r *cda.Value) error {
			mediaType := r.MediaType
			b, err := io.ReadAll(r)
			if mediaType == "application/pdf" && !bytes.Equal(b, copied) {
				t.Error("the copy differs from the PDF inside the document")
			}
			n++
			return err
		})
		if err != nil || n != 1 {
			t.Errorf("%d embedded files, %v", n, err)
		}
	}
}

func TestMailsAreReadByOthers(t *testing.T) {
	t.Parallel()
	for _, s := range Samples(options) {
		if strings.Contains(s.Name, "Ceci n'est pas") {
			continue
		}
		m, err := mail.ReadMessage(bytes.NewReader(s.Raw))
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		if _, err := m.Header.Date(); err != nil || m.Header.Get("To") == "" {
			t.Errorf("%s: header %v, %v", s.Name, m.Header, err)
		}
		if bytes.Contains(bytes.ReplaceAll(s.Raw, []byte("\r\n"), nil), []byte("\n")) {
			t.Errorf("%s: a line ends with LF alone", s.Name)
		}
	}
}

func BenchmarkPipelineMessage(b *testing.B) {
	for i := 0; b.Loop(); i++ {
		PipelineMessage(i)
	}
}
