package conn

import (
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// Caller is who calls.
type Caller struct {
	Tenant *tenants.Tenant // as whom; nil for an admin who acts as none
	Admin  bool
}

const headerTenant = "Livefn-Tenant"

var (
	errNoKey    = fault.New(fault.Unauthorized, "Send a key: Authorization: Bearer <key>.")
	errNoTenant = fault.New(fault.InvalidRequest, "The admin key belongs to no tenant: say which one to act as with the header Livefn-Tenant.")
	errNotAdmin = fault.New(fault.Forbidden, "Only the admin key may do this.")
)

// caller finds out who sent the request.
func (s *Server) caller(ctx *fasthttp.RequestCtx) (Caller, error) {
	key := bearer(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	if len(key) == 0 {
		return Caller{}, errNoKey
	}
	return s.signIn(key, func() []byte { return ctx.Request.Header.Peek(headerTenant) })
}

// signIn finds out who has key. as gives the tenant that an admin wants to act as, or nothing.
func (s *Server) signIn(key []byte, as func() []byte) (Caller, error) {
	g, err := s.tenants.Authenticate(borrow(key)) // hashed before it returns, not kept
	if err != nil {
		return Caller{}, err
	}
	c := Caller{Tenant: g.Tenant, Admin: g.Admin}
	if g.Admin {
		if name := as(); len(name) > 0 {
			if c.Tenant, err = s.tenants.Tenant(string(name)); err != nil {
				return Caller{}, err
			}
		}
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
