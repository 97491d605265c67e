package evidence

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// maxKey bounds the line of a key.
const maxKey = 1 << 10

// Key signs checkpoints.
type Key struct {
	signer note.Signer
	public string
}

// GenerateKey makes an Ed25519 key for the journal of that name: letters, digits, '.',
// '-' and '_'. private is the text of its file, to be kept secret; it ends with a line
// feed.
func GenerateKey(name string) (private string, err error) {
	if !validOrigin(name) {
		return "", fmt.Errorf("%w: name of a journal: %.40q", ErrFormat, name)
	}
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", fmt.Errorf("evidence: make key: %w", err)
	}
	return private + "\n" + public + "\n", nil
}

// ParsePrivateKey reads the file of a key: the private key, then the public key of it, a line
// each. The two must belong together, which the first signature shows.
func ParsePrivateKey(file []byte) (*Key, error) {
	private, public, ok := strings.Cut(strings.TrimSpace(string(file)), "\n")
	if len(file) > 2*maxKey || !ok {
		return nil, fmt.Errorf("%w: file of a private key", ErrFormat)
	}
	signer, err1 := note.NewSigner(strings.TrimSpace(private))
	verifier, err2 := ParsePublicKey(public)
	if err1 != nil || err2 != nil || !validOrigin(signer.Name()) {
		return nil, fmt.Errorf("%w: file of a private key", ErrFormat) // its content is not for a log
	}
	const trial = "trial\n"
	sig, err := signer.Sign([]byte(trial))
	if err != nil || signer.Name() != verifier.Name() || signer.KeyHash() != verifier.KeyHash() || !verifier.Verify([]byte(trial), sig) {
		return nil, fmt.Errorf("%w: private and public key", ErrMismatch)
	}
	return &Key{signer, strings.TrimSpace(public)}, nil
}

// Name is the name of the journal that the key signs, which is the origin of its checkpoints.
func (k *Key) Name() string { return k.signer.Name() }

// ID is eight hexadecimal digits that name the key.
func (k *Key) ID() string { return fmt.Sprintf("%08x", k.signer.KeyHash()) }

// Public is the line of the public key.
func (k *Key) Public() string { return k.public }

// ObjectKey is where the public key is kept in the archive.
func (k *Key) ObjectKey() string { return keysPrefix + k.ID() + ".pub" }

// KeysPrefix is where the archive keeps the public keys: objects of one line each.
func KeysPrefix() string { return keysPrefix }

// ParsePublicKey reads the line of a public key.
func ParsePublicKey(text string) (note.Verifier, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxKey {
		return nil, fmt.Errorf("%w: public key", ErrFormat)
	}
	v, err := note.NewVerifier(text)
	if err != nil || !validOrigin(v.Name()) {
		return nil, fmt.Errorf("%w: public key", ErrFormat)
	}
	return v, nil
}

// keyring finds known keys. Two may share the short id, by chance or on purpose: each
// is tried.
type keyring []note.Verifier

func (k keyring) Verifier(name string, hash uint32) (note.Verifier, error) {
	var found keyring
	for _, v := range k {
		if v.Name() == name && v.KeyHash() == hash {
			found = append(found, v)
		}
	}
	if found == nil {
		return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
	}
	return found, nil
}

func (k keyring) Name() string    { return k[0].Name() }
func (k keyring) KeyHash() uint32 { return k[0].KeyHash() }

func (k keyring) Verify(msg, sig []byte) bool {
	return slices.ContainsFunc(k, func(v note.Verifier) bool { return v.Verify(msg, sig) })
}

// validOrigin reports whether name can name a journal.
func validOrigin(name string) bool {
	if name == "" || len(name) > 100 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
