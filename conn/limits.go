package conn

import (
	"encoding/json"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/tenants"
)

// limitsView is a tenant's limits: those that it was given, and what holds with the hub's defaults.
type limitsView struct {
	Limits    map[string]json.RawMessage `json:"limits"`
	Effective *tenants.Limits            `json:"effective"`
}

func limitsOf(t *tenants.Tenant) limitsView {
	v := limitsView{t.OwnLimits(), t.Limits()}
	if v.Limits == nil {
		v.Limits = map[string]json.RawMessage{}
	}
	return v
}

// getLimits shows a tenant its own limits.
func (s *Server) getLimits(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	return reply(ctx, limitsOf(t), nil)
}

func (s *Server) getTenantLimits(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	if err != nil {
		return err
	}
	return reply(ctx, limitsOf(t), nil)
}

// setTenantLimits replaces a tenant's own limits by the body's; what is not in it is the hub's default again.
func (s *Server) setTenantLimits(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	if err != nil {
		return err
	}
	if err := s.tenants.SetLimits(s.life(), t, ctx.PostBody()); err != nil {
		return err
	}
	return reply(ctx, limitsOf(t), nil)
}
