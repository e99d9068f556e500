package conn

import (
	"encoding/json"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
)

func (s *Server) listExecutions(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	n, err := limit(ctx)
	if err != nil {
		return err
	}
	page, err := s.hub.Executions(t, hub.Filter{
		Function: query(ctx, "function"), State: query(ctx, "state"), Limit: n, Cursor: query(ctx, "cursor"),
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
	t, err := s.tenant(ctx)
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
	v, err := s.hub.Resume(s.life(), t, args[0], in.Args, in.Version)
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

func (s *Server) pauseFunction(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	n, err := s.hub.PauseFunction(s.life(), t, args[0])
	return reply(ctx, map[string]int{"pausing": n}, err)
}

func (s *Server) resumeFunction(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	n, err := s.hub.ResumeFunction(s.life(), t, args[0])
	return reply(ctx, map[string]int{"resumed": n}, err)
}
