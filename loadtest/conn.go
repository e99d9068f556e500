package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// codec speaks one transport on one connection. Its methods are called by the goroutine that runs the
// connection, encode also by the pacer; conn's lock is held in encode alone.
type codec interface {
	// handshake makes a fresh connection ready for calls and gives what was read beyond it.
	handshake(c net.Conn) (early []byte, err error)
	// encode appends the request of the call in slot to out.
	encode(out []byte, slot int) []byte
	// decode takes the next message from the front of in and says how many bytes it took; 0: it is not
	// all there yet. An error means that the connection is of no more use.
	decode(in []byte) (a answer, n int, err error)
}

// answer is what a message from the hub meant.
type answer struct {
	slot   int    // the call it answers; -1: none
	code   string // "": the call succeeded
	detail string // for people, with a code
	reply  []byte // to be sent back as it is (a pong)
}

// Codes of the generator's own, beside the hub's.
const (
	codeLost       = "connection_lost"
	codeRefused    = "connection_failed"
	codeNoAnswer   = "no_answer"
	codeWrong      = "wrong_result"
	codeUnexpected = "unexpected_answer"
)

const (
	startBuffer = 16 << 10
	maxBuffer   = 128 << 20 // a message above this ends the connection
	maxInFlight = 1_000_000
	free        = -1 // in conn.due: the slot carries no call
)

// conn is one connection and the calls in flight on it. Its Run reads. In the closed loop Run also
// writes; in the open loop the pacer does.
type conn struct {
	run   *run
	codec codec
	tally *tally // owned by Run
	in    []byte // read and not yet decoded: in[:filled]
	fill  int

	mu       sync.Mutex // guards what follows
	net      net.Conn   // nil while there is none
	due      []int64    // by slot: when its call was due, or free
	spare    []int      // free slots
	parked   int        // turns the pacer gave back because there was no connection
	out      []byte     // encoded and not yet written
	finished bool       // no further call will be sent
	detail   string     // of the last fault
	turns    chan *conn // where a free slot is announced; nil in the closed loop
}

func newConn(r *run) *conn {
	c := &conn{run: r, tally: newTally(r), in: make([]byte, startBuffer)}
	if r.Transport == WebSocket {
		c.codec = newSocketCodec(r)
	} else {
		c.codec = newHTTPCodec(r)
	}
	c.due = make([]int64, r.InFlight)
	for slot := r.InFlight - 1; slot >= 0; slot-- {
		c.due[slot] = free
		c.spare = append(c.spare, slot)
	}
	return c
}

func (c *conn) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.run.Timeout)
	defer cancel()
	var d interface {
		DialContext(context.Context, string, string) (net.Conn, error)
	} = &net.Dialer{}
	if c.run.target.secure {
		d = &tls.Dialer{Config: &tls.Config{ServerName: c.run.target.name, MinVersion: tls.VersionTLS12}}
	}
	nc, err := d.DialContext(ctx, "tcp", c.run.target.addr)
	if err != nil {
		return err
	}
	_ = nc.SetDeadline(time.Now().Add(c.run.Timeout)) // an error here shows at the next read
	early, err := c.codec.handshake(nc)
	if err != nil {
		_ = nc.Close()
		return fmt.Errorf("connect to %s: %w", c.run.target.addr, err)
	}
	c.fill = copy(c.in, early)
	c.mu.Lock()
	c.net = nc
	c.mu.Unlock()
	return nil
}

func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.net != nil {
		_ = c.net.Close()
		c.net = nil
	}
}

// Run carries calls until the scenario is over and those in flight are answered, or time out.
func (c *conn) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.net != nil {
			_ = c.net.SetDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	for ctx.Err() == nil {
		code := c.converse(ctx)
		if code == "" || ctx.Err() != nil {
			break
		}
		c.drop(code)
		if c.over() || !c.redial(ctx) {
			break
		}
	}
	return context.Cause(ctx)
}

func (c *conn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished || c.turns == nil && c.run.now() >= c.run.end
}

// converse carries calls on the present connection. It gives "" when all is done, or the code for
// calls that were in flight when the connection ended.
func (c *conn) converse(ctx context.Context) string {
	nc := c.net // only this goroutine sets it
	closedLoop := c.turns == nil
	var checkAt int64
	now := c.run.now()
	if closedLoop {
		c.mu.Lock()
		for len(c.spare) > 0 {
			c.sendLocked(now)
		}
		c.mu.Unlock()
	}
	for {
		if now >= checkAt {
			if c.stale(now) {
				return codeNoAnswer
			}
			if c.extend(now) || ctx.Err() != nil { // after: or the deadline that ctx set is lost
				return ""
			}
			checkAt = now + int64(c.run.Timeout/4)
		}
		if closedLoop {
			if err := c.flush(); err != nil {
				return codeLost
			}
		}
		n, err := nc.Read(c.in[c.fill:])
		c.fill += n
		now = c.run.now()
		if n > 0 {
			if code := c.take(now, closedLoop); code != "" {
				return code
			}
		}
		if err != nil {
			if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
				c.detail = ": " + err.Error()
				return codeLost
			}
			checkAt = 0
		}
		if c.done(now, closedLoop) {
			return ""
		}
	}
}

// take decodes what was read and records it. In the closed loop each answer queues the next call.
func (c *conn) take(now int64, closedLoop bool) (code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	used := 0
	for used < c.fill {
		a, n, err := c.codec.decode(c.in[used:c.fill])
		if err != nil {
			c.detail = ": " + err.Error()
			return codeLost
		}
		if n == 0 {
			break
		}
		used += n
		c.out = append(c.out, a.reply...)
		if a.slot < 0 {
			continue
		}
		if a.slot >= len(c.due) || c.due[a.slot] == free {
			c.tally.fail(codeUnexpected)
			continue
		}
		if a.code != "" {
			c.detail = a.detail
		}
		c.tally.record(c.due[a.slot], now, a.code)
		c.due[a.slot] = free
		c.spare = append(c.spare, a.slot)
		if !closedLoop {
			c.turns <- c // has room for every slot
		} else if now < c.run.end {
			c.sendLocked(now)
		}
	}
	c.fill = copy(c.in, c.in[used:c.fill])
	if !closedLoop && len(c.out) > 0 {
		_ = c.flushLocked() // a reply; the read sees what is wrong
	}
	if c.fill == len(c.in) {
		if len(c.in) >= maxBuffer {
			c.detail = fmt.Sprintf(": a message is over %d bytes", maxBuffer)
			return codeLost
		}
		c.in = append(c.in, make([]byte, len(c.in))...)
	}
	return ""
}

// sendLocked queues one call, due at the given time, in a free slot.
func (c *conn) sendLocked(due int64) {
	slot := c.spare[len(c.spare)-1]
	c.spare = c.spare[:len(c.spare)-1]
	c.due[slot] = due
	c.out = c.codec.encode(c.out, slot)
}

func (c *conn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushLocked()
}

func (c *conn) flushLocked() error {
	if len(c.out) == 0 || c.net == nil {
		return nil
	}
	_, err := c.net.Write(c.out)
	c.out = c.out[:0]
	return err
}

// done reports whether nothing is in flight and nothing will be sent.
func (c *conn) done(now int64, closedLoop bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spare) == len(c.due) && (c.finished || closedLoop && now >= c.run.end)
}

// stale reports whether a call waits longer than a call may.
func (c *conn) stale(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, due := range c.due {
		if due != free && now-due >= int64(c.run.Timeout) {
			return true
		}
	}
	return false
}

// extend lets the next reads and writes wait; true: nothing is left to wait for. It holds the lock so
// that it cannot undo the deadline that finish sets.
func (c *conn) extend(now int64) (done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished && len(c.spare) == len(c.due) {
		return true
	}
	_ = c.net.SetDeadline(c.run.start.Add(time.Duration(now) + c.run.Timeout/2))
	return false
}

// drop gives up the connection, and fails what was in flight on it.
func (c *conn) drop(code string) {
	c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out, c.fill = c.out[:0], 0
	for slot, due := range c.due {
		if due == free {
			continue
		}
		c.tally.fail(code)
		c.due[slot] = free
		c.spare = append(c.spare, slot)
		c.parked++
	}
}

// redial connects again, with backoff, while there is time. Afterwards the pacer may use the slots again.
func (c *conn) redial(ctx context.Context) bool {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := c.dial(ctx)
		if err == nil {
			break
		}
		c.tally.fail(codeRefused)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil || c.over() {
			return false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; c.parked > 0 && c.turns != nil; c.parked-- {
		c.turns <- c
	}
	return true
}

// send queues a call for the pacer; false: there is no connection now, and the turn comes again once
// there is one.
func (c *conn) send(due int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.net == nil {
		c.parked++
		return false
	}
	c.sendLocked(due)
	return true
}

// finish says that the pacer sends no more, and wakes a Run that has nothing left to wait for.
func (c *conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = true
	if c.net != nil && len(c.spare) == len(c.due) {
		_ = c.net.SetReadDeadline(time.Unix(1, 0))
	}
}
