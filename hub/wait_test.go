package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/internal/units"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

func (w *world) send(id, eventType, data string) {
	w.t.Helper()
	if err := w.hub.Send(bg, w.owner, id, eventType, json.RawMessage(data)); err != nil {
		w.t.Fatal(err)
	}
}

// settled waits until all that was decided about an execution is on disk.
func (w *world) settled() {
	w.t.Helper()
	if err := w.store.Commit(bg); err != nil {
		w.t.Fatal(err)
	}
}

func TestASleepingExecutionResumesByItself(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[1]`)
	r.parked(`{"sleep":30}`, `[2]`)
	w.settled()
	want := map[string]any{"function": "f", "version": 1.0, "state": "paused", "attempt": 1.0, "args": []any{1.0},
		"pause": map[string]any{"reason": "sleep", "args": []any{2.0}}}
	got := w.view(v.ID())
	pause, _ := got["pause"].(map[string]any)
	if pause["until"] == nil {
		t.Error("nothing says when it wakes")
	}
	delete(pause, "until")
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("asleep it is %v, want %v", got, want)
	}
	r = w.bridges.wait(t)
	if r.args != `[2]` {
		t.Errorf("woke with %s", r.args)
	}
	r.result(`3`)
	if a := w.await(v.ID()); a.State != Succeeded {
		t.Errorf("answer %+v", a)
	}
}

// A sleeping execution is on disk alone: neither a place nor memory is kept for it.
func TestWhatSleepsOrWaitsHoldsNothing(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxDurable: 1})
	for i := range 3 {
		_, r := w.start(`[1]`) // would wait for a place if the one before held it
		r.parked([]string{`{"sleep":3600000}`, `{"event":"go"}`, `{"event":"go","timeout":3600000}`}[i], `[2]`)
		w.settled()
	}
	if _, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	w.settled()
	if n := w.hub.tenant(w.owner).live.Size(); n != 0 {
		t.Errorf("%d executions are in memory", n)
	}
}

// In what order they are due depends on how fast they were parked too, so the hub's own word is what they are held to.
func TestTimersFireInOrderThoughTheHubWasDown(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	until := map[string]string{}
	for i, ms := range []int{1240, 1120, 1360, 1180} {
		v, r := w.start(`[]`)
		args := fmt.Sprintf(`[%d]`, i)
		r.parked(fmt.Sprintf(`{"sleep":%d}`, ms), args)
		w.await(v.ID())
		pause, _ := w.view(v.ID())["pause"].(map[string]any)
		until[args], _ = pause["until"].(string)
	}
	if _, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`["late"]`), Delay: 1500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	until[`["late"]`] = "the last, whatever the rest took"
	w.hub.draining.Store(true) // no timer fires before this hub is down
	w = w.restart()
	for last := ""; len(until) > 0; {
		r := w.bridges.wait(t)
		at, asleep := until[r.args]
		if !asleep || at < last {
			t.Errorf("%s woke, due at %q, after one that was due at %q", r.args, at, last)
		}
		last = at
		delete(until, r.args)
	}
	w.settled()
	if due, _, err := w.hub.dueTimers(now() + 1000); err != nil || len(due) != 0 {
		t.Errorf("timers %v are left, %v", due, err)
	}
}

func TestWaitForResumesWithTheEventsData(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[1]`)
	r.parked(`{"event":"approved","timeout":3600000}`, `["order"]`)
	w.await(v.ID())
	w.send(v.ID(), "comment", `"first"`) // not what it waits for: kept
	if s := w.view(v.ID())["state"]; s != "paused" {
		t.Fatalf("another event made it %v", s)
	}
	w = w.restart()
	w.send(v.ID(), "approved", `{"by":"ann"}`)
	r = w.bridges.wait(t)
	if r.args != `["order",{"by":"ann"}]` {
		t.Errorf("resumed with %s", r.args)
	}
	if got := r.told(nodebridge.Send); got != number(1)+"\x07comment\"first\"" {
		t.Errorf("told %q", got)
	}
	r.result(`1`)
	w.await(v.ID())
	if due, next, err := w.hub.dueTimers(now() + int64(2*time.Hour/time.Millisecond)); err != nil || len(due) != 0 {
		t.Errorf("the timeout is left: %v, %v, %v", due, next, err)
	}
}

// Else the function would wait for what it has been sent already.
func TestWaitForTakesAnEventThatCameBefore(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[]`)
	w.send(v.ID(), "go", `1`)
	w.send(v.ID(), "other", `2`)
	w.send(v.ID(), "go", `3`)
	r.parked(`{"event":"go","seen":3,"kept":[1,2,3]}`, `["a"]`)
	r = w.bridges.wait(t)
	if r.args != `["a",1]` {
		t.Errorf("resumed with %s", r.args)
	}
	if a, b := r.told(nodebridge.Send), r.told(nodebridge.Send); a != number(2)+"\x05other2" || b != number(3)+"\x02go3" {
		t.Errorf("told %q, %q", a, b)
	}
}

func TestWaitForTimesOutWithUndefined(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	_, r := w.start(`[]`)
	r.parked(`{"event":"go","timeout":20}`, `["a"]`)
	r = w.bridges.wait(t)
	if r.args != `["a"]` || r.meta != `{"attempt":2,"resumed":true,"arguments":2}` {
		t.Errorf("resumed with %s, %s", r.args, r.meta)
	}
}

func TestWhatAWaiterIsResumedWithByHandIsWhatItGets(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[]`)
	r.parked(`{"event":"go"}`, `["a"]`)
	w.await(v.ID())
	if _, err := w.hub.Resume(bg, w.owner, v.ID(), json.RawMessage(`["a","by hand"]`), 0); err != nil {
		t.Fatal(err)
	}
	if r = w.bridges.wait(t); r.args != `["a","by hand"]` {
		t.Errorf("resumed with %s", r.args)
	}
}

func TestACheckpointIsWhereACrashResumes(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[0]`)
	r.checkpoint(7, ``, `[5]`)
	if got := r.told(nodebridge.Response); got != "\x07\x00\x00\x00\x00\x02" {
		t.Errorf("told %q", got)
	}
	if c, _ := w.view(v.ID())["checkpoint"].(map[string]any); fmt.Sprint(c["args"]) != "[5]" {
		t.Errorf("the checkpoint reads %v", c)
	}
	r.lost()
	r = w.bridges.wait(t)
	if r.args != `[5]` || r.meta != `{"attempt":2,"resumed":true}` {
		t.Errorf("after a crash it got %s, %s", r.args, r.meta)
	}
	r.checkpoint(1, ``, `[6]`)
	r.told(nodebridge.Response)
	w = w.restart() // the hub's own crash
	if r = w.bridges.wait(t); r.args != `[6]` {
		t.Errorf("after a restart it got %s", r.args)
	}
}

func TestACheckpointMakesACallDurable(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	to := newReplies()
	x, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[0]`)}, to)
	if err != nil {
		t.Fatal(err)
	}
	r := w.bridges.wait(t)
	w.send(x.ID(), "kept", `1`)
	r.told(nodebridge.Send)
	r.checkpoint(1, `{"seen":0}`, `[5]`)
	r.told(nodebridge.Response)
	r.lost()
	r = w.bridges.wait(t)
	if got := r.told(nodebridge.Send); r.args != `[5]` || got != number(1)+"\x04kept1" {
		t.Errorf("after a crash it got %s and was told %q", r.args, got)
	}
	r.result(`9`)
	if a := to.wait(t); string(a.Result) != "9" {
		t.Errorf("the caller got %+v", a)
	}
}

// What was heard before a checkpoint is part of it; what came after must come again.
func TestEventsSinceTheCheckpointAreDeliveredAgain(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[0]`)
	for i := range 4 {
		w.send(v.ID(), "n", fmt.Sprint(i+1))
	}
	r.checkpoint(1, `{"seen":3,"kept":[2]}`, `[5]`)
	for range 4 {
		r.told(nodebridge.Send)
	}
	r.told(nodebridge.Response)
	w = w.restart()
	r = w.bridges.wait(t)
	if a, b := r.told(nodebridge.Send), r.told(nodebridge.Send); a != number(2)+"\x01n2" || b != number(4)+"\x01n4" {
		t.Errorf("told %q, %q", a, b)
	}
}

func TestTheInboxOfARunningExecutionKeepsTheNewest(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxInbox: 2})
	v, r := w.start(`[0]`)
	for i := range 4 {
		w.send(v.ID(), "n", fmt.Sprint(i+1))
	}
	r.lost()
	r = w.bridges.wait(t)
	if a, b := r.told(nodebridge.Send), r.told(nodebridge.Send); a != number(3)+"\x01n3" || b != number(4)+"\x01n4" {
		t.Errorf("told %q, %q", a, b)
	}
}

func TestWhatIsNoSnapshotFailsTheExecution(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxPayload: 10})
	for _, c := range []struct {
		meta, args string
		code       fault.Code
	}{{``, `7`, fault.Internal}, {`{`, `[]`, fault.Internal}, {``, `[`, fault.Internal}, {``, `["0123456789"]`, fault.PayloadTooLarge}} {
		v, r := w.start(`[0]`)
		r.parked(c.meta, c.args)
		if a := w.await(v.ID()); a.State != Failed || a.Failure.Code != c.code {
			t.Errorf("%s%s: answer %+v", c.meta, c.args, a)
		}
	}
	v, r := w.start(`[0]`)
	r.checkpoint(1, ``, `["0123456789"]`)
	if got := r.told(nodebridge.Response); got[4] != nodebridge.StatusFault {
		t.Errorf("told %q", got)
	}
	r.result(`1`)
	if a := w.await(v.ID()); a.State != Succeeded {
		t.Errorf("a refused checkpoint ended it: %+v", a)
	}
}

func TestEndedExecutionsAreForgottenInTime(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	longer, r := w.start(`[0]`)
	r.result(`1`)
	w.await(longer.ID())
	w.publish(tenants.Settings{KeepEnded: units.Duration(40 * time.Millisecond)}, "module.exports = () => 2")
	v, r := w.start(`[0]`)
	r.emit("progress", `1`)
	w.send(v.ID(), "n", `1`)
	r.checkpoint(1, ``, `["`+strings.Repeat("x", 2*inlineMax)+`"]`)
	r.result(`1`)
	w.await(v.ID())
	kept, err := w.hub.Start(context.Background(), w.owner, &Request{Function: "f", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t).result(`2`)
	w.await(kept.ID())
	deadline := time.After(10 * time.Second)
	for {
		if _, err := w.hub.Execution(w.owner, v.ID()); fault.Is(err, fault.NotFound) {
			break
		}
		select {
		case <-deadline:
			t.Fatal("it is still there")
		case <-time.After(5 * time.Millisecond):
		}
	}
	w.settled()
	if left := w.keys(v.ID()); len(left) != 0 {
		t.Errorf("%q are left of it", left)
	}
	for _, id := range []string{kept.ID(), longer.ID()} { // one has a key, one another version's settings
		if s := w.view(id)["state"]; s != "succeeded" {
			t.Errorf("%s is %v", id, s)
		}
	}
}

// The first programs kept delayed starts in memory, and had no timers in the store.
func TestADelayedStartOfAFormatWithoutTimersGetsOne(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`[1]`), Delay: 600 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r := *v.r
	at := r.Timer
	r.Timer = 0
	if err := w.store.Commit(bg,
		store.Op{Key: executionKey("acme", r.ID), Value: encodeRecord(&r)},
		store.Op{Key: queuedKey("acme", r.ID)},
		store.Op{Key: timerKey(at, "acme", r.ID), Delete: true}); err != nil {
		t.Fatal(err)
	}
	w = w.restart()
	if r := w.bridges.wait(t); r.args != `[1]` {
		t.Errorf("it ran with %s", r.args)
	}
}
