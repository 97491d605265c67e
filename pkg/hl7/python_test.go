package hl7

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// An independent receiver: the MLLP server of Debian's python3-hl7. It prints its
// port, then one line for each message it understood.
const pythonReceiver = `
import asyncio, base64, hashlib, hl7, hl7.mllp
async def serve(reader, writer):
    try:
        while True:
            m = await reader.readmessage()
            obx = m.segments('OBX')[0]
            doc = base64.b64decode(str(obx[5][0][4]))
            print(m.extract_field('MSH', 1, 9, 1, 2), m.extract_field('MSH', 1, 10), m.extract_field('PID', 1, 3, 1, 1),
                  len(m.segments('PRT')), len(m.segments('OBX')), hashlib.sha256(doc).hexdigest(),
                  m.extract_field('OBR', 1, 4, 1, 2), sep='|', flush=True)
            writer.writemessage(m.create_ack('AA'))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    s = await hl7.mllp.start_hl7_server(serve, host='127.0.0.1', port=0, limit=8<<20, encoding='utf-8')
    print(s.sockets[0].getsockname()[1], flush=True)
    await s.serve_forever()
asyncio.run(main())
`

func TestIndependentReceiver(t *testing.T) {
	if os.Getenv("GREFFE_TEST_PYHL7") == "" {
		t.Skip("GREFFE_TEST_PYHL7 is not set")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", "-c", pythonReceiver)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the receiver did not start")
	}
	c := NewClient(ClientConfig{Address: "127.0.0.1:" + lines.Text()})
	defer c.Close()
	m, s := sample()
	m.Mail.Subject = `barre | accent ^ et & tilde ~ contre \ fin`
	const document = "<ClinicalDocument/>"
	for i := range 3 {
		m.Control = fmt.Sprint("PY", i)
		a, err := c.Send(ctx, m.Control, func(w io.Writer) error { return m.Encode(w, s, strings.NewReader(document)) })
		if err != nil || a.Code != "AA" || a.Control != m.Control {
			t.Fatalf("%+v, %v", a, err)
		}
		if !lines.Scan() {
			t.Fatal("the receiver said nothing")
		}
		want := "T02|" + m.Control + "|285022999907751|3|6|" + string(greffe.DigestOf([]byte(document))) + "|CR d'imagerie médicale"
		if got := lines.Text(); got != want {
			t.Errorf("the receiver understood %q, want %q", got, want)
		}
	}
}
