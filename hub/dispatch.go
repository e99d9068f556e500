package hub

import (
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// How a queued execution comes to run: the tenant gives out places, and a lost attempt is queued again.

// admit gives a queued execution a place among the tenant's running ones, or lets it wait for one. One
// that may not run yet is left to its timer.
func (t *tenant) admit(x *Execution) {
	x.mu.Lock()
	later := x.rec.State == Queued && x.rec.NotBefore > now()
	x.mu.Unlock()
	if later {
		x.evictIfIdle()
		return
	}
	t.fill(0, x)
}

// leave gives a place back.
func (t *tenant) leave() { t.fill(-1) }

// fill changes the number of places taken, lets more wait, and gives the free places to those who are
// next.
func (t *tenant) fill(change int, more ...*Execution) {
	for {
		t.mu.Lock()
		t.running += change
		for _, x := range more {
			t.queue.push(x)
		}
		if t.running >= t.hub.cfg.MaxDurable || t.hub.stopped() || t.hub.draining.Load() {
			t.mu.Unlock()
			return
		}
		x := t.queue.pop()
		if x == nil {
			t.mu.Unlock()
			return
		}
		t.running++
		t.mu.Unlock()
		change, more = 0, nil
		switch x.dispatch() {
		case placeTaken:
		case placeUnused:
			change = -1
		case noRoom: // for the others neither
			t.mu.Lock()
			t.running--
			t.mu.Unlock()
			time.AfterFunc(t.hub.cfg.RetryOverload, func() { t.admit(x) })
			return
		}
	}
}

// checkQueue refuses a start where too many wait already. What is queued otherwise (resumed, lost,
// tried again) is never refused.
func (t *tenant) checkQueue(fn string) error {
	t.mu.Lock()
	all, own := t.queue.len(), t.queue.of(fn)
	t.mu.Unlock()
	switch {
	case all >= t.hub.cfg.MaxWaiting:
		return fault.New(fault.Overloaded, "%d durable executions wait for a place already.", all)
	case own >= t.hub.cfg.MaxFunctionWaiting:
		return fault.New(fault.Overloaded, "%d durable executions of %s wait for a place already.", own, fn)
	}
	return nil
}

// abandonLocked decides an attempt's end without its function, which is told, but may run on for a
// while. Two attempts of an execution must not run at once, so the next one waits for it, at most for
// AbandonAfter: a function that takes no notice of hub.signal for longer is told apart by its attempt.
func (x *Execution) abandonLocked() {
	if x.run == nil {
		return
	}
	x.t.abandoned.add(x.run)
	if x.durable {
		x.leaving, x.leaveBy = x.run, now()+x.t.hub.cfg.AbandonAfter.Milliseconds()
	}
}

// leaveLocked gives back the execution's place; the caller calls place after it has unlocked x.
func (x *Execution) leaveLocked() (place func()) {
	if !x.admitted {
		return func() {}
	}
	x.admitted = false
	return x.t.leave
}

// dispatched is what came of a place that an execution was given.
type dispatched int

const (
	placeTaken  dispatched = iota
	placeUnused            // it is not queued any more, or it failed
	noRoom                 // the bridges take nothing now: it stays queued
)

// dispatch starts the next attempt of a queued execution that was given a place.
func (x *Execution) dispatch() dispatched {
	h := x.t.hub
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rec.State != Queued || h.stopped() {
		return placeUnused
	}
	if h.store.Check() != nil { // what runs meanwhile would run again after a crash
		return noRoom
	}
	if left := x.leaveBy - now(); x.leaving != nil && left > 0 {
		time.AfterFunc(time.Duration(left)*time.Millisecond, func() { x.t.admit(x) }) // or when it has left
		return placeUnused
	}
	x.leaving = nil
	r, err := x.route()
	if err != nil {
		f := fault.From(err)
		if f.Code == fault.Overloaded { // its Node is being installed
			time.AfterFunc(f.RetryAfter, func() { x.t.admit(x) })
			return placeUnused
		}
		x.failLocked(&Failure{Code: f.Code, Message: f.Detail}) // durable: told by its write
		return placeUnused
	}
	next := x.rec
	next.Attempt++
	p := next.nextPayload()
	a := &attempt{x: x}
	a.call = nodebridge.Call{
		Module: r.module, Execution: x.rec.ID, Args: p.Data, Encoding: p.Encoding, Receiver: a, Meta: callMeta(&next),
		Nested: x.awaitedLocked(),
	}
	if err := h.bridges.Call(x.t.name, &a.call); err != nil {
		return noRoom
	}
	x.admitted = true
	_ = x.moveLocked(stepDispatch) // legal: it is queued
	x.rec.Attempt = next.Attempt
	x.run = a
	if x.rec.StartedAt == 0 {
		x.rec.StartedAt = now()
	}
	x.deliverLocked(&a.call)
	x.limitLocked(r.version, time.Duration(x.rec.Timeout)*time.Millisecond)
	x.commitLocked(EventStarted, nil)
	return placeTaken
}

// awaitedLocked reports whether another execution waits for this one: it must not wait for that one's place.
func (x *Execution) awaitedLocked() bool { return x.rec.Parent != "" && len(x.repliers) > 0 }

// lostLocked decides what becomes of an execution whose bridge died, or was ended for something that it
// or another one did. A call fails, unless its function may be run twice; a durable execution runs again
// from its snapshot or its start; one that was pausing is parked there.
func (x *Execution) lostLocked(why *Failure) (after func()) {
	if !x.durable {
		return x.brokenOffLocked(why)
	}
	if x.t.hub.stopped() {
		return nil // its record says that it runs; the next start takes it up
	}
	if x.rec.Lost++; x.rec.Lost > x.t.hub.cfg.MaxLost {
		return x.failLocked(why)
	}
	return x.againLocked(lostDelay(x.rec.Lost), why)
}

// brokenOffLocked ends a call whose process was ended under it, unless its function may be run twice.
func (x *Execution) brokenOffLocked(f *Failure) (after func()) {
	if r, err := x.route(); err == nil && r.version.Settings.Idempotent && x.rec.Args != nil && x.rec.Attempt < 2 {
		x.rec.Attempt++
		if x.callAgainLocked() {
			return nil
		}
	}
	return x.failLocked(f)
}

// unstartedLocked has an attempt that its process never read run in another one. A call whose arguments
// are not kept can't; it fails, and has had no effect.
func (x *Execution) unstartedLocked() (after func()) {
	if x.durable {
		if x.t.hub.stopped() {
			return nil
		}
		return x.againLocked(0, nil)
	}
	if x.rec.Args == nil || !x.callAgainLocked() {
		return x.failLocked(&Failure{Code: fault.BridgeLost, Message: "The Node process died before it took this call, which has had no effect."})
	}
	return nil
}

// callAgainLocked hands a call to the bridges once more, at most MaxLost times.
func (x *Execution) callAgainLocked() bool {
	if x.rec.Lost++; x.rec.Lost > x.t.hub.cfg.MaxLost || x.t.hub.stopped() {
		return false
	}
	r, err := x.route()
	if err != nil {
		return false
	}
	a := &attempt{x: x}
	a.call = nodebridge.Call{
		Module: r.module, Execution: x.rec.ID, Args: x.rec.Args.Data, Encoding: x.rec.Args.Encoding, Receiver: a, Meta: callMeta(&x.rec),
		Nested: x.awaitedLocked(),
	}
	if x.t.hub.bridges.Call(x.t.name, &a.call) != nil {
		return false
	}
	x.run = a
	caller := time.Duration(x.rec.Timeout) * time.Millisecond
	if caller > 0 {
		caller = max(time.Millisecond, caller-time.Duration(now()-x.rec.StartedAt)*time.Millisecond)
	}
	if x.limitTimer != nil {
		x.limitTimer.Stop()
	}
	x.limitLocked(r.version, caller)
	for i := range x.inbox.list {
		m := &x.inbox.list[i]
		_ = a.call.Send(m.number, m.Type, m.Data) // it was taken once already
	}
	if x.rec.State == Pausing {
		limit := x.t.hub.cfg.PauseTimeout
		x.pauseTimer.Stop()
		x.pauseTimer = time.AfterFunc(limit, a.pauseTimeout)
		a.call.Pause(x.rec.PauseReason, time.Now().Add(limit))
	}
	return true
}

const bridgeLost = "The Node process that ran this execution died."

// lostDelay doubles from 100 ms on, to 10 s.
func lostDelay(lost int) time.Duration {
	return min(10*time.Second, 50*time.Millisecond<<min(lost, 10))
}

// againLocked has an execution whose attempt came to nothing run again after a while. One that was
// pausing is parked where it would have gone on, if somebody wanted it paused. why may be nil.
func (x *Execution) againLocked(delay time.Duration, why *Failure) (after func()) {
	if x.moveLocked(stepLose) != nil {
		return func() {}
	}
	place := x.leaveLocked()
	notBefore := int64(0)
	if delay > 0 {
		notBefore = now() + delay.Milliseconds()
	}
	if x.rec.State == Paused {
		snap := &Snapshot{Reason: x.rec.PauseReason, At: now(), Args: x.rec.nextPayload(), Pad: x.rec.pad()}
		x.rec.Snapshot, x.rec.PauseReason = snap, ""
		x.commitLocked(EventPaused, nil)
		if movesOn(snap) {
			lost := x.rec.Lost
			x.rec.NotBefore = notBefore
			x.goesOnLocked(snap)
			x.rec.Lost = lost // it got no further
		}
		return place
	}
	x.rec.NotBefore = notBefore
	x.commitDataLocked(EventRetrying, lifecycleDataWith(&x.rec, why), func(err error) {
		if err == nil {
			x.t.admit(x)
		}
	})
	return place
}
