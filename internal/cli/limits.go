package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// limits gives those of a tenant that has none of its own.
func (c *ServeCmd) limits() (tenants.Limits, error) {
	l := tenants.DefaultLimits()
	l.MinBridges, l.MaxBridges, l.Network = c.BridgesMin, c.BridgesMax, c.Network
	if err := l.Check(); err != nil { // of Network the flag has its own
		return l, fmt.Errorf("--bridges-min and --bridges-max: %s", fault.From(err).Detail)
	}
	return l, nil
}

type limitsCmd struct {
	operator
	Show showLimitsCmd `cmd:"" help:"Show a tenant's limits."`
	Set  setLimitsCmd  `cmd:"" help:"Change some of a tenant's limits: name=value; name= takes the hub's default again."`
}

func limitsPath(tenant string) string {
	return "/v1/admin/tenants/" + url.PathEscape(tenant) + "/limits"
}

// limits is what the API says of a tenant's limits.
type limits struct {
	Limits    map[string]json.RawMessage `json:"limits"`
	Effective map[string]json.RawMessage `json:"effective"`
}

type showLimitsCmd struct {
	Tenant string `arg:"" name:"name" help:"Tenant."`
}

func (c *showLimitsCmd) Run(ctx context.Context, s *session, all *commands) error {
	return answer(ctx, all.Limits.as(s), http.MethodGet, limitsPath(c.Tenant), nil, s.showLimits)
}

func (s *session) showLimits(l limits) error {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(l.Effective)) {
		from := "default"
		if _, own := l.Limits[name]; own {
			from = "own"
		}
		rows = append(rows, []string{name, strings.Trim(string(l.Effective[name]), `"`), from})
	}
	return table(s.out, "LIMIT VALUE FROM", rows)
}

type setLimitsCmd struct {
	Tenant string   `arg:"" name:"name" help:"Tenant."`
	Limits []string `arg:"" name:"limit" help:"Limits, as callRate=100 memory=512MiB; callRate= for the hub's default."`
}

func (c *setLimitsCmd) Run(ctx context.Context, s *session, all *commands) error {
	hub := all.Limits.as(s).hub
	var now limits
	if err := hub.JSON(ctx, http.MethodGet, limitsPath(c.Tenant), nil, &now); err != nil {
		return err
	}
	next := map[string]json.RawMessage{}
	maps.Copy(next, now.Limits)
	for _, l := range c.Limits {
		name, value, ok := strings.Cut(l, "=")
		switch {
		case !ok || name == "":
			return wrongUsage("%q is not a limit and its value, like callRate=100", l)
		case value == "":
			delete(next, name)
		case json.Valid([]byte(value)):
			next[name] = json.RawMessage(value)
		default: // with a unit
			b, err := json.Marshal(value)
			if err != nil {
				return err
			}
			next[name] = bytes.TrimSpace(b)
		}
	}
	return answer(ctx, s, http.MethodPut, limitsPath(c.Tenant), next, s.showLimits)
}
