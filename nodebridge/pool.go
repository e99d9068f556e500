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

// Pool is the bridges of one tenant that are of one Node, or those of its heavy lane, and the calls that wait for one. It has places, each of which keeps one
// bridge running; scale.go decides how many. A bridge that is retired has lost its place and ends when its
// calls have.
type Pool struct {
	tenant string
	node   string // of Module.Node
	heavy  bool   // the lane of calls with large payloads
	share  *common
	fleet  *Fleet
	live   atomic.Pointer[[]*Bridge] // that take calls; replaced under mu
	limits atomic.Pointer[Limits]    // replaced, never changed
	queued atomic.Int64              // calls in waiting, or about to be
	resize chan struct{}             // holds one element when there are fewer places than wanted
	stop   chan struct{}             // closed by Fleet.Remove

	mu      sync.Mutex // guards all below; taken before a Bridge's mu
	places  int        // that keep a bridge, or start one
	wanted  int        // places that there are to be
	retired []*Bridge  // that end when their calls have
	worn    []*Bridge  // live ones that have lost their place, and are retired once another is live
	scaler  scaler
	ends    []EndedBridge     // the last ones
	endings map[string]uint64 // how many ended, by code
	past    uint64            // calls of bridges that ended
	called  uint64            // calls that the bridges had taken at the last look
	waiting waitingCalls
	cause   error         // why there is no live bridge, as far as known
	ended   bool          // nothing is accepted any more
	removed bool          // by Fleet.Remove: what becomes of its bridges is not told
	changed chan struct{} // closed when live or ended changes
	expires chan struct{} // holds one element when waiting is to be looked at
	takes   bool          // a bridge takes calls again, and waiting was not looked at since
}

func newPool(tenant, node string, heavy bool, f *Fleet, s *common) *Pool {
	p := &Pool{tenant: tenant, node: node, heavy: heavy, share: s, fleet: f, stop: make(chan struct{}), waiting: newWaitingCalls(), endings: map[string]uint64{},
		changed: make(chan struct{}), expires: make(chan struct{}, 1), resize: make(chan struct{}, 1)}
	p.limits.Store(f.limitsOf(tenant))
	p.want(max(1, p.bounds().MinBridges)) // somebody came
	return p
}

// run keeps the tenant's bridges running until ctx ends or the pool is removed.
func (p *Pool) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { return p.expire(ctx) })
	for running := true; running; {
		select {
		case <-p.resize:
			for range p.takePlaces() {
				g.Go(func() error { return p.keep(ctx) })
			}
		case <-p.stop:
			running = false
		case <-ctx.Done():
			running = false
		}
	}
	p.end()
	cancel()
	return g.Wait()
}

// want changes the number of places that there are to be.
func (p *Pool) want(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wantLocked(n)
}

func (p *Pool) wantLocked(n int) {
	p.wanted = n
	p.shrinkLocked()
	for p.places < n && p.reinstateLocked() {
	}
	if p.places < n {
		select {
		case p.resize <- struct{}{}:
		default:
		}
	}
}

// takePlaces makes the places that are missing, and gives how many.
func (p *Pool) takePlaces() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	missing := max(0, p.wanted-p.places)
	p.places += missing
	return missing
}

// leave gives up a place that is one too many.
func (p *Pool) leave() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places <= p.wanted {
		return false
	}
	p.places--
	return true
}

// keep runs one bridge after the other in a place, until the place is given up.
func (p *Pool) keep(ctx context.Context) error {
	cfg := &p.fleet.cfg
	again := restarts{first: cfg.RestartFirst, longest: cfg.RestartMax, forget: cfg.RestartForget}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for died := 0; !p.leave(); died++ {
		lived, stays := p.runBridge(ctx, died)
		if !stays {
			return nil
		}
		timer.Reset(again.next(lived, rand.Float64()))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// runBridge runs one bridge to its end, and says how long it was live, and whether it still had its place.
func (p *Pool) runBridge(ctx context.Context, died int) (lived time.Duration, stays bool) {
	if ctx.Err() != nil {
		return 0, true
	}
	limits := p.limits.Load()
	process, err := p.fleet.start(p.tenant, p.node, limits)
	if err != nil {
		p.setCause(err)
		p.fleet.tell(p.tenant, 0, "exit", err.Error())
		return 0, true
	}
	b := newBridge(p.tenant, &p.fleet.cfg, process, func(stream, line string) { p.fleet.tell(p.tenant, process.pid(), stream, line) })
	b.restarts, b.freed, b.limits, b.all, b.heavy = died, p.share.room, limits, &p.share.inFlight, p.heavy
	b.bounds = &p.limits
	p.mu.Lock()
	p.noticeLocked(BridgeStarted, b)
	p.mu.Unlock()
	var since time.Time
	err = b.run(ctx, func() {
		since = time.Now()
		p.add(b)
	})
	stays = p.remove(b, err, ctx.Err() != nil)
	if ctx.Err() == nil {
		p.fleet.tell(p.tenant, process.pid(), "exit", err.Error())
	}
	if since.IsZero() {
		return 0, stays
	}
	return max(1, time.Since(since)), stays
}

// bridges gives the live bridges. The caller must not change the slice.
func (p *Pool) bridges() []*Bridge {
	if bridges := p.live.Load(); bridges != nil {
		return *bridges
	}
	return nil
}

// all gives the live and the retired bridges.
func (p *Pool) all() []*Bridge {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Concat(p.bridges(), p.retired)
}

// add lets a bridge that is ready take calls; first those that wait.
func (p *Pool) add(b *Bridge) {
	p.mu.Lock()
	p.addLocked(b)
	p.replaceOthersLocked() // the limits may have changed while it started
	p.shrinkLocked()
	p.cause = nil
	p.changeLocked()
	refused := p.passWaitingLocked()
	p.mu.Unlock()
	refuse(refused)
}

func (p *Pool) addLocked(b *Bridge) {
	bridges := append([]*Bridge{b}, p.bridges()...)
	p.live.Store(&bridges)
	p.noticeLocked(BridgeReady, b)
	p.replaceWornLocked()
}

// remove forgets a bridge that has ended, and says whether it still had its place.
func (p *Pool) remove(b *Bridge, cause error, stopped bool) (stays bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noteEndLocked(b, cause, stopped)
	if i := slices.Index(p.retired, b); i >= 0 {
		p.retired = slices.Delete(p.retired, i, i+1)
		return false
	}
	p.removeLocked(b)
	p.cause = cause
	if i := slices.Index(p.worn, b); i >= 0 {
		p.worn = slices.Delete(p.worn, i, i+1)
		return false
	}
	return true
}

func (p *Pool) removeLocked(b *Bridge) {
	bridges := slices.DeleteFunc(slices.Clone(p.bridges()), func(o *Bridge) bool { return o == b })
	p.live.Store(&bridges)
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
	lost := p.takeAllLocked()
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
	timer := time.NewTimer(p.limits.Load().MaxWaitTime)
	defer timer.Stop()
	for {
		p.mu.Lock()
		b, ended, changed := least(p.bridges(), 0), p.ended, p.changed
		if b < 0 && !ended {
			p.wantLocked(max(1, p.wanted))
		}
		bridges := p.bridges()
		p.mu.Unlock()
		if b >= 0 {
			return bridges[b], nil
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
	cause, detail := p.cause, "None of the tenant's processes is ready, and too many calls wait for one or waited too long. Repeat later."
	switch {
	case len(p.bridges()) > 0:
		cause, detail = nil, "The tenant's processes run as many calls as they may, and too many calls wait or waited too long. Repeat later."
	case cause == nil:
		cause = errors.New("no process of the tenant was ready")
	}
	return &fault.Fault{Code: fault.Overloaded, RetryAfter: time.Second, Cause: cause, Detail: detail}
}
