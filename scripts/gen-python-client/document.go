package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// document is what is read of an OpenAPI document.
type document struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	OperationID string
	Summary     string
	Description string
	Parameters  []parameter
	RequestBody *struct{ Content map[string]media }
	Responses   map[string]struct {
		Content map[string]media
		Headers map[string]json.RawMessage
	}
	path, method string
	answer       string // the model that it answers with; "": nothing
	item         string // the model of a list's items; "": it answers with no list
	body         string // the model that is sent; "": nothing
	tagged       bool   // the answer has an ETag
}

type parameter struct {
	Name, In, Description string
	Schema                schema
	kind                  string // in Python
}

type media struct{ Schema schema }

type schema struct {
	Ref                  string `json:"$ref"`
	Type                 types
	Format               string
	Description          string
	Enum                 []string
	Items                *schema
	Properties           map[string]schema
	Required             []string
	AdditionalProperties extra
	OneOf, AnyOf, AllOf  json.RawMessage
}

// types is a schema's type, or several.
type types []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *types) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*t = types{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(t))
}

// extra is the schema of properties with other names; nil where there are none, or any.
type extra struct{ schema *schema }

// UnmarshalJSON implements json.Unmarshaler.
func (e *extra) UnmarshalJSON(text []byte) error {
	var allowed bool
	if json.Unmarshal(text, &allowed) == nil {
		return nil
	}
	return json.Unmarshal(text, &e.schema)
}

// methods are in the order in which a path's operations are written.
var methods = []string{"get", "post", "put", "patch", "delete"}

// operations returns those that answer with JSON or nothing, by path and method. A stream is
// nothing that can be returned.
func (d document) operations() ([]operation, error) {
	var all []operation
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range methods {
			op, ok := d.Paths[path][method]
			if !ok || op.streams() {
				continue
			}
			op.path, op.method = path, method
			if err := op.read(d.Components.Schemas); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			all = append(all, op)
		}
	}
	return all, nil
}

func (o operation) streams() bool {
	for _, r := range o.Responses {
		if _, ok := r.Content["text/event-stream"]; ok {
			return true
		}
	}
	return false
}

// read finds out what is sent and answered.
func (o *operation) read(schemas map[string]schema) error {
	var err error
	for i, p := range o.Parameters {
		if o.Parameters[i].kind, err = p.Schema.python("models."); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
	}
	if o.RequestBody != nil {
		if o.body, err = reference(o.RequestBody.Content); err != nil {
			return fmt.Errorf("request body: %w", err)
		}
	}
	for status, r := range o.Responses {
		if !strings.HasPrefix(status, "2") || len(r.Content) == 0 {
			continue
		}
		name, err := reference(r.Content)
		if err != nil {
			return fmt.Errorf("response %s: %w", status, err)
		}
		if o.answer != "" && o.answer != name {
			return errors.New("several kinds of answers")
		}
		o.answer = name
		_, o.tagged = r.Headers["ETag"]
	}
	if slices.ContainsFunc(o.Parameters, parameter.isCursor) {
		items := schemas[o.answer].Properties["items"].Items
		if items == nil || items.Ref == "" {
			return fmt.Errorf("a cursor, and %s is no list of models", o.answer)
		}
		o.item = items.name()
	}
	return nil
}

// reference returns the name of the model that JSON content is.
func reference(content map[string]media) (string, error) {
	m, ok := content["application/json"]
	if !ok || m.Schema.Ref == "" {
		return "", errors.New("want application/json with a $ref")
	}
	return m.Schema.name(), nil
}

// isCursor tells the parameter for the next page.
func (p parameter) isCursor() bool { return p.In == "query" && p.Name == "cursor" }

// name is the schema's that is referred to.
func (s schema) name() string { return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:] }

// python returns the schema's type in Python. Models are of package prefix.
func (s schema) python(prefix string) (string, error) {
	if s.Ref != "" {
		return prefix + s.name(), nil
	}
	if s.OneOf != nil || s.AnyOf != nil || s.AllOf != nil {
		return "", errors.New("oneOf, anyOf and allOf have no Python")
	}
	kinds := slices.DeleteFunc(slices.Clone(s.Type), func(t string) bool { return t == "null" })
	if len(kinds) == 0 {
		return "Any", nil
	}
	if len(kinds) > 1 {
		return "", fmt.Errorf("several types %v", kinds)
	}
	kind, err := s.single(kinds[0], prefix)
	if err == nil && len(kinds) < len(s.Type) {
		kind = "Optional[" + kind + "]"
	}
	return kind, err
}

func (s schema) single(kind, prefix string) (string, error) {
	scalars := map[string]string{"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
	switch {
	case len(s.Enum) > 0 && kind == "string":
		quoted := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			quoted[i] = strconv.Quote(v)
		}
		return "Literal[" + strings.Join(quoted, ", ") + "]", nil
	case kind == "string" && s.Format == "date-time":
		return "datetime", nil
	case kind == "array" && s.Items != nil:
		item, err := s.Items.python(prefix)
		return "list[" + item + "]", err
	case kind == "object" && s.AdditionalProperties.schema != nil:
		value, err := s.AdditionalProperties.schema.python(prefix)
		return "dict[str, " + value + "]", err
	case scalars[kind] != "":
		return scalars[kind], nil
	}
	return "", fmt.Errorf("type %s has no Python here", kind)
}
