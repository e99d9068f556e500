package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// FanOut measures how fast one event reaches many subscribers: on livefn, on the centrifuge library, and
// on a loop that writes a ready WebSocket frame to one socket after the other, which is as little as a
// server can do: one loop, and one on each core that shares the sockets. Rounds are interleaved as in a Comparison.
type FanOut struct {
	Livefn      string        // the livefn program, which is also the loop
	Node        string        // node, for the hub
	Cache       string        // folder for the built centrifuge peer; the user's cache folder
	Subscribers int           // 1,000
	Rounds      int           // 5
	Duration    time.Duration // of each measurement; 2 s
	Log         io.Writer     // progress; nil: none
}

// mark stands once in each event. Receivers count marks in the bytes that come, and parse nothing: they
// share the machine with what is measured. No end of it is a beginning of it, so none is counted twice.
const mark = "@@event##"

// fanOutEvent is the data of each event.
var fanOutEvent = json.RawMessage(`{"mark":"` + mark + `","n":1234567,"text":"` + strings.Repeat("x", 60) + `"}`)

const (
	fanOutStream   = "load.fanout"
	peerLoop       = "raw-write loop"
	peerLoops      = "one on each core"
	peerCentrifuge = "centrifuge"
)

// fanOutTables are the measurements: one event at a time, and eight that share a write.
var fanOutTables = []struct {
	title string
	batch int
}{
	{"one event at a time", 1},
	{"eight events at a time", 8},
}

// Run measures.
func (f FanOut) Run(ctx context.Context) (*Figures, error) {
	if f.Subscribers == 0 {
		f.Subscribers = 1000
	}
	if f.Rounds == 0 {
		f.Rounds = 5
	}
	if f.Duration == 0 {
		f.Duration = 2 * time.Second
	}
	if f.Log == nil {
		f.Log = io.Discard
	}
	dir, err := os.MkdirTemp("", "livefn-load-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	loop := &peer{name: peerLoop, process: process{args: []string{f.Livefn, "load", "peer", "loop"}}}
	loops := &peer{name: peerLoops, process: process{args: []string{f.Livefn, "load", "peer", "loop", "--shards", strconv.Itoa(runtime.GOMAXPROCS(0))}}}
	other := &peer{name: peerCentrifuge}
	if program, err := buildCentrifuge(ctx, f.Cache, f.Log); err != nil {
		other.err = err
	} else {
		other.process = process{args: []string{program}}
	}
	hub := (&Comparison{Livefn: f.Livefn, Node: f.Node, Npm: "npm"}).hub(dir)
	peers := []*peer{loop, loops, other, hub}
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
	}
	figures := &Figures{Title: fmt.Sprintf("One event of %d bytes to %d subscribers", len(fanOutEvent), f.Subscribers), Unit: "deliveries/s", Rounds: f.Rounds, Seconds: f.Duration.Seconds()}
	for _, t := range fanOutTables {
		rows := []*Row{}
		for _, p := range peers {
			rows = append(rows, &Row{Peer: p.name})
		}
		for round := range f.Rounds + 1 {
			for i, p := range peers {
				f.round(ctx, p, rows[i], t.batch, round)
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
			}
		}
		figures.Tables = append(figures.Tables, newTable(table{title: t.title, peers: []string{peerLoop}}, rows))
	}
	return figures, nil
}

// round measures one peer once; the first round warms it up and is thrown away.
func (f *FanOut) round(ctx context.Context, p *peer, row *Row, batch, round int) {
	if p.err == nil {
		var r *Report
		if r, p.err = f.measure(ctx, p, batch); p.err == nil && round > 0 {
			row.reports = append(row.reports, r)
			fmt.Fprintf(f.Log, "%d at a time  round %d/%d  %-14s %s deliveries/s  p50 %s\n", batch, round, f.Rounds, p.name, count(r.PerSecond), millis(r.Latency.P50))
		}
	}
	if p.err != nil {
		row.Error, row.reports = p.err.Error(), nil
	}
}

// measure publishes batch after batch, each once the one before has reached everybody.
func (f *FanOut) measure(ctx context.Context, p *peer, batch int) (*Report, error) {
	a := &audience{}
	defer a.close()
	if err := a.join(ctx, p, f.Subscribers); err != nil {
		return nil, err
	}
	publish := p.publisher(batch)
	tally := newTally(&run{Scenario: Scenario{Transport: WebSocket, Function: fanOutStream, Connections: f.Subscribers, InFlight: batch, Duration: f.Duration}, end: math.MaxInt64})
	want, delivered := int64(0), int64(0)
	start := time.Now()
	for time.Since(start) < f.Duration {
		want += int64(batch * f.Subscribers)
		reached := a.await(want)
		sent := time.Now()
		if err := publish(ctx); err != nil {
			return nil, err
		}
		select {
		case <-reached:
		case <-time.After(10 * time.Second):
			return nil, fmt.Errorf("%d of %d events came", a.marks.Load(), want)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		tally.record(0, int64(time.Since(sent)), "")
		delivered += int64(batch * f.Subscribers)
	}
	seconds := time.Since(start).Seconds()
	r := tally.report()
	r.Seconds, r.Calls, r.PerSecond = seconds, delivered, float64(delivered)/seconds
	if n := a.marks.Load(); n != want {
		return nil, fmt.Errorf("%d events came, %d were published", n, want)
	}
	return r, nil
}

// publisher publishes a batch of events.
func (p *peer) publisher(batch int) func(context.Context) error {
	url, body := fmt.Sprintf("%s/publish?n=%d", p.url, batch), []byte(fanOutEvent)
	if p.name == peerLivefn {
		url = p.url + "/v1/streams/" + fanOutStream + "/events"
		one := `{"type":"e","data":` + string(fanOutEvent) + `}`
		body = []byte("[" + strings.Repeat(one+",", batch-1) + one + "]")
	}
	return func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+p.key)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode >= 300 {
			err = fmt.Errorf("publish: %s %s", res.Status, b)
		}
		return err
	}
}

// subscribe is what a client of the peer says first, and what the last answer to it holds.
func (p *peer) subscribe() (path string, says []string, answer string) {
	switch p.name {
	case peerLoop, peerLoops:
		return "/ws", nil, ""
	case peerCentrifuge:
		return "/ws", []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"load"}}`}, `"id":2`
	default:
		return "/v1/ws", []string{`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"` + fanOutStream + `"}}`}, `"subscription"`
	}
}

// audience is subscribers that count.
type audience struct {
	conns []net.Conn
	marks atomic.Int64
	group errgroup.Group
	goal  atomic.Pointer[goal]
}

type goal struct {
	marks   int64
	reached chan struct{}
}

// join connects n subscribers.
func (a *audience) join(ctx context.Context, p *peer, n int) error {
	t, err := parseTarget(p.url)
	if err != nil {
		return err
	}
	path, says, answer := p.subscribe()
	a.conns = make([]net.Conn, n)
	dials, ctx := errgroup.WithContext(ctx)
	dials.SetLimit(64)
	for i := range a.conns {
		dials.Go(func() (err error) {
			a.conns[i], err = arrive(ctx, &net.Dialer{}, t, path, p.key, says, answer)
			return err
		})
	}
	if err := dials.Wait(); err != nil {
		return err
	}
	for _, c := range a.conns {
		a.group.Go(func() error { return a.count(c) })
	}
	return nil
}

// perAddress is how many connections come from one source address: the kernel finds a free port quickly
// only while half of the range is free.
const perAddress = 10_000

// arrive connects a subscriber, also to a hub that says to come later.
func arrive(ctx context.Context, from *net.Dialer, t target, path, key string, says []string, answer string) (net.Conn, error) {
	for {
		c, err := from.DialContext(ctx, "tcp", t.addr)
		if err != nil {
			return nil, err
		}
		err = greet(c, t, path, key, says, answer)
		if err == nil {
			return c, nil
		}
		_ = c.Close()
		busy, ok := errors.AsType[*errBusy](err)
		if !ok {
			return nil, err
		}
		if err := pause(ctx, busy.after); err != nil {
			return nil, err
		}
	}
}

// errBusy is a hub's closing.
type errBusy struct{ after time.Duration }

func (e *errBusy) Error() string { return fmt.Sprintf("the hub is busy for %s", e.after) }

// greet makes a WebSocket of c, says what a subscriber says, and reads up to the answer.
func greet(c net.Conn, t target, path, key string, says []string, answer string) error {
	early, err := upgrade(c, t.prefix+path, t.host, key)
	if err != nil {
		return err
	}
	var out []byte
	for _, text := range says {
		out = appendFrame(out, opText, []byte(text), [4]byte{1, 2, 3, 4})
	}
	if _, err := c.Write(out); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n := copy(buf, early)
	for !bytes.Contains(buf[:n], []byte(answer)) {
		if ms := numberIn(buf[:n], `"after":`); ms >= 0 {
			return &errBusy{time.Duration(ms) * time.Millisecond}
		}
		if n == len(buf) {
			return errors.New("the server does not answer the subscription")
		}
		more, err := c.Read(buf[n:])
		if err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		n += more
	}
	return nil
}

// await gives a channel that is closed once so many marks have come.
func (a *audience) await(marks int64) <-chan struct{} {
	g := &goal{marks, make(chan struct{})}
	a.goal.Store(g)
	return g.reached
}

// count counts the marks that come on c, until it is closed.
func (a *audience) count(c net.Conn) error {
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := c.Read(buf[kept:])
		if err != nil {
			return err
		}
		have := buf[:kept+n]
		if found := int64(bytes.Count(have, []byte(mark))); found > 0 {
			if g := a.goal.Load(); a.marks.Add(found) == g.marks {
				close(g.reached)
			}
		}
		// A mark may be cut in two: what could be its beginning stays.
		kept = copy(buf, have[partialMark(have):])
	}
}

// partialMark is where in b the beginning of a mark stands that b cuts off; len(b) if none does.
func partialMark(b []byte) int {
	for i := max(0, len(b)-len(mark)+1); i < len(b); i++ {
		if strings.HasPrefix(mark, string(b[i:])) {
			return i
		}
	}
	return len(b)
}

func (a *audience) close() {
	for _, c := range a.conns {
		if c != nil {
			_ = c.Close()
		}
	}
	_ = a.group.Wait() // they end with the closed connection
}
