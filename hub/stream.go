package hub

import (
	"cmp"
	"slices"
	"sync"

	"github.com/livefn/livefn/nodebridge"
)

// Bounds of a stream's history in memory: of one that has no other, and of a durable one, which has
// the rest in the store.
const (
	ringEvents        = 1024    // events
	ringBytes         = 1 << 20 // bytes
	durableRingEvents = 64
	durableRingBytes  = 64 << 10
)

// stream is an ordered sequence of events with a bounded ring of the newest in memory.
type stream struct {
	name  string
	epoch string
	t     *tenant

	mu    sync.Mutex // guards all below
	top   uint64     // offset of the last event; 0 before the first
	ring  []*Event   // the newest, up to top; one that passes, or could not be written, is missing
	bytes int        // of ring
	subs  subset
	ended bool                                         // no further event will come
	older func(after uint64) (evs []*Event, err error) // reads history that the ring no longer has; nil: there is none
	first uint64                                       // offset of the oldest event that older can read
}

func newStream(t *tenant, name, epoch string, top uint64) *stream {
	return &stream{t: t, name: name, epoch: epoch, top: top}
}

// publish appends ev and delivers it; an offset of 0 becomes the next one. It never blocks.
func (s *stream) publish(ev *Event, b *nodebridge.Batch) {
	s.mu.Lock()
	if ev.Offset == 0 {
		ev.Offset = s.top + 1
	}
	s.top = ev.Offset
	if !ev.passes {
		s.ring = append(s.ring, ev)
		s.bytes += ev.size()
		s.trimLocked()
	}
	if len(s.subs) > 0 {
		evs := []*Event{ev}
		for _, sub := range s.subs {
			sub.deliver(evs, b)
		}
	}
	s.t.publishWild(ev, b)
	s.mu.Unlock()
}

// trimLocked drops the oldest events until the ring is within its bounds.
func (s *stream) trimLocked() {
	n, events, size := 0, ringEvents, ringBytes
	if s.older != nil {
		events, size = durableRingEvents, durableRingBytes
	}
	for len(s.ring)-n > 1 && (len(s.ring)-n > events || s.bytes > size) {
		s.bytes -= s.ring[n].size()
		s.ring[n] = nil
		n++
	}
	s.ring = s.ring[n:]
}

// end says that no further event will come and lets the subscriptions go.
func (s *stream) end(b *nodebridge.Batch) {
	s.mu.Lock()
	s.ended = true
	subs := s.subs
	s.subs = nil
	for _, sub := range subs {
		sub.ended(b)
	}
	s.mu.Unlock()
}

// reopen takes an end back: there will be events again.
func (s *stream) reopen() {
	s.mu.Lock()
	s.ended = false
	s.mu.Unlock()
}

// ringAfterLocked gives the events after offset if the ring has all of them.
func (s *stream) ringAfterLocked(offset uint64) (evs []*Event, ok bool) {
	if offset >= s.top {
		return nil, true
	}
	if len(s.ring) == 0 || s.ring[0].Offset > offset+1 {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(s.ring, offset+1, func(ev *Event, at uint64) int { return cmp.Compare(ev.Offset, at) })
	return s.ring[i:], true
}

// readOlder reads a page of history after offset that the ring no longer has. Events that are on disk
// but not published yet are left out: they come live.
func (s *stream) readOlder(offset uint64) ([]*Event, error) {
	s.mu.Lock()
	older, top := s.older, s.top
	s.mu.Unlock()
	evs, err := older(offset)
	for len(evs) > 0 && evs[len(evs)-1].Offset > top {
		evs = evs[:len(evs)-1]
	}
	return evs, err
}

// firstLocked is the offset of the oldest event there is, top+1 if there is none.
func (s *stream) firstLocked() uint64 {
	switch {
	case s.older != nil:
		return s.first
	case len(s.ring) > 0:
		return s.ring[0].Offset
	default:
		return s.top + 1
	}
}

// startLocked resolves where a subscription begins, and whether nothing after the given position is
// missing. A position of another epoch, or one beyond the end, is not trusted: it begins where
// history does.
func (s *stream) startLocked(since Since) (offset uint64, recovered bool) {
	first := s.firstLocked()
	switch p := since.Position; {
	case since.Start:
		return first - 1, true
	case p == nil:
		return s.top, true
	case p.Epoch == s.epoch && p.Offset <= s.top && p.Offset+1 >= first:
		return p.Offset, true
	default:
		return first - 1, false
	}
}

// unsubscribe takes sub off the stream and reports whether it was the last one.
func (s *stream) unsubscribe(sub *Subscription) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs.remove(sub, slotStream)
	return len(s.subs) == 0
}
