package nodebridge

import "encoding/binary"

// roundData is how many bytes of large messages one write takes, so that small frames never wait long.
const roundData = 256 << 10

// outgoing collects what goes to a process: small frames in one buffer, large messages beside it,
// and frames that must not overtake a message of their call. Its Bridge's mu guards it.
type outgoing struct {
	buf     []byte // frames to be written
	open    []*transfer
	waiting []*transfer          // for a place among open
	holds   map[uint64]*transfer // by callKey or moduleKey
	next    uint32               // the last transfer's id
	bulk    int                  // bytes of open, waiting and held back
}

// transfer is a large message on its way out.
type transfer struct {
	id     uint32
	body   []byte // kind, id, payload
	begun  bool
	sent   int
	credit int
	keys   []uint64 // whose later frames wait in after
	after  []later
}

// later is a frame that waits for a transfer.
type later struct {
	key  uint64
	body []byte
}

func callKey(id uint32) uint64       { return uint64(id) }
func moduleKey(handle uint32) uint64 { return 1<<32 | uint64(handle) }

// queued is how many bytes wait.
func (o *outgoing) queued() int { return len(o.buf) + o.bulk }

// fits reports whether a frame of key with a payload of n bytes can go straight into buf.
func (o *outgoing) fits(key uint64, n int) bool {
	return n <= MaxPayload && (len(o.holds) == 0 || o.holds[key] == nil)
}

// add takes a frame.
func (o *outgoing) add(key uint64, kind Kind, id uint32, payload []byte) {
	if o.fits(key, len(payload)) {
		o.buf = appendFrame(o.buf, kind, id, payload)
		return
	}
	o.addBody(key, appendBody(make([]byte, 0, bodyHead+len(payload)), kind, id, payload))
}

// addBody takes a frame's body; it keeps it if the frame is large or must wait.
func (o *outgoing) addBody(key uint64, body []byte) {
	if t := o.holds[key]; t != nil {
		t.after = append(t.after, later{key, body})
		o.bulk += len(body)
		return
	}
	if len(body) <= maxLength {
		o.buf = binary.LittleEndian.AppendUint32(o.buf, uint32(len(body)))
		o.buf = append(o.buf, body...)
		return
	}
	o.next++
	t := &transfer{id: o.next, body: body, credit: Window}
	o.bulk += len(body)
	o.hold(key, t)
	if len(o.open) < MaxMessages {
		o.open = append(o.open, t)
	} else {
		o.waiting = append(o.waiting, t)
	}
}

// hold makes the later frames of key wait for t.
func (o *outgoing) hold(key uint64, t *transfer) {
	if o.holds == nil {
		o.holds = map[uint64]*transfer{}
	}
	o.holds[key] = t
	t.keys = append(t.keys, key)
}

// holdBehind makes the frames of key wait for what those of other wait for, if they do.
func (o *outgoing) holdBehind(key, other uint64) {
	if t := o.holds[other]; t != nil {
		o.hold(key, t)
	}
}

// grant takes Credit from the process.
func (o *outgoing) grant(id, n uint32) {
	for _, t := range o.open {
		if t.id == id {
			t.credit = min(t.credit+int(n), len(t.body)) // more would mean nothing
		}
	}
}

// take gives what can be written now, and keeps spare in its place.
func (o *outgoing) take(spare []byte) []byte {
	for room := roundData; room > 0 && len(o.open) > 0; {
		moved := 0
		for i := 0; i < len(o.open); {
			n := o.data(o.open[i])
			moved += n
			if o.open[i].sent == len(o.open[i].body) {
				o.complete(i)
			} else {
				i++
			}
		}
		if moved == 0 {
			break
		}
		room -= moved
	}
	buf := o.buf
	o.buf = spare[:0]
	return buf
}

// data appends one Data frame of t, as far as its credit goes.
func (o *outgoing) data(t *transfer) int {
	n := min(MaxPayload, t.credit, len(t.body)-t.sent)
	if n == 0 {
		return 0
	}
	if !t.begun {
		t.begun = true
		o.buf = appendHead(o.buf, Begin, t.id, 4)
		o.buf = binary.LittleEndian.AppendUint32(o.buf, uint32(len(t.body)))
	}
	o.buf = appendFrame(o.buf, Data, t.id, t.body[t.sent:t.sent+n])
	t.sent += n
	t.credit -= n
	o.bulk -= n
	return n
}

// complete takes the i-th open transfer out, lets the next one in, and releases what waited for it.
func (o *outgoing) complete(i int) {
	t := o.open[i]
	o.open = append(o.open[:i], o.open[i+1:]...)
	if len(o.waiting) > 0 {
		o.open = append(o.open, o.waiting[0])
		o.waiting[0] = nil
		o.waiting = o.waiting[1:]
	}
	for _, key := range t.keys {
		delete(o.holds, key)
	}
	for _, l := range t.after {
		o.bulk -= len(l.body)
		o.addBody(l.key, l.body)
	}
}
