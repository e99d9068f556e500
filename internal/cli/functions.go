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

type functionsCmd struct {
	Ls       functionsLsCmd       `cmd:"" default:"withargs" help:"List functions; the default."`
	Versions functionsVersionsCmd `cmd:"" help:"List a function's versions."`
	Rm       functionsRmCmd       `cmd:"" help:"Delete a function, or one version of it, on which nothing is."`
}

type functionsVersionsCmd struct {
	Name string `arg:"" help:"Function."`
}

func (c *functionsVersionsCmd) Run(ctx context.Context, s *session) error {
	type page struct {
		Items []struct {
			Version                 int
			State, CreatedAt, Error string
		}
	}
	return answer(ctx, s, http.MethodGet, functionPath(c.Name)+"/versions", nil, func(p page) error {
		now := time.Now()
		var rows [][]string
		for _, v := range slices.Backward(p.Items) {
			why, _, _ := strings.Cut(v.Error, "\n")
			rows = append(rows, []string{strconv.Itoa(v.Version), v.State, ago(v.CreatedAt, now), plain(why)})
		}
		return table(s.out, "VERSION STATE PUBLISHED ERROR", rows)
	})
}

type functionsRmCmd struct {
	Name  string `arg:"" help:"Function, or function@version."`
	Drain bool   `help:"Take nothing new, and wait for what runs on it, for half a minute."`
}

func (c *functionsRmCmd) Run(ctx context.Context, s *session) error {
	name, version, one := strings.Cut(c.Name, "@")
	path := functionPath(name)
	if one {
		path += "/versions/" + url.PathEscape(version)
	}
	if c.Drain {
		path += "?drain=true"
	}
	if _, err := s.hub.Do(ctx, http.MethodDelete, path, nil); err != nil || s.json {
		return err
	}
	return s.say("deleted %s", plain(c.Name))
}

type functionsLsCmd struct{}

func (*functionsLsCmd) Run(ctx context.Context, s *session) error {
	type page struct {
		Items []struct {
			Name      string
			Latest    int
			Versions  int
			State     string
			Aliases   map[string]aliasView
			UpdatedAt string
		}
	}
	return answer(ctx, s, http.MethodGet, "/v1/functions", nil, func(p page) error {
		if len(p.Items) == 0 {
			return s.say("no functions; publish one with: livefn publish DIR")
		}
		now := time.Now()
		var rows [][]string
		for _, f := range p.Items {
			latest := "-"
			if f.Latest > 0 {
				latest = strconv.Itoa(f.Latest)
			}
			var aliases []string
			for _, name := range slices.Sorted(maps.Keys(f.Aliases)) {
				a := f.Aliases[name]
				aliases = append(aliases, plain(name)+"→"+strings.ReplaceAll(pointsAt(a.Version, a.Weights), " ", ","))
			}
			if aliases == nil {
				aliases = []string{"-"}
			}
			rows = append(rows, []string{f.Name, latest, strconv.Itoa(f.Versions), f.State, strings.Join(aliases, " "), ago(f.UpdatedAt, now)})
		}
		return table(s.out, "FUNCTION LATEST VERSIONS STATE ALIASES UPDATED", rows)
	})
}
