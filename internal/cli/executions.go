package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// execution is what the commands show of one.
type execution struct {
	ID        string `json:"id"`
	Function  string `json:"function"`
	Version   int    `json:"version"`
	State     string `json:"state"`
	Attempt   int    `json:"attempt"`
	CreatedAt string `json:"createdAt"`
	Error     *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

type psCmd struct {
	Function string `help:"Only this function's." placeholder:"NAME"`
	State    string `help:"Only those in this state: queued, running, pausing, paused, succeeded, failed, cancelled." placeholder:"STATE"`
	Parent   string `help:"Only those that this execution asked for." placeholder:"ID"`
	ByKey    string `name:"with-key" help:"Only those with this idempotency key." placeholder:"KEY"`
	Trigger  string `help:"Only those that this trigger started." placeholder:"NAME"`
	Since    string `help:"Only those made at or after this time (RFC 3339)." placeholder:"TIME"`
	Until    string `help:"Only those made before this time (RFC 3339)." placeholder:"TIME"`
	Limit    int    `help:"How many." default:"50"`
	Cursor   string `help:"Where the page before ended."`
}

func (c *psCmd) Run(ctx context.Context, s *session) error {
	q := url.Values{"limit": {strconv.Itoa(c.Limit)}}
	for name, v := range map[string]string{
		"function": c.Function, "state": c.State, "parent": c.Parent, "key": c.ByKey, "trigger": c.Trigger,
		"since": c.Since, "until": c.Until, "cursor": c.Cursor,
	} {
		if v != "" {
			q.Set(name, v)
		}
	}
	type page struct {
		Items []execution
		Next  string
	}
	return answer(ctx, s, http.MethodGet, "/v1/executions?"+q.Encode(), nil, func(p page) error {
		if len(p.Items) == 0 {
			return s.say("no executions")
		}
		now := time.Now()
		var rows [][]string
		for _, x := range p.Items {
			why := ""
			if x.Error != nil {
				why = plain(x.Error.Code + ": " + x.Error.Message)
			}
			rows = append(rows, []string{x.ID, x.Function + "@" + strconv.Itoa(x.Version), x.State, strconv.Itoa(x.Attempt), ago(x.CreatedAt, now), why})
		}
		if err := table(s.out, "EXECUTION FUNCTION STATE ATTEMPT AGE ERROR", rows); err != nil {
			return err
		}
		if p.Next != "" {
			return s.say("more: livefn ps --cursor %s", p.Next)
		}
		return nil
	})
}

type pauseCmd struct {
	ID string `arg:"" help:"Execution."`
}

func (c *pauseCmd) Run(ctx context.Context, s *session) error { return s.act(ctx, c.ID, "pause", nil) }

type cancelCmd struct {
	ID string `arg:"" help:"Execution."`
}

func (c *cancelCmd) Run(ctx context.Context, s *session) error {
	return s.act(ctx, c.ID, "cancel", nil)
}

type retryCmd struct {
	ID string `arg:"" help:"Execution that failed or was cancelled."`
}

func (c *retryCmd) Run(ctx context.Context, s *session) error { return s.act(ctx, c.ID, "retry", nil) }

type resumeCmd struct {
	ID      string   `arg:"" help:"Execution."`
	Args    []string `arg:"" optional:"" name:"json" help:"Arguments to resume with, in place of those it paused with."`
	Version int      `help:"Version to resume on, in place of the one it ran on."`
}

func (c *resumeCmd) Run(ctx context.Context, s *session) error {
	body := struct {
		Args    []json.RawMessage `json:"args,omitempty"`
		Version int               `json:"version,omitempty"`
	}{Version: c.Version}
	var err error
	if body.Args, err = s.arguments(c.Args); err != nil {
		return err
	}
	return s.act(ctx, c.ID, "resume", body)
}

// act does something to an execution and says in which state it is now.
func (s *session) act(ctx context.Context, id, verb string, body any) error {
	a, err := s.hub.Do(ctx, http.MethodPost, "/v1/executions/"+url.PathEscape(id)+"/"+verb, body)
	if err != nil {
		return err
	}
	if s.json {
		return s.result(a.Body)
	}
	var x execution
	if err := json.Unmarshal(a.Body, &x); err != nil {
		return err
	}
	return s.say("%s is %s", id, x.State)
}
