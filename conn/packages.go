package conn

import (
	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/tenants"
)

// getPackages shows a tenant how its packages are installed.
func (s *Server) getPackages(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	return s.showPackages(ctx, t, err)
}

func (s *Server) getTenantPackages(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	return s.showPackages(ctx, t, err)
}

func (s *Server) setPackages(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	return s.changePackages(ctx, t, err)
}

func (s *Server) setTenantPackages(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	return s.changePackages(ctx, t, err)
}

func (s *Server) showPackages(ctx *fasthttp.RequestCtx, t *tenants.Tenant, err error) error {
	if err != nil {
		return err
	}
	return reply(ctx, s.tenants.ShownPackages(t), nil)
}

// changePackages replaces a tenant's settings by the body's; a token that is true stays what it is.
func (s *Server) changePackages(ctx *fasthttp.RequestCtx, t *tenants.Tenant, err error) error {
	if err != nil {
		return err
	}
	if err := s.tenants.SetPackages(s.life(), t, ctx.PostBody()); err != nil {
		return err
	}
	return s.showPackages(ctx, t, nil)
}
