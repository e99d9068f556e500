package nodebridge

import (
	"errors"
	"slices"
	"time"
)

// Why bridges are retired.
var (
	errScaledIn = errors.New("it was one more than needed")
	errOther    = errors.New("the tenant's limit of its network had changed, and another one took its place")
	errWorn     = errors.New("it had let go of many modules, of which Node keeps a part for ever")
)

// moveAfter is how long the calls of a retired bridge have to end by themselves before they are asked to move.
const moveAfter = time.Second

// shrinkLocked retires live bridges that are too many. Places that only start a bridge count for nothing here: it
// may never be ready. One that is, is too many then; one that dies gives its place up.
func (p *Pool) shrinkLocked() {
	for p.places > p.wanted && p.healthyLocked() > p.wanted && p.retireLeastLocked() {
	}
}

// healthyLocked gives how many bridges have a place and take calls.
func (p *Pool) healthyLocked() (n int) {
	for _, b := range p.bridges() {
		if !b.gone.Load() && !slices.Contains(p.worn, b) {
			n++
		}
	}
	return n
}

// retireLeastLocked takes its place from the live bridge that has the least to do; false: there is none.
func (p *Pool) retireLeastLocked() bool {
	i := least(p.bridges(), 0)
	if i < 0 {
		return false
	}
	p.retireLocked(p.bridges()[i], errScaledIn)
	return true
}

// retireLocked has a live bridge take no more calls, and end once it has none. It gives its place up.
func (p *Pool) retireLocked(b *Bridge, why error) {
	p.removeLocked(b)
	p.retired = append(p.retired, b)
	if i := slices.Index(p.worn, b); i >= 0 {
		p.worn = slices.Delete(p.worn, i, i+1) // it had given its place up
	} else {
		p.places--
	}
	b.retire(why)
	p.noticeLocked(BridgeDraining, b)
}

// recycle has live bridges replaced that have let go of too many modules, one at a time: a worn one gives its
// place up, works on until the replacement is live, and is retired then. So there is no moment without a
// bridge, and what it runs ends there, or moves on.
func (p *Pool) recycle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || len(p.worn) > 0 || p.places != len(p.bridges()) || p.places != p.wanted {
		return // one is starting, or leaving
	}
	for _, b := range p.bridges() {
		if b.isWorn() {
			p.worn = append(p.worn, b)
			p.places--
			p.wantLocked(p.wanted)
			return
		}
	}
}

// replaceWornLocked retires the worn bridges, now that another one is live.
func (p *Pool) replaceWornLocked() {
	for _, b := range slices.Clone(p.worn) {
		p.retireLocked(b, errWorn)
	}
}

// replaceOthers has all bridges replaced that were started with another network than the tenant has now. They take
// no more calls from now on: these wait for one of the right kind.
func (p *Pool) replaceOthers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replaceOthersLocked()
}

func (p *Pool) replaceOthersLocked() {
	now := p.limits.Load().NoNetwork
	for _, b := range p.retired {
		if b.limits.NoNetwork != now {
			b.keepRetired(errOther)
		}
	}
	for _, b := range slices.Clone(p.bridges()) {
		if b.limits.NoNetwork != now {
			p.retireLocked(b, errOther)
			p.wantLocked(p.wanted)
		}
	}
}

// isWorn reports whether the bridge should be replaced.
func (b *Bridge) isWorn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unloads >= b.cfg.RecycleAfter
}

// reinstateLocked gives a place to a bridge that has lost it because there were too many, if there is one.
func (p *Pool) reinstateLocked() bool {
	for i, b := range p.retired {
		if b.reinstate() {
			p.retired = slices.Delete(p.retired, i, i+1)
			p.places++
			p.addLocked(b)
			p.changeLocked()
			p.takes = true
			p.lookLocked()
			return true
		}
	}
	return false
}

// retire has the bridge take no more calls, and end once it has none.
func (b *Bridge) retire(why error) {
	b.mu.Lock()
	b.retired, b.retiredAt, b.moved = why, time.Now(), false
	b.endIfDoneLocked()
	b.mu.Unlock()
}

// reinstate takes a retirement back; false: it is too late, or the reason stands.
func (b *Bridge) reinstate() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone.Load() || b.retired != errScaledIn {
		return false
	}
	b.retired = nil
	return true
}

// keepRetired has a bridge that is retired never taken back.
func (b *Bridge) keepRetired(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retired == errScaledIn {
		b.retired = why
	}
}

// endIfDoneLocked ends a retired bridge that has nothing more to do.
func (b *Bridge) endIfDoneLocked() {
	if b.retired == nil || b.gone.Load() || b.inFlight.Load() > 0 {
		return
	}
	for _, l := range b.modules {
		if !l.over() {
			return
		}
	}
	b.gone.Store(true)
	b.end(b.retired)
}

// move tells the calls of a bridge that was retired a while ago, once, to go on elsewhere if they can.
func (b *Bridge) move(now time.Time) {
	b.mu.Lock()
	due := b.retired != nil && !b.moved && !b.gone.Load() && now.Sub(b.retiredAt) >= moveAfter
	b.moved = b.moved || due
	b.mu.Unlock()
	if !due {
		return
	}
	var batch Batch
	b.calls.each(func(_ *slot, c *Call) { c.Receiver.Receive(Frame{Kind: Moving}, &batch) })
	batch.Flush()
}
