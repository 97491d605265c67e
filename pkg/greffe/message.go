package greffe

import "time"

// Origin says where a message was found: the four coordinates that name it on an
// IMAP server (RFC 9051 §2.3.1.1) and the date the server gave it.
type Origin struct {
	Mailbox      string    `json:"mailbox"` // address of the mailbox, as configured
	Folder       string    `json:"folder"`  // folder name in UTF-8, "INBOX" upper-case
	UIDValidity  uint32    `json:"uidvalidity"`
	UID          uint32    `json:"uid"`
	InternalDate time.Time `json:"internal_date"` // UTC
}

// MessageKind tells documents from the other mail that a mailbox receives
// (domain §2.5). Documents are taken only from deliveries, forwards and replies.
type MessageKind string

// Kinds of message.
const (
	KindDelivery  MessageKind = "delivery"   // carries documents
	KindForward   MessageKind = "forward"    // a delivery passed on by a person or a rule
	KindReply     MessageKind = "reply"      // a person answers; may still carry the archive
	KindMDN       MessageKind = "mdn"        // disposition notification, RFC 8098
	KindDSN       MessageKind = "dsn"        // delivery status notification, RFC 3464
	KindKO        MessageKind = "ko"         // "[KO Intégration système !]" mail of another system
	KindAutoReply MessageKind = "auto-reply" // RFC 3834
	KindPatient   MessageKind = "patient"    // from @patient.mssante.fr
	KindNotice    MessageKind = "notice"     // operator notices, quotas, certificates
	KindText      MessageKind = "text"       // a person writes, nothing is attached
	KindEmpty     MessageKind = "empty"
	KindUnread    MessageKind = "unread" // bytes refused unread, for example over the size cap
)

// Robot reports whether a machine sent the message without a document in it:
// such a message is archived and shown, needs nobody and is never answered.
func (k MessageKind) Robot() bool {
	switch k {
	case KindMDN, KindDSN, KindKO, KindAutoReply, KindNotice:
		return true
	}
	return false
}

// Address is a mail address as a header gives it.
type Address struct {
	Name    string `json:"name,omitempty"`
	Address string `json:"address"`
}

// Message is what the headers of a message say. Everything in it comes from
// outside and is for display and correlation, never for identity or storage keys.
type Message struct {
	Kind        MessageKind `json:"kind"`
	MessageIDs  []string    `json:"message_ids,omitempty"` // Message-ID without brackets, outermost first, then of nested mails
	Date        time.Time   `json:"date,omitzero"`
	From        []Address   `json:"from,omitempty"`
	ReplyTo     []Address   `json:"reply_to,omitempty"`
	To          []Address   `json:"to,omitempty"`
	Cc          []Address   `json:"cc,omitempty"`
	ReturnPath  string      `json:"return_path,omitempty"` // "<>" when null
	Subject     string      `json:"subject,omitempty"`     // decoded, without the XDM/1.0/DDM marker
	InReplyTo   []string    `json:"in_reply_to,omitempty"`
	References  []string    `json:"references,omitempty"`
	ReceiptTo   []Address   `json:"receipt_to,omitempty"` // Disposition-Notification-To
	AutoSubmit  string      `json:"auto_submitted,omitempty"`
	List        bool        `json:"list,omitempty"`         // a mailing list passed it on (List-Id and its like, RFC 2369, 2919)
	ResentFrom  []Address   `json:"resent_from,omitempty"`  // who passed it on unchanged (RFC 5322 §3.6.6)
	MSSCodeCDA  []string    `json:"mss_codecda,omitempty"`  // X-MSS-CODECDA
	MSSINS      string      `json:"mss_ins,omitempty"`      // X-MSS-INS: O or N
	MSSNIL      string      `json:"mss_nil,omitempty"`      // X-MSS-NIL
	MSSMES      string      `json:"mss_mes,omitempty"`      // X-MSS-MES: FIN closes a conversation with a patient
	Body        string      `json:"body,omitempty"`         // text of the first text/plain body, at most 64 KiB
	XDMMarker   bool        `json:"xdm_marker,omitempty"`   // the subject carried XDM/1.0/DDM
	OriginalIDs []string    `json:"original_ids,omitempty"` // of the mail that an MDN or DSN is about
	DSNAction   string      `json:"dsn_action,omitempty"`   // of a DSN, the worst of its recipients: failed, delayed, delivered… (RFC 3464 §2.3.3)
	DSNStatus   string      `json:"dsn_status,omitempty"`   // of that recipient: "5.1.1" (RFC 3463)
}

// PartKind is what a part is, decided by its content.
type PartKind string

// Kinds of part.
const (
	PartText      PartKind = "text" // body or attached plain text
	PartHTML      PartKind = "html"
	PartPDF       PartKind = "pdf"
	PartXDM       PartKind = "xdm"      // ZIP archive with METADATA.XML
	PartZip       PartKind = "zip"      // any other ZIP archive
	PartCDA       PartKind = "cda"      // ClinicalDocument, bare or auto-présentable
	PartMetadata  PartKind = "metadata" // METADATA.XML of an XDM archive
	PartXML       PartKind = "xml"
	PartHPRIM     PartKind = "hprim"
	PartImage     PartKind = "image"
	PartMessage   PartKind = "message" // message/rfc822
	PartReport    PartKind = "report"  // machine part of a DSN or MDN
	PartSignature PartKind = "signature"
	PartOther     PartKind = "other"
	PartEmpty     PartKind = "empty"
)

// Part is one piece of a message: a leaf of the MIME tree, a file of an archive,
// or a value embedded in a CDA.
//
// Path names it inside the message. MIME parts are numbered from 1 as in
// RFC 9051 §6.4.5 ("1", "2.1"; the single part of a message that is not multipart
// is "1"; the parts of a nested message/rfc822, and what an opaque S/MIME part
// signs, follow its own number). "!n" is the n-th entry (from 0) of the ZIP archive
// before it, or the n-th piece of the winmail.dat (TNEF) or of the text with
// uuencoded files before it; "#n" is the n-th base64 value (from 0) of the CDA before
// it: "2!4#0". Detected says which of them a part is.
type Part struct {
	Path     string    `json:"path"`
	Name     string    `json:"name,omitempty"`     // as declared; never a key or a path
	Declared string    `json:"declared,omitempty"` // media type as declared, lower-case, without parameters
	Detected string    `json:"detected,omitempty"` // media type by content
	Kind     PartKind  `json:"kind"`
	Size     int64     `json:"size"`   // bytes, decoded
	SHA256   Digest    `json:"sha256"` // of the decoded bytes
	Verdict  Verdict   `json:"verdict"`
	Reason   string    `json:"reason,omitempty"`  // French; why a part is ignored
	TwinOf   string    `json:"twin_of,omitempty"` // path of the part that this one is a copy of
	Findings []Finding `json:"findings,omitempty"`
	PDF      *PDF      `json:"pdf,omitempty"` // what a PDF that could be read says about itself
	// Skipped marks a part that was listed but whose bytes were not read (a
	// budget ran out, encryption): it has no digest and no object of its own, and
	// lives on in the raw message.
	Skipped bool `json:"skipped,omitempty"`
}
