package conn

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/livefn/livefn/nodebridge"
)

// outbox is what waits to be written to one connection, as whole frames, bounded in bytes.
//
// append never blocks. Flush writes what the connection takes at once; the rest goes to a goroutine
// that lives until all is written. So at any time one goroutine at most writes.
//
// A frame is taken while what waits is within limit, however large the frame: one answer of 64 MiB
// reaches who reads it. Over the limit, what has not begun to be written is dropped and over is
// called once; it says how the connection ends.
type outbox struct {
	limit   int
	timeout time.Duration // for a slow connection to take writePiece bytes
	spawn   func(func())  // runs the writer's goroutine
	over    func()        // the connection can't keep up; called with mu held, once
	broken  func(error)   // writing failed; called without mu

	mu      sync.Mutex // guards all below
	sock    *socket    // nil until attached
	head    *buffer    // being written; begins with a frame; nil: none
	off     int        // what of head is written
	tail    *buffer    // comes after head; begins with a frame; nil: none
	last    []byte     // the last frame, set once no other may follow; written after tail
	ended   bool       // nothing more is appended
	cut     bool       // of head, only the frame that is under way is finished
	writing bool       // a goroutine is in write or drain
	added   bool       // a Batch will call Flush
	dead    bool       // nothing more is written
	done    func()     // called once, when all up to last is written; without mu
	room    chan struct{}
}

// writePiece is what the writer's goroutine writes at once.
const writePiece = 64 << 10

func (o *outbox) queued() int { return o.head.len() - o.off + o.tail.len() }

// begin locks the outbox and says whether a frame may be appended to tail. end unlocks it.
func (o *outbox) begin() bool {
	o.mu.Lock()
	if o.ended || o.dead {
		return false
	}
	if !o.fits() {
		return false
	}
	if o.tail == nil {
		o.tail = newBuffer()
	}
	return true
}

// fits says whether a further frame may be appended; if not, that is the end of the outbox. mu is held.
func (o *outbox) fits() bool {
	if o.queued() > o.limit {
		o.overflow()
		return false
	}
	return true
}

// end unlocks the outbox. It gives true if the caller must see to it that Flush is called.
func (o *outbox) end() bool {
	need := !o.added && !o.writing && !o.dead && o.sock != nil
	o.added = o.added || need
	o.mu.Unlock()
	return need
}

// endBatch is end for who has a batch; nil flushes at once.
func (o *outbox) endBatch(b *nodebridge.Batch) {
	if !o.end() {
		return
	}
	if b == nil {
		o.Flush()
	} else {
		b.Add(o)
	}
}

// overflow drops what has not begun to be written.
func (o *outbox) overflow() {
	o.cut, o.tail = true, o.tail.free()
	o.over()
	if !o.ended {
		o.finish(nil)
	}
	o.wake()
}

// finish has last written after what waits, and nothing after it. mu is held.
func (o *outbox) finish(last []byte) {
	if !o.ended {
		o.ended, o.last = true, last
	}
}

// onDone has f called once all is written that may be: at once, if it is already.
func (o *outbox) onDone(f func()) {
	o.mu.Lock()
	o.ended = true
	if now := !o.dead && !o.writing && o.queued() == 0 && o.last == nil; !now {
		o.done = f
		o.mu.Unlock()
		o.Flush()
		return
	}
	o.mu.Unlock()
	f()
}

// attach gives the outbox its connection and writes first, then what waits already. It gives false if
// that was too much.
func (o *outbox) attach(k *socket, first []byte) bool {
	o.mu.Lock()
	o.sock = k
	alive := !o.dead
	if len(first) > 0 {
		o.head = &buffer{first}
	}
	o.mu.Unlock()
	o.Flush()
	return alive
}

// Flush writes what the connection takes without waiting.
func (o *outbox) Flush() {
	o.mu.Lock()
	o.added = false
	if o.writing || o.dead || o.sock == nil {
		o.mu.Unlock()
		return
	}
	o.writing = true
	for round := 0; o.next(); round++ {
		p := o.head.b[o.off:]
		if round == 3 { // others fill it as fast as it is written: don't stay here for them
			o.mu.Unlock()
			o.spawn(o.drain)
			return
		}
		o.mu.Unlock()
		n, err := o.sock.tryWrite(p)
		o.mu.Lock()
		o.off += n
		if err != nil {
			o.fail(err)
			return
		}
		if n < len(p) {
			o.mu.Unlock()
			o.spawn(o.drain)
			return
		}
	}
	o.rest()
}

// drain writes until nothing waits.
func (o *outbox) drain() {
	o.mu.Lock()
	for o.next() {
		p := o.head.b[o.off:min(len(o.head.b), o.off+writePiece)]
		o.mu.Unlock()
		err := o.sock.SetWriteDeadline(time.Now().Add(o.timeout))
		var n int
		if err == nil {
			n, err = o.sock.Write(p)
		}
		o.mu.Lock()
		o.off += n
		if err != nil {
			o.fail(err)
			return
		}
	}
	if !o.dead {
		_ = o.sock.SetWriteDeadline(time.Time{}) // tryWrite minds it too
	}
	o.rest()
}

// next sees to it that head has something to write; if not, it gives false. mu is held.
func (o *outbox) next() bool {
	if o.dead {
		return false
	}
	if o.cut && o.head != nil {
		o.head.b = o.head.b[:frameEnd(o.head.b, o.off)]
	}
	o.cut = false
	if o.off < o.head.len() {
		return true
	}
	o.head.free()
	o.head, o.off, o.tail = o.tail, 0, nil
	if o.head.len() == 0 && len(o.last) > 0 {
		o.head.free()
		o.head = newBuffer()
		o.head.b = append(o.head.b, o.last...)
		o.last = nil
	}
	return o.head.len() > 0
}

// rest is what a writer does when nothing waits: it unlocks mu.
func (o *outbox) rest() {
	o.writing = false
	if o.dead {
		o.head, o.off = o.head.free(), 0
	}
	o.wake()
	var done func()
	if o.ended && !o.dead {
		done, o.done = o.done, nil
	}
	o.mu.Unlock()
	if done != nil {
		done()
	}
}

// fail ends the outbox; it unlocks mu.
func (o *outbox) fail(err error) {
	o.writing = false
	o.killLocked()
	o.mu.Unlock()
	if o.broken != nil {
		o.broken(err)
	}
}

// kill drops everything.
func (o *outbox) kill() {
	o.mu.Lock()
	o.killLocked()
	o.mu.Unlock()
}

func (o *outbox) killLocked() {
	o.dead, o.ended = true, true
	o.tail = o.tail.free()
	if !o.writing {
		o.head, o.off = o.head.free(), 0
	}
	o.wake()
}

// wake lets those go on that wait for room. mu is held.
func (o *outbox) wake() {
	if o.room != nil && (o.ended || o.queued() <= o.limit/2) {
		close(o.room)
		o.room = nil
	}
}

// Room blocks until the outbox is at most half full.
func (o *outbox) Room(ctx context.Context) error { return o.below(ctx, o.limit/2) }

// calmBytes is what may wait before events of a subscription with latest do instead: what is in the outbox
// is sent, however old it is.
const calmBytes = 64 << 10

// Busy reports whether Calm would block.
func (o *outbox) Busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.ended && !o.dead && o.queued() > min(calmBytes, o.limit/2)
}

// Calm blocks until little waits.
func (o *outbox) Calm(ctx context.Context) error { return o.below(ctx, min(calmBytes, o.limit/2)) }

// below blocks until no more than so many bytes wait.
func (o *outbox) below(ctx context.Context, most int) error {
	o.Flush() // what the caller appended may wait for a batch that the caller flushes later
	for {
		o.mu.Lock()
		if o.ended || o.dead {
			o.mu.Unlock()
			return net.ErrClosed
		}
		if o.queued() <= most {
			o.mu.Unlock()
			return nil
		}
		if o.room == nil {
			o.room = make(chan struct{}) // closed when there is room, or never will be
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// buffer is bytes from a pool; nil is none.
type buffer struct{ b []byte }

// keepBuffer is the largest buffer that is kept for others.
const keepBuffer = 128 << 10

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 4<<10)} }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

func (p *buffer) len() int {
	if p == nil {
		return 0
	}
	return len(p.b)
}

// free gives the buffer back and returns nil.
func (p *buffer) free() *buffer {
	if p != nil && cap(p.b) <= keepBuffer {
		p.b = p.b[:0]
		buffers.Put(p)
	}
	return nil
}
