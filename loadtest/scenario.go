// Package loadtest measures a hub from outside, through the public API alone. `livefn load` runs one
// Scenario; `livefn load compare` runs the same scenario against other servers on the same machine.
//
//	scenario.go ── N × conn.go ── codec: http.go │ websocket.go (frame.go, answer.go)
//	      └────── pace.go (open loop only)           └──▶ tally.go ──▶ report.go
//	compare.go ── peer.go (a process each) ── peers/
//
// # What is measured
//
// In the closed loop every connection keeps its calls in flight: an answer is followed by the next
// call at once. That finds the highest rate, and says little about latency: a server that stalls
// also stops the calls that would have noticed. In the open loop calls arrive at a constant rate
// whatever the server does, and latency counts from the moment that a call was due, not from when a
// connection was free to carry it. So a stall shows in full: no coordinated omission (Gil Tene, "How
// NOT to Measure Latency"; his wrk2 does the same).
//
// # Invariants
//
// The generator shares its machine with what it measures, so it must be cheap: requests are encoded
// once, one goroutine reads a connection, what one read brought is answered by one write, and nothing
// is allocated per call.
package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Transport is how calls travel.
type Transport string

// The transports.
const (
	HTTP      Transport = "http"
	WebSocket Transport = "ws"
)

// Scenario says what to send, where, and how much of it.
type Scenario struct {
	URL         string          // of the hub: http://host:port, or https
	Key         string          // sent as bearer; "": none
	Tenant      string          // for the admin key: the tenant to act as
	Function    string          // what to call
	Args        json.RawMessage // a JSON array; []
	Expect      json.RawMessage // what every result must be; nil: anything
	Durable     bool            // start durable executions (HTTP), which are answered when they are on disk
	Wait        time.Duration   // Durable: or when they have ended, if that comes sooner; whole seconds
	Transport   Transport       // HTTP
	Connections int             // 64
	InFlight    int             // calls on one connection at once: 1 for HTTP, 16 for WebSocket
	Rate        float64         // calls that are due each second (open loop); 0: as fast as answers come (closed loop)
	Duration    time.Duration   // measured; 10 s
	WarmUp      time.Duration   // before it, under the same load; 0
	Timeout     time.Duration   // for a call; 10 s
}

// fill sets defaults and gives what is wrong with s.
func (s *Scenario) fill() error {
	if s.Transport == "" {
		s.Transport = HTTP
	}
	if s.Connections == 0 {
		s.Connections = 64
	}
	if s.InFlight == 0 {
		s.InFlight = 1
		if s.Transport == WebSocket {
			s.InFlight = 16
		}
	}
	if s.Duration == 0 {
		s.Duration = 10 * time.Second
	}
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	if len(s.Args) == 0 {
		s.Args = json.RawMessage("[]")
	}
	switch {
	case s.Transport != HTTP && s.Transport != WebSocket:
		return fmt.Errorf("transport %q is neither http nor ws", s.Transport)
	case s.Durable && s.Transport != HTTP:
		return errors.New("durable executions are started over HTTP")
	case s.Transport == HTTP && s.InFlight != 1:
		return errors.New("over HTTP/1.1 a connection carries one call at a time: use more connections")
	case s.Connections < 0, s.InFlight < 0, s.InFlight > maxInFlight, s.Rate < 0, s.Duration < 0, s.WarmUp < 0, s.Timeout < 0:
		return errors.New("connections, in-flight, rate and times cannot be negative or absurd")
	case s.Function == "":
		return errors.New("no function to call")
	case !json.Valid(s.Args) || bytes.TrimSpace(s.Args)[0] != '[':
		return errors.New("arguments are not a JSON array")
	}
	return nil
}

// run is one running scenario.
type run struct {
	Scenario
	target target
	start  time.Time
	begin  int64 // nanoseconds after start: where the measured part begins,
	end    int64 // and ends
}

func (r *run) now() int64 { return int64(time.Since(r.start)) }

// Run drives the scenario and gives what it measured. A hub that can't be reached, or that answers
// the very first call with a fault, is an error; later faults are counted in the report.
func (s Scenario) Run(ctx context.Context) (*Report, error) {
	if err := s.fill(); err != nil {
		return nil, err
	}
	t, err := parseTarget(s.URL)
	if err != nil {
		return nil, err
	}
	r := &run{Scenario: s, target: t}
	if err := r.try(ctx); err != nil {
		return nil, err
	}
	conns := make([]*conn, s.Connections)
	dials, dialCtx := errgroup.WithContext(ctx)
	dials.SetLimit(64)
	for i := range conns {
		conns[i] = newConn(r)
		dials.Go(func() error { return conns[i].dial(dialCtx) })
	}
	defer func() {
		for _, c := range conns {
			c.close()
		}
	}()
	if err := dials.Wait(); err != nil {
		return nil, err
	}
	r.start = time.Now()
	r.begin = int64(s.WarmUp)
	r.end = r.begin + int64(s.Duration)
	g, ctx := errgroup.WithContext(ctx)
	total := newTally(r)
	var p *pacer
	if s.Rate > 0 {
		p = newPacer(r, conns)
		g.Go(func() error { return p.Run(ctx) })
	}
	for _, c := range conns {
		g.Go(func() error { return c.Run(ctx) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, c := range conns {
		total.merge(c.tally)
	}
	if p != nil {
		total.merge(p.tally)
	}
	return total.report(), nil
}

// try makes one call, so that a wrong key or name is said once and not counted a million times.
func (r *run) try(ctx context.Context) error {
	c := newConn(r)
	defer c.close()
	if err := c.dial(ctx); err != nil {
		return err
	}
	r.start, r.begin, r.end = time.Now(), 0, 0 // over at once: the connection carries its first call and ends
	if err := c.Run(ctx); err != nil {
		return err
	}
	for code := range c.tally.errors {
		return fmt.Errorf("the first call failed: %s%s", code, c.detail)
	}
	return nil
}

// target is where the connections go.
type target struct {
	addr   string // host:port to dial
	host   string // for the Host header
	name   string // for TLS
	secure bool
	prefix string // path that the hub is mounted under
}

func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return target{}, fmt.Errorf("%q is not a hub's URL like http://127.0.0.1:8080", raw)
	}
	t := target{addr: u.Host, host: u.Host, name: u.Hostname(), prefix: strings.TrimSuffix(u.Path, "/")}
	port := "80"
	switch u.Scheme {
	case "http", "ws":
	case "https", "wss":
		t.secure, port = true, "443"
	default:
		return target{}, fmt.Errorf("%q has scheme %q; want http or https", raw, u.Scheme)
	}
	if u.Port() == "" {
		t.addr = net.JoinHostPort(u.Hostname(), port)
	}
	return t, nil
}
