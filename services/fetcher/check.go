package fetcher

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"greffe/pkg/greffe"
	"greffe/pkg/mss"
)

// Check is one thing that CheckMailbox tried.
type Check struct {
	Name string // French, a few words
	OK   bool
	Text string // French: what was found and, when not OK, how to mend it
}

// CheckMailbox tries a mailbox without changing anything in it: files,
// connection and TLS, login, each folder, and what the marks need. It stops at
// the first step that the next ones need. ctx bounds it; it may be called while a
// Fetcher runs.
func CheckMailbox(ctx context.Context, mb Mailbox) []Check {
	var all []Check
	add := func(name string, ok bool, text string) { all = append(all, Check{name, ok, text}) }
	mb, err := mb.complete()
	if err != nil {
		add("Configuration", false, "Le réglage de cette boîte ne convient pas : "+err.Error()+".")
		return all
	}
	if mb.Certificate != "" {
		c := checkCertificate(mb)
		if all = append(all, c); !c.OK {
			return all
		}
	}
	s, err := dial(ctx, mb, standardPace)
	if err != nil {
		add("Connexion", false, sentence(err, mb))
		return all
	}
	defer s.close()
	state := s.conn.Conn.(*tls.Conn).ConnectionState()
	e, _ := parseURL(mb.URL)
	text := fmt.Sprintf("Connexion chiffrée établie avec %s (%s), certificat valable jusqu'au %s.",
		e.address, tls.VersionName(state.Version), frenchDate(state.PeerCertificates[0].NotAfter))
	if x := (greffe.Expiry{What: greffe.ServerCertificate, At: state.PeerCertificates[0].NotAfter}); x.Ahead(time.Now()) >= 0 {
		text += " " + ends(x, time.Now())
	}
	add("Connexion", true, text)
	if err := s.login(mb); err != nil {
		add("Identification", false, sentence(err, mb))
		return all
	}
	text = "La boîte est ouverte (" + mb.Auth.Mechanism + ")."
	if x := (greffe.Expiry{What: greffe.Password, At: mb.PasswordUntil}); !x.At.IsZero() && x.Ahead(time.Now()) >= 0 {
		text += " " + ends(x, time.Now())
	}
	add("Identification", true, text)
	if s.caps.Has(imap.CapIdle) {
		add("Arrivée des messages", true, "Le serveur annonce les nouveaux messages dès leur arrivée (IDLE).")
	} else {
		add("Arrivée des messages", true, "Le serveur n'annonce pas les nouveaux messages (IDLE) : ils sont relevés à intervalle régulier.")
	}
	for _, name := range mb.Folders {
		b, err := s.open(name, true)
		if err != nil {
			add("Dossier « "+name+" »", false, sentence(&folderError{name, err}, mb))
			if s.conn.why() != nil {
				return all
			}
			continue
		}
		add("Dossier « "+name+" »", true, fmt.Sprintf("%d message(s).", b.messages))
		all = append(all, checkKeywords(mb, name, b)...)
	}
	return append(all, checkMoves(s, mb)...)
}

func frenchDate(t time.Time) string { return t.Format("02/01/2006") }

func checkCertificate(mb Mailbox) Check {
	const name = "Certificat client"
	pair, err := tls.LoadX509KeyPair(mb.Certificate, mb.Certificate)
	if err != nil {
		return Check{name, false, sentence(&mss.FileError{Path: mb.Certificate, Err: err}, mb)}
	}
	if time.Now().After(pair.Leaf.NotAfter) {
		return Check{name, false, sentence(mss.ErrExpired, mb)}
	}
	if x := (greffe.Expiry{What: greffe.ClientCertificate, At: pair.Leaf.NotAfter}); x.Ahead(time.Now()) >= 0 {
		return Check{name, true, ends(x, time.Now())}
	}
	return Check{name, true, "Certificat valable jusqu'au " + frenchDate(pair.Leaf.NotAfter) + "."}
}

func checkKeywords(mb Mailbox, folder string, b box) []Check {
	var all []Check
	var seen []string
	for _, m := range []Mark{mb.OnArchived, mb.OnDelivered, mb.OnFailed} {
		if m.Keyword == "" || slices.Contains(seen, m.Keyword) || b.keeps(m.Keyword) {
			continue
		}
		seen = append(seen, m.Keyword)
		all = append(all, Check{"Mot-clé « " + m.Keyword + " »", false,
			"Le serveur ne garde pas ce mot-clé dans le dossier « " + folder + " » : les messages n'en seront pas marqués. Utiliser un déplacement (move), ou retirer le mot-clé."})
	}
	return all
}

func checkMoves(s *session, mb Mailbox) []Check {
	var all []Check
	var seen []string
	for _, m := range []Mark{mb.OnArchived, mb.OnDelivered, mb.OnFailed} {
		if m.Move == "" || slices.Contains(seen, m.Move) {
			continue
		}
		seen = append(seen, m.Move)
		name := "Rangement dans « " + m.Move + " »"
		_, err := s.peek(m.Move)
		var answer *imap.Error
		switch {
		case errors.As(err, &answer):
			all = append(all, Check{name, true, "Ce dossier n'existe pas encore : Greffe le créera au premier message à y ranger."})
		case err != nil:
			return append(all, Check{name, false, sentence(err, mb)})
		default:
			all = append(all, Check{name, true, "Ce dossier existe."})
		}
	}
	if len(seen) > 0 && !s.caps.Has(imap.CapMove) && !s.caps.Has(imap.CapUIDPlus) {
		all = append(all, Check{"Rangement", true, strings.Join([]string{
			"Le serveur ne sait ni déplacer ni effacer un seul message (MOVE, UIDPLUS) :",
			"les messages rangés resteront aussi dans leur dossier d'origine, marqués « supprimé »."}, " ")})
	}
	return all
}
