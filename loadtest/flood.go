package loadtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

// Flood measures what a tenant that sends as much as it can does to another one, whose calls are due at a constant
// rate: alone, beside a flood within a limit of the flooding tenant's (callRate), and beside one without. It goes
// round by round, in a hub of its own. The flood's clients share the machine, too.
type Flood struct {
	Livefn      string        // the livefn program
	Node        string        // node
	Rate        float64       // calls each second of the tenant that is measured; 1,000
	Limit       float64       // callRate of the flooding tenant; 1,000
	Connections int           // of the flood; 64
	Rounds      int           // 5
	Duration    time.Duration // of each measurement; 2 s
	Log         io.Writer     // progress; nil: none
}

// FloodFigures is what Flood measured.
type FloodFigures struct {
	Rate   float64        `json:"rate"`
	Limit  float64        `json:"limit"`
	Rounds int            `json:"rounds"`
	Beside []*FloodBeside `json:"beside"`
}

// FloodBeside is the measured tenant beside one kind of flood: medians over the rounds, in milliseconds. Ratio is
// the median of each round's p99 by that of the same round without a flood.
type FloodBeside struct {
	Load    string  `json:"load"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Ratio   float64 `json:"ratio"`
	Low     float64 `json:"ratioLow"`
	High    float64 `json:"ratioHigh"`
	Failed  int64   `json:"failed"`  // calls of the measured tenant
	Flooded float64 `json:"flooded"` // answers to the flood each second, refusals too

	p50s, p99s, ratios, floods []float64
}

const floodTenant = "flood"

// Run measures.
func (l Flood) Run(ctx context.Context) (*FloodFigures, error) {
	if l.Log == nil {
		l.Log = io.Discard
	}
	dir, err := os.MkdirTemp("", "livefn-load-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	adminKey := rand.Text()
	hub := process{
		name: peerLivefn,
		args: []string{l.Livefn, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--log-level", "warn"},
		env:  []string{"LIVEFN_ADMIN_KEY=" + adminKey, "LIVEFN_NODE=" + l.Node},
	}
	f := &FloodFigures{Rate: l.Rate, Limit: l.Limit, Rounds: l.Rounds}
	_, err = hub.during(ctx, func(ctx context.Context, at string, _ time.Time) error {
		key, err := prepareHub(ctx, at, adminKey)
		if err != nil {
			return err
		}
		var other struct{ Key string }
		if err := request(ctx, adminKey, http.MethodPost, at+"/v1/admin/tenants", map[string]string{"name": floodTenant}, &other); err != nil {
			return fmt.Errorf("make the flooding tenant: %w", err)
		}
		if err := publishAdd(ctx, at, other.Key); err != nil {
			return err
		}
		return l.rounds(ctx, f, at, adminKey, key, other.Key)
	})
	return f, err
}

func (l Flood) rounds(ctx context.Context, f *FloodFigures, at, adminKey, key, floodKey string) error {
	loads := []struct {
		name   string
		limits map[string]float64 // nil: no flood
	}{
		{"nothing", nil},
		{"a flood within its callRate", map[string]float64{"callRate": l.Limit}},
		{"a flood without a limit", map[string]float64{}},
	}
	for _, load := range loads {
		f.Beside = append(f.Beside, &FloodBeside{Load: load.name})
	}
	calls := func(key string, s Scenario) Scenario {
		s.URL, s.Key, s.Function, s.Args, s.Duration, s.WarmUp = at, key, hubFunction, json.RawMessage("[1,2]"), l.Duration, l.Duration/4
		return s
	}
	measured := calls(key, Scenario{Rate: l.Rate, Connections: 16, Expect: json.RawMessage("3")})
	flood := calls(floodKey, Scenario{Connections: l.Connections})
	for round := range l.Rounds {
		fmt.Fprintf(l.Log, "round %d of %d\n", round+1, l.Rounds)
		alone := 0.0
		for i, load := range loads {
			var g errgroup.Group
			var flooded *Report
			if load.limits != nil {
				if err := request(ctx, adminKey, http.MethodPut, at+"/v1/admin/tenants/"+floodTenant+"/limits", load.limits, nil); err != nil {
					return fmt.Errorf("limit the flooding tenant: %w", err)
				}
				g.Go(func() (err error) {
					flooded, err = flood.Run(ctx)
					return err
				})
			}
			report, err := measured.Run(ctx)
			if floodErr := g.Wait(); err == nil {
				err = floodErr
			}
			if err != nil {
				return fmt.Errorf("beside %s: %w", load.name, err)
			}
			if i == 0 {
				alone = report.Latency.P99
			}
			b := f.Beside[i]
			b.Failed += report.Failed() + report.Unsent
			b.p50s, b.p99s = append(b.p50s, report.Latency.P50), append(b.p99s, report.Latency.P99)
			b.ratios = append(b.ratios, report.Latency.P99/alone)
			if flooded != nil {
				b.floods = append(b.floods, (float64(flooded.Calls)+float64(flooded.Failed()))/l.Duration.Seconds())
			} else {
				b.floods = append(b.floods, 0)
			}
		}
	}
	for _, b := range f.Beside {
		b.P50, b.P99, b.Ratio, b.Flooded = median(b.p50s), median(b.p99s), median(b.ratios), median(b.floods)
		b.Low, b.High = slices.Min(b.ratios), slices.Max(b.ratios)
	}
	return nil
}

// Whole reports whether every call of the measured tenant was answered.
func (f *FloodFigures) Whole() bool {
	return !slices.ContainsFunc(f.Beside, func(b *FloodBeside) bool { return b.Failed > 0 })
}

// Print writes the figures for people.
func (f *FloodFigures) Print(w io.Writer) error {
	fmt.Fprintf(w, "one tenant's calls, %s/s, beside another that floods the hub (callRate %s); medians of %d rounds\n\n",
		count(f.Rate), count(f.Limit), f.Rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "beside\tp50\tp99\t÷ alone\tover rounds\tflood/s\tfailed")
	for _, b := range f.Beside {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\t%.2f–%.2f\t%s\t%d\n", b.Load, millis(b.P50), millis(b.P99), b.Ratio, b.Low, b.High, count(b.Flooded), b.Failed)
	}
	return t.Flush()
}
