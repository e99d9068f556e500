package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// Start accepts a durable execution: when it returns, the execution is on disk.
func (h *Hub) Start(ctx context.Context, owner *tenants.Tenant, req *Request) (View, error) {
	t := h.tenant(owner)
	if req.Key != "" {
		x, err := t.invokeKeyed(req, nil)
		if err != nil {
			return View{}, err
		}
		return x.View(), nil
	}
	_, w, err := t.start(req, nil)
	if err != nil {
		return View{}, err
	}
	return w.wait(ctx)
}

// start decides a durable execution, which is on disk once the write is done, and then goes to a
// bridge as soon as there is a place.
func (t *tenant) start(req *Request, to Replier, more ...func(x *Execution) store.Op) (x *Execution, w *write, err error) {
	if err := t.checkPayload(req.Args); err != nil {
		return nil, nil, err
	}
	r, err := t.route(req.Function)
	if err != nil {
		return nil, nil, err
	}
	x = t.newExecution(r, req)
	x.durable = true
	x.rec.State = Queued
	x.rec.Key = req.Key
	if req.Delay > 0 {
		x.rec.NotBefore = x.rec.CreatedAt + req.Delay.Milliseconds()
	}
	x.rec.Args = &Payload{Encoding: req.encoding(), Data: bytes.Clone(req.Args)}
	if req.encoding() == nodebridge.JSON && !json.Valid(req.Args) {
		return nil, nil, fault.New(fault.InvalidRequest, "The arguments are not valid JSON.")
	}
	if to != nil {
		x.repliers = append(x.repliers, to)
	}
	ops := []store.Op{{Key: functionKey(t.name, x.rec.Function, x.rec.ID)}}
	for _, f := range more {
		ops = append(ops, f(x))
	}
	t.live.Store(x.rec.ID, x)
	x.mu.Lock()
	if req.Events != nil {
		sub := &Subscription{t: t, pattern: "execution." + x.rec.ID, to: req.Events}
		sub.stream = x.streamLocked(nil)
		sub.stream.attach(sub, Since{})
	}
	w = x.writeLocked(EventQueued, func(err error) {
		if err != nil {
			t.live.Delete(x.rec.ID)
		} else {
			t.admit(x)
		}
	}, ops...)
	x.mu.Unlock()
	return x, w, nil
}

func (t *tenant) checkPayload(p []byte) error {
	if limit := t.hub.cfg.MaxPayload; len(p) > limit {
		return fault.New(fault.PayloadTooLarge, "The arguments have %d bytes; a durable execution may keep %d.", len(p), limit)
	}
	return nil
}

// keyed is an idempotency key: the execution it stands for and a digest of what was asked.
type keyed struct {
	Execution string `json:"execution"`
	Digest    string `json:"digest"`
	w         *write
}

// invokeKeyed starts the execution of an idempotency key, or joins it if there is one. The record of
// the key is part of the execution's first write.
func (t *tenant) invokeKeyed(req *Request, to Replier) (*Execution, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", req.Function, req.encoding(), req.Args))
	digest := hex.EncodeToString(sum[:])
	keySum := sha256.Sum256([]byte(req.Key))
	name := hex.EncodeToString(keySum[:])
	var started *keyed
	var first *Execution
	var fail error
	k, _ := t.pending.Compute(name, func(k *keyed, ok bool) (*keyed, bool) {
		if ok {
			return k, false
		}
		b, err := t.hub.store.Get(idempotencyKey(t.name, name))
		if err == nil {
			k = &keyed{}
			fail = json.Unmarshal(b, k)
			return k, true // known from the store; nothing is pending
		}
		if !errors.Is(err, store.ErrNotFound) {
			fail = err
			return nil, true
		}
		x, w, err := t.start(req, to, func(x *Execution) store.Op {
			v, _ := json.Marshal(keyed{Execution: x.rec.ID, Digest: digest}) // strings
			return store.Op{Key: idempotencyKey(t.name, name), Value: v, TTL: t.hub.cfg.KeyTTL}
		})
		if err != nil {
			fail = err
			return nil, true
		}
		started = &keyed{Execution: x.rec.ID, Digest: digest, w: w}
		first = x
		return started, false
	})
	if fail != nil {
		return nil, fail
	}
	if started != nil {
		_, err := started.w.wait(context.Background())
		t.pending.Delete(name)
		return first, err
	}
	if k == nil { // Compute gives nothing for an entry it deletes
		return t.joinKeyed(name, digest, req, to)
	}
	return t.join(k, digest, req, to)
}

func (t *tenant) joinKeyed(name, digest string, req *Request, to Replier) (*Execution, error) {
	b, err := t.hub.store.Get(idempotencyKey(t.name, name))
	if err != nil {
		return nil, fmt.Errorf("read idempotency key: %w", err)
	}
	k := &keyed{}
	if err := json.Unmarshal(b, k); err != nil {
		return nil, fmt.Errorf("decode idempotency key: %w", err)
	}
	return t.join(k, digest, req, to)
}

// join answers with the execution that a key stands for already.
func (t *tenant) join(k *keyed, digest string, req *Request, to Replier) (*Execution, error) {
	if k.Digest != digest {
		return nil, fault.New(fault.Conflict, "The idempotency key was used for execution %s with another function or other arguments.", k.Execution)
	}
	if k.w != nil {
		if _, err := k.w.wait(context.Background()); err != nil {
			return nil, err
		}
	}
	x, err := t.find(k.Execution)
	if err != nil {
		return nil, err
	}
	if req.Events != nil {
		if err := t.subscribeExecution(&Subscription{t: t, pattern: "execution." + k.Execution, to: req.Events}, k.Execution, Since{Start: true}); err != nil {
			return nil, err
		}
	}
	if to != nil {
		return t.await(k.Execution, to)
	}
	return x, nil
}

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
		if err := a.call.Send(m.Type, m.Data); err != nil {
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

// recover takes up what the last process left: queued executions, and those that ran, which run again
// from their snapshot or their start.
func (h *Hub) recover(ctx context.Context) error {
	type found struct {
		t  *tenant
		id string
	}
	var all []found
	err := h.store.Scan(store.Range{Prefix: queuedPrefix(), KeysOnly: true}, func(k, _ []byte) (bool, error) {
		name, id := executionOfKey(k)
		owner, err := h.registry.Tenant(name)
		if err != nil {
			return true, nil //nolint:nilerr // the tenant was deleted: its executions go with it
		}
		all = append(all, found{h.tenant(owner), id})
		return ctx.Err() == nil, ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("recover executions: %w", err)
	}
	for _, f := range all {
		x, err := f.t.find(f.id)
		if err != nil {
			h.log.Error("recover an execution", "execution", f.id, "error", err)
			continue
		}
		x.mu.Lock()
		again := x.rec.State == Queued
		if x.rec.State == Running || x.rec.State == Pausing {
			again = x.againLocked() // not counted as lost: a stop of the hub is not the function's doing
		}
		x.mu.Unlock()
		if again {
			f.t.admit(x)
		}
	}
	if len(all) > 0 {
		h.log.Info("recovered executions", "count", len(all))
	}
	return nil
}
