package nodebridge

import (
	"encoding/binary"
	"fmt"
	"sync"
)

const (
	headSize  = 9                     // of a frame: length, kind, id
	bodyHead  = 5                     // of a frame's body: kind, id
	maxLength = bodyHead + MaxPayload // the largest value of the length
)

// chunkSize is what one read takes at most. It holds the largest frame.
const chunkSize = headSize + MaxPayload + 1<<10

// chunks are shared by all bridges, so that an idle one holds none.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// splitter finds the frames in chunks that are cut anywhere. A frame that lies whole in a chunk is
// handed on without a copy.
type splitter struct {
	from *side

	rest *[chunkSize]byte // the part of a frame that the chunks so far ended with; nil: none
	n    int              // bytes of it
}

// split hands each to every frame that chunk completes, and keeps a copy of what is left. An error,
// its own or each's, ends the connection: nothing more may be split.
func (s *splitter) split(chunk []byte, each func(Frame) error) error {
	for s.rest != nil && len(chunk) > 0 {
		want := 4
		if s.n >= 4 {
			want += int(binary.LittleEndian.Uint32(s.rest[:])) // was checked below or when it was kept
		}
		n := copy(s.rest[s.n:want], chunk)
		s.n += n
		chunk = chunk[n:]
		if s.n < want {
			return nil
		}
		if want == 4 {
			if _, err := length(s.rest[:]); err != nil {
				return err
			}
			continue
		}
		if err := s.hand(s.rest[4:want], each); err != nil {
			return err
		}
		s.release()
	}
	for len(chunk) >= 4 {
		n, err := length(chunk)
		if err != nil {
			return err
		}
		if len(chunk) < 4+n {
			break
		}
		if err := s.hand(chunk[4:4+n], each); err != nil {
			return err
		}
		chunk = chunk[4+n:]
	}
	if len(chunk) > 0 {
		s.rest = chunks.Get().(*[chunkSize]byte)
		s.n = copy(s.rest[:], chunk)
	}
	return nil
}

func (s *splitter) hand(body []byte, each func(Frame) error) error {
	f := frameOf(body)
	if err := s.from.check(f); err != nil {
		return err
	}
	return each(f)
}

// release gives the splitter's memory back.
func (s *splitter) release() {
	if s.rest != nil {
		chunks.Put(s.rest)
	}
	s.rest, s.n = nil, 0
}

func length(b []byte) (int, error) {
	n := binary.LittleEndian.Uint32(b)
	if n < bodyHead || n > maxLength {
		return 0, fmt.Errorf("a frame's length is %d", n)
	}
	return int(n), nil
}

// frameOf reads a body of at least bodyHead bytes.
func frameOf(body []byte) Frame {
	return Frame{Kind: Kind(body[0]), ID: binary.LittleEndian.Uint32(body[1:]), Payload: body[bodyHead:]}
}
