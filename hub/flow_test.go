package hub

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/livefn/livefn/nodebridge"
)

// taken waits for a Taken frame and gives its events.
func (r *run) taken() uint32 {
	r.t.Helper()
	return binary.LittleEndian.Uint32([]byte(r.told(nodebridge.Taken)))
}

// quiet fails if the function was told something.
func (r *run) quiet() {
	r.t.Helper()
	select {
	case f := <-r.in:
		r.t.Errorf("the function was told %#x %q", f.kind, f.payload)
	default:
	}
}

// kilobyte is the data of an event that weighs 1,024 bytes.
var kilobyte = `"` + strings.Repeat("x", 958) + `"`

// Else a slow reader would fill the hub's memory, and be cut off.
func TestAGeneratorWaitsForACallerWhoIsSlow(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	to, events := newReplies(), &slow{watcher: newWatcher(), calm: make(chan struct{})}
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[1]`), Events: events}, to); err != nil {
		t.Fatal(err)
	}
	r := w.bridges.wait(t)
	for range 32 {
		r.quiet()
		r.emit("yield", kilobyte)
	}
	if n := r.taken(); n != 32 {
		t.Errorf("%d events were taken", n)
	}
	events.mu.Lock()
	events.busy = true
	events.mu.Unlock()
	for range 100 {
		r.emit("yield", kilobyte)
		r.emit("other", kilobyte)
	}
	r.quiet()
	close(events.calm)
	if n := r.taken(); n != 100 {
		t.Errorf("%d events were taken once it was calm", n)
	}
	r.result(`1`)
	to.wait(t)
}

// What is yielded faster than the disk takes it would be left out. An event over the limit counts, too, or its
// generator would wait for ever.
func TestAGeneratorOfADurableExecutionWaitsForTheDisk(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxEvent: 1000})
	v, r := w.start(`[1]`)
	for range 63 {
		r.emit("yield", kilobyte)
	}
	r.emit("yield", `"`+kilobyte[1:960-1]+strings.Repeat("x", 64<<10)+`"`)
	for n := uint32(0); n < 64; {
		n += r.taken()
	}
	count := map[string]int{}
	for since := ""; ; {
		page, err := w.hub.History(w.owner, "execution."+v.ID(), since, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range page.Events {
			count[ev.Type]++
		}
		if since = page.Next; since == "" {
			break
		}
	}
	if count[EventYield] != 63 || count[EventLog] != 1 {
		t.Errorf("on disk are %v", count)
	}
	r.result(`1`)
	w.await(v.ID())
}
