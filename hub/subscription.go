package hub

import (
	"context"
	"sync"

	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// Position is a place in a stream: everything up to and with Offset. An offset means nothing without
// the epoch it was counted in: when a stream's history is lost, its epoch changes.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// Since says from where a subscription wants events.
type Since struct {
	Start    bool      // all history there is
	Position *Position // everything after it; nil with Start false: only what is new
}

// Subscriber takes the events of its subscriptions.
type Subscriber interface {
	// Deliver takes events in order; it must not block or change them. Events of one subscription
	// come one call at a time, possibly before Subscribe has returned. b collects what is flushed at
	// the end of the chunk.
	Deliver(sub *Subscription, evs []*Event, b *nodebridge.Batch)
	// Room blocks until the subscriber can take more history, or gives the error that ends the
	// replay. Only replay waits for it; a live event never does.
	Room(ctx context.Context) error
	// Ended says that the stream will have no further events. Nothing more is delivered.
	Ended(sub *Subscription, b *nodebridge.Batch)
}

// Subscription is a live view of a stream or pattern.
type Subscription struct {
	t         *tenant
	pattern   string
	to        Subscriber
	stream    *stream // nil: a pattern with wildcards
	start     Position
	recovered bool

	mu     sync.Mutex // guards closed, and makes deliveries one at a time
	closed bool
}

// Stream gives the stream's name or the pattern, as it was asked for.
func (s *Subscription) Stream() string { return s.pattern }

// Position says where it begins: everything after it is or was delivered.
func (s *Subscription) Position() Position { return s.start }

// Recovered reports whether everything after the position that was asked for is delivered.
func (s *Subscription) Recovered() bool { return s.recovered }

// Close ends the subscription; nothing is delivered after it returned.
func (s *Subscription) Close() {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if !was {
		s.t.unsubscribe(s)
	}
}

func (s *Subscription) deliver(evs []*Event, b *nodebridge.Batch) {
	s.mu.Lock()
	if !s.closed {
		s.to.Deliver(s, evs, b)
	}
	s.mu.Unlock()
}

func (s *Subscription) ended(b *nodebridge.Batch) {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		s.to.Ended(s, b)
	}
	s.mu.Unlock()
}

func (s *Subscription) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// attach puts sub on the stream without a seam: history first, then live. What the ring has is
// delivered at once; older history is read by a replay that joins the live events when it has caught
// up with them.
func (s *stream) attach(sub *Subscription, since Since) {
	s.mu.Lock()
	defer s.mu.Unlock()
	offset, recovered := s.startLocked(since)
	sub.start, sub.recovered = Position{s.epoch, offset}, recovered
	if !s.joinLocked(sub, offset) {
		s.t.hub.spawn(func(ctx context.Context) { s.replay(ctx, sub, offset) })
	}
}

// joinLocked delivers what comes after offset and makes sub live, if the ring reaches back to offset.
func (s *stream) joinLocked(sub *Subscription, offset uint64) bool {
	evs, ok := s.ringAfterLocked(offset)
	if !ok {
		return false
	}
	var b nodebridge.Batch
	if len(evs) > 0 {
		sub.deliver(evs, &b)
	}
	if s.ended {
		sub.ended(&b)
	} else if !sub.isClosed() {
		s.subs = append(s.subs, sub)
	}
	b.Flush()
	return true
}

// replay delivers history page by page, at the subscriber's pace, until the ring takes over.
func (s *stream) replay(ctx context.Context, sub *Subscription, offset uint64) {
	for !sub.isClosed() {
		s.mu.Lock()
		joined := s.joinLocked(sub, offset)
		s.mu.Unlock()
		if joined {
			return
		}
		if err := sub.to.Room(ctx); err != nil {
			sub.Close()
			return
		}
		evs, err := s.readOlder(offset)
		if err != nil || len(evs) == 0 {
			s.t.hub.log.Error("replay a stream", "stream", s.name, "after", offset, "error", err)
			var b nodebridge.Batch
			sub.ended(&b)
			b.Flush()
			return
		}
		var b nodebridge.Batch
		sub.deliver(evs, &b)
		b.Flush()
		offset = evs[len(evs)-1].Offset
	}
}

// Subscribe shows to the events of a stream, or of all streams that a pattern matches, from since on.
// A pattern with wildcards is live only: it has no history of its own, so a position given for it is
// answered with Recovered false.
func (h *Hub) Subscribe(owner *tenants.Tenant, pattern string, since Since, to Subscriber) (*Subscription, error) {
	wild, err := checkPattern(pattern)
	if err != nil {
		return nil, err
	}
	t := h.tenant(owner)
	sub := &Subscription{t: t, pattern: pattern, to: to}
	if wild {
		sub.start = Position{Epoch: h.epoch}
		sub.recovered = since.Position == nil
		t.subscribeWild(sub)
		return sub, nil
	}
	return sub, t.subscribe(sub, since)
}
