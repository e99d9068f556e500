package nodebridge

import (
	"errors"

	"github.com/livefn/livefn/internal/fault"
)

// errBusy says that a bridge runs as many calls of the module as it may at once, and did not take this one.
var errBusy = errors.New("the bridge runs as many calls of the module as it may")

// errFull says that the tenant runs as many calls as it may.
var errFull = errors.New("the tenant runs as many calls as it may")

// maxBridges bounds the bridges of a tenant: those that were tried are bits of one word.
const maxBridges = 64

// call is Fleet.Call.
func (p *Pool) call(c *Call) error {
	if p.queued.Load() == 0 { // nobody is before it
		if err := p.pass(c, c.Args); !mayWait(err) {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return errEnded()
	}
	p.queued.Add(1) // before the last look: whoever makes room from now on sees that somebody waits
	if !p.waiting.has(c.line()) {
		if err := p.pass(c, c.Args); !mayWait(err) {
			p.queued.Add(-1)
			return err
		}
	}
	err := p.waitLocked(c)
	if err != nil {
		p.queued.Add(-1)
	}
	return err
}

func mayWait(err error) bool { return err == errGone || err == errBusy || err == errFull }

// pass hands a call to the bridge that is least loaded among those that take it. errGone: there is no bridge;
// errBusy: none takes a call of this module now; errFull: none takes any. Faults: overloaded, if none has room; payload_too_large. It takes no lock of the pool's.
func (p *Pool) pass(c *Call, args []byte) error {
	bridges := p.bridges()
	if most := int64(p.limits.Load().MaxConcurrency); most > 0 && !c.Nested && p.share.inFlight.Load() >= most {
		return errFull
	}
	bridges = bridges[:min(len(bridges), maxBridges)] // there may be more for a moment, while some are replaced
	var tried uint64
	var full error
	busy := false
	for {
		i := least(bridges, tried)
		if i < 0 {
			break
		}
		switch err := bridges[i].call(c, args); {
		case err == errGone:
			tried |= 1 << i
		case err == errBusy:
			tried, busy = tried|1<<i, true
		case fault.Is(err, fault.Overloaded): // others may have room
			tried, full = tried|1<<i, err
		default:
			return err
		}
	}
	switch {
	case busy:
		return errBusy
	case full != nil:
		return full
	}
	return errGone
}

// slowness is the delay of an event loop that makes a bridge count as twice as loaded.
const slowness = 10_000 // microseconds

// least gives the index of the live bridge with the least load among those that were not tried, or -1. The
// load is what is in flight, weighed by how late the event loop is: a call that takes a second holds up
// every other one, and may be the only one in flight.
func least(bridges []*Bridge, tried uint64) int {
	if len(bridges) == 1 { // mostly
		if tried == 0 && !bridges[0].gone.Load() {
			return 0
		}
		return -1
	}
	best, lowest := -1, int64(0)
	for i, b := range bridges {
		if tried&(1<<i) != 0 || b.gone.Load() {
			continue
		}
		if n := (b.inFlight.Load() + 1) * (slowness + b.late.Load()); best < 0 || n < lowest {
			best, lowest = i, n
		}
	}
	return best
}

// room hands on what waits, where calls have ended.
func (p *Pool) room() {
	if p.queued.Load() == 0 {
		return
	}
	p.mu.Lock()
	refused := p.passWaitingLocked()
	p.mu.Unlock()
	refuse(refused)
}
