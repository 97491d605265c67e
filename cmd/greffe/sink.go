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

// partialFile is a file under a name of its own until it is complete.
type partialFile struct {
	*os.File
	name string
}

const partial = ".partiel"

func newPartialFile(name string) (*partialFile, error) {
	if _, err := os.Lstat(name); err == nil {
		return nil, fmt.Errorf("%s existe déjà ; donnez un autre nom", name)
	}
	f, err := os.OpenFile(name+partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s%s existe déjà : une autre commande l'écrit, ou a été interrompue ; supprimez-le dans ce cas", name, partial)
	}
	if err != nil {
		return nil, fmt.Errorf("créer %s : %s", name, reason(err))
	}
	return &partialFile{f, name}, nil
}

// finish makes the file durable under its name, which it never takes from another.
func (p *partialFile) finish() error {
	if err := errors.Join(p.Sync(), p.Close()); err != nil {
		return err
	}
	// A link never replaces, a rename does; not every file system has links.
	switch err := os.Link(p.name+partial, p.name); {
	case err == nil:
		return os.Remove(p.name + partial)
	case errors.Is(err, os.ErrExist):
		return fmt.Errorf("%s existe déjà ; le résultat est dans %s%s", p.name, p.name, partial)
	}
	return os.Rename(p.name+partial, p.name)
}

// abandon removes the file unless it was finished.
func (p *partialFile) abandon() {
	if p.Close() == nil {
		os.Remove(p.name + partial)
	}
}

// zipSink is a ZIP.
type zipSink struct {
	*partialFile
	z *evidence.ZipWriter
}

func newZipSink(name string) (*zipSink, error) {
	f, err := newPartialFile(name)
	if err != nil {
		return nil, err
	}
	return &zipSink{f, evidence.NewZipWriter(f)}, nil
}

func (s *zipSink) add(name string, r io.Reader) (greffe.Digest, error) { return s.z.Add(name, r) }

func (s *zipSink) finish() error {
	if err := s.z.Close(); err != nil {
		return err
	}
	return s.partialFile.finish()
}
