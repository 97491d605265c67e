package notifier

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/idna"
)

// whiteList are the domains of the MSSanté trust space, from a file that somebody
// keeps up to date: listeblanchemssante.xml as the ANS publishes it (elements
// Domaine/Nom of https://listeblanche.mssante.fr/schema), or a text with one domain
// a line. Domains are compared in their ASCII form (A-labels).
//
// The file is looked at again when it has changed. One that cannot be read, or that
// lost more than a tenth of its domains at once, is not believed: the last good one
// stays in force. Methods may be called at once.
type whiteList struct {
	path string

	mu      sync.Mutex
	at      time.Time // of the file in force, or of the last that was refused
	size    int64
	domains map[string]bool
	err     error // what is wrong with the file as it is now
}

const (
	maxWhiteList = 16 << 20 // bytes
	maxDomains   = 1_000_000
)

var errShrunk = errors.New("more than a tenth of the domains are gone at once")

// has reports whether a domain is on the list; no list allows none.
func (w *whiteList) has(domain string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refresh()
	return w.domains[ascii(domain)]
}

// check returns how many domains are in force and what is wrong with the file.
func (w *whiteList) check() (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refresh()
	return len(w.domains), w.err
}

func (w *whiteList) refresh() {
	if w.path == "" {
		return
	}
	fi, err := os.Stat(w.path)
	if err != nil {
		w.err = err
		return
	}
	if fi.ModTime().Equal(w.at) && fi.Size() == w.size {
		return
	}
	w.at, w.size = fi.ModTime(), fi.Size()
	f, err := os.Open(w.path)
	if err != nil {
		w.err = err
		return
	}
	defer f.Close()
	domains, err := readWhiteList(io.LimitReader(f, maxWhiteList+1))
	if err == nil && len(domains) < len(w.domains)-len(w.domains)/10 {
		err = errShrunk
	}
	if w.err = err; err == nil {
		w.domains = domains
	}
}

// readWhiteList reads either form. It returns an error for a list without a domain.
func readWhiteList(r io.Reader) (map[string]bool, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if len(b) > maxWhiteList {
		return nil, errors.New("white list over 16 MiB")
	}
	domains := map[string]bool{}
	text := strings.TrimPrefix(string(b), "\ufeff")
	if strings.HasPrefix(strings.TrimSpace(text), "<") {
		err = readXMLList(strings.NewReader(text), domains)
	} else {
		s := bufio.NewScanner(strings.NewReader(text))
		for s.Scan() && len(domains) < maxDomains {
			line, _, _ := strings.Cut(s.Text(), "#")
			if d := ascii(strings.TrimSpace(line)); d != "" {
				domains[d] = true
			}
		}
		err = s.Err()
	}
	if err == nil && len(domains) == 0 {
		err = errors.New("no domain in it")
	}
	if err != nil {
		return nil, fmt.Errorf("white list: %w", err)
	}
	return domains, nil
}

func readXMLList(r io.Reader, domains map[string]bool) error {
	d := xml.NewDecoder(r)
	var path []string
	for len(domains) < maxDomains {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if n := len(path); n >= 2 && path[n-1] == "Nom" && path[n-2] == "Domaine" {
				if name := ascii(strings.TrimSpace(string(t))); name != "" {
					domains[name] = true
				}
			}
		}
	}
	return nil
}

// ascii is the form in which domains are compared; "" for what is no domain: without a
// dot, longer than the DNS has room for, or with a label that is not the form of itself.
func ascii(domain string) string {
	a, err := idna.Lookup.ToASCII(strings.TrimSuffix(strings.ToLower(domain), "."))
	if err != nil || !strings.Contains(a, ".") || strings.HasSuffix(a, ".") || len(a) > 253 {
		return ""
	}
	if again, err := idna.Lookup.ToASCII(a); err != nil || again != a {
		return ""
	}
	return a
}
