package hub

import (
	"cmp"
	"slices"

	"github.com/livefn/livefn/nodebridge"
)

// tenantStream is a stream that a tenant made: an ordered part of its journal with a bounded history, in
// memory, or in the store with the newest events in memory too. The journal's lock guards it.
type tenantStream struct {
	j     *journal
	name  string
	epoch string
	Retention
	defined bool // its retention was set, so it stays though nobody uses it
	gone    bool // deleted: no further event will come

	last   uint64 // offset given to the newest event
	top    uint64 // offset of the newest event that is published
	first  uint64 // offset from which history has every event that was published
	topNum uint64 // its number
	lost   uint64 // number of the newest event that history has lost
	ring   []*Event
	bytes  int // of ring
	subs   subset
	used   int64 // when somebody last published, subscribed or left

	marked bool // in memory: the store knows that it had events

	// A durable stream's place in the store.
	written   int64  // bytes of all events that were accepted since the stream was made
	dropped   int64  // bytes of those that history has lost
	oldest    int64  // time of the oldest event in history
	oldestNum uint64 // its number
	erased    uint64 // offset up to which events are deleted
}

func newTenantStream(j *journal, name, epoch string, r Retention) *tenantStream {
	return &tenantStream{j: j, name: name, epoch: epoch, Retention: r, first: 1, used: now()}
}

// appendLocked makes ev the newest event.
func (s *tenantStream) appendLocked(ev *Event) {
	if s.first > s.top || s.top == 0 { // history was empty
		s.oldest, s.oldestNum = ev.Time, ev.number
	}
	s.top, s.topNum = ev.Offset, ev.number
	s.ring = append(s.ring, ev)
	s.bytes += ev.size()
	s.j.ring = append(s.j.ring, ev)
	s.j.bytes += ev.size()
}

// trimLocked drops from memory what is over the stream's bounds at a time. Of a durable stream that is
// no loss.
func (s *tenantStream) trimLocked(at int64) {
	events, size, since := s.MaxEvents, int64(s.MaxBytes), at-s.maxAge()
	if s.Durable {
		events, size, since = durableRingEvents, durableRingBytes, 0
	}
	n, bytes := 0, int64(s.bytes)
	for n < len(s.ring) && (len(s.ring)-n > events || bytes > size || s.ring[n].Time < since) {
		bytes -= int64(s.ring[n].size())
		n++
	}
	s.dropLocked(n)
}

// dropLocked drops the n oldest events from memory.
func (s *tenantStream) dropLocked(n int) {
	for i, ev := range s.ring[:n] {
		s.ring[i] = nil
		ev.gone = true
		s.bytes -= ev.size()
		s.j.bytes -= ev.size()
		s.j.dead++
		s.j.waste += ev.size()
		if s.Durable {
			s.j.cached = max(s.j.cached, ev.number+1)
		} else {
			s.first, s.lost = ev.Offset+1, ev.number
			s.j.lostLocked(ev.number)
		}
	}
	s.ring = s.ring[n:]
}

// endLocked takes the stream out of the journal: its subscriptions end, its history is lost.
func (s *tenantStream) endLocked(b *nodebridge.Batch) {
	s.gone = true
	s.dropLocked(len(s.ring))
	if s.Durable {
		s.j.durables--
	}
	delete(s.j.streams, s.name)
	s.j.ghostLocked(s.name, max(s.lost, s.topNum))
	subs := s.subs
	s.subs = nil
	for _, sub := range subs {
		sub.joined = false
		sub.ended(b)
	}
}

// oldestLocked gives the number of the oldest event of history; never if it has none.
func (s *tenantStream) oldestLocked() uint64 {
	switch {
	case s.Durable && s.first <= s.top:
		return s.oldestNum
	case !s.Durable && len(s.ring) > 0:
		return s.ring[0].number
	}
	return never
}

// What follows makes it a history, whose places are offsets.

func (s *tenantStream) place(ev *Event) uint64 { return ev.Offset }

func (s *tenantStream) topLocked() uint64 { return s.top }

func (s *tenantStream) lostLocked(after uint64, _ bool) bool { return s.first > after+1 }

func (s *tenantStream) keptLocked(after, _ uint64) []*Event {
	i, _ := slices.BinarySearchFunc(s.ring, after+1, func(ev *Event, at uint64) int { return cmp.Compare(ev.Offset, at) })
	return slices.Clone(s.ring[i:])
}

func (s *tenantStream) storedLocked() uint64 {
	switch {
	case !s.Durable:
		return 0
	case len(s.ring) > 0 && s.ring[0].Offset > s.first:
		return s.ring[0].Offset - 1
	case len(s.ring) > 0:
		return 0
	}
	return s.top
}

func (s *tenantStream) startLocked(since Since) (place uint64, recovered bool) {
	s.trimLocked(now())
	switch p := since.Position; {
	case since.Start:
		return s.first - 1, true
	case p == nil:
		return s.top, true
	case p.Epoch == s.epoch && p.Offset <= s.top && !s.lostLocked(p.Offset, false):
		return p.Offset, true
	}
	return s.first - 1, false
}

func (s *tenantStream) epochLocked() string { return s.epoch }
