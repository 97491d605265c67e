package greffe

import "time"

// AnswerState is how far an answer to a sender is.
type AnswerState string

// States of an answer. A person looks after those that are asked or failed; sent and
// dropped are final, unless a delivery status notification says later that what was
// sent did not arrive.
const (
	AnswerDue     AnswerState = "due"     // to be sent, or being sent
	AnswerAsked   AnswerState = "asked"   // a person has to say whether it may go
	AnswerSent    AnswerState = "sent"    // the operator's server has taken it
	AnswerFailed  AnswerState = "failed"  // it did not reach who it is for, or may not be sent; the reason says why
	AnswerDropped AnswerState = "dropped" // a person says that nothing (more) has to be sent
)

// Answer is one mail that Greffe owes or has sent because of a message: to its sender,
// or, when a person answered a mailbox that nobody reads, to one that somebody does.
type Answer struct {
	Key       string      `json:"key"` // opaque: what is answered once
	Message   MessageID   `json:"message"`
	Kind      string      `json:"kind"` // mdn-success, mdn-error, ko, ask, auto-reply, forward
	State     AnswerState `json:"state"`
	Code      string      `json:"code,omitempty"` // application code of an error
	Recipient string      `json:"recipient"`
	MailID    string      `json:"mail_id"`          // Message-ID of the mail, without angle brackets
	Reason    string      `json:"reason,omitempty"` // French; why it failed or waits
	Begun     time.Time   `json:"begun"`            // when it was first due
	At        time.Time   `json:"at"`               // of the state
}
