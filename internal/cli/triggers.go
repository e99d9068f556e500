package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

type triggersCmd struct {
	Ls     triggersLsCmd     `cmd:"" default:"withargs" help:"List triggers; the default."`
	Set    triggersSetCmd    `cmd:"" help:"Make a trigger, or change it."`
	Rm     triggersRmCmd     `cmd:"" help:"Delete a trigger; what it started goes on."`
	Run    triggersRunCmd    `cmd:"" help:"Start a schedule's execution now."`
	Pause  triggersPauseCmd  `cmd:"" help:"Stop a trigger."`
	Resume triggersResumeCmd `cmd:"" help:"Let a paused trigger go on."`
}

type triggersLsCmd struct{}

func (*triggersLsCmd) Run(ctx context.Context, s *session) error {
	type page struct {
		Items []struct {
			Name, Function, Schedule, Timezone, Pattern, Error string
			Paused                                             bool
			Next                                               []string
			Runs, Missed                                       int
		}
	}
	return answer(ctx, s, http.MethodGet, "/v1/triggers", nil, func(p page) error {
		if len(p.Items) == 0 {
			return s.say("no triggers; make one with: livefn triggers set NAME '{\"function\":\"…\",\"schedule\":\"@daily\"}'")
		}
		var rows [][]string
		for _, t := range p.Items {
			when, next := "on "+t.Pattern, "-"
			if t.Schedule != "" {
				when = t.Schedule
				if t.Timezone != "" {
					when += " " + t.Timezone
				}
			}
			if len(t.Next) > 0 {
				next = t.Next[0]
			}
			if t.Paused {
				next = "paused"
			}
			rows = append(rows, []string{t.Name, t.Function, plain(when), next, strconv.Itoa(t.Runs), strconv.Itoa(t.Missed), plain(t.Error)})
		}
		return table(s.out, "TRIGGER FUNCTION WHEN NEXT RUNS MISSED ERROR", rows)
	})
}

type triggersSetCmd struct {
	Name    string `arg:"" help:"Trigger."`
	Trigger string `arg:"" name:"json" help:"What it is: JSON, @FILE, or - for standard input. {\"function\", \"schedule\" or \"pattern\", …}"`
}

func (c *triggersSetCmd) Run(ctx context.Context, s *session) error {
	body, err := s.optional(c.Trigger)
	if err != nil {
		return err
	}
	a, err := s.hub.Do(ctx, http.MethodPut, triggerPath(c.Name), json.RawMessage(body))
	if err != nil {
		return err
	}
	if s.json {
		return s.result(a.Body)
	}
	var t struct{ Next []string }
	if err := json.Unmarshal(a.Body, &t); err != nil {
		return err
	}
	if len(t.Next) > 0 {
		return s.say("%s runs next at %s", c.Name, t.Next[0])
	}
	return s.say("%s is set", c.Name)
}

type triggersRmCmd struct {
	Name string `arg:"" help:"Trigger."`
}

func (c *triggersRmCmd) Run(ctx context.Context, s *session) error {
	if _, err := s.hub.Do(ctx, http.MethodDelete, triggerPath(c.Name), nil); err != nil {
		return err
	}
	if s.json {
		return s.print(nil)
	}
	return s.say("%s is deleted", c.Name)
}

type triggersRunCmd struct {
	Name string `arg:"" help:"Trigger."`
}

func (c *triggersRunCmd) Run(ctx context.Context, s *session) error {
	var started struct {
		Execution string `json:"execution"`
	}
	if err := s.hub.JSON(ctx, http.MethodPost, triggerPath(c.Name)+"/run", nil, &started); err != nil {
		return err
	}
	if s.json {
		return s.print(started)
	}
	return s.say("%s", started.Execution)
}

type triggersPauseCmd struct {
	Name string `arg:"" help:"Trigger."`
}

func (c *triggersPauseCmd) Run(ctx context.Context, s *session) error {
	return s.trigger(ctx, c.Name, "pause", "is paused")
}

type triggersResumeCmd struct {
	Name string `arg:"" help:"Trigger."`
}

func (c *triggersResumeCmd) Run(ctx context.Context, s *session) error {
	return s.trigger(ctx, c.Name, "resume", "goes on")
}

func (s *session) trigger(ctx context.Context, name, verb, done string) error {
	a, err := s.hub.Do(ctx, http.MethodPost, triggerPath(name)+"/"+verb, nil)
	if err != nil {
		return err
	}
	if s.json {
		return s.result(a.Body)
	}
	return s.say("%s %s", name, done)
}

func triggerPath(name string) string { return "/v1/triggers/" + url.PathEscape(name) }
