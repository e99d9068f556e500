package hub

import (
	"bytes"
	"encoding/json"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
)

// Why a snapshot was made. The first four are asked for by the hub, the others the function's own doing.
const (
	reasonRequest    = "request"
	reasonDrain      = "drain"
	reasonScale      = "scale"
	reasonDeploy     = "deploy"
	reasonFunction   = "function"
	reasonSleep      = "sleep"
	reasonEvent      = "event"
	reasonCheckpoint = "checkpoint"
)

// resumesItself reports whether what paused for a reason goes on as soon as it can: nobody wanted it
// to stay paused.
func resumesItself(reason string) bool {
	return reason == reasonDrain || reason == reasonScale || reason == reasonDeploy
}

// movesOn reports whether what paused goes on at once, in another process: it is nobody's business who waits.
func movesOn(s *Snapshot) bool { return s.Reason == reasonScale || s.Reason == reasonDeploy }

// frameMeta is the meta of a Paused frame or a checkpoint (nodebridge/doc.go).
type frameMeta struct {
	Sleep   *int64   `json:"sleep"` // milliseconds
	Event   string   `json:"event"`
	Timeout *int64   `json:"timeout"` // milliseconds
	Seen    uint64   `json:"seen"`
	Kept    []uint64 `json:"kept"`
}

// splitSnapshot reads a snapshot's frame; ok is false for what only a process that broke the protocol
// sends. args are borrowed.
func splitSnapshot(p []byte) (meta frameMeta, args []byte, ok bool) {
	raw, args, ok := nodebridge.SplitMeta(p)
	if !ok || len(raw) > 0 && json.Unmarshal(raw, &meta) != nil || len(meta.Event) > maxEventType {
		return frameMeta{}, nil, false
	}
	return meta, args, len(args) > 1 && args[0] == '[' && json.Valid(args)
}

// appended gives the snapshot's arguments with one more, undefined if data is empty.
func (s *Snapshot) appended(data json.RawMessage) *Snapshot {
	var args []json.RawMessage
	_ = json.Unmarshal(s.Args.Data, &args) // was read as an array when it was made
	next := &Snapshot{Reason: s.Reason, At: now(), Args: s.Args, Pad: len(args) + 1}
	if len(data) > 0 {
		args = append(args, data)
		b, err := json.Marshal(args)
		if err != nil { // JSON that was checked
			panic(err)
		}
		next.Args = &Payload{Encoding: nodebridge.JSON, Data: b}
	}
	return next
}

// parkLocked takes the resume arguments that the function emitted with paused. Nobody is told before
// the snapshot is on disk. A call becomes durable with this write.
func (x *Execution) parkLocked(p []byte, b *nodebridge.Batch) (after func()) {
	meta, args, ok := splitSnapshot(p)
	if !ok {
		return x.failLocked(&Failure{Code: fault.Internal, Message: "The process sent resume arguments that are none."})
	}
	if len(args) > x.t.hub.cfg.MaxPayload {
		return x.failLocked(&Failure{Code: fault.PayloadTooLarge, Message: "The resume arguments are larger than a snapshot may be."})
	}
	snap := &Snapshot{Reason: x.rec.PauseReason, At: now(), Args: &Payload{Encoding: nodebridge.JSON, Data: bytes.Clone(args)}}
	if meta.Sleep != nil || meta.Event != "" {
		snap.waitFor(meta) // sleeping goes on where a pause was asked for, too: that is how it pauses
	} else if x.rec.State == Running {
		snap.Reason = reasonFunction
	}
	if x.moveLocked(stepPark) != nil {
		return nil
	}
	more := x.heardLocked(meta.Seen, meta.Kept)
	x.rec.PauseReason = ""
	x.rec.Snapshot = snap
	if !x.durable {
		more = append(more, x.becomeDurableLocked(b)...)
	}
	place := x.leaveLocked()
	x.commitLocked(EventPaused, nil, more...)
	switch {
	case snap.Event != "":
		if m, ops := x.takeLocked(snap.Event); m != nil { // it came before the function asked for it
			x.wakeLocked(snap.appended(m.Data), ops...)
		}
	case movesOn(snap):
		x.goesOnLocked(snap)
	}
	return place
}

// waitFor says when, and on what, the execution resumes by itself.
func (s *Snapshot) waitFor(meta frameMeta) {
	after := meta.Sleep
	s.Reason = reasonSleep
	if meta.Event != "" {
		s.Reason, s.Event, after = reasonEvent, meta.Event, meta.Timeout
		s.Pad = s.appended(nil).Pad
	}
	if after != nil {
		s.Until = s.At + max(1, *after)
	}
}

// wakeLocked queues a paused execution again, to go on from s.
func (x *Execution) wakeLocked(s *Snapshot, more ...store.Op) *write {
	_ = x.moveLocked(stepResume) // the caller saw that it is paused
	x.rec.Snapshot = s
	x.rec.Lost = 0
	return x.writeLocked(EventResumed, func(err error) {
		if err == nil {
			x.t.admit(x)
		}
	}, more...)
}

// checkpointLocked takes a Request for a checkpoint: from now on a crash resumes from its arguments.
// A call becomes durable with it.
func (x *Execution) checkpointLocked(number uint32, p []byte, b *nodebridge.Batch) {
	call := &x.run.call
	meta, args, ok := splitSnapshot(p)
	switch {
	case !ok:
		call.RespondFault(number, fault.New(fault.InvalidRequest, "The checkpoint has no arguments."))
		return
	case len(args) > x.t.hub.cfg.MaxPayload:
		call.RespondFault(number, fault.New(fault.PayloadTooLarge, "The checkpoint's arguments have %d bytes; a snapshot may have %d.", len(args), x.t.hub.cfg.MaxPayload))
		return
	}
	if was := x.rec.nextPayload(); was == nil || !bytes.Equal(was.Data, args) {
		x.rec.Lost = 0 // it got on, so bridges that were lost before count no longer
	}
	x.rec.Snapshot = &Snapshot{Reason: reasonCheckpoint, At: now(), Args: &Payload{Encoding: nodebridge.JSON, Data: bytes.Clone(args)}}
	more := x.heardLocked(meta.Seen, meta.Kept)
	if !x.durable {
		more = append(more, x.becomeDurableLocked(b)...)
	}
	x.commitLocked(EventCheckpoint, func(err error) {
		if err != nil {
			call.RespondFault(number, err)
		} else {
			call.Respond(number, nodebridge.StatusOK, nodebridge.Nothing, nil)
		}
	}, more...)
}

// becomeDurableLocked makes a call durable and gives what must be written with its first record: the
// events so far, and those sent to it.
func (x *Execution) becomeDurableLocked(b *nodebridge.Batch) (ops []store.Op) {
	s := x.streamLocked(b)
	x.durable = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.older, s.first = x.readHistory, s.ring[0].Offset
	for _, ev := range s.ring {
		ops = append(ops, x.eventOp(ev))
	}
	ops = append(ops, x.unwrittenLocked()...)
	return append(ops, x.indexOps()...)
}
