package hub

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
)

// acting is bridges whose functions do at once what act says, on a goroutine of theirs.
type acting struct{ calls chan *nodebridge.Call }

func (a *acting) Call(_ string, c *nodebridge.Call) error {
	c.Accept(nowhere{}, 1)
	a.calls <- c
	return nil
}

func (a *acting) Load(context.Context, string, *nodebridge.Module) (nodebridge.Info, error) {
	return nodebridge.Info{}, nil
}
func (a *acting) Unload(string, *nodebridge.Module) {}
func (a *acting) Remove(string)                     {}
func (a *acting) Limit(string, nodebridge.Limits)   {}

type nowhere struct{}

func (nowhere) Carry(nodebridge.Kind, uint32, []byte) {}

// act plays all functions: each call gets the frame that f gives for it.
func (w *world) act(b *testing.B, f func(c *nodebridge.Call) (nodebridge.Kind, string)) (stop func()) {
	b.Helper()
	a := &acting{calls: make(chan *nodebridge.Call, 1<<16)}
	w.hub.bridges = a
	done := make(chan struct{})
	go func() {
		defer close(done)
		var batch nodebridge.Batch
		for c := range a.calls {
			kind, payload := f(c)
			c.Receiver.Receive(nodebridge.Frame{Kind: kind, Payload: []byte(payload)}, &batch)
			batch.Flush()
		}
	}()
	return func() {
		close(a.calls)
		<-done
	}
}

// inParallel runs f b.N times from n goroutines, and reports the 50th and 99th percentile of its time.
func inParallel(b *testing.B, n int, f func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	times := make([][]time.Duration, n)
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				start := time.Now()
				if err := f(); err != nil {
					b.Error(err)
					return
				}
				times[i] = append(times[i], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(times...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkDurable is what a durable execution costs through the hub, on a real disk, with functions
// that take no time.
func BenchmarkDurable(b *testing.B) {
	succeed := func(*nodebridge.Call) (nodebridge.Kind, string) { return nodebridge.Result, "\x001" }
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("start-to-acknowledged/at-once=%d", n), func(b *testing.B) {
			w := newWorld(b, b.TempDir(), Config{})
			defer w.act(b, succeed)()
			inParallel(b, n, func() error {
				_, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`[1,2]`)})
				return err
			})
			w.idle()
		})
		b.Run(fmt.Sprintf("start-to-result/at-once=%d", n), func(b *testing.B) {
			w := newWorld(b, b.TempDir(), Config{})
			defer w.act(b, succeed)()
			inParallel(b, n, func() error {
				to := newReplies()
				x, _, err := w.hub.tenant(w.owner).start(&Request{Function: "f", Args: []byte(`[1,2]`)}, to)
				if err != nil {
					return err
				}
				if a := <-to.got; a.State != Succeeded {
					return fmt.Errorf("%s: %v", x.ID(), a.State)
				}
				return nil
			})
		})
		b.Run(fmt.Sprintf("resume-to-paused/at-once=%d", n), func(b *testing.B) {
			w := newWorld(b, b.TempDir(), Config{})
			defer w.act(b, func(*nodebridge.Call) (nodebridge.Kind, string) { return nodebridge.Paused, "\x00\x00[[1,2,3],4]" })()
			ids := make(chan string, n)
			for range n {
				v, err := w.hub.Start(bg, w.owner, &Request{Function: "f"})
				if err != nil {
					b.Fatal(err)
				}
				w.await(v.ID())
				ids <- v.ID()
			}
			inParallel(b, n, func() error {
				id := <-ids
				defer func() { ids <- id }()
				if _, err := w.hub.Resume(bg, w.owner, id, nil, 0); err != nil {
					return err
				}
				to := newReplies()
				if _, err := w.hub.Await(w.owner, id, to); err != nil {
					return err
				}
				<-to.got
				return nil
			})
		})
	}
}

// idle waits until no execution is in memory.
func (w *world) idle() {
	for w.hub.tenant(w.owner).live.Size() > 0 {
		runtime.Gosched()
	}
	w.settled()
}

// BenchmarkStartUp opens a data folder with many sleeping executions (LIVEFN_BENCH_PARKED; 100,000), as
// a hub leaves them, until the hub is ready.
func BenchmarkStartUp(b *testing.B) {
	n := 100_000
	if s := os.Getenv("LIVEFN_BENCH_PARKED"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	w := newWorld(b, dir, Config{})
	w.park(b, n)
	w.stop()
	b.ResetTimer()
	for b.Loop() {
		before := memory()
		w = newWorld(b, dir, Config{})
		b.StopTimer()
		b.ReportMetric(float64(memory()-before)/float64(n), "B/execution")
		if got := w.hub.tenant(w.owner).live.Size(); got != 0 {
			b.Errorf("%d are in memory", got)
		}
		w.stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(n), "parked")
}

// park makes n executions that sleep for a year, with the records and events that they have.
func (w *world) park(b *testing.B, n int) {
	b.Helper()
	defer w.act(b, func(*nodebridge.Call) (nodebridge.Kind, string) {
		meta := `{"sleep":31536000000}`
		return nodebridge.Paused, string([]byte{byte(len(meta)), 0}) + meta + `[[1,2,3],4]`
	})()
	for range n {
		if _, _, err := w.hub.tenant(w.owner).start(&Request{Function: "f", Args: []byte(`[[1,2,3],0]`)}, nil); err != nil {
			b.Fatal(err)
		}
		for records, _ := w.store.Queued(); records > 20_000; records, _ = w.store.Queued() {
			runtime.Gosched()
		}
	}
	w.idle()
	found := 0
	if err := w.store.Scan(store.Range{Prefix: timersPrefix(), KeysOnly: true}, func(_, _ []byte) (bool, error) {
		found++
		return true, nil
	}); err != nil || found != n {
		b.Fatalf("%d sleep, want %d; %v", found, n, err)
	}
}

// memory is the live heap in bytes.
func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

func (a *acting) Bridges(string) []nodebridge.BridgeInfo { return []nodebridge.BridgeInfo{} }
func (a *acting) Ended(string) []nodebridge.EndedBridge  { return []nodebridge.EndedBridge{} }
func (a *acting) Pools() []nodebridge.PoolInfo           { return nil }

func (a *acting) Notify(func(nodebridge.Notice)) {}
func (a *acting) Measure(string)                 {}
