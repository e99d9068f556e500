package conn

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/public"
)

// described is public/openapi.yaml, read once.
var described = sync.OnceValues(func() (*description, error) {
	asset, _ := public.Lookup("/openapi.yaml")
	doc, err := libopenapi.NewDocument(asset.Body)
	if err != nil {
		return nil, err
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		return nil, err
	}
	check, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return &description{model: &model.Model, validator: check}, nil
})

type description struct {
	model *v3.Document

	mu        sync.Mutex // guards validator
	validator validator.Validator
}

func describe(t testing.TB) *description {
	t.Helper()
	d, err := described()
	if err != nil {
		t.Fatalf("public/openapi.yaml: %v", err)
	}
	return d
}

// named are the parts of a path that stand for something, whatever they call it: paths that differ in that
// alone are one in the description.
var named = regexp.MustCompile(`\{[^}]*\}`)

// A route that the description lacks is one that nobody finds; one that it has alone is a promise that fails.
func TestTheDescriptionHasEveryRouteAndNoOther(t *testing.T) {
	d := describe(t)
	var have, want []string
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			have = append(have, strings.ToUpper(method)+" "+named.ReplaceAllString(path, "{}"))
		}
	}
	for _, r := range (&Server{}).table() {
		want = append(want, r.method+" /"+named.ReplaceAllString(strings.Join(r.parts, "/"), "{}"))
	}
	slices.Sort(have)
	slices.Sort(want)
	for _, line := range want {
		if !slices.Contains(have, line) {
			t.Errorf("public/openapi.yaml lacks %s", line)
		}
	}
	for _, line := range have {
		if !slices.Contains(want, line) {
			t.Errorf("public/openapi.yaml has %s, which is no route", line)
		}
	}
}

func TestTheDescriptionIsWellFormed(t *testing.T) {
	d := describe(t)
	if ok, errs := d.validator.ValidateDocument(); !ok {
		for _, err := range errs {
			t.Errorf("%s: %s", err.Message, err.Reason)
			for _, e := range err.SchemaValidationErrors {
				t.Errorf("  %s: %s", e.FieldPath, e.Reason)
			}
		}
	}
	ids := map[string]string{}
	tags := map[string]bool{}
	for _, tag := range d.model.Tags {
		tags[tag.Name] = true
	}
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			at := method + " " + path
			if op.OperationId == "" || op.Summary == "" || len(op.Tags) == 0 {
				t.Errorf("%s needs operationId, summary and tags", at)
			}
			if other := ids[op.OperationId]; other != "" {
				t.Errorf("%s and %s have one operationId", at, other)
			}
			ids[op.OperationId] = at
			for _, tag := range op.Tags {
				if !tags[tag] {
					t.Errorf("%s: the tag %s is not declared", at, tag)
				}
			}
			for name := range strings.SplitSeq(path, "/") {
				if !strings.HasPrefix(name, "{") {
					continue
				}
				if !slices.ContainsFunc(slices.Concat(item.Parameters, op.Parameters), func(p *v3.Parameter) bool { return p.In == "path" && "{"+p.Name+"}" == name }) {
					t.Errorf("%s does not say what %s is", at, name)
				}
			}
		}
	}
}

// An example is what people copy first.
func TestTheExamplesOfTheDescriptionAreWhatItAsksFor(t *testing.T) {
	schemas := schema_validation.NewSchemaValidator()
	seen := 0
	for path, item := range describe(t).model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			if op.RequestBody == nil {
				continue
			}
			for kind, media := range op.RequestBody.Content.FromOldest() {
				if media.Example == nil {
					continue
				}
				seen++
				var example any
				if err := media.Example.Decode(&example); err != nil {
					t.Fatal(err)
				}
				if ok, errs := schemas.ValidateSchemaObject(media.Schema.Schema(), example); !ok {
					t.Errorf("%s %s, %s: %v", method, path, kind, errs)
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d examples were found", seen)
	}
}

func TestTheDescriptionHasEveryCodeOfAFault(t *testing.T) {
	schema, _ := describe(t).model.Components.Schemas.Get("Code")
	var have, want []string
	for _, n := range schema.Schema().Enum {
		have = append(have, n.Value)
	}
	for _, e := range fault.Table {
		want = append(want, string(e.Code))
	}
	if !slices.Equal(have, want) {
		t.Errorf("public/openapi.yaml has the codes\n%v, want\n%v", have, want)
	}
}

// check holds an answer of the hub to the description. All tests' requests come by here.
func (d *description) check(t testing.TB, req *http.Request, res response) {
	t.Helper()
	if strings.HasPrefix(req.URL.Path, "/t/") {
		return // answers what the function likes; and a path's end may have slashes, which OpenAPI can't say
	}
	if res.status == http.StatusNotFound && strings.Contains(res.body, "There is nothing at") || res.status == http.StatusMethodNotAllowed {
		return // no route
	}
	kind, _, _ := strings.Cut(res.header.Get("Content-Type"), ";")
	if kind != "application/json" && kind != "application/problem+json" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	ok, errs := d.validator.ValidateHttpResponse(req, &http.Response{
		StatusCode: res.status, Header: res.header, Body: io.NopCloser(bytes.NewReader([]byte(res.body))),
	})
	if ok {
		return
	}
	var text strings.Builder
	for _, err := range errs {
		fmt.Fprintf(&text, "\n%s: %s", err.Message, err.Reason)
		for _, e := range err.SchemaValidationErrors {
			fmt.Fprintf(&text, "\n  %s: %s", e.FieldPath, e.Reason)
		}
	}
	t.Errorf("%s %s is answered otherwise than public/openapi.yaml says: %d %s%s", req.Method, req.URL.Path, res.status, res.body, text.String())
}

func TestTheDescriptionIsServed(t *testing.T) {
	f := open(t, Config{})
	res := f.request("GET", "/openapi.yaml", "")
	asset, _ := public.Lookup("/openapi.yaml")
	if res.status != 200 || res.body != string(asset.Body) || res.header.Get("Content-Type") != "application/yaml" ||
		res.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", res.status, slices.Sorted(maps.Keys(res.header)))
	}
}
