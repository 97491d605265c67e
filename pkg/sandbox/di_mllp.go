package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
)

// receive reads one HL7 message and answers it.
func (d *DI) receive(ctx context.Context, r io.Reader, w io.Writer) error {
	content := &diContent{sum: sha256.New()}
	msh, req, fault, err := readMDM(r, content)
	if err != nil {
		return err // not a message: nobody to answer
	}
	rule := d.next()
	ack := hl7.ACK{ID: strconv.FormatInt(time.Now().UnixNano(), 36)}
	switch rule.Behaviour {
	case DISilent:
		d.shown(req, "aucune réponse")
		<-ctx.Done()
		return ctx.Err()
	case DIBusy, DIThrottled:
		d.shown(req, "AR : revenir plus tard")
		ack.Code, ack.Text = "AR", "occupé"
		return d.answer(ctx, w, rule, msh, ack)
	case DITechnical:
		fault = &hl7.ACKError{Location: "TXA^1^2", Code: "103", Label: "Table value not found"}
	}
	if fault != nil {
		d.shown(req, "AE "+fault.Code+" : erreur technique ("+fault.Location+")")
		ack.Code, ack.Errors = "AE", []hl7.ACKError{*fault}
		return d.answer(ctx, w, rule, msh, ack)
	}
	req.refuse = rule.refusal()
	_, _, refusal := d.integrate(req)
	ack.Code = "AA"
	if refusal != nil {
		ack.Code = "AE"
		ack.Errors = []hl7.ACKError{{Location: "PID^1^3", Code: "207", Label: "Application error", App: refusal.code, AppLabel: refusal.label}}
	}
	return d.answer(ctx, w, rule, msh, ack)
}

// answer gives the answer as the rule says: late, half of it, none or nonsense.
func (d *DI) answer(ctx context.Context, w io.Writer, rule DIRule, msh hl7.Segment, ack hl7.ACK) error {
	if !rule.wait(ctx) {
		return ctx.Err()
	}
	answer := hl7.Answer(msh, ack, time.Now())
	switch rule.Behaviour {
	case DIForget:
		return io.EOF
	case DICut:
		w.Write(append([]byte{0x0b}, answer[:len(answer)/2]...))
		return io.EOF
	case DIGarbage:
		answer = []byte("<html>502 Bad Gateway</html>")
	}
	return hl7.WriteFrame(w, answer)
}

// listenTLS opens the listener over TLS, with an authority, a server and a client
// certificate of its own.
func (d *DI) listenTLS(dir string, listen func(string) (net.Listener, error), addr string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	a, err := newAuthority(dir)
	if err != nil {
		return err
	}
	cert, err := a.server()
	if err != nil {
		return err
	}
	if d.client, err = a.client("greffe"); err != nil {
		return err
	}
	ln, err := listen(addr)
	if err != nil {
		return err
	}
	d.ca = a.file
	d.mllps = tls.NewListener(ln, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool(),
	})
	return nil
}

// MLLPSAddr returns host:port of the HL7 listener over TLS; empty without one.
func (d *DI) MLLPSAddr() string {
	if d.mllps == nil {
		return ""
	}
	return d.mllps.Addr().String()
}

// CAFile returns the PEM file of the authority that signed the certificates of the
// TLS listener; empty without one.
func (d *DI) CAFile() string { return d.ca }

// ClientFile returns the PEM file of a client certificate and its key that the TLS
// listener takes; empty without one.
func (d *DI) ClientFile() string { return d.client }

// readMDM reads a message; fault is the technical error to answer, if any.
func readMDM(r io.Reader, content *diContent) (msh hl7.Segment, req diRequest, fault *hl7.ACKError, err error) {
	req.through = "HL7"
	obx := 0
	dec := hl7.NewDecoder(r)
	dec.Long = func(segment string, field int) io.Writer {
		if segment == "OBX" && field == 5 && obx == 0 {
			return content
		}
		return io.Discard
	}
	seen := map[string]bool{}
	for {
		s, err := dec.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return msh, req, nil, err
		}
		first := !seen[s.Name]
		seen[s.Name] = true
		switch {
		case s.Name == "MSH":
			msh, req.control = s, s.Text(10, 1)
			switch s.Text(9, 2) {
			case "T02":
				req.event = greffe.ActionNew
			case "T10":
				req.event = greffe.ActionReplace
			case "T04":
				req.event = greffe.ActionDelete
			default:
				fault = &hl7.ACKError{Location: "MSH^1^9", Code: "201", Label: "Unsupported event code"}
			}
		case s.Name == "PID":
			req.patient = patientOf(s)
		case s.Name == "OBR":
			req.kind, req.title = s.Text(4, 1), s.Text(4, 2)
		case s.Name == "TXA":
			req.number, req.parent = numberOf(s, 12), numberOf(s, 13)
		case s.Name == "OBX":
			if obx++; obx == 1 && s.Field(5) != "" {
				content.Write([]byte(s.Field(5)))
			}
		case s.Name == "PRT" && first:
			req.author, req.organisation = s.Text(5, 1), s.Text(8, 1)
		}
	}
	for _, name := range []string{"MSH", "EVN", "PID", "PV1", "ORC", "OBR", "TXA", "OBX", "PRT"} {
		if !seen[name] && fault == nil {
			fault = &hl7.ACKError{Location: name, Code: "100", Label: "Segment sequence error"}
		}
	}
	switch {
	case fault != nil:
	case req.number == "":
		fault = &hl7.ACKError{Location: "TXA^1^12", Code: "101", Label: "Required field missing"}
	case req.event == greffe.ActionReplace && req.parent == "":
		fault = &hl7.ACKError{Location: "TXA^1^13", Code: "101", Label: "Required field missing"}
	case !content.close():
		fault = &hl7.ACKError{Location: "OBX^1^5", Code: "102", Label: "Data type error"}
	}
	req.sha256, req.size = greffe.DigestFrom(content.sum.Sum(nil)), content.size
	return msh, req, fault, nil
}

// numberOf reads TXA-12 or TXA-13 in either of the forms that are in use.
func numberOf(s hl7.Segment, field int) string {
	if root := s.Text(field, 3); root != "" {
		return greffe.OID{Root: root, Extension: s.Text(field, 1)}.String()
	}
	return s.Text(field, 1)
}

func patientOf(s hl7.Segment) greffe.Patient {
	p := greffe.Patient{
		BirthFamily: s.Text(5, 1), FirstGiven: s.Text(5, 2), Givens: s.Text(5, 3),
		BirthDate: s.Text(7, 1), Sex: s.Text(8, 1),
	}
	if p.Sex == "U" { // HL7 table 0001 for UN of JDV_J143
		p.Sex = "UN"
	}
	for i := range s.Reps(3) {
		id := greffe.OID{Root: s.Get(3, i+1, 4, 2), Extension: s.Get(3, i+1, 1, 1)}
		p.IDs = append(p.IDs, id)
		if s.Get(3, i+1, 5, 1) == "INS" && p.INS.IsZero() {
			p.INS = id
		}
	}
	for i := range s.Reps(11) {
		if s.Get(11, i+1, 7, 1) == "BDL" {
			p.BirthPlace = s.Get(11, i+1, 9, 1)
		}
	}
	return p
}

// diContent receives OBX-5 of the document as it comes, decodes its base64 and
// keeps the digest.
type diContent struct {
	sum     hash.Hash
	size    int64
	carets  int
	pending []byte // less than 4 characters
	decoded []byte // reused
	bad     bool
}

func (c *diContent) Write(p []byte) (int, error) {
	n := len(p)
	for c.carets < 4 && len(p) > 0 { // ^text^XML^Base64^
		i := bytes.IndexByte(p, '^')
		if i < 0 {
			return n, nil
		}
		c.carets++
		p = p[i+1:]
	}
	c.pending = append(c.pending, p...)
	whole := len(c.pending) / 4 * 4
	out, err := base64.StdEncoding.AppendDecode(c.decoded[:0], c.pending[:whole])
	if err != nil {
		c.bad = true
	}
	c.decoded = out
	m := len(out)
	c.sum.Write(out)
	c.size += int64(m)
	c.pending = append(c.pending[:0], c.pending[whole:]...)
	return n, nil
}

// close reports whether all of it was base64 and there was something.
func (c *diContent) close() bool { return !c.bad && len(c.pending) == 0 && c.size > 0 }
