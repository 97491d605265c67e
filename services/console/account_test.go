package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/index"
)

// TestCodes holds the codes to RFC 6238 appendix B (SHA-1, the last six digits).
func TestCodes(t *testing.T) {
	t.Parallel()
	key := []byte("12345678901234567890")
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := totpCode(key, at/totpPeriod); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
	secret, now := base32Plain.EncodeToString(key), time.Unix(1111111111, 0)
	step := now.Unix() / totpPeriod
	for name, c := range map[string]struct {
		typed string
		last  int64
		want  bool
	}{
		"now": {totpCode(key, step), 0, true}, "before": {totpCode(key, step-1), 0, true}, "after": {totpCode(key, step+1), 0, true},
		"too old": {totpCode(key, step-2), 0, false}, "too new": {totpCode(key, step+2), 0, false}, "used": {totpCode(key, step), step, false},
		"older than a used one": {totpCode(key, step-1), step, false}, "empty": {"", 0, false}, "short": {"12345", 0, false},
	} {
		if _, got := matchCode(secret, c.typed, now, c.last); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if _, ok := matchCode("", totpCode(nil, step), now, 0); ok {
		t.Error("an empty secret accepts a code")
	}
	svg, err := qrSVG(otpURI("claire", secret))
	if err != nil || !strings.HasPrefix(string(svg), "<svg") || strings.Contains(string(svg), secret) {
		t.Errorf("QR code: %v", err)
	}
}

// code returns a code of the account, of now or the next step.
func (w *world) code(login string, next int64) string {
	w.t.Helper()
	u, err := w.db.User(w.t.Context(), login)
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := base32Plain.DecodeString(u.TOTP)
	if err != nil {
		w.t.Fatal(err)
	}
	return totpCode(key, time.Now().Unix()/totpPeriod+next)
}

// enrol sets up a second factor as a person does and returns the recovery codes.
func (v *visitor) enrol(login string) []string {
	v.w.t.Helper()
	shown := find(v.page("/compte/second-facteur"), ".secret")
	if len(shown) != 1 {
		v.w.t.Fatal("no secret to type")
	}
	secret := strings.ReplaceAll(text(shown[0]), " ", "")
	key, err := base32Plain.DecodeString(secret)
	if err != nil {
		v.w.t.Fatal(err)
	}
	if got := v.post("/compte/second-facteur", url.Values{"code": {"000000"}}); got.StatusCode != http.StatusUnprocessableEntity && totpCode(key, time.Now().Unix()/totpPeriod) != "000000" {
		v.w.t.Fatalf("a wrong code: status %d", got.StatusCode)
	}
	got := v.post("/compte/second-facteur", url.Values{"code": {totpCode(key, time.Now().Unix()/totpPeriod)}})
	if got.StatusCode != http.StatusOK {
		v.w.t.Fatalf("the right code: status %d", got.StatusCode)
	}
	var codes []string
	for _, n := range find(parse(v.w.t, got.body), ".codes code") {
		codes = append(codes, text(n))
	}
	return codes
}

func TestSecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v, other := w.as("claire"), w.as("claire")
	before := v.cookie(t)
	codes := v.enrol("claire")
	if len(codes) != recoveryCodes || !w.journalled("claire", "factor-added", "claire", "ok") {
		t.Fatalf("%d recovery codes", len(codes))
	}
	if v.get("/file").StatusCode != http.StatusOK || v.cookie(t) == before {
		t.Error("the session that set it up did not go on with a new token")
	}
	if got := other.get("/file").Header.Get("Location"); !strings.HasPrefix(got, "/connexion") {
		t.Errorf("another session of the account goes to %q", got)
	}
	u, err := w.db.User(t.Context(), "claire")
	if err != nil || slices.ContainsFunc(u.Recovery, func(s string) bool { return slices.Contains(codes, s) }) {
		t.Errorf("the index holds recovery codes as they are, %v", err)
	}

	login := func() (*visitor, string) {
		v := w.visitor()
		a := v.post("/connexion", url.Values{"login": {"claire"}, "mot-de-passe": {password}, "vers": {"/recherche"}})
		if a.Header.Get("Location") != "/connexion/code" {
			t.Fatalf("after the password: status %d to %q", a.StatusCode, a.Header.Get("Location"))
		}
		return v, v.cookie(t)
	}
	try := func(v *visitor, code string) answer { return v.post("/connexion/code", url.Values{"code": {code}}) }
	v, half := login()
	if got := v.get("/file").StatusCode; got != http.StatusSeeOther {
		t.Errorf("half a login opens the queue: status %d", got)
	}
	if got := try(v, "abcdef"); got.StatusCode != http.StatusUnauthorized || !w.journalled("", "login", "claire", "refused") {
		t.Errorf("a wrong code: status %d", got.StatusCode)
	}
	now := w.code("claire", 1) // that of now was used to set it up
	if got := try(v, now[:3]+" "+now[3:]); got.Header.Get("Location") != "/recherche" || v.cookie(t) == half {
		t.Errorf("the code: status %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	v.page("/recherche")
	replay, _ := login()
	if got := try(replay, now); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("the same code again: status %d", got.StatusCode)
	}
	if got := try(replay, codes[0]); got.StatusCode != http.StatusSeeOther || !w.journalled("claire", "recovery-used", "claire", "ok") {
		t.Errorf("a recovery code: status %d", got.StatusCode)
	}
	replay, _ = login()
	if got := try(replay, codes[0]); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("the same recovery code again: status %d", got.StatusCode)
	}
	// Knowing the password gives no more tries of the code.
	for range maxPair {
		replay, _ = login()
		try(replay, "000000")
	}
	if got := try(replay, codes[1]); got.StatusCode != http.StatusTooManyRequests || !w.journalled("", "login", "claire", "locked") {
		t.Errorf("after %d wrong codes: status %d", maxPair, got.StatusCode)
	}
	if got := w.visitor().get("/connexion/code").Header.Get("Location"); got != "/connexion" {
		t.Errorf("a code without a password: to %q", got)
	}
	// A code opens a locked screen, too.
	v.post("/verrou", nil)
	if got := v.post("/verrou/ouverture", url.Values{"code": {codes[2]}}); got.StatusCode != http.StatusSeeOther {
		t.Errorf("unlocking by a code: status %d", got.StatusCode)
	}
	if got := v.post("/compte/second-facteur/retrait", url.Values{"mot-de-passe": {"un autre mot de passe"}}).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("taking it away with a wrong password: status %d", got)
	}
	a := v.post("/compte/second-facteur/secours", url.Values{"mot-de-passe": {password}})
	if fresh := find(parse(t, a.body), ".codes code"); len(fresh) != recoveryCodes || text(fresh[0]) == codes[3] {
		t.Errorf("new recovery codes: %d", len(fresh))
	}
	if got := v.post("/compte/second-facteur/retrait", url.Values{"mot-de-passe": {password}}).StatusCode; got != http.StatusSeeOther {
		t.Errorf("taking it away: status %d", got)
	}
	w.as("claire")
}

// TestRolesThatNeedASecondFactor: who has none sets one up before anything else.
func TestRolesThatNeedASecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.SecondFactor = []string{"auditor", "admin"} })
	w.as("claire").page("/file")
	paul := w.as("paul")
	for _, p := range []string{"/file", "/journal", "/recherche", "/aide"} {
		if got := paul.get(p).Header.Get("Location"); got != "/compte/second-facteur" {
			t.Errorf("%s before the second factor: to %q", p, got)
		}
	}
	if got := paul.post("/journal", nil).StatusCode; got != http.StatusForbidden {
		t.Errorf("a form before the second factor: status %d", got)
	}
	if got := paul.get("/file/flux").StatusCode; got != http.StatusForbidden {
		t.Errorf("the stream before the second factor: status %d", got)
	}
	paul.enrol("paul")
	paul.page("/journal")
	if got := paul.post("/compte/second-facteur/retrait", url.Values{"mot-de-passe": {password}}).StatusCode; got != http.StatusConflict {
		t.Errorf("taking away what the role needs: status %d", got)
	}
}

func TestChangingOnesPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.db.ChangeUser(t.Context(), "claire", func(u *index.User) ([]index.Entry, error) { u.Renew = true; return nil, nil }); err != nil {
		t.Fatal(err)
	}
	v, other := w.as("claire"), w.as("claire")
	if got := v.get("/file").Header.Get("Location"); got != "/compte" {
		t.Errorf("with a password of somebody else's choice: to %q", got)
	}
	const fresh = "encore un mot de passe"
	form := func(old, one, two string) url.Values {
		return url.Values{"mot-de-passe": {old}, "nouveau-mot-de-passe": {one}, "nouveau-mot-de-passe-2": {two}}
	}
	for name, c := range map[string]struct {
		form url.Values
		want int
	}{
		"wrong":  {form("un autre mot de passe", fresh, fresh), http.StatusUnauthorized},
		"short":  {form(password, "court", "court"), http.StatusUnprocessableEntity},
		"differ": {form(password, fresh, fresh+"x"), http.StatusUnprocessableEntity},
		"same":   {form(password, password, password), http.StatusUnprocessableEntity},
	} {
		if got := v.post("/compte/mot-de-passe", c.form).StatusCode; got != c.want {
			t.Errorf("%s: status %d, want %d", name, got, c.want)
		}
	}
	before := v.cookie(t)
	if got := v.post("/compte/mot-de-passe", form(password, fresh, fresh)); got.StatusCode != http.StatusSeeOther || v.cookie(t) == before {
		t.Errorf("status %d, or the token is the same", got.StatusCode)
	}
	v.page("/file")
	if got := other.get("/compte").Header.Get("Location"); !strings.HasPrefix(got, "/connexion") {
		t.Errorf("another session of the account goes to %q", got)
	}
	if !w.journalled("claire", "password-changed", "claire", "ok") || !w.journalled("claire", "password-changed", "claire", "refused") {
		t.Error("not in the journal")
	}
	if got := w.visitor().post("/connexion", url.Values{"login": {"claire"}, "mot-de-passe": {fresh}}).StatusCode; got != http.StatusSeeOther {
		t.Errorf("login with the new password: status %d", got)
	}
}
