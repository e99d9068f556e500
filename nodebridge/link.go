package nodebridge

import "sync"

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

// clear makes the link that of a call that nobody accepted yet.
func (l *callLink) clear() { l.set(nil, 0) }

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

// room says whether the carrier can take a payload of n bytes. Only Bridges are ever full.
func (l *callLink) room(n int) error {
	l.mu.Lock()
	b, ok := l.carrier.(*Bridge)
	l.mu.Unlock()
	if !ok {
		return nil
	}
	return b.room(n)
}
