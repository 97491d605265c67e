package console

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"greffe/api"
	"greffe/pkg/index"
)

// spec is api/openapi.yaml as the tests read it. Its methods may be called at once.
type spec struct {
	mu       sync.Mutex
	tree     map[string]any
	compiler *jsonschema.Compiler
	paths    map[string]*regexp.Regexp
}

var theSpec = sync.OnceValue(func() *spec {
	s := &spec{compiler: jsonschema.NewCompiler(), paths: map[string]*regexp.Regexp{}}
	if err := yaml.Unmarshal(api.OpenAPI, &s.tree); err != nil {
		panic(err)
	}
	text, err := json.Marshal(s.tree)
	if err != nil {
		panic(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	s.compiler.AssertFormat()
	if err := s.compiler.AddResource("openapi.json", doc); err != nil {
		panic(err)
	}
	for path := range s.tree["paths"].(map[string]any) {
		s.paths[path] = regexp.MustCompile("^" + regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`) + "$")
	}
	return s
})

// at follows a path of names, and references on the way; it returns the pointer too.
func (s *spec) at(steps ...string) (any, string) {
	var v any = s.tree
	pointer := "#"
	for _, step := range steps {
		m, _ := v.(map[string]any)
		if v = m[step]; v == nil {
			return nil, ""
		}
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
		if m, ok := v.(map[string]any); ok && m["$ref"] != nil && len(m) == 1 {
			pointer = m["$ref"].(string)
			v, _ = s.at(strings.Split(strings.TrimPrefix(pointer, "#/"), "/")...)
		}
	}
	return v, pointer
}

// path returns the path of the description that an address is of.
func (s *spec) path(address string) string {
	address, _, _ = strings.Cut(address, "?")
	if s.paths[address] != nil {
		return address
	}
	for path, re := range s.paths {
		if strings.Contains(path, "{") && re.MatchString(address) {
			return path
		}
	}
	return ""
}

func (s *spec) validate(pointer string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	schema, err := s.compiler.Compile("openapi.json" + pointer)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// hold holds an answer against the description: its status, type, headers and body.
func (s *spec) hold(t testing.TB, method, address string, a answer) {
	t.Helper()
	path := s.path(address)
	if path == "" {
		if a.StatusCode != http.StatusNotFound {
			t.Errorf("%s is not described: status %d", address, a.StatusCode)
		}
		path, method = "/api/v1/queue", "GET" // any error is described alike
	}
	if method == "HEAD" {
		method = "GET"
	}
	op, _ := s.at("paths", path, strings.ToLower(method))
	if op == nil { // a method that the address does not have
		method = map[string]string{"GET": "POST"}[method]
		if method == "" {
			method = "GET"
		}
	}
	at := []string{"paths", path, strings.ToLower(method), "responses", strconv.Itoa(a.StatusCode)}
	if v, _ := s.at(at...); v == nil {
		if a.StatusCode < 400 {
			t.Errorf("%s %s: status %d is not described", method, path, a.StatusCode)
			return
		}
		at[4] = "default"
	}
	headers, _ := s.at(append(at, "headers")...)
	named, _ := headers.(map[string]any)
	for name := range named {
		h, _ := s.at(append(slices.Clone(at), "headers", name)...)
		if h.(map[string]any)["required"] == true && a.Header.Get(name) == "" {
			t.Errorf("%s %s: no %s", method, path, name)
		}
	}
	content, _ := s.at(append(slices.Clone(at), "content")...)
	types, _ := content.(map[string]any)
	media, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	if types == nil {
		if a.body != "" {
			t.Errorf("%s %s: status %d has a body: %.200s", method, path, a.StatusCode, a.body)
		}
		return
	}
	if types["*/*"] != nil {
		return
	}
	if types[media] == nil {
		t.Errorf("%s %s: status %d of type %q is not described, but %v: %.300s", method, path, a.StatusCode, media, slices.Collect(maps.Keys(types)), a.body)
		return
	}
	if !strings.Contains(media, "json") || a.Request.Method == "HEAD" {
		return
	}
	_, pointer := s.at(append(slices.Clone(at), "content", media, "schema")...)
	if err := s.validate(pointer, []byte(a.body)); err != nil {
		t.Errorf("%s %s: status %d: %v\n%.2000s", method, path, a.StatusCode, err, a.body)
	}
}

// holdRequest holds the body of a request that must be taken against the description.
func (s *spec) holdRequest(t testing.TB, method, address string, body []byte) {
	t.Helper()
	_, pointer := s.at("paths", s.path(address), strings.ToLower(method), "requestBody", "content", "application/json", "schema")
	if err := s.validate(pointer, body); err != nil {
		t.Errorf("%s %s asks what is not described: %v\n%s", method, address, err, body)
	}
}

// script is a program with a token. Every answer that it gets is held against the
// description.
type script struct {
	*visitor
	token  index.Token
	secret string
}

// script makes a token and who uses it.
func (w *world) script(role string, places ...string) *script {
	w.t.Helper()
	secret, k := NewToken()
	k.Name, k.Role, k.Places, k.By, k.Expires = "Essai "+role, role, places, "root", time.Now().Add(time.Hour)
	if err := w.db.AddToken(w.t.Context(), k); err != nil {
		w.t.Fatal(err)
	}
	return &script{w.visitor(), k, secret}
}

func (s *script) ask(method, path string, body any, header ...string) answer {
	s.w.t.Helper()
	limits := &s.w.console.tokenRates // a fast machine asks more often than a script may: TestAPILimits
	limits.mu.Lock()
	clear(limits.buckets)
	limits.mu.Unlock()
	var r io.Reader
	sent, _ := body.([]byte)
	if body != nil {
		if sent == nil {
			var err error
			if sent, err = json.Marshal(body); err != nil {
				s.w.t.Fatal(err)
			}
		}
		r = bytes.NewReader(sent)
		header = append([]string{"Content-Type", "application/json"}, header...)
	}
	a := s.do(method, path, r, append([]string{"Authorization", "Bearer " + s.secret}, header...)...)
	theSpec().hold(s.w.t, method, path, a)
	if sent != nil && a.StatusCode < 300 {
		theSpec().holdRequest(s.w.t, method, path, sent)
	}
	return a
}

// must asks for what must be given, and reads it.
func (s *script) must(status int, into any, method, path string, body any, header ...string) answer {
	s.w.t.Helper()
	a := s.ask(method, path, body, header...)
	if a.StatusCode != status {
		s.w.t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.StatusCode, status, a.body)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(a.body), into); err != nil {
			s.w.t.Fatal(err)
		}
	}
	return a
}

// refused asks for what must be refused, with a code.
func (s *script) refused(status int, code, method, path string, body any, header ...string) problem {
	s.w.t.Helper()
	a := s.ask(method, path, body, header...)
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		s.w.t.Fatalf("%s %s: status %d: %v: %s", method, path, a.StatusCode, err, a.body)
	}
	if a.StatusCode != status || p.Code != code || p.Status != status || p.Detail == "" {
		s.w.t.Errorf("%s %s: status %d, %+v, want %d %s", method, path, a.StatusCode, p, status, code)
	}
	return p
}

// exec changes the index as only a test does.
func (w *world) exec(query string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "index.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(w.t.Context(), "PRAGMA busy_timeout = 10000; "+query); err != nil {
		w.t.Fatal(err)
	}
}

// spoil changes the bytes of an archived object of the same length, as somebody with
// access to the disk may.
func (w *world) spoil(key string) {
	w.t.Helper()
	path := filepath.Join(w.dir, "archive", filepath.FromSlash(key))
	b, err := os.ReadFile(path)
	if err == nil {
		b[len(b)/2] ^= 1
		err = os.Chmod(path, 0o600)
	}
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}
