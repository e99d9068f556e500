package hub

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
)

// Message is an event that a client sent to an execution.
type Message struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data,omitempty"`
}

// message is one that the execution keeps. Its number says to the process, and from it, which one is
// meant.
type message struct {
	Message
	number    uint64
	written   bool // it has a key of its own in the store, or is on the way there
	delivered bool // to the current attempt
}

// inbox is the events sent to an execution that its last snapshot does not account for. A function
// that runs again from there gets them again, in order; what it has heard when it pauses or makes a
// checkpoint is let go. Guarded by the execution's mu.
type inbox struct {
	list  []message
	bytes int // of the data
	top   uint64
}

func (in *inbox) add(m Message) *message {
	in.top++
	in.list = append(in.list, message{Message: m, number: in.top})
	in.bytes += len(m.Data)
	return &in.list[len(in.list)-1]
}

// drop lets go of the messages that gone names, and gives what must be deleted from the store.
func (in *inbox) drop(x *Execution, gone func(*message) bool) (ops []store.Op) {
	in.list = slices.DeleteFunc(in.list, func(m message) bool {
		if !gone(&m) {
			return false
		}
		in.bytes -= len(m.Data)
		if m.written {
			ops = append(ops, store.Op{Key: inboxKey(x.t.name, x.rec.ID, m.number), Delete: true})
		}
		return true
	})
	return ops
}

// heardLocked lets go of the messages that the process took and has not kept for a listener to come.
func (x *Execution) heardLocked(seen uint64, kept []uint64) []store.Op {
	return x.inbox.drop(x, func(m *message) bool {
		return m.number <= seen && m.delivered && !slices.Contains(kept, m.number)
	})
}

// unwrittenLocked gives the writes of messages that have none yet: those sent to a call that now
// becomes durable, and those that an older format kept in the record.
func (x *Execution) unwrittenLocked() (ops []store.Op) {
	for i := range x.inbox.list {
		if m := &x.inbox.list[i]; !m.written {
			ops = append(ops, x.messageOp(m))
		}
	}
	return ops
}

func (x *Execution) messageOp(m *message) store.Op {
	m.written = true
	b, err := json.Marshal(m.Message)
	if err != nil { // a string and checked JSON
		panic(fmt.Sprintf("encode a message for %s: %v", x.rec.ID, err))
	}
	return store.Op{Key: inboxKey(x.t.name, x.rec.ID, m.number), Value: append([]byte{recordFormat}, b...)}
}

// sendLocked takes an event for the execution. It is acknowledged once it is safe: when the write it
// gives is done, or at once (nil) if the execution is a call, whose events live as long as its process.
func (x *Execution) sendLocked(m Message) (*write, error) {
	cfg := &x.t.hub.cfg
	switch s := x.rec.Snapshot; {
	case x.rec.State.Ended():
		f := fault.New(fault.Conflict, "The execution is %s.", x.rec.State)
		f.Execution = x.rec.ID
		return nil, f
	case x.rec.State == Paused && s.Event == m.Type && s.Event != "":
		return x.wakeLocked(s.appended(m.Data)), nil
	case x.run == nil && (len(x.inbox.list) >= cfg.MaxInbox || x.inbox.bytes+len(m.Data) > cfg.MaxInboxBytes):
		return nil, fault.New(fault.Overloaded, "The execution does not run, and %d events of %d bytes wait for it already.", len(x.inbox.list), x.inbox.bytes)
	}
	if x.durable {
		if err := x.t.hub.store.Check(); err != nil {
			return nil, err
		}
	}
	var ops []store.Op
	if x.run != nil {
		if err := x.run.call.Send(x.inbox.top+1, m.Type, m.Data); err != nil {
			return nil, err
		}
		ops = x.forgetOldestLocked(len(m.Data))
	}
	kept := x.inbox.add(m)
	kept.delivered = x.run != nil
	if !x.durable {
		return nil, nil
	}
	return x.enqueueLocked(append(ops, x.messageOp(kept))...), nil
}

// forgetOldestLocked makes room for a message of a running function: it has all those before, and the
// newest that fit are kept for the case that it has to run again.
func (x *Execution) forgetOldestLocked(size int) (ops []store.Op) {
	cfg, in := &x.t.hub.cfg, &x.inbox
	for n := len(in.list); n > 0 && (n >= cfg.MaxInbox || in.bytes+size > cfg.MaxInboxBytes); n-- {
		oldest := in.list[0].number
		ops = append(ops, in.drop(x, func(m *message) bool { return m.number == oldest })...)
	}
	return ops
}

// deliverLocked hands all kept messages to a new attempt.
func (x *Execution) deliverLocked(call *nodebridge.Call) {
	for i := range x.inbox.list {
		m := &x.inbox.list[i]
		m.delivered = true
		if err := call.Send(m.number, m.Type, m.Data); err != nil {
			m.delivered = false // it stays for the next attempt
			x.t.hub.log.Error("deliver a kept event", "execution", x.rec.ID, "type", m.Type, "error", err)
		}
	}
}

// takeLocked takes the oldest message of a type out of the inbox; nil if there is none.
func (x *Execution) takeLocked(eventType string) (m *message, ops []store.Op) {
	for i := range x.inbox.list {
		if x.inbox.list[i].Type == eventType {
			taken := x.inbox.list[i]
			return &taken, x.inbox.drop(x, func(m *message) bool { return m.number == taken.number })
		}
	}
	return nil, nil
}

// readInbox loads the messages of an execution that comes back into memory.
func (x *Execution) readInbox() error {
	x.inbox.top = x.rec.Sent
	for _, m := range x.rec.Inbox {
		x.inbox.add(m)
	}
	x.rec.Inbox = nil
	return x.t.hub.store.Scan(store.Range{Prefix: inboxPrefix(x.t.name, x.rec.ID)}, func(k, v []byte) (bool, error) {
		var m Message
		if len(v) == 0 || v[0] != recordFormat {
			return false, fault.New(fault.Internal, "An event kept for %s has a format that this version of livefn does not know.", x.rec.ID)
		}
		if err := json.Unmarshal(v[1:], &m); err != nil {
			return false, fmt.Errorf("decode an event kept for %s: %w", x.rec.ID, err)
		}
		top := x.inbox.top
		kept := x.inbox.add(m)
		kept.number, kept.written = offsetOfEventKey(k), true
		x.inbox.top = max(top, kept.number)
		return true, nil
	})
}
