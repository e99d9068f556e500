package cli

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type aliasCmd struct {
	Ls       aliasLsCmd       `cmd:"" default:"withargs" help:"List a function's aliases; the default."`
	Set      aliasSetCmd      `cmd:"" help:"Point an alias at a version, or share its calls out among several."`
	Rollback aliasRollbackCmd `cmd:"" help:"Point an alias back at where it pointed before."`
	Rm       aliasRmCmd       `cmd:"" help:"Delete an alias; what runs goes on."`
}

func functionPath(name string) string { return "/v1/functions/" + url.PathEscape(name) }

func aliasPath(function, alias string) string {
	return functionPath(function) + "/aliases/" + url.PathEscape(alias)
}

// aliasView is an alias as the hub shows it.
type aliasView struct {
	Name     string
	Version  int
	Weights  map[string]int
	Previous *struct {
		Version int
		Weights map[string]int
	}
	UpdatedAt string
}

// pointsAt is where an alias points, for people: 3, or 3=90 4=10.
func pointsAt(version int, weights map[string]int) string {
	if len(weights) == 0 {
		return strconv.Itoa(version)
	}
	var parts []string
	for _, v := range slices.SortedFunc(maps.Keys(weights), byNumber) {
		parts = append(parts, v+"="+strconv.Itoa(weights[v]))
	}
	return plain(strings.Join(parts, " "))
}

func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

type aliasLsCmd struct {
	Function string `arg:"" help:"Function."`
}

func (c *aliasLsCmd) Run(ctx context.Context, s *session) error {
	type page struct{ Items []aliasView }
	return answer(ctx, s, http.MethodGet, functionPath(c.Function)+"/aliases", nil, func(p page) error {
		if len(p.Items) == 0 {
			return s.say("no aliases; make one with: livefn alias set %s prod VERSION", plain(c.Function))
		}
		now := time.Now()
		var rows [][]string
		for _, a := range p.Items {
			before := "-"
			if a.Previous != nil {
				before = pointsAt(a.Previous.Version, a.Previous.Weights)
			}
			rows = append(rows, []string{plain(a.Name), pointsAt(a.Version, a.Weights), before, ago(a.UpdatedAt, now)})
		}
		return table(s.out, "ALIAS VERSION BEFORE UPDATED", rows)
	})
}

type aliasSetCmd struct {
	Function string   `arg:"" help:"Function."`
	Alias    string   `arg:"" help:"Its alias, such as prod."`
	Versions []string `arg:"" name:"version" help:"A version, or several with weights: 3=90 4=10."`
}

func (c *aliasSetCmd) Run(ctx context.Context, s *session) error {
	var body struct {
		Version int            `json:"version,omitempty"`
		Weights map[string]int `json:"weights,omitempty"`
	}
	for _, text := range c.Versions {
		version, weight, weighted := strings.Cut(text, "=")
		n, err := strconv.Atoi(version)
		switch {
		case err != nil || n < 1:
			return wrongUsage("%q is not the number of a version", version)
		case !weighted && len(c.Versions) > 1:
			return wrongUsage("several versions need weights, such as 3=90 4=10")
		case !weighted:
			body.Version = n
			continue
		}
		share, err := strconv.Atoi(weight)
		if err != nil || share < 0 {
			return wrongUsage("%q is not a weight, a whole number", weight)
		}
		if body.Weights == nil {
			body.Weights = map[string]int{}
		}
		body.Weights[strconv.Itoa(n)] += share
	}
	return answer(ctx, s, http.MethodPut, aliasPath(c.Function, c.Alias), body, s.showAlias)
}

// showAlias prints the alias that the hub answered with.
func (s *session) showAlias(a aliasView) error {
	return s.say("%s means %s", plain(a.Name), pointsAt(a.Version, a.Weights))
}

type aliasRollbackCmd struct {
	Function string `arg:"" help:"Function."`
	Alias    string `arg:"" help:"Its alias."`
}

func (c *aliasRollbackCmd) Run(ctx context.Context, s *session) error {
	return answer(ctx, s, http.MethodPost, aliasPath(c.Function, c.Alias)+"/rollback", nil, s.showAlias)
}

type aliasRmCmd struct {
	Function string `arg:"" help:"Function."`
	Alias    string `arg:"" help:"Its alias."`
}

func (c *aliasRmCmd) Run(ctx context.Context, s *session) error {
	if _, err := s.hub.Do(ctx, http.MethodDelete, aliasPath(c.Function, c.Alias), nil); err != nil || s.json {
		return err
	}
	return s.say("deleted %s@%s", plain(c.Function), plain(c.Alias))
}
