package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

type invokeCmd struct {
	Name string   `arg:"" help:"Function, or function@version, or function@alias."`
	Args []string `arg:"" optional:"" name:"json" help:"Its arguments: JSON, @FILE, or - for standard input."`

	IdempotencyKey string `help:"Run at most once for this key within 24 hours." placeholder:"KEY"`
}

func (c *invokeCmd) Run(ctx context.Context, s *session) error {
	args, err := s.arguments(c.Args)
	if err != nil {
		return err
	}
	a, err := s.hub.Do(ctx, http.MethodPost, invokePath(c.Name), args, idempotency(c.IdempotencyKey)...)
	if err != nil {
		if ctx.Err() != nil && !s.json {
			fmt.Fprintln(s.note, "Nobody waits for the call any more, but it may go on: see livefn ps, livefn cancel.")
		}
		return err
	}
	kind := a.Header.Get("Content-Type")
	switch {
	case a.Status == http.StatusAccepted && s.json:
		return s.result(a.Body)
	case a.Status == http.StatusAccepted:
		return s.say("%s paused before it had a result. Go on with: livefn resume %[1]s", a.Execution)
	case a.Status == http.StatusNoContent && s.json:
		return s.print(nil)
	case a.Status == http.StatusNoContent:
		return nil
	case !strings.HasPrefix(kind, "application/json"): // raw bytes
		_, err := s.out.Write(a.Body)
		return err
	}
	return s.result(a.Body)
}

type startCmd struct {
	Name string   `arg:"" help:"Function, or function@version, or function@alias."`
	Args []string `arg:"" optional:"" name:"json" help:"Its arguments: JSON, @FILE, or - for standard input."`

	IdempotencyKey string `help:"Start at most once for this key within 24 hours." placeholder:"KEY"`
	Delay          string `help:"How long it stays queued: 90s, 2h, 3d." placeholder:"TIME"`
	Priority       int    `help:"-100 to 100; higher goes first."`
}

func (c *startCmd) Run(ctx context.Context, s *session) error {
	args, err := s.arguments(c.Args)
	if err != nil {
		return err
	}
	var started struct {
		Execution string `json:"execution"`
	}
	q := url.Values{"async": {"1"}}
	if c.Delay != "" {
		q.Set("delay", c.Delay)
	}
	if c.Priority != 0 {
		q.Set("priority", strconv.Itoa(c.Priority))
	}
	if err := s.hub.JSON(ctx, http.MethodPost, invokePath(c.Name)+"?"+q.Encode(), args, &started, idempotency(c.IdempotencyKey)...); err != nil {
		return err
	}
	if s.json {
		return s.print(started)
	}
	fmt.Fprintf(s.note, "Started. Watch it with: livefn tail execution.%s\n", started.Execution)
	return s.say("%s", started.Execution) // alone, for id=$(livefn start …)
}

func invokePath(name string) string { return "/v1/invoke/" + url.PathEscape(name) }

func idempotency(key string) []string {
	if key == "" {
		return nil
	}
	return []string{"Idempotency-Key", key}
}

type sendCmd struct {
	ID   string `arg:"" help:"Execution."`
	Type string `arg:"" help:"The event's type."`
	Data string `arg:"" optional:"" name:"json" help:"Its data: JSON, @FILE, or - for standard input."`
}

func (c *sendCmd) Run(ctx context.Context, s *session) error {
	data, err := s.optional(c.Data)
	if err != nil {
		return err
	}
	body := struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data,omitempty"`
	}{c.Type, data}
	if err := s.hub.JSON(ctx, http.MethodPost, "/v1/executions/"+url.PathEscape(c.ID)+"/events", body, nil); err != nil {
		return err
	}
	if s.json {
		return s.print(true)
	}
	return s.say("%s sent to %s", plain(c.Type), c.ID)
}
