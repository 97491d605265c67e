package greffe

import "time"

// AnswerState is how far an answer to a sender is.
type AnswerState string

// States of an answer. The last three are final.
const (
	AnswerDue    AnswerState = "due"    // to be sent, or being sent
	AnswerAsked  AnswerState = "asked"  // a person has to say whether it may go
	AnswerSent   AnswerState = "sent"   // the operator's server has taken it
	AnswerFailed AnswerState = "failed" // the server refused it for good
)

// Answer is one mail that Greffe owes or has sent to the sender of a message.
type Answer struct {
	Key       string      `json:"key"` // opaque: what is answered once
	Message   MessageID   `json:"message"`
	Kind      string      `json:"kind"` // mdn-success, mdn-error, ko, ask
	State     AnswerState `json:"state"`
	Code      string      `json:"code,omitempty"` // application code of an error
	Recipient string      `json:"recipient"`
	MailID    string      `json:"mail_id"`          // Message-ID of the mail, without angle brackets
	Reason    string      `json:"reason,omitempty"` // French; why it failed or waits
	Begun     time.Time   `json:"begun"`            // when it was first due
	At        time.Time   `json:"at"`               // of the state
}
