package hub

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// Start accepts a durable execution: when it returns, the execution is on disk.
func (h *Hub) Start(ctx context.Context, owner *tenants.Tenant, req *Request) (View, error) {
	t := h.tenant(owner)
	if h.draining.Load() && req.Parent == "" {
		return View{}, errDraining
	}
	if req.Parent == "" && req.Trigger == "" { // a trigger would miss what it is refused
		if err := t.admission.admit(owner.Limits()); err != nil {
			return View{}, err
		}
	}
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

// maxPriority bounds priorities: -100 to 100.
const maxPriority = 100

// start decides a durable execution, which is on disk once the write is done, and then goes to a
// bridge as soon as there is a place.
func (t *tenant) start(req *Request, to Replier, more ...func(x *Execution) store.Op) (x *Execution, w *write, err error) {
	if err := t.hub.store.Check(); err != nil {
		return nil, nil, err
	}
	if err := t.checkPayload(req.Args); err != nil {
		return nil, nil, err
	}
	if req.Priority < -maxPriority || req.Priority > maxPriority {
		return nil, nil, fault.New(fault.InvalidRequest, "priority is -%d to %d.", maxPriority, maxPriority)
	}
	r, via, err := t.route(req.Function, req.Key)
	if err != nil {
		return nil, nil, err
	}
	if err := t.checkQueue(r.version.Function); err != nil {
		return nil, nil, err
	}
	x = t.newExecution(r, via, req)
	x.durable = true
	x.rec.State = Queued
	x.rec.Key = req.Key
	x.rec.Priority = req.Priority
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
	ops := x.indexOps()
	for _, f := range more {
		ops = append(ops, f(x))
	}
	t.live.Store(x.rec.ID, x)
	if !r.version.Enter(req.Parent != "") { // must be after Store
		x.discard()
		if next, _, err := t.route(req.Function, req.Key); err == nil && next != r {
			return t.start(req, to, more...) // it was resolved just before
		}
		return nil, nil, errGoing(r.version)
	}
	x.mu.Lock()
	if req.Events != nil {
		x.pacer, _ = req.Events.(Calmer)
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
		if req.Key != "" {
			t.pending.Delete(keyName(req.Key))
		}
	}, ops...)
	x.mu.Unlock()
	return x, w, nil
}

// indexOps gives the entries under which a durable execution is found, apart from its record.
func (x *Execution) indexOps() []store.Op {
	ops := []store.Op{{Key: functionKey(x.t.name, x.rec.Function, x.rec.ID), Value: indexValue(&x.rec)}}
	if x.rec.Parent != "" {
		ops = append(ops, store.Op{Key: childKey(x.t.name, x.rec.Parent, x.rec.ID)})
	}
	return ops
}

func (t *tenant) checkPayload(p []byte) error {
	if limit := t.hub.cfg.MaxPayload; len(p) > limit {
		return fault.New(fault.PayloadTooLarge, "The arguments have %d bytes; a durable execution may keep %d.", len(p), limit)
	}
	return nil
}
