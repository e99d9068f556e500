package nodebridge

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/fault"
)

// Pool is the bridges of one tenant, and the calls that wait while none is live.
type Pool struct {
	tenant string
	fleet  *Fleet
	live   atomic.Pointer[[]*Bridge] // that take calls; replaced under mu
	stop   chan struct{}             // closed by Fleet.Remove

	mu      sync.Mutex    // guards all below; taken before a Bridge's mu
	waiting []waiting     // in order
	bytes   int           // of arguments in waiting
	cause   error         // why there is no live bridge, as far as known
	ended   bool          // nothing is accepted any more
	changed chan struct{} // closed when live or ended changes
	queued  chan struct{} // holds one element when waiting is not empty any more
}

func newPool(tenant string, f *Fleet) *Pool {
	return &Pool{tenant: tenant, fleet: f, stop: make(chan struct{}),
		changed: make(chan struct{}), queued: make(chan struct{}, 1)}
}

// run keeps the tenant's bridges running until ctx ends or the pool is removed.
func (p *Pool) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	for range p.fleet.cfg.Bridges {
		g.Go(func() error { return p.keep(ctx) })
	}
	g.Go(func() error { return p.expire(ctx) })
	select {
	case <-p.stop:
	case <-ctx.Done():
	}
	p.end()
	cancel()
	return g.Wait()
}

// keep runs one bridge after the other.
func (p *Pool) keep(ctx context.Context) error {
	cfg := &p.fleet.cfg
	again := restarts{first: cfg.RestartFirst, longest: cfg.RestartMax, forget: cfg.RestartForget}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for died := 0; ; died++ {
		lived := p.runBridge(ctx, died)
		timer.Reset(again.next(lived, rand.Float64()))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// runBridge runs one bridge to its end, and says how long it was live.
func (p *Pool) runBridge(ctx context.Context, died int) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	process, err := p.fleet.start(p.tenant)
	if err != nil {
		p.setCause(err)
		p.fleet.tell(p.tenant, 0, "exit", err.Error())
		return 0
	}
	b := newBridge(p.tenant, &p.fleet.cfg, process, func(stream, line string) { p.fleet.tell(p.tenant, process.pid(), stream, line) })
	b.restarts = died
	var since time.Time
	err = b.run(ctx, func() {
		since = time.Now()
		p.add(b)
	})
	p.remove(b, err)
	if ctx.Err() == nil {
		p.fleet.tell(p.tenant, process.pid(), "exit", err.Error())
	}
	if since.IsZero() {
		return 0
	}
	return max(1, time.Since(since))
}

// least gives the live bridge with the fewest calls in flight, or nil.
func (p *Pool) least() *Bridge {
	var best *Bridge
	var fewest int64
	for _, b := range p.bridges() {
		if n := b.inFlight.Load(); !b.gone.Load() && (best == nil || n < fewest) {
			best, fewest = b, n
		}
	}
	return best
}

// bridges gives the live bridges. The caller must not change the slice.
func (p *Pool) bridges() []*Bridge {
	if bridges := p.live.Load(); bridges != nil {
		return *bridges
	}
	return nil
}

// call is Fleet.Call.
func (p *Pool) call(c *Call) error {
	if err := p.pass(c, c.Args); err != errGone {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return errEnded()
	}
	if err := p.pass(c, c.Args); err != errGone { // one may have come since
		return err
	}
	return p.waitLocked(c)
}

// pass hands a call to the best bridge; errGone: there is none.
func (p *Pool) pass(c *Call, args []byte) error {
	for b := p.least(); b != nil; b = p.least() {
		if err := b.call(c, args); err != errGone {
			return err
		}
	}
	return errGone
}

// add lets a bridge that is ready take calls; first those that wait.
func (p *Pool) add(b *Bridge) {
	p.mu.Lock()
	bridges := append([]*Bridge{b}, p.bridges()...)
	p.live.Store(&bridges)
	p.cause = nil
	p.changeLocked()
	refused := p.passWaitingLocked()
	p.mu.Unlock()
	refuse(refused)
}

// remove forgets a bridge that has ended.
func (p *Pool) remove(b *Bridge, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bridges := slices.DeleteFunc(slices.Clone(p.bridges()), func(o *Bridge) bool { return o == b })
	p.live.Store(&bridges)
	p.cause = cause
}

func (p *Pool) setCause(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause = err
}

// end lets the pool accept nothing more. Calls that wait are Lost.
func (p *Pool) end() {
	p.mu.Lock()
	p.ended = true
	p.changeLocked()
	lost := p.takeWaitingLocked(len(p.waiting))
	p.mu.Unlock()
	var b Batch
	for _, w := range lost {
		w.call.Receiver.Receive(Frame{Kind: Lost}, &b)
	}
	b.Flush()
}

func (p *Pool) changeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// load is Fleet.Load. A process that dies of something else meanwhile is not the module's fault, so
// there is a second try.
func (p *Pool) load(ctx context.Context, m *Module) (Info, error) {
	for try := 1; ; {
		b, err := p.await(ctx)
		if err != nil {
			return Info{}, err
		}
		info, err := b.load(ctx, m)
		switch {
		case err == errGone:
		case err == errLost && try == 1:
			try++
		case err == errLost:
			return Info{}, fault.New(fault.VersionBroken, "The process ended while it loaded the module. Does it crash, or call process.exit?")
		default:
			return info, err
		}
	}
}

// await waits for a live bridge.
func (p *Pool) await(ctx context.Context) (*Bridge, error) {
	timer := time.NewTimer(p.fleet.cfg.MaxWaitTime)
	defer timer.Stop()
	for {
		p.mu.Lock()
		b, ended, changed := p.least(), p.ended, p.changed
		p.mu.Unlock()
		if b != nil {
			return b, nil
		}
		if ended {
			return nil, errEnded()
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, p.overloaded()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func errEnded() error {
	return fault.New(fault.Drained, "The tenant's processes are being stopped. Repeat elsewhere or later.")
}

func (p *Pool) overloaded() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.overloadedLocked()
}

func (p *Pool) overloadedLocked() error {
	cause := p.cause
	if cause == nil {
		cause = errors.New("no process of the tenant was ready")
	}
	return &fault.Fault{Code: fault.Overloaded, RetryAfter: time.Second, Cause: cause,
		Detail: "None of the tenant's processes is ready, and too many calls wait for one or waited too long. Repeat later."}
}
