package conn

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
)

const (
	subprotocol      = "livefn.v1"
	subprotocolToken = "livefn.token." //nolint:gosec // what comes before a token
)

// upgrade turns a request into a session. Whether its Origin may act as the tenant is known once it signs in: a
// page has no key of ours unless it was given one, since the hub signs nobody in by cookie.
//
// A wrong key in the Authorization header is answered 401. One in the URL or the subprotocol comes
// from a browser, which shows its page no status: that one is accepted and closed with 4001, or 4003.
func (s *Server) upgrade(ctx *fasthttp.RequestCtx, _ []string) error {
	if s.live.draining() {
		return errDraining
	}
	r := handshake(ctx)
	if err := checkHandshake(r); err != nil {
		ctx.Response.Header.Set("Upgrade", "websocket")
		ctx.Response.Header.Set("Sec-WebSocket-Version", "13")
		return err
	}
	var caller *Caller
	token, protocol := offered(r)
	if len(bearer(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))) > 0 {
		c, err := s.caller(ctx)
		if err != nil {
			return err
		}
		caller = &c
	} else if q := query(ctx, "token"); q != "" {
		token = q
	}
	as := query(ctx, "tenant")
	origin, host := string(ctx.Request.Header.Peek(fasthttp.HeaderOrigin)), string(ctx.Host())
	ctx.HijackSetNoResponse(true)
	after, busy := s.doors.turnedAway(time.Now())
	ctx.Hijack(func(c net.Conn) {
		s.openSession(c, r, protocol, func(ses *Session, leave bool) {
			if !s.own.isOwn(origin, host) {
				ses.origin = origin
			}
			switch {
			case leave:
				ses.leave("drain", s.reconnectAfter())
			case busy:
				ses.turnAway(after)
			default:
				ses.welcome(caller, token, as)
			}
		})
	})
	return nil
}

// openSession runs in a goroutine of fasthttp's, which ends here. begin is told whether the hub drains.
func (s *Server) openSession(c net.Conn, r *http.Request, protocol string, begin func(ses *Session, leave bool)) {
	early, err := takeEarly(c)
	if err != nil {
		_ = c.Close()
		return
	}
	k := newSocket(unwrap(c), early, &s.beats)
	ses := newSession(s, k)
	w := &upgradeWriter{http.Header{}, &wsConn{k, ses}}
	ses.ws, err = websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{protocol}})
	if err != nil {
		_ = k.Close()
		return
	}
	ses.ws.SetReadLimit(int64(s.cfg.MaxFrame))
	leave := s.live.admit(ses)
	s.spawn(func() {
		begin(ses, leave)
		ses.run()
	})
}

// welcome signs in who brought a token, and gives the others a while.
func (s *Session) welcome(caller *Caller, token, as string) {
	switch {
	case caller != nil:
		if err := s.signedIn(*caller); err != nil {
			s.close(closeFor(err))
		}
	case token != "":
		c, err := s.srv.signIn([]byte(token), from{[]byte(as), []byte(s.origin), nil})
		if err == nil {
			err = s.signedIn(c)
		}
		if err != nil {
			s.close(closeFor(err))
		}
	default:
		s.within(s.srv.cfg.AuthWithin, func() { s.close(CloseUnauthorized) })
	}
}

// closeFor says how a session ends that could not be signed in.
func closeFor(err error) CloseCode {
	switch {
	case fault.Is(err, fault.Forbidden):
		return CloseForbidden
	case fault.Is(err, fault.Overloaded):
		return CloseOverloaded
	}
	return CloseUnauthorized
}

// signedIn makes c the session's caller, whose connections are counted.
func (s *Session) signedIn(c Caller) error {
	first := s.caller.Load() == nil
	var l *lease
	if first && c.Tenant != nil {
		var err error
		if l, err = s.srv.quotas.open(&c); err != nil {
			return err
		}
	}
	s.caller.Store(&c)
	s.mu.Lock()
	if first {
		s.lease = l
	}
	if first && !s.ending.Load() && s.timer != nil && s.timer.Stop() { // the timer of one that ends is for the close
		s.timer = nil
	}
	s.mu.Unlock()
	s.srv.live.join(s, c.tenant())
	s.recheck() // what was revoked before the session could be found
	return nil
}

// handshake gives the request as net/http has it, as far as a handshake needs it.
func handshake(ctx *fasthttp.RequestCtx) *http.Request {
	r := &http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Host: string(ctx.Host())}
	if !ctx.Request.Header.IsHTTP11() {
		r.Proto, r.ProtoMinor = "HTTP/1.0", 0
	}
	for k, v := range ctx.Request.Header.All() {
		r.Header.Add(string(k), string(v))
	}
	return r
}

// offered reads the subprotocols: a token in one of them, and which one to choose.
func offered(r *http.Request) (token, choice string) {
	choice = subprotocol
	var plain bool
	for _, v := range r.Header.Values("Sec-Websocket-Protocol") {
		for p := range strings.SplitSeq(v, ",") {
			p = strings.TrimSpace(p)
			plain = plain || p == subprotocol
			if t, ok := strings.CutPrefix(p, subprotocolToken); ok {
				token = t
				if !plain {
					choice = p // a browser wants one of those that it offered
				}
			}
		}
	}
	if plain {
		choice = subprotocol
	}
	return token, choice
}

// checkHandshake finds what is wrong with a handshake (RFC 6455, 4.2.1) before fasthttp lets go of it.
func checkHandshake(r *http.Request) error {
	h := r.Header
	switch {
	case r.ProtoMinor == 0:
		return invalid("A WebSocket needs HTTP/1.1.")
	case !strings.Contains(strings.ToLower(h.Get("Connection")), "upgrade") || !strings.EqualFold(h.Get("Upgrade"), "websocket"):
		return invalid("This is a WebSocket's address: send Connection: Upgrade and Upgrade: websocket.")
	case h.Get("Sec-WebSocket-Version") != "13":
		return invalid("Only version 13 of WebSocket is spoken here.")
	}
	key, err := base64.StdEncoding.DecodeString(h.Get("Sec-WebSocket-Key"))
	if err != nil || len(key) != 16 || len(h.Values("Sec-WebSocket-Key")) > 1 {
		return invalid("Sec-WebSocket-Key must be 16 bytes of base64.")
	}
	return nil
}

// unwrap gives the connection below fasthttp's, which has nothing more to give.
func unwrap(c net.Conn) net.Conn {
	if u, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
		return u.UnsafeConn()
	}
	return c
}

// upgradeWriter writes the 101 when websocket.Accept takes the connection over, and hands it one
// with small buffers: the socket below reads in large chunks.
type upgradeWriter struct {
	header http.Header
	conn   *wsConn
}

func (w *upgradeWriter) Header() http.Header         { return w.header }
func (w *upgradeWriter) WriteHeader(int)             {}                     // 101, for which Hijack comes next
func (w *upgradeWriter) Write(p []byte) (int, error) { return len(p), nil } // an error; the handshake was checked before

// headBuffer is what coder/websocket reads into to see a frame's head; it reads payloads past it, and the socket below
// reads in large chunks. Each connection has one as long as it lives.
const headBuffer = 64

// controlBuffer holds what coder/websocket writes by itself: control frames. Messages go past it (outbox.go).
const controlBuffer = 160

func (w *upgradeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	if err := w.header.Write(&b); err != nil {
		return nil, nil, err
	}
	b.WriteString("\r\n")
	if err := w.conn.sock.SetWriteDeadline(time.Now().Add(w.conn.srv.cfg.HeaderTimeout)); err != nil {
		return nil, nil, err
	}
	if _, err := w.conn.sock.Write([]byte(b.String())); err != nil {
		return nil, nil, err
	}
	rw := bufio.NewReadWriter(bufio.NewReaderSize(w.conn, headBuffer), bufio.NewWriterSize(w.conn, controlBuffer))
	return w.conn, rw, w.conn.sock.SetWriteDeadline(time.Time{})
}

// wsConn is the connection that coder/websocket sees. It writes control frames alone, which share the
// outbox with ours.
type wsConn struct {
	*socket
	*Session
}

// Read reads for coder, which takes io.EOF within a message for the message's end: what was cut off would be
// handled as if it were whole.
func (w *wsConn) Read(p []byte) (int, error) {
	n, err := w.socket.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Write takes one control frame and never blocks.
func (w *wsConn) Write(p []byte) (int, error) {
	if p[0]&0xf == opClose {
		w.out.mu.Lock()
		w.ending.Store(true)
		w.out.finish(closeAnswer(p))
		w.out.mu.Unlock()
		w.out.Flush()
	} else {
		w.out.frames(p)
	}
	return len(p), nil
}

// Close has the session's goroutine stop reading; it closes the connection itself (hangUp).
func (w *wsConn) Close() error { return w.sock.SetReadDeadline(time.Unix(1, 0)) }
