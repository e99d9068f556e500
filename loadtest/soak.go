package loadtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

// Soak loads a hub of its own with everything at once for a long time, and looks whether what it uses grows:
// calls over HTTP and WebSocket, durable executions, streamed answers, subscribers that come and go, publishes to
// streams, and new versions of a function that is being called.
type Soak struct {
	Livefn   string        // the livefn program
	Node     string        // node
	Duration time.Duration // 10 min
	Every    time.Duration // between two looks; Duration / 60
	Log      io.Writer     // progress; nil: none
}

// SoakFigures is what Soak saw. Each use is the median over the second fifth of the time, and over the last.
type SoakFigures struct {
	Seconds float64          `json:"seconds"`
	Done    map[string]int64 `json:"done"`   // by what was done
	Errors  map[string]int64 `json:"errors"` // by what was done and the code
	Uses    []SoakUse        `json:"uses"`
}

// SoakUse is one thing that the hub uses.
type SoakUse struct {
	Name   string  `json:"name"`
	Early  float64 `json:"early"`
	Late   float64 `json:"late"`
	Growth float64 `json:"growth"` // Late ÷ Early
}

// soakGrowth is the growth from which on a use is not flat.
const soakGrowth = 1.25

// Whole reports whether nothing failed and nothing grew.
func (f *SoakFigures) Whole() bool {
	return len(f.Errors) == 0 && !slices.ContainsFunc(f.Uses, func(u SoakUse) bool { return u.Growth > soakGrowth })
}

// soak is a running one.
type soak struct {
	url, key, adminKey string
	target             target

	mu     sync.Mutex // guards all below
	done   map[string]int64
	errors map[string]int64
	looks  []map[string]float64
}

// Run measures.
func (s Soak) Run(ctx context.Context) (*SoakFigures, error) {
	if s.Duration == 0 {
		s.Duration = 10 * time.Minute
	}
	if s.Every == 0 {
		s.Every = s.Duration / 60
	}
	if s.Log == nil {
		s.Log = io.Discard
	}
	dir, err := os.MkdirTemp("", "livefn-load-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	adminKey := rand.Text()
	pid := 0
	hub := process{
		name: peerLivefn, started: func(n int) { pid = n },
		args: []string{s.Livefn, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--log-level", "warn", "--keep-ended", "10s"},
		env:  []string{"LIVEFN_ADMIN_KEY=" + adminKey, "LIVEFN_NODE=" + s.Node},
	}
	k := &soak{adminKey: adminKey, done: map[string]int64{}, errors: map[string]int64{}}
	_, err = hub.during(ctx, func(ctx context.Context, at string, _ time.Time) (err error) {
		k.url = at
		if k.target, err = parseTarget(at); err != nil {
			return err
		}
		if k.key, err = prepareHub(ctx, at, adminKey); err != nil {
			return err
		}
		if err := publish(ctx, at, k.key, "stream"); err != nil {
			return err
		}
		return k.load(ctx, s, pid)
	})
	if err != nil {
		return nil, err
	}
	return k.figures(s.Duration), nil
}

func (k *soak) load(ctx context.Context, s Soak, pid int) error {
	if err := k.publishNext(ctx, 0); err != nil {
		return err
	}
	over, stop := context.WithCancel(ctx) // without a deadline, which dials would heed a moment before it is over
	defer stop()
	defer time.AfterFunc(s.Duration, stop).Stop()
	g, over := errgroup.WithContext(over)
	base := Scenario{URL: k.url, Key: k.key, Function: hubFunction, Args: json.RawMessage("[1,2]"), Duration: s.Duration}
	calls, sockets, durable := base, base, base
	calls.Expect, calls.Rate, calls.Connections = json.RawMessage("3"), 300, 16
	sockets.Expect, sockets.Rate, sockets.Connections, sockets.Transport = json.RawMessage("3"), 300, 8, WebSocket
	durable.Rate, durable.Connections, durable.Durable, durable.Wait = 50, 16, true, 5*time.Second
	for what, scenario := range map[string]Scenario{"calls": calls, "calls over WebSockets": sockets, "durable executions": durable} {
		g.Go(func() error {
			r, err := scenario.Run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			k.count(what, r.Calls)
			for code, n := range r.Errors {
				k.fail(what, code, n)
			}
			return nil
		})
	}
	n := 0
	k.again(g, over, "new versions", time.Second, func(ctx context.Context) error {
		n++
		return k.publishNext(ctx, n)
	})
	k.again(g, over, "calls of what is published", 20*time.Millisecond, func(ctx context.Context) error {
		var version int
		return request(ctx, k.key, http.MethodPost, k.url+"/v1/invoke/changing", nil, &version)
	})
	k.again(g, over, "streamed answers", 100*time.Millisecond, k.stream)
	k.again(g, over, "events", 20*time.Millisecond, func(ctx context.Context) error {
		return request(ctx, k.key, http.MethodPost, k.url+"/v1/streams/soak.a/events", map[string]any{"type": "tick", "data": 1}, nil)
	})
	k.again(g, over, "subscribers", 50*time.Millisecond, k.subscribe)
	g.Go(func() error {
		tick := time.NewTicker(s.Every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-over.Done():
				return nil
			}
			look, err := lookAt(pid)
			if err != nil {
				return err
			}
			if err := k.metrics(over, look); over.Err() != nil {
				return nil
			} else if err != nil {
				return err
			}
			k.mu.Lock()
			k.looks = append(k.looks, look)
			fmt.Fprintf(s.Log, "look %d: %v\n", len(k.looks), look)
			k.mu.Unlock()
		}
	})
	return g.Wait()
}

// again does f, with pauses, until ctx ends.
func (k *soak) again(g *errgroup.Group, ctx context.Context, what string, pause time.Duration, f func(context.Context) error) {
	g.Go(func() error {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
			switch err := f(ctx); {
			case err == nil:
				k.count(what, 1)
			case ctx.Err() == nil:
				code, _, _ := strings.Cut(err.Error(), ":")
				k.fail(what, code, 1)
			}
		}
	})
}

func (k *soak) count(what string, n int64) {
	k.mu.Lock()
	k.done[what] += n
	k.mu.Unlock()
}

func (k *soak) fail(what, code string, n int64) {
	k.mu.Lock()
	k.errors[what+": "+code] += n
	k.mu.Unlock()
}

func (k *soak) publishNext(ctx context.Context, n int) error {
	body := map[string]string{"source": fmt.Sprintf("const ballast = Array(10000).fill(%d)\nmodule.exports = () => ballast[0]", n)}
	return request(ctx, k.key, http.MethodPut, k.url+"/v1/functions/changing", body, nil)
}

// stream reads an answer of a megabyte as it comes.
func (k *soak) stream(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url+"/v1/invoke/stream", strings.NewReader("[1000]"))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+k.key)
	r.Header.Set("Accept", "text/event-stream")
	r.Close = true
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && !bytes.HasSuffix(b, []byte("event: result\ndata: 1000\n\n")) {
		err = fmt.Errorf("cut off: %d bytes", len(b))
	}
	return err
}

// subscribe joins, reads a little, and goes.
func (k *soak) subscribe(ctx context.Context) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", k.target.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	says := []string{`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"soak.>","since":"start"}}`}
	return greet(c, k.target, "/v1/ws", k.key, says, `"tick"`)
}

// metrics adds what the hub says of itself.
func (k *soak) metrics(ctx context.Context, look map[string]float64) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url+"/metrics", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+k.adminKey)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(b), "\ngo_goroutines ")
	line, _, _ := strings.Cut(after, "\n")
	if look["goroutines"], err = strconv.ParseFloat(line, 64); err != nil {
		return errors.New("the hub's metrics lack go_goroutines")
	}
	return nil
}

func (k *soak) figures(took time.Duration) *SoakFigures {
	f := &SoakFigures{Seconds: took.Seconds(), Done: k.done, Errors: k.errors}
	n := len(k.looks)
	for _, name := range []string{"hub's memory, MB", "goroutines", "open files", "processes", "processes' memory, MB"} {
		part := func(from, to int) float64 {
			var v []float64
			for _, look := range k.looks[from:to] {
				v = append(v, look[name])
			}
			return median(v)
		}
		if n >= 5 {
			u := SoakUse{Name: name, Early: part(n/5, 2*n/5), Late: part(4*n/5, n)}
			u.Growth = u.Late / u.Early
			f.Uses = append(f.Uses, u)
		}
	}
	return f
}

// Print writes the figures for people.
func (f *SoakFigures) Print(w io.Writer) error {
	if len(f.Uses) == 0 {
		return errors.New("it was too short to look five times")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, what := range slices.Sorted(maps.Keys(f.Done)) {
		fmt.Fprintf(t, "%s\t%s\n", what, count(float64(f.Done[what])))
	}
	fmt.Fprintf(t, "\nafter %.0f s\tearly\tlate\tlate ÷ early\n", f.Seconds)
	for _, u := range f.Uses {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.2f\n", u.Name, u.Early, u.Late, u.Growth)
	}
	for _, what := range slices.Sorted(maps.Keys(f.Errors)) {
		fmt.Fprintf(t, "failed: %s\t%d\n", what, f.Errors[what])
	}
	return t.Flush()
}
