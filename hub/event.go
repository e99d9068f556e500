package hub

import (
	"encoding/json"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/livefn/livefn/nodebridge"
)

// The built-in event types. Functions emit any other.
const (
	EventQueued       = "execution.queued"
	EventStarted      = "execution.started"
	EventPausing      = "execution.pausing"
	EventPaused       = "execution.paused"
	EventPauseTimeout = "execution.pause_timeout"
	EventPauseRefused = "execution.pause_refused" // the resume arguments have no JSON form; it goes on
	EventCheckpoint   = "execution.checkpoint"
	EventResumed      = "execution.resumed"
	EventRetrying     = "execution.retrying"
	EventSucceeded    = "execution.succeeded"
	EventFailed       = "execution.failed"
	EventCancelled    = "execution.cancelled"
	EventDropped      = "execution.events_dropped" // the store could not keep up: so many events are missing here
	EventLog          = "log"
	EventYield        = "yield"
)

// The event types of hub.bridges.
const (
	EventBridgeStarted  = bridgeEvent + string(nodebridge.BridgeStarted)
	EventBridgeReady    = bridgeEvent + string(nodebridge.BridgeReady)
	EventBridgeMeasured = bridgeEvent + string(nodebridge.BridgeMeasured)
	EventBridgeDraining = bridgeEvent + string(nodebridge.BridgeDraining)
	EventBridgeEnded    = bridgeEvent + string(nodebridge.BridgeEnded)

	bridgeEvent = "bridge."
)

// Event is one immutable entry of a stream.
type Event struct {
	Stream string
	Offset uint64 // the first event of a stream has 1
	Type   string
	Time   int64  // milliseconds since 1970
	Data   []byte // JSON, or empty for none

	CloudEvent []byte // attributes of the CloudEvent that it came as, a JSON object; empty: it came as none

	number uint64 // in the journal of its tenant; 0: of the hub's own streams
	passes bool   // its stream does not keep it
	stored bool   // of a durable stream of a tenant's
	gone   bool   // its stream's history has it no longer; guarded by the journal's lock

	members atomic.Pointer[[]byte]
	placed  atomic.Pointer[[]byte]
}

// Members gives the event as the members of a JSON object, without its braces:
//
//	"stream":"execution.01…","offset":3,"type":"progress","time":"2026-01-02T03:04:05.678Z","data":{…}
//
// It is encoded once, however many subscribers there are. The caller must not change it.
func (ev *Event) Members() []byte {
	if p := ev.members.Load(); p != nil {
		return *p
	}
	b := make([]byte, 0, len(ev.Stream)+len(ev.Type)+len(ev.Data)+96)
	b = append(b, `"stream":"`...)
	b = append(b, ev.Stream...) // names need no escapes
	b = append(b, `","offset":`...)
	b = strconv.AppendUint(b, ev.Offset, 10)
	b = append(b, `,"type":`...)
	b = appendString(b, ev.Type)
	b = append(b, `,"time":"`...)
	b = appendTime(b, ev.Time)
	b = append(b, `","data":`...)
	if len(ev.Data) == 0 {
		b = append(b, `null`...)
	} else {
		b = append(b, ev.Data...)
	}
	if len(ev.CloudEvent) > 0 {
		b = append(append(b, `,"cloudevent":`...), ev.CloudEvent...)
	}
	ev.members.Store(&b)
	return b
}

// placedMembers is Members with the event's position among all of its tenant's.
func (ev *Event) placedMembers(epoch string) []byte {
	if p := ev.placed.Load(); p != nil {
		return *p
	}
	m := ev.Members()
	b := make([]byte, 0, len(m)+len(epoch)+56)
	b = append(append(b, m...), `,"position":{"epoch":"`...)
	b = append(append(b, epoch...), `","offset":`...)
	b = append(strconv.AppendUint(b, ev.number, 10), '}')
	ev.placed.Store(&b)
	return b
}

// MarshalJSON gives Members in braces.
func (ev *Event) MarshalJSON() ([]byte, error) {
	m := ev.Members()
	b := make([]byte, 0, len(m)+2)
	b = append(b, '{')
	b = append(b, m...)
	return append(b, '}'), nil
}

// size is what the event weighs in a ring, in bytes.
func (ev *Event) size() int { return len(ev.Data) + len(ev.Type) + len(ev.CloudEvent) + 64 }

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

func appendTime(b []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(b, timeLayout)
}

func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			q, _ := json.Marshal(s) // a string always has a JSON form
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
