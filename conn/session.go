package conn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// Session is one WebSocket. Its one goroutine reads; whoever has output appends it to the outbox.
type Session struct {
	srv     *Server
	sock    *socket
	ws      *websocket.Conn
	out     outbox
	caller  atomic.Pointer[Caller] // nil until it signed in
	calls   atomic.Int32           // requests that are not answered yet
	ending  atomic.Bool            // a close was sent: what comes in is thrown away
	leaving atomic.Bool            // the hub drains: closed once no call is under way
	batch   nodebridge.Batch       // of the reading goroutine; flushed before it waits
	req     *hub.Request           // of the reading goroutine: for what the message asks of the hub; nil between messages
	origin  string                 // of the page that it is; "": none, or the hub's own
	renewed *pace                  // of the reading goroutine: auth of a session that is signed in; nil: none yet
	shown   *hub.Member            // of the reading goroutine: who presence shows; nil until it subscribed

	mu     sync.Mutex // guards all below
	subs   []*sink    // a slice: most sessions have one
	subNo  int
	timer  *time.Timer // ends who does not sign in, or does not answer a close
	lease  *lease      // set by signing in, and not changed
	expiry *standing   // nil: what it signed in with does not run out
	over   bool        // the session has ended
}

func newSession(srv *Server, k *socket) *Session {
	s := &Session{srv: srv, sock: k}
	s.out.limit, s.out.timeout, s.out.spawn = srv.cfg.OutboxBytes, srv.cfg.WriteTimeout, srv.spawn
	s.out.over, s.out.broken = s.tooSlow, s.broken
	k.beforeWait = s.flush
	return s
}

func (s *Session) flush() { s.batch.Flush() }

// run reads until the connection ends, and takes back what the session had of the hub.
func (s *Session) run() {
	s.out.attach(s.sock, nil)
	err := s.read()
	if !s.ending.Load() && brokeProtocol(err) { // what coder does not answer itself, as a frame without a mask
		s.close(CloseProtocol)
	}
	s.flush()
	s.end()
	s.hangUp(err)
}

// read handles message after message. A panic of ours ends the session, not the hub.
func (s *Session) read() (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.srv.logPanic("WebSocket", r)
			s.close(CloseInternal)
			err = errPanic
		}
	}()
	for {
		typ, r, err := s.ws.Reader(context.Background())
		if err != nil {
			return err
		}
		if s.ending.Load() {
			if _, err := io.Copy(io.Discard, r); err != nil {
				return err
			}
			continue
		}
		in := inboxes.Get().(*inbox)
		err = in.read(r)
		switch {
		case err != nil:
		case typ != websocket.MessageText:
			s.close(CloseNotText)
		case !utf8.Valid(in.msg):
			s.close(CloseNotUTF8)
		default:
			s.message(in)
		}
		in.free()
		if err != nil {
			return err
		}
	}
}

// brokeProtocol tells what a peer sent from a connection that ended.
func brokeProtocol(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return !network && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) &&
		websocket.CloseStatus(err) == -1
}

// message does what a message asks for.
func (s *Session) message(in *inbox) {
	s.req = &in.req
	defer func() { s.req = nil }()
	var isBatch, ok bool
	var total int
	in.reqs, isBatch, total, ok = decodeRPC(in.msg, in.reqs[:0], s.srv.cfg.MaxBatch)
	switch {
	case !ok:
		s.refuse(rpcParse, "The message is not JSON.")
	case total == 0:
		s.refuse(rpcInvalid, "The batch is empty.")
	case total > s.srv.cfg.MaxBatch:
		s.refuse(rpcInvalid, fmt.Sprintf("The batch has too many requests: over %d (MaxBatch).", s.srv.cfg.MaxBatch))
	default:
		var group *rpcBatch
		if isBatch {
			group = newBatch(s, in.reqs)
		}
		for i := range in.reqs {
			s.do(&in.reqs[i], group)
		}
	}
}

// refuse answers a message that can't be told apart into requests.
func (s *Session) refuse(code int, message string) {
	b, _ := json.Marshal(rpcError{Code: code, Message: message})
	if err := s.count(nil); err != nil {
		b = problemOf(fault.From(err)).rpc(rpcFault)
	}
	s.out.text(&s.batch, rpcErrorHead, null, rpcErrorMid, b, rpcTail)
}

// close ends the session: what is queued is written, then the close frame; the peer has CloseWithin
// to answer it.
func (s *Session) close(code CloseCode) {
	s.out.mu.Lock()
	s.closing(code)
	s.out.mu.Unlock()
	s.out.Flush()
}

// closing is close for who holds the outbox's lock, and flushes it.
func (s *Session) closing(code CloseCode) {
	if s.ending.CompareAndSwap(false, true) {
		s.out.finish(closeFrame(code))
		s.within(s.srv.cfg.CloseWithin, func() { _ = s.sock.Close() })
	}
}

func (s *Session) tooSlow() { s.closing(CloseSlow) }

// within arms the session's timer; there is one at a time.
func (s *Session) within(d time.Duration, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	if !s.over {
		s.timer = time.AfterFunc(d, f)
	}
}

func (s *Session) broken(error) { _ = s.sock.Close() }

// end takes back the session's subscriptions. Calls that still run lose their listener alone.
func (s *Session) end() {
	s.srv.live.remove(s)
	s.mu.Lock()
	s.over = true
	s.expiry.stop()
	subs := s.subs
	s.subs = nil
	lease := s.lease
	s.mu.Unlock()
	lease.unsubscribe(len(subs))
	lease.close()
	for _, k := range subs {
		if k.sub != nil {
			k.sub.Close()
		}
	}
}

// hangUp closes the connection. If we end it and the peer did not answer, it may still be sending,
// and closing at once would take the close frame away from it.
func (s *Session) hangUp(err error) {
	_ = s.ws.CloseNow()
	if websocket.CloseStatus(err) == -1 && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.out.onDone(s.sock.closeWrite)
		if s.sock.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, s.sock, lingerBytes)
		}
	}
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.out.kill()
	_ = s.sock.Close()
}

// beat is called every PingEvery: it pings who is silent and ends who does not answer.
func (s *Session) beat(now int64) {
	switch silent := now - s.sock.lastIn.Load(); {
	case silent > 2:
		_ = s.sock.Close()
	case silent > 0 && !s.ending.Load():
		s.out.frames(pingFrame)
	}
}

var pingFrame = appendFrameHead(nil, opPing, 0)

// leave tells the client that the hub goes, and when to come back.
func (s *Session) leave(reason string, after time.Duration) {
	s.advise(reason, after)
	s.leaving.Store(true)
	s.leaveIfIdle()
}

// turnAway ends a session before it began: too many come at once.
func (s *Session) turnAway(after time.Duration) {
	s.advise("busy", after)
	s.close(CloseBusy)
}

// advise announces the end of the session, and says when to come back.
func (s *Session) advise(reason string, after time.Duration) {
	b, _ := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "method": "closing",
		"params": map[string]any{"reason": reason, "reconnect": map[string]any{"after": after.Milliseconds()}},
	})
	s.out.text(nil, b)
}

// leaveIfIdle closes a session that leaves once its calls are answered.
func (s *Session) leaveIfIdle() {
	if s.leaving.Load() && s.calls.Load() == 0 {
		s.close(CloseRestart)
	}
}

// abort closes a session whose calls did not end in time.
func (s *Session) abort() { s.close(CloseRestart) }

// inbox is a message while it is handled.
type inbox struct {
	msg  []byte
	reqs []rpcRequest
	req  hub.Request
}

var inboxes = sync.Pool{New: func() any { return &inbox{msg: make([]byte, 0, 4<<10), reqs: make([]rpcRequest, 0, 1)} }}

// read reads one whole message; the connection's read limit bounds it.
func (in *inbox) read(r io.Reader) error {
	in.msg = in.msg[:0]
	for {
		if len(in.msg) == cap(in.msg) {
			in.msg = append(in.msg, 0)[:len(in.msg)]
		}
		n, err := r.Read(in.msg[len(in.msg):cap(in.msg)])
		in.msg = in.msg[:len(in.msg)+n]
		if err != nil {
			if err == io.EOF { // the connection's own end is io.ErrUnexpectedEOF (upgrade.go)
				return nil
			}
			return err
		}
	}
}

func (in *inbox) free() {
	if cap(in.msg) <= keepBuffer && cap(in.reqs) <= 16 {
		inboxes.Put(in)
	}
}
