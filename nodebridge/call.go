package nodebridge

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// Receiver is told what comes back for one call.
type Receiver interface {
	// Receive is called for each frame of the call, in order, on the goroutine that reads the bridge
	// (or, for a call that waited and never reached a bridge, on one of the pool: then its only frame
	// is Lost, or Error with code overloaded or payload_too_large).
	// It must not block, and must not keep f.Payload if that has MaxPayload bytes or fewer; a larger one came in a
	// message, whose memory is nobody else's. After a final frame (Result, Error, Paused,
	// Lost) nothing more comes, but for a Moving that was under way. Lost and Moving have no payload; Moving
	// may come on another goroutine at any time. Kinds: those of doc.go that carry a call's id.
	Receive(f Frame, b *Batch)
}

// Carrier takes frames to the process that runs a call. Bridge is one; tests of package hub have another.
type Carrier interface {
	// Carry appends a frame of an accepted call to what goes to the process; it copies payload and
	// never blocks. Frames for a call that has ended are dropped.
	Carry(kind Kind, id uint32, payload []byte)
}

// Call is one call of a module. The caller fills the exported fields and hands it to Fleet.Call; it
// must not change them until the final frame came. It may be embedded.
type Call struct {
	Module    *Module
	Execution string // the execution's id, shown to the function; at most 255 bytes
	Meta      []byte // JSON as in doc.go; nil for a plain first attempt
	Args      []byte // valid until Fleet.Call returns
	Encoding  Encoding
	Receiver  Receiver
	Nested    bool // a call within a call: the tenant's MaxConcurrency does not hold for it, or it could wait for itself

	link callLink
}

// Accept is for Carriers: it ties the call to the carrier under which it runs.
func (c *Call) Accept(carrier Carrier, id uint32) {
	for _, f := range c.link.set(carrier, id) {
		carrier.Carry(f.kind, id, f.payload)
	}
}

// Pause asks the function to pause. reason is one of contract's: request, drain, scale, deploy.
func (c *Call) Pause(reason string, deadline time.Time) {
	b, _ := json.Marshal(struct {
		Reason   string `json:"reason"`
		Deadline int64  `json:"deadline"`
	}{reason, deadline.UnixMilli()})
	c.link.carry(Pause, b)
}

// Cancel tells the function that its execution was cancelled; it aborts hub.signal.
func (c *Call) Cancel(reason string) {
	b, _ := json.Marshal(struct {
		Reason string `json:"reason"`
	}{reason})
	c.link.carry(Cancel, b)
}

// Taken says that so many more events which a generator yielded have been handed on.
func (c *Call) Taken(events uint32) {
	c.link.carry(Taken, binary.LittleEndian.AppendUint32(nil, events))
}

// Send delivers an event to the function. data is JSON, or empty for undefined. number is the event's
// within its execution, from 1 and rising, or 0 for one that the hub does not keep.
// Faults: invalid_request for a type over 255 bytes, and what a Bridge says that has no room:
// payload_too_large, overloaded. For a call that has ended, Send does nothing.
func (c *Call) Send(number uint64, eventType string, data []byte) error {
	if len(eventType) > 255 {
		return fault.New(fault.InvalidRequest, "The event's type has %d bytes; 255 is the limit.", len(eventType))
	}
	b := make([]byte, 0, 9+len(eventType)+len(data))
	b = binary.LittleEndian.AppendUint64(b, number)
	b = append(b, byte(len(eventType)))
	b = append(b, eventType...)
	b = append(b, data...)
	if err := c.link.room(len(b)); err != nil {
		return err
	}
	c.link.carry(Send, b)
	return nil
}
