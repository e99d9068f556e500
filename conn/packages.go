package conn

import (
	"context"

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
	return s.changePackages(ctx, t, err, s.tenants.SetPackages)
}

func (s *Server) setTenantPackages(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	return s.changePackages(ctx, t, err, s.tenants.SetPackages)
}

func (s *Server) patchPackages(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	return s.changePackages(ctx, t, err, s.tenants.PatchPackages)
}

func (s *Server) patchTenantPackages(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	return s.changePackages(ctx, t, err, s.tenants.PatchPackages)
}

func (s *Server) showPackages(ctx *fasthttp.RequestCtx, t *tenants.Tenant, err error) error {
	if err != nil {
		return err
	}
	return reply(ctx, s.tenants.ShownPackages(t), nil)
}

// changePackages changes a tenant's settings as change does with the body, and shows what came of it.
func (s *Server) changePackages(ctx *fasthttp.RequestCtx, t *tenants.Tenant, err error, change func(context.Context, *tenants.Tenant, []byte) error) error {
	if err != nil {
		return err
	}
	if err := change(s.life(), t, ctx.PostBody()); err != nil {
		return err
	}
	return s.showPackages(ctx, t, nil)
}
