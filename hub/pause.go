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

// Pause asks a running execution to pause, and parks a queued one. It gives the state the execution is
// in then: mostly pausing. One that pauses or is paused already stays so, also where it would have gone on
// by itself.
func (h *Hub) Pause(ctx context.Context, owner *tenants.Tenant, id string) (View, error) {
	if err := h.store.Check(); err != nil {
		return View{}, err
	}
	return h.tenant(owner).command(ctx, id, func(x *Execution) (*write, error) { return x.pauseLocked(reasonRequest, 0) })
}

// pauseLocked has the execution pause for a reason, within the function's own limit or, if that is
// shorter and not 0, within limit.
func (x *Execution) pauseLocked(reason string, most time.Duration) (*write, error) {
	switch x.rec.State {
	case Pausing, Paused:
		if reason == reasonRequest {
			return x.stayLocked(), nil
		}
		return nil, nil
	case Queued:
		args, pad := x.rec.nextPayload(), x.rec.pad()
		_ = x.moveLocked(stepPause) // legal: it is queued
		x.rec.Snapshot = &Snapshot{Reason: reason, At: now(), Args: args, Pad: pad}
		return x.writeLocked(EventPaused, nil), nil
	}
	if err := x.moveLocked(stepPause); err != nil {
		return nil, err
	}
	x.rec.PauseReason = reason
	limit := x.t.hub.cfg.PauseTimeout
	if r, err := x.route(); err == nil && r.version.Settings.PauseTimeout > 0 {
		limit = time.Duration(r.version.Settings.PauseTimeout)
	}
	if most > 0 {
		limit = min(limit, most)
	}
	a := x.run
	x.pauseTimer = time.AfterFunc(limit, a.pauseTimeout)
	a.call.Pause(reason, time.Now().Add(limit))
	if x.durable {
		return x.writeLocked(EventPausing, nil), nil
	}
	x.publishCallLocked(EventPausing, lifecycleData(&x.rec))
	return nil, nil
}

// stayLocked has what pauses, or is paused, only for the hub's own reasons stay paused: a person wants it so now.
func (x *Execution) stayLocked() *write {
	switch snap := x.rec.Snapshot; {
	case x.rec.State == Pausing && resumesItself(x.rec.PauseReason):
		x.rec.PauseReason = reasonRequest
	case x.rec.State == Paused && resumesItself(snap.Reason):
		own := *snap // what is shown has the other one
		own.Reason = reasonRequest
		x.rec.Snapshot = &own
	default:
		return nil
	}
	if !x.durable {
		return nil
	}
	return x.writeLocked("", nil)
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
		was := x.rec.Version
		var more []store.Op
		if x.rec.State == Paused && version != 0 {
			r, err := t.routeTo(x.rec.Function, version)
			if err != nil {
				return nil, err
			}
			if !r.version.Enter(false) {
				return nil, errGoing(r.version)
			}
			x.rec.Version = r.version.Number
			more = x.indexOps()
		}
		if _, err := x.rec.State.next(stepResume); err != nil {
			err.(*fault.Fault).Execution = id
			return nil, err
		}
		snap := *x.rec.Snapshot
		snap.Until, snap.Event = 0, ""
		if args != nil {
			snap = Snapshot{Reason: snap.Reason, At: now(), Args: &Payload{Encoding: nodebridge.JSON, Data: args}}
		}
		w := x.wakeLocked(&snap, more...)
		if was != x.rec.Version {
			h.retiring.add(t.name)
		}
		return w, nil
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
			x.abandonLocked()
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

// maxEventType is the number of bytes that an event's type may have.
const maxEventType = 255

// Send sends an event into an execution. When it returns, the event of a durable execution is on disk:
// it is delivered when the execution runs, and again, in order, should it have to run again from
// before. One whose type the execution waits for resumes it.
func (h *Hub) Send(ctx context.Context, owner *tenants.Tenant, id, eventType string, data json.RawMessage) error {
	if eventType == "" || len(eventType) > maxEventType {
		return fault.New(fault.InvalidRequest, "An event's type has 1 to %d bytes.", maxEventType)
	}
	if limit := h.cfg.MaxEvent; len(data) > limit {
		return fault.New(fault.PayloadTooLarge, "The event's data has %d bytes; the limit is %d.", len(data), limit)
	}
	_, err := h.tenant(owner).command(ctx, id, func(x *Execution) (*write, error) {
		return x.sendLocked(Message{eventType, data})
	})
	return err
}
