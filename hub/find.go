package hub

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// How an execution is found by its id, and who owns it meanwhile.

// find gives the execution's one owner in memory, loading it from the store if it is parked. An ended
// one is loaded for the caller alone: nothing about it changes any more.
func (t *tenant) find(id string) (*Execution, error) { return t.findOr(id, false) }

// findOr is find that, if keep is true, also makes the caller an owner of an ended execution.
func (t *tenant) findOr(id string, keep bool) (*Execution, error) {
	if x, ok := t.live.Load(id); ok {
		return x, nil
	}
	if len(id) != 26 || !isToken(id) {
		return nil, UnknownExecution(id)
	}
	var ended *Execution
	var fail error
	x, ok := t.live.Compute(id, func(x *Execution, ok bool) (*Execution, bool) {
		if ok {
			return x, false
		}
		if x, fail = t.load(id); fail != nil {
			return nil, true
		}
		if x.rec.State.Ended() && !keep {
			ended = x
			return nil, true
		}
		return x, false
	})
	switch {
	case fail != nil:
		return nil, fail
	case ended != nil:
		return ended, nil
	case !ok:
		return nil, UnknownExecution(id)
	}
	return x, nil
}

// load reads an execution from the store.
func (t *tenant) load(id string) (*Execution, error) {
	r, err := t.read(id)
	if err != nil {
		return nil, err
	}
	x := &Execution{t: t, rec: *r, durable: true}
	first := uint64(0)
	prefix := eventsPrefix(t.name, id)
	for _, reverse := range []bool{false, true} {
		err := t.hub.store.Scan(store.Range{Prefix: prefix, Reverse: reverse, KeysOnly: true}, func(k, _ []byte) (bool, error) {
			if reverse {
				x.rec.Offset = max(x.rec.Offset, offsetOfEventKey(k)) // events since the last transition
			} else {
				first = offsetOfEventKey(k)
			}
			return false, nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the events of %s: %w", id, err)
		}
	}
	if err := x.readInbox(); err != nil {
		return nil, err
	}
	if r.Snapshot != nil && r.Snapshot.Args != nil {
		x.blob = r.Snapshot.Args.blob
	}
	x.shown.Store(r)
	s := x.streamLocked(nil)
	s.ended = r.State.Ended()
	if first > 0 {
		s.first = first
	}
	return x, nil
}

// read gives an execution's record with its payloads.
func (t *tenant) read(id string) (*Record, error) {
	b, err := t.hub.store.Get(executionKey(t.name, id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, UnknownExecution(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read execution %s: %w", id, err)
	}
	r, err := decodeRecord(b)
	if err != nil {
		return nil, err
	}
	for _, p := range r.payloads() {
		if p != nil && p.blob != "" {
			if p.Data, err = t.hub.store.Get(blobKey(t.name, id, p.blob)); err != nil {
				return nil, fmt.Errorf("read %s of execution %s: %w", p.blob, id, err)
			}
		}
	}
	return r, nil
}

// look shows an execution without becoming its owner.
func (t *tenant) look(id string) (View, error) {
	if x, ok := t.live.Load(id); ok {
		return x.View(), nil
	}
	if len(id) != 26 || !isToken(id) {
		return View{}, UnknownExecution(id)
	}
	r, err := t.read(id)
	if err != nil {
		return View{}, err
	}
	return View{r}, nil
}

// command has f decide about an execution under its lock; it then waits until what f wrote, if
// anything, is on disk, and shows the execution.
func (t *tenant) command(ctx context.Context, id string, f func(x *Execution) (*write, error)) (View, error) {
	x, err := t.own(id)
	if err != nil {
		return View{}, err
	}
	w, err := f(x)
	x.mu.Unlock()
	if w != nil {
		return w.wait(ctx)
	}
	v := x.View()
	x.evictIfIdle()
	return v, err
}

// evictIfIdle gives up an execution that is parked, ended or delayed and that nobody watches or waits
// for, once everything about it is on disk.
func (x *Execution) evictIfIdle() {
	x.mu.Lock()
	defer x.mu.Unlock()
	idle := x.rec.State == Paused || x.rec.State.Ended() || x.rec.State == Queued && x.rec.NotBefore > 0
	if !x.durable || x.evicted || !idle || x.run != nil || x.leaving != nil || len(x.repliers) > 0 || x.pending > 0 {
		return // what is pending comes here again
	}
	x.stream.mu.Lock()
	watched := len(x.stream.subs) > 0
	x.stream.mu.Unlock()
	if !watched {
		x.evicted = true
		x.t.live.Delete(x.rec.ID)
	}
}

// Execution shows one execution.
func (h *Hub) Execution(owner *tenants.Tenant, id string) (View, error) {
	return h.tenant(owner).look(id)
}

// Await has to told the answer of an execution: at once if it has ended or is paused to stay
// so. stop takes it back.
func (h *Hub) Await(owner *tenants.Tenant, id string, to Replier) (stop func(), err error) {
	x, err := h.tenant(owner).await(id, to)
	if err != nil {
		return nil, err
	}
	return func() { x.forget(to) }, nil
}

func (t *tenant) await(id string, to Replier) (*Execution, error) {
	x, err := t.own(id)
	if err != nil {
		return nil, err
	}
	var b nodebridge.Batch
	done := false
	if r := x.shown.Load(); r != nil && (r.State.Ended() || r.State == Paused && !movesOn(r.Snapshot)) {
		answer := answerOf(r)
		done = to.Reply(&answer, &b) || r.State.Ended()
	}
	if !done {
		x.repliers = append(x.repliers, to)
	}
	x.mu.Unlock()
	b.Flush()
	x.evictIfIdle()
	return x, nil
}

// own gives the execution's one owner, locked.
func (t *tenant) own(id string) (*Execution, error) { return t.ownOr(id, false) }

// ownEnded is own for those who may change an execution that has ended.
func (t *tenant) ownEnded(id string) (*Execution, error) { return t.ownOr(id, true) }

func (t *tenant) ownOr(id string, keep bool) (*Execution, error) {
	for {
		x, err := t.findOr(id, keep)
		if err != nil {
			return nil, err
		}
		x.mu.Lock()
		switch {
		case x.forgotten:
			x.mu.Unlock()
			return nil, UnknownExecution(id)
		case !x.evicted:
			return x, nil
		}
		x.mu.Unlock() // parked or ended since find: whoever evicts it takes it out of live, too
		runtime.Gosched()
	}
}

func (x *Execution) forget(to Replier) {
	x.mu.Lock()
	for i, have := range x.repliers {
		if have == to {
			x.repliers = append(x.repliers[:i:i], x.repliers[i+1:]...)
			break
		}
	}
	x.mu.Unlock()
	x.evictIfIdle()
}

func (t *tenant) subscribeExecution(sub *Subscription, id string, since Since) error {
	x, err := t.own(id)
	if err != nil {
		return err
	}
	var b nodebridge.Batch
	sub.stream = x.streamLocked(&b)
	sub.stream.attach(sub, since)
	x.mu.Unlock()
	b.Flush()
	return nil
}
