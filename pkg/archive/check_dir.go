package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lowSpace is the free space below which a directory is said to be full soon.
const lowSpace = 1 << 30

// Check writes and removes a probe the way Put does, looks at the space left and
// says what a directory cannot promise.
func (d *dirStore) Check(ctx context.Context) []Check {
	if err := ctx.Err(); err != nil {
		return []Check{{Name: "Archive (dossier)", Text: "La vérification a été interrompue ; relancez-la."}}
	}
	return []Check{d.checkWrite(), d.checkSpace(), d.checkRights(), {
		Name: "Protection contre l’effacement",
		OK:   true, Unlocked: true,
		Text: "Greffe ne réécrit jamais un fichier de ce dossier et n’en efface aucun avant la fin de sa conservation, mais un administrateur de la machine le peut, " +
			"et il peut changer les dates de conservation ou l’horloge : une altération serait détectée, pas empêchée. Pour une conservation que personne ne peut abréger, " +
			"utilisez un stockage S3 avec verrouillage d’objets (archive.s3, mode compliance).",
	}, d.checkRetention(), CheckClear(ctx, d)}
}

func (d *dirStore) checkWrite() Check {
	c := Check{Name: "Écriture durable dans l’archive"}
	name := tempDir + "/" + rand.Text()
	link := tempDir + "/" + rand.Text()
	defer d.root.Remove(name)
	defer d.root.Remove(link)
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err == nil {
		_, err = f.WriteString("greffe")
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = d.syncDir(tempDir)
	}
	if err != nil {
		c.Text = "Le dossier de l’archive ne peut pas être écrit (" + err.Error() + "). Vérifiez que le volume est monté en écriture et que le compte de Greffe en est propriétaire."
		return c
	}
	err = d.root.Link(name, link)
	if again := d.root.Link(name, link); err != nil || !errors.Is(again, fs.ErrExist) {
		c.Text = "Ce système de fichiers ne garantit pas l’écriture unique (liens physiques absents ou remplaçables). Placez l’archive sur un système de fichiers local, ext4 ou XFS."
		return c
	}
	c.OK, c.Text = true, "Écriture, synchronisation sur disque et refus de remplacement vérifiés."
	return c
}

func (d *dirStore) checkRetention() Check {
	c := Check{Name: "Durée de conservation", OK: true, Unlocked: true, Text: "Aucune : rien n’est verrouillé (mode none). Réservez ce mode aux essais."}
	if d.retention > 0 {
		c.Unlocked = false
		c.Text = "Ce qui arrive aujourd’hui est conservé jusqu’au " + lockEnd(time.Now(), d.retention).Format("02/01/2006") +
			" au moins ; les dates prolongées sont dans des fichiers .<nom>.lock, à sauvegarder avec l’archive."
	}
	return c
}

func (d *dirStore) checkSpace() Check {
	c := Check{Name: "Espace libre de l’archive"}
	f, err := d.root.Open(".")
	if err != nil {
		c.Text = "L’espace libre n’a pas pu être lu (" + err.Error() + "). Vérifiez que le volume de l’archive est monté."
		return c
	}
	defer f.Close()
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		c.Text = "L’espace libre n’a pas pu être lu (" + err.Error() + "). Vérifiez que le volume de l’archive est monté."
		return c
	}
	free := s.Bavail * uint64(s.Bsize)
	gib := fmt.Sprintf("%d,%d Gio", free>>30, (free&(1<<30-1))*10>>30)
	switch {
	case free < lowSpace:
		c.Text = "Il ne reste que " + gib + " : agrandissez le volume de l’archive, sans quoi les messages resteront dans les boîtes aux lettres."
	case s.Files > 0 && s.Ffree < 100_000:
		c.Text = fmt.Sprintf("Il ne reste que %d fichiers possibles (inodes) : agrandissez le volume de l’archive ou reformatez-le avec plus d’inodes.", s.Ffree)
	default:
		c.OK, c.Text = true, gib+" libres."
	}
	return c
}

func (d *dirStore) checkRights() Check {
	c := Check{Name: "Droits du dossier de l’archive"}
	fi, err := d.root.Stat(".")
	switch {
	case err != nil:
		c.Text = "Les droits du dossier n’ont pas pu être lus (" + err.Error() + ")."
	case fi.Mode().Perm()&0o007 != 0:
		c.Text = fmt.Sprintf("D’autres comptes de la machine peuvent entrer dans le dossier de l’archive (droits %04o). Retirez-leur ce droit : chmod o-rwx.", fi.Mode().Perm())
	default:
		c.OK, c.Text = true, "Les autres comptes de la machine n’y entrent pas."
	}
	return c
}
