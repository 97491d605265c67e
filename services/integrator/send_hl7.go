package integrator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
	_ "time/tzdata" // messages carry local time; a minimal image has no time zones

	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
)

// mllpSender sends MDM messages over MLLP.
type mllpSender struct {
	client   *hl7.Client
	settings hl7.Settings
	zone     *time.Location
}

func newMLLPSender(d DI, cfg Config) (*mllpSender, error) {
	s := d.HL7
	s.Sending, s.Receiving = d.Sending, d.Receiving
	if d.Processing != "" {
		s.Processing = d.Processing
	}
	if d.Charset != "" {
		s.Charset = hl7.Charset(d.Charset)
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(d.MLLP.Address)
	if err != nil {
		return nil, fmt.Errorf("mllp address %q: want host:port", d.MLLP.Address)
	}
	name := cfg.TimeZone
	if name == "" {
		name = "Europe/Paris"
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone: %w", err)
	}
	var tc *tls.Config
	if d.MLLP.TLS {
		if tc, err = tlsConfig(d.MLLP.CA, d.MLLP.Certificate); err != nil {
			return nil, err
		}
		tc.ServerName = host
	}
	connections := d.MLLP.Connections
	if connections == 0 {
		connections = 4
	}
	return &mllpSender{
		client: hl7.NewClient(hl7.ClientConfig{
			Address: d.MLLP.Address, TLS: tc, Connections: connections, AckTimeout: d.MLLP.Timeout,
		}),
		settings: s, zone: zone,
	}, nil
}

func (s *mllpSender) Close()                         { s.client.Close() }
func (s *mllpSender) Ping(ctx context.Context) error { return s.client.Ping(ctx) }

func (s *mllpSender) Send(ctx context.Context, d Delivery) (Result, error) {
	m := hl7.MDM{
		Event: hl7.First, Control: d.Control, At: d.At.In(s.zone), Document: d.Facts, Mail: d.Mail, Mailbox: d.Mailbox,
		Service: d.Service, VisibilityChanged: d.VisibilityChanged,
	}
	switch d.Action {
	case greffe.ActionReplace:
		m.Event, m.Parent = hl7.Replace, d.Parent
	case greffe.ActionDelete:
		m.Event, m.Parent = hl7.Delete, d.Facts.Replaces
	}
	var ack hl7.ACK
	f, err := d.Open() // before a connection is taken: what cannot be read is not sent
	if err == nil {
		f.Close()
		ack, err = s.client.Send(ctx, d.Control, func(w io.Writer) error {
			f, err := d.Open()
			if err != nil {
				return err
			}
			defer f.Close()
			return m.Encode(w, s.settings, f)
		})
	}
	o := Result{Outcome: greffe.Outcome{Action: string(m.Event), Control: d.Control}}
	switch {
	case err == nil:
	case ours(ctx, err):
		return Result{}, err
	case errors.Is(err, hl7.ErrNoAnswer), errors.Is(err, hl7.ErrClosed):
		o.State, o.Code, o.Text, o.Silent = greffe.StateWaiting, "no answer", textUnreachable, true
		return o, nil
	default: // the message cannot be written: a fault of ours, not of the DI
		o.State, o.Code = greffe.StateIncident, "unwritable"
		o.Text = "Le message HL7 de ce document ne peut pas être écrit. Prévenir le service informatique."
		return o, nil
	}
	said := readACK(ack, d)
	said.Action, said.Control = o.Action, o.Control
	return Result{Outcome: said, Stops: said.State == greffe.StateIncident}, nil
}

// readACK turns an acknowledgement into an outcome (volet, tables of MSA-1, ERR-3
// and ERR-5).
func readACK(a hl7.ACK, d Delivery) greffe.Outcome {
	switch a.Code {
	case "AA":
		o := delivered(d, "")
		o.Code = "AA"
		return o
	case "AR":
		return greffe.Outcome{State: greffe.StateWaiting, Code: "AR", Text: textLater}
	}
	if e, ok := a.Application(); ok {
		return greffe.Outcome{State: greffe.StateRefused, Code: "AE " + short(e.App), Text: refusal(e.App, e.AppLabel)}
	}
	o := greffe.Outcome{State: greffe.StateIncident, Code: "AE"}
	where := ""
	if len(a.Errors) > 0 {
		e := a.Errors[0]
		o.Code = "AE " + short(e.Code)
		if e.Location != "" {
			where = " au champ " + short(e.Location)
		}
		o.Text = fmt.Sprintf("Le DI signale une erreur technique %s%s (%s). Prévenir le service informatique.", short(e.Code), where, technical(e))
		return o
	}
	o.Text = "Le DI refuse le message sans dire pourquoi. Prévenir le service informatique."
	return o
}

// technical is the meaning of an ERR-3 (HL7 table 0357).
func technical(e hl7.ACKError) string {
	switch e.Code {
	case "100":
		return "segments absents ou dans le désordre"
	case "101":
		return "champ obligatoire absent"
	case "102":
		return "type de donnée"
	case "103":
		return "valeur inconnue du DI, par exemple le type de document"
	case "198":
		return "cardinalité"
	case "200", "201":
		return "type de message ou événement non pris en charge par le DI"
	case "202", "203":
		return "environnement ou version non pris en charge par le DI"
	case "204", "205", "206":
		return "objet inconnu, en double ou verrouillé dans le DI"
	}
	if e.Label != "" {
		return short(e.Label)
	}
	return "erreur non décrite"
}
