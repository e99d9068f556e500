package hub

import (
	"context"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

func TestADrainPausesWhatCanPauseAndTheNextStartResumesIt(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	paused, r1 := w.start(`[1]`)
	ended, r2 := w.start(`[2]`)
	cut, r3 := w.start(`[3]`)
	r3.checkpoint(1, ``, `[33]`)
	r3.told(nodebridge.Response)
	asleep, r4 := w.start(`[4]`)
	r4.parked(`{"sleep":3600000}`, `[44]`)
	parked, r5 := w.start(`[5]`)
	r5.paused(`[55]`)
	call, cutCall := newReplies(), newReplies()
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[6]`)}, call); err != nil {
		t.Fatal(err)
	}
	r6 := w.bridges.wait(t)
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[7]`)}, cutCall); err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t)
	waiter := newReplies()
	if _, err := w.hub.Await(w.owner, cut.ID(), waiter); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	done := make(chan Drained)
	go func() { done <- w.hub.Drain(ctx) }()
	r1.told(nodebridge.Pause)
	r2.told(nodebridge.Pause)
	r6.told(nodebridge.Pause)
	_, err := w.hub.Start(bg, w.owner, &Request{Function: "f"})
	wantCode(t, err, fault.Drained)
	_, err = w.hub.Invoke(w.owner, &Request{Function: "f"}, newReplies())
	wantCode(t, err, fault.Drained)
	r1.paused(`[11]`)
	r2.result(`22`)
	r6.paused(`[66]`)
	if a := call.wait(t); a.State != Paused {
		t.Errorf("the paused call was answered %+v", a)
	}
	cancel() // the deadline
	if got, want := <-done, (Drained{Paused: 2, Ended: 1, Again: 1, Failed: 1}); got != want {
		t.Errorf("drained %+v, want %+v", got, want)
	}
	for _, to := range []*replies{cutCall, waiter} {
		if a := to.wait(t); a.State != Failed || a.Failure.Code != fault.Drained {
			t.Errorf("what was cut off was answered %+v", a)
		}
	}
	if got := w.view(ended.ID()); got["result"] != 22.0 {
		t.Errorf("the ended one is %v", got)
	}

	w = w.restart()
	args := map[string]bool{}
	for range 3 {
		args[w.bridges.wait(t).args] = true
	}
	if !args[`[11]`] || !args[`[33]`] || !args[`[66]`] {
		t.Errorf("resumed %v", args)
	}
	w.settled()
	for _, id := range []string{asleep.ID(), parked.ID()} {
		if s := w.view(id)["state"]; s != "paused" {
			t.Errorf("what had paused before is %v", s)
		}
	}
	_ = paused
}

func TestADrainOfManyIsQuick(t *testing.T) {
	const n = 2000
	w := newWorld(t, t.TempDir(), Config{})
	for range n {
		if _, _, err := w.hub.tenant(w.owner).start(&Request{Function: "f"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		r := w.bridges.wait(t)
		go func() {
			for f := range r.in {
				if f.kind == nodebridge.Pause {
					r.paused(`[1]`)
					return
				}
			}
		}()
	}
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	if got := w.hub.Drain(ctx); got != (Drained{Paused: n}) {
		t.Errorf("drained %+v", got)
	}
	w = w.restart()
	for range n {
		if r := w.bridges.wait(t); r.args != `[1]` {
			t.Fatalf("resumed with %s", r.args)
		}
	}
}

// What runs may still need others to come to an end; refusing them would fail it for the drain.
func TestAFunctionMayCallOthersWhileTheHubDrains(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[1]`)
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	done := make(chan Drained)
	go func() { done <- w.hub.Drain(ctx) }()
	r.told(nodebridge.Pause)
	r.ask(1, nodebridge.OpInvoke, `{"function":"f","args":[2]}`)
	w.bridges.wait(t).result(`3`)
	if _, status, _, result := r.answer(); status != nodebridge.StatusOK || result != `3` {
		t.Errorf("answered %d %s", status, result)
	}
	r.result(`4`)
	if d := <-done; d.Ended < 1 || d.Failed != 0 {
		t.Errorf("drained %+v", d)
	}
	if s := w.view(v.ID())["state"]; s != "succeeded" {
		t.Errorf("it is %v", s)
	}
}
