package nodebridge

import (
	"encoding/binary"
	"encoding/json"

	"github.com/livefn/livefn/internal/fault"
)

// Op is what a Request asks for.
type Op uint8

const (
	OpCheckpoint Op = 1
	OpInvoke     Op = 2
	OpStart      Op = 3
	OpPublish    Op = 4
)

// The statuses of a Response.
const (
	StatusOK    byte = 0
	StatusFault byte = 1
)

// SplitRequest takes the payload of a Request that was received apart.
func SplitRequest(payload []byte) (number uint32, op Op, body []byte) {
	return binary.LittleEndian.Uint32(payload), Op(payload[4]), payload[5:]
}

// SplitMeta takes the payload of a Paused, or the body of a checkpoint, apart: its meta, empty for
// none, and the arguments. It is always ok for what was received.
func SplitMeta(payload []byte) (meta, rest []byte, ok bool) {
	if len(payload) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.LittleEndian.Uint16(payload))
	if len(payload) < n {
		return nil, nil, false
	}
	return payload[2:n], payload[n:], true
}

// Respond answers a Request of the function by its number. A result that the process can't take now, or
// at all, becomes a fault. For a call that has ended, Respond does nothing.
func (c *Call) Respond(number uint32, status byte, enc Encoding, payload []byte) {
	if err := c.link.room(6 + len(payload)); err != nil {
		status, enc, payload = StatusFault, JSON, faultPayload(err)
	}
	b := make([]byte, 0, 6+len(payload))
	b = binary.LittleEndian.AppendUint32(b, number)
	b = append(b, status, byte(enc))
	c.link.carry(Response, append(b, payload...))
}

// RespondFault answers a Request with a fault.
func (c *Call) RespondFault(number uint32, err error) {
	c.Respond(number, StatusFault, JSON, faultPayload(err))
}

func faultPayload(err error) []byte {
	f := fault.From(err)
	b, _ := json.Marshal(struct {
		Code    fault.Code `json:"code"`
		Message string     `json:"message"`
	}{f.Code, f.Detail})
	return b
}
