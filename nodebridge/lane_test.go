package nodebridge

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// whoAnswers tells which process it runs in; asked for it, it gives much, or stays until it is told to go.
const whoAnswers = `module.exports = (what, hub) => {
	if (what === 'much') return 'x'.repeat(5000)
	if (what === 'stay') { hub.emit('stays'); return new Promise(resolve => hub.on('go', () => resolve(process.pid))) }
	if (what[0] === 's' && what.length > 1000) { hub.emit('spins'); setTimeout(() => { for (;;); }, 10); return new Promise(() => {}) }
	return process.pid
}`

const large = 1000 // bytes, in these tests

func argument(s string) string { return `["` + s + `"]` }

var (
	small = argument("who")
	heavy = argument(strings.Repeat("w", large))
)

func twoBridges(t *testing.T, change func(*Config), output ...func(tenant string, pid int, stream, line string)) *Fleet {
	cfg := Config{HeavyFrom: large, Limits: Limits{MinBridges: 1, MaxBridges: 2}}
	change(&cfg)
	return running(t, cfg, output...)
}

// To parse a large argument takes an event loop as long as it takes; small calls must not be in that loop.
func TestLargeArgumentsGoToAProcessOfTheirOwn(t *testing.T) {
	f, m := twoBridges(t, func(*Config) {}), module(t, whoAnswers)
	one, two := invoke(t, f, m, small), invoke(t, f, m, heavy)
	check(t, "another process", one != two, true)
	check(t, "small ones stay, large ones too", fmt.Sprint(invoke(t, f, m, small) == one, invoke(t, f, m, heavy) == two), "true true")
	heavies := ""
	for _, b := range f.Bridges("acme") {
		heavies += fmt.Sprint(b.Heavy, " ")
	}
	check(t, "as operators see it", heavies, "false true ")
	check(t, "in the sums", f.Pools()[0].Bridges[bridgeRunning], 2)

	spins := begin(t, f, m, argument(strings.Repeat("s", 2*large)))
	<-spins.told("Event")
	check(t, "beside a loop that stands still", invoke(t, f, m, small), one)
	for _, b := range f.Bridges("acme") {
		if b.Heavy {
			check(t, "kill", syscall.Kill(b.PID, syscall.SIGKILL), nil)
		}
	}
	check(t, "the call that stood still", spins.wait(), "Lost")
	check(t, "afterwards", invoke(t, f, m, small), one)
	check(t, "the next large one has a new process", strings.HasPrefix(invoke(t, f, m, heavy), "Result "), true)
}

// Nobody knows what a first call will give, but what a module gave says something about the next.
func TestModulesThatGiveMuchGoToTheHeavyLaneUntilTheyGiveLittleAgain(t *testing.T) {
	f, m := twoBridges(t, func(*Config) {}), module(t, whoAnswers)
	one := invoke(t, f, m, small)
	invoke(t, f, m, argument("much"))
	for range afterHeavy {
		check(t, "after much", invoke(t, f, m, small) != one, true)
	}
	check(t, "after little", invoke(t, f, m, small), one)
}

func TestATenantWithOneProcessHasNoHeavyLane(t *testing.T) {
	f, m := twoBridges(t, func(c *Config) { c.Limits.MaxBridges = 1 }), module(t, whoAnswers)
	check(t, "the same process", invoke(t, f, m, heavy), invoke(t, f, m, small))
	f.Limit("acme", Limits{MinBridges: 1, MaxBridges: 2})
	check(t, "once it may have two", invoke(t, f, m, heavy) != invoke(t, f, m, small), true)
	f.Limit("acme", Limits{MinBridges: 1, MaxBridges: 1})
	check(t, "and one again", invoke(t, f, m, heavy), invoke(t, f, m, small))
}

func TestTheHeavyLaneCountsAsOneOfTheTenantsProcesses(t *testing.T) {
	ended := make(chan string, 10)
	f := twoBridges(t, func(c *Config) { c.Limits.MinBridges = 2 }, func(_ string, _ int, stream, line string) {
		if stream == "exit" {
			ended <- line
		}
	})
	m := module(t, whoAnswers)
	invoke(t, f, m, small)
	invoke(t, f, m, heavy)
	select {
	case why := <-ended:
		check(t, "one of the others made place", strings.HasPrefix(why, errScaledIn.Error()), true)
	case <-time.After(patience):
		t.Fatal("there are three processes")
	}
	check(t, "processes wanted", f.Pools()[0].Wanted, 2)
	check(t, "small ones go on", strings.HasPrefix(invoke(t, f, m, small), "Result "), true)
}

// A tenant's MaxConcurrency is one number, whatever runs where; who waits for the other pool's end is told of it.
func TestMaxConcurrencyHoldsOverBothPools(t *testing.T) {
	f, m := twoBridges(t, func(c *Config) { c.Limits.MaxConcurrency = 1 }), module(t, whoAnswers)
	stays := begin(t, f, m, argument("stay"))
	<-stays.told("Event")
	waits := begin(t, f, m, heavy)
	check(t, "calls that wait", f.Pools()[0].Waiting, 1)
	check(t, "send", stays.Send(0, "go", nil), nil)
	stays.wait()
	check(t, "then it runs", strings.HasPrefix(waits.wait(), "Result "), true)
}

// What was under way to a process is gone with it.
func TestAProcessThatDiesInTheMiddleOfALargePayloadLeavesNothing(t *testing.T) {
	f := running(t, Config{})
	m := module(t, `module.exports = (x, hub) => {
		hub.emit('stops')
		setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 10)
		return new Promise(() => {})
	}`)
	before := heap()
	first := begin(t, f, m, "1")
	<-first.told("Event")
	second := begin(t, f, m, `"`+strings.Repeat("x", 60<<20)+`"`)
	check(t, "kill", syscall.Kill(f.Bridges("acme")[0].PID, syscall.SIGKILL), nil)
	check(t, "a call", first.wait(), "Lost")
	second.wait()
	second.Args = nil
	check(t, "calls in flight", f.Pools()[0].InFlight, 0)
	if left := heap() - before; left > 8<<20 {
		t.Errorf("%d bytes are left", left)
	}
}

// heap gives the bytes in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools keep is gone after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
