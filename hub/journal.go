package hub

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
)

// journal is the one sequence over all streams that a tenant made itself. Beside its offset in its own
// stream each event has a number in the sequence. Both are given when the event is accepted, and events
// are published in the order of their numbers, so that a number says all that a pattern's subscriber
// has. Numbers go on over restarts (journalstore.go); those of events that were refused are missing.
//
// Events of durable streams are published when they are on disk. Until then all that was accepted after
// them waits, whatever its stream.
type journal struct {
	t *tenant

	opening sync.Mutex // held while the store is read

	mu       sync.Mutex // guards all below
	opened   bool
	closed   bool   // the tenant was deleted
	epoch    string // of the sequence; it stays as long as the tenant
	base     uint64 // numbers up to it are of earlier processes
	last     uint64 // given to the newest event
	top      uint64 // of the newest event that is published
	reserved uint64 // numbers up to it may be given: the store knows that they may be in use
	reserve  bool   // a write that raises reserved is on its way
	bases    []uint64

	streams  map[string]*tenantStream
	durables int           // of streams
	patterns index         // of patterns that may match streams
	queue    []*entry      // accepted, not published yet
	queued   int           // bytes of queue
	waiting  []func(error) // for open; the first is being called

	ring   []*Event // of all streams, in order; some are gone from their streams' history
	bytes  int      // of those that are not gone
	dead   int      // number of those that are gone
	waste  int      // bytes of them
	cached uint64   // events of durable streams from this number on are in ring

	lost   uint64            // the highest number that some stream's history lost
	floor  uint64            // what is not known to be there: up to this number streams were forgotten
	ghosts map[string]uint64 // streams that are gone, and the highest number that went with each
	marks  int               // streams that this process has marked in the store
	all    bool              // there were too many: the next process takes all for lost
}

// entry is events of one publish on their way, or a change of a stream, which has none.
type entry struct {
	s       *tenantStream
	evs     []*Event
	size    int
	settled bool  // on disk, or without need for it; or refused
	err     error // why it was refused
	pos     Position
	done    chan struct{} // closed when it was published, or refused; nil: at once
	told    func(Position, error)
}

func newJournal(t *tenant) *journal {
	return &journal{t: t, streams: map[string]*tenantStream{}, ghosts: map[string]uint64{}, patterns: index{slot: slotJournal}}
}

// publish appends pubs, which were checked, to a stream, all or none, and gives the place of the last. For
// a durable stream it returns when they are on disk.
func (j *journal) publish(ctx context.Context, name string, pubs []Publication) (Position, error) {
	if err := j.open(); err != nil {
		return Position{}, err
	}
	var b nodebridge.Batch
	e, err := j.submit(name, pubs, nil, &b)
	b.Flush()
	if err == nil {
		err = e.wait(ctx, j.t.hub.cfg.StoreWait)
	}
	if err != nil {
		return Position{}, err
	}
	return e.pos, nil
}

// submit accepts pubs and never blocks. The journal must be open. told, if not nil, is called with how it
// ended, unless submit gives an error; it must not block. b collects what is to be flushed now.
func (j *journal) submit(name string, pubs []Publication, told func(Position, error), b *nodebridge.Batch) (*entry, error) {
	j.mu.Lock()
	s, err := j.streamLocked(name)
	if err == nil {
		err = j.mayLocked(len(pubs))
	}
	if err != nil {
		j.mu.Unlock()
		return nil, err
	}
	e := j.acceptLocked(s, pubs)
	e.told = told
	ops := j.opsLocked(e)
	switch {
	case len(ops) > 0:
		e.done = make(chan struct{})
		j.pushLocked(e)
		j.t.hub.store.Offer(ops, func(err error) { j.settle(e, err) })
	case len(j.queue) > 0:
		e.settled = true
		j.pushLocked(e)
	default:
		j.publishLocked(e, b)
	}
	now := e.done == nil && !e.settled
	j.mu.Unlock()
	if now && told != nil {
		told(e.pos, e.err)
	}
	return e, nil
}

// whenOpen calls f once the journal is open, or with the reason why it is not: at once, or later, in the
// order of the calls. It never blocks.
func (j *journal) whenOpen(f func(error)) {
	j.mu.Lock()
	if j.opened && len(j.waiting) == 0 {
		j.mu.Unlock()
		f(nil)
		return
	}
	j.waiting = append(j.waiting, f)
	first := len(j.waiting) == 1
	j.mu.Unlock()
	if !first {
		return
	}
	if !j.t.hub.spawn(func(context.Context) { j.callWaiting(j.open()) }) {
		j.callWaiting(fault.New(fault.Drained, "The hub is shutting down."))
	}
}

// callWaiting calls those who wait for open, also those who come meanwhile.
func (j *journal) callWaiting(err error) {
	for more := true; more; {
		j.mu.Lock()
		f := j.waiting[0]
		j.mu.Unlock()
		f(err)
		j.mu.Lock()
		j.waiting = j.waiting[1:] // it stayed there so that what comes meanwhile waits behind it
		more = len(j.waiting) > 0
		j.mu.Unlock()
	}
}

// mayLocked says whether n events can be accepted.
func (j *journal) mayLocked(n int) error {
	switch {
	case j.closed:
		return errTenantDeleted
	case j.last+uint64(n) > j.reserved:
		return fault.New(fault.StorageUnavailable, "The hub could not write to its store for so long that it cannot number further events.")
	case j.queued > j.t.hub.cfg.MaxHistory:
		return fault.New(fault.StorageUnavailable, "More than %d bytes of events wait for the store.", j.t.hub.cfg.MaxHistory)
	}
	return nil
}

// acceptLocked gives events their offsets and numbers.
func (j *journal) acceptLocked(s *tenantStream, pubs []Publication) *entry {
	e := &entry{s: s, evs: make([]*Event, len(pubs)), pos: Position{s.epoch, s.last + uint64(len(pubs))}}
	at := now()
	for i, p := range pubs {
		s.last++
		j.last++
		ev := &Event{
			Stream: s.name, Offset: s.last, Type: p.Type, Time: at, Data: p.Data, CloudEvent: p.CloudEvent,
			number: j.last, stored: s.Durable,
		}
		e.evs[i], e.size = ev, e.size+ev.size()
	}
	if j.last+numbersReserved/2 > j.reserved && !j.reserve {
		j.reserveLocked()
	}
	return e
}

// opsLocked gives what has to be on disk before e is published: its events if the stream is durable, and
// before the first one of a stream in memory the mark that it had some.
func (j *journal) opsLocked(e *entry) (ops []store.Op) {
	s := e.s
	if s.Durable {
		for _, ev := range e.evs {
			s.written += int64(ev.size())
			ops = append(ops, s.eventOps(ev, s.written)...)
		}
		return ops
	}
	if s.marked || j.all {
		return nil
	}
	return j.markLocked(s)
}

func (j *journal) pushLocked(e *entry) {
	j.queue = append(j.queue, e)
	j.queued += e.size
}

// settle is told by the store that e is on disk, or was refused. It runs on the committer.
func (j *journal) settle(e *entry, err error) {
	j.mu.Lock()
	e.settled, e.err = true, err
	if err == nil && !e.s.Durable && len(e.evs) > 0 {
		e.s.marked = true
	}
	n := 0
	for n < len(j.queue) && j.queue[n].settled {
		j.queued -= j.queue[n].size
		j.publishLocked(j.queue[n], &j.t.hub.batch)
		n++
	}
	over := slices.Clone(j.queue[:n])
	j.queue = slices.Delete(j.queue, 0, n)
	j.mu.Unlock()
	for _, e := range over {
		if e.told != nil {
			e.told(e.pos, e.err)
		}
	}
}

// publishLocked delivers e in its turn.
func (j *journal) publishLocked(e *entry, b *nodebridge.Batch) {
	if e.err == nil && e.s.gone && len(e.evs) > 0 {
		e.err = errStreamDeleted
	}
	if e.err == nil && len(e.evs) > 0 {
		for _, ev := range e.evs {
			j.top = ev.number
			e.s.appendLocked(ev)
		}
		e.s.trimLocked(e.evs[0].Time)
		j.boundLocked()
		d := delivery{evs: e.evs, b: b}
		d.to(e.s.subs)
		j.patterns.deliver(e.s.name, &d)
	}
	if e.done != nil {
		close(e.done)
	}
}

var errTenantDeleted = fault.New(fault.NotFound, "The tenant was deleted.")

var errStreamDeleted = fault.New(fault.Conflict, "The stream was deleted meanwhile.")

// wait gives how e ended. What only waits for its turn is as good as published.
func (e *entry) wait(ctx context.Context, most time.Duration) error {
	if e.done == nil {
		return nil
	}
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-e.done:
		return e.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return fault.New(fault.StorageUnavailable, "The store has not taken the event yet; it may still do so.")
	}
}

// boundLocked keeps what the tenant's streams have in memory within MaxHistory: the oldest goes first,
// whatever its stream.
func (j *journal) boundLocked() {
	for j.bytes > j.t.hub.cfg.MaxHistory && len(j.ring) > 0 {
		ev := j.ring[0]
		if s := j.streams[ev.Stream]; !ev.gone && s != nil {
			s.dropLocked(1)
		}
		j.popLocked()
	}
	for len(j.ring) > 0 && j.ring[0].gone {
		j.popLocked()
	}
	if j.dead > 64+len(j.ring)/2 || j.waste > 1<<20+j.bytes/2 {
		kept := make([]*Event, 0, len(j.ring)-j.dead)
		for _, ev := range j.ring {
			if !ev.gone {
				kept = append(kept, ev)
			}
		}
		j.ring, j.dead, j.waste = kept, 0, 0
	}
}

// popLocked takes the ring's first event out.
func (j *journal) popLocked() {
	ev := j.ring[0]
	j.ring[0] = nil
	j.ring = j.ring[1:]
	if ev.gone {
		j.dead--
		j.waste -= ev.size()
	} else {
		j.bytes -= ev.size()
	}
}

// lostLocked notes that a history has no longer what is up to number.
func (j *journal) lostLocked(number uint64) { j.lost = max(j.lost, number) }

// ghostLocked remembers what went with a stream.
func (j *journal) ghostLocked(name string, lost uint64) {
	if lost == 0 {
		return
	}
	j.lostLocked(lost)
	if len(j.ghosts) >= maxGhosts {
		for _, n := range j.ghosts {
			j.floor = max(j.floor, n)
		}
		clear(j.ghosts)
	}
	j.ghosts[name] = max(j.ghosts[name], lost)
}

// streamLocked gives the stream with a name, which is made if need be.
func (j *journal) streamLocked(name string) (*tenantStream, error) {
	if s := j.streams[name]; s != nil {
		s.used = now()
		return s, nil
	}
	if len(j.streams) >= j.t.hub.cfg.MaxStreams {
		j.sweepLocked(now())
	}
	if len(j.streams) >= j.t.hub.cfg.MaxStreams {
		return nil, fault.New(fault.Overloaded, "The tenant has %d streams, which is its limit. Delete some; those in memory go by themselves once they are empty and unused.", len(j.streams))
	}
	s := newTenantStream(j, name, newEpoch(), defaultRetention)
	if s.lost = j.ghosts[name]; s.lost > 0 {
		delete(j.ghosts, name)
	}
	j.streams[name] = s
	return s, nil
}

// unsubscribe forgets a closed subscription.
func (j *journal) unsubscribe(sub *Subscription) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !sub.joined {
		return
	}
	sub.joined = false
	if sub.own != nil {
		sub.own.subs.remove(sub, slotJournal)
		sub.own.used = now()
	} else {
		j.patterns.remove(sub)
	}
}

// close ends every subscription and refuses what comes; the tenant is deleted.
func (j *journal) close() {
	var b nodebridge.Batch
	j.mu.Lock()
	j.closed = true
	for _, s := range j.streams {
		s.endLocked(&b)
	}
	j.mu.Unlock()
	b.Flush()
}

// maxGhosts is the number of streams that are gone of which each is remembered by its name.
const maxGhosts = 10_000

// never is a number that no event has.
const never = math.MaxUint64

// sizes gives the number of streams, and the bytes of events in memory.
func (j *journal) sizes() (streams, bytes int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.streams), j.bytes
}
