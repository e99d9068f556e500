package nodebridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/fault"
)

// errGone says that a bridge takes no more calls, and did not take this one.
var errGone = errors.New("the bridge is gone")

// drainTime is how long we go on reading what a dead process wrote, should a child of it, in a group
// of its own, hold our pipes open.
const drainTime = time.Second

// Bridge is one Node process and the calls in it. Callers append to what goes out, under mu; one
// goroutine writes it (write.go), one reads and ends calls (read.go).
type Bridge struct {
	tenant   string
	cfg      *Config
	output   func(stream, line string)
	restarts int
	limits   *Limits                 // when it was started
	bounds   *atomic.Pointer[Limits] // what holds now; set before run
	heavy    bool                    // it is of the heavy lane
	said     chan struct{}           // closed when all that it wrote to stderr was read
	p        *process
	started  time.Time

	freed    func() // called when calls have ended; set before run
	inFlight atomic.Int64
	all      *atomic.Int64 // calls in flight in all bridges of the tenant; set before run
	late     atomic.Int64  // microseconds that the event loop is, or lately was, behind
	gone     atomic.Bool   // set under mu; no call is accepted afterwards
	wake     chan struct{} // holds one element when the writer has something to do
	ready    chan struct{} // closed when Ready came
	node     string        // Node's version; read after ready
	reading  reading       // of the goroutine that reads

	mu        sync.Mutex // guards all below; held shortly, never while anything waits
	out       outgoing
	told      Limits // what the process knows of bounds
	writing   int    // bytes that the writer took and has not written yet
	awake     bool   // the writer was woken, and has not found nothing to do since
	calls     calls
	modules   map[uint32]*loaded // by handle
	secrets   secrets            // of all that were loaded
	total     uint64             // calls accepted
	ping      ping
	used      measured
	unloads   int       // modules that it was told to let go of
	guarded   time.Time // when its memory was looked at; of the goroutine that watches
	retired   error     // why it takes no more calls though it runs; nil: it takes them
	retiredAt time.Time
	moved     bool         // its calls were told
	why       *fault.Fault // what its calls fail with, if the process is ended for something they did
	end       func(error)  // ends run
}

func newBridge(tenant string, cfg *Config, p *process, output func(stream, line string)) *Bridge {
	b := &Bridge{tenant: tenant, cfg: cfg, p: p, output: output, freed: func() {}, all: new(atomic.Int64), limits: &Limits{}, said: make(chan struct{}), started: time.Now(),
		wake: make(chan struct{}, 1), ready: make(chan struct{}), modules: map[uint32]*loaded{}}
	b.bounds = &atomic.Pointer[Limits]{}
	b.bounds.Store(b.limits)
	b.reading.setup(b)
	return b
}

// run talks to the process until it dies, breaks the protocol, or ctx ends; then nothing of it is
// left, and every call has had its final frame. live is called when it takes calls. The error says why.
func (b *Bridge) run(ctx context.Context, live func()) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	b.mu.Lock()
	b.end = end
	b.mu.Unlock()
	var g errgroup.Group
	g.Go(func() error {
		end(b.read())
		return nil
	})
	g.Go(func() error {
		if err := b.write(ctx); err != nil {
			end(fmt.Errorf("write to the process: %w", err))
		}
		return nil
	})
	g.Go(func() error { return b.lines("stdout", b.p.stdout) })
	g.Go(func() error {
		defer close(b.said)
		return b.lines("stderr", b.p.stderr)
	})

	b.handshake(ctx, end, live)
	<-ctx.Done()
	died := b.p.kill()
	deadline := time.Now().Add(drainTime)
	_ = b.p.in.SetWriteDeadline(time.Now())
	_ = b.p.out.SetReadDeadline(deadline)
	_ = b.p.stdout.SetReadDeadline(deadline)
	_ = b.p.stderr.SetReadDeadline(deadline)
	_ = g.Wait() // errors went to end
	b.p.close()
	return fmt.Errorf("%w (%v)", context.Cause(ctx), died)
}

func (b *Bridge) handshake(ctx context.Context, end context.CancelCauseFunc, live func()) {
	if !b.p.greeted {
		b.mu.Lock()
		b.out.buf = append(b.out.buf, hello(b.cfg)...)
		b.unlockAndWake()
	}
	timer := time.NewTimer(b.cfg.ReadyTimeout)
	defer timer.Stop()
	select {
	case <-b.ready:
		if err := restrict(b.p.pid(), b.limits); err != nil {
			end(err)
			return
		}
		if b.heavy {
			yieldTo(b.p.pid())
		}
		b.tellBounds()
		live()
		b.tellBounds() // what changed before the pool knew of it
	case <-timer.C:
		end(fmt.Errorf("the process was not ready in %v", b.cfg.ReadyTimeout))
	case <-ctx.Done():
	}
}

// call takes a call, or says errGone or errBusy. Faults: overloaded, payload_too_large.
func (b *Bridge) call(c *Call, args []byte) error {
	n := invokeSize(c, args)
	if err := b.fits(n); err != nil {
		return err
	}
	var body []byte
	if n > MaxPayload { // copied before the lock, for which all other calls wait
		if err := b.room(n); err != nil {
			return err
		}
		body = appendInvoke(appendBody(make([]byte, 0, bodyHead+n), Invoke, 0, nil), c, args)
	}
	b.mu.Lock()
	if b.gone.Load() || b.retired != nil {
		b.mu.Unlock()
		return errGone
	}
	if most := c.Module.Concurrency; most > 0 {
		if l := b.modules[c.Module.handle]; l != nil && l.calls >= most {
			b.mu.Unlock()
			return errBusy
		}
	}
	if b.queuedLocked()+n > b.cfg.MaxOutgoing {
		b.mu.Unlock()
		return b.full()
	}
	s := b.calls.take()
	if s == nil {
		b.mu.Unlock()
		return fault.New(fault.Overloaded, "%d calls are in flight in one process; repeat later.", maxCalls)
	}
	b.inFlight.Add(1)
	b.all.Add(1)
	b.total++
	m := b.moduleLocked(c.Module)
	m.calls++
	s.module, s.seq = m, b.total
	id := s.id.Load()
	held := c.link.set(b, id)
	s.call.Store(c)
	key := callKey(id)
	b.out.holdBehind(key, moduleKey(c.Module.handle))
	if b.out.fits(key, n) {
		b.out.buf = appendInvoke(appendHead(b.out.buf, Invoke, id, n), c, args)
	} else {
		if body == nil {
			body = appendInvoke(appendBody(make([]byte, 0, bodyHead+n), Invoke, 0, nil), c, args)
		}
		binary.LittleEndian.PutUint32(body[1:], id)
		b.out.addBody(key, body)
	}
	for _, f := range held {
		b.out.add(key, f.kind, id, f.payload)
	}
	b.unlockAndWake()
	return nil
}

// Carry takes a frame of a call that call took.
func (b *Bridge) Carry(kind Kind, id uint32, payload []byte) {
	b.mu.Lock()
	if _, c := b.calls.find(id); c == nil || b.gone.Load() {
		b.mu.Unlock()
		return
	}
	b.out.add(callKey(id), kind, id, payload)
	b.unlockAndWake()
}

// room says whether a payload of n bytes can be carried.
func (b *Bridge) room(n int) error {
	if err := b.fits(n); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queuedLocked()+n > b.cfg.MaxOutgoing {
		return b.full()
	}
	return nil
}

func (b *Bridge) fits(n int) error {
	if bodyHead+n > b.cfg.MaxMessage {
		return fault.New(fault.PayloadTooLarge, "The message to the function has %d bytes; %d is the limit (maxMessage).", bodyHead+n, b.cfg.MaxMessage)
	}
	return nil
}

func (b *Bridge) full() error {
	return &fault.Fault{Code: fault.Overloaded, RetryAfter: time.Second,
		Detail: fmt.Sprintf("More than %d bytes wait for the tenant's process (maxOutgoing); repeat later.", b.cfg.MaxOutgoing)}
}

func (b *Bridge) queuedLocked() int { return b.out.queued() + b.writing }

// unlockAndWake ends a section in which something may have been added to out.
func (b *Bridge) unlockAndWake() {
	wake := !b.awake && b.out.queued() > 0
	b.awake = b.awake || wake
	b.mu.Unlock()
	if wake {
		b.wake <- struct{}{} // has room: awake is false only after the writer took the element before
	}
}
