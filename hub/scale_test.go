package hub

import (
	"strings"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/units"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// A scale-in is the hub's own affair: what it pauses goes on by itself in another process, and who waits for
// its result gets that, and not a 202.
func TestWhatAScaleInPausesGoesOnElsewhereAndItsCallersNeverKnow(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	to := newReplies()
	x, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte("[1]")}, to)
	if err != nil {
		t.Fatal(err)
	}
	first := w.bridges.wait(t)
	first.receive(nodebridge.Moving, "")
	if got := first.told(nodebridge.Pause); !strings.Contains(got, `"reason":"scale"`) {
		t.Errorf("the function was told %s", got)
	}
	first.receive(nodebridge.Moving, "") // twice is as once
	first.paused(`[7]`)
	second := w.bridges.wait(t)
	equal(t, "arguments", second.args, `[7]`)
	second.result(`"done"`)
	a := to.wait(t)
	equal(t, "answer", string(a.Result), `"done"`)
	equal(t, "state", a.State, Succeeded)
	equal(t, "attempt", x.View().r.Attempt, 2)
}

// moving starts a durable execution of f that a scale-in or a deploy pauses, with somebody who waits for it.
func (w *world) moving(reason string) (View, *run, *replies) {
	w.t.Helper()
	settings := tenants.Settings{OnDeploy: tenants.DeployPause, Retries: &tenants.Retries{Attempts: 1, Backoff: units.Duration(time.Millisecond)}}
	w.publishNext(2, settings)
	v, r := w.start("[1]")
	to := newReplies()
	if _, err := w.hub.Await(w.owner, v.ID(), to); err != nil {
		w.t.Fatal(err)
	}
	if reason == reasonDeploy {
		w.publishNext(3, settings)
	} else {
		r.receive(nodebridge.Moving, "")
	}
	w.says(r.told(nodebridge.Pause), `"reason":"`+reason+`"`)
	return v, r, to
}

// A process that ends before its functions have paused must not leave them paused: nobody wanted that.
func TestWhatWasToMoveMovesThoughItsAttemptCameToNothing(t *testing.T) {
	for reason, version := range map[string]int{reasonScale: 2, reasonDeploy: 3} {
		for name, end := range map[string]func(r *run){
			"lost": (*run).lost, "unstarted": func(r *run) { r.receive(nodebridge.Unstarted, "") }, "failed": func(r *run) { r.fail("no") },
		} {
			t.Run(reason+" "+name, func(t *testing.T) {
				w := newWorld(t, t.TempDir(), Config{MaxLost: 1})
				_, r, to := w.moving(reason)
				end(r)
				r = w.bridges.wait(t)
				equal(t, "version", r.call.Module.Version, version)
				equal(t, "arguments", r.args, "[1]")
				r.result("7")
				a := to.wait(t)
				equal(t, "state", a.State, Succeeded)
				equal(t, "answer", string(a.Result), "7")
			})
		}
	}
}

// Else what ends its process each time that it is moved would do so for ever.
func TestALossWhileItMovesCounts(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxLost: 1})
	_, r, to := w.moving(reasonScale)
	r.lost()
	w.bridges.wait(t).lost()
	equal(t, "state", to.wait(t).State, Failed)
}

// A person's pause lasts, also where the hub was about to pause it for a while.
func TestAPauseOfWhatIsToMoveLasts(t *testing.T) {
	for _, reason := range []string{reasonScale, reasonDeploy} {
		for name, end := range map[string]func(r *run){"paused": func(r *run) { r.paused("[7]") }, "lost": (*run).lost} {
			t.Run(reason+" "+name, func(t *testing.T) {
				w := newWorld(t, t.TempDir(), Config{})
				v, r, to := w.moving(reason)
				got, err := w.hub.Pause(bg, w.owner, v.ID())
				if err != nil || got.State() != Pausing {
					t.Fatalf("it is %v, %v", got.State(), err)
				}
				end(r)
				equal(t, "state", to.wait(t).State, Paused)
				w = w.restart()
				equal(t, "reason", w.view(v.ID())["pause"].(map[string]any)["reason"], any(reasonRequest))
				equal(t, "calls", len(w.bridges.calls), 0)
			})
		}
	}
}

// The same while the hub is being stopped, before and after the function has paused.
func TestAPauseOfWhatADrainPausesLasts(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	before, first := w.start("[1]")
	after, second := w.start("[2]")
	done := make(chan Drained)
	go func() { done <- w.hub.Drain(bg) }()
	first.told(nodebridge.Pause)
	second.told(nodebridge.Pause)
	pause := func(v View) {
		if _, err := w.hub.Pause(bg, w.owner, v.ID()); err != nil {
			t.Error(err)
		}
	}
	pause(before)
	first.paused("[7]")
	second.paused("[8]")
	equal(t, "drained", <-done, Drained{Paused: 2})
	pause(after)
	w = w.restart()
	for _, v := range []View{before, after} {
		equal(t, "reason", w.view(v.ID())["pause"].(map[string]any)["reason"], any(reasonRequest))
	}
	equal(t, "calls", len(w.bridges.calls), 0)
}

// What sleeps needs no process, and must not be woken because one was ended.
func TestWhatSleepsWhenItIsAskedToMoveSleepsOn(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start("[1]")
	r.receive(nodebridge.Moving, "")
	r.told(nodebridge.Pause)
	r.parked(`{"sleep":3600000}`, `[2]`)
	got := w.view(v.ID())
	for got["state"] != "paused" {
		got = w.view(v.ID())
	}
	equal(t, "reason", got["pause"].(map[string]any)["reason"], "sleep")
	equal(t, "calls", len(w.bridges.calls), 0)
}

// The bridges must know a tenant's limits before its first call, and every change of them.
func TestTheBridgesAreToldATenantsLimits(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	_, r := w.start("[1]")
	r.result("1")
	if err := w.hub.registry.SetLimits(t.Context(), w.owner, []byte(`{"minBridges":0,"maxBridges":9,"maxQueueTime":"1s"}`)); err != nil {
		t.Fatal(err)
	}
	w.bridges.mu.Lock()
	defer w.bridges.mu.Unlock()
	equal(t, "told", w.bridges.limits, []nodebridge.Limits{
		{MinBridges: 1, MaxBridges: 4, MaxWaiting: 10_000, MaxWaitTime: 10e9, Memory: 1 << 30, Processes: 256, OpenFiles: 4096, LogRate: 1000, LogBytes: 1 << 20}, {MaxBridges: 9, MaxWaiting: 10_000, MaxWaitTime: 1e9, Memory: 1 << 30, Processes: 256, OpenFiles: 4096, LogRate: 1000, LogBytes: 1 << 20},
	})
	none := tenants.DefaultLimits()
	none.Network = tenants.NetworkNone
	equal(t, "of the network", bridgeLimits(&none).NoNetwork, true)
}
