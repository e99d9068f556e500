package nodebridge

import (
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

// line is what may or may not run as one. A call within a call stands in a line of its own: behind calls from
// outside it would wait for a place that its own parent holds.
type line struct {
	module *Module
	nested bool
}

func (c *Call) line() line { return line{c.Module, c.Nested} }

// waitingCalls is a queue for each line: one whose calls may not run now does not hold up the others. The
// lines have their turns.
type waitingCalls struct {
	of    map[line][]waiting // in order; none is empty
	turn  []line             // of all in of
	count int
	bytes int // of arguments
}

func newWaitingCalls() waitingCalls { return waitingCalls{of: map[line][]waiting{}} }

func (q *waitingCalls) has(l line) bool { return len(q.of[l]) > 0 }

func (q *waitingCalls) push(w waiting) {
	l := w.call.line()
	if len(q.of[l]) == 0 {
		q.turn = append(q.turn, l)
	}
	q.of[l] = append(q.of[l], w)
	q.count++
	q.bytes += len(w.args)
}

// take takes the first call of the line whose turn it is out, which then is the last to have one.
func (q *waitingCalls) take() waiting {
	l := q.turn[0]
	w := q.of[l][0]
	q.count--
	q.bytes -= len(w.args)
	q.of[l][0] = waiting{}
	if q.of[l] = q.of[l][1:]; len(q.of[l]) == 0 {
		delete(q.of, l)
		q.turn = q.turn[1:]
	} else {
		q.next()
	}
	return w
}

// takeOver takes out what waits for no longer than now.
func (q *waitingCalls) takeOver(now time.Time) (over []waiting) {
	var left []line
	for _, l := range q.turn {
		list, n := q.of[l], 0
		for n < len(list) && !list[n].until.After(now) {
			q.bytes -= len(list[n].args)
			n++
		}
		over = append(over, list[:n]...)
		if q.of[l] = list[n:]; n < len(list) {
			left = append(left, l)
		} else {
			delete(q.of, l)
		}
	}
	q.turn, q.count = left, q.count-len(over)
	return over
}

// next gives the turn to the next line.
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
	p.waiting.push(waiting{call: c, args: appendLarge(make([]byte, 0, len(c.Args)), c.Args), until: time.Now().Add(limits.MaxWaitTime)})
	p.wantLocked(max(1, p.wanted))
	p.lookLocked()
	return nil
}

// lookLocked has expire look at the calls that wait.
func (p *Pool) lookLocked() {
	select {
	case p.expires <- struct{}{}:
	default:
	}
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
		switch err {
		case errGone:
			return refused
		case errBusy, errFull: // errFull does not hold for calls within calls
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

// expire refuses the calls that waited too long, and hands on those that may run, until ctx ends.
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

// expireNow refuses the calls whose time is over, hands on those that may run by now, and says when to look
// again; 0: none waits.
func (p *Pool) expireNow(now time.Time) (next time.Duration) {
	p.mu.Lock()
	over := p.waiting.takeOver(now)
	p.queued.Add(-int64(len(over)))
	var refused []waiting
	if p.takes || len(over) > 0 {
		p.takes = false
		refused = p.passWaitingLocked()
	}
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
	refuse(append(over, refused...))
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
