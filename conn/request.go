package conn

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
)

var errDraining = fault.New(fault.Drained, "The hub is shutting down. Repeat this elsewhere or later.")

func invalid(format string, args ...any) error {
	return fault.New(fault.InvalidRequest, format, args...)
}

var errFollows = errors.New("something follows the JSON value")

// strict decodes exactly one JSON value that has only members that v knows.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errFollows
	}
	return nil
}

// body decodes the request's JSON body; an empty one is {} if it may be missing.
func body(ctx *fasthttp.RequestCtx, v any, mayMiss bool) error {
	b := ctx.PostBody()
	if len(b) == 0 && mayMiss {
		return nil
	}
	return decode(b, v)
}

// decode is strict with an error that tells the user what is wrong with the body.
func decode(b []byte, v any) error {
	err := strict(b, v)
	if err == nil {
		return nil
	}
	wrong, isWrong := errors.AsType[*json.UnmarshalTypeError](err)
	_, isSyntax := errors.AsType[*json.SyntaxError](err)
	unknown, isUnknown := strings.CutPrefix(err.Error(), "json: unknown field ")
	switch {
	case errors.Is(err, io.EOF):
		return invalid("The body is empty; it must be a JSON object.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("The body is not JSON: it ends too early.")
	case isSyntax || err == errFollows:
		return invalid("The body is not JSON: %v.", err)
	case isUnknown:
		return invalid("The body has an unknown member %s.", unknown)
	case isWrong && wrong.Field != "":
		return invalid("The body's %s must be %s.", wrong.Field, jsonKind(wrong.Type))
	case isWrong:
		return invalid("The body must be %s.", jsonKind(wrong.Type))
	}
	return invalid("The body does not have the documented shape: %v.", err)
}

// jsonKind says what a Go type is in JSON.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "an integer"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer that is not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Pointer:
		return jsonKind(t.Elem())
	}
	return "an object"
}

// limit reads ?limit=.
func limit(ctx *fasthttp.RequestCtx) (int, error) {
	q := ctx.QueryArgs().Peek("limit")
	if len(q) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(string(q))
	if err != nil || n < 1 || n > 1000 {
		return 0, invalid("limit must be 1 to 1000.")
	}
	return n, nil
}

// timeQuery reads a time in RFC 3339 from the query; the zero time if it is missing.
func timeQuery(ctx *fasthttp.RequestCtx, name string) (t time.Time, err error) {
	v := query(ctx, name)
	if v == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, v); err != nil {
		return t, invalid("%s must be a time like 2026-01-02T03:04:05Z.", name)
	}
	return t, nil
}

func query(ctx *fasthttp.RequestCtx, name string) string { return string(ctx.QueryArgs().Peek(name)) }

// encode gives the JSON of v with <, > and & as they are: people read it in terminals, and nobody gets
// it as HTML. What is given here has a JSON form.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// writeJSON makes v the response.
func writeJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	b := encode(v)
	ctx.SetStatusCode(status)
	ctx.Response.Header.SetContentType("application/json")
	ctx.Response.SetBodyRaw(b)
}

// reply makes v the response, or gives err on.
func reply(ctx *fasthttp.RequestCtx, v any, err error) error {
	if err == nil {
		writeJSON(ctx, fasthttp.StatusOK, v)
	}
	return err
}

// none makes an empty response, or gives err on.
func none(ctx *fasthttp.RequestCtx, err error) error {
	if err == nil {
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	}
	return err
}

// items is a list that is given whole.
type items[T any] struct {
	Items []T `json:"items"`
}

func listOf[T any](list []T) items[T] {
	if list == nil {
		list = []T{}
	}
	return items[T]{list}
}
