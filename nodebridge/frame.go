package nodebridge

// Kind says what a frame means; doc.go has the table.
type Kind uint8

// The kinds of doc.go's table. Lost never travels: the Go side makes it for the calls of a bridge
// that died.
const (
	Init       Kind = 0x01
	Load       Kind = 0x02
	Unload     Kind = 0x03
	Invoke     Kind = 0x04
	Pause      Kind = 0x05
	Cancel     Kind = 0x06
	Send       Kind = 0x07
	Ping       Kind = 0x08
	Response   Kind = 0x09
	Taken      Kind = 0x0a
	Bounds     Kind = 0x0b
	Begin      Kind = 0x10
	Data       Kind = 0x11
	Credit     Kind = 0x12
	Ready      Kind = 0x81
	Loaded     Kind = 0x82
	LoadFailed Kind = 0x83
	Result     Kind = 0x84
	Error      Kind = 0x85
	Event      Kind = 0x86
	Log        Kind = 0x87
	Paused     Kind = 0x88
	Refused    Kind = 0x89
	Pong       Kind = 0x8a
	Request    Kind = 0x8b

	// Made by the Go side for a call whose process is to end, or is gone.
	Moving    Kind = 0xfd // the process ends once its calls have: one that can should pause and go on elsewhere
	Unstarted Kind = 0xfe // the process never read the call: it can be handed over again without harm
	Lost      Kind = 0xff
)

// Final reports whether a frame of this kind ends its call.
func (k Kind) Final() bool { return k == Result || k == Error || k == Paused || k >= Unstarted }

// Limits of the protocol, in bytes.
const (
	MaxPayload = 64 << 10  // of one frame; what is larger travels as Begin and Data
	Window     = 256 << 10 // of a large message that may be under way before the first Credit
)

// MaxMessages is how many large messages each side may have under way.
const MaxMessages = 16

// Encoding says how arguments or a result are written.
type Encoding uint8

const (
	JSON    Encoding = 0
	Bytes   Encoding = 1
	Nothing Encoding = 2 // no arguments; an undefined result
)

// Frame is one frame or one reassembled message. Payload is borrowed: it is valid only while the
// function that was handed the frame runs.
type Frame struct {
	Kind    Kind
	ID      uint32
	Payload []byte
}
