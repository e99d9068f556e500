package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/livefn/livefn/internal/client"
)

type logsCmd struct {
	Of     string `arg:"" optional:"" help:"Execution, or function; without it all functions."`
	Follow bool   `short:"f" help:"Go on: to the end of the execution, or with what the function's executions log from now on."`
	Level  string `help:"Leave out what is less: debug, info, warn or error." default:"debug" enum:"debug,info,warn,error"`
	Last   int    `help:"Of a function: how many of its executions, the newest. Calls that have ended are not kept." default:"20"`
}

// executionID is what an execution's id looks like: a ULID.
var executionID = regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

// levels are those of logs, the least first.
var levels = []string{"debug", "info", "warn", "error"}

// logEvent is an event as a page of history and the event stream have it.
type logEvent struct {
	Stream string
	Type   string
	Time   string
	Data   json.RawMessage
}

func (ev *logEvent) execution() string { return strings.TrimPrefix(ev.Stream, "execution.") }

// Run prints logs: those there are, or with -f those that come.
func (c *logsCmd) Run(ctx context.Context, s *session) error {
	switch {
	case c.Last < 1 || c.Last > 1000:
		return wrongUsage("--last must be 1 to 1000")
	case executionID.MatchString(c.Of) && c.Follow:
		path := eventsPath(c.Of)
		return s.follow(ctx, path, path, func(m client.Message) error {
			ev, err := logEventOf(m)
			switch {
			case err != nil:
				return err
			case isEnd(ev.Type):
				return errEnded
			}
			return c.line(s, ev, false)
		})
	case executionID.MatchString(c.Of):
		return c.history(ctx, s, c.Of, false)
	}
	if c.Of != "" { // a name that nobody has would be silent for ever
		if _, err := s.hub.Do(ctx, http.MethodGet, "/v1/functions/"+url.PathEscape(c.Of), nil); err != nil {
			return err
		}
	}
	if c.Follow {
		return c.followAll(ctx, s)
	}
	q := url.Values{"limit": {strconv.Itoa(c.Last)}}
	if c.Of != "" {
		q.Set("function", c.Of)
	}
	var page struct{ Items []struct{ ID string } }
	if err := s.hub.JSON(ctx, http.MethodGet, "/v1/executions?"+q.Encode(), nil, &page); err != nil {
		return err
	}
	for _, x := range slices.Backward(page.Items) {
		if err := c.history(ctx, s, x.ID, true); err != nil {
			return err
		}
	}
	return nil
}

// history prints what an execution has logged.
func (c *logsCmd) history(ctx context.Context, s *session, id string, several bool) error {
	for since := ""; ; {
		var page struct {
			Events []*logEvent
			Next   string
		}
		q := url.Values{"limit": {"1000"}}
		if since != "" {
			q.Set("since", since)
		}
		if err := s.hub.JSON(ctx, http.MethodGet, eventsPath(id)+"?"+q.Encode(), nil, &page); err != nil {
			if p, ok := err.(*client.Problem); ok && p.Code == "not_found" && several {
				return nil // a call that ended after it was listed
			}
			return err
		}
		for _, ev := range page.Events {
			if err := c.line(s, ev, several); err != nil {
				return err
			}
		}
		if since = page.Next; since == "" {
			return nil
		}
	}
}

// followAll prints what all executions log from now on, or those of a function.
func (c *logsCmd) followAll(ctx context.Context, s *session) error {
	path := "/v1/streams/" + allExecutions + "/events"
	of := map[string]string{} // functions of executions that have not ended
	return s.follow(ctx, path, path, func(m client.Message) error {
		ev, err := logEventOf(m)
		if err != nil {
			return err
		}
		id := ev.execution()
		if ev.Type != "log" {
			var told struct{ Function string }
			if isEnd(ev.Type) {
				delete(of, id)
			} else if strings.HasPrefix(ev.Type, "execution.") && json.Unmarshal(ev.Data, &told) == nil && told.Function != "" {
				of[id] = told.Function
			}
			return nil
		}
		if c.Of != "" {
			fn, known := of[id]
			if !known { // it began before we looked
				var x struct{ Function string }
				if s.hub.JSON(ctx, http.MethodGet, "/v1/executions/"+id, nil, &x) == nil { // else it has ended meanwhile
					fn, of[id] = x.Function, x.Function
				}
			}
			if fn != c.Of {
				return nil
			}
		}
		return c.line(s, ev, true)
	})
}

func eventsPath(execution string) string {
	return "/v1/executions/" + url.PathEscape(execution) + "/events"
}

func logEventOf(m client.Message) (*logEvent, error) {
	var ev logEvent
	if err := json.Unmarshal(m.Data, &ev); err != nil {
		return nil, fmt.Errorf("the hub sent an event that is not JSON: %w", err)
	}
	return &ev, nil
}

// line prints a log event: its time, level, message and fields, and of several executions which one. Other events
// are not logs.
func (c *logsCmd) line(s *session, ev *logEvent, several bool) error {
	if ev.Type != "log" {
		return nil
	}
	var l struct {
		Time      string          `json:"time,omitempty"`
		Execution string          `json:"execution,omitempty"`
		Level     string          `json:"level"`
		Message   string          `json:"message"`
		Fields    json.RawMessage `json:"fields,omitempty"`
	}
	if err := json.Unmarshal(ev.Data, &l); err != nil {
		return fmt.Errorf("the hub sent a log event of another shape: %w", err)
	}
	if slices.Index(levels, l.Level) < slices.Index(levels, c.Level) {
		return nil
	}
	if s.json {
		l.Time, l.Execution = ev.Time, ev.execution()
		return s.print(l)
	}
	id := ""
	if several {
		id = plain(ev.execution()) + "  "
	}
	text := lines(l.Message)
	if len(l.Fields) > 0 {
		text += "  " + plain(string(l.Fields))
	}
	return s.say("%s  %s%-5s  %s", plain(ev.Time), id, plain(l.Level), text)
}
