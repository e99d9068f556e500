package nodebridge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v3"
	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/sandbox"
)

// Fleet is the pools of all tenants.
type Fleet struct {
	cfg    Config
	pools  *xsync.MapOf[string, *Pool]   // by poolKey
	shares *xsync.MapOf[string, *common] // by tenant
	output func(tenant string, pid int, stream, line string)
	notify atomic.Pointer[func(Notice)]
	spawn  spawner
	warm   *warm
	wake   chan struct{} // holds one element when pools are to be started

	limited *xsync.MapOf[string, Limits] // what Limit was told

	mu    sync.Mutex // guards all below
	fresh []*Pool    // to be started by Run
	ended bool       // Run has ended: no more pools

	dir string // set by Run before it starts a pool
}

// NewFleet makes a fleet that runs nothing before Run.
func NewFleet(cfg Config) *Fleet {
	f := &Fleet{cfg: cfg.withDefaults(), pools: xsync.NewMapOf[string, *Pool](), shares: xsync.NewMapOf[string, *common](), limited: xsync.NewMapOf[string, Limits](), spawn: make(spawner),
		wake: make(chan struct{}, 1), output: func(string, int, string, string) {}}
	f.warm = newWarm(f)
	return f
}

// Output has to told what processes print, line by line: stream is stdout, stderr, log for what code
// logs outside of any call (line is the JSON of a Log frame), or exit for why a process ended. to is
// called on several goroutines, and must not block. Call Output before Run.
func (f *Fleet) Output(to func(tenant string, pid int, stream, line string)) { f.output = to }

func (f *Fleet) tell(tenant string, pid int, stream, line string) {
	f.output(tenant, pid, stream, line)
}

// Run runs the pools that Call and Load ask for, until ctx ends. It ends every process before it returns.
func (f *Fleet) Run(ctx context.Context) (err error) {
	if err := f.prepare(); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(f.dir) }() // the next start empties it too
	var starting errgroup.Group
	spawning, stop := context.WithCancel(context.WithoutCancel(ctx))
	starting.Go(func() error {
		f.spawn.run(spawning)
		return nil
	})
	starting.Go(func() error {
		f.watch(spawning)
		return nil
	})
	var pools errgroup.Group
	pools.Go(func() error { return f.warm.run(ctx) })
	for ctx.Err() == nil {
		select {
		case <-f.wake:
			for _, p := range f.takeFresh() {
				pools.Go(func() error { return p.run(ctx) })
			}
		case <-ctx.Done():
		}
	}
	for _, p := range f.end() {
		p.end()
	}
	err = pools.Wait()
	stop()
	_ = starting.Wait() // never an error
	return err
}

func (f *Fleet) prepare() (err error) {
	if f.dir = f.cfg.Dir; f.dir == "" {
		f.dir, err = os.MkdirTemp("", "livefn-bridges-")
	} else if err = os.RemoveAll(f.dir); err == nil {
		err = os.MkdirAll(f.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("make the bridges' folder: %w", err)
	}
	if f.dir, err = filepath.Abs(f.dir); err != nil {
		return err
	}
	return writeScript(f.dir)
}

func (f *Fleet) start(tenant, node string, l *Limits) (*process, error) {
	heap := l.heapFlag()
	if node == "" && l.NoNetwork == f.cfg.Limits.NoNetwork && slices.Equal(heap, f.cfg.Limits.heapFlag()) { // else those that are warm are of another kind
		if p := f.warm.take(tenant); p != nil {
			return p, nil
		}
	}
	cfg, prefix := f.cfg, ""
	cfg.NodeArgs = slices.Concat(cfg.NodeArgs, heap)
	cfg.Limits.NoNetwork = l.NoNetwork
	if node != "" {
		cfg.Node, prefix = node, sandbox.RuntimePrefix
	}
	return f.spawn.startProcess(&cfg, f.dir, tenant, prefix, nil)
}

func (f *Fleet) takeFresh() []*Pool {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh := f.fresh
	f.fresh = nil
	return fresh
}

// end refuses further pools, and gives those that were never started.
func (f *Fleet) end() []*Pool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	fresh := f.fresh
	f.fresh = nil
	return fresh
}

// pool gives the tenant's pool for a Node, or the heavy lane beside it; it has it started at its first use. nil: the fleet has ended.
func (f *Fleet) pool(tenant, node string, heavy bool) *Pool {
	key := poolKey(tenant, node, heavy)
	if p, ok := f.pools.Load(key); ok {
		return p
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.pools.Load(key); ok {
		return p
	}
	if f.ended {
		return nil
	}
	s, _ := f.shares.LoadOrStore(tenant, &common{})
	p := newPool(tenant, node, heavy, f, s)
	s.add(p)
	f.pools.Store(key, p)
	f.fresh = append(f.fresh, p)
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return p
}

// Call hands c to a bridge of the tenant. It never blocks. Without an error c's Receiver is told
// exactly one final frame, perhaps before Call returns; with one it is told nothing.
// Faults: overloaded, payload_too_large, drained.
func (f *Fleet) Call(tenant string, c *Call) error {
	p := f.pool(tenant, c.Module.Node, false)
	if p != nil && c.heavy(f.cfg.HeavyFrom) && p.limits.Load().MaxBridges > 1 {
		p = f.pool(tenant, c.Module.Node, true)
	}
	if p == nil {
		return errEnded()
	}
	return p.call(c)
}

// Load loads m in a bridge of the tenant and says what is in it. Faults: version_broken with the
// loader's message and, from the detail's second line on, its stack; overloaded; drained.
func (f *Fleet) Load(ctx context.Context, tenant string, m *Module) (Info, error) {
	p := f.pool(tenant, m.Node, false)
	if p == nil {
		return Info{}, errEnded()
	}
	return p.load(ctx, m)
}

// Unload lets the tenant's bridges forget m once no call of it is in flight there, which for a call is
// just after its final frame. A call of m that comes before keeps it loaded; a later one loads it again.
func (f *Fleet) Unload(tenant string, m *Module) {
	for _, heavy := range []bool{false, true} {
		if p, ok := f.pools.Load(poolKey(tenant, m.Node, heavy)); ok {
			for _, b := range p.all() {
				b.unload(m)
			}
		}
	}
}

// Limit bounds the tenant's bridges from now on.
func (f *Fleet) Limit(tenant string, l Limits) {
	f.mu.Lock() // a pool is made under it: with the limits before, and then it is found here, or with these
	f.limited.Store(tenant, l)
	s, ok := f.shares.Load(tenant)
	if ok {
		for _, p := range s.all() {
			p.limits.Store(f.limitsOf(tenant))
		}
	}
	f.mu.Unlock()
	if ok {
		for _, p := range s.all() {
			for _, b := range p.all() {
				b.tellBounds()
			}
			p.replaceOthers()
			if p.heavy && l.MaxBridges < 2 { // what comes now runs beside the others
				p.want(0)
			}
		}
		s.room()
	}
}

// Remove ends the tenant's pools: its calls are Lost at once, its processes are gone soon after.
func (f *Fleet) Remove(tenant string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limited.Delete(tenant)
	if s, ok := f.shares.LoadAndDelete(tenant); ok {
		for _, p := range s.all() {
			p.mu.Lock()
			p.removed = true
			p.mu.Unlock()
			f.pools.Delete(poolKey(tenant, p.node, p.heavy))
			close(p.stop)
		}
	}
}
