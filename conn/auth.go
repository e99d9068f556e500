package conn

import (
	"bytes"
	"strconv"
	"strings"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// Caller is who calls.
type Caller struct {
	Tenant *tenants.Tenant // as whom; nil for an admin who acts as none
	Admin  bool
	Token  *tenants.Token // nil: it has a key
	grant  *tenants.Grant
}

// tenant gives the name of the tenant as whom c acts; "": none.
func (c *Caller) tenant() string {
	if c.Tenant == nil {
		return ""
	}
	return c.Tenant.Name()
}

// subject gives who has the token, if it says.
func (c *Caller) subject() string {
	if c.Token == nil {
		return ""
	}
	return c.Token.Subject
}

// key gives the hub's name of an idempotency key of c's, in a name space of c's own (hub.OwnKey has them all). A token
// without a subject has its keys for itself.
func (c *Caller) key(k string) (string, error) {
	switch {
	case c.Token == nil || k == "":
		return hub.OwnKey(k), nil
	case c.Token.Subject != "":
		return "token " + strconv.Quote(c.Token.Subject) + " " + k, nil
	case c.Token.ID != "":
		return "token id " + strconv.Quote(c.Token.ID) + " " + k, nil
	}
	return "", errNoNamespace
}

// wanted gives the key that c looks for in lists: the tenant sees everybody's, by the names that are shown.
func (c *Caller) wanted(k string) (string, error) {
	if c.Token == nil {
		return k, nil
	}
	return c.key(k)
}

// from is what a caller says beside its key or token.
type from struct {
	tenant []byte // as whom it acts
	origin []byte // of the page that it is, if it is one
	host   []byte // that it speaks to
}

const headerTenant = "Livefn-Tenant"

var (
	errNoKey       = fault.New(fault.Unauthorized, "Send a key: Authorization: Bearer <key>.")
	errNoTenant    = fault.New(fault.InvalidRequest, "The admin key belongs to no tenant: say which one to act as with the header Livefn-Tenant.")
	errNoNamespace = fault.New(fault.InvalidRequest, "An idempotency key needs a token with a subject (sub) or an id (jti), whose key it is.")
	errOrigin      = fault.New(fault.Forbidden, "Pages of this origin may not act as the tenant: its list of origins (/v1/origins) does not have it.")
)

// callerKey is where a request keeps its caller.
type callerKey struct{}

// caller finds out who sent the request.
func (s *Server) caller(ctx *fasthttp.RequestCtx) (Caller, error) {
	if c, ok := ctx.UserValue(callerKey{}).(*Caller); ok {
		return *c, nil
	}
	h := &ctx.Request.Header
	key := bearer(h.Peek(fasthttp.HeaderAuthorization))
	if len(key) == 0 && ctx.IsGet() && bytes.HasSuffix(ctx.Path(), []byte("/events")) {
		key = ctx.QueryArgs().Peek("token") // an EventSource has no headers of its own
	}
	if len(key) == 0 {
		return Caller{}, errNoKey
	}
	c, err := s.signIn(key, from{h.Peek(headerTenant), h.Peek(fasthttp.HeaderOrigin), ctx.Host()})
	if err == errOrigin {
		ctx.Response.Header.Del(fasthttp.HeaderAccessControlAllowOrigin)
	}
	return c, err
}

// signIn finds out who has a key or token.
func (s *Server) signIn(key []byte, in from) (Caller, error) {
	g, err := s.tenants.Authenticate(borrow(key)) // hashed before it returns, not kept
	if err != nil {
		return Caller{}, err
	}
	c := Caller{Tenant: g.Tenant, Admin: g.Admin, Token: g.Token, grant: g}
	if len(in.tenant) > 0 {
		switch {
		case g.Admin:
			if c.Tenant, err = s.tenants.Tenant(string(in.tenant)); err != nil {
				return Caller{}, err
			}
		case string(in.tenant) != g.Tenant.Name():
			return Caller{}, fault.New(fault.Forbidden, "This key or token belongs to the tenant %q; only the admin key may act as another.", g.Tenant.Name())
		}
	}
	if len(in.origin) > 0 && c.Tenant != nil && !s.own.isOwn(string(in.origin), string(in.host)) && !c.Tenant.AllowsOrigin(string(in.origin)) {
		return Caller{}, errOrigin
	}
	return c, nil
}

// tenant gives the tenant as whom the request acts.
func (s *Server) tenant(ctx *fasthttp.RequestCtx) (*tenants.Tenant, error) {
	c, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	if c.Tenant == nil {
		return nil, errNoTenant
	}
	return c.Tenant, nil
}

// admit lets a request pass to its route if its sender may use that.
func (s *Server) admit(ctx *fasthttp.RequestCtx, r *route, args []string) error {
	if r.rule.who == anyone {
		return nil
	}
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	ctx.SetUserValue(callerKey{}, &c)
	return s.allow(&c, r.rule, r.target(args))
}

// target gives the part of the path that the route's rule is about.
func (r *route) target(args []string) string {
	n := 0
	for _, part := range r.parts {
		if !strings.HasPrefix(part, "{") {
			continue
		}
		if part == "{"+r.rule.on+"}" && n < len(args) {
			return args[n]
		}
		n++
	}
	return ""
}

// bearer gives the token of an Authorization header (RFC 6750), or nothing.
func bearer(h []byte) []byte {
	const scheme = "bearer "
	if len(h) <= len(scheme) {
		return nil
	}
	for i := range len(scheme) {
		c := h[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != scheme[i] {
			return nil
		}
	}
	h = h[len(scheme):]
	for len(h) > 0 && h[0] == ' ' {
		h = h[1:]
	}
	return h
}

// borrow gives b as a string without copying: only for who reads it before b changes.
func borrow(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
