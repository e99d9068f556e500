package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/tenants"
)

func (w *world) set(name, js string) TriggerView {
	w.t.Helper()
	v, _, err := w.hub.SetTrigger(bg, w.owner, name, []byte(js))
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// left makes a trigger's state that of a hub that went away some time ago, and starts the hub again.
func (w *world) left(name string, ago time.Duration) *world {
	w.t.Helper()
	l, err := w.hub.triggers.find(w.owner, name)
	if err != nil {
		w.t.Fatal(err)
	}
	s := l.current()
	s.Handled = time.Now().Add(-ago).UnixMilli()
	b, err := json.Marshal(s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.hub.triggers.changing.Lock()
	w.hub.triggers.endLocked(l)
	w.hub.triggers.changing.Unlock()
	if err := w.store.Commit(bg, store.Op{Key: triggerStateKey("acme", name), Value: append([]byte{recordFormat}, b...)}); err != nil {
		w.t.Fatal(err)
	}
	return w.restart()
}

func (w *world) trigger(name string) TriggerView {
	w.t.Helper()
	v, err := w.hub.Trigger(w.owner, name)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// idleCalls says how many calls wait to be taken once everything that is due has been started.
func (w *world) noCall() {
	w.t.Helper()
	w.settled()
	select {
	case r := <-w.bridges.calls:
		w.t.Errorf("a call came with %s", r.args)
	default:
	}
}

func TestAScheduleRunsAtItsTimesAndGoesOnAfterARestart(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v := w.set("tick", `{"function":"f","schedule":"* * * * * *","args":["tick"]}`)
	if len(v.Next) != shownRuns || v.Runs != 0 {
		t.Errorf("it shows %+v", v)
	}
	r := w.bridges.wait(t)
	if r.args != `["tick"]` || !strings.Contains(r.meta, `"trigger":"tick"`) {
		t.Errorf("it ran with %s, %s", r.args, r.meta)
	}
	r.result(`1`)
	w = w.restart()
	w.bridges.wait(t).result(`2`)
	page, err := w.hub.Executions(w.owner, Filter{Trigger: "tick"})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, x := range page.Items {
		if keys[x.r.Key] {
			t.Errorf("%s ran twice", x.r.Key)
		}
		keys[x.r.Key] = true
	}
	if len(keys) < 2 {
		t.Errorf("ran %v", keys)
	}
}

func TestWhatADownHubMissedIsMadeUpForByThePolicy(t *testing.T) {
	for _, c := range []struct {
		policy       string
		runs, missed int
	}{
		{`"catchUp":"none"`, 0, 5}, {`"catchUp":"one"`, 1, 4}, {`"catchUp":"all"`, 5, 0}, {`"catchUp":"all","maxCatchUp":2`, 2, 3},
	} {
		w := newWorld(t, t.TempDir(), Config{})
		minute := time.Now().Add(30 * time.Minute).Minute() // no run is near
		w.set("hourly", fmt.Sprintf(`{"function":"f","schedule":"%d * * * *",%s}`, minute, c.policy))
		w = w.left("hourly", 5*time.Hour)
		for range c.runs {
			w.bridges.wait(t).result(`1`)
		}
		v := w.trigger("hourly")
		for deadline := time.Now().Add(10 * time.Second); (v.Runs < c.runs || v.Missed < c.missed) && time.Now().Before(deadline); {
			v = w.trigger("hourly")
		}
		w.noCall()
		if v.Runs != c.runs || v.Missed != c.missed {
			t.Errorf("%s: %d runs, %d missed; want %d, %d", c.policy, v.Runs, v.Missed, c.runs, c.missed)
		}
		w.stop()
	}
}

// The same time must not run twice, whatever a crash leaves.
func TestARunThatWasStartedAndNotNotedIsNotMadeAgain(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.set("yearly", `{"function":"f","schedule":"0 0 1 1 *"}`)
	l, err := w.hub.triggers.find(w.owner, "yearly")
	if err != nil {
		t.Fatal(err)
	}
	due := time.Now().Truncate(time.Second)
	for range 2 {
		if err := l.runOnce(bg, due); err != nil {
			t.Fatal(err)
		}
	}
	w.bridges.wait(t).result(`1`)
	w.noCall()
	if err := l.runOnce(bg, due.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t).result(`1`)
}

func TestOverlapsFollowThePolicy(t *testing.T) {
	for policy, check := range map[string]func(w *world, l *liveTrigger, first, id string){
		"allow": func(w *world, l *liveTrigger, first, _ string) {
			w.bridges.wait(w.t)
			if s := w.view(first)["state"]; s != "running" {
				w.t.Errorf("the first is %v", s)
			}
		},
		"skip": func(w *world, l *liveTrigger, _, _ string) {
			w.noCall()
			if v := w.trigger("p"); v.Missed != 1 || v.Runs != 1 {
				w.t.Errorf("it shows %+v", v)
			}
		},
		"cancel": func(w *world, l *liveTrigger, first, _ string) {
			w.bridges.wait(w.t)
			if s := w.view(first)["state"]; s != "cancelled" {
				w.t.Errorf("the first is %v", s)
			}
		},
	} {
		w := newWorld(t, t.TempDir(), Config{})
		w.set("p", `{"function":"f","schedule":"0 0 1 1 *","overlap":"`+policy+`"}`)
		l, err := w.hub.triggers.find(w.owner, "p")
		if err != nil {
			t.Fatal(err)
		}
		due := time.Now().Truncate(time.Second)
		if err := l.runOnce(bg, due); err != nil {
			t.Fatal(err)
		}
		w.bridges.wait(t)
		first := l.current().Last
		if err := l.runOnce(bg, due.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		check(w, l, first, l.current().Last)
		w.stop()
	}

	w := newWorld(t, t.TempDir(), Config{})
	w.set("p", `{"function":"f","schedule":"0 0 1 1 *","overlap":"queue"}`)
	l, err := w.hub.triggers.find(w.owner, "p")
	if err != nil {
		t.Fatal(err)
	}
	due := time.Now().Truncate(time.Second)
	if err := l.runOnce(bg, due); err != nil {
		t.Fatal(err)
	}
	r := w.bridges.wait(t)
	done := make(chan error)
	go func() { done <- l.runOnce(bg, due.Add(time.Second)) }()
	w.noCall()
	r.result(`1`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t).result(`2`)
}

func TestTriggersAreListedPausedChangedAndDeleted(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.set("b", `{"function":"f","schedule":"@daily","timezone":"Europe/Berlin"}`)
	w.set("a", `{"function":"f","pattern":"orders.>"}`)
	var names []string
	for _, v := range w.hub.Triggers(w.owner) {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("there are %v", names)
	}
	if v, err := w.hub.PauseTrigger(bg, w.owner, "b", true); err != nil || !v.Paused || v.Next != nil {
		t.Errorf("paused: %+v, %v", v, err)
	}
	w = w.restart()
	if v := w.trigger("b"); !v.Paused || v.Timezone != "Europe/Berlin" {
		t.Errorf("after a restart: %+v", v)
	}
	if v, err := w.hub.PauseTrigger(bg, w.owner, "b", false); err != nil || v.Paused || len(v.Next) != shownRuns {
		t.Errorf("resumed: %+v, %v", v, err)
	}
	x, err := w.hub.RunTrigger(bg, w.owner, "b")
	if err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t).result(`1`)
	w.await(x.ID())
	_, err = w.hub.RunTrigger(bg, w.owner, "a")
	wantCode(t, err, fault.InvalidRequest)
	if err := w.hub.DeleteTrigger(bg, w.owner, "b"); err != nil {
		t.Fatal(err)
	}
	_, err = w.hub.Trigger(w.owner, "b")
	wantCode(t, err, fault.NotFound)
	wantCode(t, w.hub.DeleteTrigger(bg, w.owner, "b"), fault.NotFound)
	w = w.restart()
	_, err = w.hub.Trigger(w.owner, "b")
	wantCode(t, err, fault.NotFound)
}

func TestWhatIsNoTriggerIsRefused(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	for js, code := range map[string]fault.Code{
		``: fault.InvalidRequest, `[]`: fault.InvalidRequest, `{}`: fault.InvalidRequest, `{"function":"f"}`: fault.InvalidRequest,
		`{"function":"f","schedule":"@daily","pattern":"a"}`:                                               fault.InvalidRequest,
		`{"function":"f","schedule":"never"}`:                                                              fault.InvalidRequest,
		`{"function":"f","schedule":"@daily","overlap":"maybe"}`:                                           fault.InvalidRequest,
		`{"function":"f","schedule":"@daily","catchUp":"some"}`:                                            fault.InvalidRequest,
		`{"function":"f","schedule":"@daily","maxCatchUp":1001}`:                                           fault.InvalidRequest,
		`{"function":"f","schedule":"@daily","jitter":"2d"}`:                                               fault.InvalidRequest,
		`{"function":"f","schedule":"@daily","ordered":true}`:                                              fault.InvalidRequest,
		`{"function":"f","schedule":"@daily","what":1}`:                                                    fault.InvalidRequest,
		`{"function":"f","pattern":"a..b"}`:                                                                fault.InvalidRequest,
		`{"function":"f","pattern":"execution.>"}`:                                                         fault.InvalidRequest,
		`{"function":"f","pattern":"a","args":[1]}`:                                                        fault.InvalidRequest,
		`{"function":"f","pattern":"a.>","deadLetter":"a.dead"}`:                                           fault.InvalidRequest,
		`{"function":"f","pattern":"a.>","deadLetter":"function.f"}`:                                       fault.InvalidRequest,
		`{"function":"f","pattern":"a.>","batch":{"maxItems":0}}`:                                          fault.InvalidRequest,
		`{"function":"nobody","schedule":"@daily"}`:                                                        fault.NotFound,
		`{"name":"other","function":"f","schedule":"@daily"}`:                                              fault.InvalidRequest,
		`{"function":"f","schedule":"@daily","start":"2026-01-02T00:00:00Z","end":"2026-01-01T00:00:00Z"}`: fault.InvalidRequest,
	} {
		_, _, err := w.hub.SetTrigger(bg, w.owner, "t", []byte(js))
		if !fault.Is(err, code) {
			t.Errorf("%s: %v", js, err)
		}
	}
	_, _, err := w.hub.SetTrigger(bg, w.owner, "a.b", []byte(`{"function":"f","schedule":"@daily"}`))
	wantCode(t, err, fault.InvalidRequest)
}

func (w *world) emit(stream, data string) Position {
	w.t.Helper()
	p, err := w.hub.Publish(bg, w.owner, stream, "created", json.RawMessage(data))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func TestAnEventStartsAnExecutionAlsoAfterTheHubWasDown(t *testing.T) {
	for _, pattern := range []string{"orders.eu", "orders.>"} {
		w := newWorld(t, t.TempDir(), Config{})
		w.durableStream("orders.eu")
		w.emit("orders.eu", `0`) // before the trigger: not its own
		w.set("on-order", `{"function":"f","pattern":"`+pattern+`"}`)
		w.emit("orders.eu", `1`)
		r := w.bridges.wait(t)
		var args []struct {
			Stream, Type string
			Data         int
			Offset       uint64
		}
		if err := json.Unmarshal([]byte(r.args), &args); err != nil || len(args) != 1 || args[0].Stream != "orders.eu" || args[0].Type != "created" || args[0].Data != 1 {
			t.Errorf("%s: it ran with %s", pattern, r.args)
		}
		r.result(`1`)
		if _, err := w.hub.PauseTrigger(bg, w.owner, "on-order", true); err != nil {
			t.Fatal(err)
		}
		w.emit("orders.eu", `2`)
		w = w.restart()
		w.emit("orders.eu", `3`)
		if _, err := w.hub.PauseTrigger(bg, w.owner, "on-order", false); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			r := w.bridges.wait(t)
			if err := json.Unmarshal([]byte(r.args), &args); err != nil || args[0].Data != 2+i {
				t.Errorf("%s: it ran with %s, want %d", pattern, r.args, 2+i)
			}
			r.result(`1`)
		}
		w = w.restart()
		w.noCall()
		if v := w.trigger("on-order"); v.Runs != 3 || v.Gaps != 0 {
			t.Errorf("%s: it shows %+v", pattern, v)
		}
		w.stop()
	}
}

// durableStream makes a stream durable.
func (w *world) durableStream(stream string) {
	w.t.Helper()
	if _, err := w.hub.SetStream(bg, w.owner, stream, Retention{Durable: true}); err != nil {
		w.t.Fatal(err)
	}
}

func TestEventsAreBatchedAndInOrder(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.durableStream("s")
	w.set("batch", `{"function":"f","pattern":"s","batch":{"maxItems":3,"maxWait":"20ms"},"ordered":true}`)
	for i := range 7 {
		w.emit("s", fmt.Sprint(i))
	}
	var got []int
	for len(got) < 7 {
		r := w.bridges.wait(t)
		w.noCall() // one at a time
		var args [][]struct{ Data int }
		if err := json.Unmarshal([]byte(r.args), &args); err != nil || len(args) != 1 || len(args[0]) > 3 || len(args[0]) == 0 {
			t.Fatalf("it ran with %s", r.args)
		}
		for _, ev := range args[0] {
			got = append(got, ev.Data)
		}
		r.result(`1`)
	}
	if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6}) {
		t.Errorf("events %v", got)
	}
}

func TestADeadLetterStreamIsToldOfWhatFailed(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.durableStream("s")
	w.durableStream("dead")
	w.set("d", `{"function":"f","pattern":"s","deadLetter":"dead"}`)
	watch := newWatcher()
	if _, err := w.hub.Subscribe(w.owner, "dead", Since{Start: true}, watch); err != nil {
		t.Fatal(err)
	}
	w.emit("s", `1`)
	r := w.bridges.wait(t)
	r.fail("no")
	watch.until(t, EventDeadLetter)
	w.emit("s", `2`)
	w.bridges.wait(t).result(`1`)
	w = w.restart()
	page, err := w.hub.History(w.owner, "dead", "", 0)
	if err != nil || len(page.Events) != 1 {
		t.Fatalf("the dead-letter stream has %d events, %v", len(page.Events), err)
	}
	var data struct {
		Trigger, Execution, Function string
		Error                        Failure
		Args                         []struct{ Data int }
	}
	if err := json.Unmarshal(page.Events[0].Data, &data); err != nil || data.Trigger != "d" || data.Function != "f" ||
		data.Error.Message != "no" || data.Execution != r.call.Execution || data.Args[0].Data != 1 {
		t.Errorf("it was told %s", page.Events[0].Data)
	}
}

// Triggers in a function's settings follow its versions, and nobody else changes them.
func TestDeclaredTriggersFollowTheFunction(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	publish := func(source string, triggers ...string) error {
		var raw []json.RawMessage
		for _, tr := range triggers {
			raw = append(raw, json.RawMessage(tr))
		}
		_, _, err := w.hub.registry.Publish(bg, w.owner, "f", tenants.Publication{Source: source, Settings: &tenants.Settings{Triggers: raw}}, io.Discard)
		return err
	}
	follow := func(want ...string) { // soon
		t.Helper()
		var names []string
		for deadline := time.Now().Add(10 * time.Second); !slices.Equal(names, want); {
			if time.Now().After(deadline) {
				t.Fatalf("declared %v, want %v", names, want)
			}
			names = nil
			for _, v := range w.hub.Triggers(w.owner) {
				names = append(names, v.Name+" "+v.Schedule+v.Pattern)
			}
		}
	}
	if err := publish("module.exports = 1", `{"schedule":"@daily"}`, `{"pattern":"orders.>"}`); err != nil {
		t.Fatal(err)
	}
	follow("f.0 @daily", "f.1 orders.>")
	wantCode(t, w.hub.DeleteTrigger(bg, w.owner, "f.0"), fault.Conflict)
	_, err := w.hub.PauseTrigger(bg, w.owner, "f.0", true)
	wantCode(t, err, fault.Conflict)
	w = w.restart()
	follow("f.0 @daily", "f.1 orders.>")
	wantCode(t, publish("module.exports = 2", `{"schedule":"never"}`), fault.InvalidRequest)
	if err := publish("module.exports = 3", `{"schedule":"@hourly"}`); err != nil {
		t.Fatal(err)
	}
	follow("f.0 @hourly")
	if err := publish("module.exports = 4"); err != nil {
		t.Fatal(err)
	}
	follow()
}

// What a trigger has handled is known until the version that declares it is gone: a drain may fail.
func TestDeclaredTriggersGoOnlyWithTheirVersion(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.publishNext(2, tenants.Settings{Triggers: []json.RawMessage{json.RawMessage(`{"pattern":"orders.>"}`)}})
	w.hub.triggers.declare(w.owner)
	was := w.hub.triggers.named("acme", "f.0").current()
	_, r := w.start("[1]")
	for _, fails := range []bool{true, false} {
		ctx, cancel := context.WithTimeout(bg, time.Minute)
		done := make(chan error)
		go func() { done <- w.hub.registry.DeleteVersion(ctx, w.owner, "f", 2, true) }()
		for {
			if v, err := w.owner.Resolve("f"); err == nil && v.Number == 1 {
				break
			}
			runtime.Gosched()
		}
		w.hub.triggers.declare(w.owner)
		equal(t, "state", w.hub.triggers.named("acme", "f.0").current(), was)
		if fails {
			cancel()
			wantCode(t, <-done, fault.Conflict)
		} else {
			r.result("1")
			equal(t, "deletion", <-done, nil)
		}
		cancel()
	}
	w.hub.triggers.declare(w.owner)
	equal(t, "triggers", len(w.hub.triggers.of("acme")), 0)
	if err := w.store.Commit(bg); err != nil {
		t.Fatal(err)
	}
	_, err := w.store.Get(triggerStateKey("acme", "f.0"))
	equal(t, "state", err, store.ErrNotFound)
}

func FuzzTrigger(f *testing.F) {
	for _, seed := range []string{`{"function":"f","schedule":"@daily"}`, `{"function":"f","pattern":"a.>","batch":{"maxItems":3}}`,
		`{"function":"f","schedule":"*/5 * * * * *","timezone":"Europe/Berlin","jitter":"5s","catchUp":"all"}`, `{"schedule":1}`, `[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := parseTrigger("t", b)
		if err != nil {
			if !fault.Is(err, fault.InvalidRequest) {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		again, err := json.Marshal(tr)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := parseTrigger("t", again); err != nil || !sameTrigger(tr, second) {
			t.Errorf("%q became %q: %v", b, again, err)
		}
	})
}

// A crash after the start of a batch, and before the note of it: the next process puts other events
// together, and must neither lose nor repeat those.
func TestABatchThatWasStartedAndNotNotedIsNeitherLostNorRepeated(t *testing.T) {
	for _, before := range []int{2, 4} { // less and more than the next process takes at once
		w := newWorld(t, t.TempDir(), Config{})
		w.durableStream("s")
		w.set("b", `{"function":"f","pattern":"s","batch":{"maxItems":3,"maxWait":"10ms"}}`)
		if _, err := w.hub.PauseTrigger(bg, w.owner, "b", true); err != nil {
			t.Fatal(err)
		}
		for i := range 7 {
			w.emit("s", fmt.Sprint(i))
		}
		l, err := w.hub.triggers.find(w.owner, "b")
		if err != nil {
			t.Fatal(err)
		}
		in := newInflow()
		sub, err := w.hub.Subscribe(w.owner, "s", Since{Position: l.current().Position}, in)
		if err != nil {
			t.Fatal(err)
		}
		evs, _ := in.take(before)
		if id, taken, err := l.startFor(bg, sub, evs); id == "" || taken != before || err != nil {
			t.Fatalf("%q, %d, %v", id, taken, err)
		}
		sub.Close()
		if _, err := w.hub.PauseTrigger(bg, w.owner, "b", false); err != nil {
			t.Fatal(err)
		}
		var got []int
		for len(got) < 7 {
			var args [1][]struct{ Data int }
			r := w.bridges.wait(t)
			if err := json.Unmarshal([]byte(r.args), &args); err != nil {
				t.Fatalf("%s: %v", r.args, err)
			}
			for _, ev := range args[0] {
				got = append(got, ev.Data)
			}
			r.result(`1`)
		}
		slices.Sort(got)
		if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6}) {
			t.Errorf("after a batch of %d: events %v", before, got)
		}
		w.stop()
	}
}

func TestABatchTooLargeIsPartedAndAnEventTooLargeIsLeft(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxPayload: 1000})
	w.durableStream("s")
	w.set("b", `{"function":"f","pattern":"s","batch":{"maxItems":4,"maxWait":"50ms"}}`)
	if _, err := w.hub.PauseTrigger(bg, w.owner, "b", true); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{400, 400, 2000, 100} {
		w.emit("s", `"`+strings.Repeat("x", size)+`"`)
	}
	if _, err := w.hub.PauseTrigger(bg, w.owner, "b", false); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for len(sizes) < 3 {
		var args [1][]struct{ Data string }
		r := w.bridges.wait(t)
		if err := json.Unmarshal([]byte(r.args), &args); err != nil {
			t.Fatalf("%s: %v", r.args, err)
		}
		for _, ev := range args[0] {
			sizes = append(sizes, len(ev.Data))
		}
		r.result(`1`)
	}
	slices.Sort(sizes)
	if !slices.Equal(sizes, []int{100, 400, 400}) {
		t.Errorf("events of %v", sizes)
	}
}
