package nodebridge

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// counted counts its flushes, and tells how many of its batch run at once.
type counted struct {
	n     atomic.Int64
	flush func()
}

func (c *counted) Flush() {
	c.n.Add(1)
	if c.flush != nil {
		c.flush()
	}
}

func crowdOf(n int, flush func()) (*Batch, []*counted) {
	b, all := &Batch{}, make([]*counted, n)
	for i := range all {
		all[i] = &counted{flush: flush}
		b.Add(all[i])
	}
	return b, all
}

// What a batch has is written exactly once, however many share the work and wherever it is cut.
func TestABatchOfAnySizeIsFlushedOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for _, n := range []int{0, 1, crowd - 1, crowd, crowd + 1, crowd + share - 1, 5000} {
		b, all := crowdOf(n, nil)
		for round := range 3 {
			for i, c := range all {
				if got := c.n.Load(); got != int64(round) {
					t.Fatalf("%d flushers: number %d was flushed %d times in %d rounds", n, i, got, round)
				}
			}
			b.Flush()
			if b.Len() != 0 {
				t.Fatalf("%d flushers stayed", b.Len())
			}
			for _, c := range all {
				b.Add(c)
			}
		}
	}
	if n := helping.Load(); n != 0 {
		t.Fatalf("%d helpers are left", n)
	}
}

// A crowd's writes are what an event costs: with cores that have nothing else to do they are shared. Each
// of the first flushers waits here for as many as there are cores, so one goroutine alone would never end.
func TestACrowdIsFlushedOnEveryCore(t *testing.T) {
	const cores = 4
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	var began atomic.Int64
	all := make(chan struct{}) // closed once so many flush at the same time
	b, _ := crowdOf(crowd, func() {
		if began.Add(1) == cores {
			close(all)
		}
		<-all
	})
	b.Flush()
}

// However many publish at once, helpers are no more than cores: those who find none flush alone.
func TestHelpersAreBoundedForAllBatchesTogether(t *testing.T) {
	const cores, publishers = 3, 20
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	var now, most atomic.Int64
	var done sync.WaitGroup
	for range publishers {
		b, all := crowdOf(2*crowd, func() {
			n := now.Add(1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			runtime.Gosched()
			now.Add(-1)
		})
		done.Go(func() {
			b.Flush()
			for _, c := range all {
				if c.n.Load() != 1 {
					t.Errorf("flushed %d times", c.n.Load())
					return
				}
			}
		})
	}
	done.Wait()
	if got := most.Load(); got > publishers+cores-1 {
		t.Errorf("%d flushed at once, by %d publishers on %d cores", got, publishers, cores)
	}
	if n := helping.Load(); n != 0 {
		t.Fatalf("%d helpers are left", n)
	}
}
