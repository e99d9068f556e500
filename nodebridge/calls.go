package nodebridge

import "sync/atomic"

const (
	indexBits   = 20
	indexMask   = 1<<indexBits - 1
	maxCalls    = 1 << indexBits // in flight in one bridge
	segmentSize = 256
)

// calls is the slots of the calls in flight. take and free want the Bridge's mu; find does not, but
// only the goroutine that reads the bridge may end a call.
type calls struct {
	segments atomic.Pointer[[]*[segmentSize]slot] // only grows
	unused   []uint32                             // indexes
}

// slot is the place of one call.
type slot struct {
	call   atomic.Pointer[Call] // nil: no call, or it has had its final frame
	id     atomic.Uint32        // of the call: generation and index
	module *loaded              // written before call is, read after
	seq    uint64               // of the call among those that the bridge took; likewise
}

// take gives a slot that no call has, under a new id; nil if there are too many.
func (t *calls) take() *slot {
	if len(t.unused) == 0 && !t.grow() {
		return nil
	}
	last := len(t.unused) - 1
	s := t.at(t.unused[last])
	t.unused = t.unused[:last]
	id := s.id.Load() + 1<<indexBits
	if id>>indexBits == 0 {
		id += 1 << indexBits
	}
	s.id.Store(id)
	return s
}

// free makes the slot of an ended call available again.
func (t *calls) free(id uint32) { t.unused = append(t.unused, id&indexMask) }

func (t *calls) grow() bool {
	var old []*[segmentSize]slot
	if p := t.segments.Load(); p != nil {
		old = *p
	}
	first := uint32(len(old) * segmentSize)
	if first == maxCalls {
		return false
	}
	segment := new([segmentSize]slot)
	for i := segmentSize - 1; i >= 0; i-- { // so that low indexes are taken first
		segment[i].id.Store(first + uint32(i))
		t.unused = append(t.unused, first+uint32(i))
	}
	segments := append(old[:len(old):len(old)], segment)
	t.segments.Store(&segments)
	return true
}

func (t *calls) at(index uint32) *slot {
	return &(*t.segments.Load())[index/segmentSize][index%segmentSize]
}

// find gives the slot and call of id, or nil if it has ended or never was.
func (t *calls) find(id uint32) (*slot, *Call) {
	segments := t.segments.Load()
	if index := id & indexMask; segments != nil && index/segmentSize < uint32(len(*segments)) {
		s := &(*segments)[index/segmentSize][index%segmentSize]
		if c := s.call.Load(); c != nil && s.id.Load() == id {
			return s, c
		}
	}
	return nil, nil
}

// each calls f for every call in flight.
func (t *calls) each(f func(s *slot, c *Call)) {
	segments := t.segments.Load()
	if segments == nil {
		return
	}
	for _, segment := range *segments {
		for i := range segment {
			if c := segment[i].call.Load(); c != nil {
				f(&segment[i], c)
			}
		}
	}
}
