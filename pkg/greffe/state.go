package greffe

import "slices"

// State is where a message or document stands, as the queue shows it.
type State string

// States. Their values are the French words that users read, so that a search,
// a filter and an export say the same.
const (
	StateReceived  State = "reçu"              // raw message archived, not yet read
	StateArchived  State = "archivé"           // parts archived, nothing more to do or not yet sent
	StateTodo      State = "à traiter"         // a person must decide; the reason says what
	StateWaiting   State = "en attente du DI"  // the DI did not answer or said later
	StateDelivered State = "intégré"           // the DI has it
	StateRefused   State = "refusé par le DI"  // the DI will not have it as it is
	StateDismissed State = "classé sans suite" // needs nothing, by rule or by a person
	StateDuplicate State = "doublon"           // same document already received
	StateIncident  State = "incident"          // Greffe itself failed; a technician looks
)

// States lists every state, the most pressing first: what a person must look at
// comes before what goes its way.
var States = []State{
	StateIncident, StateTodo, StateRefused, StateWaiting, StateReceived,
	StateArchived, StateDelivered, StateDismissed, StateDuplicate,
}

// Final reports whether a machine will do nothing more about s by itself.
func (s State) Final() bool {
	return s != StateReceived && s != StateArchived && s != StateWaiting
}

// ToRead reports whether a message waits for a person although none of its documents
// does: a person wrote it and it has none, or it answers a report and carries only what
// was received before (domain §2.5), most often the archive of the mail that it quotes.
func ToRead(kind MessageKind, documents []State) bool {
	if len(documents) == 0 {
		return !kind.Robot()
	}
	return kind == KindReply && !slices.ContainsFunc(documents, func(s State) bool { return s != StateDuplicate })
}

// Summary returns the state of a message whose documents have these states: StateTodo
// when a person has to read it, else the most pressing one; StateDismissed for what a
// robot sent without documents. A person who has read it closes it: see Closed.
func Summary(kind MessageKind, documents []State) State {
	switch {
	case ToRead(kind, documents):
		return StateTodo
	case len(documents) == 0:
		return StateDismissed
	}
	for _, s := range States {
		if slices.Contains(documents, s) {
			return s
		}
	}
	return StateIncident
}
