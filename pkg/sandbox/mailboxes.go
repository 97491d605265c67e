package sandbox

import "strings"

// Mailbox is a mailbox that the samples arrive in.
type Mailbox struct {
	Address string
	Kind    string // organisational | applicative
	Service string // code of the unit it belongs to
	Name    string // of that unit
	Folders []string
	Replies string // of an applicative mailbox: the one of the service that people read
}

// Mailboxes returns the mailboxes of the samples.
func Mailboxes() []Mailbox {
	return []Mailbox{
		{MailboxService, "organisational", "3435", "Cardiologie", []string{"INBOX", FolderDoctor}, ""},
		{MailboxDPI, "applicative", "", "", []string{"INBOX"}, MailboxService},
	}
}

// WhiteList returns the domains of those who write to the mailboxes, one a line, as
// the white list of MSSanté would name them.
func WhiteList() string {
	return strings.Join([]string{"cabinet-martel.example", "labo-odet.example", "imagerie-rade.example", "ch-test-sur-mer.example", "operateur.mssante.example", "ch-exemple.mssante.example"}, "\n") + "\n"
}
