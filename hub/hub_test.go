package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
)

var bg = context.Background()

func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("got %v, want a fault %s", err, code)
	}
}

func TestACallIsAnsweredAndForgotten(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	to := newReplies()
	x, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[1,2]`)}, to)
	if err != nil {
		t.Fatal(err)
	}
	r := w.bridges.wait(t)
	if r.args != `[1,2]` || r.meta != "" || r.call.Execution != x.ID() {
		t.Errorf("the function got %q, meta %q, execution %q", r.args, r.meta, r.call.Execution)
	}
	want := map[string]any{"function": "f", "version": 1.0, "state": "running", "attempt": 1.0, "args": []any{1.0, 2.0}}
	if got := w.view(x.ID()); !reflect.DeepEqual(got, want) {
		t.Errorf("while it runs it shows %v, want %v", got, want)
	}
	r.result(`3`)
	if a, want := to.wait(t), (Answer{Execution: x.ID(), Version: 1, State: Succeeded, Result: []byte("3")}); !reflect.DeepEqual(a, want) {
		t.Errorf("answer %+v, want %+v", a, want)
	}
	_, err = w.hub.Execution(w.owner, x.ID())
	wantCode(t, err, fault.NotFound)
}

func TestALostBridgeFailsItsCallsAndRepeatsDurableOnes(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	to := newReplies()
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f"}, to); err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t).lost()
	if a := to.wait(t); a.State != Failed || a.Failure.Code != fault.BridgeLost {
		t.Errorf("answer %+v", a)
	}
	v, r := w.start(`[7]`)
	r.lost()
	again := w.bridges.wait(t)
	if again.args != `[7]` || again.meta != `{"attempt":2}` {
		t.Errorf("the second attempt got %q, meta %q", again.args, again.meta)
	}
	again.result(`"ok"`)
	if a := w.await(v.ID()); a.State != Succeeded || string(a.Result) != `"ok"` {
		t.Errorf("answer %+v", a)
	}
}

func TestADurableExecutionThatKeepsLosingItsBridgeFails(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxLost: 1})
	v, r := w.start(``)
	r.lost()
	w.bridges.wait(t).lost()
	if a := w.await(v.ID()); a.State != Failed || a.Failure.Code != fault.BridgeLost {
		t.Errorf("answer %+v", a)
	}
}

func TestADurableExecutionThatFoundNoBridgeWaitsOn(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{RetryOverload: time.Millisecond})
	v, r := w.start(`[7]`)
	r.receive(nodebridge.Error, `{"code":"overloaded","message":"no bridge"}`)
	w.bridges.wait(t).result(`1`)
	if a := w.await(v.ID()); a.State != Succeeded {
		t.Errorf("answer %+v", a)
	}
}

func TestADelayedStartWaitsAlsoOverARestart(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	const delay = 300 * time.Millisecond
	began := time.Now()
	v, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`[1]`), Delay: delay})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.view(v.ID())["state"]; got != "queued" || len(w.bridges.calls) != 0 {
		t.Errorf("it is %v", got)
	}
	w = w.restart()
	w.bridges.wait(t).result(`1`)
	if took := time.Since(began); took < delay-time.Millisecond { // a record's times are whole milliseconds
		t.Errorf("it ran after %v", took)
	}
	if a := w.await(v.ID()); a.State != Succeeded {
		t.Errorf("answer %+v", a)
	}
}

func TestADeletedTenantsExecutionsAreGone(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[7]`)
	if err := w.hub.registry.DeleteTenant(bg, "acme"); err != nil {
		t.Fatal(err)
	}
	r.told(nodebridge.Cancel)
	var err error
	if w.owner, _, err = w.hub.registry.CreateTenant(bg, "acme"); err != nil {
		t.Fatal(err)
	}
	_, err = w.hub.Execution(w.owner, v.ID())
	wantCode(t, err, fault.NotFound)
	for _, prefix := range tenantPrefixes("acme") {
		if err := w.store.Scan(store.Range{Prefix: prefix, KeysOnly: true}, func(k, _ []byte) (bool, error) {
			t.Errorf("left behind: %q", k)
			return true, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// An attempt whose bridge was given up may still answer: it must not decide anything.
func TestFramesOfAnOlderAttemptAreDropped(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, old := w.start(`[1]`)
	old.lost()
	r := w.bridges.wait(t)
	old.result(`"old"`)
	old.emit("late", `1`)
	old.paused(`["old"]`)
	r.emit("mine", `2`)
	r.result(`"new"`)
	if a := w.await(v.ID()); string(a.Result) != `"new"` {
		t.Errorf("answer %+v", a)
	}
	page, err := w.hub.History(w.owner, "execution."+v.ID(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for i, ev := range page.Events {
		if ev.Offset != uint64(i+1) {
			t.Errorf("event %d has offset %d", i, ev.Offset)
		}
		types = append(types, ev.Type)
	}
	want := []string{EventQueued, EventStarted, EventRetrying, EventStarted, "mine", EventSucceeded}
	if !reflect.DeepEqual(types, want) {
		t.Errorf("history %v, want %v", types, want)
	}
}

// Who is told "paused" may kill the hub the next moment and must find the snapshot.
func TestPausedIsAnnouncedAfterSync(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[1]`)
	checked := make(chan error, 1)
	stored := replierFunc(func(a *Answer) {
		rec, err := w.hub.tenant(w.owner).read(v.ID())
		switch {
		case err != nil:
			checked <- err
		case a.State != Paused || rec.State != Paused || string(rec.Snapshot.Args.Data) != `[1,{"i":5}]`:
			checked <- fmt.Errorf("told %v while the store has %+v", a.State, rec)
		default:
			checked <- nil
		}
	})
	if _, err := w.hub.Await(w.owner, v.ID(), stored); err != nil {
		t.Fatal(err)
	}
	p, err := w.hub.Pause(bg, w.owner, v.ID())
	if err != nil || p.State() != Pausing {
		t.Fatalf("pause gave %v, %v", p.State(), err)
	}
	if told := r.told(nodebridge.Pause); !strings.Contains(told, `"reason":"request"`) {
		t.Errorf("the function was told %s", told)
	}
	r.paused(`[1,{"i":5}]`)
	if err := <-checked; err != nil {
		t.Error(err)
	}
}

type replierFunc func(*Answer)

func (f replierFunc) Reply(a *Answer, _ *nodebridge.Batch) bool { f(a); return true }

func TestAPausedExecutionResumesAfterARestartWhereItHalted(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[1]`)
	r.emit("progress", `{"done":5}`)
	if _, err := w.hub.Pause(bg, w.owner, v.ID()); err != nil {
		t.Fatal(err)
	}
	big := `["` + strings.Repeat("x", 5000) + `"]` // has a key of its own
	r.paused(big)
	w.await(v.ID())

	w = w.restart()
	if got := w.view(v.ID())["pause"].(map[string]any); got["reason"] != "request" || got["args"].([]any)[0] != strings.Repeat("x", 5000) {
		t.Errorf("pause %v", got)
	}
	if v, err := w.hub.Resume(bg, w.owner, v.ID(), nil, 0); err != nil || v.State() != Queued {
		t.Fatalf("resume gave %v, %v", v.State(), err)
	}
	r = w.bridges.wait(t)
	if r.args != big || r.meta != `{"attempt":2,"resumed":true}` {
		t.Errorf("the second attempt got %d bytes, meta %q", len(r.args), r.meta)
	}
	r.result(`{"done":true}`)
	want := map[string]any{"function": "f", "version": 1.0, "state": "succeeded", "attempt": 2.0, "args": []any{1.0}, "result": map[string]any{"done": true}}
	w.await(v.ID())
	if got := w.view(v.ID()); !reflect.DeepEqual(got, want) {
		t.Errorf("at the end %v, want %v", got, want)
	}
	page, err := w.hub.History(w.owner, "execution."+v.ID(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, ev := range page.Events {
		types = append(types, fmt.Sprint(ev.Offset, ev.Type))
	}
	wantEvents := []string{"1execution.queued", "2execution.started", "3progress", "4execution.pausing", "5execution.paused",
		"6execution.resumed", "7execution.started", "8execution.succeeded"}
	if !reflect.DeepEqual(types, wantEvents) {
		t.Errorf("history %v, want %v", types, wantEvents)
	}
}

func TestResumeMayReplaceTheArguments(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[1]`)
	r.paused(`[2]`)
	if a := w.await(v.ID()); a.State != Paused {
		t.Fatalf("answer %+v", a)
	}
	if got := w.view(v.ID())["pause"]; !reflect.DeepEqual(got, map[string]any{"reason": "function", "args": []any{2.0}}) {
		t.Errorf("pause %v", got)
	}
	if _, err := w.hub.Resume(bg, w.owner, v.ID(), json.RawMessage(`[3]`), 1); err != nil {
		t.Fatal(err)
	}
	if r := w.bridges.wait(t); r.args != `[3]` {
		t.Errorf("resumed with %s", r.args)
	}
}

func TestOfManyResumesExactlyOneWins(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(``)
	r.paused(`[]`)
	w.await(v.ID())
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = w.hub.Resume(bg, w.owner, v.ID(), nil, 0) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantCode(t, err, fault.Conflict)
	}
	if won != 1 {
		t.Errorf("%d resumes won", won)
	}
	w.bridges.wait(t).result(`1`)
	if a := w.await(v.ID()); a.State != Succeeded {
		t.Errorf("answer %+v", a)
	}
	if n := len(w.bridges.calls); n != 0 {
		t.Errorf("%d further attempts", n)
	}
}

func TestPausingWhatPausesOrIsPausedChangesNothing(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(``)
	for range 3 {
		if p, err := w.hub.Pause(bg, w.owner, v.ID()); err != nil || p.State() != Pausing {
			t.Fatalf("%v, %v", p.State(), err)
		}
	}
	r.told(nodebridge.Pause)
	if n := len(r.in); n != 0 {
		t.Errorf("the function was told to pause %d times more", n)
	}
	r.paused(`[]`)
	w.await(v.ID())
	if p, err := w.hub.Pause(bg, w.owner, v.ID()); err != nil || p.State() != Paused {
		t.Fatalf("%v, %v", p.State(), err)
	}
	if _, err := w.hub.Cancel(bg, w.owner, v.ID()); err != nil {
		t.Fatal(err)
	}
	_, err := w.hub.Pause(bg, w.owner, v.ID())
	wantCode(t, err, fault.Conflict)
}

func TestAPauseThatIsNotTakenInTimeIsTakenBack(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{PauseTimeout: time.Millisecond})
	v, r := w.start(``)
	watch := newWatcher()
	if _, err := w.hub.Subscribe(w.owner, "execution."+v.ID(), Since{Start: true}, watch); err != nil {
		t.Fatal(err)
	}
	if _, err := w.hub.Pause(bg, w.owner, v.ID()); err != nil {
		t.Fatal(err)
	}
	watch.until(t, EventPauseTimeout)
	if got := w.view(v.ID())["state"]; got != "running" {
		t.Errorf("state %v", got)
	}
	r.paused(`["late"]`) // still a pause of its own
	if a := w.await(v.ID()); a.State != Paused {
		t.Errorf("answer %+v", a)
	}
}

func TestRefusedResumeArgumentsLeaveTheExecutionRunning(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(``)
	watch := newWatcher()
	if _, err := w.hub.Subscribe(w.owner, "execution."+v.ID(), Since{}, watch); err != nil {
		t.Fatal(err)
	}
	if _, err := w.hub.Pause(bg, w.owner, v.ID()); err != nil {
		t.Fatal(err)
	}
	r.receive(nodebridge.Refused, `{"message":"a cycle"}`)
	if got, want := watch.until(t, EventPauseRefused), []string{EventStarted, EventPausing, EventPauseRefused}; !reflect.DeepEqual(got, want) && !reflect.DeepEqual(got, want[1:]) {
		t.Errorf("events %v", got)
	}
	r.result(`1`)
	if a := w.await(v.ID()); a.State != Succeeded {
		t.Errorf("answer %+v", a)
	}
}

func TestACallThatPausesBecomesDurable(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	to := newReplies()
	to.stay = true
	x, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[1]`)}, to)
	if err != nil {
		t.Fatal(err)
	}
	r := w.bridges.wait(t)
	r.emit("progress", `1`)
	r.paused(`[2]`)
	if a := to.wait(t); a.State != Paused {
		t.Errorf("answer %+v", a)
	}
	if _, err := w.hub.Resume(bg, w.owner, x.ID(), nil, 0); err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t).result(`9`)
	if a := to.wait(t); a.State != Succeeded || string(a.Result) != `9` {
		t.Errorf("the caller who went on waiting got %+v", a)
	}
	w = w.restart()
	if got := w.view(x.ID()); got["state"] != "succeeded" || got["result"] != 9.0 {
		t.Errorf("kept as %v", got)
	}
	page, err := w.hub.History(w.owner, "execution."+x.ID(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, ev := range page.Events {
		types = append(types, ev.Type)
	}
	if want := []string{EventStarted, "progress", EventPaused, EventResumed, EventStarted, EventSucceeded}; !reflect.DeepEqual(types, want) {
		t.Errorf("history %v, want %v", types, want)
	}
}

func TestWhatRanWhenTheHubStoppedRunsAgain(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	ran, _ := w.start(`["ran"]`)
	pausing, _ := w.start(`["pausing"]`)
	if _, err := w.hub.Pause(bg, w.owner, pausing.ID()); err != nil {
		t.Fatal(err)
	}
	w.bridges.mu.Lock()
	w.bridges.full = true
	w.bridges.mu.Unlock()
	queued, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`["queued"]`)})
	if err != nil {
		t.Fatal(err)
	}
	w = w.restart()
	got := map[string]string{}
	for range 2 {
		r := w.bridges.wait(t)
		got[r.args] = r.meta
		r.result(`1`)
	}
	if want := map[string]string{`["ran"]`: `{"attempt":2}`, `["queued"]`: ``}; !reflect.DeepEqual(got, want) {
		t.Errorf("run again: %v, want %v", got, want)
	}
	for _, id := range []string{ran.ID(), queued.ID()} {
		if a := w.await(id); a.State != Succeeded {
			t.Errorf("answer %+v", a)
		}
	}
	if a := w.await(pausing.ID()); a.State != Paused {
		t.Errorf("what was pausing is %v", a.State)
	}
}

func TestCancelEndsWhateverHasNotEnded(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(``)
	c, err := w.hub.Cancel(bg, w.owner, v.ID())
	if err != nil || c.State() != Cancelled {
		t.Fatalf("%v, %v", c.State(), err)
	}
	r.told(nodebridge.Cancel)
	r.result(`"too late"`)
	want := map[string]any{"function": "f", "version": 1.0, "state": "cancelled", "attempt": 1.0,
		"error": map[string]any{"code": "cancelled", "message": "The execution was cancelled."}}
	if got := w.view(v.ID()); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	_, err = w.hub.Cancel(bg, w.owner, v.ID())
	wantCode(t, err, fault.Conflict)

	to := newReplies()
	x, err := w.hub.Invoke(w.owner, &Request{Function: "f"}, to)
	if err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t)
	if _, err := w.hub.Cancel(bg, w.owner, x.ID()); err != nil {
		t.Fatal(err)
	}
	if a := to.wait(t); a.State != Cancelled || a.Failure.Code != fault.Cancelled {
		t.Errorf("answer %+v", a)
	}
}

func TestAnEventSentWhilePausedIsDeliveredOnResume(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(``)
	if err := w.hub.Send(bg, w.owner, v.ID(), "speed", json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	if got := r.told(nodebridge.Send); got != number(1)+"\x05speed1" {
		t.Errorf("told %q", got)
	}
	r.parked(`{"seen":1}`, `[]`)
	w.await(v.ID())
	for i := range 2 {
		if err := w.hub.Send(bg, w.owner, v.ID(), "speed", fmt.Appendf(nil, "%d", i+2)); err != nil {
			t.Fatal(err)
		}
	}
	w = w.restart()
	if _, err := w.hub.Resume(bg, w.owner, v.ID(), nil, 0); err != nil {
		t.Fatal(err)
	}
	r = w.bridges.wait(t)
	if a, b := r.told(nodebridge.Send), r.told(nodebridge.Send); a != number(2)+"\x05speed2" || b != number(3)+"\x05speed3" {
		t.Errorf("told %q, %q", a, b)
	}
	r.result(`1`)
	w.await(v.ID())
	wantCode(t, w.hub.Send(bg, w.owner, v.ID(), "speed", nil), fault.Conflict)
}

func TestAnIdempotencyKeyRunsOnceAndKeepsItsAnswer(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	req := func() *Request { return &Request{Function: "f", Args: []byte(`[1]`), Key: "order-7"} }
	answers := make([]*replies, 8)
	var wg sync.WaitGroup
	for i := range answers {
		answers[i] = newReplies()
		wg.Go(func() {
			if _, err := w.hub.Invoke(w.owner, req(), answers[i]); err != nil {
				t.Error(err)
			}
		})
	}
	w.bridges.wait(t).result(`"once"`)
	wg.Wait()
	for _, to := range answers {
		if a := to.wait(t); string(a.Result) != `"once"` {
			t.Errorf("answer %+v", a)
		}
	}
	_, err := w.hub.Invoke(w.owner, &Request{Function: "f", Args: []byte(`[2]`), Key: "order-7"}, newReplies())
	wantCode(t, err, fault.Conflict)
	w = w.restart()
	to := newReplies()
	if _, err := w.hub.Invoke(w.owner, req(), to); err != nil {
		t.Fatal(err)
	}
	if a := to.wait(t); string(a.Result) != `"once"` {
		t.Errorf("after a restart: %+v", a)
	}
}

func TestATimeoutFailsTheCallAndTellsTheFunction(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	to := newReplies()
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f", Timeout: time.Millisecond}, to); err != nil {
		t.Fatal(err)
	}
	r := w.bridges.wait(t)
	if a := to.wait(t); a.State != Failed || a.Failure.Code != fault.Timeout {
		t.Errorf("answer %+v", a)
	}
	r.told(nodebridge.Cancel)
	r.result(`1`)
}

func TestBadRequestsNameWhatIsWrong(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxPayload: 10, MaxEvent: 10, MaxInbox: 1})
	v, r := w.start(``)
	for name, c := range map[string]struct {
		code fault.Code
		do   func() error
	}{
		"unknown function":  {fault.NotFound, func() error { _, err := w.hub.Invoke(w.owner, &Request{Function: "nope"}, newReplies()); return err }},
		"unknown version":   {fault.NotFound, func() error { _, err := w.hub.Invoke(w.owner, &Request{Function: "f@9"}, newReplies()); return err }},
		"unknown execution": {fault.NotFound, func() error { _, err := w.hub.Pause(bg, w.owner, "01HZZZZZZZZZZZZZZZZZZZZZZZ"); return err }},
		"no execution id":   {fault.NotFound, func() error { _, err := w.hub.Execution(w.owner, "../x"); return err }},
		"resume of running": {fault.Conflict, func() error { _, err := w.hub.Resume(bg, w.owner, v.ID(), nil, 0); return err }},
		"large arguments": {fault.PayloadTooLarge, func() error {
			_, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`"0123456789"`)})
			return err
		}},
		"invalid arguments": {fault.InvalidRequest, func() error {
			_, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`[1`)})
			return err
		}},
		"large event":    {fault.PayloadTooLarge, func() error { return w.hub.Send(bg, w.owner, v.ID(), "a", json.RawMessage(`"0123456789"`)) }},
		"no event type":  {fault.InvalidRequest, func() error { return w.hub.Send(bg, w.owner, v.ID(), "", nil) }},
		"bad pattern":    {fault.InvalidRequest, func() error { _, err := w.hub.Subscribe(w.owner, "a..b", Since{}, newWatcher()); return err }},
		"unknown stream": {fault.NotFound, func() error { _, err := w.hub.Subscribe(w.owner, "function.nope", Since{}, newWatcher()); return err }},
		"bad cursor":     {fault.InvalidRequest, func() error { _, err := w.hub.Executions(w.owner, Filter{Cursor: "x"}); return err }},
		"bad state":      {fault.InvalidRequest, func() error { _, err := w.hub.Executions(w.owner, Filter{State: "x"}); return err }},
		"bad limit":      {fault.InvalidRequest, func() error { _, err := w.hub.Executions(w.owner, Filter{Limit: 1001}); return err }},
		"bad position":   {fault.InvalidRequest, func() error { _, err := w.hub.History(w.owner, "function.f", "x", 0); return err }},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, c.do(), c.code) })
	}
	r.paused(`["0123456789"]`) // larger than a snapshot may be
	if a := w.await(v.ID()); a.State != Failed || a.Failure.Code != fault.PayloadTooLarge {
		t.Errorf("answer %+v", a)
	}
}

func TestMoreThanMaxDurableWaitForAPlace(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxDurable: 2})
	var ids []string
	for i := range 6 {
		v, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: fmt.Appendf(nil, "[%d]", i)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, v.ID())
	}
	a, b := w.bridges.wait(t), w.bridges.wait(t)
	if n := len(w.bridges.calls); n != 0 {
		t.Errorf("%d run beside the two", n)
	}
	a.result(`1`)
	b.fail("no")
	for range 4 {
		w.bridges.wait(t).result(`1`)
	}
	for _, id := range ids {
		if a := w.await(id); !a.State.Ended() {
			t.Errorf("%s is %v", id, a.State)
		}
	}
}
