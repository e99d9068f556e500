package hub

import (
	"context"
	"encoding/json"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// reasonRequest and reasonFunction say why an execution paused: somebody asked, or it did so by itself.
const (
	reasonRequest  = "request"
	reasonFunction = "function"
)

// Pause asks a running execution to pause, and parks a queued one. It gives the state the execution is
// in then: mostly pausing. One that pauses or is paused already is left as it is.
func (h *Hub) Pause(ctx context.Context, owner *tenants.Tenant, id string) (View, error) {
	if err := h.store.Check(); err != nil {
		return View{}, err
	}
	return h.tenant(owner).command(ctx, id, func(x *Execution) (*write, error) { return x.pauseLocked() })
}

func (x *Execution) pauseLocked() (*write, error) {
	switch x.rec.State {
	case Pausing, Paused:
		return nil, nil
	case Queued:
		args := x.rec.nextPayload()
		_ = x.moveLocked(stepPause) // legal: it is queued
		x.rec.Snapshot = &Snapshot{Reason: reasonRequest, At: now(), Args: args}
		return x.writeLocked(EventPaused, nil), nil
	}
	if err := x.moveLocked(stepPause); err != nil {
		return nil, err
	}
	x.rec.PauseReason = reasonRequest
	limit := x.t.hub.cfg.PauseTimeout
	if r, err := x.t.route(versionRef(x.rec.Function, x.rec.Version)); err == nil && r.version.Settings.PauseTimeout > 0 {
		limit = time.Duration(r.version.Settings.PauseTimeout)
	}
	a := x.run
	x.pauseTimer = time.AfterFunc(limit, a.pauseTimeout)
	a.call.Pause(reasonRequest, time.Now().Add(limit))
	if x.durable {
		return x.writeLocked(EventPausing, nil), nil
	}
	x.publishCallLocked(EventPausing, lifecycleData(&x.rec))
	return nil, nil
}

// publishCallLocked publishes a lifecycle event of a call to whoever looks.
func (x *Execution) publishCallLocked(eventType string, data []byte) {
	var b nodebridge.Batch
	if x.stream != nil {
		x.rec.Offset++
		x.stream.publish(&Event{Stream: x.stream.name, Offset: x.rec.Offset, Type: eventType, Time: now(), Data: data}, &b)
	}
	x.t.publishLifecycle(x.rec.Function, eventType, now(), data, &b)
	b.Flush()
}

// pauseTimeout lets the execution go on: it did not pause in time.
func (a *attempt) pauseTimeout() {
	x := a.x
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.run == a && x.rec.State == Pausing && !x.t.hub.stopped() {
		x.goOnLocked(EventPauseTimeout, nil)
	}
}

// goOnLocked takes the pause back.
func (x *Execution) goOnLocked(eventType string, why *Failure) {
	if x.rec.State == Pausing {
		_ = x.moveLocked(stepGoOn) // legal: it is pausing
		x.rec.PauseReason = ""
	}
	data := lifecycleDataWith(&x.rec, why)
	if x.durable {
		x.commitDataLocked(eventType, data, nil)
	} else {
		x.publishCallLocked(eventType, data)
	}
}

// refusedLocked takes a Refused frame: the function's resume arguments have no JSON form.
func (x *Execution) refusedLocked(p []byte) {
	var why struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(p, &why) != nil {
		return // only a process that broke the protocol sends it
	}
	if !x.durable {
		var b nodebridge.Batch
		x.streamLocked(&b) // who looks later must find why
		b.Flush()
	}
	x.goOnLocked(EventPauseRefused, &Failure{Code: fault.ResultNotSerializable, Message: why.Message})
}

// parkLocked takes the resume arguments that the function emitted with paused. Nobody is told before
// the snapshot is on disk. A call becomes durable with this write.
func (x *Execution) parkLocked(args *Payload, b *nodebridge.Batch) (after func()) {
	if limit := x.t.hub.cfg.MaxPayload; len(args.Data) > limit {
		return x.failLocked(&Failure{Code: fault.PayloadTooLarge, Message: "The resume arguments are larger than a snapshot may be."})
	}
	reason := x.rec.PauseReason
	if x.rec.State == Running {
		reason = reasonFunction
	}
	if x.moveLocked(stepPark) != nil {
		return nil
	}
	x.rec.PauseReason = ""
	x.rec.Snapshot = &Snapshot{Reason: reason, At: now(), Args: args}
	var more []store.Op
	if !x.durable {
		more = x.becomeDurableLocked(b)
	}
	place := x.leaveLocked()
	x.commitLocked(EventPaused, nil, more...)
	return place
}

// becomeDurableLocked makes a call durable and gives what must be written with its first record: the
// events so far.
func (x *Execution) becomeDurableLocked(b *nodebridge.Batch) (ops []store.Op) {
	s := x.streamLocked(b)
	x.durable = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.older, s.first = x.readHistory, s.ring[0].Offset
	for _, ev := range s.ring {
		ops = append(ops, x.eventOp(ev))
	}
	return append(ops, store.Op{Key: functionKey(x.t.name, x.rec.Function, x.rec.ID)})
}

// Resume queues a paused execution again, with other arguments than it paused with if args is not
// nil, and on another version if version is not 0. Of two resumes one wins; the other is a conflict.
func (h *Hub) Resume(ctx context.Context, owner *tenants.Tenant, id string, args json.RawMessage, version int) (View, error) {
	if err := h.store.Check(); err != nil {
		return View{}, err
	}
	t := h.tenant(owner)
	if err := t.checkPayload(args); err != nil {
		return View{}, err
	}
	return t.command(ctx, id, func(x *Execution) (*write, error) {
		if x.rec.State == Paused && version != 0 {
			r, err := t.route(versionRef(x.rec.Function, version))
			if err != nil {
				return nil, err
			}
			x.rec.Version = r.version.Number
		}
		if err := x.moveLocked(stepResume); err != nil {
			return nil, err
		}
		if args != nil {
			x.rec.Snapshot = &Snapshot{Reason: x.rec.Snapshot.Reason, At: now(), Args: &Payload{Encoding: nodebridge.JSON, Data: args}}
		}
		x.rec.Lost = 0
		return x.writeLocked(EventResumed, func(err error) {
			if err == nil {
				t.admit(x)
			}
		}), nil
	})
}

// Cancel ends an execution that has not ended: a running function is told and its answer dropped.
func (h *Hub) Cancel(ctx context.Context, owner *tenants.Tenant, id string) (View, error) {
	var told func()
	v, err := h.tenant(owner).command(ctx, id, func(x *Execution) (*write, error) {
		if _, err := x.rec.State.next(stepCancel); err != nil {
			err.(*fault.Fault).Execution = id
			return nil, err
		}
		if a := x.run; a != nil {
			a.call.Cancel(reasonRequest)
		}
		x.rec.Failure = &Failure{Code: fault.Cancelled, Message: "The execution was cancelled."}
		if !x.durable {
			told = x.endLocked(stepCancel, EventCancelled)
			return nil, nil
		}
		_ = x.moveLocked(stepCancel) // checked above
		told = x.leaveLocked()
		return x.writeLocked(EventCancelled, nil), nil
	})
	if told != nil {
		told()
	}
	return v, err
}

// Send sends an event into an execution. For one that is queued or paused it is kept, on disk, until
// the execution runs.
func (h *Hub) Send(ctx context.Context, owner *tenants.Tenant, id, eventType string, data json.RawMessage) error {
	if eventType == "" || len(eventType) > 255 {
		return fault.New(fault.InvalidRequest, "An event's type has 1 to 255 bytes.")
	}
	if limit := h.cfg.MaxEvent; len(data) > limit {
		return fault.New(fault.PayloadTooLarge, "The event's data has %d bytes; the limit is %d.", len(data), limit)
	}
	_, err := h.tenant(owner).command(ctx, id, func(x *Execution) (*write, error) {
		switch {
		case x.run != nil:
			return nil, x.run.call.Send(0, eventType, data)
		case x.rec.State.Ended():
			f := fault.New(fault.Conflict, "The execution is %s.", x.rec.State)
			f.Execution = id
			return nil, f
		case h.store.Check() != nil:
			return nil, h.store.Check()
		case len(x.rec.Inbox) >= h.cfg.MaxInbox:
			return nil, fault.New(fault.Overloaded, "The execution does not run and %d events wait for it already.", len(x.rec.Inbox))
		}
		x.rec.Inbox = append(x.rec.Inbox[:len(x.rec.Inbox):len(x.rec.Inbox)], Message{eventType, data})
		return x.writeLocked("", nil), nil
	})
	return err
}

// PauseFunction pauses all executions of a function that run or wait to run; it gives their number.
func (h *Hub) PauseFunction(ctx context.Context, owner *tenants.Tenant, fn string) (int, error) {
	if _, err := owner.Function(fn); err != nil {
		return 0, err
	}
	if err := h.store.Check(); err != nil {
		return 0, err
	}
	t, n := h.tenant(owner), 0
	var ids []string
	t.live.Range(func(id string, x *Execution) bool {
		if x.rec.Function == fn { // never changes
			ids = append(ids, id)
		}
		return true
	})
	for _, id := range ids {
		if v, err := h.Pause(ctx, owner, id); err == nil && (v.State() == Pausing || v.State() == Paused) {
			n++
		}
	}
	return n, ctx.Err()
}

// ResumeFunction resumes all paused executions of a function; it gives their number.
func (h *Hub) ResumeFunction(ctx context.Context, owner *tenants.Tenant, fn string) (int, error) {
	if _, err := owner.Function(fn); err != nil {
		return 0, err
	}
	if err := h.store.Check(); err != nil {
		return 0, err
	}
	t, n := h.tenant(owner), 0
	var ids []string
	err := h.store.Scan(store.Range{Prefix: functionPrefix(t.name, fn), KeysOnly: true}, func(k, _ []byte) (bool, error) {
		_, id := executionOfKey(k)
		ids = append(ids, id)
		return ctx.Err() == nil, ctx.Err()
	})
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if v, err := t.look(id); err != nil || v.State() != Paused {
			continue
		}
		if _, err := h.Resume(ctx, owner, id, nil, 0); err == nil {
			n++
		}
	}
	return n, nil
}
