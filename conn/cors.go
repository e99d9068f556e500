package conn

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// Pages of other origins use the API by fetch and EventSource (the Fetch standard, 3.2). What they need is a
// key or token, which no browser sends by itself, so there are no credentials in the standard's sense, and a
// preflight, which has no key and so no tenant, is answered for every origin. Whether the origin is on the
// tenant's list is known, and minded, with the request itself.

const (
	corsMethods = "GET, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Livefn-Tenant, Prefer, Traceparent, " +
		"ce-specversion, ce-id, ce-source, ce-type, ce-subject, ce-time, ce-dataschema"
	corsExpose = "Livefn-Execution, Livefn-Version, Location, Retry-After"
	corsAge    = "600" // seconds for which a browser need not ask again
)

var (
	apiPrefix   = []byte("/v1/")
	adminPrefix = []byte("/v1/admin/") // not for pages of elsewhere
)

// cors answers a preflight, and gives true; to other requests of a page's it gives the headers.
func (s *Server) cors(ctx *fasthttp.RequestCtx, origin []byte) (answered bool) {
	path := ctx.Path()
	if !bytes.HasPrefix(path, apiPrefix) || bytes.HasPrefix(path, adminPrefix) {
		return false
	}
	h := &ctx.Response.Header
	h.SetBytesV(fasthttp.HeaderAccessControlAllowOrigin, origin)
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
	if !ctx.IsOptions() || len(ctx.Request.Header.Peek(fasthttp.HeaderAccessControlRequestMethod)) == 0 {
		h.Set(fasthttp.HeaderAccessControlExposeHeaders, corsExpose)
		return false
	}
	h.Set(fasthttp.HeaderAccessControlAllowMethods, corsMethods)
	h.Set(fasthttp.HeaderAccessControlAllowHeaders, corsHeaders)
	h.Set(fasthttp.HeaderAccessControlMaxAge, corsAge)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return true
}

// corsHead gives the headers that cors set, for a response that is written by hand.
func corsHead(ctx *fasthttp.RequestCtx) string {
	origin := ctx.Response.Header.Peek(fasthttp.HeaderAccessControlAllowOrigin)
	if len(origin) == 0 {
		return ""
	}
	return "Access-Control-Allow-Origin: " + string(origin) + "\r\nVary: Origin\r\nAccess-Control-Expose-Headers: " + corsExpose + "\r\n"
}
