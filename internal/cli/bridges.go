package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/livefn/livefn/internal/units"
)

type bridgesCmd struct {
	operator
	All bool `help:"Those of all tenants (operator)."`
}

// Run lists Node processes, those that ended last below the others.
func (c *bridgesCmd) Run(ctx context.Context, s *session) error {
	if c.All {
		s = c.as(s)
	}
	type page struct {
		Items []struct {
			Tenant, Node, State, StartedAt  string
			PID, InFlight, Calls, Processes int
			LoopDelay, CPU                  float64
			Memory                          int64
		}
		Ended []struct {
			Tenant, EndedAt, Code, Reason string
			PID                           int
		}
	}
	return answer(ctx, s, http.MethodGet, "/v1/bridges", nil, func(p page) error {
		now := time.Now()
		if len(p.Items) == 0 {
			if err := s.say("no bridges; a tenant has one from its first call on"); err != nil {
				return err
			}
		} else {
			var rows [][]string
			for _, b := range p.Items {
				rows = append(rows, []string{b.Tenant, strconv.Itoa(b.PID), b.State, b.Node, units.Size(b.Memory >> 20 << 20).String(),
					fmt.Sprintf("%.0f%%", b.CPU*100), fmt.Sprintf("%.1fms", b.LoopDelay), strconv.Itoa(b.InFlight), strconv.Itoa(b.Calls), ago(b.StartedAt, now)})
			}
			if err := table(s.out, "TENANT PID STATE NODE MEMORY CPU DELAY IN-FLIGHT CALLS AGE", rows); err != nil {
				return err
			}
		}
		if len(p.Ended) == 0 {
			return nil
		}
		var rows [][]string
		for _, b := range p.Ended {
			rows = append(rows, []string{b.Tenant, strconv.Itoa(b.PID), ago(b.EndedAt, now), b.Code, plain(b.Reason)})
		}
		if err := s.say(""); err != nil {
			return err
		}
		return table(s.out, "ENDED PID AGO CODE REASON", rows)
	})
}
