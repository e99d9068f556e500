package loadtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// Durability measures durable executions through a hub of its own, which it starts, drains and starts
// again on a folder that it removes afterwards.
type Durability struct {
	Livefn   string        // the livefn program
	Node     string        // node
	Duration time.Duration // of each measurement of a rate; 5 s
	WarmUp   time.Duration // before it; 1 s
	Hold     int           // executions that run when the hub is drained; 10,000
	Log      io.Writer     // progress; nil: none
}

// DurableFigures is what Durability measured. Times are in milliseconds.
type DurableFigures struct {
	Acknowledged *Report `json:"acknowledged"` // start → on disk, 64 connections
	Ended        *Report `json:"ended"`        // start → result, 64 connections
	One          *Report `json:"one"`          // start → result, one at a time
	Held         int     `json:"held"`         // executions that ran when the hub was drained
	Drain        float64 `json:"drain"`        // from SIGTERM to the end of the process
	Ready        float64 `json:"ready"`        // from the next start until it answers
	Resumed      float64 `json:"resumed"`      // from the next start until all run again
}

// held is the function that runs until it is paused.
const held = "hold"

// drainPatience bounds the drain.
const drainPatience = 5 * time.Minute

// Run measures.
func (d Durability) Run(ctx context.Context) (*DurableFigures, error) {
	if d.Duration == 0 {
		d.Duration = 5 * time.Second
	}
	if d.Hold == 0 {
		d.Hold = 10_000
	}
	if d.Log == nil {
		d.Log = io.Discard
	}
	dir, err := os.MkdirTemp("", "livefn-load-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	adminKey := rand.Text()
	hub := process{
		name: peerLivefn, patience: drainPatience,
		args: []string{d.Livefn, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--log-level", "warn", "--drain-timeout", drainPatience.String()},
		env:  []string{"LIVEFN_ADMIN_KEY=" + adminKey, "LIVEFN_NODE=" + d.Node},
	}
	f := &DurableFigures{Held: d.Hold}
	var key string
	drained, err := hub.during(ctx, func(ctx context.Context, at string, _ time.Time) (err error) {
		if key, err = prepareHub(ctx, at, adminKey); err != nil {
			return err
		}
		if err := publish(ctx, at, key, held); err != nil {
			return err
		}
		return d.measure(ctx, f, at, key)
	})
	if err != nil {
		return nil, err
	}
	f.Drain = ms(drained)
	_, err = hub.during(ctx, func(ctx context.Context, at string, started time.Time) error {
		if err := waitReady(ctx, at); err != nil {
			return err
		}
		f.Ready = ms(time.Since(started))
		if err := d.running(ctx, at, key); err != nil {
			return fmt.Errorf("after the drain: %w", err)
		}
		f.Resumed = ms(time.Since(started))
		return nil
	})
	return f, err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// during runs the process while f does, ends it with SIGTERM, and says how long it took to end.
func (p process) during(ctx context.Context, f func(ctx context.Context, url string, started time.Time) error) (ending time.Duration, err error) {
	alive, stop := context.WithCancel(ctx)
	defer stop()
	ready := make(chan string, 1)
	started := time.Now()
	var ended time.Time
	g, fctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := p.Run(alive, ready)
		ended = time.Now()
		return err
	})
	g.Go(func() error {
		defer func() {
			started = time.Now()
			stop()
		}()
		select {
		case url := <-ready:
			return f(fctx, url, started)
		case <-fctx.Done():
			return context.Cause(fctx)
		case <-time.After(time.Minute):
			return errors.New("the hub does not listen after a minute")
		}
	})
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return ended.Sub(started), ctx.Err()
}

// measure measures what a durable execution costs, and then leaves Hold of them running.
func (d Durability) measure(ctx context.Context, f *DurableFigures, at, key string) (err error) {
	base := Scenario{URL: at, Key: key, Function: hubFunction, Args: json.RawMessage("[1,2]"), Durable: true, Duration: d.Duration, WarmUp: d.WarmUp}
	for _, m := range []struct {
		what        string
		connections int
		wait        time.Duration
		to          **Report
	}{
		{"start to result, one at a time", 1, 10 * time.Second, &f.One},
		{"start to result", 64, 10 * time.Second, &f.Ended},
		{"start to acknowledgement", 64, 0, &f.Acknowledged},
	} {
		fmt.Fprintf(d.Log, "%s\n", m.what)
		s := base
		s.Connections, s.Wait = m.connections, m.wait
		if *m.to, err = s.Run(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.what, err)
		}
	}
	fmt.Fprintf(d.Log, "starting %d that run until they are paused\n", d.Hold)
	g, startCtx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for range d.Hold {
		g.Go(func() error {
			return request(startCtx, key, http.MethodPost, at+"/v1/invoke/"+held+"?async=1", []int{1}, nil)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return d.running(ctx, at, key)
}

// running waits until Hold executions of held run.
func (d Durability) running(ctx context.Context, at, key string) error {
	for {
		n, err := countIn(ctx, at, key, held, "running")
		if err != nil {
			return err
		}
		if n == d.Hold {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d run: %w", n, d.Hold, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// countIn counts a function's executions in a state, page by page.
func countIn(ctx context.Context, at, key, fn, state string) (n int, err error) {
	for cursor := ""; ; {
		var page struct {
			Items []struct{ ID string }
			Next  string
		}
		q := url.Values{"function": {fn}, "state": {state}, "limit": {"1000"}, "cursor": {cursor}}
		if err := request(ctx, key, http.MethodGet, at+"/v1/executions?"+q.Encode(), nil, &page); err != nil {
			return 0, err
		}
		n += len(page.Items)
		if cursor = page.Next; cursor == "" {
			return n, nil
		}
	}
}

// Print writes the figures as tables for people.
func (f *DurableFigures) Print(w io.Writer) error {
	out := fmt.Sprintf("%-46s %10s %9s %9s\n", "Durable executions", "each s", "p50 ms", "p99 ms")
	for _, row := range []struct {
		name string
		r    *Report
	}{
		{"start to acknowledged, 64 connections", f.Acknowledged},
		{"start to result, 64 connections", f.Ended},
		{"start to result, one at a time", f.One},
	} {
		out += fmt.Sprintf("%-46s %10.0f %9.2f %9.2f\n", row.name, row.r.PerSecond, row.r.Latency.P50, row.r.Latency.P99)
	}
	out += fmt.Sprintf("\nDrain, %d executions that pause when asked\n", f.Held)
	out += fmt.Sprintf("  SIGTERM to the end of the hub         %8.0f ms\n", f.Drain)
	out += fmt.Sprintf("  next start until it answers           %8.0f ms\n", f.Ready)
	out += fmt.Sprintf("  next start until all run again        %8.0f ms\n", f.Resumed)
	_, err := io.WriteString(w, out)
	return err
}
