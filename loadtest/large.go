package loadtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

// Large measures what calls with large payloads do to small calls of the same tenant: small ones are due at a
// constant rate, alone, beside a program that has nothing to do with the hub, and beside one caller who sends or
// fetches large payloads one after the other. It goes round by round, in a hub of its own; the caller has a process
// of its own.
type Large struct {
	Livefn   string        // the livefn program
	Node     string        // node
	Bytes    int           // of a large payload; 60 MiB
	Rate     float64       // small calls each second; 2,000
	Rounds   int           // 5
	Duration time.Duration // of each measurement; 2 s
	Log      io.Writer     // progress; nil: none
}

// LargeFigures is what Large measured.
type LargeFigures struct {
	Bytes  int            `json:"bytes"`
	Rate   float64        `json:"rate"`
	Rounds int            `json:"rounds"`
	Beside []*LargeBeside `json:"beside"`
}

// LargeBeside is the small calls beside one kind of load: medians over the rounds, in milliseconds. Ratio is the
// median of each round's p99 by that of the small calls alone in the same round.
type LargeBeside struct {
	Load      string  `json:"load"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	PerSecond float64 `json:"megabytesPerSecond"`
	Ratio     float64 `json:"ratio"`
	Low       float64 `json:"ratioLow"`
	High      float64 `json:"ratioHigh"`
	Moved     int     `json:"moved"` // large payloads, over all rounds
	Failed    int64   `json:"failed"`

	p50s, p99s, rates, ratios []float64
}

const swallow = "swallow"

// Run measures.
func (l Large) Run(ctx context.Context) (*LargeFigures, error) {
	if l.Bytes == 0 {
		l.Bytes = 60 << 20
	}
	if l.Rate == 0 {
		l.Rate = 2000
	}
	if l.Rounds == 0 {
		l.Rounds = 5
	}
	if l.Duration == 0 {
		l.Duration = 2 * time.Second
	}
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
		args: []string{l.Livefn, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--log-level", "warn", "--max-event", "64MiB"},
		env:  []string{"LIVEFN_ADMIN_KEY=" + adminKey, "LIVEFN_NODE=" + l.Node},
	}
	f := &LargeFigures{Bytes: l.Bytes, Rate: l.Rate, Rounds: l.Rounds}
	_, err = hub.during(ctx, func(ctx context.Context, at string, _ time.Time) error {
		key, err := prepareHub(ctx, at, adminKey)
		if err != nil {
			return err
		}
		if err := publish(ctx, at, key, swallow); err != nil {
			return err
		}
		return l.rounds(ctx, f, at, key)
	})
	return f, err
}

func (l Large) rounds(ctx context.Context, f *LargeFigures, at, key string) error {
	move := func(what string) func(context.Context, func()) (Moved, error) {
		return func(ctx context.Context, began func()) (Moved, error) {
			return Move{URL: at, Key: key, What: what, Bytes: l.Bytes}.apart(ctx, l.Livefn, began)
		}
	}
	loads := []struct {
		name string
		run  func(ctx context.Context, began func()) (Moved, error) // until ctx ends; nil: nothing
	}{
		{"nothing", nil},
		{"a program that parses such JSON", func(ctx context.Context, began func()) (Moved, error) {
			return Moved{}, spin(ctx, l.Node, l.Bytes, began)
		}},
		{"arguments that are bytes", move(moveBytesIn)},
		{"arguments that are JSON", move(moveJSONIn)},
		{"results that are bytes", move(moveBytesOut)},
		{"results that are JSON", move(moveJSONOut)},
		{"events of functions", move(moveEventOut)},
	}
	for range loads {
		f.Beside = append(f.Beside, &LargeBeside{})
	}
	small := Scenario{URL: at, Key: key, Function: hubFunction, Args: json.RawMessage("[1,2]"), Expect: json.RawMessage("3"),
		Rate: l.Rate, Connections: 16, Duration: l.Duration, WarmUp: max(l.Duration/4, 500*time.Millisecond)}
	for round := range l.Rounds {
		fmt.Fprintf(l.Log, "round %d of %d\n", round+1, l.Rounds)
		alone := 0.0
		for i, load := range loads {
			over, stop := context.WithCancel(ctx)
			var moved Moved
			var g errgroup.Group
			since := time.Now()
			if load.run != nil {
				moves, began := context.WithCancel(ctx)
				g.Go(func() (err error) {
					defer began() // if it failed
					moved, err = load.run(over, began)
					return err
				})
				<-moves.Done()
			}
			report, err := small.Run(ctx)
			took := time.Since(since)
			stop()
			if moveErr := g.Wait(); err == nil {
				err = moveErr
			}
			if err != nil {
				return fmt.Errorf("beside %s: %w", load.name, err)
			}
			if i == 0 {
				alone = report.Latency.P99
			}
			b := f.Beside[i]
			b.Load = load.name
			b.Moved += moved.Calls
			b.Failed += report.Failed() + report.Unsent
			b.p50s, b.p99s = append(b.p50s, report.Latency.P50), append(b.p99s, report.Latency.P99)
			b.rates = append(b.rates, float64(moved.Bytes)/1e6/took.Seconds())
			b.ratios = append(b.ratios, report.Latency.P99/alone)
		}
	}
	for _, b := range f.Beside {
		b.P50, b.P99, b.PerSecond, b.Ratio = median(b.p50s), median(b.p99s), median(b.rates), median(b.ratios)
		b.Low, b.High = slices.Min(b.ratios), slices.Max(b.ratios)
	}
	return nil
}

// Whole reports whether every small call was answered.
func (f *LargeFigures) Whole() bool {
	return !slices.ContainsFunc(f.Beside, func(b *LargeBeside) bool { return b.Failed > 0 })
}

// Print writes the figures for people.
func (f *LargeFigures) Print(w io.Writer) error {
	fmt.Fprintf(w, "small calls, %s/s, beside payloads of %s bytes of the same tenant; medians of %d rounds\n\n",
		count(f.Rate), count(float64(f.Bytes)), f.Rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "beside\tp50\tp99\t÷ alone\tover rounds\tMB/s\tfailed")
	for _, b := range f.Beside {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\t%.2f–%.2f\t%.0f\t%d\n", b.Load, millis(b.P50), millis(b.P99), b.Ratio, b.Low, b.High, b.PerSecond, b.Failed)
	}
	return t.Flush()
}
