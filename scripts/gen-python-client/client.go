package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// client returns client.py.
func client(operations []operation) string {
	var b strings.Builder
	for _, op := range operations {
		op.write(&b)
	}
	text := b.String()
	return header + `"""The operations of respgate's management API."""

from __future__ import annotations

` + imports(text, "collections.abc", "Iterator") + imports(text, "datetime", "datetime") + imports(text, "typing", "Literal", "Optional") + `
from . import models
from ._http import Transport, segment


class Client(Transport):
    """respgate's management API, with the rights of a token."""
` + text
}

// arguments are a method's, and what it makes of them.
type arguments struct {
	positional, named []node // of the signature
	query, header     []node // of the request
	docs              []string
}

func (o operation) arguments() arguments {
	var a arguments
	for _, p := range o.Parameters {
		name := identifier(p.Name)
		if p.In == "path" {
			a.docs = slices.Insert(a.docs, len(a.positional), name+": "+p.Description)
			a.positional = append(a.positional, leaf("%s: str", name))
			continue
		}
		entry := leaf("%q: %s", p.Name, name)
		switch {
		case p.isCursor(), p.Name == "If-None-Match":
			continue // pages are followed; and there is nothing to return when it is still that
		case p.In == "header":
			a.header = append(a.header, entry)
		case p.Name == "limit" && o.item != "":
			name = "page_size"
			a.query = append(a.query, leaf(`"limit": page_size`))
		default:
			a.query = append(a.query, entry)
		}
		a.named = append(a.named, leaf("%s: %s = None", name, optional(p.kind)))
		a.docs = append(a.docs, name+": "+p.Description)
	}
	if o.body != "" {
		a.positional = append(a.positional, leaf("body: models.%s", o.body))
	}
	return a
}

// write writes the operation's method.
func (o operation) write(b *strings.Builder) {
	a := o.arguments()
	signature := append([]node{leaf("self")}, a.positional...)
	if len(a.named) > 0 {
		signature = append(append(signature, leaf("*")), a.named...)
	}
	path := leaf("%s", pathText(o.path))
	method := leaf("%q", strings.ToUpper(o.method))
	var result string
	var call node
	switch {
	case o.item != "":
		result = "Iterator[models." + o.item + "]"
		call = node{"return self._items(", []node{leaf("models.%s", o.item), path, dict("", a.query)}, ")"}
	case o.answer != "":
		result = "models." + o.answer
		call = node{"return self._call(", []node{leaf("%s", result), method, path}, ")"}
	default:
		result = "None"
		call = node{"self._call(", []node{leaf("type(None)"), method, path}, ")"}
	}
	if o.item == "" && len(a.query) > 0 {
		call.args = append(call.args, dict("query=", a.query))
	}
	if len(a.header) > 0 {
		call.args = append(call.args, dict("header=", a.header))
	}
	if o.body != "" {
		call.args = append(call.args, leaf("body=body"))
	}
	def := node{"def " + identifier(o.OperationID) + "(", signature, ") -> " + result + ":"}
	fmt.Fprintf(b, "\n    %s\n%s        %s\n", def.at(4), docstring(8, o.Summary+".", o.Description, a.docs), call.at(8))
}

func dict(name string, entries []node) node { return node{name + "{", entries, "}"} }

var placeholder = regexp.MustCompile(`\{([^}]*)\}`)

// pathText returns the Python for a path with its parameters put in.
func pathText(path string) string {
	if !placeholder.MatchString(path) {
		return fmt.Sprintf("%q", path)
	}
	return "f\"" + placeholder.ReplaceAllStringFunc(path, func(p string) string {
		return "{segment(" + identifier(strings.Trim(p, "{}")) + ")}"
	}) + "\""
}
