package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
)

// How patterns start executions. A trigger reads the tenant's streams from its position in the store. An
// execution is started with a key made of the trigger and the position of its first event, and the
// position is moved once it is on disk: each event that the streams still have is in an execution, and,
// within a key's life, in one only.

// triggerBuffer is how many events wait for a trigger in memory; it then reads on from the store.
const triggerBuffer = 4096

// inflow is the events of one subscription of a trigger.
type inflow struct {
	mu   sync.Mutex // guards all below
	evs  []*Event
	full bool // events were left: subscribe again from the last one taken
	over bool // the subscription has ended
	more chan struct{}
}

func newInflow() *inflow { return &inflow{more: make(chan struct{}, 1)} }

func (in *inflow) Deliver(sub *Subscription, evs []*Event, _ *nodebridge.Batch) {
	in.mu.Lock()
	for _, ev := range evs {
		if _, ok := sub.PositionOf(ev); !ok {
			continue // of the hub's own streams
		}
		if in.full = in.full || len(in.evs) >= triggerBuffer; !in.full {
			in.evs = append(in.evs, ev)
		}
	}
	in.mu.Unlock()
	in.wake()
}

func (in *inflow) Room(ctx context.Context) error { return ctx.Err() }

func (in *inflow) Ended(*Subscription, *nodebridge.Batch) {
	in.mu.Lock()
	in.over = true
	in.mu.Unlock()
	in.wake()
}

func (in *inflow) wake() {
	select {
	case in.more <- struct{}{}:
	default:
	}
}

// take gives up to n events; done says that there will be no more of this subscription.
func (in *inflow) take(n int) (evs []*Event, done bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	n = min(n, len(in.evs))
	evs, in.evs = in.evs[:n:n], in.evs[n:]
	return evs, len(in.evs) == 0 && (in.full || in.over)
}

// runEvents starts executions for what is published, until ctx ends.
func (l *liveTrigger) runEvents(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.read(ctx); err != nil && ctx.Err() == nil {
			l.h.log.Warn("run a trigger", "tenant", l.owner.Name(), "trigger", l.tr.Name, "error", err)
			sleepFor(ctx, triggerRetry)
		}
	}
}

// read reads one subscription to its end.
func (l *liveTrigger) read(ctx context.Context) error {
	in := newInflow()
	since := Since{Position: l.current().Position}
	sub, err := l.h.Subscribe(l.owner, l.tr.Pattern, since, in)
	if err != nil {
		return err
	}
	defer sub.Close()
	if !sub.Recovered() {
		if err := l.change(ctx, func(s *triggerState) { s.Gaps++ }); err != nil {
			return err
		}
	}
	size, wait := 1, time.Duration(0)
	if b := l.tr.Batch; b != nil {
		if size, wait = b.MaxItems, time.Duration(b.MaxWait); wait == 0 {
			wait = time.Second
		}
	}
	for {
		evs, done := in.take(size)
		if len(evs) == 0 {
			if done {
				return nil
			}
			select {
			case <-in.more:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		for deadline := time.Now().Add(wait); len(evs) < size && !done; {
			left := time.Until(deadline)
			if left <= 0 {
				break
			}
			timer := time.NewTimer(left)
			select {
			case <-in.more:
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			var more []*Event
			more, done = in.take(size - len(evs))
			evs = append(evs, more...)
		}
		for len(evs) > 0 {
			id, taken, err := l.startFor(ctx, sub, evs)
			if err != nil {
				return err
			}
			for len(evs) < taken { // it was started before a crash, with more events than came yet
				more, ended := in.take(taken - len(evs))
				if evs = append(evs, more...); len(more) > 0 {
					continue
				}
				if ended {
					return nil
				}
				select {
				case <-in.more:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			if err := l.moveTo(ctx, sub, evs[taken-1], id); err != nil {
				return err
			}
			evs = evs[taken:]
		}
	}
}

// startFor starts an execution for the first of some events, and says for how many. "" stands for one
// that can't be. If a process before this one has started it and not noted it, it gives that one and the
// number of its events, which may be more than evs.
func (l *liveTrigger) startFor(ctx context.Context, sub *Subscription, evs []*Event) (id string, taken int, err error) {
	first, _ := sub.PositionOf(evs[0]) // Deliver saw that it has one
	args := make([]json.RawMessage, 1)
	if l.tr.Batch != nil {
		args[0], err = json.Marshal(evs)
	} else {
		args[0], err = json.Marshal(evs[0])
	}
	if err != nil {
		return "", 0, err
	}
	body, err := json.Marshal(args)
	if err != nil {
		return "", 0, err
	}
	key := fmt.Sprintf("trigger %s %s", l.current().ID, first)
	v, err := l.h.Start(ctx, l.owner, &Request{Function: l.tr.Function, Args: body, Trigger: l.tr.Name, Key: key})
	taken = len(evs)
	switch {
	case fault.Is(err, fault.PayloadTooLarge) && len(evs) > 1:
		return l.startFor(ctx, sub, evs[:len(evs)/2])
	case fault.Is(err, fault.PayloadTooLarge):
		l.h.log.Error("an event is too large for its trigger", "tenant", l.owner.Name(), "trigger", l.tr.Name, "at", first)
		return "", 1, nil // it would end the same again, and hold up all that follow
	case fault.Is(err, fault.Conflict):
		if v, err = l.h.tenant(l.owner).startedBy(key); err != nil {
			return "", 0, err
		}
		taken = eventsIn(v.r.Args)
	case err != nil:
		why := fault.From(err).Detail
		l.mu.Lock()
		l.state.Error = why
		l.mu.Unlock()
		return "", 0, err
	}
	if l.tr.Ordered {
		if err := l.awaitEnd(ctx, v.ID()); err != nil {
			return "", 0, err
		}
	}
	return v.ID(), taken, nil
}

// eventsIn counts the events in the arguments of an execution that a trigger started.
func eventsIn(args *Payload) int {
	var batch [1][]json.RawMessage
	if json.Unmarshal(args.Data, &batch) == nil && len(batch[0]) > 0 {
		return len(batch[0])
	}
	return 1
}

// moveTo notes that the events up to ev are in executions, the last of them in one; "": it is left.
func (l *liveTrigger) moveTo(ctx context.Context, sub *Subscription, ev *Event, id string) error {
	p, _ := sub.PositionOf(ev)
	return l.change(ctx, func(s *triggerState) {
		if s.Position, s.Error = &p, ""; id == "" {
			s.Missed, s.Error = s.Missed+1, "An event was too large for a durable execution's arguments."
			return
		}
		s.Last, s.Runs = id, s.Runs+1
	})
}

// EventDeadLetter is the type of the event that a dead-letter stream gets.
const EventDeadLetter = "trigger.dead_letter"

// deadLetterOp notes, with the record of an execution that failed, that its trigger's dead-letter stream
// is to be told.
func (x *Execution) deadLetterOp() (op store.Op, ok bool) {
	if x.rec.State != Failed || x.rec.Trigger == "" {
		return op, false
	}
	l := x.t.hub.triggers.named(x.t.name, x.rec.Trigger)
	if l == nil || l.tr.DeadLetter == "" {
		return op, false
	}
	return store.Op{Key: deadLetterKey(x.t.name, x.rec.ID), Value: []byte(l.tr.DeadLetter)}, true
}

// tellDeadLetter publishes what deadLetterOp noted; at the next start if it can't now.
func (h *Hub) tellDeadLetter(ctx context.Context, t *tenant, id, stream string) error {
	v, err := t.look(id)
	if err == nil {
		var data []byte
		if data, err = json.Marshal(map[string]any{"trigger": v.r.Trigger, "execution": id, "function": v.r.Function, "error": v.r.Failure, "args": v.r.Args.shownJSON()}); err != nil {
			return err
		}
		if len(data) > h.cfg.MaxEvent {
			data, _ = json.Marshal(map[string]any{"trigger": v.r.Trigger, "execution": id, "function": v.r.Function, "error": v.r.Failure}) // as above
		}
		if _, err := h.Publish(ctx, t.owner, stream, EventDeadLetter, data); err != nil {
			return err
		}
	} else if !fault.Is(err, fault.NotFound) {
		return err
	}
	return h.store.Commit(ctx, store.Op{Key: deadLetterKey(t.name, id), Delete: true})
}

// tellDeadLetters does what the last process left.
func (h *Hub) tellDeadLetters(ctx context.Context) {
	for _, owner := range h.registry.Tenants() {
		t := h.tenant(owner)
		err := h.store.Scan(store.Range{Prefix: deadLettersPrefix(t.name)}, func(k, stream []byte) (bool, error) {
			_, id := executionOfKey(k)
			return ctx.Err() == nil, h.tellDeadLetter(ctx, t, id, string(stream))
		})
		if err != nil {
			h.log.Error("tell a dead-letter stream", "tenant", t.name, "error", err)
		}
	}
}
