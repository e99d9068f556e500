package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
)

// How an execution's events reach its stream: at once for a call, with the store's next group for a
// durable execution.

// historyPage is the number of events that one read of a durable stream's history takes from the store.
const historyPage = 256

// streamLocked gives the execution's stream. A call's is made when first needed, and then begins with
// the call's start.
func (x *Execution) streamLocked(b *nodebridge.Batch) *stream {
	if x.stream != nil {
		return x.stream
	}
	x.stream = newStream(x.t, "execution."+x.rec.ID, x.rec.Epoch, x.rec.Offset)
	if x.durable {
		x.stream.older, x.stream.first = x.readHistory, 1
	} else if x.rec.Offset == 0 {
		x.rec.Offset = 1
		x.stream.publish(&Event{Stream: x.stream.name, Offset: 1, Type: EventStarted, Time: x.rec.StartedAt, Data: lifecycleData(&x.rec)}, b)
	}
	return x.stream
}

// eventFrameLocked publishes an Event frame: u8 n, type (n bytes), data.
func (x *Execution) eventFrameLocked(p []byte, b *nodebridge.Batch) {
	n := 1 + int(p[0])
	x.emitLocked(string(p[1:n]), p[n:], b)
}

// emitLocked publishes what the function emitted. data is borrowed.
func (x *Execution) emitLocked(eventType string, data []byte, b *nodebridge.Batch) {
	a, weight := x.run, weight(eventType, data)
	if limit := x.t.hub.cfg.MaxEvent; len(data) > limit {
		data = fmt.Appendf(nil, `{"level":"error","message":"an event of %d bytes was dropped: the limit is %d","event":%s}`,
			len(data), limit, appendString(nil, eventType))
		eventType = EventLog
	}
	if len(data) > 0 && !json.Valid(data) {
		return // only a process that broke the protocol sends it
	}
	data = bytes.Clone(data)
	s := x.streamLocked(b)
	if !x.durable {
		x.rec.Offset++
		s.publish(&Event{Stream: s.name, Offset: x.rec.Offset, Type: eventType, Time: now(), Data: data}, b)
		a.handedOnLocked(weight)
		return
	}
	if _, queued := x.t.hub.store.Queued(); queued > x.t.hub.cfg.MaxQueued {
		x.dropped++
		a.handedOnLocked(weight)
		return
	}
	if x.dropped > 0 {
		gap := fmt.Appendf(nil, `{"events":%d}`, x.dropped)
		x.dropped = 0
		x.writeEventLocked(EventDropped, gap, 0)
	}
	x.writeEventLocked(eventType, data, weight)
}

// writeEventLocked appends an event to a durable stream; it is published when it is on disk. weight is for
// the flow of the attempt that it is of.
func (x *Execution) writeEventLocked(eventType string, data []byte, weight int) {
	x.rec.Offset++
	ev := &Event{Stream: x.stream.name, Offset: x.rec.Offset, Type: eventType, Time: now(), Data: data}
	s, h, a := x.stream, x.t.hub, x.run
	x.pending++
	h.store.Enqueue([]store.Op{x.eventOp(ev)}, func(err error) {
		x.writtenOne()
		if err != nil {
			h.log.Error("write an event", "execution", x.rec.ID, "offset", ev.Offset, "error", err)
		} else {
			s.publish(ev, &h.batch)
		}
		if weight > 0 {
			x.mu.Lock()
			if x.run == a {
				a.handedOnLocked(weight)
			}
			x.mu.Unlock()
		}
	})
}

func (x *Execution) eventOp(ev *Event) store.Op {
	return store.Op{Key: eventKey(x.t.name, x.rec.ID, ev.Offset), Value: encodeEvent(ev)}
}

// commitLocked writes the decided record together with the lifecycle event that tells of it ("": none).
func (x *Execution) commitLocked(eventType string, after func(err error), more ...store.Op) {
	x.commitDataLocked(eventType, lifecycleData(&x.rec), after, more...)
}

// commitDataLocked is commitLocked for an event with data of its own. Once record and event are on disk
// the record is shown, the event published, those who wait are told of an end or a pause, and after (if
// any) is called.
func (x *Execution) commitDataLocked(eventType string, data []byte, after func(err error), more ...store.Op) {
	s, h := x.streamLocked(nil), x.t.hub
	var ev *Event
	if eventType != "" {
		x.rec.Offset++
		ev = &Event{Stream: s.name, Offset: x.rec.Offset, Type: eventType, Time: now(), Data: data}
		more = append(more, x.eventOp(ev))
	}
	more = append(more, x.timerOpsLocked()...)
	if x.rec.State == Succeeded { // one that failed or was cancelled may be tried again, from its last snapshot
		more = append(more, x.inbox.drop(x, func(*message) bool { return true })...)
	} else {
		more = append(more, x.unwrittenLocked()...)
	}
	letter, dead := x.deadLetterOp()
	if dead {
		more = append(more, letter)
	}
	x.rec.Sent = x.inbox.top
	r := x.rec
	enqueue := h.store.Enqueue
	if x.beginsLocked() {
		enqueue = h.store.Offer
	}
	x.pending++
	enqueue(append(more, x.recordOps(&r)...), func(err error) {
		x.writtenOne()
		if err == nil && r.Timer != 0 {
			h.timers.written(r.Timer)
		}
		if err != nil {
			x.commitFailed(&r, err)
		} else {
			repliers := x.show(&r)
			if ev != nil {
				s.publish(ev, &h.batch)
				x.t.publishLifecycle(r.Function, eventType, ev.Time, ev.Data, &h.batch)
			}
			if r.State.Ended() {
				s.end(&h.batch)
			}
			x.tell(&r, repliers)
			if dead {
				h.spawn(func(ctx context.Context) {
					if err := h.tellDeadLetter(ctx, x.t, r.ID, string(letter.Value)); err != nil && ctx.Err() == nil {
						h.log.Error("tell a dead-letter stream", "tenant", x.t.name, "execution", r.ID, "error", err)
					}
				})
			}
		}
		if after != nil {
			after(err)
		}
		x.evictIfIdle()
		if r.State.Ended() {
			x.overOn(r.Function, r.Version)
		}
	})
}

// writtenOne says that a write of the execution is over.
func (x *Execution) writtenOne() {
	x.mu.Lock()
	x.pending--
	x.mu.Unlock()
}

// enqueueLocked writes what is no transition.
func (x *Execution) enqueueLocked(ops ...store.Op) *write {
	w := newWrite(x.t.hub)
	x.pending++
	x.t.hub.store.Enqueue(ops, func(err error) {
		x.writtenOne()
		if w.err = err; err == nil {
			w.view = View{x.shown.Load()}
		}
		close(w.done)
		x.evictIfIdle()
	})
	return w
}

// show makes r what users see, and gives those who are to be told of it.
func (x *Execution) show(r *Record) (repliers []Replier) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shown.Store(r)
	if r.State.Ended() || r.State == Paused && !movesOn(r.Snapshot) {
		repliers, x.repliers = x.repliers, nil
	}
	return repliers
}

// write is a transition on its way to the disk.
type write struct {
	done chan struct{} // closed once view and err are set
	view View
	err  error
	hub  *Hub
}

func newWrite(h *Hub) *write { return &write{hub: h, done: make(chan struct{})} }

// writeLocked is commitLocked for those who wait for it.
func (x *Execution) writeLocked(eventType string, after func(err error), more ...store.Op) *write {
	w := newWrite(x.t.hub)
	x.commitLocked(eventType, func(err error) {
		w.err = err
		if err == nil {
			w.view = View{x.shown.Load()}
		}
		if after != nil {
			after(err)
		}
		close(w.done)
	}, more...)
	return w
}

// recordOps writes a record, its large payloads once, and its places in the indices that its state
// decides about.
func (x *Execution) recordOps(r *Record) []store.Op {
	var ops []store.Op
	for name, p := range r.payloads() {
		if p != nil && p.blob == "" && len(p.Data) > inlineMax {
			p.blob = name
			ops = append(ops, store.Op{Key: blobKey(x.t.name, r.ID, name), Value: p.Data})
		}
	}
	var blob string
	if r.Snapshot != nil && r.Snapshot.Args != nil {
		blob = r.Snapshot.Args.blob
	}
	if x.blob != blob && x.blob != "" && (r.Args == nil || r.Args.blob != x.blob) {
		ops = append(ops, store.Op{Key: blobKey(x.t.name, r.ID, x.blob), Delete: true})
	}
	x.blob = blob
	if r.State.Ended() {
		ops = append(ops, store.Op{Key: functionKey(x.t.name, r.Function, r.ID), Value: indexValue(r)})
	}
	return append(ops,
		store.Op{Key: executionKey(x.t.name, r.ID), Value: encodeRecord(r)},
		store.Op{Key: queuedKey(x.t.name, r.ID), Delete: !r.atStart()})
}

// atStart reports whether the hub's next start takes the execution up.
func (r *Record) atStart() bool {
	switch r.State {
	case Queued:
		return r.NotBefore == 0 // else its timer does
	case Running, Pausing:
		return true
	case Paused:
		return r.Snapshot != nil && resumesItself(r.Snapshot.Reason)
	default:
		return false
	}
}

// tell answers those who wait, on the committer. One that goes on waiting after a pause is kept.
func (x *Execution) tell(r *Record, repliers []Replier) {
	if len(repliers) == 0 {
		return
	}
	answer := answerOf(r)
	var stay []Replier
	for _, to := range repliers {
		if !to.Reply(&answer, &x.t.hub.batch) {
			stay = append(stay, to)
		}
	}
	if len(stay) > 0 && r.State == Paused {
		x.mu.Lock()
		x.repliers = append(x.repliers, stay...)
		x.mu.Unlock()
	}
}

func answerOf(r *Record) Answer {
	a := Answer{Execution: r.ID, Version: r.Version, State: r.State, Failure: r.Failure}
	if r.Result != nil {
		a.Encoding, a.Result = r.Result.Encoding, r.Result.Data
	}
	return a
}

// commitFailed tells those who wait that the store could not take the record. What was decided stays
// decided in memory; what is shown is what is on disk.
func (x *Execution) commitFailed(r *Record, err error) {
	x.t.hub.log.Error("write an execution", "execution", r.ID, "state", r.State.String(), "error", err)
	x.mu.Lock()
	repliers := x.repliers
	x.repliers = nil
	if x.shown.Load() == nil && r.State == Queued {
		repliers = nil // they have it from start
	}
	x.mu.Unlock()
	answer := Answer{Execution: r.ID, Version: r.Version, State: Failed, Failure: &Failure{
		Code: fault.StorageUnavailable, Message: "The hub could not write the execution's state to its store.",
	}}
	for _, to := range repliers {
		to.Reply(&answer, &x.t.hub.batch)
	}
}

// readHistory reads a page of a durable stream's events after an offset from the store.
func (x *Execution) readHistory(after uint64) ([]*Event, error) {
	return x.t.hub.readEvents(x.t.name, x.rec.ID, after, historyPage)
}

func (h *Hub) readEvents(tenant, id string, after uint64, limit int) (evs []*Event, err error) {
	name := "execution." + id
	err = h.store.Scan(store.Range{Prefix: eventsPrefix(tenant, id), Start: eventKey(tenant, id, after+1)}, func(k, v []byte) (bool, error) {
		ev, err := decodeEvent(name, offsetOfEventKey(k), v)
		if err != nil {
			return false, err
		}
		evs = append(evs, ev)
		return len(evs) < limit, nil
	})
	return evs, err
}

// storedEvent is the JSON behind recordFormat in an event's value; stream and offset are in the key.
type storedEvent struct {
	Type string          `json:"type"`
	Time int64           `json:"time"`
	Data json.RawMessage `json:"data,omitempty"`
}

func encodeEvent(ev *Event) []byte {
	b := make([]byte, 0, len(ev.Type)+len(ev.Data)+48)
	b = append(b, recordFormat)
	b = append(b, `{"type":`...)
	b = appendString(b, ev.Type)
	b = fmt.Appendf(b, `,"time":%d`, ev.Time)
	if len(ev.Data) > 0 {
		b = append(b, `,"data":`...)
		b = append(b, ev.Data...)
	}
	return append(b, '}')
}

func decodeEvent(stream string, offset uint64, b []byte) (*Event, error) {
	var s storedEvent
	if len(b) == 0 || b[0] != recordFormat {
		return nil, fault.New(fault.Internal, "An event of %s has a format that this version of livefn does not know.", stream)
	}
	if err := json.Unmarshal(b[1:], &s); err != nil {
		return nil, fmt.Errorf("decode event %d of %s: %w", offset, stream, err)
	}
	return &Event{Stream: stream, Offset: offset, Type: s.Type, Time: s.Time, Data: s.Data}, nil
}

// lifecycleData is the data of every execution.* event.
func lifecycleData(r *Record) []byte { return lifecycleDataWith(r, r.Failure) }

// lifecycleDataWith is lifecycleData with an error that is not the execution's end.
func lifecycleDataWith(r *Record, failure *Failure) []byte {
	type pause struct {
		Reason string          `json:"reason"`
		Args   json.RawMessage `json:"args,omitempty"`
	}
	out := struct {
		Execution string   `json:"execution"`
		Function  string   `json:"function"`
		Version   int      `json:"version"`
		State     State    `json:"state"`
		Attempt   int      `json:"attempt"`
		Pause     *pause   `json:"pause,omitempty"`
		Error     *Failure `json:"error,omitempty"`
	}{r.ID, r.Function, r.Version, r.State, r.Attempt, nil, failure}
	switch {
	case r.State == Pausing:
		out.Pause = &pause{Reason: r.PauseReason}
	case r.State == Paused && r.Snapshot != nil:
		out.Pause = &pause{Reason: r.Snapshot.Reason}
		if len(r.Snapshot.Args.Data) <= inlineMax {
			out.Pause.Args = r.Snapshot.Args.shownJSON()
		}
	}
	b, err := json.Marshal(out)
	if err != nil { // its fields are strings, numbers and checked JSON
		panic(err)
	}
	return b
}
