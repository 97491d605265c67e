package clamd

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Version is what scans: the program and its signature base.
type Version struct {
	Engine string    // "ClamAV 1.4.6"
	Base   string    // version of the daily base, for example "27460"; empty when clamd names none (a local base only)
	Date   time.Time // of that base, in the time zone of clamd read as UTC; zero when it is not known
}

// Version asks clamd for its version. It is also the quickest way to learn whether
// clamd answers.
func (c *Client) Version(ctx context.Context) (Version, error) {
	k, err := c.open(ctx)
	if err != nil {
		return Version{}, err
	}
	defer k.close()
	if err := k.within(c.cfg.Stall); err != nil {
		return Version{}, k.why("ask for the version", err)
	}
	if _, err := k.Write([]byte("zVERSION\x00")); err != nil {
		return Version{}, k.why("ask for the version", err)
	}
	line, err := k.answer()
	if err != nil {
		return Version{}, err
	}
	return parseVersion(line)
}

// parseVersion reads "ClamAV 1.4.6/27460/Sun Nov 22 08:41:12 2026", or the first of
// its three fields alone.
func parseVersion(line string) (Version, error) {
	f := strings.SplitN(line, "/", 3)
	if !strings.HasPrefix(line, "ClamAV ") {
		return Version{}, fmt.Errorf("%w: %s", ErrAnswer, printable(line))
	}
	v := Version{Engine: printable(f[0])}
	if len(f) == 3 {
		v.Base = printable(f[1])
		// ctime(3): in local time, without saying which.
		if t, err := time.Parse(time.ANSIC, strings.TrimSpace(f[2])); err == nil {
			v.Date = t
		}
	}
	return v, nil
}

// French names the version for a person: "ClamAV 1.4.6, base 27460 du 22/11/2026".
func (v Version) French() string {
	switch {
	case v.Base == "":
		return v.Engine + ", base locale sans numéro"
	case v.Date.IsZero():
		return v.Engine + ", base " + v.Base
	}
	return v.Engine + ", base " + v.Base + " du " + v.Date.Format("02/01/2006")
}

// Age returns how old the signature base was at now; 0 when its date is not known.
func (v Version) Age(now time.Time) time.Duration {
	if v.Date.IsZero() {
		return 0
	}
	return max(0, now.Sub(v.Date))
}

// eicar is the EICAR test file (eicar.org, "Anti Malware Testfile") with some bits of
// each byte flipped, so that no program that holds it is taken for malware itself.
const eicar = "\x17\x7a\x00\x6e\x1f\x6a\x0f\x0e\x1f\x14\x7b\x13\x1f\x15\x17\x7a\x7b\x67\x1f\x11\x66\x78\x0c\x0c\x66\x78\x32\x6b\x0a\x06\x0c\x0e\x1d\x62" +
	"\x1c\x1b\x0e\x01\x0b\x0e\x1d\x0b\x62\x0e\x01\x1b\x06\x19\x06\x1d\x1a\x1c\x62\x1b\x0a\x1c\x1b\x62\x09\x06\x03\x0a\x6e\x6b\x07\x64\x07\x65"

// TestFile returns the EICAR test file, which every antivirus reports and which does
// nothing. It is put together when it is asked for.
func TestFile() []byte {
	b := []byte(eicar)
	for i := range b {
		b[i] ^= 0x4f
	}
	return b
}
