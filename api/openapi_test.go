package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"greffe/api"
)

var update = flag.Bool("update", false, "record the version of what was changed")

// described are the descriptions whose version says that they changed, with the file that
// records the version and the digest of each.
var described = map[string]struct {
	text []byte
	lock string
}{
	"openapi.yaml": {api.OpenAPI, "openapi.lock"},
}

// A changed description has a new version: who wrote a client can tell.
func TestAChangedDescriptionHasANewVersion(t *testing.T) {
	t.Parallel()
	for name, d := range described {
		var spec struct {
			Info struct {
				Version string `yaml:"version"`
			} `yaml:"info"`
		}
		if err := yaml.Unmarshal(d.text, &spec); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(d.text)
		version, digest := spec.Info.Version, hex.EncodeToString(sum[:])
		old, err := os.ReadFile(d.lock)
		if err != nil && !*update {
			t.Fatal(err)
		}
		was, wasDigest, _ := strings.Cut(strings.TrimSpace(string(old)), " ")
		switch {
		case digest == wasDigest && version == was:
		case version == was:
			t.Errorf("%s changed and its info.version is still %s. Raise it (a field or address more: the middle number; words alone: the last; anything taken away or changed: a new /api/v2), then record it: go test ./api -run Version -update", name, version)
		case !*update:
			t.Errorf("%s has the new version %s. Record it: go test ./api -run Version -update", name, version)
		default:
			if err := os.WriteFile(d.lock, fmt.Appendf(nil, "%s %s\n", version, digest), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The description holds together: every reference leads somewhere, every component is
// used, every operation has a name of its own, a summary, and says what an error is.
func TestTheDescriptionHoldsTogether(t *testing.T) {
	t.Parallel()
	var tree map[string]any
	if err := yaml.Unmarshal(api.OpenAPI, &tree); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
				at := any(tree)
				for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[step]
				}
				if at == nil || !strings.HasPrefix(ref, "#/") {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(tree)
	for kind, list := range tree["components"].(map[string]any) {
		for name := range list.(map[string]any) {
			if ref := "#/components/" + kind + "/" + name; kind != "securitySchemes" && !used[ref] {
				t.Errorf("nothing uses %s", ref)
			}
		}
	}
	names := map[string]bool{}
	for path, item := range tree["paths"].(map[string]any) {
		for method, x := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			op := x.(map[string]any)
			name, _ := op["operationId"].(string)
			if name == "" || names[name] || op["summary"] == nil || op["tags"] == nil {
				t.Errorf("%s %s: operationId %q, summary %v, tags %v", method, path, name, op["summary"], op["tags"])
			}
			names[name] = true
			if op["responses"].(map[string]any)["default"] == nil {
				t.Errorf("%s %s does not say what an error is", method, path)
			}
			if method == "post" && op["requestBody"] == nil {
				t.Errorf("%s %s has no body", method, path)
			}
		}
	}
	if len(names) < 15 {
		t.Errorf("%d operations", len(names))
	}
}
