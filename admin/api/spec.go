package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// operation is how an operation is described.
type operation struct {
	method, path string // after Prefix
	id           string // in the OpenAPI document, and what generated clients call it
	tag          string // what it is about
	summary      string
	description  string
	status       int   // that success is answered; 0: 200
	errors       []int // besides those that follow from all else
	public       bool  // without a token
	creates      bool  // it is answered 201 instead when something is new
	versioned    bool  // its answers have entity tags, which If-Match and If-None-Match take
}

const traits = "traits"

// traitsOf returns what an operation was made of.
func traitsOf(op *huma.Operation) operation {
	o, _ := op.Metadata[traits].(operation)
	return o
}

// once reports whether the operation takes idempotency keys.
func (o operation) once() bool { return o.method == http.MethodPost && !o.public }

// huma returns the operation as the library takes it.
func (o operation) huma() huma.Operation {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	op := huma.Operation{Method: o.method, Path: Prefix + o.path, OperationID: o.id, Tags: []string{o.tag}, Summary: o.summary, Description: o.description,
		DefaultStatus: o.status, Errors: o.statuses(), Metadata: map[string]any{traits: o}, MaxBodyBytes: maxBody + 1, BodyReadTimeout: -1}
	if o.public {
		op.Security = []map[string][]string{}
	}
	if o.once() {
		longest := maxIdempotencyKey + 2 // in quotes
		op.Parameters = append(op.Parameters, &huma.Param{Name: "Idempotency-Key", In: "header", Example: "8e03978e-40d5-43e8-bc93-6894a57f9324",
			Description: "Any text, new for each thing that is to be done. When the same request is sent again with it, nothing is done, and the answer is the first one, with Idempotency-Replayed: true.",
			Schema:      &huma.Schema{Type: huma.TypeString, MinLength: new(int), MaxLength: &longest}})
	}
	return op
}

// statuses are those of errors that an operation may be answered.
func (o operation) statuses() []int {
	all := append([]int{http.StatusBadRequest, http.StatusNotAcceptable, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusUnauthorized}, o.errors...)
	if !o.public {
		all = append(all, http.StatusForbidden, http.StatusNotFound)
	}
	switch o.method {
	case http.MethodGet:
	case http.MethodDelete:
		all = append(all, http.StatusConflict, http.StatusPreconditionFailed)
	case http.MethodPost:
		if o.versioned {
			all = append(all, http.StatusPreconditionFailed)
		}
		all = append(all, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	default:
		all = append(all, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

const intro = `Manages respgate: organizations, their instances and API keys, and who may do so.

Send a token with every request: ` + "`Authorization: Bearer TOKEN`" + `. It is an operator's, of ` + "`http.admin_token`" + `, or a user's, which begins with ` + "`rgt_`" + `.
What a token's user may not see is not found (404); what may be seen and not done is forbidden (403).

Errors are problem details (RFC 9457), with the fields that are wrong in ` + "`errors`" + `. Lists come in pages: send ` + "`next`" + ` of one as ` + "`cursor`" + `
for the next. A single thing has an ` + "`ETag`" + `: send it as ` + "`If-Match`" + ` with a change, which is refused (412) when it was changed meanwhile.
A POST may have an ` + "`Idempotency-Key`" + `, and can then be sent again without being done twice. Each token may make so many requests per
second as ` + "`RateLimit-Policy`" + ` says, and ` + "`RateLimit`" + ` what is left. A body has at most 65536 bytes.`

// newSpec is the document without its operations.
func newSpec() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: "respgate management API", Version: "1", Description: intro},
		Servers: []*huma.Server{{URL: "/"}},
		Components: &huma.Components{
			Schemas:         huma.NewMapRegistry("#/components/schemas/", schemaName),
			SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "the operator's token, or a user's"}},
			Headers: map[string]*huma.Header{
				"RateLimit":        {Description: "how many requests are left, and in how many seconds all will be", Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{`"token";r=99;t=1`}}},
				"RateLimit-Policy": {Description: "how many requests there may be in how many seconds", Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{`"token";q=100;w=1`}}},
				"Retry-After":      {Description: "in how many seconds to try again", Schema: &huma.Schema{Type: huma.TypeInteger, Examples: []any{1}}},
				"WWW-Authenticate": {Description: "how to authenticate", Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{`Bearer realm="respgate"`}}},
				"Idempotency-Replayed": {Description: "true: this is the answer to an earlier request with the same Idempotency-Key",
					Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"true"}}},
			},
		},
		Security: []map[string][]string{{"token": {}}},
		Tags: []*huma.Tag{
			{Name: "me", Description: "Who asks"},
			{Name: "organizations", Description: "Customers: they own instances and keys"},
			{Name: "members", Description: "Who may do what in an organization"},
			{Name: "instances", Description: "The Redis servers that an organization's clients reach"},
			{Name: "keys", Description: "What Redis clients authenticate with"},
			{Name: "users", Description: "Who manages organizations"},
			{Name: "tokens", Description: "What users' programs authenticate with here"},
			{Name: "sessions", Description: "Redis clients that are connected"},
			{Name: "top", Description: "What happens most, and what is slow"},
			{Name: "usage", Description: "What was done with keys"},
			{Name: "audit", Description: "Who did what, and what came of it"},
			{Name: "log", Description: "What a proxy says of itself"},
		},
	}
}

// schemaName is a type's name in the document: a view of something is called like it.
func schemaName(t reflect.Type, hint string) string {
	return strings.ReplaceAll(strings.ReplaceAll(huma.DefaultSchemaNamer(t, hint), "View", ""), "ErrorModel", "Problem")
}

// finish completes the document when all operations are there.
func finish(spec *huma.OpenAPI) {
	for name, s := range spec.Components.Schemas.Map() {
		explain(name, s)
	}
	spec.Components.Responses = map[string]*huma.Response{}
	for _, op := range operationsOf(spec) {
		complete(op, spec.Components.Responses)
	}
}

// operationsOf are all operations of a document, by path.
func operationsOf(spec *huma.OpenAPI) (all []*huma.Operation) {
	for _, path := range slices.Sorted(maps.Keys(spec.Paths)) {
		item := spec.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				all = append(all, op)
			}
		}
	}
	return all
}

// complete adds to an operation what all of its kind have. What errors are answered, which
// is the same everywhere, goes to shared.
func complete(op *huma.Operation, shared map[string]*huma.Response) {
	o := traitsOf(op)
	if op.Method == http.MethodPatch {
		op.RequestBody.Content[patchType] = op.RequestBody.Content[jsonType]
	}
	for _, p := range op.Parameters {
		p.Schema.Description = "" // it is the parameter's too
	}
	if o.versioned && op.Method == http.MethodGet {
		op.Responses["304"] = &huma.Response{Description: "It is as it was."}
	}
	if o.creates {
		r := *op.Responses["200"]
		r.Description = http.StatusText(http.StatusCreated)
		op.Responses["201"] = &r
	}
	for status, r := range op.Responses {
		code, _ := strconv.Atoi(status)
		if r.Headers == nil {
			r.Headers = map[string]*huma.Param{}
		}
		for _, name := range headersOf(o, code) {
			r.Headers[name] = &huma.Header{Ref: "#/components/headers/" + name}
		}
		if code >= http.StatusBadRequest {
			name := strings.ReplaceAll(http.StatusText(code), " ", "")
			shared[name] = r
			op.Responses[status] = &huma.Response{Ref: "#/components/responses/" + name}
		}
	}
}

// headersOf are the header fields that all answers with a status have, or may have.
func headersOf(o operation, status int) []string {
	names := []string{"RateLimit", "RateLimit-Policy"}
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return append(names, "Retry-After")
	case status == http.StatusUnauthorized:
		return append(names, "WWW-Authenticate")
	case status < http.StatusMultipleChoices && o.once():
		return append(names, "Idempotency-Replayed")
	}
	return names
}

// document is the OpenAPI document as JSON, for people to read too.
func document(spec *huma.OpenAPI) ([]byte, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
