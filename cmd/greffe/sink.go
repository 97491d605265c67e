package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
)

// openSink returns the output that a name asks for: a ZIP when it ends so, else a
// folder. It refuses what is already there, but for an empty folder.
func openSink(name string) (sink, error) {
	if strings.EqualFold(filepath.Ext(name), ".zip") {
		return newZipSink(name)
	}
	if err := os.Mkdir(name, 0o700); errors.Is(err, os.ErrExist) {
		d, err := os.ReadDir(name)
		if err != nil || len(d) > 0 {
			return nil, fmt.Errorf("%s existe déjà ; donnez un dossier neuf ou vide", name)
		}
	} else if err != nil {
		return nil, fmt.Errorf("créer %s : %s", name, reason(err))
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &dirSink{root: root}, nil
}

// dirSink is a folder. It is complete when it has its SHA256SUMS.
type dirSink struct{ root *os.Root }

func (s *dirSink) add(name string, r io.Reader) (greffe.Digest, error) {
	if err := s.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return "", err
	}
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), r)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, s.root.Remove(name))
	}
	return greffe.DigestFrom(h.Sum(nil)), nil
}

func (s *dirSink) finish() error { return s.root.Close() }
func (s *dirSink) abandon()      { s.root.Close() } // what is there stays for who looks; it has no SHA256SUMS

// zipSink is a ZIP under a name of its own until it is complete.
type zipSink struct {
	name string
	f    *os.File
	z    *evidence.ZipWriter
}

func newZipSink(name string) (*zipSink, error) {
	if _, err := os.Lstat(name); err == nil {
		return nil, fmt.Errorf("%s existe déjà ; donnez un autre nom", name)
	}
	f, err := os.OpenFile(name+".partiel", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s.partiel existe déjà : une autre commande l'écrit, ou a été interrompue ; supprimez-le dans ce cas", name)
	}
	if err != nil {
		return nil, fmt.Errorf("créer %s : %s", name, reason(err))
	}
	return &zipSink{name, f, evidence.NewZipWriter(f)}, nil
}

func (s *zipSink) add(name string, r io.Reader) (greffe.Digest, error) { return s.z.Add(name, r) }

func (s *zipSink) finish() error {
	if err := errors.Join(s.z.Close(), s.f.Sync(), s.f.Close()); err != nil {
		return err
	}
	// A link never replaces, a rename does; not every file system has links.
	if err := os.Link(s.name+".partiel", s.name); err == nil || errors.Is(err, os.ErrExist) {
		if err != nil {
			return fmt.Errorf("%s existe déjà ; donnez un autre nom", s.name)
		}
		return os.Remove(s.name + ".partiel")
	}
	return os.Rename(s.name+".partiel", s.name)
}

func (s *zipSink) abandon() {
	if s.f.Close() == nil { // not finished
		os.Remove(s.name + ".partiel")
	}
}
