package nodebridge

import (
	"bytes"
	"context"
	"time"
)

// waiting is a call that was accepted while no bridge was live.
type waiting struct {
	call  *Call
	args  []byte // a copy
	until time.Time
	fault error // why it is refused in the end
}

// waitLocked lets a call wait for a bridge. Faults: overloaded, payload_too_large.
func (p *Pool) waitLocked(c *Call) error {
	cfg := &p.fleet.cfg
	if n := invokeSize(c, c.Args); bodyHead+n > cfg.MaxMessage {
		return (&Bridge{cfg: cfg}).fits(n)
	}
	if len(p.waiting) >= cfg.MaxWaiting || p.bytes+len(c.Args) > cfg.MaxOutgoing {
		return p.overloadedLocked()
	}
	c.link.wait()
	p.waiting = append(p.waiting, waiting{call: c, args: bytes.Clone(c.Args), until: time.Now().Add(cfg.MaxWaitTime)})
	p.bytes += len(c.Args)
	select {
	case p.queued <- struct{}{}:
	default:
	}
	return nil
}

// takeWaitingLocked takes the first n out.
func (p *Pool) takeWaitingLocked(n int) []waiting {
	taken := p.waiting[:n:n]
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	for _, w := range taken {
		p.bytes -= len(w.args)
	}
	return taken
}

// passWaitingLocked hands the calls that wait to bridges, in order, while there are any. It gives
// those that a bridge refused.
func (p *Pool) passWaitingLocked() (refused []waiting) {
	for len(p.waiting) > 0 {
		w := p.waiting[0]
		err := p.pass(w.call, w.args)
		if err == errGone {
			break
		}
		p.takeWaitingLocked(1)
		if err != nil {
			w.fault = err
			refused = append(refused, w)
		}
	}
	return refused
}

// expire refuses the calls that waited too long, until ctx ends.
func (p *Pool) expire(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.queued:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		if next := p.expireNow(time.Now()); next > 0 {
			timer.Reset(next)
		}
	}
}

// expireNow refuses the calls whose time is over, and says when to look again; 0: none waits.
func (p *Pool) expireNow(now time.Time) time.Duration {
	p.mu.Lock()
	n := 0
	for n < len(p.waiting) && !p.waiting[n].until.After(now) {
		n++
	}
	over := p.takeWaitingLocked(n)
	why := p.overloadedLocked()
	var next time.Duration
	if len(p.waiting) > 0 {
		next = p.waiting[0].until.Sub(now)
	}
	p.mu.Unlock()
	for i := range over {
		over[i].fault = why
	}
	refuse(over)
	return next
}

// refuse ends calls that were accepted, but never reached a bridge, with an Error frame of their fault.
func refuse(calls []waiting) {
	var b Batch
	for _, w := range calls {
		w.call.Receiver.Receive(Frame{Kind: Error, Payload: faultPayload(w.fault)}, &b)
	}
	b.Flush()
}
