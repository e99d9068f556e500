package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/smalldisk"
)

// TestAFullDiskStopsWritesAndNothingElse lets somebody else fill the disk to its last page while the
// store writes and compacts, again and again. Without MinFree this test ends by SIGBUS.
func TestAFullDiskStopsWritesAndNothingElse(t *testing.T) {
	dir := smalldisk.Mounted(t, 320)
	if dir == "" {
		return
	}
	data := filepath.Join(dir, "store")
	s, stop := open(t, data, Options{
		MemTableSize: 1 << 20, ValueLogFileSize: 2 << 20, MinFree: 128 << 20, WatchEvery: 5 * time.Millisecond,
		RetryMax: 20 * time.Millisecond,
	})
	var acknowledged, decided atomic.Int64 // highest number of a round's writer, by writer
	var refused, told atomic.Int64
	end := make(chan struct{})
	var wg sync.WaitGroup
	long := strings.Repeat("v", 2000)
	for p := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				n := fmt.Sprint(i)
				// A small ring of keys, so that the disk's content stays bounded.
				ops := []Op{put(fmt.Sprintf("%d/last", p), n), put(fmt.Sprintf("%d/%03d", p, i%500), n+long)}
				if i%2 == 0 {
					decided.Add(1)
					done := make(chan error, 1)
					s.Enqueue(ops, func(err error) { done <- err })
					if err := <-done; err != nil {
						t.Errorf("decided, and told %v", err)
					}
					told.Add(1)
				} else if err := s.Commit(bg, ops...); fault.Is(err, fault.StorageUnavailable) {
					refused.Add(1)
					i++ // the next is an offer again
					<-time.After(time.Millisecond)
				} else if err != nil {
					t.Error(err)
				} else {
					acknowledged.Add(1)
				}
			}
		})
	}
	for round := range 3 {
		before := told.Load()
		eventually(t, "nothing is written", func() bool { return told.Load() > before+2000 })
		empty := smalldisk.Fill(t, dir, 0)
		eventually(t, "no outage", func() bool { return s.Check() != nil })
		if kvs := all(t, s, Range{Prefix: []byte("0/"), KeysOnly: true}); len(kvs) == 0 {
			t.Error("nothing can be read")
		}
		empty()
		eventually(t, "the outage does not end", func() bool { return s.Check() == nil })
		t.Logf("round %d: %d decided, %d offers acknowledged, %d refused", round, told.Load(), acknowledged.Load(), refused.Load())
	}
	close(end)
	wg.Wait()
	stop()
	if told.Load() != decided.Load() || refused.Load() == 0 {
		t.Errorf("%d of %d decided were told, %d offers refused", told.Load(), decided.Load(), refused.Load())
	}
	s, _ = open(t, data, Options{MinFree: 1 << 20})
	for p := range 8 {
		last, err := s.Get(fmt.Appendf(nil, "%d/last", p))
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscan(string(last), &i); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Get(fmt.Appendf(nil, "%d/%03d", p, i%500)); err != nil || string(v) != string(last)+long {
			t.Errorf("writer %d: the last is %s, and its value has %d bytes, %v", p, last, len(v), err)
		}
	}
}
