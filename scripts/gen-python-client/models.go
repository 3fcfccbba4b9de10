package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// secrets are the fields that printing a model does not show.
var secrets = []string{"NewKey.key", "NewToken.token"}

// field is one of a model's.
type field struct {
	name, kind, doc string
	required        bool
}

// models returns models.py: what is answered are dataclasses; what is sent are typed
// dictionaries, since what is left out and what is null are not the same there.
func (d document) models(operations []operation) (string, error) {
	answered, sent, tagged := map[string]bool{}, map[string]bool{}, map[string]bool{}
	d.reach("Problem", answered)
	for _, op := range operations {
		d.reach(cmp.Or(op.item, op.answer), answered)
		d.reach(op.body, sent)
		tagged[op.answer] = tagged[op.answer] || op.tagged
	}
	var b strings.Builder
	all := maps.Clone(answered)
	maps.Copy(all, sent)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fields, err := d.Components.Schemas[name].fields()
		switch {
		case err != nil:
			return "", fmt.Errorf("%s: %w", name, err)
		case answered[name] && sent[name]:
			return "", fmt.Errorf("%s is both sent and answered", name)
		case sent[name]:
			dictionary(&b, name, fields)
		default:
			dataclass(&b, name, fields, tagged[name])
		}
	}
	return header + `"""What respgate's management API is sent and answers."""

from __future__ import annotations

` + imports(b.String(), "dataclasses", "dataclass", "field") + imports(b.String(), "datetime", "datetime") +
		imports(b.String(), "typing", "Any", "Literal", "Optional", "TypedDict") + b.String(), nil
}

// reach notes a schema and all that it refers to; "" is none.
func (d document) reach(name string, reached map[string]bool) {
	if name == "" || reached[name] {
		return
	}
	reached[name] = true
	var walk func(s schema)
	walk = func(s schema) {
		if s.Ref != "" {
			d.reach(s.name(), reached)
		}
		for _, p := range s.Properties {
			walk(p)
		}
		if s.Items != nil {
			walk(*s.Items)
		}
		if s.AdditionalProperties.schema != nil {
			walk(*s.AdditionalProperties.schema)
		}
	}
	walk(d.Components.Schemas[name])
}

// fields returns those that are required, in the document's order, and then the others.
func (s schema) fields() ([]field, error) {
	if !slices.Equal(s.Type, types{"object"}) || len(s.Properties) == 0 || s.AdditionalProperties.schema != nil {
		return nil, errors.New("want an object with named properties")
	}
	names := slices.Clone(s.Required)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	fields := make([]field, 0, len(names))
	for i, name := range names {
		p := s.Properties[name]
		kind, err := p.python("")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if identifier(name) != name {
			return nil, fmt.Errorf("%s cannot be a field's name in Python", name)
		}
		fields = append(fields, field{name: name, kind: kind, doc: p.Description, required: i < len(s.Required)})
	}
	return fields, nil
}

func dataclass(b *strings.Builder, name string, fields []field, tagged bool) {
	if tagged {
		fields = append(fields, field{name: "etag", kind: "str", doc: "its version, for if_match; None of a list's items"})
	}
	fmt.Fprintf(b, "\n\n@dataclass(frozen=True)\nclass %s:\n", name)
	for _, f := range fields {
		comment(b, f.doc)
		var options []string
		if !f.required {
			f.kind = optional(f.kind)
			options = append(options, "default=None")
		}
		if f.name == "etag" {
			options = append(options, "compare=False")
		}
		if slices.Contains(secrets, name+"."+f.name) {
			options = append(options, "repr=False")
		}
		fmt.Fprintf(b, "    %s: %s", f.name, f.kind)
		switch {
		case slices.Equal(options, []string{"default=None"}):
			b.WriteString(" = None")
		case options != nil:
			fmt.Fprintf(b, " = field(%s)", strings.Join(options, ", "))
		}
		b.WriteString("\n")
	}
}

// dictionary has its required fields in a base class, for Pythons before 3.11.
func dictionary(b *strings.Builder, name string, fields []field) {
	optionals := slices.IndexFunc(fields, func(f field) bool { return !f.required })
	base, totality := "TypedDict", ""
	if optionals > 0 {
		class(b, "_"+name+"Required", "TypedDict", fields[:optionals])
		base, fields = "_"+name+"Required", fields[optionals:]
	}
	if optionals >= 0 {
		totality = ", total=False"
	}
	class(b, name, base+totality, fields)
}

func class(b *strings.Builder, name, bases string, fields []field) {
	fmt.Fprintf(b, "\n\nclass %s(%s):\n", name, bases)
	for _, f := range fields {
		comment(b, f.doc)
		fmt.Fprintf(b, "    %s: %s\n", f.name, f.kind)
	}
}

func comment(b *strings.Builder, text string) {
	for _, line := range wrap(text, width-len("    # ")) {
		fmt.Fprintf(b, "    # %s\n", line)
	}
}

// optional returns the type of what may also be None.
func optional(kind string) string {
	if kind == "Any" || strings.HasPrefix(kind, "Optional[") {
		return kind
	}
	return "Optional[" + kind + "]"
}
