package hub

import (
	"slices"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

func (w *world) tell(tenant string, m nodebridge.Moment) {
	n := nodebridge.Notice{Tenant: tenant, Moment: m, At: time.Now(), Bridge: nodebridge.BridgeInfo{Tenant: tenant, PID: 7}}
	if m == nodebridge.BridgeEnded {
		n.Ended = &nodebridge.EndedBridge{Tenant: tenant, PID: 7, Code: "died", Reason: "killed"}
	}
	w.bridges.notify(n)
}

// What happened to bridges is history though nobody looked; what was measured is not, and so can't drive it out.
func TestHubBridgesKeepsWhatHappenedAndNotWhatWasMeasured(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MeasureBridges: time.Millisecond})
	w.hub.tenant(w.owner)
	w.tell("acme", nodebridge.BridgeStarted)
	w.tell("nobody", nodebridge.BridgeStarted)
	watch, wild, all := newWatcher(), newWatcher(), newWatcher()
	var subs []*Subscription
	for pattern, to := range map[string]*watcher{bridgesStream: watch, "hub.*": wild, ">": all} {
		sub, err := w.hub.Subscribe(w.owner, pattern, Since{Start: true}, to)
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	for _, to := range []*watcher{watch, wild, all} {
		to.until(t, EventBridgeMeasured)
	}
	w.tell("acme", nodebridge.BridgeReady)
	w.tell("acme", nodebridge.BridgeEnded)
	last := uint64(0)
	for ended := false; !ended; {
		ev := <-watch.got
		if ev.Offset <= last {
			t.Fatalf("offset %d came after %d", ev.Offset, last)
		}
		last = ev.Offset
		if ended = ev.Type == EventBridgeEnded; ended {
			const want = `{"tenant":"acme","pid":7,"startedAt":"0001-01-01T00:00:00Z","endedAt":"0001-01-01T00:00:00Z","calls":0,"code":"died","reason":"killed"}`
			if string(ev.Data) != want {
				t.Errorf("the end is told as %s", ev.Data)
			}
		}
	}
	wild.until(t, EventBridgeEnded)
	all.until(t, EventBridgeEnded)
	page, err := w.hub.History(w.owner, bridgesStream, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, ev := range page.Events {
		kept = append(kept, ev.Type)
	}
	if want := []string{EventBridgeStarted, EventBridgeReady, EventBridgeEnded}; !slices.Equal(kept, want) {
		t.Errorf("the history is %v, want %v", kept, want)
	}

	// A position between two that are kept gives what is kept after it.
	again := newWatcher()
	sub, err := w.hub.Subscribe(w.owner, bridgesStream, Since{Position: &Position{page.Epoch, last - 1}}, again)
	if err != nil {
		t.Fatal(err)
	}
	if ev := <-again.got; !sub.Recovered() || ev.Offset != last {
		t.Errorf("recovered %v, and began with offset %d, want %d", sub.Recovered(), ev.Offset, last)
	}
	for _, sub := range append(subs, sub) {
		sub.Close()
	}
	e := &w.hub.tenant(w.owner).bridges
	eventually(t, "nothing is measured for nobody", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.looking == 0 && !e.measuring
	})
}

func TestThereIsNoOtherStreamOfTheHub(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	for _, name := range []string{"hub.bridge", "hub", "hub.bridges.acme"} {
		if _, err := w.hub.Subscribe(w.owner, name, Since{}, newWatcher()); fault.From(err).Code != fault.NotFound {
			t.Errorf("subscribing to %s: %v", name, err)
		}
		if _, err := w.hub.History(w.owner, name, "", 1); fault.From(err).Code != fault.NotFound {
			t.Errorf("the history of %s: %v", name, err)
		}
	}
	if _, err := w.hub.Publish(t.Context(), w.owner, bridgesStream, "bridge.ended", nil); fault.From(err).Code != fault.InvalidRequest {
		t.Errorf("publishing: %v", err)
	}
}
