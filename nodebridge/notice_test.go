package nodebridge

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// notices collects what a fleet tells of its bridges.
type notices struct {
	mu  sync.Mutex // guards all
	all []Notice
}

func (n *notices) take(one Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, one)
}

// of gives what was told of a process, with the state or the code of its end.
func (n *notices) of(pid int) (told []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, one := range n.all {
		switch {
		case one.Ended != nil && one.Ended.PID == pid:
			told = append(told, fmt.Sprint(one.Moment, " ", one.Ended.Code))
		case one.Ended == nil && one.Bridge.PID == pid:
			told = append(told, fmt.Sprint(one.Moment, " ", one.Bridge.State))
		}
	}
	return told
}

func TestWhatBecomesOfABridgeIsToldInOrder(t *testing.T) {
	f := faked(t, "", Config{Limits: Limits{MinBridges: 2, MaxBridges: 2}})
	var n notices
	f.Notify(n.take)
	m := nowhere()
	check(t, "live", invoke(t, f, m, "1"), "Result 1")
	until(t, "both are live", func() bool { return len(f.Bridges("acme")) == 2 })
	list := f.Bridges("acme")
	killed, shrunk := list[0].PID, list[1].PID
	f.Measure("acme")
	f.Measure("other")
	check(t, "kill", syscall.Kill(killed, syscall.SIGKILL), nil)
	ended := func(pid int) func() bool {
		return func() bool {
			told := n.of(pid)
			return len(told) > 0 && slices.Contains([]string{"ended died", "ended scaled_in"}, told[len(told)-1])
		}
	}
	until(t, "its end is told", ended(killed))
	check(t, "of the one that was killed", fmt.Sprint(n.of(killed)), "[started starting ready running measured running ended died]")

	p, _ := f.pools.Load("acme")
	p.mu.Lock()
	for _, b := range p.bridges() {
		if b.p.pid() == shrunk {
			p.retireLocked(b, errScaledIn)
		}
	}
	p.mu.Unlock()
	until(t, "the other's end is told", ended(shrunk))
	check(t, "of the one that was too many", fmt.Sprint(n.of(shrunk)), "[started starting ready running measured running draining draining ended scaled_in]")

	// A tenant that comes by the same name must not hear of the processes of the one before.
	f.Remove("acme")
	n.mu.Lock()
	before := len(n.all)
	n.mu.Unlock()
	until(t, "all are gone", func() bool { return len(p.all()) == 0 })
	n.mu.Lock()
	defer n.mu.Unlock()
	check(t, "told after the removal", len(n.all), before)
}
