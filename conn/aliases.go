package conn

import (
	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

func (s *Server) listAliases(ctx *fasthttp.RequestCtx, args []string) error {
	fn, err := s.function(ctx, args[0])
	if err != nil {
		return err
	}
	return reply(ctx, listOf(fn.Aliases()), nil)
}

func (s *Server) getAlias(ctx *fasthttp.RequestCtx, args []string) error {
	fn, err := s.function(ctx, args[0])
	if err != nil {
		return err
	}
	if a := fn.Alias(args[1]); a != nil {
		return reply(ctx, a, nil)
	}
	return fault.New(fault.NotFound, "The function %q has no alias %q.", args[0], args[1])
}

// setAlias points an alias at a version, or at several with weights.
func (s *Server) setAlias(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	targets, err := tenants.ParseTargets(ctx.PostBody())
	if err != nil {
		return err
	}
	a, created, err := s.tenants.SetAlias(s.life(), t, args[0], args[1], targets)
	if err != nil {
		return err
	}
	status := fasthttp.StatusOK
	if created {
		status = fasthttp.StatusCreated
	}
	writeJSON(ctx, status, a)
	return nil
}

func (s *Server) rollbackAlias(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	a, err := s.tenants.Rollback(s.life(), t, args[0], args[1])
	return reply(ctx, a, err)
}

func (s *Server) deleteAlias(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	return none(ctx, s.tenants.DeleteAlias(s.life(), t, args[0], args[1]))
}
