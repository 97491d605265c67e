package fetcher

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"greffe/pkg/mss"
)

// sentence says in French what is wrong with a mailbox and what to do. It is the
// one place where errors become what a person reads; the inside goes to the log.
func sentence(err error, mb Mailbox) string {
	e, _ := parseURL(mb.URL)
	var (
		file     *os.PathError
		content  *mss.FileError
		name     *net.DNSError
		invalid  x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		remote   *net.OpError
		missing  *folderError
		ours     ourSide
		notTLS   tls.RecordHeaderError
		expired  = errors.As(err, &invalid) && invalid.Reason == x509.Expired
		silent   = errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errStalled)
		onServer = fmt.Sprintf("Le serveur %s ", e.address)
	)
	switch {
	case errors.As(err, &ours):
		return "Le bus interne de Greffe ne répond pas : rien n'est perdu, la relève reprendra d'elle-même. Si cela dure, vérifier NATS et l'espace disque."
	case errors.Is(err, mss.ErrExpired):
		return "Le certificat client " + mb.Certificate + " est expiré ou pas encore valable : le faire renouveler auprès de l'IGC-Santé et remplacer le fichier."
	case errors.As(err, &file):
		return "Le fichier " + file.Path + " ne peut pas être lu : vérifier qu'il existe et que Greffe a le droit de le lire."
	case errors.As(err, &content):
		return "Le fichier " + content.Path + " n'a pas le contenu attendu : des certificats (ca) ou un certificat et sa clé (certificate) au format PEM, un mot de passe ou un jeton seul sur la première ligne."
	case expired:
		return onServer + "présente un certificat expiré ou pas encore valable : prévenir l'opérateur ; vérifier aussi l'heure de cette machine."
	case errors.As(err, &unknown):
		return onServer + "présente un certificat d'une autorité inconnue : vérifier le réglage « ca » (chaîne IGC-Santé) et l'adresse du serveur."
	case errors.As(err, &host):
		return onServer + "présente un certificat établi pour un autre nom : vérifier l'adresse du serveur."
	case errors.As(err, &invalid):
		return onServer + "présente un certificat qui ne convient pas à un serveur : prévenir l'opérateur."
	case errors.As(err, &remote) && remote.Op == "remote error": // a TLS alert, which has no exported type
		return onServer + "refuse la connexion chiffrée : le certificat client manque, est expiré ou n'est pas reconnu (réglage « certificate »), ou le serveur ne connaît pas TLS 1.2."
	case errors.As(err, &notTLS):
		return onServer + "ne parle pas TLS sur ce port : vérifier le port, ou écrire imap:// pour STARTTLS."
	case silent && (errors.Is(err, errTLS) || errors.Is(err, errStartTLS) || errors.Is(err, errGreeting)):
		return onServer + "accepte la connexion mais ne dit rien : vérifier le port et le pare-feu, ou prévenir l'opérateur."
	case errors.Is(err, errTLS):
		return onServer + "n'a pas établi de connexion chiffrée (TLS 1.2 au moins) : vérifier le port et prévenir l'opérateur."
	case errors.Is(err, errStartTLS):
		return onServer + "ne propose pas STARTTLS, qui est exigé : utiliser imaps:// ou prévenir l'opérateur."
	case errors.As(err, &name):
		return "L'adresse " + e.host + " est introuvable : vérifier son orthographe et le DNS."
	case errors.Is(err, errConnect):
		return onServer + "est injoignable : vérifier l'adresse, le port, le pare-feu et le réseau."
	case errors.Is(err, errGreeting):
		return onServer + "ne répond pas comme un serveur IMAP : vérifier l'adresse et le port, ou prévenir l'opérateur."
	case errors.Is(err, errLogin):
		return onServer + "refuse l'identification de cette boîte : " + loginAdvice(mb.Auth)
	case errors.Is(err, errBusy):
		return onServer + "ne peut pas vérifier l'identification en ce moment : Greffe réessaie de lui-même."
	case errors.As(err, &missing):
		return "Le dossier « " + missing.name + " » n'existe pas ou ne peut pas être ouvert : vérifier son nom dans la configuration et les droits de la boîte. Les autres dossiers sont relevés."
	case errors.Is(err, errTooMany):
		return "Un dossier annonce un nombre de messages invraisemblable (plus d'un million) : le vider de ses anciens messages ou prévenir l'opérateur."
	case errors.Is(err, errStalled):
		return onServer + "a cessé de répondre en cours d'échange : Greffe réessaie de lui-même. Si cela dure, prévenir l'opérateur."
	case errors.Is(err, errCapability):
		return onServer + "annonce ses capacités d'une façon qu'aucun serveur IMAP n'emploie ; la connexion a été coupée. Prévenir l'opérateur."
	case errors.Is(err, errFlood):
		return onServer + "a envoyé bien plus que demandé ; la connexion a été coupée. Si cela se répète, prévenir l'opérateur."
	case errors.Is(err, errCut):
		return onServer + "a coupé la connexion : Greffe réessaie de lui-même. Si cela dure, prévenir l'opérateur."
	case errors.Is(err, errRefused):
		return "Un message plus gros qu'annoncé a été refusé ; la relève continue."
	}
	return onServer + "a donné une réponse incompréhensible : Greffe réessaie de lui-même. Si cela dure, transmettre le journal technique à l'opérateur."
}

func loginAdvice(a mss.Auth) string {
	switch a.Mechanism {
	case "external":
		return "vérifier que le certificat client est celui de la boîte et qu'il est déclaré chez l'opérateur."
	case "oauthbearer", "xoauth2":
		return "le jeton Pro Santé Connect est sans doute expiré ; vérifier ce qui renouvelle " + a.TokenFile + "."
	}
	return "vérifier le nom d'utilisateur et le mot de passe (" + a.PasswordFile + "). Les essais sont espacés pour ne pas bloquer le compte."
}
