package nodebridge

import (
	"encoding/binary"
	"fmt"
)

// side is the table of the kinds that one half sends: one more than the bytes that a payload has at
// least, and 0 for a kind that the half never sends.
type side [256]uint8

var (
	fromHub = side{Init: 1, Load: 1, Unload: 1, Invoke: 1 + 8, Pause: 1, Cancel: 1, Send: 1 + 9, Ping: 1,
		Response: 1 + 6, Taken: 1 + 4, Bounds: 1, Begin: 1 + 4, Data: 1 + 1, Credit: 1 + 4}
	fromBridge = side{Ready: 1, Loaded: 1, LoadFailed: 1, Result: 1 + 1, Error: 1, Event: 1 + 1, Log: 1,
		Paused: 1 + 2, Refused: 1, Pong: 1, Request: 1 + 5, Begin: 1 + 4, Data: 1 + 1, Credit: 1 + 4}
)

// check says whether the half may send f: its kind, and the lengths and encodings in its payload.
func (s *side) check(f Frame) error {
	least := int(s[f.Kind])
	if least == 0 {
		return fmt.Errorf("a frame has the kind %#02x", uint8(f.Kind))
	}
	p := f.Payload
	ok := len(p) >= least-1
	switch {
	case !ok:
	case f.Kind == Result:
		ok = Encoding(p[0]) <= Nothing
	case f.Kind == Event:
		ok = len(p) > int(p[0])
	case f.Kind == Send:
		ok = len(p)-8 > int(p[8])
	case f.Kind == Response:
		ok = p[4] <= 1 && Encoding(p[5]) <= Nothing
	case f.Kind == Paused:
		_, _, ok = SplitMeta(p)
	case f.Kind == Request:
		ok = checkRequest(Op(p[4]), p[5:])
	case f.Kind == Invoke:
		n := 6 + int(p[5])
		ok = Encoding(p[4]) <= Nothing && len(p) >= n+2 && len(p) >= n+2+int(binary.LittleEndian.Uint16(p[n:]))
	}
	if !ok {
		return fmt.Errorf("a frame of kind %#02x has a bad payload of %d bytes", uint8(f.Kind), len(p))
	}
	return nil
}

func checkRequest(op Op, p []byte) bool {
	if op == OpCheckpoint {
		_, _, ok := SplitMeta(p)
		return ok
	}
	return op >= OpInvoke && op <= OpPublish
}

// checkMessage is check for a reassembled message.
func (s *side) checkMessage(f Frame) error {
	switch f.Kind {
	case Init, Ready, Begin, Data, Credit:
		return fmt.Errorf("a message has the kind %#02x", uint8(f.Kind))
	}
	return s.check(f)
}
