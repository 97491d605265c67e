package greffe

import "time"

// MailboxFigures say how a mailbox stands: how many messages its server has, how many of
// them are still to come, and what ends at a date. They hold no content.
type MailboxFigures struct {
	Folders  []FolderFigures `json:"folders,omitempty"`
	Expiries []Expiry        `json:"expiries,omitempty"`
}

// FolderFigures are those of one folder of a mailbox.
type FolderFigures struct {
	Name     string    `json:"name"`            // as configured; may be the name of a professional: for pages, never for logs or metrics
	Server   int       `json:"server"`          // messages on the server when it was last compared
	Waiting  int       `json:"waiting"`         // of them, those that the archive is not known to hold now
	Oldest   time.Time `json:"oldest,omitzero"` // internal date of the oldest of those; zero when none waits or it is not known
	Compared time.Time `json:"compared"`        // when the server was last asked
}

// Expirable is what ends at a date.
type Expirable string

// What of a mailbox ends at a date.
const (
	ClientCertificate Expirable = "client certificate" // ours, from the IGC-Santé
	ServerCertificate Expirable = "server certificate" // the operator's
	Password          Expirable = "password"           // as the configuration says: a server cannot be asked
)

// Expiry is when something ends.
type Expiry struct {
	What Expirable `json:"what"`
	At   time.Time `json:"at"`
}

// ExpiryDays are the days before an expiry at which it is told of, the last first. From
// the first on it is a warning.
var ExpiryDays = []int{7, 30, 60, 90}

// Ahead returns how many days ahead of an expiry the one that is told of is, for now:
// the smallest of ExpiryDays that is not passed, 0 once it ended, and -1 while there is time.
func (e Expiry) Ahead(now time.Time) int {
	left := e.At.Sub(now)
	if left <= 0 {
		return 0
	}
	for _, days := range ExpiryDays {
		if left <= time.Duration(days)*24*time.Hour {
			return days
		}
	}
	return -1
}

// French names what ends.
func (e Expirable) French() string {
	switch e {
	case ClientCertificate:
		return "certificat client"
	case ServerCertificate:
		return "certificat du serveur"
	case Password:
		return "mot de passe"
	}
	return string(e)
}
