package hub

import (
	"context"
	"testing"

	"github.com/livefn/livefn/nodebridge"
)

// echoing answers every call at once, on the caller's goroutine once it has let go of its lock.
type echoing struct{ calls chan *nodebridge.Call }

func (e *echoing) Call(_ string, c *nodebridge.Call) error { e.calls <- c; return nil }
func (e *echoing) Load(context.Context, string, *nodebridge.Module) (nodebridge.Info, error) {
	return nodebridge.Info{}, nil
}

func (e *echoing) Unload(string, *nodebridge.Module) {}
func (e *echoing) Remove(string)                     {}

type done chan struct{}

func (d done) Reply(*Answer, *nodebridge.Batch) bool { d <- struct{}{}; return true }

// BenchmarkInvoke is the hub's own share of a call: from Invoke to Reply, without conn and bridge.
func BenchmarkInvoke(b *testing.B) {
	w := newWorld(b, b.TempDir(), Config{})
	e := &echoing{calls: make(chan *nodebridge.Call, 1)}
	w.hub.bridges = e
	to := make(done, 1)
	req := &Request{Function: "f", Args: []byte(`[1,2]`)}
	frame := nodebridge.Frame{Kind: nodebridge.Result, Payload: []byte("\x003")}
	var batch nodebridge.Batch
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.hub.Invoke(w.owner, req, to); err != nil {
			b.Fatal(err)
		}
		(<-e.calls).Receiver.Receive(frame, &batch)
		<-to
	}
}
