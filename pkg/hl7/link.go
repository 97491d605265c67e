package hl7

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
)

// answerLimit is the longest acknowledgement that is read.
const answerLimit = 1 << 20

// link is one connection of a client with its reader, so that the end of an idle
// connection is noticed when it happens and not when the next message is lost on it.
type link struct {
	conn    net.Conn
	out     *bufio.Writer // of the message in flight
	answers chan ACK
	dead    chan struct{} // closed when the reader ended
	err     error         // why the reader ended; set before dead is closed
	heard   bool          // a broken frame came; set before dead is closed
	foreign atomic.Bool   // something else than the answer to the message in flight came
}

// read passes on acknowledgements until the connection ends. Frames that are not
// acknowledgements, or not finished, are skipped: the right one may follow.
func (l *link) read() {
	defer close(l.dead)
	defer l.conn.Close()
	r := bufio.NewReader(l.conn)
	for {
		f, err := nextFrame(r)
		if err != nil {
			l.err = err
			return
		}
		b, err := io.ReadAll(io.LimitReader(f, answerLimit+1))
		if len(b) > answerLimit {
			l.err, l.heard = ErrTooLong, true
			return
		}
		if err != nil {
			l.err, l.heard = err, true
			if r.Buffered() > 0 { // another frame begins inside this one
				continue
			}
			return
		}
		a, err := ParseACK(b)
		if err != nil {
			l.foreign.Store(true)
			continue
		}
		l.pass(a)
	}
}

// pass hands an answer on. A peer that sends more of them than anybody waits for loses
// the oldest: waiting here would stop its own reading of our message.
func (l *link) pass(a ACK) {
	for {
		select {
		case l.answers <- a:
			return
		default:
		}
		select {
		case <-l.answers:
		default:
		}
	}
}

// alive reports whether the connection was open a moment ago, and drops answers
// that came late.
func (l *link) alive() bool {
	for {
		select {
		case <-l.dead:
			return false
		case <-l.answers:
		default:
			return true
		}
	}
}

func (l *link) close() { l.conn.Close() }
