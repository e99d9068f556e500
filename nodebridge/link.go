package nodebridge

import (
	"sync"

	"github.com/livefn/livefn/internal/fault"
)

// callLink ties a call to the carrier under which it runs.
type callLink struct {
	mu      sync.Mutex // guards all below
	carrier Carrier    // nil until the call is accepted
	id      uint32
	held    []heldFrame // given before the call was accepted
}

type heldFrame struct {
	kind    Kind
	payload []byte
}

// set ties the link, and gives what is to be carried now.
func (l *callLink) set(carrier Carrier, id uint32) []heldFrame {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.carrier, l.id = carrier, id
	held := l.held
	l.held = nil
	return held
}

// wait makes the link that of a call that waits for a carrier; what is held stays.
func (l *callLink) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.carrier, l.id = nil, 0
}

// carry takes a frame to the carrier, or keeps it (payload too) until there is one.
func (l *callLink) carry(kind Kind, payload []byte) {
	l.mu.Lock()
	carrier, id := l.carrier, l.id
	if carrier == nil {
		l.held = append(l.held, heldFrame{kind, payload})
	}
	l.mu.Unlock()
	if carrier != nil {
		carrier.Carry(kind, id, payload)
	}
}

// maxHeld is how many bytes of events a call may be sent before a bridge has it.
const maxHeld = 1 << 20

// room says whether the carrier can take a payload of n bytes. Only Bridges are ever full.
func (l *callLink) room(n int) error {
	l.mu.Lock()
	carrier := l.carrier
	held := n
	for _, f := range l.held {
		held += len(f.payload)
	}
	l.mu.Unlock()
	if b, ok := carrier.(*Bridge); ok {
		return b.room(n)
	}
	if carrier == nil && held > maxHeld {
		return fault.New(fault.Overloaded, "The call waits for a process, and has been sent %d bytes of events already; repeat later.", held-n)
	}
	return nil
}
