package nodebridge

import (
	"bytes"
	"context"
	"time"
)

// waiting is a call that was accepted while no bridge took it.
type waiting struct {
	call  *Call
	args  []byte // a copy
	until time.Time
	fault error // why it is refused in the end
}

// waitingCalls is a queue for each module: one whose calls may not run now does not hold up the others. The
// modules have their turns.
type waitingCalls struct {
	of    map[*Module][]waiting // in order; none is empty
	turn  []*Module             // of all in of
	count int
	bytes int // of arguments
}

func newWaitingCalls() waitingCalls { return waitingCalls{of: map[*Module][]waiting{}} }

func (q *waitingCalls) has(m *Module) bool { return len(q.of[m]) > 0 }

func (q *waitingCalls) push(w waiting) {
	m := w.call.Module
	if len(q.of[m]) == 0 {
		q.turn = append(q.turn, m)
	}
	q.of[m] = append(q.of[m], w)
	q.count++
	q.bytes += len(w.args)
}

// take takes the first call of the module whose turn it is out, which then is the last to have one.
func (q *waitingCalls) take() waiting {
	m := q.turn[0]
	w := q.of[m][0]
	q.count--
	q.bytes -= len(w.args)
	q.of[m][0] = waiting{}
	if q.of[m] = q.of[m][1:]; len(q.of[m]) == 0 {
		delete(q.of, m)
		q.turn = q.turn[1:]
	} else {
		q.next()
	}
	return w
}

// takeOver takes out what waits for no longer than now.
func (q *waitingCalls) takeOver(now time.Time) (over []waiting) {
	var left []*Module
	for _, m := range q.turn {
		list, n := q.of[m], 0
		for n < len(list) && !list[n].until.After(now) {
			q.bytes -= len(list[n].args)
			n++
		}
		over = append(over, list[:n]...)
		if q.of[m] = list[n:]; n < len(list) {
			left = append(left, m)
		} else {
			delete(q.of, m)
		}
	}
	q.turn, q.count = left, q.count-len(over)
	return over
}

// next gives the turn to the next module.
func (q *waitingCalls) next() { q.turn = append(q.turn[1:], q.turn[0]) }

// waitLocked lets a call wait for a bridge. The caller has counted it in queued. Faults: overloaded,
// payload_too_large.
func (p *Pool) waitLocked(c *Call) error {
	cfg, limits := &p.fleet.cfg, p.limits.Load()
	if n := invokeSize(c, c.Args); bodyHead+n > cfg.MaxMessage {
		return (&Bridge{cfg: cfg}).fits(n)
	}
	if p.waiting.count >= limits.MaxWaiting || p.waiting.bytes+len(c.Args) > cfg.MaxOutgoing {
		return p.overloadedLocked()
	}
	c.link.wait()
	p.waiting.push(waiting{call: c, args: bytes.Clone(c.Args), until: time.Now().Add(limits.MaxWaitTime)})
	p.wantLocked(max(1, p.wanted))
	select {
	case p.expires <- struct{}{}:
	default:
	}
	return nil
}

func (p *Pool) takeAllLocked() (all []waiting) {
	for p.waiting.count > 0 {
		all = append(all, p.waiting.take())
		p.queued.Add(-1)
	}
	return all
}

// passWaitingLocked hands the calls that wait to bridges, in order, while these take any. It gives those
// that a bridge refused.
func (p *Pool) passWaitingLocked() (refused []waiting) {
	for held := 0; held < len(p.waiting.turn); {
		w := &p.waiting.of[p.waiting.turn[0]][0]
		err := p.pass(w.call, w.args)
		switch {
		case err == errGone || err == errFull && !w.call.Nested:
			return refused
		case err == errBusy:
			p.waiting.next()
			held++
			continue
		}
		held = 0
		taken := p.waiting.take()
		p.queued.Add(-1)
		if err != nil {
			taken.fault = err
			refused = append(refused, taken)
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
		case <-p.expires:
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
func (p *Pool) expireNow(now time.Time) (next time.Duration) {
	p.mu.Lock()
	over := p.waiting.takeOver(now)
	p.queued.Add(-int64(len(over)))
	for _, list := range p.waiting.of {
		if left := list[0].until.Sub(now); next == 0 || left < next {
			next = left
		}
	}
	why := p.overloadedLocked()
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
