package hub

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

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
	wild      bool // pattern has wildcards
	to        Subscriber
	stream    *stream       // of the hub's own; nil: none
	own       *tenantStream // of the tenant's own; nil: none, or a pattern
	start     Position
	recovered bool

	live    bool   // a pattern that sees the hub's own streams
	journal bool   // sees the tenant's own streams
	joined  bool   // is among the journal's; guarded by its lock
	at      [2]int // where it stands in the two subsets that may have it; guarded by their owner

	membership

	mu     sync.Mutex // guards closed and latest, and makes deliveries one at a time
	closed bool
	latest *conflater // nil: every event is delivered
	behind atomic.Bool
}

// The slots of Subscription.at.
const (
	slotStream  = 0 // a stream of the hub's, or the patterns that match those
	slotJournal = 1 // a stream of the tenant's, or the patterns that match those
)

// Stream gives the stream's name or the pattern, as it was asked for.
func (s *Subscription) Stream() string { return s.pattern }

// Position says where it begins: everything after it is or was delivered.
func (s *Subscription) Position() Position { return s.start }

// Recovered reports whether everything after the position that was asked for is delivered.
func (s *Subscription) Recovered() bool { return s.recovered }

// PositionOf gives the position of an event that was delivered: a subscription from there on goes on after
// it. A pattern's events of the hub's own streams have none.
func (s *Subscription) PositionOf(ev *Event) (p Position, ok bool) {
	switch {
	case !s.wild:
		return Position{s.start.Epoch, ev.Offset}, true
	case ev.number > 0:
		return Position{s.start.Epoch, ev.number}, true
	}
	return p, false
}

// Members gives an event that was delivered as Event.Members does; one of a pattern's subscription has its
// "position":{"epoch":…,"offset":…} too, if it has one.
func (s *Subscription) Members(ev *Event) []byte {
	if !s.wild || ev.number == 0 {
		return ev.Members()
	}
	return ev.placedMembers(s.start.Epoch)
}

// Behind reports, once the subscription has ended, whether it did because history was trimmed before it
// was delivered: a subscription from the last position on says where history starts now.
func (s *Subscription) Behind() bool { return s.behind.Load() }

// Close ends the subscription; nothing is delivered after it returned.
func (s *Subscription) Close() {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if !was {
		s.t.unsubscribe(s)
		var b nodebridge.Batch
		s.t.presence.leave(s, false, &b)
		b.Flush()
	}
}

func (s *Subscription) deliver(evs []*Event, b *nodebridge.Batch) {
	s.mu.Lock()
	if !s.closed && (s.latest == nil || !s.latest.take(s, evs, b)) {
		s.to.Deliver(s, evs, b)
	}
	s.mu.Unlock()
}

func (s *Subscription) ended(b *nodebridge.Batch) {
	s.mu.Lock()
	was := s.closed
	if !was {
		s.closed = true
		if s.latest != nil {
			if evs := s.latest.next(math.MaxInt); len(evs) > 0 {
				s.to.Deliver(s, evs, b)
			}
		}
		s.to.Ended(s, b)
	}
	s.mu.Unlock()
	if !was {
		s.t.presence.leave(s, true, b)
	}
}

// fellBehind ends a subscription whose history went before it was delivered.
func (s *Subscription) fellBehind(b *nodebridge.Batch) {
	s.behind.Store(true)
	s.ended(b)
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
		s.subs.add(sub, slotStream)
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

// Interest is what a subscriber wants.
type Interest struct {
	Pattern  string // a stream's name, or a pattern
	Since    Since
	Latest   bool    // while the subscriber is full, only the newest event of each key waits
	LatestBy string  // a JSON pointer into the data: with stream and type, the key of Latest
	Member   *Member // who is shown as subscribed; nil: nobody
	Presence bool    // tell the subscriber, if it is a PresenceWatcher, who comes and goes; needs Member
}

// Subscribe is SubscribeTo for who wants every event.
func (h *Hub) Subscribe(owner *tenants.Tenant, pattern string, since Since, to Subscriber) (*Subscription, error) {
	return h.SubscribeTo(owner, Interest{Pattern: pattern, Since: since}, to)
}

// SubscribeTo shows to the events of a stream, or of all streams that a pattern matches, from since on.
//
// A stream of the tenant's is there before its first event. A pattern's positions count the events of all
// the tenant's own streams, so one position says what a subscriber has of every stream. Of the hub's own
// streams (execution.*, function.*) a pattern shows only what is live.
func (h *Hub) SubscribeTo(owner *tenants.Tenant, in Interest, to Subscriber) (*Subscription, error) {
	wild, err := checkPattern(in.Pattern)
	if err != nil {
		return nil, err
	}
	t := h.tenant(owner)
	sub := &Subscription{t: t, pattern: in.Pattern, wild: wild, to: to}
	if in.Latest {
		if sub.latest, err = newConflater(in.LatestBy); err != nil {
			return nil, err
		}
	}
	sub.member, sub.watches = in.Member, in.Presence
	t.presence.join(sub)
	if wild {
		err = t.subscribeWild(sub, in.Since)
	} else {
		err = t.subscribe(sub, in.Since)
	}
	if err != nil {
		sub.Close()
		return nil, err
	}
	t.presence.watch(sub)
	return sub, nil
}
