package loadtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Comparison says how to measure livefn beside other servers. Every peer is a process of its own and
// idles while another is measured. Rounds are interleaved, A B C A B C, and a ratio is taken within
// its round: this machine's speed drifts by 2× between runs, hardly between neighbours.
type Comparison struct {
	Livefn   string        // the livefn program, which is also the echo peer
	URL      string        // of a running hub; "": one is started, on a folder of its own that is removed afterwards
	Key      string        // for URL: a tenant's, with `add` published, or it will be
	Node     string        // node
	Npm      string        // npm
	Cache    string        // folder for the ws package; the user's cache folder
	Rounds   int           // 5
	Duration time.Duration // of each measurement; 2 s
	WarmUp   time.Duration // before each; 500 ms
	Log      io.Writer     // progress; nil: none
}

// Names of the peers.
const (
	peerEcho     = "fasthttp echo"
	peerNodeHTTP = "node:http"
	peerWS       = "ws (npm)"
	peerLivefn   = "livefn"
)

// peer is one server of a comparison.
type peer struct {
	name    string
	process process // no args: it runs already
	prepare func(ctx context.Context) error
	url     string
	key     string
	expect  string
	err     error // why it can't be measured
}

// table is one of the comparisons: the same load for some peers, the first but livefn being the measure.
type table struct {
	title    string
	load     Scenario
	peers    []string
	latency  bool // the ratio compares p50, not calls/s
	halfRate bool // at half of what the peer did in the first table
}

var tables = []table{
	{title: "HTTP, 64 keep-alive connections", load: Scenario{Transport: HTTP, Connections: 64},
		peers: []string{peerEcho, peerNodeHTTP, peerLivefn}},
	{title: "WebSocket JSON-RPC, 64 connections × 16 in flight", load: Scenario{Transport: WebSocket, Connections: 64, InFlight: 16},
		peers: []string{peerWS, peerLivefn}},
	{title: "HTTP, one call at a time", load: Scenario{Transport: HTTP, Connections: 1},
		peers: []string{peerEcho, peerNodeHTTP, peerLivefn}, latency: true},
	{title: "HTTP, open loop at half of the peer's own maximum rate", load: Scenario{Transport: HTTP, Connections: 64},
		peers: []string{peerEcho, peerNodeHTTP, peerLivefn}, latency: true, halfRate: true},
}

func (c *Comparison) fill() {
	if c.Node == "" {
		c.Node = "node"
	}
	if c.Npm == "" {
		c.Npm = "npm"
	}
	if c.Rounds == 0 {
		c.Rounds = 5
	}
	if c.Duration == 0 {
		c.Duration = 2 * time.Second
	}
	if c.WarmUp == 0 {
		c.WarmUp = 500 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
}

// Run starts the peers, measures all tables, and ends the peers before it returns. A peer that can't
// be had is a row without figures; only ctx makes Run fail.
func (c Comparison) Run(ctx context.Context) (*Figures, error) {
	c.fill()
	dir, err := os.MkdirTemp("", "livefn-load-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	peers, err := c.peers(ctx, dir)
	if err != nil {
		return nil, err
	}
	alive, stop := context.WithCancel(ctx)
	var processes errgroup.Group
	defer func() {
		stop()
		_ = processes.Wait() // their errors are the peers' rows
	}()
	for _, p := range peers {
		if p.err == nil {
			p.start(alive, &processes)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	equalKeys(peers)
	figures := &Figures{Title: "(a, b) => a + b, JSON in and out", Unit: "calls/s", Rounds: c.Rounds, Seconds: c.Duration.Seconds()}
	for i, t := range tables {
		rows, err := c.measure(ctx, t, peers, figures, i)
		if err != nil {
			return nil, err
		}
		figures.Tables = append(figures.Tables, rows)
	}
	return figures, nil
}

// peers lists the peers, each ready to start.
func (c *Comparison) peers(ctx context.Context, dir string) ([]*peer, error) {
	echo := &peer{name: peerEcho, expect: "[1,2]", process: process{args: []string{c.Livefn, "load", "peer", "echo"}}}
	node := &peer{name: peerNodeHTTP, expect: "3", process: process{dir: filepath.Join(dir, "node-http"), args: []string{c.Node, "node-http.mjs"}}}
	if err := writePeer(node.process.dir, "node-http.mjs"); err != nil {
		return nil, err
	}
	ws := &peer{name: peerWS, expect: "3"}
	if cached, err := installWS(ctx, c.Npm, c.Cache, c.Log); err != nil {
		ws.err = err
	} else {
		ws.process = process{dir: cached, args: []string{c.Node, "ws.mjs"}}
		ws.err = writePeer(cached, "ws.mjs")
	}
	hub := c.hub(dir)
	if c.URL != "" {
		hub = &peer{name: peerLivefn, expect: "3", url: strings.TrimSuffix(c.URL, "/"), key: c.Key}
		hub.prepare = func(ctx context.Context) error { return c.useHub(ctx, hub) }
	}
	return []*peer{echo, node, ws, hub}, nil
}

// hub is a hub of our own, on a folder in dir.
func (c *Comparison) hub(dir string) *peer {
	hub := &peer{name: peerLivefn, expect: "3"}
	adminKey := rand.Text()
	hub.process = process{
		args: []string{c.Livefn, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--log-level", "warn"},
		env:  []string{"LIVEFN_ADMIN_KEY=" + adminKey, "LIVEFN_NODE=" + c.Node, "LIVEFN_NPM=" + c.Npm},
	}
	hub.prepare = func(ctx context.Context) (err error) {
		hub.key, err = prepareHub(ctx, hub.url, adminKey)
		return err
	}
	return hub
}

// useHub checks that the given hub has the function, and publishes it if there is none of that name.
func (c *Comparison) useHub(ctx context.Context, hub *peer) error {
	var sum int
	err := request(ctx, hub.key, "POST", hub.url+"/v1/invoke/"+hubFunction, []int{1, 2}, &sum)
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "not_found"):
		return publishAdd(ctx, hub.url, hub.key)
	case err == nil && sum != 3:
		return fmt.Errorf("the hub has a function %s that is not (a, b) => a + b", hubFunction)
	}
	return err
}

// start runs the peer's process in g and waits until it can be called.
func (p *peer) start(ctx context.Context, g *errgroup.Group) {
	if len(p.process.args) > 0 {
		p.process.name = p.name
		ready, failed := make(chan string, 1), make(chan error, 1)
		g.Go(func() error {
			err := p.process.Run(ctx, ready)
			failed <- err
			return err
		})
		timer := time.NewTimer(time.Minute)
		defer timer.Stop()
		select {
		case p.url = <-ready:
		case p.err = <-failed:
			return
		case <-timer.C:
			p.err = fmt.Errorf("%s does not listen after a minute", p.name)
			return
		}
	}
	if p.prepare != nil {
		p.err = p.prepare(ctx)
	}
}

// equalKeys gives every peer a key as long as livefn's, since all shall parse the same bytes, but not
// the key itself.
func equalKeys(peers []*peer) {
	length := 0
	for _, p := range peers {
		length = max(length, len(p.key))
	}
	for _, p := range peers {
		if p.key == "" {
			p.key = strings.Repeat("x", length)
		}
	}
}

// measure fills one table: one round that warms everybody up and is thrown away, then the rounds.
func (c *Comparison) measure(ctx context.Context, t table, peers []*peer, before *Figures, index int) (Table, error) {
	var rows []*Row
	byName := map[string]*peer{}
	for _, p := range peers {
		if slices.Contains(t.peers, p.name) {
			byName[p.name] = p
		}
	}
	for _, name := range t.peers {
		row := &Row{Peer: name}
		if t.halfRate {
			row.Rate = before.Tables[0].row(name).PerSecond / 2
		}
		rows = append(rows, row)
	}
	for round := range c.Rounds + 1 {
		for _, row := range rows {
			p := byName[row.Peer]
			if p.err == nil {
				r, err := c.load(ctx, t, p, row.Rate)
				switch {
				case ctx.Err() != nil:
					return Table{}, context.Cause(ctx)
				case err != nil:
					p.err = err
				case r.Failed() > 0:
					p.err = fmt.Errorf("calls failed: %v", r.Errors)
				case round > 0:
					row.reports = append(row.reports, r)
					fmt.Fprintf(c.Log, "%d/%d  round %d/%d  %-14s %s/s  p50 %s  p99 %s\n", index+1, len(tables), round, c.Rounds,
						row.Peer, count(r.PerSecond), millis(r.Latency.P50), millis(r.Latency.P99))
				}
			}
			if p.err != nil {
				row.Error, row.reports = p.err.Error(), nil
			}
		}
	}
	return newTable(t, rows), nil
}

func (c *Comparison) load(ctx context.Context, t table, p *peer, rate float64) (*Report, error) {
	if t.halfRate && rate == 0 {
		return nil, errors.New("its maximum rate is not known")
	}
	s := t.load
	s.URL, s.Key, s.Function = p.url, p.key, hubFunction
	s.Args, s.Expect = json.RawMessage("[1,2]"), json.RawMessage(p.expect)
	s.Rate, s.Duration, s.WarmUp = rate, c.Duration, c.WarmUp
	return s.Run(ctx)
}
