package hub

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// What a function asks of the hub while it runs: Request frames and their answers. A child that it
// invokes runs in a bridge of the same tenant, so mostly in the same process; its arguments and its
// result are copies, as for any caller.

// children are the executions that one attempt waits for. It has a lock of its own, since a child that
// ends has its own lock and must not wait for its parent's.
type children struct {
	used atomic.Bool // false: there never was one

	mu   sync.Mutex // guards live
	live map[*childReply]*Execution
}

func (c *children) add(r *childReply, x *Execution) {
	c.used.Store(true)
	c.mu.Lock()
	if c.live == nil {
		c.live = map[*childReply]*Execution{}
	}
	c.live[r] = x
	c.mu.Unlock()
}

func (c *children) remove(r *childReply) {
	c.mu.Lock()
	delete(c.live, r)
	c.mu.Unlock()
}

func (c *children) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.live)
}

// cancelChildren cancels the executions that this attempt waits for: all, or those that are calls and
// so have nobody left who wants them.
func (a *attempt) cancelChildren(durable bool) {
	a.children.mu.Lock()
	live := a.children.live
	a.children.live = nil
	a.children.mu.Unlock()
	if len(live) == 0 {
		return
	}
	t := a.x.t
	t.hub.spawn(func(ctx context.Context) {
		for _, x := range live {
			x.mu.Lock()
			skip := x.durable && !durable
			x.mu.Unlock()
			if !skip {
				_, _ = t.hub.Cancel(ctx, t.owner, x.rec.ID) // one that has just ended need not be cancelled
			}
		}
	})
}

// requestLocked takes a Request of the function.
func (a *attempt) requestLocked(p []byte, b *nodebridge.Batch) (after func()) {
	x := a.x
	number, op, body := nodebridge.SplitRequest(p)
	switch op {
	case nodebridge.OpCheckpoint:
		x.checkpointLocked(number, body, b)
		return nil
	case nodebridge.OpInvoke:
		return func() { a.invoke(number, body) }
	case nodebridge.OpStart:
		return func() { a.start(number, body) }
	case nodebridge.OpPublish:
		return func() { a.publish(number, body) }
	}
	a.call.RespondFault(number, fault.New(fault.InvalidRequest, "There is no request %d.", op))
	return nil
}

// childRequest is the JSON of a Request to invoke or start.
type childRequest struct {
	Function string          `json:"function"`
	Args     json.RawMessage `json:"args"`
	Key      string          `json:"key"`
	Delay    int64           `json:"delay"` // milliseconds
	Priority int             `json:"priority"`
}

// child reads a Request for another execution.
func (a *attempt) child(number uint32, body []byte) *Request {
	var in childRequest
	if err := json.Unmarshal(body, &in); err != nil || in.Function == "" {
		a.call.RespondFault(number, fault.New(fault.InvalidRequest, "The first argument is the name of a function."))
		return nil
	}
	x := a.x
	if limit := x.t.hub.cfg.MaxDepth; x.rec.Depth+1 > limit { // neither changes
		a.call.RespondFault(number, fault.New(fault.InvalidRequest, "Functions that call each other are %d deep, which is the limit.", limit))
		return nil
	}
	return &Request{
		Function: in.Function, Args: in.Args, Key: OwnKey(in.Key), Delay: time.Duration(in.Delay) * time.Millisecond, Priority: in.Priority,
		Traceparent: childTrace(x.rec.Traceparent, x.rec.ID), Parent: x.rec.ID, Depth: x.rec.Depth + 1, Caller: x.rec.Caller,
	}
}

// childTrace is the traceparent of what an execution calls: the same trace, with the execution as the
// parent (W3C Trace Context, section 3.2). One that has not the form of version 00 is passed on as it is.
func childTrace(traceparent, id string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) != 4 || len(parts[2]) != 16 {
		return traceparent
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	parts[2] = hex.EncodeToString(h.Sum(nil))
	return strings.Join(parts, "-")
}

// invoke calls another function for this one.
func (a *attempt) invoke(number uint32, body []byte) {
	req := a.child(number, body)
	if req == nil {
		return
	}
	if n := a.children.len(); n >= a.x.t.hub.cfg.MaxChildren {
		a.call.RespondFault(number, fault.New(fault.Overloaded, "The execution waits for %d others already.", n))
		return
	}
	to := &childReply{parent: a, number: number}
	x, err := a.x.t.hub.Invoke(a.x.t.owner, req, to)
	if err != nil {
		a.call.RespondFault(number, err)
		return
	}
	a.children.add(to, x)
	if to.over.Load() { // it ended before it was added
		a.children.remove(to)
	}
	a.x.mu.Lock()
	current := a.x.run == a
	a.x.mu.Unlock()
	if !current { // the parent ended meanwhile, and cancelled the children that it knew
		a.cancelChildren(false)
	}
}

// childReply answers a parent's Request with the child's end.
type childReply struct {
	parent *attempt
	number uint32
	over   atomic.Bool
}

// Reply passes the child's end on. While the child is paused, its parent goes on waiting.
func (r *childReply) Reply(a *Answer, _ *nodebridge.Batch) (done bool) {
	if a.State == Paused {
		return false
	}
	r.over.Store(true)
	r.parent.children.remove(r)
	if a.State == Succeeded {
		r.parent.call.Respond(r.number, nodebridge.StatusOK, a.Encoding, a.Result)
	} else {
		b, _ := json.Marshal(a.Failure) // strings
		r.parent.call.Respond(r.number, nodebridge.StatusFault, nodebridge.JSON, b)
	}
	return true
}

// start starts a durable child.
func (a *attempt) start(number uint32, body []byte) {
	req := a.child(number, body)
	if req == nil {
		return
	}
	a.ask(number, func(ctx context.Context) (any, error) {
		v, err := a.x.t.hub.Start(ctx, a.x.t.owner, req)
		if err != nil {
			return nil, err
		}
		return startedChild{v.ID()}, nil
	})
}

// startedChild is the answer to a start.
type startedChild struct {
	Execution string `json:"execution"`
}

// ask answers a Request with what f gives, which may wait.
func (a *attempt) ask(number uint32, f func(ctx context.Context) (any, error)) {
	if limit := a.x.t.hub.cfg.MaxChildren; int(a.asked.Add(1)) > limit {
		a.asked.Add(-1)
		a.call.RespondFault(number, fault.New(fault.Overloaded, "The execution waits for %d answers already.", limit))
		return
	}
	a.x.t.hub.spawn(func(ctx context.Context) {
		defer a.asked.Add(-1)
		v, err := f(ctx)
		if err != nil {
			a.call.RespondFault(number, err)
			return
		}
		b, err := json.Marshal(v)
		if err != nil { // strings and numbers
			panic(err)
		}
		a.call.Respond(number, nodebridge.StatusOK, nodebridge.JSON, b)
	})
}
