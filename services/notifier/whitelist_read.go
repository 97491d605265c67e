package notifier

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/idna"
)

const (
	maxWhiteList = 16 << 20 // bytes
	maxDomains   = 1_000_000
)

var errLong = errors.New("white list over 16 MiB")

// readWhiteList reads either form. It returns an error for a list without a domain.
func readWhiteList(r io.Reader) (map[string]bool, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if len(b) > maxWhiteList {
		return nil, errLong
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
