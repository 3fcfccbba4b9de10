package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/respgate/respgate/tenant"
)

const (
	// MaxSize bounds a file, in bytes.
	MaxSize = 4 << 20
	// maxNodes bounds what is looked at: a file has no more unless its aliases stand for
	// much, since each takes two bytes.
	maxNodes = MaxSize / 2
	// maxProblems bounds how many things that are wrong are told at once.
	maxProblems = 5
	// maxWords bounds what is told of one thing that is wrong, in bytes.
	maxWords = 400
)

// References are where the URLs are that a file refers to.
type References struct {
	Env  func(name string) (value string, set bool)
	File func(path string) ([]byte, error) // its error names no path
}

// Read reads a file's documents, and what its URLs refer to. The error says, for each thing
// that is wrong, where: the file's name, the line, and the field. No secret is in it.
func Read(name string, text []byte, refs References) ([]Organization, error) {
	return readWithin(maxNodes, name, text, refs)
}

func readWithin(nodes int, name string, text []byte, refs References) ([]Organization, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%s: it is larger than %d bytes", name, MaxSize)
	}
	r := &reader{name: name, refs: refs, nodes: nodes, organizations: map[string]int{}, certificates: map[string]int{}}
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var all []Organization
	for read := 0; ; read++ {
		var doc yaml.Node
		err := documents.Decode(&doc)
		if errors.Is(err, io.EOF) {
			if read == 0 {
				return nil, fmt.Errorf("%s: it is empty: want organizations", name)
			}
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(doc.Content) == 1 && !null(doc.Content[0]) { // nothing may stand between two ---
			fill(r, doc.Content[0], "", documentFields(), &all)
		}
	}
	return all, r.err()
}

// reader collects what is wrong with a file.
type reader struct {
	name          string
	refs          References
	nodes         int            // that may be looked at yet
	organizations map[string]int // the lines of those that were read, of all documents
	certificates  map[string]int // likewise, of keys' certificates' names
	problems      []string
	more          int // problems that are not told
}

// wrong notes what is wrong at a node, which is the field at.
func (r *reader) wrong(n *yaml.Node, at, format string, args ...any) {
	if len(r.problems) == maxProblems {
		r.more++
		return
	}
	if at != "" {
		at += ": "
	}
	r.problems = append(r.problems, r.place(n, at)+clip(fmt.Sprintf(format, args...)))
}

// place is where a node is.
func (r *reader) place(n *yaml.Node, at string) string {
	return r.name + ":" + strconv.Itoa(n.Line) + ": " + at
}

func (r *reader) err() error {
	if r.nodes < 0 {
		return fmt.Errorf("%s: its aliases stand for too much", r.name)
	}
	if len(r.problems) == 0 {
		return nil
	}
	text := strings.Join(r.problems, "; ")
	if r.more > 0 {
		text += fmt.Sprintf("; and %d more", r.more)
	}
	return errors.New(text)
}

// node is what a node stands for.
func (r *reader) node(n *yaml.Node) *yaml.Node {
	r.nodes--
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// field is one of a mapping's, and how it is compared.
type field[T any] struct {
	name    string // in a file, and in a plan
	api     string // what the API calls it; "" is name
	initial string // what a plan calls its default
	needed  bool   // it has no default
	// read has the value that n stands for be v's. It is not called with null.
	read func(r *reader, n *yaml.Node, at string, v *T)
	// value is v's, as the API takes it. nil: it is not compared.
	value func(v *T) any
}

// fill reads a mapping.
func fill[T any](r *reader, n *yaml.Node, at string, fields []field[T], v *T) {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.name)
	}
	want := strings.Join(names, ", ")
	if n = r.node(n); n.Kind != yaml.MappingNode {
		r.wrong(n, at, "want a mapping, of %s", want)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && r.nodes >= 0; i += 2 {
		key, value := r.node(n.Content[i]), r.node(n.Content[i+1])
		known := slices.Index(names, key.Value)
		switch {
		case key.Kind != yaml.ScalarNode, known < 0:
			r.wrong(key, at, "unknown field %q: want %s", key.Value, want)
			continue
		case seen[key.Value]:
			r.wrong(key, join(at, key.Value), "it is there twice")
			continue
		}
		seen[key.Value] = true
		switch {
		case null(value) && fields[known].needed:
			r.wrong(value, join(at, key.Value), "it is missing")
		case !null(value):
			fields[known].read(r, value, join(at, key.Value), v)
		}
	}
	for _, f := range fields {
		if f.needed && !seen[f.name] {
			r.wrong(n, join(at, f.name), "it is missing")
		}
	}
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// list reads a list of mappings with names, which must not come twice: lines has those that
// were there before.
func list[T any](r *reader, n *yaml.Node, at string, fields []field[T], nameOf func(*T) string, lines map[string]int) (all []T) {
	if n.Kind != yaml.SequenceNode {
		r.wrong(n, at, "want a list")
		return nil
	}
	for i, item := range n.Content {
		if r.nodes < 0 {
			break
		}
		item = r.node(item)
		at := at + "[" + label(item, i) + "]"
		var v T
		fill(r, item, at, fields, &v)
		if name := nameOf(&v); name != "" {
			if line, twice := lines[name]; twice {
				r.wrong(item, at, "there is one of that name in line %d already", line)
			}
			lines[name] = item.Line
		}
		all = append(all, v)
	}
	return all
}

// label is what a list's item is called: its name, where it has one, else its number.
func label(n *yaml.Node, i int) string {
	if n.Kind == yaml.MappingNode {
		for at := 0; at+1 < len(n.Content); at += 2 {
			if name := n.Content[at+1].Value; n.Content[at].Value == "name" && tenant.ValidateName("", name) == nil {
				return name
			}
		}
	}
	return strconv.Itoa(i)
}

// clip shortens text that a file may have made long.
func clip(text string) string {
	if len(text) <= maxWords {
		return text
	}
	return strings.ToValidUTF8(text[:maxWords], "") + "…"
}
