package cli

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type functionsCmd struct{}

func (*functionsCmd) Run(ctx context.Context, s *session) error {
	a, err := s.hub.Do(ctx, http.MethodGet, "/v1/functions", nil)
	if err != nil {
		return err
	}
	if s.json {
		return s.result(a.Body)
	}
	var page struct {
		Items []struct {
			Name      string
			Latest    int
			Versions  int
			State     string
			Aliases   map[string]aliasView
			UpdatedAt string
		}
	}
	if err := json.Unmarshal(a.Body, &page); err != nil {
		return err
	}
	if len(page.Items) == 0 {
		return s.say("no functions; publish one with: livefn publish DIR")
	}
	now := time.Now()
	var rows [][]string
	for _, f := range page.Items {
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
}
