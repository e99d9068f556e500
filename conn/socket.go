package conn

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// chunkSize is what one read takes from a connection at most.
const chunkSize = 16 << 10

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// socket is a connection after fasthttp let go of it. It reads in large chunks yet holds no buffer
// while it waits, and it can write without waiting.
type socket struct {
	net.Conn
	raw    syscall.RawConn // nil if the connection has none: then reads hold a chunk, and writes wait
	lastIn atomic.Int64    // when bytes came last, in beats of the server
	now    *atomic.Int64   // the server's beat

	chunk      *[chunkSize]byte // what was read and not taken yet; nil if nothing
	from, to   int
	early      []byte // what fasthttp had read already
	readFn     func(fd uintptr) bool
	beforeWait func() // nil, or called before each read of the connection
	readErr    error

	writeFn  func(fd uintptr) bool
	writeBuf []byte
	writeN   int
	writeErr error
}

func newSocket(c net.Conn, early []byte, now *atomic.Int64) *socket {
	k := &socket{Conn: c, early: early, now: now}
	k.lastIn.Store(now.Load())
	inner := c
	if t, ok := c.(*tracked); ok {
		inner = t.Conn
	}
	if sc, ok := inner.(syscall.Conn); ok {
		k.raw, _ = sc.SyscallConn()
	}
	k.readFn, k.writeFn = k.readNow, k.writeNow
	return k
}

// takeEarly gives what fasthttp read behind the request. c gives that first, and with a deadline in
// the past nothing else.
func takeEarly(c net.Conn) ([]byte, error) {
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, err
	}
	var early []byte
	var b [512]byte
	for {
		n, err := c.Read(b[:])
		early = append(early, b[:n]...)
		if err != nil {
			return early, c.SetReadDeadline(time.Time{})
		}
	}
}

// Read gives what is there, waiting for the first byte. Only one goroutine may read.
func (k *socket) Read(p []byte) (int, error) {
	if len(k.early) > 0 {
		n := copy(p, k.early)
		if k.early = k.early[n:]; len(k.early) == 0 {
			k.early = nil
		}
		return n, nil
	}
	if k.chunk == nil {
		if k.beforeWait != nil {
			k.beforeWait()
		}
		if len(p) >= chunkSize {
			n, err := k.Conn.Read(p)
			k.lastIn.Store(k.now.Load())
			return n, err
		}
		if err := k.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, k.chunk[k.from:k.to])
	if k.from += n; k.from == k.to {
		chunks.Put(k.chunk)
		k.chunk = nil
	}
	return n, nil
}

// fill waits for bytes and reads a chunk of them.
func (k *socket) fill() error {
	if k.raw == nil {
		c := chunks.Get().(*[chunkSize]byte)
		n, err := k.Conn.Read(c[:])
		if n == 0 {
			chunks.Put(c)
			return err
		}
		k.chunk, k.from, k.to = c, 0, n
	} else if err := k.raw.Read(k.readFn); err != nil {
		return err
	} else if k.readErr != nil {
		return k.readErr
	}
	k.lastIn.Store(k.now.Load())
	return nil
}

// readNow is called when the connection may have bytes; it gives false to wait for them.
func (k *socket) readNow(fd uintptr) bool {
	c := chunks.Get().(*[chunkSize]byte)
	n, err := ignoringEINTR(syscall.Read, fd, c[:])
	if err == nil && n > 0 {
		k.chunk, k.from, k.to, k.readErr = c, 0, n, nil
		return true
	}
	chunks.Put(c)
	switch err {
	case syscall.EAGAIN:
		return false
	case nil:
		k.readErr = io.EOF
	default:
		k.readErr = &net.OpError{Op: "read", Net: "tcp", Err: err}
	}
	return true
}

// tryWrite writes what the connection takes at once, which may be nothing. It must not be called
// while another goroutine writes.
func (k *socket) tryWrite(p []byte) (int, error) {
	if k.raw == nil {
		return 0, nil
	}
	k.writeBuf, k.writeN, k.writeErr = p, 0, nil
	err := k.raw.Write(k.writeFn)
	k.writeBuf = nil
	if err != nil {
		return 0, err
	}
	return k.writeN, k.writeErr
}

func (k *socket) writeNow(fd uintptr) bool {
	for k.writeN < len(k.writeBuf) {
		n, err := ignoringEINTR(syscall.Write, fd, k.writeBuf[k.writeN:])
		if n > 0 {
			k.writeN += n
		}
		if err == syscall.EAGAIN {
			return true
		}
		if err != nil {
			k.writeErr = &net.OpError{Op: "write", Net: "tcp", Err: err}
			return true
		}
	}
	return true
}

func ignoringEINTR(f func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		if n, err := f(int(fd), p); err != syscall.EINTR {
			return n, err
		}
	}
}

// closeWrite ends our half of the connection, so that what was written arrives before the end does.
func (k *socket) closeWrite() {
	inner := k.Conn
	if t, ok := inner.(*tracked); ok {
		inner = t.Conn
	}
	if c, ok := inner.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

// drop throws away what fill read.
func (k *socket) drop() {
	chunks.Put(k.chunk)
	k.chunk = nil
}
