package conn

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"

	"github.com/livefn/livefn/nodebridge"
)

// The opcodes of RFC 6455 that the hub sends.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
)

// appendFrameHead appends the head of a server's frame with n bytes of payload.
func appendFrameHead(b []byte, op byte, n int) []byte {
	b = append(b, 0x80|op)
	switch {
	case n < 126:
		return append(b, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
}

// frameEnd gives the end of the frame in which off lies; b begins with a frame, and off itself is
// such an end if it lies between two.
func frameEnd(b []byte, off int) int {
	i := 0
	for i < off {
		switch n := int(b[i+1]); n {
		case 126:
			i += 4 + int(binary.BigEndian.Uint16(b[i+2:]))
		case 127:
			i += 10 + int(binary.BigEndian.Uint64(b[i+2:]))
		default:
			i += 2 + n
		}
	}
	return i
}

func closeFrame(code CloseCode) []byte {
	reason := code.reason()
	b := appendFrameHead(nil, opClose, 2+len(reason))
	return append(binary.BigEndian.AppendUint16(b, uint16(code)), reason...)
}

// closeAnswer gives the close frame to send in place of coder's: what coder found broken is said in the
// words of CloseCodes, and what a peer's own close said is echoed.
func closeAnswer(frame []byte) []byte {
	if len(frame) < 4 { // without a code
		return append([]byte(nil), frame...)
	}
	code := CloseCode(binary.BigEndian.Uint16(frame[2:]))
	switch {
	case code == CloseProtocol || code == CloseTooLarge:
		return closeFrame(code)
	case !utf8.Valid(frame[4:]):
		return closeFrame(CloseNotUTF8)
	}
	return append([]byte(nil), frame...)
}

// text appends one text frame made of parts. It gives false if it was dropped.
func (o *outbox) text(batch *nodebridge.Batch, parts ...[]byte) bool {
	ok := o.begin()
	if ok {
		o.appendText(parts...)
	}
	o.endBatch(batch)
	return ok
}

// appendText appends one text frame, between begin and end.
func (o *outbox) appendText(parts ...[]byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b := appendFrameHead(o.tail.b, opText, n)
	for _, p := range parts {
		b = append(b, p...)
	}
	o.tail.b = b
}

// frames appends bytes that are whole frames already.
func (o *outbox) frames(p []byte) {
	if o.begin() {
		o.tail.b = append(o.tail.b, p...)
	}
	o.endBatch(nil)
}

// chunk appends one chunk of a response with Transfer-Encoding: chunked (RFC 9112, 7.1).
func (o *outbox) chunk(batch *nodebridge.Batch, chunked bool, parts ...[]byte) {
	if o.begin() {
		n := 0
		for _, p := range parts {
			n += len(p)
		}
		b := o.tail.b
		if chunked {
			b = append(strconv.AppendInt(b, int64(n), 16), "\r\n"...)
		}
		for _, p := range parts {
			b = append(b, p...)
		}
		if chunked {
			b = append(b, "\r\n"...)
		}
		o.tail.b = b
	}
	o.endBatch(batch)
}
