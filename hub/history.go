package hub

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
)

// Bounds of what a replay gives its subscriber at once.
const (
	pageBytes = 256 << 10 // bytes of events
	pageScan  = 8192      // entries of the log that one read looks at
)

// history is what a subscription can have of the past: a stream's, or that of all streams that a pattern
// matches. Places in it are offsets there, numbers of the journal here.
type history interface {
	epochLocked() string
	place(ev *Event) uint64
	topLocked() uint64                                            // of the newest event
	startLocked(since Since) (place uint64, recovered bool)       // where a subscription begins
	lostLocked(after uint64, stored bool) bool                    // something after that place is gone; stored: of durable streams
	keptLocked(after, stored uint64) []*Event                     // what memory has after that place, but durable events up to stored
	storedLocked() uint64                                         // durable events up to it may be in the store alone
	page(after, upto uint64) (evs []*Event, at uint64, err error) // reads from the store, as far as at
}

// patternHistory is the history of all streams that a pattern matches.
type patternHistory struct {
	*journal
	pattern string
	known   map[string]uint64 // what each stream had lost when the subscription began: it was told
	floor   uint64            // likewise
}

func (h *patternHistory) epochLocked() string    { return h.epoch }
func (h *patternHistory) place(ev *Event) uint64 { return ev.number }
func (h *patternHistory) topLocked() uint64      { return h.top }

func (h *patternHistory) lostLocked(after uint64, stored bool) bool {
	if h.lost <= after {
		return false
	}
	if f := h.journal.floor; !stored && f > after && f > h.floor {
		return true
	}
	lost := func(name string, n uint64) bool { return n > after && n > h.known[name] && matches(h.pattern, name) }
	for _, s := range h.streams {
		if (s.Durable || !stored) && lost(s.name, s.lost) {
			return true
		}
	}
	if !stored {
		for name, n := range h.ghosts {
			if lost(name, n) {
				return true
			}
		}
	}
	return false
}

// tellLocked notes what is lost after a place, since the subscription's answer tells of it.
func (h *patternHistory) tellLocked(after uint64) {
	h.floor, h.known = h.journal.floor, map[string]uint64{}
	for _, s := range h.streams {
		if s.lost > after && matches(h.pattern, s.name) {
			h.known[s.name] = s.lost
		}
	}
	for name, n := range h.ghosts {
		if n > after && matches(h.pattern, name) {
			h.known[name] = n
		}
	}
}

func (h *patternHistory) keptLocked(after, stored uint64) (evs []*Event) {
	i, _ := slices.BinarySearchFunc(h.ring, after+1, func(ev *Event, at uint64) int { return cmp.Compare(ev.number, at) })
	for _, ev := range h.ring[i:] {
		if !ev.gone && (!ev.stored || ev.number > stored) && matches(h.pattern, ev.Stream) {
			evs = append(evs, ev)
		}
	}
	return evs
}

func (h *patternHistory) storedLocked() uint64 {
	if h.durables == 0 {
		return 0
	}
	return min(h.cached-1, h.top)
}

func (h *patternHistory) startLocked(since Since) (place uint64, recovered bool) {
	p := since.Position
	if !since.Start && p == nil {
		return h.top, true
	}
	if p != nil && p.Epoch == h.epoch && p.Offset <= h.top && p.Offset >= h.lost {
		return p.Offset, true // no stream lost anything since: a crowd that comes back is let in at once
	}
	oldest := h.top + 1
	at := now()
	for _, s := range h.streams {
		if matches(h.pattern, s.name) {
			s.trimLocked(at)
			oldest = min(oldest, s.oldestLocked())
		}
	}
	switch {
	case since.Start:
		place, recovered = oldest-1, true
	case p.Epoch != h.epoch || p.Offset > h.top:
		place = oldest - 1
	case h.lostLocked(p.Offset, false):
		place = max(p.Offset, oldest-1) // what it has is not given again
	default:
		return p.Offset, true
	}
	if h.lost > place {
		h.tellLocked(place)
	}
	return place, recovered
}

// page reads the log and, of what it matches, the events.
func (h *patternHistory) page(after, upto uint64) (evs []*Event, at uint64, err error) {
	st, size, scanned := h.t.hub.store, 0, 0
	at = upto
	rng := store.Range{Prefix: logPrefix(h.t.name), Start: logKey(h.t.name, after+1)}
	err = st.Scan(rng, func(k, v []byte) (bool, error) {
		number := offsetOfEventKey(k)
		if number > upto {
			return false, nil
		}
		if err := checkFormat(v, 9); err != nil {
			return false, err
		}
		if offset, name := binary.BigEndian.Uint64(v[1:]), v[9:]; matches(h.pattern, string(name)) {
			body, err := st.Get(streamEventKey(h.t.name, string(name), offset))
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return false, err
			}
			if err == nil { // else it was trimmed meanwhile, which the caller finds out
				ev, _, err := decodeStreamEvent(string(bytes.Clone(name)), offset, body)
				if err != nil {
					return false, err
				}
				evs, size = append(evs, ev), size+ev.size()
			}
		}
		if scanned++; len(evs) == historyPage || size > pageBytes || scanned == pageScan {
			at = number
			return false, nil
		}
		return true, nil
	})
	return evs, at, err
}

// subscribe shows a stream, or what a pattern matches of the tenant's streams, from since on.
func (j *journal) subscribe(sub *Subscription, since Since) error {
	if err := j.open(); err != nil {
		return err
	}
	var h history = &patternHistory{journal: j, pattern: sub.pattern}
	var b nodebridge.Batch
	j.mu.Lock()
	if !sub.wild {
		s, err := j.streamLocked(sub.pattern)
		if err != nil {
			j.mu.Unlock()
			return err
		}
		sub.own, h = s, s
	}
	place, recovered := h.startLocked(since)
	sub.start, sub.recovered = Position{h.epochLocked(), place}, recovered && (!sub.live || since.Position == nil)
	sub.journal = true
	joined := j.joinLocked(sub, h, place, &b)
	var r round
	if !joined {
		r = roundLocked(h, place)
	}
	j.mu.Unlock()
	b.Flush()
	if !joined {
		j.t.hub.spawn(func(ctx context.Context) { j.replay(ctx, sub, h, place, r) })
	}
	return nil
}

// joinLocked delivers what memory has after a place and makes sub live, if that is all there is and not
// too much at once.
func (j *journal) joinLocked(sub *Subscription, h history, place uint64, b *nodebridge.Batch) (joined bool) {
	if h.storedLocked() > place {
		return false
	}
	evs, size := h.keptLocked(place, 0), 0
	for _, ev := range evs {
		size += ev.size()
	}
	if size > pageBytes {
		return false
	}
	if len(evs) > 0 {
		sub.deliver(evs, b)
	}
	switch {
	case j.closed || sub.own != nil && sub.own.gone:
		sub.ended(b)
	case sub.isClosed():
	case sub.own != nil:
		sub.own.subs.add(sub, slotJournal)
		sub.joined = true
	default:
		j.patterns.add(sub)
		sub.joined = true
	}
	return true
}

// round is what there is at one moment after a place.
type round struct {
	top, stored uint64   // places: of the newest event; up to which the store has to be read
	kept        []*Event // what memory has besides
}

func roundLocked(h history, place uint64) round {
	top := h.topLocked()
	stored := min(h.storedLocked(), top)
	return round{top, stored, h.keptLocked(place, stored)}
}

// replay delivers history at the subscriber's pace until it can join the live events. What memory has is
// held from the beginning of a round, so that only a subscriber that is slower than its streams' history
// is long loses something; then the subscription ends, and says so.
func (j *journal) replay(ctx context.Context, sub *Subscription, h history, place uint64, r round) {
	var b nodebridge.Batch
	defer func() { b.Flush() }()
	for !sub.isClosed() {
		kept, stored, top := r.kept, r.stored, r.top
		for place < top && !sub.isClosed() {
			if err := sub.to.Room(ctx); err != nil {
				sub.Close()
				return
			}
			var evs []*Event
			at := top
			if place < stored {
				var err error
				if evs, at, err = h.page(place, stored); err != nil {
					j.t.hub.log.Error("replay streams", "tenant", j.t.name, "pattern", sub.pattern, "after", place, "error", err)
					sub.fellBehind(&b)
					return
				}
				j.mu.Lock()
				lost := h.lostLocked(place, true)
				j.mu.Unlock()
				if lost {
					sub.fellBehind(&b)
					return
				}
			}
			evs, at, kept = takeKept(h, evs, kept, at)
			if len(evs) > 0 {
				sub.deliver(evs, &b)
				b.Flush()
			}
			place = at
		}
		j.mu.Lock()
		if h.lostLocked(place, false) { // before it joins: what is left then is not all
			j.mu.Unlock()
			sub.fellBehind(&b)
			return
		}
		if j.joinLocked(sub, h, place, &b) {
			j.mu.Unlock()
			return
		}
		r = roundLocked(h, place)
		j.mu.Unlock()
	}
}

// takeKept adds to a page what memory had up to place at, unless that is too much at once: then it says
// how far it came. A stream that became durable meanwhile may have events in both.
func takeKept(h history, page, kept []*Event, at uint64) (evs []*Event, to uint64, rest []*Event) {
	size := 0
	for len(kept) > 0 && h.place(kept[0]) <= at {
		if size > pageBytes {
			at = h.place(kept[0]) - 1
			break
		}
		page, size, kept = append(page, kept[0]), size+kept[0].size(), kept[1:]
	}
	slices.SortStableFunc(page, func(a, b *Event) int { return cmp.Compare(h.place(a), h.place(b)) })
	page = slices.CompactFunc(page, func(a, b *Event) bool { return h.place(a) == h.place(b) })
	for len(page) > 0 && h.place(page[len(page)-1]) > at {
		page = page[:len(page)-1]
	}
	return page, at, kept
}

// history reads a page of the past of a stream, or of what a pattern matches.
func (j *journal) history(pattern string, wild bool, since Since, limit int) (EventPage, error) {
	page := EventPage{Events: []*Event{}, Epoch: j.t.hub.epoch, placed: wild}
	if err := j.open(); err != nil {
		return page, err
	}
	var h history = &patternHistory{journal: j, pattern: pattern}
	j.mu.Lock()
	if !wild {
		s := j.streams[pattern]
		if s == nil {
			j.mu.Unlock()
			return page, nil
		}
		h = s
	}
	page.Epoch = h.epochLocked()
	place, recovered := h.startLocked(since)
	_, hubs := patternScope(pattern)
	page.Lost = !recovered || hubs && since.Position != nil
	r := roundLocked(h, place)
	j.mu.Unlock()
	top, stored, kept := r.top, r.stored, r.kept
	for place < top && len(page.Events) < limit {
		var evs []*Event
		at := top
		if place < stored {
			var err error
			if evs, at, err = h.page(place, stored); err != nil {
				return page, err
			}
		}
		evs, place, kept = takeKept(h, evs, kept, at)
		page.Events = append(page.Events, evs...)
	}
	if len(page.Events) > limit {
		page.Events = page.Events[:limit]
	}
	if n := len(page.Events); n > 0 && h.place(page.Events[n-1]) < top {
		page.Next = Position{page.Epoch, h.place(page.Events[n-1])}.String()
	}
	return page, nil
}
