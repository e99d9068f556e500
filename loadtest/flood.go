package loadtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

// Flood measures what a tenant that sends as much as it can does to another one, whose calls are due at a constant
// rate: alone, beside a flood within a limit of the flooding tenant's (callRate), and beside one without, over HTTP
// and over WebSockets. It goes round by round, in a hub of its own. Both tenants' clients have a process of their
// own, and share the machine.
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
		ws     bool
	}{
		{name: "nothing"},
		{"a flood within its callRate", map[string]float64{"callRate": l.Limit}, false},
		{"a flood over HTTP", map[string]float64{}, false},
		{"a flood over WebSockets", map[string]float64{}, true},
	}
	for _, load := range loads {
		f.Beside = append(f.Beside, &FloodBeside{Load: load.name})
	}
	for round := range l.Rounds {
		fmt.Fprintf(l.Log, "round %d of %d\n", round+1, l.Rounds)
		alone := 0.0
		for i, load := range loads {
			g, ctx := errgroup.WithContext(ctx)
			var flooded, report *Report
			if load.limits != nil {
				if err := request(ctx, adminKey, http.MethodPut, at+"/v1/admin/tenants/"+floodTenant+"/limits", load.limits, nil); err != nil {
					return fmt.Errorf("limit the flooding tenant: %w", err)
				}
				args := []string{"--connections", strconv.Itoa(l.Connections)}
				if load.ws {
					args = append(args, "--ws")
				}
				g.Go(func() (err error) {
					flooded, err = l.calls(ctx, at, floodKey, args...)
					return err
				})
			}
			g.Go(func() (err error) {
				report, err = l.calls(ctx, at, key, "--connections", "16", "--rate", strconv.FormatFloat(l.Rate, 'f', -1, 64), "--expect", "3")
				return err
			})
			if err := g.Wait(); err != nil {
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

// calls runs a load in a process of its own.
func (l Flood) calls(ctx context.Context, at, key string, args ...string) (*Report, error) {
	args = append([]string{"load", "run", hubFunction, "1", "2", "--json", "--url", at, "--duration", l.Duration.String(), "--warm-up", (l.Duration / 4).String()}, args...)
	cmd := exec.CommandContext(ctx, l.Livefn, args...) //nolint:gosec // this program
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LIVEFN_KEY=" + key}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	var r Report
	if jsonErr := json.Unmarshal(out, &r); jsonErr != nil { // else it fails only as some calls did
		return nil, fmt.Errorf("%w: %s", errors.Join(err, jsonErr), complaint.Bytes())
	}
	return &r, nil
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
