package hub

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// bridgesStream tells what becomes of the tenant's bridges.
const bridgesStream = "hub.bridges"

func noHubStream(name string) error {
	return fault.New(fault.NotFound, "There is no stream %q; the hub's own are execution.<id>, function.<name> and hub.bridges.", name)
}

// bridgeEvents is a tenant's hub.bridges. What happens to bridges is rare, so it is published and kept though
// nobody looks; how they are is published only while somebody does, and not kept: the next says it all again,
// and would drive the rest out of the history.
type bridgeEvents struct {
	stream *stream

	mu        sync.Mutex          // guards all below
	waiting   []nodebridge.Notice // to be published
	telling   bool                // a goroutine publishes them
	looking   int                 // subscriptions that may see the stream
	measuring bool                // a goroutine measures
}

// noticed takes what has become of a bridge. The fleet's locks are held, and calls wait for those: the
// subscribers are served by another goroutine.
func (h *Hub) noticed(n nodebridge.Notice) {
	t, ok := h.tenants.Load(n.Tenant)
	if !ok {
		return // it is deleted
	}
	e := &t.bridges
	e.mu.Lock()
	e.waiting = append(e.waiting, n)
	begin := !e.telling
	e.telling = true
	e.mu.Unlock()
	if begin && !h.spawn(t.tellBridges) {
		e.mu.Lock()
		e.waiting, e.telling = nil, false // the hub has ended
		e.mu.Unlock()
	}
}

// tellBridges publishes what waits.
func (t *tenant) tellBridges(context.Context) {
	e := &t.bridges
	for {
		e.mu.Lock()
		notices := e.waiting
		e.waiting, e.telling = nil, len(notices) > 0
		e.mu.Unlock()
		if len(notices) == 0 {
			return
		}
		var b nodebridge.Batch
		for _, n := range notices {
			var what any = n.Bridge
			if n.Ended != nil {
				what = n.Ended
			}
			data, err := json.Marshal(what)
			if err != nil {
				t.hub.log.Error("tell of a bridge", "tenant", t.name, "error", err)
				continue
			}
			e.stream.publish(&Event{Stream: bridgesStream, Type: bridgeEvent + string(n.Moment), Time: n.At.UnixMilli(), Data: data,
				passes: n.Moment == nodebridge.BridgeMeasured}, &b)
		}
		b.Flush()
	}
}

// watchBridges counts who may see the stream, and has bridges measured while there is somebody.
func (t *tenant) watchBridges(n int) {
	e := &t.bridges
	e.mu.Lock()
	e.looking += n
	begin := e.looking > 0 && !e.measuring
	e.measuring = e.measuring || begin
	e.mu.Unlock()
	if begin {
		t.hub.spawn(t.measureBridges) // else the hub has ended
	}
}

// measureBridges says how the bridges are, again and again, until nobody looks.
func (t *tenant) measureBridges(ctx context.Context) {
	tick := time.NewTicker(t.hub.cfg.MeasureBridges)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		current, _ := t.hub.tenants.Load(t.name)
		e := &t.bridges
		e.mu.Lock()
		e.measuring = e.looking > 0 && current == t
		over, behind := !e.measuring, e.telling
		e.mu.Unlock()
		if over {
			return
		}
		if !behind { // what waits is bounded by it: bridges do not start and end that fast
			t.hub.bridges.Measure(t.name)
		}
	}
}
