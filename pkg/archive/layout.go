package archive

import (
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Prefixes of the layout. Everything that the archive promises to keep is below
// one of the first five; probes of Check are below the last.
const (
	MessagesPrefix = "messages/"
	ContentPrefix  = "content/"
	JournalPrefix  = "journal/" // see package evidence
	// EliminationsPrefix is where an elimination leaves its order and its certificate.
	EliminationsPrefix = "eliminations/"
	// KeysPrefix is where the wrapped keys of encrypted objects are. What is below it is
	// never locked, so that it can be destroyed.
	KeysPrefix   = "keys/"
	checksPrefix = "checks/"
)

const (
	rawName      = "/message.eml"
	manifestName = "/manifest.json"
)

// RawKey returns the key of the raw message:
// messages/2026/11/22/<id>/message.eml. An id that is not valid gives "", which
// every Store refuses.
func RawKey(id greffe.MessageID) string { return messageKey(id, rawName) }

// ManifestKey returns the key of the manifest:
// messages/2026/11/22/<id>/manifest.json. An id that is not valid gives "".
func ManifestKey(id greffe.MessageID) string { return messageKey(id, manifestName) }

// ContentKey returns the key of the bytes of a part: content/ab/<sha256>. A
// digest that is not valid gives "".
func ContentKey(d greffe.Digest) string {
	if !d.Valid() {
		return ""
	}
	return ContentPrefix + string(d[:2]) + "/" + string(d)
}

func messageKey(id greffe.MessageID, name string) string {
	if !id.Valid() {
		return ""
	}
	// Keys sort as ids do: both begin with the date.
	return MessagesPrefix + id.Time().Format("2006/01/02/") + string(id) + name
}

// OrderKey returns the key of the order of the elimination or erasure called id, and
// CertificateKey that of its certificate: eliminations/2046/11/22/<id>.order.json. The
// id begins with its date; one that does not gives "".
func OrderKey(id string) string { return eliminationKey(id, ".order.json") }

// CertificateKey: see OrderKey.
func CertificateKey(id string) string { return eliminationKey(id, ".certificate.json") }

func eliminationKey(id, end string) string {
	if _, err := time.Parse("20060102", id[:min(8, len(id))]); err != nil || !validName(id) {
		return ""
	}
	return EliminationsPrefix + id[:4] + "/" + id[4:6] + "/" + id[6:8] + "/" + id + end
}

// KeyMessage returns the message that a key below messages/ belongs to and
// whether the key is its manifest. ok is false for a key that neither RawKey
// nor ManifestKey gives.
func KeyMessage(key string) (id greffe.MessageID, manifest, ok bool) {
	head, name, _ := cutLast(key)
	_, last, _ := cutLast(head)
	id = greffe.MessageID(last)
	switch "/" + name {
	case rawName:
		return id, false, id.Valid() && key == RawKey(id)
	case manifestName:
		return id, true, id.Valid() && key == ManifestKey(id)
	}
	return "", false, false
}

// KeyDigest returns the digest that a key below content/ names; ok is false for
// a key that ContentKey does not give.
func KeyDigest(key string) (d greffe.Digest, ok bool) {
	_, last, _ := cutLast(key)
	d = greffe.Digest(last)
	return d, d.Valid() && key == ContentKey(d)
}

// cutLast cuts s around its last slash; head is empty when there is none.
func cutLast(s string) (head, tail string, found bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// maxKey is far above any key of the layout and far below the limits of S3
// (1,024 bytes) and of file systems (255 per name).
const maxKey = 200

// validKey reports whether key is made as the layout makes keys: names of
// letters, digits, '.', '_' and '-' between single slashes, none of which
// begins with a dot. So a key can never climb out of a directory, name a hidden
// file or need escaping in a URL.
func validKey(key string) bool {
	if key == "" || len(key) > maxKey {
		return false
	}
	for name := range strings.SplitSeq(key, "/") {
		if !validName(name) {
			return false
		}
	}
	return true
}

// validPrefix reports whether a key can begin with prefix.
func validPrefix(prefix string) bool {
	return prefix == "" || validKey(strings.TrimSuffix(prefix, "/"))
}

func validName(name string) bool {
	if name == "" || name[0] == '.' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
