package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/livefn/livefn/internal/client"
)

type logsCmd struct {
	ID     string `arg:"" help:"Execution."`
	Follow bool   `short:"f" help:"Go on until the execution ends."`
}

// logEvent is an event as a page of history and the event stream have it.
type logEvent struct {
	Type string
	Time string
	Data json.RawMessage
}

// Run prints the log events of an execution: those there are, or with -f all to its end.
func (c *logsCmd) Run(ctx context.Context, s *session) error {
	path := "/v1/executions/" + url.PathEscape(c.ID) + "/events"
	if c.Follow {
		return s.follow(ctx, path, path, func(m client.Message) error {
			var ev logEvent
			if err := json.Unmarshal(m.Data, &ev); err != nil {
				return fmt.Errorf("the hub sent an event that is not JSON: %w", err)
			}
			if isEnd(ev.Type) {
				return errEnded
			}
			return s.logLine(ev)
		})
	}
	for since := ""; ; {
		var page struct {
			Events []logEvent
			Next   string
		}
		q := url.Values{"limit": {"1000"}}
		if since != "" {
			q.Set("since", since)
		}
		if err := s.hub.JSON(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for _, ev := range page.Events {
			if err := s.logLine(ev); err != nil {
				return err
			}
		}
		if since = page.Next; since == "" {
			return nil
		}
	}
}

// logLine prints a log event: its time, level, message and fields. Other events are not logs.
func (s *session) logLine(ev logEvent) error {
	if ev.Type != "log" {
		return nil
	}
	if s.json {
		return s.result(ev.Data)
	}
	var l struct {
		Level, Message string
		Fields         json.RawMessage
	}
	if err := json.Unmarshal(ev.Data, &l); err != nil {
		return fmt.Errorf("the hub sent a log event of another shape: %w", err)
	}
	return s.say("%s  %-5s  %s  %s", plain(ev.Time), plain(l.Level), plain(l.Message), plain(string(l.Fields)))
}
