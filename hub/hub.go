package hub

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v3"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// Config sets a hub's limits. Zero values are the defaults given beside the fields.
type Config struct {
	MaxEvent           int           // bytes of one event's data: 1 MiB. A larger one is replaced by a log event that says so
	MaxPayload         int           // bytes of a durable execution's arguments, resume arguments or result: 16 MiB
	MaxDurable         int           // durable executions of one tenant that run at once: 10,000; more wait in the queue
	MaxQueued          int64         // bytes that wait for the store's next group, above which events of durable executions are dropped: 64 MiB
	MaxWaiting         int           // durable executions of one tenant that wait for a place: 100,000; further starts are refused
	MaxFunctionWaiting int           // those of one function: 50,000
	MaxInbox           int           // events kept for an execution until its next snapshot: 1,000; one that runs loses the oldest beyond
	MaxInboxBytes      int           // bytes of them: 4 MiB
	MaxDepth           int           // how deep functions may call each other: 64
	MaxChildren        int           // executions, and other answers, that one execution may wait for at once: 1,000
	MaxLost            int           // times an execution may lose its bridge before it fails: 5
	PauseTimeout       time.Duration // how long a function may take to pause, where its settings say nothing: 30 s
	CallArgs           int           // bytes up to which a running call shows its arguments: 4 KiB; -1: none
	KeyTTL             time.Duration // how long an idempotency key holds: 24 h
	KeepEnded          time.Duration // how long an ended durable execution is kept: 7 days; -1: for ever. One with a key is kept as long as the key holds
	AbandonAfter       time.Duration // how long the next attempt waits for a function that was cancelled or ran out of time to end: 30 s
	RetryOverload      time.Duration // pause before a durable execution that found no room tries again: 100 ms
	MaxStreams         int           // streams of its own that one tenant may have at once: 100,000
	MaxHistory         int           // bytes of events of its own streams that one tenant has in memory: 64 MiB; the oldest go first
	MaxPresence        int           // connections of one stream up to which they are listed and their changes are told: 1,000
	MaxLatest          int           // keys of which a subscription with Latest has an event wait: 10,000; beyond, all of them are delivered
	MaxLatestBytes     int           // bytes of those: 64 MiB
	MeasureBridges     time.Duration // how often hub.bridges says how a tenant's bridges are, while somebody is subscribed: 1 s
	StoreWait          time.Duration // how long those wait for a decided transition whose record the store cannot write: 5 s
}

func (c Config) withDefaults() Config {
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	or(&c.MaxEvent, 1<<20)
	or(&c.MaxPayload, 16<<20)
	or(&c.MaxDurable, 10_000)
	if c.MaxQueued == 0 {
		c.MaxQueued = 64 << 20
	}
	or(&c.MaxWaiting, 100_000)
	or(&c.MaxFunctionWaiting, 50_000)
	or(&c.MaxInbox, 1_000)
	or(&c.MaxInboxBytes, 4<<20)
	or(&c.MaxDepth, 64)
	or(&c.MaxChildren, 1_000)
	or(&c.MaxLost, 5)
	or(&c.MaxStreams, 100_000)
	or(&c.MaxHistory, 64<<20)
	or(&c.MaxPresence, 1_000)
	or(&c.MaxLatest, 10_000)
	or(&c.MaxLatestBytes, 64<<20)
	or(&c.CallArgs, 4<<10)
	orDuration := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	orDuration(&c.PauseTimeout, 30*time.Second)
	orDuration(&c.KeyTTL, 24*time.Hour)
	orDuration(&c.KeepEnded, 7*24*time.Hour)
	orDuration(&c.AbandonAfter, 30*time.Second)
	orDuration(&c.RetryOverload, 100*time.Millisecond)
	orDuration(&c.MeasureBridges, time.Second)
	orDuration(&c.StoreWait, 5*time.Second)
	return c
}

// Hub runs executions and shows them to who watches.
type Hub struct {
	cfg      Config
	log      *slog.Logger
	store    *store.Store
	registry *tenants.Registry
	bridges  Bridges
	epoch    string // of streams that live as long as this process

	ids      *ids
	tenants  *xsync.MapOf[string, *tenant]
	timers   *timers
	triggers *triggers
	retiring *retiring
	looks    looks
	batch    nodebridge.Batch // what the store's callbacks touched; the committer's alone

	limiting sync.Mutex    // held while bridges are told limits, so that they hear of changes in order
	draining atomic.Bool   // nothing new is accepted or begun
	ready    chan struct{} // closed once Run has recovered what the last process left
	mu       sync.Mutex    // guards stopping, and tasks.Add against tasks.Wait
	stopping bool
	stop     chan struct{} // closed when Run ends: nothing new is begun
	tasks    sync.WaitGroup
}

// New makes a hub. It becomes live with Run.
func New(cfg Config, st *store.Store, registry *tenants.Registry, bridges Bridges, log *slog.Logger) *Hub {
	h := &Hub{
		cfg: cfg.withDefaults(), log: log, store: st, registry: registry, bridges: bridges, epoch: newEpoch(), ids: newIDs(),
		tenants: xsync.NewMapOf[string, *tenant](), timers: newTimers(), retiring: newRetiring(), ready: make(chan struct{}), stop: make(chan struct{}),
	}
	h.triggers = newTriggers(h)
	st.OnCommitted(func() { h.flushAside(&h.batch) })
	registry.SetCheck(h.check)
	registry.OnDrop(h.dropped)
	registry.OnChange(h.changed)
	registry.OnDelete(h.purge)
	registry.OnLimits(h.limit)
	registry.SetUse(h)
	bridges.Notify(h.noticed)
	return h
}

// Run recovers the executions that the last process left, then waits for ctx. When it returns, the
// hub begins nothing further; what runs in bridges is ended by whoever runs them.
func (h *Hub) Run(ctx context.Context) error {
	if err := h.renewEpochs(ctx); err != nil {
		return err
	}
	if err := h.recover(ctx); err != nil {
		return err
	}
	if err := h.triggers.start(); err != nil {
		return err
	}
	close(h.ready)
	h.spawn(h.tellDeadLetters)
	h.spawn(h.watchStore)
	h.spawn(h.keepStreams)
	h.spawn(h.retire)
	if err := h.runTimers(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	h.stopping = true
	close(h.stop)
	h.mu.Unlock()
	h.tasks.Wait()
	return nil
}

// Ready is closed once executions of the last process are recovered.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// spawn runs f in a goroutine that Run waits for; its context ends with Run's. It says whether it was still time to.
func (h *Hub) spawn(f func(ctx context.Context)) (begun bool) {
	h.mu.Lock()
	if h.stopping {
		h.mu.Unlock()
		return false
	}
	h.tasks.Add(1)
	h.mu.Unlock()
	go func() {
		defer h.tasks.Done()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		defer close(done)
		go func() {
			select {
			case <-h.stop:
			case <-done:
			}
			cancel()
		}()
		f(ctx)
	}()
	return true
}

// flushInline is the number of connections that the store's committer, or a bridge's reader, writes itself.
const flushInline = 64

// flushAside flushes b for a goroutine that others wait for: a crowd of subscribers is written by another.
func (h *Hub) flushAside(b *nodebridge.Batch) {
	if b.Len() <= flushInline {
		b.Flush()
		return
	}
	crowd := *b
	*b = nodebridge.Batch{}
	if !h.spawn(func(context.Context) { crowd.Flush() }) {
		crowd.Flush()
	}
}

func (h *Hub) stopped() bool {
	select {
	case <-h.stop:
		return true
	default:
		return false
	}
}

// tenant gives the live part of a tenant. One that was deleted and made again is a new one.
func (h *Hub) tenant(owner *tenants.Tenant) *tenant {
	if t, ok := h.tenants.Load(owner.Name()); ok && t.owner == owner {
		return t
	}
	t, _ := h.tenants.Compute(owner.Name(), func(t *tenant, ok bool) (*tenant, bool) {
		if ok && t.owner == owner {
			return t, false
		}
		h.limit(owner)
		return newTenant(h, owner), false
	})
	return t
}

// check loads a version in a bridge, so that a broken one is known at publish.
func (h *Hub) check(ctx context.Context, v *tenants.Version) error {
	owner, err := h.registry.Tenant(v.Tenant)
	if err != nil {
		return err
	}
	for i, raw := range v.Settings.Triggers {
		if _, err := declaredTrigger(v.Function, i, raw); err != nil {
			return fault.New(fault.InvalidRequest, "settings.triggers[%d]: %s", i, fault.From(err).Detail)
		}
	}
	r := h.tenant(owner).routeOf(v)
	r.checking.Store(true)
	_, err = h.bridges.Load(ctx, v.Tenant, r.module)
	return err
}

// dropped forgets a version that was checked and did not become ready.
func (h *Hub) dropped(v *tenants.Version) {
	if t, ok := h.tenants.Load(v.Tenant); ok {
		t.forgetRoute(v)
	}
}

// changed has the triggers that a tenant's functions declare follow a change of the functions, and lets
// the bridges forget the modules of versions that new executions do not go to by themselves.
func (h *Hub) changed(name string) {
	if owner, err := h.registry.Tenant(name); err == nil {
		h.spawn(func(context.Context) { h.triggers.declare(owner) })
	}
	t, ok := h.tenants.Load(name)
	if !ok {
		return
	}
	h.retiring.add(name)
	moved := map[*tenants.Function]bool{}
	t.routes.Range(func(v *tenants.Version, r *route) bool {
		fn, err := t.owner.Function(v.Function)
		switch {
		case err != nil || fn.Version(v.Number) != v:
			if !r.checking.Load() { // its check decides about it, and must not lose its module meanwhile
				t.forgetRoute(v)
			}
		default:
			r.checking.Store(false)
			was := r.fn.Swap(fn)
			if was != fn {
				moved[fn] = true
			}
			if was != nil && was != fn && !fn.Current(v.Number) {
				h.bridges.Unload(name, r.module)
			}
		}
		return true
	})
	for fn := range moved {
		t.deployed(fn)
	}
}

// purgeBatch is the number of records that purge deletes in one write.
const purgeBatch = 256

// purge cancels what runs of a tenant that is deleted, and deletes its executions: a later tenant of
// the same name must not see them.
func (h *Hub) purge(ctx context.Context, name string) error {
	h.triggers.remove(name)
	if t, ok := h.tenants.Load(name); ok {
		t.live.Range(func(id string, _ *Execution) bool {
			_, _ = h.Cancel(ctx, t.owner, id) // one that has just ended need not be cancelled
			return ctx.Err() == nil
		})
		t.journal.close()
	}
	for _, prefix := range tenantPrefixes(name) {
		var ops []store.Op
		flush := func() error {
			defer func() { ops = nil }()
			return h.store.Commit(ctx, ops...)
		}
		err := h.store.Scan(store.Range{Prefix: prefix, KeysOnly: true}, func(k, _ []byte) (bool, error) {
			if ops = append(ops, store.Op{Key: k, Delete: true}); len(ops) == purgeBatch {
				return true, flush()
			}
			return true, nil
		})
		if err == nil && len(ops) > 0 {
			err = flush()
		}
		if err != nil {
			return fmt.Errorf("delete the executions of %s: %w", name, err)
		}
	}
	h.tenants.Delete(name)
	h.bridges.Remove(name)
	return nil
}

// newEpoch gives an epoch that was never used before.
func newEpoch() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return hex.EncodeToString(b[:])
}

func versionRef(fn string, v int) string { return fn + "@" + strconv.Itoa(v) }

// UnknownExecution is the answer to an id that this tenant does not have.
func UnknownExecution(id string) error {
	f := fault.New(fault.NotFound, "There is no execution %q. A call is known while it runs; a durable execution as long as it is kept.", id)
	return f
}
