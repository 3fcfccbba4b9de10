package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsPage string

//go:embed docs.css
var docsStyle string

// docsPolicy lets the page have its style, and nothing else.
func docsPolicy() string {
	sum := sha256.Sum256([]byte(docsStyle))
	return "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// render makes a page of the document for people, which needs no scripts.
func render(spec *huma.OpenAPI) ([]byte, error) {
	page, err := template.New("docs").Funcs(template.FuncMap{
		"words": words, "type": typeOf, "example": exampleOf, "anchor": anchor, "sorted": sortedKeys[*huma.Schema], "statuses": sortedKeys[*huma.Response],
		"response": func(r *huma.Response) *huma.Response {
			if shared := spec.Components.Responses[anchor(r.Ref)]; shared != nil {
				return shared
			}
			return r
		},
		"body": func(content map[string]*huma.MediaType) *huma.Schema {
			for _, name := range slices.Sorted(maps.Keys(content)) {
				return content[name].Schema
			}
			return nil
		},
		"sample": func(s *huma.Schema) (string, error) {
			text, err := json.MarshalIndent(sampleOf(spec, s), "", "  ")
			return string(text), err
		},
		"required": func(s *huma.Schema, name string) bool { return slices.Contains(s.Required, name) },
	}).Parse(docsPage)
	if err != nil {
		return nil, err
	}
	groups := make([]docsGroup, len(spec.Tags))
	for i, tag := range spec.Tags {
		groups[i].Tag = tag
		for _, op := range operationsOf(spec) {
			if slices.Contains(op.Tags, tag.Name) {
				groups[i].Operations = append(groups[i].Operations, op)
			}
		}
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{"Spec": spec, "Style": template.CSS(docsStyle), "Groups": groups, "Schemas": spec.Components.Schemas.Map()}) //nolint:gosec // our own
	return out.Bytes(), err
}

// docsGroup is a tag with its operations.
type docsGroup struct {
	Tag        *huma.Tag
	Operations []*huma.Operation
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// anchor is the last part of a reference.
func anchor(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// part is a piece of text, or of code.
type part struct {
	Text string
	Code bool
}

// words cuts a description into paragraphs, and these into text and what is in backquotes.
func words(text string) (paragraphs [][]part) {
	for p := range strings.SplitSeq(text, "\n\n") {
		var parts []part
		for i, piece := range strings.Split(p, "`") {
			parts = append(parts, part{piece, i%2 == 1})
		}
		paragraphs = append(paragraphs, parts)
	}
	return paragraphs
}

// typeOf says in a few words what a schema takes.
func typeOf(s *huma.Schema) string {
	text := s.Type
	switch {
	case s.Ref != "":
		text = anchor(s.Ref)
	case s.Type == huma.TypeArray:
		text = "list of " + typeOf(s.Items)
	case s.Type == "":
		text = "anything"
	case s.Format == "date-time":
		text = "time (RFC 3339)"
	}
	if s.Minimum != nil {
		text += " from " + strconv.FormatFloat(*s.Minimum, 'f', -1, 64)
	}
	if s.Maximum != nil {
		text += " to " + strconv.FormatFloat(*s.Maximum, 'f', -1, 64)
	}
	if len(s.Enum) > 0 {
		text = "one of " + joined(s.Enum)
	}
	if s.Nullable {
		text += " or null"
	}
	return text
}

func joined(all []any) string {
	var words []string
	for _, v := range all {
		text, _ := v.(string)
		words = append(words, text)
	}
	return strings.Join(words, ", ")
}

// exampleOf is a schema's example as JSON, "" where there is none.
func exampleOf(s *huma.Schema) string {
	if len(s.Examples) == 0 {
		return ""
	}
	text, _ := json.Marshal(s.Examples[0]) // of our own making
	return string(text)
}

// sampleOf makes a value of the examples of a schema's fields.
func sampleOf(spec *huma.OpenAPI, s *huma.Schema) any {
	switch {
	case s.Ref != "":
		return sampleOf(spec, spec.Components.Schemas.SchemaFromRef(s.Ref))
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Type == huma.TypeArray && s.Items.Ref != "":
		return []any{sampleOf(spec, s.Items)}
	case s.Type == huma.TypeArray:
		return []any{}
	case s.Type == huma.TypeObject:
		all := map[string]any{}
		for name, p := range s.Properties {
			if len(p.Examples) > 0 || slices.Contains(s.Required, name) {
				all[name] = sampleOf(spec, p)
			}
		}
		return all
	case s.Nullable || s.Type == "":
		return nil
	}
	return map[string]any{huma.TypeString: "…", huma.TypeInteger: 0, huma.TypeNumber: 0, huma.TypeBoolean: true}[s.Type]
}
