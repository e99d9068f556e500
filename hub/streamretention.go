package hub

import (
	"context"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/internal/units"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// Retention says how much history a stream keeps: as much as all three bounds allow.
type Retention struct {
	Durable   bool           `json:"durable"` // in the store: over restarts, and an event is published once it is on disk
	MaxEvents int            `json:"maxEvents"`
	MaxBytes  units.Size     `json:"maxBytes"` // of types, data and 64 bytes an event
	MaxAge    units.Duration `json:"maxAge"`
}

// The bounds of a stream that has none of its own.
var (
	defaultRetention = Retention{MaxEvents: ringEvents, MaxBytes: ringBytes, MaxAge: units.Duration(time.Hour)}
	durableRetention = Retention{Durable: true, MaxEvents: 100_000, MaxBytes: 64 << 20, MaxAge: units.Duration(7 * 24 * time.Hour)}
)

func (r Retention) withDefaults() Retention {
	d := defaultRetention
	if r.Durable {
		d = durableRetention
	}
	if r.MaxEvents == 0 {
		r.MaxEvents = d.MaxEvents
	}
	if r.MaxBytes == 0 {
		r.MaxBytes = d.MaxBytes
	}
	if r.MaxAge == 0 {
		r.MaxAge = d.MaxAge
	}
	return r
}

// maxAge gives it in milliseconds.
func (r *Retention) maxAge() int64 { return time.Duration(r.MaxAge).Milliseconds() }

// StreamInfo is a stream of a tenant's as it stands.
type StreamInfo struct {
	Stream string `json:"stream"`
	Retention
	Epoch  string     `json:"epoch"`
	First  uint64     `json:"first"`  // offset of the oldest event of history; offset+1 if there is none
	Offset uint64     `json:"offset"` // of the newest event
	Bytes  units.Size `json:"bytes"`  // of history
}

func (s *tenantStream) infoLocked() StreamInfo {
	s.trimLocked(now())
	info := StreamInfo{s.name, s.Retention, s.epoch, s.first, s.top, units.Size(s.bytes)}
	if s.Durable {
		info.Bytes = units.Size(s.written - s.dropped)
	}
	return info
}

// Stream gives a stream of the tenant's own.
func (h *Hub) Stream(owner *tenants.Tenant, name string) (StreamInfo, error) {
	j, err := h.journalFor(owner, name)
	if err != nil {
		return StreamInfo{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.streams[name]
	if s == nil {
		return StreamInfo{}, noStream(name)
	}
	return s.infoLocked(), nil
}

func noStream(name string) error {
	return fault.New(fault.NotFound, "There is no stream %q: nothing was published to it, nobody is subscribed, and no retention was set.", name)
}

func (h *Hub) journalFor(owner *tenants.Tenant, name string) (*journal, error) {
	if err := checkStream(name); err != nil {
		return nil, err
	}
	j := h.tenant(owner).journal
	return j, j.open()
}

// SetStream makes a stream, or gives one another retention. What it has in memory moves to the store when it
// becomes durable. A durable one that has events stays durable: to have it in memory, delete it first.
func (h *Hub) SetStream(ctx context.Context, owner *tenants.Tenant, name string, r Retention) (StreamInfo, error) {
	if r.MaxEvents < 0 {
		return StreamInfo{}, fault.New(fault.InvalidRequest, "maxEvents is 1 or more.")
	}
	j, err := h.journalFor(owner, name)
	if err != nil {
		return StreamInfo{}, err
	}
	r = r.withDefaults()
	j.mu.Lock()
	s, err := j.streamLocked(name)
	switch {
	case err != nil:
	case j.closed:
		err = errTenantDeleted
	case s.Durable && !r.Durable && s.last > 0:
		err = fault.New(fault.Conflict, "The stream %q is durable and has events. To keep it in memory, delete it first.", name)
	case !s.Durable && r.Durable && s.last > s.top:
		err = fault.New(fault.Conflict, "Events of %q are just being published. Try again.", name)
	}
	if err != nil {
		j.mu.Unlock()
		return StreamInfo{}, err
	}
	ops := []store.Op{{Key: streamKey(j.t.name, name), Value: encodeRecordJSON(streamRecord{s.epoch, r})}}
	if r.Durable && !s.Durable {
		ops = append(ops, s.moveLocked()...)
	}
	if r.Durable != s.Durable {
		if j.durables++; !r.Durable {
			j.durables -= 2
		}
	}
	s.Retention, s.defined = r, true
	info := s.infoLocked()
	e := &entry{s: s, done: make(chan struct{})} // in turn with the events before and behind it
	j.pushLocked(e)
	h.store.Enqueue(ops, func(err error) { j.settle(e, err) })
	j.mu.Unlock()
	return info, e.wait(ctx, h.cfg.StoreWait)
}

// moveLocked writes what a stream has in memory to the store.
func (s *tenantStream) moveLocked() (ops []store.Op) {
	s.erased, s.oldest, s.oldestNum = s.first-1, 0, never
	for i, ev := range s.ring {
		if i == 0 {
			s.oldest, s.oldestNum = ev.Time, ev.number
		}
		ev.stored = true
		s.written += int64(ev.size())
		ops = append(ops, s.eventOps(ev, s.written)...)
	}
	return append(ops, s.trimOp(), store.Op{Key: markKey(s.j.t.name, s.name), Delete: true})
}

func (s *tenantStream) trimOp() store.Op {
	return store.Op{Key: trimKey(s.j.t.name, s.name), Value: encodeRecordJSON(trimRecord{s.first, s.lost, s.dropped})}
}

// DeleteStream deletes a stream with its history and ends its subscriptions. One of the same name begins
// anew, in another epoch.
func (h *Hub) DeleteStream(ctx context.Context, owner *tenants.Tenant, name string) error {
	j, err := h.journalFor(owner, name)
	if err != nil {
		return err
	}
	var b nodebridge.Batch
	j.mu.Lock()
	s := j.streams[name]
	if s == nil {
		j.mu.Unlock()
		return noStream(name)
	}
	s.endLocked(&b)
	ops := []store.Op{
		{Key: streamKey(j.t.name, name), Delete: true},
		{Key: trimKey(j.t.name, name), Delete: true},
		j.ghostOp(name, j.base, max(s.lost, s.topNum)),
	}
	e := &entry{s: s, done: make(chan struct{})} // in turn: what is on its way to the stream is refused before
	j.pushLocked(e)
	h.store.Enqueue(ops, func(err error) { j.settle(e, err) })
	j.mu.Unlock()
	b.Flush()
	if err := e.wait(ctx, h.cfg.StoreWait); err != nil {
		return err
	}
	if s.Durable {
		j.erase(ctx, s, never)
	}
	return nil
}

// sweepEvery is the pause between looks for what is over its stream's retention.
const sweepEvery = time.Second

// keepStreams holds streams to their retention until ctx ends.
func (h *Hub) keepStreams(ctx context.Context) {
	h.openJournals()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.tenants.Range(func(_ string, t *tenant) bool {
				t.journal.sweep(ctx, now())
				return ctx.Err() == nil
			})
		}
	}
}

// openJournals has the journals of the last process read, so that what grew old meanwhile goes though nobody
// asks for it.
func (h *Hub) openJournals() {
	var names []string
	err := h.store.Scan(store.Range{Prefix: journalsPrefix(), KeysOnly: true}, func(k, _ []byte) (bool, error) {
		names = append(names, tenantOfJournalKey(k))
		return true, nil
	})
	for _, name := range names {
		owner, gone := h.registry.Tenant(name)
		if gone != nil || err != nil {
			continue
		}
		err = h.tenant(owner).journal.open()
	}
	if err != nil {
		h.log.Error("read the tenants' streams", "error", err)
	}
}

// sweep trims the streams that are over their retention at a time, and forgets those that nobody uses.
func (j *journal) sweep(ctx context.Context, at int64) {
	j.mu.Lock()
	over := j.sweepLocked(at)
	j.mu.Unlock()
	for _, s := range over {
		for ctx.Err() == nil && j.trim(ctx, s, at) {
			continue
		}
	}
}

// sweepLocked is sweep in memory. It gives the durable streams that have too much in the store.
func (j *journal) sweepLocked(at int64) (over []*tenantStream) {
	for name, s := range j.streams {
		if s.Durable {
			if s.overLocked(at) {
				over = append(over, s)
			}
			continue
		}
		s.trimLocked(at)
		if len(s.ring) == 0 && s.last == s.top && len(s.subs) == 0 && !s.defined && at-s.used > s.maxAge() {
			s.gone = true
			delete(j.streams, name)
			j.ghostLocked(name, s.lost)
		}
	}
	j.boundLocked()
	return over
}

// overLocked reports whether a durable stream's history is over its bounds.
func (s *tenantStream) overLocked(at int64) bool {
	return s.first <= s.top && !s.gone && s.exceeds(s.top-s.first+1, s.written-s.dropped, s.oldest, at)
}

// exceeds reports whether a history of so many events and bytes, the oldest of a time, is over the bounds.
func (s *tenantStream) exceeds(events uint64, size, oldest, at int64) bool {
	return events > uint64(s.MaxEvents) || size > int64(s.MaxBytes) || oldest < at-s.maxAge()
}

// trim drops a page of a durable stream's oldest events if they are over its bounds; it gives true if there
// may be more. What memory knows goes first, so that no reader takes what is being deleted for all there is.
func (j *journal) trim(ctx context.Context, s *tenantStream, at int64) (more bool) {
	j.mu.Lock()
	first, top, written := s.first, s.top, s.written
	over := s.overLocked(at)
	j.mu.Unlock()
	if !over {
		return false
	}
	drop, next, err := s.oldestEvents(first, top, func(ev *Event, before int64) bool {
		return s.exceeds(top-ev.Offset+1, written-before, ev.Time, at)
	})
	if err != nil {
		j.t.hub.log.Error("trim a stream", "tenant", j.t.name, "stream", s.name, "error", err)
		return false
	}
	j.mu.Lock()
	if s.gone || len(drop) == 0 {
		j.mu.Unlock()
		return false
	}
	last := drop[len(drop)-1]
	s.first, s.lost, s.dropped = last.ev.Offset+1, last.ev.number, last.written
	n := 0
	for n < len(s.ring) && s.ring[n].Offset < s.first {
		n++
	}
	s.dropLocked(n)
	if next == nil && len(s.ring) > 0 { // published since the store was read
		next = s.ring[0]
	}
	if next != nil {
		s.oldest, s.oldestNum = next.Time, next.number
	}
	j.lostLocked(s.lost)
	op := s.trimOp()
	upto := s.first
	j.mu.Unlock()
	if err := j.t.hub.store.Commit(ctx, op); err != nil {
		return false
	}
	return j.erase(ctx, s, upto) && len(drop) == historyPage
}

// dropped is an event and the bytes of its stream up to and with it.
type dropped struct {
	ev      *Event
	written int64
}

// oldestEvents gives the events from an offset on that exceed says are too much, a page at most, and the
// first one that is not.
func (s *tenantStream) oldestEvents(first, top uint64, exceed func(ev *Event, before int64) bool) (drop []dropped, next *Event, err error) {
	s.j.mu.Lock()
	before := s.dropped
	s.j.mu.Unlock()
	rng := store.Range{Prefix: streamEventsPrefix(s.j.t.name, s.name), Start: streamEventKey(s.j.t.name, s.name, first)}
	err = s.j.t.hub.store.Scan(rng, func(k, v []byte) (bool, error) {
		ev, written, err := decodeStreamEvent(s.name, offsetOfEventKey(k), v)
		if err != nil || ev.Offset > top {
			return false, err
		}
		if len(drop) == historyPage || !exceed(ev, before) {
			next = ev
			return false, nil
		}
		drop, before = append(drop, dropped{ev, written}), written
		return true, nil
	})
	return drop, next, err
}

// erase deletes a durable stream's events below an offset from the store.
func (j *journal) erase(ctx context.Context, s *tenantStream, below uint64) (ok bool) {
	for ctx.Err() == nil {
		j.mu.Lock()
		from := s.erased + 1
		j.mu.Unlock()
		var ops []store.Op
		last := from
		rng := store.Range{Prefix: streamEventsPrefix(j.t.name, s.name), Start: streamEventKey(j.t.name, s.name, from)}
		err := j.t.hub.store.Scan(rng, func(k, v []byte) (bool, error) {
			ev, _, err := decodeStreamEvent(s.name, offsetOfEventKey(k), v)
			if err != nil || ev.Offset >= below {
				return false, err
			}
			ops = append(ops, store.Op{Key: k, Delete: true}, store.Op{Key: logKey(j.t.name, ev.number), Delete: true})
			last = ev.Offset
			return len(ops) < 2*historyPage, nil
		})
		if err == nil && len(ops) > 0 {
			err = j.t.hub.store.Commit(ctx, ops...)
		}
		if err != nil {
			j.t.hub.log.Error("delete trimmed events", "tenant", j.t.name, "stream", s.name, "error", err)
			return false
		}
		if len(ops) == 0 {
			return true
		}
		j.mu.Lock()
		s.erased = last
		j.mu.Unlock()
	}
	return false
}
