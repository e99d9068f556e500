package loadtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// Idle measures the memory of connections that are subscribed and say nothing, on a hub of its own. Their
// number is bounded by the limit on open files, of this process and of the hub; beyond 10,000 they come
// from several loopback addresses.
type Idle struct {
	Livefn      string        // the livefn program
	Node        string        // node, for the hub
	Connections int           // 10,000
	Settle      time.Duration // from the last subscription to the measurement; 30 s: a hub gives memory back when it has little to do
	Log         io.Writer     // progress; nil: none
}

// IdleFigures is what Idle measured, in bytes for each connection.
type IdleFigures struct {
	Connections int     `json:"connections"`
	RSS         float64 `json:"rss"`    // the hub's resident memory (VmRSS)
	Kernel      float64 `json:"kernel"` // sockets' buffers, of both ends (/proc/net/sockstat)
	PerSecond   float64 `json:"perSecond"`
}

// perAddress is how many connections come from one source address: the kernel finds a free port quickly
// only while half of the range is free.
const perAddress = 10_000

// Run measures.
func (i Idle) Run(ctx context.Context) (*IdleFigures, error) {
	if i.Connections == 0 {
		i.Connections = 10_000
	}
	if i.Settle == 0 {
		i.Settle = 30 * time.Second
	}
	if i.Log == nil {
		i.Log = io.Discard
	}
	dir, err := os.MkdirTemp("", "livefn-load-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	hub := (&Comparison{Livefn: i.Livefn, Node: i.Node, Npm: "npm"}).hub(dir)
	var pid int
	hub.process.started = func(n int) { pid = n }
	alive, stop := context.WithCancel(ctx)
	var processes errgroup.Group
	defer func() {
		stop()
		_ = processes.Wait() // it was measured
	}()
	if hub.start(alive, &processes); hub.err != nil {
		return nil, hub.err
	}
	a := &audience{}
	defer a.close()
	if err := i.join(ctx, a, hub, 100); err != nil { // what the first ones make is not theirs
		return nil, err
	}
	rss, kernel, err := memoryOf(pid)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := i.join(ctx, a, hub, i.Connections); err != nil {
		return nil, err
	}
	took := time.Since(start)
	fmt.Fprintf(i.Log, "%d connections in %s\n", i.Connections, took.Round(time.Millisecond))
	select {
	case <-time.After(i.Settle):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	rssAfter, kernelAfter, err := memoryOf(pid)
	if err != nil {
		return nil, err
	}
	n := float64(i.Connections)
	return &IdleFigures{Connections: i.Connections, RSS: (rssAfter - rss) / n, Kernel: (kernelAfter - kernel) / n, PerSecond: n / took.Seconds()}, nil
}

// join adds n subscribers that nobody reads for.
func (i Idle) join(ctx context.Context, a *audience, p *peer, n int) error {
	t, err := parseTarget(p.url)
	if err != nil {
		return err
	}
	path, says, answer := p.subscribe()
	first := len(a.conns)
	a.conns = append(a.conns, make([]net.Conn, n)...)
	dials, ctx := errgroup.WithContext(ctx)
	dials.SetLimit(64)
	for at := first; at < first+n; at++ {
		dials.Go(func() error {
			from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+at/perAddress))}
			c, err := (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", t.addr)
			if err != nil {
				return err
			}
			a.conns[at] = c
			return greet(c, t, path, p.key, says, answer)
		})
	}
	return dials.Wait()
}

// memoryOf gives a process's resident memory, and what all TCP sockets' buffers take, in bytes.
func memoryOf(pid int) (rss, kernel float64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	sockets, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, 0, err
	}
	kib, err := numberAfter(status, "VmRSS:")
	if err != nil {
		return 0, 0, err
	}
	_, tcp, _ := bytes.Cut(sockets, []byte("TCP: "))
	pages, err := numberAfter(tcp, " mem ")
	if err != nil {
		return 0, 0, err
	}
	return kib * 1024, pages * float64(os.Getpagesize()), nil
}

func numberAfter(b []byte, name string) (float64, error) {
	_, rest, found := bytes.Cut(b, []byte(name))
	fields := bytes.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("the kernel does not say %q", name)
	}
	return strconv.ParseFloat(string(fields[0]), 64)
}

// Print writes the figures for people.
func (f *IdleFigures) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d idle subscribed connections: %.1f KB of the hub's memory each, %.1f KB of the kernel's; they came at %.0f/s\n",
		f.Connections, f.RSS/1000, f.Kernel/1000, f.PerSecond)
	return err
}
