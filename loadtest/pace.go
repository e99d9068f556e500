package loadtest

import (
	"context"
	"time"
)

// lookUp is how long the pacer sleeps at most before it looks whether it should go on.
const lookUp = 100 * time.Millisecond

// schedule says when calls are due: at a constant rate from 0 on.
type schedule struct{ rate float64 }

// due gives when call k is due, in nanoseconds. It is computed from k, not from the call before, so
// that rounding never adds up.
func (s schedule) due(k int64) int64 { return int64(float64(k) / s.rate * 1e9) }

// pacer sends the calls of an open loop when they are due. A call takes the first connection that has
// a free slot; while there is none the pacer falls behind, and the calls that it sends late are
// measured from when they were due.
//
// The pacer itself may be late too, on a machine that is too busy for the rate. That is not the
// hub's doing, so it is told apart: a call could be sent once it was due and the pacer no longer
// waited for a connection.
type pacer struct {
	run   *run
	conns []*conn
	turns chan *conn // a connection is in it once for each free slot
	tally *tally     // what was never sent
	dirty []*conn    // have calls that are queued and not yet written
	freed int64      // when the pacer last got a connection that it had to wait for
}

func newPacer(r *run, conns []*conn) *pacer {
	p := &pacer{run: r, conns: conns, tally: newTally(r), turns: make(chan *conn, len(conns)*r.InFlight)}
	for range r.InFlight { // connection by connection, so that calls spread over all
		for _, c := range conns {
			p.turns <- c
		}
	}
	for _, c := range conns {
		c.turns = p.turns
	}
	return p
}

// Run sends until the end, counts what it could not send, and lets the connections finish.
func (p *pacer) Run(ctx context.Context) error {
	defer func() {
		for _, c := range p.conns {
			c.finish()
		}
	}()
	clock, err := newAlarm()
	if err != nil {
		return err
	}
	defer clock.close()
	end := time.NewTimer(time.Until(p.run.start.Add(time.Duration(p.run.end))))
	defer end.Stop()
	s := schedule{p.run.Rate}
	k := int64(0)
	for due := int64(0); due < p.run.end; due = s.due(k) {
		for wait := due - p.run.now(); wait > 0; wait = due - p.run.now() {
			p.flush()
			if err := clock.sleep(min(time.Duration(wait), lookUp)); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		c, err := p.turn(ctx, end.C)
		if err != nil {
			return err
		}
		if c == nil {
			break
		}
		if c.send(due) {
			k++
			p.tally.late(due, max(due, p.freed), p.run.now())
			p.dirty = append(p.dirty, c)
			if len(p.dirty) == 64 {
				p.flush()
			}
		}
	}
	p.flush()
	for due := s.due(k); due < p.run.end; due = s.due(k) {
		p.tally.skip(due)
		k++
	}
	return nil
}

// turn waits for a connection that can take a call; nil: time is over.
func (p *pacer) turn(ctx context.Context, end <-chan time.Time) (*conn, error) {
	select {
	case c := <-p.turns:
		return c, nil
	default:
	}
	p.flush()
	select {
	case c := <-p.turns:
		p.freed = p.run.now()
		return c, nil
	case <-end:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *pacer) flush() {
	for _, c := range p.dirty {
		_ = c.flush() // the connection's reader sees what is wrong with it
	}
	p.dirty = p.dirty[:0]
}
