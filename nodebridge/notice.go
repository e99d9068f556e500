package nodebridge

import (
	"slices"
	"time"
)

// Moment is what a Notice tells of a bridge.
type Moment string

// The moments of a bridge's life, in their order; one that drains may be ready again.
const (
	BridgeStarted  Moment = "started"  // there is a process
	BridgeReady    Moment = "ready"    // it takes calls
	BridgeMeasured Moment = "measured" // nothing happened; Fleet.Measure asked how it is
	BridgeDraining Moment = "draining" // it takes no more calls
	BridgeEnded    Moment = "ended"    // nothing of it is left
)

// Notice tells what has become of a bridge.
type Notice struct {
	Tenant string
	Moment Moment
	At     time.Time
	Bridge BridgeInfo   // how it is; not of one that ended
	Ended  *EndedBridge // how it ended; nil: it has not
}

// Notify has to told what becomes of bridges: those of one tenant and Node in order, BridgeEnded last of each. to is called on
// several goroutines, for which calls wait: it must not block, nor call the fleet. After Remove nothing is told of
// the tenant's bridges, their end included.
func (f *Fleet) Notify(to func(Notice)) { f.notify.Store(&to) }

// Measure has Notify's function told at once how each ready bridge of a tenant is.
func (f *Fleet) Measure(tenant string) {
	if s, ok := f.shares.Load(tenant); ok {
		for _, p := range s.all() {
			p.measure()
		}
	}
}

func (p *Pool) measure() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range slices.Concat(p.bridges(), p.retired) {
		p.noticeLocked(BridgeMeasured, b)
	}
}

// noticeLocked tells of a bridge that has not ended. Under the lock, so that all is told in the order in which
// it was so: somebody who keeps a list by it would else keep, for ever, one that was measured and then ended.
func (p *Pool) noticeLocked(m Moment, b *Bridge) {
	if p.fleet.notify.Load() != nil { // else nobody has a use for info
		p.tellLocked(Notice{Moment: m, Bridge: b.info()})
	}
}

func (p *Pool) tellLocked(n Notice) {
	to := p.fleet.notify.Load()
	if to == nil || p.removed {
		return
	}
	n.Tenant, n.At = p.tenant, time.Now()
	(*to)(n)
}
