package sandbox

// Mailbox is a mailbox that the samples arrive in.
type Mailbox struct {
	Address string
	Kind    string // organisational | applicative
	Service string // code of the unit it belongs to
	Name    string // of that unit
	Folders []string
}

// Mailboxes returns the mailboxes of the samples.
func Mailboxes() []Mailbox {
	return []Mailbox{
		{MailboxService, "organisational", "3435", "Cardiologie", []string{"INBOX", FolderDoctor}},
		{MailboxDPI, "applicative", "", "", []string{"INBOX"}},
	}
}
