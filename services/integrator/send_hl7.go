package integrator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
	events   []hl7.Event // empty: all
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
	if len(d.Events) > 0 && !slices.Contains(d.Events, hl7.First) {
		return nil, fmt.Errorf("events %v: a DI that does not take %s takes nothing", d.Events, hl7.First)
	}
	_, _, err := net.SplitHostPort(d.MLLP.Address)
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
	var tc func() (*tls.Config, error)
	if d.MLLP.TLS {
		if tc, err = tlsConfig(d.MLLP.CA, d.MLLP.Certificate); err != nil {
			return nil, err
		}
	}
	connections := d.MLLP.Connections
	if connections == 0 {
		connections = 4
	}
	return &mllpSender{
		client: hl7.NewClient(hl7.ClientConfig{
			Address: d.MLLP.Address, TLS: tc, Connections: connections, AckTimeout: d.MLLP.Timeout,
		}),
		settings: s, zone: zone, events: d.Events,
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
	if len(s.events) > 0 && !slices.Contains(s.events, m.Event) {
		return untaken(m.Event), nil
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
	var r Result
	switch {
	case err == nil:
		r = readACK(ack, d)
	case ours(ctx, err):
		return Result{}, err
	case errors.Is(err, hl7.ErrNoAnswer), errors.Is(err, hl7.ErrClosed):
		r = unanswered(err)
	default: // a fault of ours, not of the DI
		r = unwritable(err)
	}
	r.Action, r.Control = string(m.Event), d.Control
	return r, nil
}
