package hub

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// Invoke runs a function for a caller who waits. to is told the answer exactly once (and before that
// perhaps that it paused); on an error it is never told. It may be told before Invoke returns. With a
// key it is a durable execution, at most one per key.
func (h *Hub) Invoke(owner *tenants.Tenant, req *Request, to Replier) (*Execution, error) {
	t := h.tenant(owner)
	if h.draining.Load() && req.Parent == "" { // what runs may still call others, to come to an end
		return nil, errDraining
	}
	if req.Parent == "" {
		if err := t.admission.admit(owner.Limits()); err != nil {
			return nil, err
		}
	}
	if req.Key != "" {
		return t.invokeKeyed(req, to)
	}
	return t.invoke(req, to)
}

// invoke is Invoke for a call that was let in.
func (t *tenant) invoke(req *Request, to Replier) (*Execution, error) {
	h := t.hub
	r, via, err := t.route(req.Function, req.Key)
	if err != nil {
		return nil, err
	}
	x := t.newExecution(r, via, req)
	x.replier[0] = to
	x.repliers = x.replier[:]
	a := &x.first
	a.x = x
	a.call = nodebridge.Call{
		Module: r.module, Execution: x.rec.ID, Args: req.Args, Encoding: req.encoding(), Receiver: a, Meta: callMeta(&x.rec),
		Nested: req.Parent != "",
	}
	x.rec.State = Running
	x.rec.Attempt = 1
	x.rec.StartedAt = x.rec.CreatedAt
	x.run = a
	if n := h.cfg.CallArgs; len(req.Args) <= n {
		x.args = Payload{Encoding: req.encoding(), Data: append(x.argBytes[:0], req.Args...)}
		x.rec.Args = &x.args
	}
	t.live.Store(x.rec.ID, x)
	if !r.version.Enter(req.Parent != "") { // must be after Store
		x.discard()
		if next, _, err := t.route(req.Function, req.Key); err == nil && next != r {
			return t.invoke(req, to) // it was resolved just before
		}
		return nil, errGoing(r.version)
	}

	x.mu.Lock()
	if err := h.bridges.Call(t.name, &a.call); err != nil {
		x.mu.Unlock()
		x.discard()
		return nil, err
	}
	x.pacer, _ = req.Events.(Calmer)
	if req.Events != nil || t.lifecycle.Load() > 0 || t.wildRuns.Load() > 0 {
		x.begunLocked(req.Events)
	}
	x.limitLocked(r.version, req.Timeout)
	x.mu.Unlock()
	return x, nil
}

// begunLocked tells of a call's start to those who look.
func (x *Execution) begunLocked(events Subscriber) {
	var b nodebridge.Batch
	if events != nil {
		sub := &Subscription{t: x.t, pattern: "execution." + x.rec.ID, to: events}
		sub.stream = x.streamLocked(&b)
		sub.stream.attach(sub, Since{Start: true})
	} else if x.t.wildRuns.Load() > 0 {
		x.streamLocked(&b)
	}
	if x.t.lifecycle.Load() > 0 {
		x.t.publishLifecycle(x.rec.Function, EventStarted, x.rec.StartedAt, lifecycleData(&x.rec), &b)
	}
	b.Flush()
}

// discard takes back a call that no bridge was given. Somebody may have cancelled it already; nobody will say
// that its function has ended.
func (x *Execution) discard() {
	x.mu.Lock()
	x.run, x.evicted = nil, true
	x.t.abandoned.remove(&x.first)
	x.mu.Unlock()
	x.t.live.Delete(x.rec.ID)
}

func (t *tenant) newExecution(r *route, via string, req *Request) *Execution {
	x := &Execution{t: t, version: r.version}
	at := now()
	x.rec = Record{
		ID: t.hub.ids.next(at, &x.id), Function: r.version.Function, Version: r.version.Number, Via: via, CreatedAt: at,
		Trigger: strings.Clone(req.Trigger), Caller: req.Caller, Parent: req.Parent, Depth: req.Depth, Traceparent: req.Traceparent, Timeout: req.Timeout.Milliseconds(), Epoch: t.hub.epoch,
	}
	return x
}

// callMeta is the frame's meta (nodebridge/doc.go), nil for a plain first attempt.
func callMeta(r *Record) []byte {
	if r.Attempt <= 1 && r.Snapshot == nil && r.Trigger == "" && r.Caller == "" && r.Traceparent == "" && r.Parent == "" {
		return nil
	}
	b, err := json.Marshal(struct {
		Attempt     int    `json:"attempt,omitempty"`
		Resumed     bool   `json:"resumed,omitempty"`
		Arguments   int    `json:"arguments,omitempty"`
		Trigger     string `json:"trigger,omitempty"`
		Caller      string `json:"caller,omitempty"`
		Parent      string `json:"parent,omitempty"`
		Depth       int    `json:"depth,omitempty"`
		Traceparent string `json:"traceparent,omitempty"`
	}{r.Attempt, r.Snapshot != nil, r.pad(), r.Trigger, r.Caller, r.Parent, r.Depth, r.Traceparent})
	if err != nil { // strings and numbers
		panic(err)
	}
	return b
}

// limitLocked starts the clock of the caller's or the function's own timeout, whichever is shorter.
func (x *Execution) limitLocked(v *tenants.Version, caller time.Duration) {
	limit := time.Duration(v.Settings.Timeout)
	if caller > 0 && (limit == 0 || caller < limit) {
		limit = caller
	}
	if limit == 0 || x.run == nil {
		return
	}
	a := x.run
	x.limitTimer = time.AfterFunc(limit, func() { a.expire(limit) })
}

// expire fails the execution because its time is over, and tells the function.
func (a *attempt) expire(limit time.Duration) {
	x := a.x
	x.mu.Lock()
	if x.run != a || x.t.hub.stopped() {
		x.mu.Unlock()
		return
	}
	call := &a.call
	f := &Failure{Code: fault.Timeout, Message: "The function did not answer within " + limit.String() + "."}
	x.abandonLocked()
	end := x.attemptFailedLocked(f)
	x.mu.Unlock()
	call.Cancel("timeout")
	a.cancelChildren(true)
	end()
}

// Receive takes what the bridge sends back for this attempt. It runs on the bridge's reader.
func (a *attempt) Receive(f nodebridge.Frame, b *nodebridge.Batch) {
	x := a.x
	x.mu.Lock()
	if x.run != a { // an older attempt, or one whose end was decided without it
		admit := x.leaving == a && f.Kind.Final()
		if admit {
			x.leaving = nil
		}
		x.mu.Unlock()
		if f.Kind.Final() && x.t.abandoned.remove(a) {
			x.overOn(x.rec.Function, a.call.Module.Version)
		}
		if admit {
			x.t.admit(x)
			x.evictIfIdle()
		}
		return
	}
	var after func() // what must not be done under x.mu
	switch f.Kind {
	case nodebridge.Result:
		after = x.resultLocked(f.Payload, b)
	case nodebridge.Event:
		x.eventFrameLocked(f.Payload, b)
	case nodebridge.Log:
		x.emitLocked(EventLog, f.Payload, b)
	case nodebridge.Refused:
		x.refusedLocked(f.Payload)
	case nodebridge.Paused:
		after = x.parkLocked(f.Payload, b)
	case nodebridge.Request:
		after = a.requestLocked(f.Payload, b)
	case nodebridge.Error:
		after = x.errorLocked(decodeFailure(f.Payload))
	case nodebridge.Moving:
		if x.rec.State == Running {
			_, _ = x.pauseLocked(reasonScale, 0) // legal: it is running
		}
	case nodebridge.Unstarted:
		after = x.unstartedLocked()
	case nodebridge.Lost:
		after = x.lostLocked(&Failure{Code: fault.BridgeLost, Message: bridgeLost})
	}
	x.mu.Unlock()
	if after != nil {
		after()
	}
}

// resultLocked ends the execution with the result in a Result frame. A call's waiters are told under
// the lock, while the frame's bytes are valid.
func (x *Execution) resultLocked(p []byte, b *nodebridge.Batch) (after func()) {
	enc, body := nodebridge.Encoding(p[0]), p[1:]
	if x.durable {
		if len(body) > x.t.hub.cfg.MaxPayload {
			return x.failLocked(&Failure{Code: fault.PayloadTooLarge, Message: "The result is larger than a durable execution may keep."})
		}
		x.rec.Result = &Payload{Encoding: enc, Data: bytes.Clone(body)}
		return x.endLocked(stepSucceed, EventSucceeded)
	}
	if x.moveLocked(stepSucceed) != nil {
		return nil
	}
	x.evicted = true
	x.callOverLocked(EventSucceeded, b)
	x.t.live.Delete(x.rec.ID)
	x.overOn(x.rec.Function, x.rec.Version)
	x.answer = Answer{Execution: x.rec.ID, Version: x.rec.Version, State: Succeeded, Encoding: enc, Result: body}
	for _, to := range x.repliers {
		to.Reply(&x.answer, b)
	}
	x.answer.Result = nil
	x.repliers = nil
	return nil
}

// callOverLocked publishes the end of a call to whoever looks. It costs nothing when nobody does.
func (x *Execution) callOverLocked(eventType string, b *nodebridge.Batch) {
	if x.stream == nil && x.t.lifecycle.Load() == 0 {
		return
	}
	data := lifecycleData(&x.rec)
	if x.stream != nil {
		x.rec.Offset++
		x.stream.publish(&Event{Stream: x.stream.name, Offset: x.rec.Offset, Type: eventType, Time: x.rec.EndedAt, Data: data}, b)
		x.stream.end(b)
	}
	x.t.publishLifecycle(x.rec.Function, eventType, x.rec.EndedAt, data, b)
}

// failLocked ends the execution as failed (cancelled, if f says so). The caller calls end after it
// has unlocked x.
func (x *Execution) failLocked(f *Failure) (end func()) {
	st, ev := stepFail, EventFailed
	if f.Code == fault.Cancelled {
		st, ev = stepCancel, EventCancelled
	}
	x.rec.Failure = f
	return x.endLocked(st, ev)
}

// endLocked takes a final step other than a call's success. For a call, repliers are told by end; for
// a durable execution, once its record is on disk.
func (x *Execution) endLocked(st step, eventType string) (end func()) {
	if x.moveLocked(st) != nil {
		return func() {}
	}
	if x.durable {
		place := x.leaveLocked()
		x.commitLocked(eventType, nil)
		return place
	}
	var b nodebridge.Batch
	x.evicted = true
	repliers := x.repliers
	x.repliers = nil
	x.callOverLocked(eventType, &b)
	return func() {
		x.t.live.Delete(x.rec.ID)
		x.overOn(x.rec.Function, x.rec.Version)
		answer := Answer{Execution: x.rec.ID, Version: x.rec.Version, State: x.rec.State, Failure: x.rec.Failure}
		for _, to := range repliers {
			to.Reply(&answer, &b)
		}
		b.Flush()
	}
}

// errorLocked ends the execution with an Error frame. A durable execution that found no bridge within
// the time that calls may wait for one has not run: it is queued again.
func (x *Execution) errorLocked(f *Failure) (after func()) {
	if f.Code == fault.Overloaded && x.durable {
		return x.againLocked(x.t.hub.cfg.RetryOverload, nil)
	}
	if f.Code == fault.Stuck || f.Code == fault.OutOfMemory || f.Code == fault.BridgeLost {
		return x.lostLocked(f)
	}
	return x.attemptFailedLocked(f)
}

func decodeFailure(p []byte) *Failure {
	f := &Failure{}
	if err := json.Unmarshal(p, f); err != nil || f.Code == "" {
		return &Failure{Code: fault.FunctionError, Message: string(p)}
	}
	return f
}
