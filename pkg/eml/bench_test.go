package eml

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"greffe/pkg/greffe"
)

// benchmarkMail returns a mail with a text and one attachment of size random bytes.
func benchmarkMail(size int) string {
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{})
	r.Read(data)
	var b strings.Builder
	b.WriteString(plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nBonjour\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for s := base64.StdEncoding.EncodeToString(data); s != ""; {
		n := min(76, len(s))
		b.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
	b.WriteString("--b--\r\n")
	return b.String()
}

func sizeName(n int) string { return fmt.Sprintf("%dKiB", n>>10) }

// hashOf does what the parser and the storage do with a leaf.
func hashOf(r io.Reader) (greffe.Digest, int64, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, r, make([]byte, 32<<10))
	return greffe.DigestFrom(h.Sum(nil)), n, err
}
