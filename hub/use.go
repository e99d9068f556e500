package hub

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/tenants"
)

// What is on the versions of functions: tenants asks before it deletes one (tenants.Use).

// use counts what is on one version.
type use struct {
	running, queued, paused int
	abandoned               int      // functions that may still run though their attempts' ends were decided without them
	retriable               int      // ended, but may be tried again
	triggers                []string // that call the version by its number
}

// busy reports whether something is on the version that a deletion would break.
func (u *use) busy() bool { return u.running+u.queued+u.paused+u.abandoned+len(u.triggers) > 0 }

func (u *use) add(s State) {
	switch s {
	case Queued:
		u.queued++
	case Running, Pausing:
		u.running++
	case Paused:
		u.paused++
	case Failed, Cancelled:
		u.retriable++
	}
}

// The values of the index of a function's executions (keyspace.go), behind which stands the version:
// nothing for one that has not ended, and which of these for one that has. The first formats had no
// version, and one value for all that ended.
const (
	indexEnded = 'e'
	indexAgain = 'r' // it failed or was cancelled, so it may be tried again
)

// indexValue is the value of a record's index entry.
func indexValue(r *Record) []byte {
	var b []byte
	switch {
	case r.State == Failed || r.State == Cancelled:
		b = append(b, indexAgain)
	case r.State.Ended():
		b = append(b, indexEnded)
	}
	return strconv.AppendInt(b, int64(r.Version), 10)
}

// indexed reads an index entry's value; version 0: it does not say.
func indexed(v []byte) (ended, again bool, version int) {
	if len(v) > 0 && (v[0] == indexEnded || v[0] == indexAgain) {
		ended, again = true, v[0] == indexAgain
		v = v[1:]
	}
	version, _ = strconv.Atoi(string(v)) // an entry of the first formats says nothing
	return ended, again, version
}

// usesRead is how many stored executions are read to tell paused from queued ones.
const usesRead = 1000

// uses gives what is on each version of a function. What is in memory is looked at first: what leaves it
// meanwhile is in the store by then.
func (t *tenant) uses(fn string) (map[int]*use, error) {
	all := map[int]*use{}
	on := func(version int) *use {
		if all[version] == nil {
			all[version] = &use{}
		}
		return all[version]
	}
	seen, read := map[string]bool{}, 0
	t.live.Range(func(id string, x *Execution) bool {
		if x.rec.Function != fn { // never changes
			return true
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		switch {
		case x.forgotten:
		case !x.evicted:
			on(x.rec.Version).add(x.rec.State)
			seen[id] = x.durable
		}
		return true
	})
	for _, version := range t.abandoned.of(fn) { // after what runs: it becomes one of them
		on(version).abandoned++
	}
	err := t.hub.store.Scan(store.Range{Prefix: functionPrefix(t.name, fn)}, func(k, v []byte) (bool, error) {
		ended, again, version := indexed(v)
		_, id := executionOfKey(k)
		switch {
		case seen[id]:
		case again && version > 0:
			on(version).add(Failed)
		case ended && version > 0:
		case version > 0 && read >= usesRead:
			on(version).add(Paused) // almost certainly: it is not in memory
		default: // also what ended in the first formats: on which version, and whether it failed, its record says
			read++
			r, err := t.look(id)
			if fault.Is(err, fault.NotFound) {
				return true, nil
			}
			if err != nil {
				return false, err
			}
			on(r.r.Version).add(r.r.State)
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("look what is on %s: %w", fn, err)
	}
	for version, names := range t.hub.triggers.on(t.name, fn) {
		on(version).triggers = names
	}
	return all, nil
}

// abandoned is the attempts of a tenant whose end was decided without their functions, which may still run: they
// use their version's files until they end, or their process does. Each is told its final frame, also one that waited
// for a process in vain.
type abandoned struct {
	mu  sync.Mutex // guards all
	all map[*attempt]struct{}
}

func (l *abandoned) add(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[*attempt]struct{}{}
	}
	l.all[a] = struct{}{}
}

func (l *abandoned) remove(a *attempt) (was bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, was = l.all[a]
	delete(l.all, a)
	return was
}

// of gives the versions of those of a function, one for each.
func (l *abandoned) of(fn string) (versions []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a := range l.all {
		if a.x.rec.Function == fn { // never changes
			versions = append(versions, a.call.Module.Version)
		}
	}
	return versions
}

// On says what is on versions that are to be deleted. A function as a whole goes with its triggers' calls
// unanswered, as ever.
func (h *Hub) On(fn *tenants.Function, vs []*tenants.Version) error {
	_, all, err := h.usesOf(fn)
	if err != nil {
		return err
	}
	return onThem(fn, vs, all)
}

// onThem is the conflict of what is on versions.
func onThem(fn *tenants.Function, vs []*tenants.Version, all map[int]*use) error {
	var sum use
	whole := len(vs) == len(fn.Versions())
	for _, v := range vs {
		if u := all[v.Number]; u != nil {
			sum.running, sum.queued, sum.paused = sum.running+u.running, sum.queued+u.queued, sum.paused+u.paused
			sum.abandoned += u.abandoned
			if !whole {
				sum.triggers = append(sum.triggers, u.triggers...)
			}
		}
	}
	if !sum.busy() {
		return nil
	}
	what := fmt.Sprintf("the function %q", fn.Name)
	if !whole {
		what = fmt.Sprintf("version %d of %s", vs[0].Number, what)
	}
	if len(sum.triggers) > 0 {
		return fault.New(fault.Conflict, "The trigger %q calls %s: change it first.", sum.triggers[0], what)
	}
	if sum.running+sum.queued+sum.paused == 0 {
		return fault.New(fault.Conflict, "On %s %d cancelled or timed-out executions have functions that still run: they end when they heed hub.signal, or with their process. Wait for them, or drain it (?drain=true).", what, sum.abandoned)
	}
	hint := "Wait for them, drain it (?drain=true), or cancel them."
	if sum.paused > 0 {
		hint = "Resume the paused ones, on another version perhaps, or cancel them."
	}
	return fault.New(fault.Conflict, "Executions are on %s: %d running, %d queued, %d paused. %s", what, sum.running, sum.queued, sum.paused, hint)
}

// looks is what the hub has spent to find what is on versions. Each look goes through the index of all executions of a
// function that are kept.
type looks struct {
	took  atomic.Int64 // nanoseconds, those of drains included
	count atomic.Int64 // added after took
}

// Rests between looks: retention looks again when an execution leaves a version that is to go, and a drain until
// nothing is left, so that with many executions kept they would do little else.
const (
	restTimes   = 19 // as long as a look took: looks take a twentieth of one processor
	longestRest = time.Minute
)

// restAfter gives how long there is no look after one that took so long.
func restAfter(took time.Duration) time.Duration { return min(restTimes*took, longestRest) }

// useLook is how often a drain of a version looks whether everything has ended.
const useLook = 20 * time.Millisecond

// Drained waits until nothing is on versions that take nothing new. What is paused does not end by itself.
func (h *Hub) Drained(ctx context.Context, fn *tenants.Function, vs []*tenants.Version) error {
	tick := time.NewTicker(useLook)
	defer tick.Stop()
	wanted := map[int]bool{}
	for _, v := range vs {
		wanted[v.Number] = true
	}
	for {
		began := time.Now()
		t, all, err := h.usesOf(fn)
		if err != nil {
			return err
		}
		next := time.Now().Add(restAfter(time.Since(began)))
		left := onThem(fn, vs, all)
		if left == nil || ctx.Err() != nil {
			return left
		}
		for _, v := range vs {
			if u := all[v.Number]; u != nil && (u.paused > 0 || len(u.triggers) > 0) {
				return left
			}
		}
		for again := true; again && ctx.Err() == nil; again = time.Now().Before(next) || t.runs(fn.Name, wanted) { // a cheaper look meanwhile
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}
}

// runs reports whether something in memory is on versions of a function: a cheap look.
func (t *tenant) runs(fn string, versions map[int]bool) (found bool) {
	t.live.Range(func(_ string, x *Execution) bool {
		if x.rec.Function == fn {
			x.mu.Lock()
			found = versions[x.rec.Version] && !x.evicted && (x.rec.State == Running || x.rec.State == Pausing || x.rec.State == Queued)
			x.mu.Unlock()
		}
		return !found
	})
	return found || slices.ContainsFunc(t.abandoned.of(fn), func(version int) bool { return versions[version] })
}

// Needed gives the versions that must be kept though newer ones are enough.
func (h *Hub) Needed(fn *tenants.Function) (map[int]bool, error) {
	_, all, err := h.usesOf(fn)
	if err != nil {
		return nil, err
	}
	needed := map[int]bool{}
	for version, u := range all {
		needed[version] = u.busy() || u.retriable > 0
	}
	return needed, nil
}

// usesOf is uses of a function that may be gone.
func (h *Hub) usesOf(fn *tenants.Function) (*tenant, map[int]*use, error) {
	owner, err := h.registry.Tenant(fn.Versions()[0].Tenant)
	if err != nil {
		return nil, nil, err
	}
	t := h.tenant(owner)
	began := time.Now()
	all, err := t.uses(fn.Name)
	h.looks.took.Add(int64(time.Since(began)))
	h.looks.count.Add(1)
	return t, all, err
}
