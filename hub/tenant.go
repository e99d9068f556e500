package hub

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v3"

	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// tenant is the live part of one tenant.
type tenant struct {
	hub   *Hub
	name  string
	owner *tenants.Tenant

	routes  *xsync.MapOf[*tenants.Version, *route] // one a version, whatever reference led to it
	live    *xsync.MapOf[string, *Execution]       // by id: every execution that has an owner in memory
	pending *xsync.MapOf[string, *keyed]           // idempotency keys whose record is not on disk yet

	lifecycle atomic.Int32 // subscriptions that may see function.*; 0: calls need not say when they start and end
	wildRuns  atomic.Int32 // patterns that may match execution.*
	wildHubs  atomic.Int32 // patterns that begin with hub

	wildMu  sync.RWMutex // guards wild
	wild    index        // patterns that may match execution.* and function.*
	journal *journal     // the tenant's own streams

	bridges   bridgeEvents
	presence  presence
	admission admission
	abandoned abandoned

	mu        sync.Mutex // guards all below
	functions map[string]*stream
	running   int    // durable executions that hold a place
	queue     *queue // queued ones that wait for a place
}

// route is where calls of one version go.
type route struct {
	version  *tenants.Version
	module   *nodebridge.Module
	checking atomic.Bool                      // it is not among its function's versions yet
	fn       atomic.Pointer[tenants.Function] // as it was at the last change
}

func newTenant(h *Hub, owner *tenants.Tenant) *tenant {
	t := &tenant{
		hub: h, name: owner.Name(), owner: owner,
		routes:    xsync.NewMapOf[*tenants.Version, *route](),
		live:      xsync.NewMapOf[string, *Execution](),
		pending:   xsync.NewMapOf[string, *keyed](),
		functions: map[string]*stream{},
		queue:     newQueue(),
		presence:  presence{most: h.cfg.MaxPresence, rooms: map[string]*room{}},
	}
	t.journal = newJournal(t)
	t.bridges.stream = newStream(t, bridgesStream, newEpoch(), 0)
	return t
}

// route resolves a reference (name, name@version, name@alias). The functions' table is swapped on every
// change, so what it gives was right at one moment during the call. ref is not kept.
func (t *tenant) route(ref, key string) (r *route, via string, err error) {
	v, via, err := t.owner.ResolveFor(ref, key)
	if err != nil {
		return nil, "", err
	}
	return t.routeOf(v), via, nil
}

func (t *tenant) routeOf(v *tenants.Version) *route {
	if r, ok := t.routes.Load(v); ok {
		return r
	}
	r, _ := t.routes.LoadOrCompute(v, func() *route {
		r := &route{version: v, module: nodebridge.NewModule(nodebridge.Module{
			Function: v.Function, Version: v.Number, Tenant: v.Tenant, Dir: v.Dir,
			Tail: v.Settings.TailArgument(), Env: v.Settings.Env, Concurrency: v.Settings.Concurrency, Node: v.Program(),
		})}
		if fn, err := t.owner.Function(v.Function); err == nil {
			r.fn.Store(fn)
		}
		return r
	})
	return r
}

// forgetRoute forgets a version that is no longer there. The bridges keep its module until the calls of it
// that are under way have ended.
func (t *tenant) forgetRoute(v *tenants.Version) {
	if r, ok := t.routes.LoadAndDelete(v); ok {
		t.hub.bridges.Unload(t.name, r.module)
	}
}

// routeTo gives the route of a version that can be called.
func (t *tenant) routeTo(fn string, version int) (*route, error) {
	r, _, err := t.route(versionRef(fn, version), "")
	return r, err
}

// route is where the execution's attempts go: its version never changes while it runs.
func (x *Execution) route() (*route, error) { return x.t.routeTo(x.rec.Function, x.rec.Version) }

// subscribe attaches sub to the stream with its name.
func (t *tenant) subscribe(sub *Subscription, since Since) error {
	kind, rest, _ := strings.Cut(sub.pattern, ".")
	switch kind {
	case "execution":
		return t.subscribeExecution(sub, rest, since)
	case "function":
		if _, err := t.owner.Function(rest); err != nil {
			return err
		}
		t.lifecycle.Add(1)
		t.mu.Lock()
		s := t.functions[rest]
		if s == nil {
			s = newStream(t, sub.pattern, newEpoch(), 0)
			t.functions[rest] = s
		}
		sub.stream = s
		s.attach(sub, since) // under t.mu, so that the stream is not dropped as unwatched before
		t.mu.Unlock()
		return nil
	case "hub":
		if sub.pattern != bridgesStream {
			return noHubStream(sub.pattern)
		}
		t.watchBridges(1)
		sub.stream = t.bridges.stream
		sub.stream.attach(sub, since)
		return nil
	}
	return t.journal.subscribe(sub, since)
}

// subscribeWild shows what a pattern matches: live for the hub's own streams, from since on for the
// tenant's. One that may match the hub's own has no history of them, so a position of it is never
// recovered whole.
func (t *tenant) subscribeWild(sub *Subscription, since Since) error {
	own, hubs := patternScope(sub.pattern)
	if hubs {
		t.countWild(sub.pattern, 1)
		t.wildMu.Lock()
		t.wild.add(sub)
		t.wildMu.Unlock()
		sub.live = true
	}
	if !own {
		sub.start, sub.recovered = Position{Epoch: t.hub.epoch}, since.Position == nil
		return nil
	}
	return t.journal.subscribe(sub, since)
}

// countWild keeps the counters that tell calls whether somebody may be looking.
func (t *tenant) countWild(pattern string, n int32) {
	switch token, _, _ := strings.Cut(pattern, "."); token {
	case "function":
		t.lifecycle.Add(n)
	case "execution":
		t.wildRuns.Add(n)
	case "hub":
		t.wildHubs.Add(n)
	case "*", ">":
		t.lifecycle.Add(n)
		t.wildRuns.Add(n)
	}
	if matches(pattern, bridgesStream) {
		t.watchBridges(int(n))
	}
}

// unsubscribe forgets a closed subscription.
func (t *tenant) unsubscribe(sub *Subscription) {
	if sub.journal {
		t.journal.unsubscribe(sub)
	}
	if sub.live {
		t.wildMu.Lock()
		t.wild.remove(sub)
		t.wildMu.Unlock()
		t.countWild(sub.pattern, -1)
		t.forgetUnwatched()
	}
	if sub.stream == nil {
		return
	}
	last := sub.stream.unsubscribe(sub)
	kind, rest, _ := strings.Cut(sub.pattern, ".")
	switch {
	case kind == "function":
		t.lifecycle.Add(-1)
		t.forgetUnwatched()
	case kind == "hub":
		t.watchBridges(-1)
	case last:
		if x, ok := t.live.Load(rest); ok {
			x.evictIfIdle()
		}
	}
}

// forgetUnwatched drops the streams of functions at which nobody looks. What happens meanwhile is not
// published, so the next subscription begins in a new epoch.
func (t *tenant) forgetUnwatched() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for fn, s := range t.functions {
		if !t.watchedLocked(s) {
			delete(t.functions, fn)
		}
	}
}

func (t *tenant) watchedLocked(s *stream) bool {
	s.mu.Lock()
	n := len(s.subs)
	s.mu.Unlock()
	return n > 0 || t.wildMatches(s.name)
}

func (t *tenant) wildMatches(name string) bool {
	t.wildMu.RLock()
	defer t.wildMu.RUnlock()
	return t.wild.matches(name)
}

// publishWild delivers ev to the patterns that match its stream.
func (t *tenant) publishWild(ev *Event, b *nodebridge.Batch) {
	if t.lifecycle.Load() == 0 && t.wildRuns.Load() == 0 && t.wildHubs.Load() == 0 {
		return
	}
	t.wildMu.RLock()
	t.wild.deliver(ev.Stream, &delivery{one: ev, b: b})
	t.wildMu.RUnlock()
}

// publishLifecycle tells function.<name> what happened to one of its executions, if somebody looks.
func (t *tenant) publishLifecycle(fn, eventType string, at int64, data []byte, b *nodebridge.Batch) {
	if t.lifecycle.Load() == 0 {
		return
	}
	name := "function." + fn
	t.mu.Lock()
	s := t.functions[fn]
	if s == nil && t.wildMatches(name) {
		s = newStream(t, name, newEpoch(), 0)
		t.functions[fn] = s
	}
	t.mu.Unlock()
	if s != nil {
		s.publish(&Event{Stream: name, Type: eventType, Time: at, Data: data}, b)
	}
}
