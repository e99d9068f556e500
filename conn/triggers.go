package conn

import (
	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
)

func (s *Server) listTriggers(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	return reply(ctx, listOf(s.hub.Triggers(t)), nil)
}

func (s *Server) getTrigger(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	v, err := s.hub.Trigger(t, args[0])
	return reply(ctx, v, err)
}

// setTrigger makes or changes a trigger: 201 or 200.
func (s *Server) setTrigger(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	v, created, err := s.hub.SetTrigger(s.life(), t, args[0], ctx.PostBody())
	if err != nil {
		return err
	}
	status := fasthttp.StatusOK
	if created {
		status = fasthttp.StatusCreated
	}
	writeJSON(ctx, status, v)
	return nil
}

func (s *Server) deleteTrigger(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	return none(ctx, s.hub.DeleteTrigger(s.life(), t, args[0]))
}

// runTrigger starts a schedule's execution now.
func (s *Server) runTrigger(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	v, err := s.hub.RunTrigger(s.life(), t, args[0])
	if err == nil {
		accepted(ctx, v.ID())
	}
	return err
}

// pauseTrigger gives the handler that pauses a trigger, or lets it go on.
func (s *Server) pauseTrigger(paused bool) handler {
	return func(ctx *fasthttp.RequestCtx, args []string) error {
		t, err := s.tenant(ctx)
		if err != nil {
			return err
		}
		var v hub.TriggerView
		if v, err = s.hub.PauseTrigger(s.life(), t, args[0], paused); err != nil {
			return err
		}
		return reply(ctx, v, nil)
	}
}
