package fhir

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBriefLeavesShortTextAlone(t *testing.T) {
	t.Parallel()
	const text = `{"a":"x\"y\\","b":["\u00e9",{"c":"` + "\\\\" + `"}],"n":12.5,"é":null}`
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text))} {
		if b, err := io.ReadAll(&brief{r: r}); err != nil || string(b) != text {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
}

// Wherever a long text is cut, what is left is JSON with all that is not long.
func FuzzBrief(f *testing.F) {
	f.Add("é\"\\\n", uint16(7), "after")
	f.Add("\u2028", uint16(3), "\\")
	f.Fuzz(func(t *testing.T, piece string, lead uint16, after string) {
		if piece == "" || len(piece) > 100 || len(after) > 1000 {
			return
		}
		long := strings.Repeat("x", int(lead)%64) + strings.Repeat(piece, 2*maxText/len(piece))
		in, err := json.Marshal(map[string]string{"data": long, "after": after})
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(&brief{r: strings.NewReader(string(in))})
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]string
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: …%q", err, out[max(0, len(out)-50):])
		}
		json.Unmarshal(in, &want)
		if got["after"] != want["after"] || len(out) > maxText+len(after)*6+100 || !strings.HasPrefix(want["data"], strings.TrimRight(got["data"], "\ufffd")) {
			t.Errorf("%d bytes are left, after %q", len(out), got["after"])
		}
	})
}

// A server that keeps documents inside their references gives megabytes back with each.
func TestSearchAnswerWithDocumentsInside(t *testing.T) {
	t.Parallel()
	document := strings.Repeat("QUJD", 3<<20/4)
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"resourceType":"Bundle","type":"searchset","entry":[`)
		for n := range 4 {
			if n > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"resource":{"resourceType":"DocumentReference","content":[{"attachment":{"data":"%s"}}],"id":"%d","status":"current","identifier":[{"system":"s","value":"v"}]}}`, document, n)
		}
		fmt.Fprint(w, `]}`)
	})
	found, err := c.FindReferences(t.Context(), Identifier{System: "s", Value: "v"})
	if err != nil || len(found) != 4 || found[3].Location != "DocumentReference/3" {
		t.Errorf("%+v, %v", found, err)
	}
}
