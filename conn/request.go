package conn

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
)

var errDraining = fault.New(fault.Drained, "The hub is shutting down. Repeat this elsewhere or later.")

func invalid(format string, args ...any) error {
	return fault.New(fault.InvalidRequest, format, args...)
}

// strict decodes exactly one JSON value that has only members that v knows.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// body decodes the request's JSON body; an empty one is {} if it may be missing.
func body(ctx *fasthttp.RequestCtx, v any, mayMiss bool) error {
	b := ctx.PostBody()
	if len(b) == 0 && mayMiss {
		return nil
	}
	err := strict(b, v)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return invalid("The body is empty; it must be a JSON object.")
	case errors.As(err, &wrong) && wrong.Field != "":
		return invalid("The body's %s must be a %s.", wrong.Field, wrong.Type)
	}
	return invalid("The body does not have the documented shape: %v.", err)
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

func query(ctx *fasthttp.RequestCtx, name string) string { return string(ctx.QueryArgs().Peek(name)) }

// writeJSON makes v the response.
func writeJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // what is given here has a JSON form
		panic(err)
	}
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
