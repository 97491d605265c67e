package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
)

// maxMasters bounds what is read as a file of master keys.
const maxMasters = 1 << 20

// Masters are the keys that wrap the keys of objects. They come from a file in the
// format of the age program: one secret key a line, AGE-SECRET-KEY-PQ-1… (hybrid,
// ML-KEM-768 and X25519) or AGE-SECRET-KEY-1… (X25519), "#" before a comment. The first
// one wraps; all of them are tried to unwrap.
type Masters struct {
	identities []age.Identity
	recipient  age.Recipient   // of the first
	public     map[string]bool // public keys of all of them
	first      string          // public key of the first
}

// ErrMasters is returned for a file that holds no master key or something else.
var ErrMasters = errors.New("archive: not a file of master keys")

// ReadMasters reads the file of master keys at path, once.
func ReadMasters(path string) (*Masters, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("archive: master keys: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMasters+1))
	if err != nil {
		return nil, fmt.Errorf("archive: master keys: %w", err)
	}
	if len(b) > maxMasters {
		return nil, fmt.Errorf("%w: over %d bytes", ErrMasters, maxMasters)
	}
	return ParseMasters(string(b))
}

// ParseMasters reads the text of a file of master keys; ErrMasters when it is none. No
// error holds a part of the text.
func ParseMasters(text string) (*Masters, error) {
	m := &Masters{public: map[string]bool{}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		id, to, public, err := parseMaster(line)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d", ErrMasters, n)
		}
		if m.recipient == nil {
			m.recipient, m.first = to, public
		}
		m.identities = append(m.identities, id)
		m.public[public] = true
	}
	if m.recipient == nil {
		return nil, fmt.Errorf("%w: it is empty", ErrMasters)
	}
	return m, nil
}

func parseMaster(line string) (age.Identity, age.Recipient, string, error) {
	if strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1") {
		id, err := age.ParseHybridIdentity(line)
		if err != nil {
			return nil, nil, "", err
		}
		return id, id.Recipient(), id.Recipient().String(), nil
	}
	id, err := age.ParseX25519Identity(line)
	if err != nil {
		return nil, nil, "", err
	}
	return id, id.Recipient(), id.Recipient().String(), nil
}

// NewMaster returns the text of a file with one new master key, hybrid: what is wrapped
// today shall not be opened by a quantum computer during its twenty years and more.
func NewMaster() (string, error) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return "", fmt.Errorf("archive: make a master key: %w", err)
	}
	return "# clé maîtresse de l'archive (age), " + fingerprint(id.Recipient().String()) + "\n" + id.String() + "\n", nil
}

// ID returns the short name of the key that wraps: 16 hexadecimal digits of the SHA-256
// of its public key.
func (m *Masters) ID() string { return fingerprint(m.first) }

// Len returns how many master keys there are.
func (m *Masters) Len() int { return len(m.identities) }

func fingerprint(public string) string {
	sum := sha256.Sum256([]byte(public))
	return hex.EncodeToString(sum[:8])
}
