package conn

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/public"
)

// policy is what the dashboard may do: talk to its own hub, and be in nobody's frame.
const policy = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"

// asset serves the dashboard, the SDK and the description of the API.
func (s *Server) asset(ctx *fasthttp.RequestCtx, _ []string) error {
	a, ok := public.Lookup(string(ctx.Path()))
	if !ok {
		return fault.New(fault.NotFound, "There is nothing at %s.", ctx.Path())
	}
	body, tag := a.Body, a.ETag
	h := &ctx.Response.Header
	if a.Gzip != nil && ctx.Request.Header.HasAcceptEncoding("gzip") {
		body, tag = a.Gzip, a.GzipETag
		h.SetContentEncoding("gzip")
	}
	if a.Gzip != nil {
		h.Set(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	}
	h.Set(fasthttp.HeaderETag, tag)
	h.Set(fasthttp.HeaderCacheControl, public.CacheControl)
	h.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	h.Set(fasthttp.HeaderContentSecurityPolicy, policy)
	h.Set(fasthttp.HeaderReferrerPolicy, "no-referrer")
	if p := string(ctx.Path()); strings.HasPrefix(p, "/sdk/") || p == "/openapi.yaml" {
		h.Set(fasthttp.HeaderAccessControlAllowOrigin, "*") // pages elsewhere import it as a module, or show it
	}
	if sameTag(string(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch)), tag) {
		h.Del(fasthttp.HeaderContentEncoding)
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return nil
	}
	h.SetContentType(a.ContentType)
	ctx.Response.SetBodyRaw(body)
	return nil
}

// sameTag reports whether an If-None-Match names tag (RFC 9110, 13.1.2: compared weakly).
func sameTag(match, tag string) bool {
	for m := range strings.SplitSeq(match, ",") {
		if m = strings.TrimPrefix(strings.TrimSpace(m), "W/"); m == tag || m == "*" {
			return true
		}
	}
	return false
}

// healthz says that the process serves.
func (s *Server) healthz(ctx *fasthttp.RequestCtx, _ []string) error {
	ctx.Response.Header.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString("ok\n")
	return nil
}

// readyz says whether new work should come here.
func (s *Server) readyz(ctx *fasthttp.RequestCtx, args []string) error {
	if s.live.draining() || s.hub.Draining() {
		return errDraining
	}
	if err := s.hub.CanWrite(); err != nil {
		return err
	}
	return s.healthz(ctx, args)
}
