package conn

import (
	"context"
	"encoding/json"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/tenants"
)

func (s *Server) listExecutions(ctx *fasthttp.RequestCtx, _ []string) error {
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	n, err := limit(ctx)
	if err != nil {
		return err
	}
	since, err := timeQuery(ctx, "since")
	if err != nil {
		return err
	}
	until, err := timeQuery(ctx, "until")
	if err != nil {
		return err
	}
	key, err := c.wanted(query(ctx, "key"))
	if err != nil {
		return err
	}
	page, err := s.hub.Executions(c.Tenant, hub.Filter{
		Function: query(ctx, "function"), State: query(ctx, "state"), Parent: query(ctx, "parent"),
		Key: key, Trigger: query(ctx, "trigger"), Caller: c.only(), Since: since, Until: until, Limit: n, Cursor: query(ctx, "cursor"),
	})
	if page.Items == nil {
		page.Items = []hub.View{}
	}
	return reply(ctx, page, err)
}

func (s *Server) getExecution(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	v, err := s.hub.Execution(t, args[0])
	return reply(ctx, v, err)
}

func (s *Server) pauseExecution(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	v, err := s.hub.Pause(s.life(), t, args[0])
	return reply(ctx, v, err)
}

func (s *Server) resumeExecution(ctx *fasthttp.RequestCtx, args []string) error {
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Args    json.RawMessage `json:"args"`
		Version int             `json:"version"`
	}
	if err := body(ctx, &in, true); err != nil {
		return err
	}
	if in.Version < 0 {
		return invalid("The body's version must be a version's number.")
	}
	if string(in.Args) == "null" {
		in.Args = nil
	}
	if err := c.mayChoose(in.Version); err != nil {
		return err
	}
	v, err := s.hub.Resume(s.life(), c.Tenant, args[0], in.Args, in.Version)
	return reply(ctx, v, err)
}

func (s *Server) cancelExecution(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	v, err := s.hub.Cancel(s.life(), t, args[0])
	return reply(ctx, v, err)
}

// sendEvent sends an event into an execution.
func (s *Server) sendEvent(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := body(ctx, &in, false); err != nil {
		return err
	}
	if in.Type == "" {
		return invalid("The body's type must be a string that is not empty.")
	}
	return reply(ctx, true, s.hub.Send(s.life(), t, args[0], in.Type, in.Data))
}

func (s *Server) retryExecution(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	v, err := s.hub.Retry(s.life(), t, args[0])
	return reply(ctx, v, err)
}

// all answers a command on all executions of a function, or of the tenant where the path names none,
// with the number of those that did it, under the word for it.
func (s *Server) all(word string, do func(context.Context, *tenants.Tenant, string) (int, error)) handler {
	return func(ctx *fasthttp.RequestCtx, args []string) error {
		t, err := s.tenant(ctx)
		if err != nil {
			return err
		}
		fn := ""
		if len(args) > 0 {
			fn = args[0]
		}
		n, err := do(s.life(), t, fn)
		return reply(ctx, map[string]int{word: n}, err)
	}
}
