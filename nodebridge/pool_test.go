package nodebridge

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// until looks again and again, as long as a test is patient.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// waits reports how many calls of the tenant wait for a bridge.
func waits(f *Fleet) int {
	p := f.pool("acme", "", false)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting.count
}

// A function that takes a lot of memory, or one file at a time, says so and must be able to rely on it.
func TestAFunctionsConcurrencyHoldsInEachBridge(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MinBridges: 2, MaxBridges: 2}})
	other := nowhere()
	until(t, "two bridges", func() bool { invoke(t, f, other, "1"); return len(f.Bridges("")) == 2 })
	m := NewModule(Module{Function: "one at a time", Version: 1, Tenant: "acme", Concurrency: 1})
	first, second, third, fourth := begin(t, f, m, "hang"), begin(t, f, m, "hang"), begin(t, f, m, `3`), begin(t, f, m, `4`)
	for _, b := range f.Bridges("") {
		check(t, "in flight", b.InFlight, 1)
	}
	check(t, "another function meanwhile", invoke(t, f, other, "1"), "Result 1")
	check(t, "waiting", waits(f), 2)
	first.Cancel("enough")
	check(t, "third", third.wait(), "Result 3")
	check(t, "fourth", fourth.wait(), "Result 4")
	check(t, "waiting", waits(f), 0)
	second.Cancel("enough")
	second.wait()
}

func TestATenantsConcurrencyHoldsOverAllItsBridges(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MinBridges: 2, MaxConcurrency: 3, MaxWaiting: 2, MaxWaitTime: time.Hour}})
	m := nowhere()
	check(t, "live", invoke(t, f, m, "1"), "Result 1")
	var running []*answer
	for range 3 {
		running = append(running, begin(t, f, m, "hang"))
	}
	until(t, "all three run", func() bool { return waits(f) == 0 })
	within := newAnswer(t, m, "5")
	within.Nested = true
	check(t, "call", f.Call("acme", &within.Call), nil)
	check(t, "a call within a call", within.wait(), "Result 5")
	four, five, six := begin(t, f, m, "4"), begin(t, f, m, "5"), newAnswer(t, m, "6")
	err := f.Call("acme", &six.Call)
	if !fault.Is(err, fault.Overloaded) || fault.From(err).RetryAfter != time.Second || !strings.Contains(err.Error(), "as many calls as they may") {
		t.Errorf("with two that wait: %v", err)
	}
	f.Limit("acme", Limits{MinBridges: 2, MaxConcurrency: 4})
	check(t, "with a higher limit", four.wait()+five.wait(), "Result 4Result 5")
	for _, a := range running {
		a.Cancel("enough")
		a.wait()
	}
}

// A parent holds its place while it waits for its child: that must not wait for the place.
func TestACallWithinACallDoesNotWaitBehindThoseFromOutside(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MinBridges: 1, MaxConcurrency: 1, MaxWaitTime: time.Hour}})
	child, once := nowhere(), NewModule(Module{Function: "one at a time", Version: 1, Tenant: "acme", Concurrency: 1})
	parent := begin(t, f, nowhere(), "hang")
	until(t, "it runs", func() bool { return waits(f) == 0 })
	outside, nested := begin(t, f, child, "1"), newAnswer(t, child, "2")
	nested.Nested = true
	check(t, "call", f.Call("acme", &nested.Call), nil)
	check(t, "the nested call", nested.wait(), "Result 2")

	// Behind the head of another line, which may not run, wait those that may.
	first, second := newAnswer(t, once, "hang"), newAnswer(t, once, "3")
	first.Nested, second.Nested = true, true
	check(t, "call", f.Call("acme", &first.Call), nil)
	check(t, "call", f.Call("acme", &second.Call), nil)
	check(t, "waiting", waits(f), 2)
	first.Cancel("enough")
	check(t, "the second", second.wait(), "Result 3")
	check(t, "waiting", waits(f), 1)
	parent.Cancel("enough")
	check(t, "the one from outside", outside.wait(), "Result 1")
}

func TestACallThatWaitsTooLongForAPlaceIsRefused(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MinBridges: 1, MaxConcurrency: 1}})
	running := begin(t, f, nowhere(), "hang")
	until(t, "it runs", func() bool { return waits(f) == 0 })
	f.Limit("acme", Limits{MinBridges: 1, MaxConcurrency: 1, MaxWaitTime: 50 * time.Millisecond})
	if got := begin(t, f, nowhere(), "1").wait(); !strings.HasPrefix(got, `Error {"code":"overloaded"`) {
		t.Error(got)
	}
	running.Cancel("enough")
	running.wait()
}

// Whoever cancelled it counts on being told when the files of its function are no longer used.
func TestACancelledCallThatGetsNoProcessIsToldItsEnd(t *testing.T) {
	f := faked(t, "dies before ready", Config{Limits: Limits{MaxWaitTime: 50 * time.Millisecond}})
	late := begin(t, f, nowhere(), "1")
	late.Cancel("request")
	if got := late.wait(); !strings.HasPrefix(got, `Error {"code":"overloaded"`) {
		t.Errorf("after its time it is told %s", got)
	}
	f.Limit("acme", Limits{MaxWaitTime: time.Hour})
	waiting := begin(t, f, nowhere(), "1")
	waiting.Cancel("request")
	check(t, "waiting", waits(f), 1)
	f.Remove("acme")
	check(t, "when its tenant is removed", waiting.wait(), "Lost")
}

// What a shrinking pool takes a bridge away from must end there, or be told to move; nothing may be lost, and
// nothing new may come there.
func TestAPoolThatShrinksLetsCallsEndOrMove(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MinBridges: 2}, PingEvery: 10 * time.Millisecond})
	m := nowhere()
	until(t, "two bridges", func() bool { invoke(t, f, m, "1"); return len(f.Bridges("")) == 2 })
	each := NewModule(Module{Function: "one at a time", Version: 1, Tenant: "acme", Concurrency: 1})
	one, two := begin(t, f, each, "hang"), begin(t, f, each, "hang") // in each bridge one
	f.Limit("acme", Limits{MinBridges: 1, MaxBridges: 1})
	until(t, "one is retired", func() bool { return len(f.pool("acme", "", false).bridges()) == 1 })
	check(t, "new calls go to the other one", invoke(t, f, m, "1"), "Result 1")
	var moving, stays *answer
	select {
	case <-one.told("Moving"):
		moving, stays = one, two
	case <-two.told("Moving"):
		moving, stays = two, one
	case <-time.After(patience):
		t.Fatal("none was told to move")
	}
	check(t, "processes", len(f.Bridges("")), 2)
	moving.Pause("scale", time.UnixMilli(5))
	check(t, "the one that was told", moving.wait(), `Paused {"reason":"scale","deadline":5}`)
	until(t, "the process ends", func() bool { return len(f.Bridges("")) == 1 })
	check(t, "its end", f.Ended("acme")[0].Code, "scaled_in")
	stays.Cancel("enough")
	check(t, "the other", stays.wait(), `Error {"reason":"enough"}`)
	check(t, "restarts", f.Bridges("")[0].Restarts, 0)
}

// Load that comes back while a bridge is on its way out takes that one, which is cheaper than a new one.
func TestARetiredBridgeIsTakenBackWhenItIsNeeded(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MinBridges: 2}, PingEvery: 10 * time.Millisecond})
	m := nowhere()
	until(t, "two bridges", func() bool { invoke(t, f, m, "1"); return len(f.Bridges("")) == 2 })
	each := NewModule(Module{Function: "one at a time", Version: 1, Tenant: "acme", Concurrency: 1})
	one, two := begin(t, f, each, "hang"), begin(t, f, each, "hang")
	before := fmt.Sprint(pids(f))
	f.Limit("acme", Limits{MinBridges: 1})
	until(t, "one is retired", func() bool { return len(f.pool("acme", "", false).bridges()) == 1 })
	f.Limit("acme", Limits{MinBridges: 2})
	until(t, "it is back", func() bool { return len(f.pool("acme", "", false).bridges()) == 2 })
	check(t, "processes", fmt.Sprint(pids(f)), before)
	for _, a := range []*answer{one, two} {
		a.Cancel("enough")
		a.wait()
	}
}

func pids(f *Fleet) (list []int) {
	for _, b := range f.Bridges("") {
		list = append(list, b.PID)
	}
	return list
}

func TestATenantWithoutCallsHasNoProcessIfItMayHaveNone(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MaxBridges: 2}, PingEvery: 10 * time.Millisecond, ShrinkAfter: 30 * time.Millisecond, IdleAfter: 50 * time.Millisecond})
	m := nowhere()
	for range 2 {
		check(t, "a call", invoke(t, f, m, "1"), "Result 1")
		until(t, "no process is left", func() bool { return len(f.Bridges("")) == 0 })
	}
	info, err := f.Load(t.Context(), "acme", m)
	check(t, "a load wakes it, too", fmt.Sprint(info, err), "{2 true} <nil>")
}

func TestCallsThatWaitMakeAPoolGrowUpToItsLimit(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MinBridges: 1, MaxBridges: 3}, PingEvery: 10 * time.Millisecond, GrowAfter: 30 * time.Millisecond})
	m := NewModule(Module{Function: "one at a time", Version: 1, Tenant: "acme", Concurrency: 1})
	var all []*answer
	for range 5 {
		all = append(all, begin(t, f, m, "hang"))
	}
	until(t, "three run", func() bool { return waits(f) == 2 })
	check(t, "bridges", len(f.Bridges("")), 3)
	for _, a := range all {
		a.Cancel("enough") // waits with the call, if that still does
		check(t, "end", a.wait(), `Error {"reason":"enough"}`)
	}
}

// Two seconds are a long time for everybody else's calls: another bridge takes them before it is certain that
// the first one is stuck.
func TestAnotherBridgeTakesOverBeforeAStuckOneIsEnded(t *testing.T) {
	f := real(t, Config{PingEvery: 10 * time.Millisecond, StuckAfter: time.Minute, GrowAfter: 20 * time.Millisecond,
		Limits: Limits{MinBridges: 1, MaxBridges: 2}})
	m := module(t, spin)
	check(t, "before", invoke(t, f, m, "1"), "Result 1")
	begin(t, f, m, `"spin"`)
	until(t, "a second bridge", func() bool { return len(f.pool("acme", "", false).bridges()) == 2 })
	for range 5 {
		check(t, "meanwhile", invoke(t, f, m, "2"), "Result 2")
	}
}

// Who finds a process gone must find out why, and whose fault it was.
func TestTheReasonOfABridgesEndIsKept(t *testing.T) {
	f := faked(t, "", Config{RestartFirst: time.Millisecond, RestartMax: time.Millisecond})
	m := nowhere()
	check(t, "none yet", len(f.Ended("")), 0)
	for _, how := range []string{"exit", "nonsense"} {
		check(t, how, invoke(t, f, m, how), "Lost")
	}
	until(t, "both ends", func() bool { return len(f.Ended("acme")) == 2 })
	broken, died := f.Ended("acme")[0], f.Ended("")[1]
	check(t, "codes", broken.Code+" "+died.Code, "broken died")
	check(t, "reason", died.Reason, "the process died (exit status 6)")
	check(t, "whose", fmt.Sprint(died.Tenant, " ", died.Calls, died.PID > 0, died.StartedAt.Before(died.EndedAt)), "acme 1 true true")
	check(t, "another tenant's", len(f.Ended("zeta")), 0)
	pool := f.Pools()[0]
	check(t, "the pool", fmt.Sprint(pool.Tenant, " ", pool.Calls, " ", pool.Ended), "acme 2 map[broken:1 died:1]")
	for range keptEnds {
		invoke(t, f, m, "exit")
	}
	until(t, "all ends", func() bool { return f.Pools()[0].Ended["died"] == keptEnds+1 })
	check(t, "remembered", len(f.Ended("")), keptEnds)
}

// What is shown of a process is measured, with all that it has started.
func TestABridgeShowsWhatItUses(t *testing.T) {
	f := real(t, Config{PingEvery: 10 * time.Millisecond})
	m := module(t, `module.exports = (what) => what === 'child'
		? void require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
		: new Promise(() => {})`)
	invoke(t, f, m, `["child"]`)
	begin(t, f, m, `["wait"]`)
	until(t, "a measurement", func() bool { return f.Bridges("acme")[0].Processes >= 2 && f.Bridges("acme")[0].Memory > 30<<20 })
	b := f.Bridges("acme")[0]
	check(t, "state", b.State, "running")
	check(t, "in flight", b.InFlight, 1)
}

// A bridge on its way out runs its calls to their end, and these count.
func TestATenantsConcurrencyHoldsOverBridgesThatAreRetired(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MinBridges: 2, MaxConcurrency: 1, MaxWaitTime: time.Hour}})
	m := nowhere()
	check(t, "live", invoke(t, f, m, "1"), "Result 1")
	until(t, "both are live", func() bool { return len(f.Bridges("acme")) == 2 })
	hanging := begin(t, f, m, "hang")
	p, _ := f.pools.Load("acme")
	p.mu.Lock()
	for _, b := range p.bridges() {
		if b.inFlight.Load() == 1 {
			p.retireLocked(b, errScaledIn)
		}
	}
	p.mu.Unlock()
	check(t, "takes no calls any more", len(p.bridges()) < 2, true)
	next := begin(t, f, m, "2")
	check(t, "waits", waits(f), 1)
	hanging.Cancel("enough")
	hanging.wait()
	check(t, "afterwards", next.wait(), "Result 2")
}
