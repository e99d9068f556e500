package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Idle measures the memory of connections that are subscribed and say nothing, on a hub of its own. They come
// from several loopback addresses. A process has only so many open files: where that is less than the connections
// need, they are shared among several hubs, each with clients in a process of its own.
type Idle struct {
	Livefn      string        // the livefn program
	Node        string        // node, for the hub
	Connections int           // 10,000
	Network     int           // their addresses are 127.0.Network.2 and on
	Settle      time.Duration // from the last subscription to the measurement; 30 s: a hub gives memory back when it has little to do
	Log         io.Writer     // progress; nil: none
}

// IdleFigures is what Idle measured, in bytes for each connection.
type IdleFigures struct {
	Connections int     `json:"connections"`
	Hubs        int     `json:"hubs"`
	RSS         float64 `json:"rss"`    // the hub's resident memory (VmRSS)
	Kernel      float64 `json:"kernel"` // sockets' buffers, of both ends (/proc/net/sockstat)
	PerSecond   float64 `json:"perSecond"`
}

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
	if most, err := mostConnections(); err != nil {
		return nil, err
	} else if i.Connections > most {
		return i.shared(ctx, (i.Connections+most-1)/most)
	}
	dir, err := os.MkdirTemp("", "livefn-load-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	hub := (&Comparison{Livefn: i.Livefn, Node: i.Node, Npm: "npm"}).hub(dir)
	var pid atomic.Int64
	hub.process.started = func(n int) { pid.Store(int64(n)) }
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
	rss, kernel, err := memoryOf(pid.Load())
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
	rssAfter, kernelAfter, err := memoryOf(pid.Load())
	if err != nil {
		return nil, err
	}
	n := float64(i.Connections)
	return &IdleFigures{Connections: i.Connections, Hubs: 1, RSS: (rssAfter - rss) / n, Kernel: (kernelAfter - kernel) / n, PerSecond: n / took.Seconds()}, nil
}

// otherFiles is what a hub, or a process of clients, has open beside the connections.
const otherFiles = 1000

// mostConnections is how many one hub, and one process of clients, can have.
func mostConnections() (int, error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("the limit on open files: %w", err)
	}
	return max(1, int(min(files.Max, 1<<30))-otherFiles), nil //nolint:gosec // bounded
}

// shared measures several hubs at once, each by this program in a process of its own.
func (i Idle) shared(ctx context.Context, hubs int) (*IdleFigures, error) {
	total := &IdleFigures{Hubs: hubs}
	var all errgroup.Group
	parts := make([]IdleFigures, hubs)
	before, err := socketMemory()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	for k := range hubs {
		all.Go(func() error {
			runtime.LockOSThread() // as in process.Run
			defer runtime.UnlockOSThread()
			n := i.Connections*(k+1)/hubs - i.Connections*k/hubs
			//nolint:gosec // this program itself
			cmd := exec.CommandContext(ctx, i.Livefn, "load", "idle", "--json", "--node", i.Node, "--connections", strconv.Itoa(n),
				"--network", strconv.Itoa(i.Network+k), "--settle", i.Settle.String())
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends its hub
			cmd.WaitDelay = killAfter
			cmd.SysProcAttr = dieWithParent()
			var complaint tail
			cmd.Stderr = &complaint
			out, err := cmd.Output()
			if err == nil {
				err = json.Unmarshal(out, &parts[k])
			}
			if err != nil {
				return fmt.Errorf("hub %d of %d: %w%s", k+1, hubs, err, complaint.last())
			}
			fmt.Fprintf(i.Log, "hub %d of %d: %d connections after %s\n", k+1, hubs, n, time.Since(begun).Round(time.Second))
			return nil
		})
	}
	var sampler errgroup.Group
	sampling, enough := context.WithCancel(ctx)
	most := before
	sampler.Go(func() error {
		for pause(sampling, time.Second) == nil {
			now, err := socketMemory()
			if err != nil {
				return err
			}
			most = max(most, now)
		}
		return nil
	})
	err = all.Wait()
	enough()
	if err = errors.Join(err, sampler.Wait()); err != nil {
		return nil, err
	}
	for _, p := range parts {
		total.Connections += p.Connections
		total.RSS += p.RSS * float64(p.Connections)
		total.PerSecond += p.PerSecond
	}
	total.RSS /= float64(total.Connections)
	total.Kernel = (most - before) / float64(total.Connections)
	return total, nil
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
	dials.SetLimit(512) // some wait, because the hub says so
	for at := first; at < first+n; at++ {
		dials.Go(func() (err error) {
			from := &net.TCPAddr{IP: net.IPv4(127, 0, byte(i.Network), byte(2+at/perAddress))}
			a.conns[at], err = arrive(ctx, &net.Dialer{LocalAddr: from}, t, path, p.key, says, answer)
			return err
		})
	}
	return dials.Wait()
}

// memoryOf gives a process's resident memory, and what all TCP sockets' buffers take, in bytes.
func memoryOf(pid int64) (rss, kernel float64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	kib, err := numberAfter(status, "VmRSS:")
	if err != nil {
		return 0, 0, err
	}
	kernel, err = socketMemory()
	return kib * 1024, kernel, err
}

// socketMemory gives what all TCP sockets' buffers take, in bytes.
func socketMemory() (float64, error) {
	sockets, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, err
	}
	_, tcp, _ := bytes.Cut(sockets, []byte("TCP: "))
	pages, err := numberAfter(tcp, " mem ")
	return pages * float64(os.Getpagesize()), err
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
	hubs := "the hub's memory"
	if f.Hubs > 1 {
		hubs = fmt.Sprintf("%d hubs' memory", f.Hubs)
	}
	_, err := fmt.Fprintf(w, "%d idle subscribed connections: %.1f KB of %s each, %.1f KB of the kernel's; they came at %.0f/s\n",
		f.Connections, f.RSS/1000, hubs, f.Kernel/1000, f.PerSecond)
	return err
}
