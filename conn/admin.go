package conn

import (
	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// admin lets only the admin key pass.
func (s *Server) admin(ctx *fasthttp.RequestCtx) error {
	c, err := s.caller(ctx)
	if err == nil && !c.Admin {
		err = errNotAdmin
	}
	return err
}

// adminTenant gives the tenant that an admin's path names.
func (s *Server) adminTenant(ctx *fasthttp.RequestCtx, name string) (*tenants.Tenant, error) {
	if err := s.admin(ctx); err != nil {
		return nil, err
	}
	return s.tenants.Tenant(name)
}

// OnDrain has f called when the operator asks the hub to drain and end. It is set before Serve.
func (s *Server) OnDrain(f func()) { s.onDrain = f }

// drainHub has the hub pause what can pause, and end.
func (s *Server) drainHub(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := s.admin(ctx); err != nil {
		return err
	}
	if s.onDrain == nil {
		return fault.New(fault.NotFound, "This hub does not take drains by HTTP.")
	}
	s.onDrain()
	writeJSON(ctx, fasthttp.StatusAccepted, map[string]bool{"draining": true})
	return nil
}

// tenantView is a tenant as the operator sees it.
type tenantView struct {
	Name      string `json:"name"`
	CreatedAt string `json:"createdAt"`
	Functions int    `json:"functions"`
}

const timeLayout = "2006-01-02T15:04:05.000Z"

func viewOf(t *tenants.Tenant) tenantView {
	return tenantView{t.Name(), t.CreatedAt().UTC().Format(timeLayout), len(t.Functions())}
}

func (s *Server) createTenant(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := s.admin(ctx); err != nil {
		return err
	}
	var in struct {
		Name string `json:"name"`
	}
	if err := body(ctx, &in, false); err != nil {
		return err
	}
	t, key, err := s.tenants.CreateTenant(s.life(), in.Name)
	if err != nil {
		return err
	}
	writeJSON(ctx, fasthttp.StatusCreated, struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}{t.Name(), key})
	return nil
}

func (s *Server) listTenants(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := s.admin(ctx); err != nil {
		return err
	}
	var views []tenantView
	for _, t := range s.tenants.Tenants() {
		views = append(views, viewOf(t))
	}
	return reply(ctx, listOf(views), nil)
}

func (s *Server) getTenant(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	if err != nil {
		return err
	}
	return reply(ctx, viewOf(t), nil)
}

func (s *Server) deleteTenant(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	if err != nil {
		return err
	}
	return none(ctx, s.tenants.DeleteTenant(s.life(), t.Name()))
}

func (s *Server) createKey(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	if err != nil {
		return err
	}
	key, secret, err := s.tenants.CreateKey(s.life(), t.Name())
	if err != nil {
		return err
	}
	writeJSON(ctx, fasthttp.StatusCreated, struct {
		ID  string `json:"id"`
		Key string `json:"key"` // shown once
	}{key.ID, secret})
	return nil
}

func (s *Server) listKeys(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	if err != nil {
		return err
	}
	keys, err := s.tenants.Keys(t.Name())
	return reply(ctx, listOf(keys), err)
}

func (s *Server) deleteKey(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.adminTenant(ctx, args[0])
	if err != nil {
		return err
	}
	return none(ctx, s.tenants.DeleteKey(s.life(), t.Name(), args[1]))
}
