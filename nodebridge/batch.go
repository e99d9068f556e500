package nodebridge

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Flusher is something that collects output while a chunk of frames is handled and writes it once
// at the chunk's end. Flushers of one batch may be called at the same time, in any order.
type Flusher interface{ Flush() }

// Batch collects the flushers that one chunk of frames touched. Its zero value is ready.
type Batch struct{ list []Flusher }

// Add has f.Flush called at the end of the chunk. The caller sees to it that f is added once a chunk.
func (b *Batch) Add(f Flusher) { b.list = append(b.list, f) }

// Len gives the number of flushers that were added.
func (b *Batch) Len() int { return len(b.list) }

// Flush calls every flusher that was added, and forgets them. A crowd of them is spread over the cores;
// Flush returns when all have been called.
func (b *Batch) Flush() {
	if len(b.list) < crowd || !spread(b.list, runtime.GOMAXPROCS(0)-1) {
		for _, f := range b.list {
			f.Flush()
		}
	}
	clear(b.list)
	b.list = b.list[:0]
}

const (
	crowd = 256 // flushers from which on others help: their writes take a millisecond, waking a core some µs
	share = 32  // flushers that one core takes at a time, so that none is left with much when the rest has ended
)

// helping is the number of goroutines that help with batches, of all of them together. There are never more
// than cores: who publishes when all are busy flushes alone.
var helping atomic.Int64

// spread calls the flushers on this goroutine and on up to most others. It calls none, and gives false, if
// there is nobody to help.
func spread(list []Flusher, most int) bool {
	helpers := 0
	for helpers < min(most, len(list)/share-1) && helping.Add(1) <= int64(most) {
		helpers++
	}
	if helpers < min(most, len(list)/share-1) {
		helping.Add(-1) // the one that was too many
	}
	if helpers == 0 {
		return false
	}
	var next atomic.Int64
	work := func() {
		for {
			to := int(next.Add(share))
			from := to - share
			if from >= len(list) {
				return
			}
			for _, f := range list[from:min(to, len(list))] {
				f.Flush()
			}
		}
	}
	var group sync.WaitGroup
	for range helpers {
		group.Go(func() {
			defer helping.Add(-1)
			work()
		})
	}
	work()
	group.Wait()
	return true
}
