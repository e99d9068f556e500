package nodebridge

import (
	"encoding/binary"
	"fmt"
)

// incoming puts large messages together again. It holds at most MaxMessages of them, and gives
// credit so that they hold about two of the largest between them, however many are under way.
type incoming struct {
	from  *side
	max   int                    // bytes of one message
	grant func(id uint32, n int) // sends Credit
	open  []*message             // in order of their Begin
	held  int                    // bytes in open
}

// message is a large message of which a part came.
type message struct {
	id    uint32
	total int
	body  []byte
	limit int // how much of it may have come: Window and the credit so far
}

// begin and data take the frames of their kind. data gives the message that it completes: its
// payload is the caller's.
func (in *incoming) begin(f Frame) error {
	total := int64(binary.LittleEndian.Uint32(f.Payload))
	switch {
	case total < bodyHead || total > int64(in.max):
		return fmt.Errorf("a message has %d bytes; %d is the limit", total, in.max)
	case len(in.open) == MaxMessages:
		return fmt.Errorf("more than %d messages are under way", MaxMessages)
	case in.find(f.ID) >= 0:
		return fmt.Errorf("message %d is under way and begins again", f.ID)
	}
	in.open = append(in.open, &message{id: f.ID, total: int(total), limit: Window})
	return nil
}

func (in *incoming) data(f Frame) (body Frame, done bool, err error) {
	i := in.find(f.ID)
	if i < 0 {
		return Frame{}, false, fmt.Errorf("message %d was not begun", f.ID)
	}
	m := in.open[i]
	n := len(m.body) + len(f.Payload)
	if n > m.total || n > m.limit {
		return Frame{}, false, fmt.Errorf("message %d has %d bytes; %d were announced, %d allowed", f.ID, n, m.total, m.limit)
	}
	m.append(f.Payload)
	in.held += len(f.Payload)
	if n == m.total {
		in.open = append(in.open[:i], in.open[i+1:]...)
		in.held -= n
		body = frameOf(m.body)
		done, err = true, in.from.checkMessage(body)
	}
	in.credit()
	return body, done, err
}

// credit grants what was taken: to the oldest always, so that it ends; to others while there is room.
func (in *incoming) credit() {
	for i, m := range in.open {
		owed := len(m.body) + Window - m.limit
		if owed < Window/2 || m.limit >= m.total || i > 0 && in.held > in.max {
			continue
		}
		m.limit += owed
		in.grant(m.id, owed)
	}
}

func (in *incoming) find(id uint32) int {
	for i, m := range in.open {
		if m.id == id {
			return i
		}
	}
	return -1
}

// append grows the body fourfold: a total that lies costs little memory, one that doesn't few copies.
func (m *message) append(b []byte) {
	if need := len(m.body) + len(b); need > cap(m.body) {
		m.body = appendLarge(make([]byte, 0, min(m.total, max(Window, 4*need))), m.body)
	}
	m.body = append(m.body, b...)
}
