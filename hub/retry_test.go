package hub

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// publish makes f's next version, with settings.
func (w *world) publish(settings tenants.Settings, source string) {
	w.t.Helper()
	if _, _, err := w.hub.registry.Publish(bg, w.owner, "f", tenants.Publication{Source: source, Settings: &settings}, io.Discard); err != nil {
		w.t.Fatal(err)
	}
}

func TestAFailedExecutionIsTriedAgain(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.publish(tenants.Settings{Retries: &tenants.Retries{Attempts: 2, Backoff: units.Duration(2 * time.Millisecond)}}, "module.exports = () => 2")
	watch := newWatcher()
	v, r := w.start(`[1]`)
	if _, err := w.hub.Subscribe(w.owner, "execution."+v.ID(), Since{Start: true}, watch); err != nil {
		t.Fatal(err)
	}
	r.checkpoint(1, ``, `[2]`)
	r.told(nodebridge.Response)
	for i := range 2 {
		r.fail(fmt.Sprint("no ", i))
		if r = w.bridges.wait(t); r.args != `[2]` {
			t.Errorf("tried again with %s", r.args)
		}
	}
	w = w.restart()
	r = w.bridges.wait(t) // a restart is no try
	r.fail("at last")
	if a := w.await(v.ID()); a.State != Failed || a.Failure.Message != "at last" {
		t.Errorf("answer %+v", a)
	}
	got := w.view(v.ID())
	var errors []string
	for _, a := range got["attempts"].([]any) {
		m := a.(map[string]any)
		errors = append(errors, fmt.Sprint(m["attempt"], " ", m["error"].(map[string]any)["message"]))
	}
	if want := []string{"1 no 0", "2 no 1"}; !slices.Equal(errors, want) || got["attempt"] != 4.0 {
		t.Errorf("attempt %v after %q, want %q", got["attempt"], errors, want)
	}
	want := []string{EventQueued, EventStarted, EventCheckpoint, EventRetrying}
	if types := watch.until(t, EventRetrying); !slices.Equal(types, want) {
		t.Errorf("events %v", types)
	}
}

func TestWhatWouldFailAgainIsNotTriedAgain(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.publish(tenants.Settings{Retries: &tenants.Retries{Attempts: 2}}, "module.exports = () => 2")
	v, r := w.start(`[1]`)
	r.receive(nodebridge.Error, `{"code":"result_not_serializable","message":"a cycle"}`)
	if a := w.await(v.ID()); a.State != Failed || a.Failure.Code != fault.ResultNotSerializable {
		t.Errorf("answer %+v", a)
	}
}

func TestOneThatFailsWhilePausingIsParked(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.publish(tenants.Settings{Retries: &tenants.Retries{Attempts: 2}}, "module.exports = () => 2")
	v, r := w.start(`[1]`)
	if _, err := w.hub.Pause(bg, w.owner, v.ID()); err != nil {
		t.Fatal(err)
	}
	r.fail("no")
	if a := w.await(v.ID()); a.State != Paused {
		t.Errorf("answer %+v", a)
	}
}

func TestRetryRunsAgainWhatFailedOrWasCancelled(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[1]`)
	_, err := w.hub.Retry(bg, w.owner, v.ID())
	wantCode(t, err, fault.Conflict)
	r.checkpoint(1, ``, `[2]`)
	r.fail("no")
	w.await(v.ID())
	w = w.restart()
	if v, err := w.hub.Retry(bg, w.owner, v.ID()); err != nil || v.State() != Queued {
		t.Fatalf("%v, %v", v, err)
	}
	if r = w.bridges.wait(t); r.args != `[2]` || r.meta != `{"attempt":2,"resumed":true}` {
		t.Errorf("tried again with %s, %s", r.args, r.meta)
	}
	watch := newWatcher()
	if _, err := w.hub.Subscribe(w.owner, "execution."+v.ID(), Since{Start: true}, watch); err != nil {
		t.Fatal(err)
	}
	if _, err := w.hub.Cancel(bg, w.owner, v.ID()); err != nil {
		t.Fatal(err)
	}
	watch.until(t, EventCancelled)
	r.result(`"late"`) // its end lets the next attempt begin
	if _, err := w.hub.Retry(bg, w.owner, v.ID()); err != nil {
		t.Fatal(err)
	}
	r = w.bridges.wait(t)
	r.result(`3`)
	if a := w.await(v.ID()); a.State != Succeeded || string(a.Result) != "3" {
		t.Errorf("answer %+v", a)
	}
	got := w.view(v.ID())
	if got["attempt"] != 3.0 || got["error"] != nil || len(got["attempts"].([]any)) != 2 {
		t.Errorf("it is %v", got)
	}
	_, err = w.hub.Retry(bg, w.owner, v.ID())
	wantCode(t, err, fault.Conflict)
	page, err := w.hub.History(w.owner, "execution."+v.ID(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, ev := range page.Events {
		if ev.Offset != uint64(i+1) {
			t.Errorf("event %d has the offset %d", i, ev.Offset)
		}
	}
}

// Two attempts of one execution must not run at once: a function that was given up may still run.
func TestTheNextAttemptWaitsForTheOneThatWasGivenUp(t *testing.T) {
	for _, ends := range []bool{true, false} {
		w := newWorld(t, t.TempDir(), Config{AbandonAfter: map[bool]time.Duration{true: time.Hour, false: 20 * time.Millisecond}[ends]})
		w.publish(tenants.Settings{Timeout: units.Duration(time.Millisecond), Retries: &tenants.Retries{Attempts: 1, Backoff: units.Duration(time.Millisecond)}}, "module.exports = () => 2")
		v, r := w.start(`[1]`)
		r.told(nodebridge.Cancel)
		if ends {
			w.settled()
			select {
			case <-w.bridges.calls:
				t.Error("the next attempt began")
			default:
			}
			r.result(`"late"`)
		}
		next := w.bridges.wait(t)
		next.result(`2`)
		if a := w.await(v.ID()); a.State != Succeeded && a.State != Failed { // the second one may run out of time, too
			t.Errorf("answer %+v", a)
		}
	}
}

// A retry goes on from the last snapshot or checkpoint, so it gets what was sent since, as it would after a crash.
func TestRetryHearsTheEventsSentSinceTheCheckpoint(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[1]`)
	w.send(v.ID(), "speed", `1`)
	w.send(v.ID(), "speed", `2`)
	for range 2 {
		r.told(nodebridge.Send)
	}
	r.checkpoint(1, `{"seen":1}`, `[2]`)
	r.told(nodebridge.Response)
	r.fail("no")
	w.await(v.ID())
	w = w.restart()
	if _, err := w.hub.Retry(bg, w.owner, v.ID()); err != nil {
		t.Fatal(err)
	}
	r = w.bridges.wait(t)
	if got := r.told(nodebridge.Send); got != number(2)+"\x05speed2" {
		t.Errorf("told %q", got)
	}
	r.result(`3`)
	w.await(v.ID())
	w.settled()
	for _, k := range w.keys(v.ID()) {
		if strings.HasPrefix(k, "h/i/") {
			t.Errorf("%q is left", k)
		}
	}
}

func TestBackoffDoublesWithinItsBounds(t *testing.T) {
	for _, c := range []struct {
		base      time.Duration
		n         int
		low, high time.Duration
	}{
		{0, 1, 500 * time.Millisecond, time.Second},
		{100 * time.Millisecond, 1, 50 * time.Millisecond, 100 * time.Millisecond},
		{100 * time.Millisecond, 4, 400 * time.Millisecond, 800 * time.Millisecond},
		{time.Minute, 10, 30 * time.Minute, time.Hour},
		{time.Second, 1000, 30 * time.Minute, time.Hour},
	} {
		low, high := backoff(c.base, c.n, func() float64 { return 0 }), backoff(c.base, c.n, func() float64 { return 1 })
		if low != c.low || high != c.high {
			t.Errorf("retry %d of %s: %s to %s, want %s to %s", c.n, c.base, low, high, c.low, c.high)
		}
	}
}
