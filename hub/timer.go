package hub

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// A durable execution has at most one timer: when it may run, when it wakes, or when it is forgotten.
// Timers stand in the store in the order of their time, so a million of them cost no memory; the hub
// knows only when the next one fires.

// timers waits for the next timer in the store.
type timers struct {
	mu   sync.Mutex // guards next
	next int64      // when the loop looks again by itself, in milliseconds since 1970
	soon chan struct{}
}

func newTimers() *timers { return &timers{next: math.MaxInt64, soon: make(chan struct{}, 1)} }

const (
	timerBatch = 1024             // timers that fire together
	timerLook  = 10 * time.Second // how long the loop waits at most: the wall clock may be set meanwhile
	timerRetry = time.Second      // pause after the store failed
)

// written says that a timer is in the store.
func (ts *timers) written(at int64) {
	ts.mu.Lock()
	sooner := at < ts.next
	if sooner {
		ts.next = at
	}
	ts.mu.Unlock()
	if sooner {
		select {
		case ts.soon <- struct{}{}:
		default:
		}
	}
}

// timerAtLocked is when the execution's timer is to fire by its record; 0: it needs none.
func (x *Execution) timerAtLocked() int64 {
	switch r := &x.rec; {
	case r.State == Queued:
		return r.NotBefore
	case r.State == Paused && r.Snapshot != nil:
		return r.Snapshot.Until
	case r.State.Ended():
		if keep := x.keepEnded(); keep > 0 {
			return r.EndedAt + keep.Milliseconds()
		}
	}
	return 0
}

// keepEnded is how long the execution is kept once it has ended; not above 0: for ever.
func (x *Execution) keepEnded() time.Duration {
	keep := x.t.hub.cfg.KeepEnded
	if r, err := x.route(); err == nil && r.version.Settings.KeepEnded > 0 {
		keep = time.Duration(r.version.Settings.KeepEnded)
	}
	if keep > 0 && x.rec.Key != "" {
		keep = max(keep, x.t.hub.cfg.KeyTTL) // its key answers with it
	}
	return keep
}

// timerOpsLocked moves the execution's timer to where its record wants it, and notes it there.
func (x *Execution) timerOpsLocked() (ops []store.Op) {
	want := x.timerAtLocked()
	if want == x.rec.Timer {
		return nil
	}
	if x.rec.Timer != 0 {
		ops = append(ops, store.Op{Key: timerKey(x.rec.Timer, x.t.name, x.rec.ID), Delete: true})
	}
	if want != 0 {
		ops = append(ops, store.Op{Key: timerKey(want, x.t.name, x.rec.ID)})
	}
	x.rec.Timer = want
	return ops
}

// runTimers fires timers until ctx ends: in order, each once, those whose time passed while no hub ran
// first.
func (h *Hub) runTimers(ctx context.Context) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.timers.soon:
		case <-wait.C:
		}
		next, err := h.fireDue(ctx)
		if err != nil && ctx.Err() == nil {
			h.log.Error("fire timers", "error", err)
			next = now() + timerRetry.Milliseconds()
		}
		left := min(timerLook, time.Duration(max(0, min(next-now(), math.MaxInt32)))*time.Millisecond)
		wait.Reset(left)
	}
}

// fireDue fires what is due and gives when the next timer is.
func (h *Hub) fireDue(ctx context.Context) (next int64, err error) {
	for ctx.Err() == nil && !h.draining.Load() {
		if err := h.store.Check(); err != nil {
			return 0, err
		}
		h.timers.mu.Lock()
		h.timers.next = math.MaxInt64 // a timer written from here on is seen by the scan, or wakes the loop
		h.timers.mu.Unlock()
		due, next, err := h.dueTimers(now())
		if err != nil {
			return 0, err
		}
		if len(due) == 0 {
			h.timers.mu.Lock()
			h.timers.next = min(h.timers.next, next)
			h.timers.mu.Unlock()
			return next, nil
		}
		if err := h.fire(ctx, due); err != nil {
			return 0, err
		}
	}
	return math.MaxInt64, nil
}

// dueTimer is a timer whose time has come.
type dueTimer struct {
	at         int64
	tenant, id string
}

func (h *Hub) dueTimers(at int64) (due []dueTimer, next int64, err error) {
	next = math.MaxInt64
	err = h.store.Scan(store.Range{Prefix: timersPrefix(), KeysOnly: true}, func(k, _ []byte) (bool, error) {
		d := timerOfKey(k)
		if d.at > at {
			next = d.at
			return false, nil
		}
		due = append(due, d)
		return len(due) < timerBatch, nil
	})
	return due, next, err
}

// fire fires timers and waits until they are gone from the store.
func (h *Hub) fire(ctx context.Context, due []dueTimer) error {
	writes := make([]*write, 0, len(due))
	for _, d := range due {
		w, err := h.fireOne(ctx, d)
		if err != nil {
			return fmt.Errorf("fire the timer of %s: %w", d.id, err)
		}
		if w != nil {
			writes = append(writes, w)
		}
	}
	for _, w := range writes {
		if _, err := w.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fireOne has an execution do what its timer was for. What it writes, if anything, takes the timer away.
func (h *Hub) fireOne(ctx context.Context, d dueTimer) (*write, error) {
	owner, err := h.registry.Tenant(d.tenant)
	if err != nil { // its executions went with it
		return nil, h.store.Commit(ctx, store.Op{Key: timerKey(d.at, d.tenant, d.id), Delete: true})
	}
	t := h.tenant(owner)
	x, err := t.ownEnded(d.id)
	if fault.Is(err, fault.NotFound) {
		return h.sweep(d.tenant, d.id, d.at, nil, func(error) {})
	}
	if err != nil {
		return nil, err
	}
	defer x.evictIfIdle()
	defer x.mu.Unlock()
	if x.rec.Timer != d.at {
		// What moved it is on its way to the store. If nothing is, it is of no record.
		return x.enqueueLocked(store.Op{Key: timerKey(d.at, d.tenant, d.id), Delete: true}), nil
	}
	switch {
	case x.rec.State == Queued:
		x.rec.NotBefore = 0
		return x.writeLocked("", func(err error) {
			if err == nil {
				t.admit(x)
			}
		}), nil
	case x.rec.State == Paused && x.rec.Snapshot.Event != "":
		return x.wakeLocked(x.rec.Snapshot.appended(nil)), nil
	case x.rec.State == Paused:
		s := *x.rec.Snapshot
		s.Until = 0
		return x.wakeLocked(&s), nil
	case x.rec.State.Ended():
		return x.forgetLocked()
	}
	return nil, errors.New("it has a timer, but is " + x.rec.State.String())
}
