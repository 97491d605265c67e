package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	// yaml reads the configuration: strict on duplicate keys, and its nodes carry
	// the line of every value, which our messages give.
	"go.yaml.in/yaml/v3"
)

// maxConfig bounds a configuration file.
const maxConfig = 1 << 20

// ConfigError is a configuration that cannot be used. Its text lists every
// mistake with file, line, key and what was expected.
type ConfigError struct{ Problems []string }

func (e *ConfigError) Error() string { return strings.Join(e.Problems, "\n") }

// loadConfig reads the configuration file, or when path is empty the greffe.yaml
// of the data directory dir, or when there is none the defaults on that directory.
func loadConfig(path, dir string) (*Config, error) {
	cfg := defaults()
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
		cfg.DataDir = abs
		if path == "" {
			path = filepath.Join(abs, "greffe.yaml")
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
				path = ""
			}
		}
	}
	lines := map[string]int{}
	var problems []string
	if path != "" {
		raw, err := readBounded(path)
		if err != nil {
			return nil, &ConfigError{[]string{fmt.Sprintf("%s : le fichier de configuration ne peut pas être lu (%s)", path, reason(err))}}
		}
		problems = decodeConfig(raw, path, &cfg, lines)
		if dir != "" { // the flag wins over the file
			cfg.DataDir, _ = filepath.Abs(dir)
		}
		base := filepath.Dir(path)
		resolvePaths(reflect.ValueOf(&cfg).Elem(), base)
	}
	cfg.setDefaults()
	if len(problems) == 0 {
		for _, p := range cfg.validate() {
			problems = append(problems, at(path, lines, p))
		}
	}
	if len(problems) > 0 {
		return nil, &ConfigError{problems}
	}
	return &cfg, nil
}

func readBounded(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxConfig {
		return nil, fmt.Errorf("plus de %d octets", maxConfig)
	}
	return os.ReadFile(path)
}

// at writes a problem with the place in the file where its key, or the nearest
// key above it, stands.
func at(path string, lines map[string]int, p problem) string {
	where := "configuration"
	if path != "" {
		where = path
		for key := p.key; ; {
			if n, ok := lines[key]; ok {
				where += ":" + strconv.Itoa(n)
				break
			}
			i := strings.LastIndexAny(key, ".[")
			if i < 0 {
				break
			}
			key = key[:i]
		}
	}
	return fmt.Sprintf("%s : %s : %s", where, p.key, p.text)
}

// decodeConfig reads raw into cfg, notes the line of every key in lines and
// returns the mistakes.
func decodeConfig(raw []byte, path string, cfg *Config, lines map[string]int) []string {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&doc); err != nil {
		if len(bytes.TrimSpace(raw)) == 0 || err.Error() == "EOF" {
			return nil
		}
		return []string{fmt.Sprintf("%s : le fichier n'est pas du YAML (%s)", path, strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	if err := dec.Decode(new(yaml.Node)); err == nil {
		return []string{path + " : un seul document YAML est attendu"}
	}
	d := decoder{path: path, lines: lines}
	if len(doc.Content) > 0 {
		d.value(doc.Content[0], reflect.ValueOf(cfg).Elem(), "")
	}
	return d.problems
}

type decoder struct {
	path     string
	lines    map[string]int
	problems []string
}

func (d *decoder) bad(n *yaml.Node, key, format string, args ...any) {
	if key == "" {
		key = "racine"
	}
	d.problems = append(d.problems, fmt.Sprintf("%s:%d : %s : %s", d.path, n.Line, key, fmt.Sprintf(format, args...)))
}

var unmarshaler = reflect.TypeFor[yaml.Unmarshaler]()

// value decodes n into v, key by key, so that each mistake is told with its place.
func (d *decoder) value(n *yaml.Node, v reflect.Value, key string) {
	d.lines[key] = n.Line
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.bad(n, key, "ancres et alias YAML ne sont pas admis")
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // an empty value keeps the default
	}
	switch {
	case reflect.PointerTo(v.Type()).Implements(unmarshaler):
		if n.Kind != yaml.ScalarNode {
			d.bad(n, key, "une valeur simple est attendue")
		} else if err := v.Addr().Interface().(yaml.Unmarshaler).UnmarshalYAML(n); err != nil {
			d.bad(n, key, "%s", err)
		}
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, key)
	case v.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.bad(n, key, "une liste est attendue")
			return
		}
		if len(n.Content) == 0 {
			v.SetZero() // one form of the empty list
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", key, i))
		}
		v.Set(list)
	default:
		if n.Kind != yaml.ScalarNode {
			d.bad(n, key, "une valeur simple est attendue")
		} else if err := n.Decode(v.Addr().Interface()); err != nil {
			d.bad(n, key, "%s est attendu", map[reflect.Kind]string{reflect.Bool: "true ou false", reflect.Int: "un nombre entier", reflect.String: "un texte"}[v.Kind()])
		}
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.MappingNode {
		d.bad(n, key, "des clés sont attendues (%s)", strings.Join(keysOf(v.Type()), ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		full := name.Value
		if key != "" {
			full = key + "." + name.Value
		}
		if seen[name.Value] {
			d.bad(name, full, "clé donnée deux fois")
			continue
		}
		seen[name.Value] = true
		f, ok := fieldOf(v.Type(), name.Value)
		if !ok {
			d.bad(name, full, "clé inconnue ; clés admises ici : %s", strings.Join(keysOf(v.Type()), ", "))
			continue
		}
		d.value(value, v.FieldByIndex(f.Index), full)
		d.lines[full] = name.Line
	}
}

func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if f.Tag.Get("yaml") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		keys = append(keys, f.Tag.Get("yaml"))
	}
	return keys
}

// pathKeys are the keys whose values name files: relative ones are read from the
// folder of the configuration file, so that the file means the same from anywhere.
var pathKeys = map[string]bool{
	"data_dir": true, "ca": true, "certificate": true, "password_file": true, "token_file": true,
	"credentials": true, "access_key_file": true, "secret_key_file": true, "client_secret_file": true, "read_token_file": true,
}

func resolvePaths(v reflect.Value, base string) {
	switch v.Kind() {
	case reflect.Struct:
		for f := range v.Type().Fields() {
			field := v.FieldByIndex(f.Index)
			if pathKeys[f.Tag.Get("yaml")] && field.String() != "" && !filepath.IsAbs(field.String()) {
				if abs, err := filepath.Abs(filepath.Join(base, field.String())); err == nil {
					field.SetString(abs)
				}
				continue
			}
			resolvePaths(field, base)
		}
	case reflect.Slice:
		for i := range v.Len() {
			resolvePaths(v.Index(i), base)
		}
	}
}

// annotated writes the configuration as YAML with each key's explanation above it.
func annotated(cfg *Config) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(nodeOf(reflect.ValueOf(*cfg), true)); err != nil {
		return nil, err
	}
	// A blank line before each top-level key: the file is read by people.
	var out []byte
	wasComment := true
	for line := range bytes.Lines(b.Bytes()) {
		comment := line[0] == '#'
		if comment && !wasComment {
			out = append(out, '\n')
		}
		out, wasComment = append(out, line...), comment
	}
	return out, nil
}

func nodeOf(v reflect.Value, docs bool) *yaml.Node {
	if _, ok := v.Interface().(yaml.Marshaler); !ok {
		switch v.Kind() {
		case reflect.Struct:
			n := &yaml.Node{Kind: yaml.MappingNode}
			for f := range v.Type().Fields() {
				name := &yaml.Node{Kind: yaml.ScalarNode, Value: f.Tag.Get("yaml")}
				if docs {
					name.HeadComment = wrap(f.Tag.Get("doc"), 100)
				}
				n.Content = append(n.Content, name, nodeOf(v.FieldByIndex(f.Index), docs))
			}
			return n
		case reflect.Slice:
			n := &yaml.Node{Kind: yaml.SequenceNode}
			for i := range v.Len() {
				// The second element of a list needs no explanation again.
				n.Content = append(n.Content, nodeOf(v.Index(i), docs && i == 0))
			}
			if v.Len() == 0 {
				n.Style = yaml.FlowStyle
			}
			return n
		}
	}
	n := new(yaml.Node)
	if err := n.Encode(v.Interface()); err != nil {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: err.Error()}
	}
	return n
}

// wrap breaks text into comment lines of at most width characters.
func wrap(text string, width int) string {
	var lines []string
	line := "#"
	for _, w := range strings.Fields(text) {
		if len([]rune(line))+1+len([]rune(w)) > width && line != "#" {
			lines = append(lines, line)
			line = "#"
		}
		line += " " + w
	}
	return strings.Join(append(lines, line), "\n")
}
