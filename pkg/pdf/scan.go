package pdf

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/filter"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/types"

	"greffe/pkg/greffe"
)

// scan is the check of one file. It runs in the child.
type scan struct {
	file  []byte
	depth int  // of PDFs in PDFs
	spent bool // something of it still runs
	lay   layout
	ctx   *model.Context
	facts greffe.PDF
	seen  map[string]greffe.Finding

	attached []string       // names of embedded files
	looked   map[*byte]bool // embedded files, by their content in memory
	loose    bool           // there are embedded files, named or not
	signed   int            // where the bytes end that the last signature covers
	actions  int            // that were followed
	opened   int            // bytes of embedded PDFs that were looked into
}

// found notes that a rule is broken; once is enough.
func (s *scan) found(r greffe.Rule, args ...any) { s.seen[r.ID] = r.At("", args...) }

func (s *scan) has(r greffe.Rule) bool {
	_, ok := s.seen[r.ID]
	return ok
}

// findings lists what was found in the order of the rules.
func (s *scan) findings() []greffe.Finding {
	var list []greffe.Finding
	for _, r := range rules {
		if f, ok := s.seen[r.ID]; ok {
			list = append(list, f)
		}
	}
	return list
}

// prepare does what is done once per process.
func prepare() { config() }

// config returns the settings of pdfcpu. Its own limits come before those of the
// process: they turn most bombs into an error at once.
var config = sync.OnceValue(func() *model.Configuration {
	api.DisableConfigDir() // it would write one into the home directory
	conf := model.NewDefaultConfiguration()
	conf.ValidationMode = model.ValidationRelaxed
	conf.Offline = true
	conf.Optimize = false
	conf.Limits.MaxStreamBytes = 128 << 20
	conf.Limits.MaxDecodeBytes = 32 << 20
	conf.Limits.MaxObjectCount = 2_000_000
	conf.Limits.MaxXRefEntries = 2_000_000
	conf.Limits.MaxObjectStreamCount = 200_000
	return conf
})

func (s *scan) run() {
	if len(s.file) == 0 {
		s.found(ruleEmpty)
		return
	}
	if !s.structure() {
		return
	}
	conf := *config()
	ctx, err := api.ReadContext(bytes.NewReader(s.file), &conf)
	if err != nil {
		s.unread(err)
		return
	}
	s.ctx = ctx
	s.facts.Version = ctx.VersionString()
	if s.facts.Encrypted = ctx.Encrypt != nil; s.facts.Encrypted {
		s.found(ruleRestricted)
	}
	// Before the validation, which mends and drops what it does not like.
	s.facts.PDFA = s.claim()
	s.pages()
	s.walkAll()
	s.hidden()
	if s.has(ruleBomb) {
		return // it would open what we did not
	}
	s.validate()
}

// validateWithin is how long the validation may take: real files need some tens of
// milliseconds, and what was found until then is worth more than its opinion.
const validateWithin = 3 * time.Second

// validate has pdfcpu judge every object. It knows no limit of its own for objects
// that refer to each other in ever more ways, so it is left behind when it takes too
// long; this process must then not be given another file.
func (s *scan) validate() {
	result := make(chan error, 1)
	go func() {
		defer func() {
			if recover() != nil {
				result <- errPanic
			}
		}()
		result <- api.ValidateContext(s.ctx)
	}()
	late := time.NewTimer(validateWithin)
	defer late.Stop()
	select {
	case err := <-result:
		if err != nil {
			s.found(ruleDamaged)
		}
		s.facts.Title = s.title()
	case <-late.C:
		s.found(ruleOverrun)
		s.spent = true
	}
}

var errPanic = errors.New("panic")

// unread says why a file cannot be read.
func (s *scan) unread(err error) {
	// An encryption that pdfcpu does not know (a certificate instead of a password)
	// is no damage. The word stands in the trailer, which is never encrypted.
	switch {
	case errors.Is(err, pdfcpu.ErrWrongPassword), s.lay.encrypted:
		s.facts.Encrypted = true
		s.found(ruleEncrypted)
	case errors.Is(err, filter.ErrDecodeLimitExceeded):
		s.found(ruleBomb)
	default:
		s.found(ruleUnreadable)
	}
}

// title returns the title of the document information, bounded.
func (s *scan) title() string {
	t := strings.TrimSpace(strings.ToValidUTF8(s.ctx.Title, "�"))
	if utf8.RuneCountInString(t) > 200 {
		t = string([]rune(t)[:200])
	}
	return t
}

// name returns the name that o is, or "".
func (s *scan) name(o types.Object) string {
	o = s.deref(o)
	if n, ok := o.(types.Name); ok {
		return string(n)
	}
	return ""
}

// deref resolves a reference; objects of object streams are decoded on the way. A
// reference that leads nowhere is null (§7.3.10).
func (s *scan) deref(o types.Object) types.Object {
	for range 8 { // a reference to a reference is malformed; a ring of them must end
		if _, ok := o.(types.IndirectRef); !ok {
			return o
		}
		var err error
		if o, err = s.ctx.Dereference(o); err != nil {
			s.found(ruleDamaged)
			return nil
		}
	}
	return nil
}
