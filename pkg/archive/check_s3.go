package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"greffe/pkg/greffe"
)

const (
	probeLock  = 30 * time.Second // how long a probe is locked: more than the clocks may differ
	probeOld   = 5 * time.Minute  // a probe this old can be removed
	probeSweep = 100              // versions of old probes removed by one Check
	checkTime  = 2 * time.Minute
)

// Check proves on a probe object, locked for half a minute, that the bucket
// refuses what it must refuse: servers that accept Object Lock settings without
// enforcing them exist. It ends at the first thing without which the rest means
// nothing.
func (s *s3Store) Check(ctx context.Context) []Check {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	checks := []Check{s.checkBucket(ctx)}
	good := func() bool { return checks[len(checks)-1].OK }
	if !good() {
		return checks
	}
	if s.mode != "" {
		checks = append(checks, s.checkVersioning(ctx), s.checkLock(ctx))
		if !good() {
			return checks
		}
	}
	if checks = append(checks, CheckClear(ctx, s)); !good() {
		return checks
	}
	s.sweepProbes(ctx)
	// Same driver, short lock.
	probe := *s
	probe.retain = probeLock
	key := checksPrefix + strings.ToLower(rand.Text())
	body := key + " " + time.Now().UTC().Format(time.RFC3339)
	o, err := probe.Put(ctx, key, strings.NewReader(body), int64(len(body)), greffe.DigestOf([]byte(body)))
	if err != nil {
		return append(checks, Check{Name: "Écriture dans le bucket", Later: later(err), Text: "L’objet d’essai n’a pas pu être écrit ou relu (" + err.Error() +
			"). Vérifiez que la clé a les droits s3:PutObject, s3:GetObject et s3:PutObjectRetention, et que l’horloge du serveur est à l’heure."})
	}
	checks = append(checks,
		Check{Name: "Écriture dans le bucket", OK: true, Text: "Objet d’essai écrit, somme SHA-256 relue sur le serveur."},
		probe.checkOnce(ctx, o), probe.checkChecksum(ctx))
	if s.mode == "" {
		return append(checks, Check{Name: "Protection contre l’effacement", OK: true, Unlocked: true,
			Text: "Le verrouillage d’objets n’est pas demandé (mode none) : quiconque a la clé du bucket peut effacer l’archive. Réservez ce mode aux essais ; en production, choisissez le mode compliance."})
	}
	if checks = append(checks, probe.checkDelete(ctx, o)); good() {
		checks = append(checks, probe.checkShorten(ctx, o))
		checks = append(checks, probe.checkExtend(ctx, o)...)
	}
	return checks
}

// later reports whether err says nothing about what the server promises: it did not
// answer, or not to the point.
func later(err error) bool {
	if err == nil || errors.Is(err, errNotLocked) {
		return false
	}
	n := status(err)
	return n == 0 || n >= 500 || n == http.StatusTooManyRequests || n == http.StatusRequestTimeout
}

func (s *s3Store) checkBucket(ctx context.Context) Check {
	c := Check{Name: "Connexion au stockage S3"}
	ok, err := s.c.BucketExists(ctx, s.bucket)
	if err == nil && !ok {
		// HEAD has no body to tell why: a list has.
		for _, err = range s.versions(ctx, checksPrefix) {
			break
		}
	}
	r, _ := errors.AsType[minio.ErrorResponse](err)
	c.Later = later(err)
	switch {
	case err == nil && ok:
		c.OK, c.Text = true, "Le bucket répond."
	case err == nil || r.Code == "NoSuchBucket":
		c.Text = "Le bucket « " + s.bucket + " » n’existe pas : créez-le, avec le verrouillage d’objets (Object Lock), qui ne s’active le plus souvent qu’à la création."
	case r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusUnauthorized || r.Code == "InvalidAccessKeyId" || r.Code == "XAdminUserNotFound":
		c.Text = "Le serveur S3 refuse la clé (" + err.Error() + "). Vérifiez les fichiers de clé, les droits de cette clé sur le bucket et l’heure des deux machines."
	case r.StatusCode != 0:
		c.Text = fmt.Sprintf("Le serveur S3 répond par une erreur (HTTP %d, %v). Voyez son journal.", r.StatusCode, err)
	default:
		c.Text = "Le serveur S3 ne répond pas (" + err.Error() + "). Vérifiez l’adresse, le réseau, le certificat (archive.s3.ca) et les fichiers de clé."
	}
	return c
}

func (s *s3Store) checkVersioning(ctx context.Context) Check {
	c := Check{Name: "Versions du bucket"}
	v, err := s.c.GetBucketVersioning(ctx, s.bucket)
	switch {
	case err != nil:
		c.Later = later(err)
		c.Text = "Le réglage des versions n’a pas pu être lu (" + err.Error() + "). Donnez à la clé le droit s3:GetBucketVersioning."
	case !v.Enabled():
		c.Text = "Le bucket ne garde pas les versions : activez le versioning, sans lequel rien ne peut être verrouillé."
	default:
		c.OK, c.Text = true, "Les versions sont gardées."
	}
	return c
}

func (s *s3Store) checkLock(ctx context.Context) Check {
	c := Check{Name: "Verrouillage d’objets du bucket"}
	lock, _, _, _, err := s.c.GetObjectLockConfig(ctx, s.bucket)
	switch {
	case err == nil && lock == "Enabled":
		c.OK, c.Text = true, "Object Lock est actif ; Greffe demande le mode "+strings.ToLower(s.mode.String())+" pour chaque objet."
	case err == nil || status(err) == http.StatusNotFound:
		c.Text = "Object Lock n’est pas actif sur ce bucket : créez un bucket avec le verrouillage d’objets et indiquez-le dans archive.s3.bucket."
	default:
		c.Later = later(err)
		c.Text = "Le réglage d’Object Lock n’a pas pu être lu (" + err.Error() + "). Donnez à la clé le droit s3:GetBucketObjectLockConfiguration."
	}
	return c
}

func (s *s3Store) checkOnce(ctx context.Context, o greffe.Object) Check {
	c := Check{Name: "Écriture unique"}
	other := "autre contenu"
	_, err := s.Put(ctx, o.Key, strings.NewReader(other), int64(len(other)), greffe.DigestOf([]byte(other)))
	switch {
	case errors.Is(err, ErrExists):
		c.OK, c.Text = true, "Un second contenu sous la même clé est refusé."
	case err == nil:
		c.Text = "Le serveur a accepté un second contenu sous la même clé : il ignore l’en-tête If-None-Match. Mettez-le à jour ou choisissez-en un autre."
	default:
		c.Later, c.Text = later(err), unfinished(err)
	}
	return c
}

func (s *s3Store) checkChecksum(ctx context.Context) Check {
	c := Check{Name: "Contrôle de l’intégrité à l’écriture"}
	key := checksPrefix + strings.ToLower(rand.Text())
	opts := minio.PutObjectOptions{
		DisableMultipart: true,
		UserMetadata:     map[string]string{checksumHeader: checksum(greffe.DigestOf([]byte("annoncé")))},
	}
	if s.mode != "" {
		opts.Mode, opts.RetainUntilDate = s.mode, time.Now().UTC().Add(probeLock).Truncate(time.Second)
	}
	_, err := s.c.Client.PutObject(ctx, s.bucket, key, onlyReader{strings.NewReader("envoyé")}, int64(len("envoyé")), opts)
	_, there := s.head(ctx, key, "")
	switch {
	case err == nil || there == nil:
		c.Text = "Le serveur a gardé un contenu qui ne correspond pas à sa somme SHA-256 : il ne vérifie pas x-amz-checksum-sha256. Mettez-le à jour ou choisissez-en un autre."
	case !errors.Is(there, ErrNotFound) || status(err) == 0:
		c.Later, c.Text = later(err) || later(there), unfinished(errors.Join(err, there))
	default:
		c.OK, c.Text = true, "Un contenu qui ne correspond pas à sa somme SHA-256 est refusé."
	}
	return c
}

func (s *s3Store) checkDelete(ctx context.Context, o greffe.Object) Check {
	c := Check{Name: "Effacement refusé"}
	if o.Version == "" {
		c.Text = "Le serveur n’a pas donné de numéro de version à l’objet d’essai : activez le versioning du bucket."
		return c
	}
	// The code of the refusal differs between servers: what counts is that the
	// object is still there.
	err := s.c.RemoveObject(ctx, s.bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.Version})
	_, there := s.head(ctx, o.Key, o.Version)
	switch {
	case there == nil && later(err):
		c.Later, c.Text = true, unfinished(err)
	case there == nil && err != nil:
		c.OK, c.Text = true, "L’effacement d’un objet verrouillé est refusé."
	case there == nil:
		c.Text = "Le serveur prétend avoir effacé un objet verrouillé, qui est pourtant toujours là. Son verrouillage n’est pas fiable : choisissez-en un autre."
	case errors.Is(there, ErrNotFound):
		c.Text = "Le serveur a effacé un objet verrouillé : il annonce Object Lock sans l’appliquer. N’y placez pas l’archive."
	default:
		c.Later, c.Text = later(there), unfinished(there)
	}
	return c
}

func (s *s3Store) checkShorten(ctx context.Context, o greffe.Object) Check {
	c := Check{Name: "Raccourcissement refusé"}
	before, err := s.head(ctx, o.Key, o.Version)
	if err == nil {
		// A date in the past would be refused for another reason.
		earlier := before.RetainUntil.Add(-probeLock / 3)
		mode := s.mode
		asked := s.c.PutObjectRetention(ctx, s.bucket, o.Key, minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &earlier, VersionID: o.Version})
		var after Info
		if after, err = s.head(ctx, o.Key, o.Version); err == nil { // the date tells, not the answer
			if later(asked) {
				c.Later, c.Text = true, unfinished(asked)
				return c
			}
			if after.RetainUntil.Before(before.RetainUntil) || after.Mode != before.Mode {
				c.Text = "Le serveur a raccourci la durée de conservation d’un objet verrouillé. En mode compliance, il ne doit pas : choisissez-en un autre. En mode governance, retirez à la clé le droit s3:BypassGovernanceRetention."
				return c
			}
			c.OK, c.Text = true, "La durée de conservation d’un objet verrouillé ne peut pas être raccourcie."
			return c
		}
	}
	c.Later, c.Text = later(err), unfinished(err)
	return c
}

func unfinished(err error) string {
	return "L’essai n’a pas abouti (" + err.Error() + "). Relancez la vérification."
}

// checkExtend extends the lock of the probe by a little and holds it for a moment. An
// appliance without legal holds is no danger: it is said.
func (s *s3Store) checkExtend(ctx context.Context, o greffe.Object) []Check {
	c := Check{Name: "Prolongation de la conservation"}
	i, err := s.Retain(ctx, o, time.Time{})
	if err == nil {
		_, err = s.Retain(ctx, o, i.RetainUntil.Add(5*time.Second))
	}
	if err != nil {
		c.Later = later(err)
		c.Text = "La durée de conservation n’a pas pu être prolongée (" + err.Error() + "). Donnez à la clé les droits s3:PutObjectRetention et s3:GetObjectRetention."
		return []Check{c}
	}
	c.OK, c.Text = true, "La durée de conservation d’un objet verrouillé peut être prolongée."
	h := Check{Name: "Gel (legal hold)", OK: true, Text: "Un objet peut être gelé et dégelé."}
	if _, err = s.Hold(ctx, o, true); err == nil {
		_, err = s.Hold(ctx, o, false)
	}
	if err != nil {
		h.Text = "Ce serveur ou cette clé ne permet pas de geler un objet (" + err.Error() + ") : « greffe retain hold » échouera ; la conservation, elle, est assurée. Donnez à la clé les droits s3:PutObjectLegalHold et s3:GetObjectLegalHold, si le serveur les connaît."
	}
	return []Check{c, h}
}

// sweepProbes removes probes of earlier checks whose lock has ended. A key
// without the right to remove leaves them: they are a hundred bytes each.
func (s *s3Store) sweepProbes(ctx context.Context) {
	n := 0
	for v, err := range s.versions(ctx, checksPrefix) {
		if n++; err != nil || n > probeSweep {
			return
		}
		if time.Since(v.LastModified) > probeOld && s.c.RemoveObject(ctx, s.bucket, v.Key, minio.RemoveObjectOptions{VersionID: v.VersionID}) != nil {
			return
		}
	}
}
