package nodebridge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// detached gives a pool that nothing runs: a test gives it its bridges.
func detached(t *testing.T) *Pool {
	return newPool("acme", "", false, faked(t, "", Config{}), &common{})
}

// bridgeOf gives a bridge without a process.
func bridgeOf(p *Pool) *Bridge {
	b := newBridge("acme", &p.fleet.cfg, nil, nil)
	b.end = func(error) {}
	return b
}

func callOf(t *testing.T) *Call {
	a := newAnswer(t, nowhere(), "1")
	return &a.Call
}

// What was meant as a replacement may never be ready, so the one that works is kept until one is.
func TestAPoolThatShrinksKeepsWhatTakesCallsUntilAnotherOneDoes(t *testing.T) {
	p := detached(t)
	p.want(3)
	check(t, "places that start a bridge", p.takePlaces(), 3)
	one, two, dying := bridgeOf(p), bridgeOf(p), bridgeOf(p)
	p.add(dying)
	dying.gone.Store(true)
	p.add(one)
	p.want(1)
	check(t, "kept", slices.Contains(p.bridges(), one) && p.places == 3, true)
	p.add(two)
	check(t, "one is enough", fmt.Sprint(p.healthyLocked(), p.places, p.wanted), "1 2 1")
	p.removeLocked(dying) // what had its place gives that up, and nobody else does
	check(t, "the place of the dying one", fmt.Sprint(p.leave(), p.leave()), "true false")
	p.want(0)
	check(t, "none is wanted", fmt.Sprint(p.healthyLocked(), p.places), "0 0")
}

// While some are replaced there may be more bridges than a tenant may have.
func TestACallEndsItsSearchHoweverManyBridgesThereAre(t *testing.T) {
	p := detached(t)
	var bridges []*Bridge
	for range maxBridges + 6 {
		b := bridgeOf(p)
		b.retired = errScaledIn
		bridges = append(bridges, b)
	}
	p.live.Store(&bridges)
	check(t, "none takes it", p.pass(callOf(t), nil), errGone)
	bridges[maxBridges-1].retired = nil
	check(t, "the last one that is tried takes it", p.pass(callOf(t), nil), nil)
}

func TestACallThatWaitsGoesToABridgeThatIsTakenBack(t *testing.T) {
	p := detached(t)
	b := bridgeOf(p)
	b.retired = errScaledIn
	p.retired = []*Bridge{b}
	check(t, "call", p.call(callOf(t)), nil)
	check(t, "taken back, and somebody is to look", fmt.Sprint(len(p.bridges()), len(p.expires)), "1 1")
	p.expireNow(time.Now())
	check(t, "waiting and in flight", fmt.Sprint(p.waiting.count, p.queued.Load(), b.inFlight.Load()), "0 0 1")
}

// A load has no time limit here, so nothing else would end the bridge.
func TestARetiredBridgeEndsWhenWhatItLoadsIsTakenBack(t *testing.T) {
	b, m := bridgeOf(detached(t)), nowhere()
	var why error
	b.end = func(err error) { why = err }
	b.mu.Lock()
	b.moduleLocked(m)
	b.unlockAndWake()
	b.retire(errScaledIn)
	check(t, "while it loads", why, nil)
	b.unload(m)
	check(t, "afterwards", why, errScaledIn)
}

// One bridge may have so much to read that it takes nothing more, while the next one idles.
func TestACallGoesToABridgeThatHasRoom(t *testing.T) {
	p := detached(t)
	full, busy := bridgeOf(p), bridgeOf(p)
	full.writing = p.fleet.cfg.MaxOutgoing
	busy.inFlight.Store(5)
	p.live.Store(&[]*Bridge{full, busy})
	check(t, "call", p.pass(callOf(t), nil), nil)
	check(t, "of the one with room", busy.inFlight.Load(), 6)
	busy.writing = p.fleet.cfg.MaxOutgoing
	check(t, "none has room", fault.Is(p.pass(callOf(t), nil), fault.Overloaded), true)
}

// The hub says a tenant's limits at about the time of its first call.
func TestALimitThatIsSetAtATenantsFirstCallHolds(t *testing.T) {
	f := NewFleet(Config{})
	for i := range 20000 {
		tenant := fmt.Sprint(i)
		told := make(chan struct{})
		go func() {
			defer close(told)
			f.Limit(tenant, Limits{MaxConcurrency: 7})
		}()
		p := f.pool(tenant, "", false)
		<-told
		if got := p.limits.Load().MaxConcurrency; got != 7 {
			t.Fatalf("of tenant %d: %d", i, got)
		}
	}
}

// A bridge may have been started for limits that are others by the time it is ready.
func TestABridgeOfTheWrongNetworkTakesNoCalls(t *testing.T) {
	p := detached(t)
	p.takePlaces()
	late, spare := bridgeOf(p), bridgeOf(p)
	p.limits.Store(&Limits{MinBridges: 1, MaxBridges: 1, NoNetwork: true})
	p.add(late)
	check(t, "not taken", fmt.Sprint(len(p.bridges()), late.retired, p.places, p.wanted), fmt.Sprint(0, errOther, 0, 1))
	check(t, "one in its place", p.takePlaces(), 1)
	spare.retired = errScaledIn
	p.retired = append(p.retired, spare)
	p.replaceOthers()
	p.want(3)
	check(t, "nor taken back", len(p.bridges()), 0)
}

// Without walls there is no network to take away; code that may have none must not run with it.
func TestWithoutWallsNothingRunsThatMayHaveNoNetwork(t *testing.T) {
	f := real(t, Config{Limits: Limits{MinBridges: 1, NoNetwork: true}, MaxWaitTime: time.Millisecond})
	a := newAnswer(t, module(t, `module.exports = () => 1`), "[]")
	err := f.Call("acme", &a.Call)
	if err == nil {
		if got := a.wait(); got != "Lost" && got != "Unstarted" && !strings.Contains(got, "overloaded") {
			t.Errorf("the call ended with %s", got)
		}
	}
	check(t, "bridges", len(f.Bridges("")), 0)
}
