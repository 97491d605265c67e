package archive

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// keyChecker is a driver that knows whether a wrapped key could be destroyed.
type keyChecker interface {
	checkKeys(ctx context.Context) Check
}

// Check tries the store below, then what encryption needs of it and of the master keys.
func (e *Encrypted) Check(ctx context.Context) []Check {
	checks := slices.DeleteFunc(e.inner.Check(ctx), func(c Check) bool { return c.Name == clearCheck })
	c := Check{Name: "Chiffrement : clés maîtresses"}
	switch err := e.compare(ctx); {
	case errors.Is(err, ErrNoMaster):
		c.Text = "Une clé maîtresse qui a servi à cette archive manque dans archive.encryption.master_key (" + err.Error() +
			"). Remettez-la dans le fichier, sous celle qui sert maintenant : sans elle, ce qu'elle protège est illisible."
	case err != nil:
		c.Later, c.Text = true, "Les clés maîtresses de l'archive n'ont pas pu être comparées ("+err.Error()+"). Relancez la vérification."
	default:
		c.OK, c.Text = true, "La clé "+e.masters.ID()+" protège ce qui arrive ; le fichier en tient "+strconv.Itoa(e.masters.Len())+
			", toutes celles que l'archive connaît. Gardez-en une copie hors de cette machine et de ses sauvegardes."
	}
	checks = append(checks, c)
	if k, ok := e.inner.(keyChecker); ok {
		checks = append(checks, k.checkKeys(ctx))
	}
	return checks
}

func (d *dirStore) checkKeys(context.Context) Check {
	return Check{Name: "Chiffrement : destruction des clés", OK: true,
		Text: "Qui administre cette machine peut détruire des clés : sauvegardez " + KeysPrefix + " chaque jour. Une clé détruite reste lisible dans les sauvegardes et les instantanés de ce volume jusqu'à ce qu'ils soient effacés : fixez-en la durée."}
}

// checkKeys makes sure that the bucket does not lock what must stay destroyable.
func (s *s3Store) checkKeys(ctx context.Context) Check {
	c := Check{Name: "Chiffrement : destruction des clés"}
	_, mode, validity, unit, err := s.c.GetObjectLockConfig(ctx, s.bucket)
	switch {
	case err != nil && status(err) != 404:
		c.Later = later(err)
		c.Text = "Le réglage d'Object Lock n'a pas pu être lu (" + err.Error() + "). Donnez à la clé le droit s3:GetBucketObjectLockConfiguration."
	case err == nil && mode != nil && *mode != "": // some servers answer with an empty rule
		lasts := ""
		if validity != nil && unit != nil {
			lasts = ", " + strconv.FormatUint(uint64(*validity), 10) + " " + map[string]string{"DAYS": "jours", "YEARS": "ans"}[string(*unit)]
		}
		c.Text = "Le bucket verrouille par défaut tout ce qu'on y écrit (" + strings.ToLower(mode.String()) + lasts + ") : la clé d'un objet ne pourrait pas être détruite, " +
			"et l'effacement serait impossible. Retirez la conservation par défaut du bucket (Greffe verrouille lui-même chaque objet de l'archive), ou renoncez à archive.encryption."
	default:
		c.OK, c.Text = true, "Le bucket ne verrouille pas les clés : qui a s3:DeleteObjectVersion sous "+KeysPrefix+" peut rendre des documents illisibles. Ne donnez ce droit qu'à l'effacement, pas au service, et sauvegardez "+KeysPrefix+" chaque jour."
	}
	return c
}

const clearCheck = "Chiffrement"

// CheckClear says whether store, opened without encryption, holds encrypted objects:
// whoever turned encryption off by mistake would find the archive empty.
func CheckClear(ctx context.Context, store Store) Check {
	c := Check{Name: clearCheck, OK: true, Text: "Les objets de l'archive ne sont pas chiffrés par Greffe (archive.encryption)."}
	for _, err := range store.List(ctx, mastersPath) {
		c.OK = false
		if err != nil {
			c.Later, c.Text = true, "On n'a pas pu voir si l'archive tient des objets chiffrés ("+err.Error()+"). Relancez la vérification."
		} else {
			c.Text = "Cette archive tient des objets chiffrés, et archive.encryption.master_key ne nomme pas de clé maîtresse : ils seraient pris pour absents. Indiquez-la."
		}
		break
	}
	return c
}
