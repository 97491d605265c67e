package xdm

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

const maxName = 500 // bytes of a name, for display

// cleanPath returns the name with slashes and without "./" or doubled slashes; a folder
// keeps its last slash.
func cleanPath(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if strings.HasSuffix(name, "/") {
		clean += "/"
	}
	return clean
}

// fold returns the form in which names are compared: without regard to case, nor to
// accents that macOS writes as characters of their own.
func fold(name string) string { return strings.ToUpper(norm.NFC.String(name)) }

// unsafePath reports whether the name would leave a folder that it were unpacked in.
func unsafePath(name string) bool {
	name = strings.ReplaceAll(name, `\`, "/")
	if strings.HasPrefix(name, "/") || len(name) > 1 && name[1] == ':' || name == "" {
		return true
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return true
		}
	}
	return strings.IndexFunc(name, unicode.IsControl) >= 0
}

// Code pages that names without the UTF-8 flag come in: those of DOS, which the format
// prescribes (APPNOTE.TXT, appendix D) and which Windows used in France, then that of
// Windows itself.
var codePages = []*charmap.Charmap{charmap.CodePage850, charmap.CodePage437, charmap.Windows1252}

// decodeName returns the name as it was meant and, when that had to be guessed, the other
// ways to read it.
func (rec *record) decodeName() (name string, others []string) {
	switch {
	case rec.unicode != "":
		return rec.unicode, nil
	case utf8.ValidString(rec.Name):
		return rec.Name, nil
	}
	best := -1
	for _, page := range codePages {
		text, err := page.NewDecoder().String(rec.Name)
		if err != nil {
			continue
		}
		others = append(others, text)
		if score := french(text); score > best {
			best, name = score, text
		}
	}
	return name, others
}

// french counts the letters of French beyond ASCII: names hold few others.
func french(text string) (n int) {
	for _, c := range text {
		if c > 127 && strings.ContainsRune("àâäçéèêëîïôöùûüÿœæÀÂÄÇÉÈÊËÎÏÔÖÙÛÜŒÆ°", c) {
			n++
		}
	}
	return n
}

// displayName returns a name that can be shown: valid UTF-8, of bounded length.
func displayName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(name, string(utf8.RuneError)))
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "") + "…"
	}
	return name
}
