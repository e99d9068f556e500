package conn

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listener remembers every connection that is open, so that the last ones can be ended.
type listener struct {
	net.Listener
	mu   sync.Mutex // guards open
	open map[*tracked]struct{}
}

// tracked is one accepted connection.
type tracked struct {
	net.Conn
	l      *listener
	linger atomic.Bool // the peer may still be sending when we close

	reads, writes deadline
}

func (t *tracked) SetReadDeadline(at time.Time) error { return t.reads.ask(at, t.Conn.SetReadDeadline) }
func (t *tracked) SetWriteDeadline(at time.Time) error {
	return t.writes.ask(at, t.Conn.SetWriteDeadline)
}

// SetDeadline sets both.
func (t *tracked) SetDeadline(at time.Time) error {
	if err := t.SetReadDeadline(at); err != nil {
		return err
	}
	return t.SetWriteDeadline(at)
}

func (t *tracked) Read(p []byte) (int, error) {
	if err := t.reads.wait(t.Conn.SetReadDeadline); err != nil {
		return 0, err
	}
	return t.Conn.Read(p)
}

func (t *tracked) Write(p []byte) (int, error) {
	if err := t.writes.wait(t.Conn.SetWriteDeadline); err != nil {
		return 0, err
	}
	return t.Conn.Write(p)
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &tracked{Conn: c, l: l}
	l.mu.Lock()
	l.open[t] = struct{}{}
	l.mu.Unlock()
	return t, nil
}

// closeAll ends every connection.
func (l *listener) closeAll() {
	l.mu.Lock()
	open := make([]*tracked, 0, len(l.open))
	for t := range l.open {
		open = append(open, t)
	}
	l.mu.Unlock()
	for _, t := range open {
		t.linger.Store(false)
		_ = t.Close()
	}
}

// Bounds of what is read and thrown away so that a peer that still sends sees the answer: closing a
// socket with unread bytes resets it, and a reset takes the answer away (RFC 9112, 9.6).
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 256 << 20
)

func (t *tracked) Close() error {
	if t.linger.CompareAndSwap(true, false) {
		if c, ok := t.Conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
			_ = t.SetReadDeadline(time.Now().Add(lingerTime))
			_, _ = io.CopyN(io.Discard, t.Conn, lingerBytes)
		}
	}
	t.l.mu.Lock()
	delete(t.l.open, t)
	t.l.mu.Unlock()
	return t.Conn.Close()
}
