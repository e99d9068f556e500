package loadtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Storm drops subscribed clients all at once, while events are published, and measures how they come back.
// Clients do what the SDK does: they wait a random while (full jitter), or as long as the hub tells them, and go
// on after their last position. Each keeps account of its offsets. The hub is a process of its own, as the
// limit on open files counts for each.
type Storm struct {
	Livefn  string        // the livefn program
	Node    string        // node, for the hub
	Clients int           // 10,000
	Streams int           // 100; each client is subscribed to one
	Calm    time.Duration // before the storm, and after it; 2 s
	Log     io.Writer     // progress; nil: none
}

// StormFigures is what Storm measured. Times are in milliseconds from the drop.
type StormFigures struct {
	Clients     int     `json:"clients"`
	Back        int     `json:"back"`      // clients that are subscribed again
	PerSecond   float64 `json:"perSecond"` // Back, by the time of the last
	P50         float64 `json:"p50"`
	P99         float64 `json:"p99"`
	Last        float64 `json:"last"`
	TurnedAway  int64   `json:"turnedAway"`  // times that a client was told to come later
	Published   int64   `json:"published"`   // events, also during the storm
	Delivered   int64   `json:"delivered"`   // of them, to all clients
	Missed      int64   `json:"missed"`      // offsets that a client did not get
	Repeated    int64   `json:"repeated"`    // or got again
	Unrecovered int64   `json:"unrecovered"` // resumes that the hub could not make whole
}

// Whole reports whether nobody was lost and nothing missed.
func (f *StormFigures) Whole() bool {
	return f.Back == f.Clients && f.Missed == 0 && f.Repeated == 0 && f.Unrecovered == 0
}

// stormPatience bounds each part of the measurement.
const stormPatience = time.Minute

// publishEvery is the pause between two events; each goes to Clients/Streams clients.
const publishEvery = 5 * time.Millisecond

// Run measures.
func (s Storm) Run(ctx context.Context) (*StormFigures, error) {
	if s.Clients == 0 {
		s.Clients = 10_000
	}
	if s.Streams == 0 {
		s.Streams = 100
	}
	if s.Calm == 0 {
		s.Calm = 2 * time.Second
	}
	if s.Log == nil {
		s.Log = io.Discard
	}
	dir, err := os.MkdirTemp("", "livefn-load-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	hub := (&Comparison{Livefn: s.Livefn, Node: s.Node, Npm: "npm"}).hub(dir)
	alive, stop := context.WithCancel(ctx)
	var processes errgroup.Group
	defer func() {
		stop()
		_ = processes.Wait() // it was measured
	}()
	if hub.start(alive, &processes); hub.err != nil {
		return nil, hub.err
	}
	return s.on(ctx, hub.url, hub.key)
}

// on measures a hub that runs.
func (s Storm) on(ctx context.Context, url, key string) (*StormFigures, error) {
	t, err := parseTarget(url)
	if err != nil {
		return nil, err
	}
	r := &stormRun{target: t, url: url, key: key, tops: make([]atomic.Int64, s.Streams), joined: make(chan struct{})}
	for i := range s.Clients {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/perAddress))}
		r.clients = append(r.clients, &stormClient{run: r, from: from, stream: i % s.Streams})
	}
	r.left.Store(int64(s.Clients))
	clients, alive := errgroup.WithContext(ctx)
	alive, stop := context.WithCancel(alive)
	defer func() {
		stop()
		r.drop()
		_ = clients.Wait() // what was wrong was told to wait
	}()
	dials := make(chan struct{}, 64)
	for _, c := range r.clients {
		clients.Go(func() error { return c.live(alive, dials) })
	}
	if err := r.wait(alive, "to join", r.joined); err != nil {
		return nil, err
	}
	fmt.Fprintf(s.Log, "%d clients are subscribed\n", s.Clients)
	quiet, publishing := make(chan struct{}), make(chan error, 1)
	clients.Go(func() error {
		err := r.publish(alive, quiet)
		publishing <- err
		return err
	})
	if err := pause(alive, s.Calm); err != nil {
		return nil, err
	}
	r.turned.Store(0)
	r.begin(s.Clients)
	again := r.joined
	r.drop()
	fmt.Fprintf(s.Log, "they are dropped\n")
	lost := r.wait(alive, "to come back", again)
	if ctx.Err() != nil || alive.Err() != nil {
		return nil, lost
	}
	f := r.figures()
	f.Clients, f.TurnedAway = s.Clients, r.turned.Load()
	if err := pause(alive, s.Calm); err != nil {
		return nil, err
	}
	close(quiet)
	if err := <-publishing; err != nil {
		return nil, err
	}
	r.settle(alive)
	r.count(f)
	return f, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stormRun is what clients share.
type stormRun struct {
	target  target
	url     string
	key     string
	clients []*stormClient
	tops    []atomic.Int64 // the last offset that was published, by stream
	round   atomic.Int64   // 0: they join; 1: the storm
	left    atomic.Int64   // clients that are not subscribed in this round
	joined  chan struct{}  // closed when left is 0; written between rounds
	dropped time.Time      // likewise
	turned  atomic.Int64
}

// begin begins the storm's round. Nobody is to join then.
func (r *stormRun) begin(clients int) {
	r.joined = make(chan struct{})
	r.left.Store(int64(clients))
	r.dropped = time.Now()
	r.round.Store(1)
}

// drop cuts every connection off without a word.
func (r *stormRun) drop() {
	for _, c := range r.clients {
		c.mu.Lock()
		if c.net != nil {
			_ = c.net.SetLinger(0)
			_ = c.net.Close()
		}
		c.mu.Unlock()
	}
}

func (r *stormRun) wait(ctx context.Context, what string, done <-chan struct{}) error {
	timer := time.NewTimer(stormPatience)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("%d clients need more than %s %s", r.left.Load(), stormPatience, what)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// publish publishes to one stream after the other until quiet is closed.
func (r *stormRun) publish(ctx context.Context, quiet <-chan struct{}) error {
	ticker := time.NewTicker(publishEvery)
	defer ticker.Stop()
	body := map[string]any{"type": "n", "data": 7}
	for i := 0; ; i++ {
		select {
		case <-quiet:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		n := i % len(r.tops)
		var at struct{ Offset int64 }
		if err := request(ctx, r.key, http.MethodPost, r.url+"/v1/streams/"+stormStream(n)+"/events", body, &at); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		r.tops[n].Store(at.Offset)
	}
}

func stormStream(n int) string { return "load.storm." + strconv.Itoa(n) }

// settle waits until everybody has what was published, or for no longer than anybody would.
func (r *stormRun) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stormPatience)
	defer cancel()
	for _, c := range r.clients {
		for c.offset.Load() < r.tops[c.stream].Load() && pause(ctx, 10*time.Millisecond) == nil {
		}
	}
}

func (r *stormRun) figures() *StormFigures {
	var took []float64
	for _, c := range r.clients {
		if at := c.back.Load(); at > 0 {
			took = append(took, ms(time.Duration(at)))
		}
	}
	f := &StormFigures{Back: len(took)}
	if len(took) == 0 {
		return f
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[min(len(took)-1, int(q*float64(len(took))))] }
	f.P50, f.P99, f.Last = at(0.5), at(0.99), took[len(took)-1]
	f.PerSecond = float64(len(took)) / f.Last * 1000
	return f
}

// count adds what clients have kept account of.
func (r *stormRun) count(f *StormFigures) {
	for i := range r.tops {
		f.Published += r.tops[i].Load()
	}
	for _, c := range r.clients {
		f.Delivered += c.got.Load()
		f.Repeated += c.repeated.Load()
		f.Unrecovered += c.unrecovered.Load()
		f.Missed += c.missed.Load() + max(0, r.tops[c.stream].Load()-c.offset.Load())
	}
}

// stormClient is one client, over all its connections.
type stormClient struct {
	run    *stormRun
	from   *net.TCPAddr
	stream int

	mu  sync.Mutex // guards net
	net *net.TCPConn

	epoch   string // of the position; "": none yet
	joined  int64  // the newest round, from 1, in which it was subscribed
	tries   int
	advised time.Duration // when the hub told it to come; below 0: it did not

	offset, got, missed, repeated, unrecovered atomic.Int64
	back                                       atomic.Int64 // when it was subscribed again, after the drop; 0: not yet
}

// live connects again and again until ctx ends.
func (c *stormClient) live(ctx context.Context, dials chan struct{}) error {
	for ctx.Err() == nil {
		c.advised = -1
		err := c.visit(ctx, dials)
		var wrong *errRefused
		if errors.As(err, &wrong) {
			return err
		}
		wait := c.advised
		if wait < 0 { // as the SDK's backoff.js
			wait = time.Duration(rand.Int64N(int64(min(15*time.Second, 250*time.Millisecond<<min(c.tries, 10))) + 1))
			c.tries++
		}
		_ = pause(ctx, wait) // the loop looks
	}
	return nil
}

// errRefused is an answer that no other try will change.
type errRefused struct{ message string }

func (e *errRefused) Error() string { return e.message }

// visit is one connection, until it ends. In the first round few dial at a time: it is not what is measured.
func (c *stormClient) visit(ctx context.Context, dials chan struct{}) error {
	first := c.epoch == ""
	if first {
		select {
		case dials <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	early, err := c.connect(ctx)
	if err == nil {
		err = c.ask()
	}
	if first {
		<-dials
	}
	if err != nil {
		return err
	}
	defer func() { _ = c.net.Close() }()
	buf := make([]byte, 4<<10)
	n := copy(buf, early)
	for {
		at := 0
		for {
			f, size, err := parseFrame(buf[at:n])
			if err != nil {
				return err
			}
			if size == 0 {
				break
			}
			if err := c.hear(f); err != nil {
				return err
			}
			at += size
		}
		if n = copy(buf, buf[at:n]); n == len(buf) {
			buf = append(buf, make([]byte, n)...)
		}
		more, err := c.net.Read(buf[n:])
		if err != nil {
			return err
		}
		n += more
	}
}

func (c *stormClient) connect(ctx context.Context) (early []byte, err error) {
	conn, err := (&net.Dialer{LocalAddr: c.from, Timeout: 10 * time.Second}).DialContext(ctx, "tcp", c.run.target.addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.net = conn.(*net.TCPConn)
	gone := ctx.Err() != nil // drop may have been before
	c.mu.Unlock()
	if gone {
		return nil, conn.Close()
	}
	return upgrade(conn, c.run.target.prefix+"/v1/ws", c.run.target.host, c.run.key)
}

// ask subscribes from the last position.
func (c *stormClient) ask() error {
	since := `"new"`
	if c.epoch != "" {
		since = fmt.Sprintf(`{"epoch":%q,"offset":%d}`, c.epoch, c.offset.Load())
	}
	text := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":%q,"since":%s}}`, stormStream(c.stream), since)
	_, err := c.net.Write(appendFrame(nil, opText, []byte(text), [4]byte{1, 2, 3, 4}))
	return err
}

// hear takes one frame.
func (c *stormClient) hear(f frame) error {
	switch f.op {
	case opPing:
		_, err := c.net.Write(appendFrame(nil, opPong, f.payload, [4]byte{1, 2, 3, 4}))
		return err
	case opClose:
		return io.EOF
	case opText:
	default:
		return nil
	}
	switch {
	case bytes.Contains(f.payload, []byte(`"method":"event"`)):
		return c.event(numberIn(f.payload, `"offset":`))
	case bytes.Contains(f.payload, []byte(`"method":"closing"`)):
		c.run.turned.Add(1)
		c.advised = time.Duration(numberIn(f.payload, `"after":`)) * time.Millisecond
		return nil
	case bytes.Contains(f.payload, []byte(`"error"`)):
		return &errRefused{fmt.Sprintf("subscribe: %s", f.payload)}
	}
	_, rest, found := bytes.Cut(f.payload, []byte(`"epoch":"`))
	epoch, _, _ := bytes.Cut(rest, []byte(`"`))
	if !found || len(epoch) == 0 {
		return &errRefused{fmt.Sprintf("subscribe: %s", f.payload)}
	}
	if bytes.Contains(f.payload, []byte(`"recovered":false`)) {
		c.unrecovered.Add(1)
	}
	if c.epoch != string(epoch) {
		c.epoch = string(epoch)
		c.offset.Store(numberIn(f.payload, `"offset":`))
	}
	c.subscribed()
	return nil
}

// subscribed counts the client among those that are back.
func (c *stormClient) subscribed() {
	c.tries = 0
	round := c.run.round.Load() + 1
	if c.joined == round {
		return
	}
	c.joined = round
	if round > 1 {
		c.back.Store(int64(max(1, time.Since(c.run.dropped))))
	}
	if c.run.left.Add(-1) == 0 {
		close(c.run.joined)
	}
}

// event holds an offset to the last one.
func (c *stormClient) event(offset int64) error {
	last := c.offset.Load()
	if offset <= last {
		c.repeated.Add(1)
		return nil
	}
	c.missed.Add(offset - last - 1)
	c.offset.Store(offset)
	c.got.Add(1)
	return nil
}

// numberIn gives the number that follows name in a message; -1 if there is none.
func numberIn(message []byte, name string) int64 {
	_, rest, _ := bytes.Cut(message, []byte(name))
	end := 0
	for end < len(rest) && rest[end]-'0' <= 9 {
		end++
	}
	n, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// Print writes the figures for people.
func (f *StormFigures) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, `%d of %d clients that were dropped at once are subscribed again: %.0f/s
  half of them after %.0f ms, 99%% after %.0f ms, the last after %.0f ms; told to come later: %d times
  %d events were published, %d deliveries; missed %d, repeated %d, resumes that were not whole %d
`, f.Back, f.Clients, f.PerSecond, f.P50, f.P99, f.Last, f.TurnedAway, f.Published, f.Delivered, f.Missed, f.Repeated, f.Unrecovered)
	return err
}
