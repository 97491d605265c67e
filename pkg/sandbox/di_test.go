package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
)

func diKnown() greffe.Patient {
	ins := greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"}
	return greffe.Patient{IDs: []greffe.OID{ins}, INS: ins, BirthFamily: "ESSAI-KERVELLA", FirstGiven: "MAELLE", Givens: "MAELLE ANNE",
		Sex: "F", BirthDate: "19850214", BirthPlace: "29999"}
}

func startDI(t *testing.T) *DI {
	t.Helper()
	d, err := StartDI(DIConfig{Patients: []greffe.Patient{diKnown()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// diGet returns a page of the DI and its headers.
func diGet(t *testing.T, address string) (string, http.Header) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", resp.StatusCode, err)
	}
	return string(b), resp.Header
}

func TestDIPageShowsWhatCame(t *testing.T) {
	t.Parallel()
	d := startDI(t)
	defer http.DefaultClient.CloseIdleConnections()
	if page, h := diGet(t, d.PageURL()); !strings.Contains(page, "Rien n’est encore arrivé.") || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%s\n%v", page, h)
	}
	c := hl7.NewClient(hl7.ClientConfig{Address: d.MLLPAddr(), AckTimeout: 5 * time.Second})
	defer c.Close()
	for n, p := range []greffe.Patient{diKnown(), {}} {
		m := hl7.MDM{Event: hl7.First, Control: fmt.Sprint("G", n), At: time.Now(), Mailbox: "a@b.example",
			Document: greffe.Document{UniqueID: greffe.OID{Root: fmt.Sprint("1.2.3.", n)}, Patient: p, Type: greffe.Code{Code: "1", Label: "<script>alert(1)</script>"}}}
		if _, err := c.Send(t.Context(), m.Control, func(w io.Writer) error {
			return m.Encode(w, hl7.Settings{Sending: "A^B", Receiving: "C^D"}, strings.NewReader("<x/>"))
		}); err != nil {
			t.Fatal(err)
		}
	}
	page, _ := diGet(t, d.PageURL())
	for _, want := range []string{"1.2.3.0", "ESSAI-KERVELLA MAELLE", "intégré", "903 INS absente", "<strong>1</strong> refus 903", "&lt;script&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if strings.Contains(page, "<script>") || strings.Contains(page, "style=") {
		t.Error("the page has a script or an inline style")
	}
	if css, _ := diGet(t, d.PageURL()+"style.css"); !strings.Contains(css, "table") {
		t.Error("no style sheet")
	}
}

// What is no message, or not a whole one, gets a technical answer or none, and
// the next one works.
func TestDISurvivesNonsense(t *testing.T) {
	t.Parallel()
	d := startDI(t)
	for name, c := range map[string]struct{ frame, answer string }{
		"no HL7":        {"\x0bbonjour\x1c\r", ""},
		"no segments":   {"\x0bMSH|^~\\&|A|B|C|D|2026||MDM^T02^MDM_T02|G1|T|2.6\r\x1c\r", "|100^"},
		"other event":   {"\x0bMSH|^~\\&|A|B|C|D|2026||ADT^A01|G1|T|2.6\r\x1c\r", "|201^"},
		"half a frame":  {"\x0bMSH|^~\\&|A|B|C|D", ""},
		"no document":   {mdm("OBX|1|ED|1||^text^XML^Base64^||||||F"), "|102^"},
		"not base64":    {mdm("OBX|1|ED|1||^text^XML^Base64^é=!!||||||F"), "|102^"},
		"no number":     {strings.Replace(mdm("OBX|1|ED|1||^text^XML^Base64^PHgvPg==||||||F"), "1.2.3", "", 1), "|101^"},
		"a good one":    {mdm("OBX|1|ED|1||^text^XML^Base64^PHgvPg==||||||F"), "MSA|AE|G1"}, // 903: the patient is missing
		"unknown T10":   {strings.Replace(mdm("OBX|1|ED|1||^text^XML^Base64^PHgvPg==||||||F"), "T02^", "T10^", 1), "|101^"},
		"two in a row":  {mdm("OBX|1|ED|1||^text^XML^Base64^PHgvPg==||||||F") + mdm("OBX|1|ED|1||^text^XML^Base64^PHgvPg==||||||F"), "MSA|AE|G1"},
		"empty message": {"\x0b\x1c\r", ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", d.MLLPAddr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			io.WriteString(conn, c.frame)
			conn.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(conn)
			if err != nil && c.answer != "" || !strings.Contains(string(got), c.answer) || c.answer == "" && len(got) > 0 {
				t.Errorf("answered %q, %v", got, err)
			}
		})
	}
	if s := d.Stats(); s.New != 0 {
		t.Errorf("%+v", s)
	}
}

func mdm(obx string) string {
	return "\x0bMSH|^~\\&|A|B|C|D|2026||MDM^T02^MDM_T02|G1|T|2.6\rEVN||2026\rPID|\rPV1|1|N\rORC|NW\rOBR|1\rTXA|1||TEXT|||||||||1.2.3\r" + obx + "\rPRT||UC\r\x1c\r"
}

// A reference whose document is not what it says, or is not there, is refused.
func TestDIChecksReferences(t *testing.T) {
	t.Parallel()
	d := startDI(t)
	console := http.NewServeMux()
	console.HandleFunc("GET /good", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<x/>") })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: console}
	done := make(chan struct{})
	go func() { s.Serve(ln); close(done) }()
	defer func() { s.Close(); <-done }()
	c, err := fhir.New(fhir.Config{Base: d.FHIRBase()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sum, _ := base64.StdEncoding.DecodeString("4mwSqOxpP5Z5Qfz2rJQ8ZgkN0ZI=") // not that of <x/>
	for name, sub := range map[string]fhir.Submission{
		"other hash": {URL: "http://" + ln.Addr().String() + "/good", SHA1: sum},
		"not there":  {URL: "http://" + ln.Addr().String() + "/absent"},
		"a file":     {URL: "file:///etc/hostname"},
	} {
		sub.UUID, sub.Document.UniqueID, sub.Document.Patient, sub.Document.Size = "11111111-0000-8000-8000-000000000001", greffe.OID{Root: "1.2"}, diKnown(), 4
		var e *fhir.Error
		_, err := c.Create(t.Context(), sub.Create(nil))
		if !errors.As(err, &e) || e.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, body := range []string{"", "{", `{"resourceType":"Patient"}`, `{"resourceType":"DocumentReference"}`} {
		for _, path := range []string{"", "/DocumentReference"} {
			resp, err := http.Post(d.FHIRBase()+path, "application/fhir+json", bytes.NewReader([]byte(body)))
			if err != nil {
				t.Fatal(err)
			}
			var o fhir.OperationOutcome
			if err := json.NewDecoder(resp.Body).Decode(&o); err != nil || resp.StatusCode/100 != 4 || len(o.Issue) == 0 {
				t.Errorf("%q: %d, %v", body, resp.StatusCode, err)
			}
			resp.Body.Close()
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
