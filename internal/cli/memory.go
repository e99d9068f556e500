package cli

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// When the hub gives memory back to the system: Go keeps as much again as is in use for the next
// collection, which a hub with many idle connections and little to do does not need.
const (
	releaseEvery = 10 * time.Second
	releaseQuiet = 32 << 20 // bytes allocated since the last look, below which the hub has little to do
	releaseWorth = 8 << 20  // bytes allocated since the last release, from which on one is worth a collection
)

// releaseMemory gives memory back whenever the hub has little to do, until ctx ends.
func releaseMemory(ctx context.Context) error {
	tick := time.NewTicker(releaseEvery)
	defer tick.Stop()
	var looked, released uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		allocated := allocatedBytes()
		if allocated-looked < releaseQuiet && allocated-released > releaseWorth {
			debug.FreeOSMemory()
			released = allocatedBytes()
		}
		looked = allocated
	}
}

// allocatedBytes is what was ever allocated on the heap.
func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
