package loadtest

import (
	"encoding/binary"
	"errors"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

var errFrame = errors.New("the hub sent a frame that RFC 6455 forbids")

// frame is one WebSocket frame; its payload points into what was read.
type frame struct {
	final   bool
	op      byte
	payload []byte
}

// parseFrame takes a server's frame from the front of in; 0: it is not all there yet. Servers don't
// mask, and no extension was agreed on.
func parseFrame(in []byte) (f frame, n int, err error) {
	if len(in) < 2 {
		return frame{}, 0, nil
	}
	f.final, f.op = in[0]&0x80 != 0, in[0]&0x0f
	if in[0]&0x70 != 0 || in[1]&0x80 != 0 || f.op > opPong || f.op > opBinary && f.op < opClose {
		return frame{}, 0, errFrame
	}
	length, head := uint64(in[1]), 2
	switch length {
	case 126:
		if head = 4; len(in) < head {
			return frame{}, 0, nil
		}
		if length = uint64(binary.BigEndian.Uint16(in[2:])); length < 126 {
			return frame{}, 0, errFrame
		}
	case 127:
		if head = 10; len(in) < head {
			return frame{}, 0, nil
		}
		if length = binary.BigEndian.Uint64(in[2:]); length < 1<<16 || length > maxBuffer {
			return frame{}, 0, errFrame
		}
	}
	if f.op >= opClose && (!f.final || length > 125) {
		return frame{}, 0, errFrame
	}
	if uint64(len(in)-head) < length {
		return frame{}, 0, nil
	}
	n = head + int(length) //nolint:gosec // at most maxBuffer
	f.payload = in[head:n]
	return f, n, nil
}

// appendFrame appends a client's frame: masked, as clients must.
func appendFrame(out []byte, op byte, payload []byte, mask [4]byte) []byte {
	out = append(out, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n < 1<<16:
		out = append(out, 0x80|126, byte(n>>8), byte(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(n))
	}
	out = append(out, mask[:]...)
	for i, b := range payload {
		out = append(out, b^mask[i&3])
	}
	return out
}
