package hub

import (
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

func (r *run) stuck() {
	r.receive(nodebridge.Error, `{"code":"stuck","message":"It was running f@1."}`)
}

// What a process never read has had no effect, so it runs in another one.
func TestACallThatWasNeverReadRunsInAnotherProcess(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxLost: 2, CallArgs: 8})
	to := newReplies()
	x, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[1]`), Timeout: time.Hour}, to)
	if err != nil {
		t.Fatal(err)
	}
	old := w.bridges.wait(t)
	if _, err := w.hub.Pause(bg, w.owner, x.ID()); err != nil {
		t.Fatal(err)
	}
	w.send(x.ID(), "n", `1`)
	old.receive(nodebridge.Unstarted, "")
	r := w.bridges.wait(t)
	if r.args != `[1]` || r.meta != "" {
		t.Errorf("it got %s, %s", r.args, r.meta)
	}
	if got := r.told(nodebridge.Send); got != number(1)+"\x01n1" {
		t.Errorf("told %q", got)
	}
	r.told(nodebridge.Pause)
	old.result(`"late"`)
	r.result(`2`)
	if a := to.wait(t); string(a.Result) != "2" {
		t.Errorf("answer %+v", a)
	}

	to = newReplies()
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`["too long"]`)}, to); err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t).receive(nodebridge.Unstarted, "")
	if a := to.wait(t); a.Failure == nil || a.Failure.Code != fault.BridgeLost {
		t.Errorf("without its arguments it was answered %+v", a)
	}

	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[1]`)}, to); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.bridges.wait(t).receive(nodebridge.Unstarted, "")
	}
	if a := to.wait(t); a.Failure == nil || a.Failure.Code != fault.BridgeLost {
		t.Errorf("in the end it was answered %+v", a)
	}
}

func TestACallIsRunTwiceOnlyIfItsFunctionMayBe(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	invoke := func() (*run, *replies) {
		to := newReplies()
		if _, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[1]`)}, to); err != nil {
			t.Fatal(err)
		}
		return w.bridges.wait(t), to
	}
	r, to := invoke()
	r.stuck()
	if a := to.wait(t); a.Failure == nil || a.Failure.Code != fault.Stuck || a.Failure.Message != "It was running f@1." {
		t.Errorf("answer %+v", a)
	}
	w.publish(tenants.Settings{Idempotent: true}, "module.exports = () => 2")
	r, to = invoke()
	r.stuck()
	r = w.bridges.wait(t)
	if r.meta != `{"attempt":2}` {
		t.Errorf("it got %s", r.meta)
	}
	r.lost() // once is enough
	if a := to.wait(t); a.Failure == nil || a.Failure.Code != fault.BridgeLost {
		t.Errorf("answer %+v", a)
	}
}

// Whose loop it was is not known, so nobody's durable execution fails for it.
func TestADurableExecutionRunsAgainAfterItsProcessWasStuck(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxLost: 1})
	v, r := w.start(`[1]`)
	r.stuck()
	r = w.bridges.wait(t)
	r.receive(nodebridge.Unstarted, "")
	r = w.bridges.wait(t)
	r.stuck()
	if a := w.await(v.ID()); a.State != Failed || a.Failure.Code != fault.Stuck {
		t.Errorf("answer %+v", a)
	}
}
