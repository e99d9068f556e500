package conn

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// live is a connection that stays: a session or an event stream.
type live interface {
	beat(now int64)                           // called every PingEvery
	leave(reason string, after time.Duration) // the hub drains: end soon
	abort()                                   // end now
	recheck()                                 // what its tenant's callers sign in with may have changed
}

// liveSet is all of them.
type liveSet struct {
	mu     sync.Mutex      // guards the rest
	all    map[live]string // with the tenant that it acts as; "": none, or it has not signed in yet
	of     map[string]map[live]struct{}
	closed bool
	empty  chan struct{} // closed once the set is closed and empty
}

// add adds v, which acts as a tenant. It gives false, and does not add, if the hub drains.
func (l *liveSet) add(v live, tenant string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.addLocked(v)
	l.joinLocked(v, tenant)
	return true
}

// admit adds even so: v came in before the door was closed. It says whether v must leave at once.
func (l *liveSet) admit(v live) (leave bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addLocked(v)
	return l.closed
}

func (l *liveSet) addLocked(v live) {
	if l.all == nil {
		l.all, l.of = map[live]string{}, map[string]map[live]struct{}{}
	}
	l.all[v] = ""
}

// join says as which tenant v acts from now on.
func (l *liveSet) join(v live, tenant string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joinLocked(v, tenant)
}

func (l *liveSet) joinLocked(v live, tenant string) {
	was, in := l.all[v]
	if !in || was == tenant {
		return
	}
	l.partLocked(v, was)
	l.all[v] = tenant
	if l.of[tenant] == nil {
		l.of[tenant] = map[live]struct{}{}
	}
	l.of[tenant][v] = struct{}{}
}

// partLocked takes v from its tenant's; the last takes the tenant along.
func (l *liveSet) partLocked(v live, tenant string) {
	delete(l.of[tenant], v)
	if len(l.of[tenant]) == 0 {
		delete(l.of, tenant)
	}
}

func (l *liveSet) remove(v live) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partLocked(v, l.all[v])
	delete(l.all, v)
	if l.closed && len(l.all) == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
}

func (l *liveSet) list() []live {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]live, 0, len(l.all))
	for v := range l.all {
		list = append(list, v)
	}
	return list
}

// listOf gives those that act as a tenant.
func (l *liveSet) listOf(tenant string) []live {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.of[tenant]))
}

// count gives how many sessions and how many event streams there are.
func (l *liveSet) count() (sessions, streams int) {
	for _, v := range l.list() {
		if _, is := v.(*eventStream); is {
			streams++
		} else {
			sessions++
		}
	}
	return sessions, streams
}

// close refuses new ones and gives those that are there.
func (l *liveSet) close() []live {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return l.list()
}

func (l *liveSet) draining() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// wait waits for all to be gone; it gives false if ctx ended first. The set must be closed.
func (l *liveSet) wait(ctx context.Context) bool {
	l.mu.Lock()
	if len(l.all) == 0 {
		l.mu.Unlock()
		return true
	}
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.mu.Unlock()
	select {
	case <-empty:
		return true
	case <-ctx.Done():
		return false
	}
}
