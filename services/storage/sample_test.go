package storage

import (
	"archive/zip"
	"bytes"
	cryptorand "crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/goleak"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/cda"
	"greffe/pkg/eml"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/xdm"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Tickers of the embedded server's dependencies, started once per process.
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).syncBlocks"))
}

// house is a storage service on an embedded bus, a directory and SQLite.
type house struct {
	*Storage
	bus   *bus.Bus
	store archive.Store
	db    *index.DB
	dir   string // of the archive
	file  string // of the index
}

func newHouse(t testing.TB) *house { return newHouseFor(t, time.Minute) }

// newHouseFor is a house whose archive locks for that long.
func newHouseFor(t testing.TB, retention time.Duration) *house {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "archive")
	store, err := archive.OpenDir(dir, retention)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouseOn(t, store)
	h.dir = dir
	return h
}

// newHouseS3 is a house on a bucket of its own at the server that GREFFE_TEST_S3 names.
func newHouseS3(t testing.TB) *house {
	t.Helper()
	endpoint := os.Getenv("GREFFE_TEST_S3")
	if endpoint == "" {
		t.Skip("GREFFE_TEST_S3 is not set")
	}
	access, secret := os.Getenv("GREFFE_TEST_S3_ACCESS"), os.Getenv("GREFFE_TEST_S3_SECRET")
	bucket := "greffe-" + strings.ToLower(cryptorand.Text())
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(access, secret, ""), Secure: u.Scheme == "https"})
	if err == nil {
		err = c.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{ObjectLocking: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg := archive.S3Config{Endpoint: endpoint, Bucket: bucket, Region: "us-east-1", Mode: archive.ModeCompliance, Retention: time.Minute}
	for name, value := range map[*string]string{&cfg.AccessKey: access, &cfg.SecretKey: secret} {
		*name = filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(*name, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, err := archive.OpenS3(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return newHouseOn(t, store)
}

func newHouseOn(t testing.TB, store archive.Store) *house {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	h := &house{store: store}
	t.Cleanup(func() { store.Close() })
	var err error
	if h.bus, err = bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.bus.Close() })
	h.file = filepath.Join(t.TempDir(), "index.db")
	if h.db, err = index.Open(t.Context(), h.file, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	h.Storage = New(Config{}, h.bus, h.store, h.db, log)
	return h
}

// verify runs Verify in full and fails unless it finds nothing.
func (h *house) verify(t testing.TB) Report {
	t.Helper()
	r, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() {
		t.Errorf("verify:\n%s", r)
	}
	return r
}

// fakePDF is n bytes that differ from one seed to the next.
func fakePDF(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	copy(b, "%PDF-1.4\n")
	return b
}

func fakeCDA(pdf []byte) []byte {
	return []byte(`<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Essai</title><component><nonXMLBody>` +
		`<text mediaType="application/pdf" representation="B64">` + base64.StdEncoding.EncodeToString(pdf) + `</text></nonXMLBody></component></ClinicalDocument>`)
}

func fakeZip(t testing.TB, files ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, f := range files {
		w, err := z.Create(fmt.Sprintf("IHE_XDM/SUBSET01/DOC%04d.XML", i))
		if err == nil {
			_, err = w.Write(f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fakeMail is a message with a text and these attachments.
func fakeMail(attachments ...[]byte) []byte {
	var b bytes.Buffer
	b.WriteString("From: a@b.example\r\nSubject: essai\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n--cut\r\nContent-Type: text/plain\r\n\r\nBonjour\r\n")
	for _, a := range attachments {
		b.WriteString("--cut\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		text := base64.StdEncoding.EncodeToString(a)
		for len(text) > 76 {
			b.WriteString(text[:76] + "\r\n")
			text = text[76:]
		}
		b.WriteString(text + "\r\n")
	}
	b.WriteString("--cut--\r\n")
	return b.Bytes()
}

// sampleMail has a text, a PDF and an archive of a CDA around the same PDF and a readme.
func sampleMail(t testing.TB, seed uint64, size int) []byte {
	pdf := fakePDF(seed, size)
	return fakeMail(pdf, fakeZip(t, fakeCDA(pdf), []byte("lisez-moi")))
}

// receive spools a message as the fetcher does.
func (h *house) receive(t testing.TB, uid uint32, raw []byte) greffe.Received {
	t.Helper()
	o := greffe.Origin{Mailbox: "a@b.example", Folder: "INBOX", UIDValidity: 1, UID: uid, InternalDate: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	r := greffe.Received{
		ID: greffe.NewMessageID(o, greffe.DigestOf(raw)), Origin: o, Size: int64(len(raw)), SHA256: greffe.DigestOf(raw),
		Spool: fmt.Sprintf("spool.%d", uid), At: time.Now().UTC(),
	}
	if _, err := h.bus.Spool(t.Context(), r.Spool, bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	return r
}

// parse reads a message as the parser does, as far as the parts go.
func parse(t testing.TB, r greffe.Received, raw []byte) greffe.Parsed {
	t.Helper()
	p := greffe.Parsed{Received: r, Message: greffe.Message{Kind: greffe.KindDelivery}, At: time.Now().UTC(), Parser: "test"}
	var add func(path string, b []byte)
	add = func(path string, b []byte) {
		p.Parts = append(p.Parts, greffe.Part{Path: path, Size: int64(len(b)), SHA256: greffe.DigestOf(b)})
		switch {
		case bytes.HasPrefix(b, []byte("\x78\x9f\x3e\x22")), bytes.Contains(b, []byte("\nbegin 644 ")):
			part := &p.Parts[len(p.Parts)-1]
			if part.Detected = eml.MediaUU; b[0] == 0x78 {
				part.Detected = eml.MediaTNEF
			}
			_, err := eml.Pieces(part.Detected, io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))), func(n int, _ *eml.Leaf, r io.Reader) error {
				piece, err := io.ReadAll(r)
				if err == nil {
					add(fmt.Sprintf("%s!%d", path, n), piece)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		case bytes.HasPrefix(b, []byte("PK")):
			a, _, _ := xdm.Open(bytes.NewReader(b), int64(len(b)), xdm.Limits{})
			if a == nil {
				return
			}
			for i := range a.Entries {
				rc, err := a.OpenEntry(i)
				if err != nil {
					t.Fatal(err)
				}
				e, err := io.ReadAll(rc)
				if err := errors.Join(err, rc.Close()); err != nil {
					t.Fatal(err)
				}
				add(fmt.Sprintf("%s!%d", path, i), e)
			}
		case bytes.Contains(b, []byte("<ClinicalDocument")):
			doc := greffe.Document{Format: greffe.FormatCDA1, Action: greffe.ActionNew, Part: path, SHA256: greffe.DigestOf(b), Size: int64(len(b))}
			// A document that breaks off gives what came before.
			_, _ = cda.Embedded(bytes.NewReader(b), func(r *cda.Value) error {
				n := r.N
				v, err := io.ReadAll(r)
				if err != nil {
					return err
				}
				doc.Body = fmt.Sprintf("%s#%d", path, n)
				add(doc.Body, v)
				return nil
			})
			p.Documents = append(p.Documents, doc)
		}
	}
	_, err := eml.Walk(bytes.NewReader(raw), eml.Limits{}, func(l *eml.Leaf, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		add(l.Path, b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func paths(p greffe.Parsed) string {
	var list []string
	for _, part := range p.Parts {
		list = append(list, part.Path)
	}
	return strings.Join(list, " ")
}
