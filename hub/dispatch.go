package hub

import (
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// How a queued execution comes to run: the tenant gives out places, and a lost attempt is queued again.

// admit gives a queued execution a place among the tenant's running ones, or lets it wait for one. One
// whose start is delayed comes back when its time has come.
func (t *tenant) admit(x *Execution) {
	if left := x.notBefore() - now(); left > 0 {
		time.AfterFunc(time.Duration(left)*time.Millisecond, func() { t.admit(x) })
		return
	}
	t.fill(0, x)
}

// leave gives a place back.
func (t *tenant) leave() { t.fill(-1) }

// fill changes the number of places taken, lets more wait, and gives the free places to those who wait
// longest.
func (t *tenant) fill(change int, more ...*Execution) {
	for {
		t.mu.Lock()
		t.running += change
		t.waiting = append(t.waiting, more...)
		if t.running >= t.hub.cfg.MaxDurable || len(t.waiting) == 0 || t.hub.stopped() {
			t.mu.Unlock()
			return
		}
		x := t.waiting[0]
		t.waiting[0] = nil
		t.waiting = t.waiting[1:]
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

// notBefore is when the execution may run; a resume waits no longer.
func (x *Execution) notBefore() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rec.Attempt > 0 || x.rec.Snapshot != nil {
		return 0
	}
	return x.rec.NotBefore
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
	r, err := x.t.route(versionRef(x.rec.Function, x.rec.Version))
	if err != nil {
		f := fault.From(err)
		x.failLocked(&Failure{Code: f.Code, Message: f.Detail}) // durable: told by its write
		return placeUnused
	}
	next := x.rec
	next.Attempt++
	p := next.nextPayload()
	a := &attempt{x: x}
	a.call = nodebridge.Call{
		Module: r.module, Execution: x.rec.ID, Args: p.Data, Encoding: p.Encoding, Receiver: a, Meta: callMeta(&next),
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
	for _, m := range x.rec.Inbox {
		if err := a.call.Send(0, m.Type, m.Data); err != nil {
			h.log.Error("deliver a kept event", "execution", x.rec.ID, "type", m.Type, "error", err)
		}
	}
	x.rec.Inbox = nil
	x.limitLocked(r.version, time.Duration(x.rec.Timeout)*time.Millisecond)
	x.commitLocked(EventStarted, nil)
	return placeTaken
}

// lostLocked decides what becomes of an execution whose bridge died. A call fails; a durable
// execution runs again from its snapshot or its start; one that was pausing is parked there.
func (x *Execution) lostLocked() (after func()) {
	if x.durable && x.t.hub.stopped() {
		return nil // its record says that it runs; the next start takes it up
	}
	if !x.durable || x.rec.Lost >= x.t.hub.cfg.MaxLost {
		return x.failLocked(&Failure{Code: fault.BridgeLost, Message: "The Node process that ran this execution died."})
	}
	x.rec.Lost++
	return x.requeueLocked(min(10*time.Second, 50*time.Millisecond<<min(x.rec.Lost, 10)))
}

// requeueLocked has an execution whose attempt came to nothing run again after a while.
func (x *Execution) requeueLocked(delay time.Duration) (after func()) {
	place := x.leaveLocked()
	again := x.againLocked()
	return func() {
		place()
		if again {
			time.AfterFunc(delay, func() { x.t.admit(x) })
		}
	}
}

// againLocked takes the step of a lost attempt and reports whether the execution is to run again.
func (x *Execution) againLocked() bool {
	pausing := x.rec.State == Pausing
	if x.moveLocked(stepLose) != nil {
		return false
	}
	if pausing {
		x.rec.Snapshot = &Snapshot{Reason: x.rec.PauseReason, At: now(), Args: x.rec.nextPayload()}
		x.commitLocked(EventPaused, nil)
		return false
	}
	x.commitLocked(EventRetrying, nil)
	return true
}
