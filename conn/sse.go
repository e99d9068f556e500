package conn

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/nodebridge"
)

// eventStream is a response of Server-Sent Events (the HTML standard, 9.2). It takes events from the
// moment it is made; its connection comes later (hijack), taken from fasthttp, so that a stream holds
// no handler, notices when its client goes, and is bounded by an outbox like a WebSocket.
//
// Who is too slow is cut off in the middle: the response lacks its end, and the client comes back
// with Last-Event-ID.
type eventStream struct {
	srv     *Server
	out     outbox
	chunked bool // HTTP/1.1
	answers bool // ends with a result: a drain waits for it
	caller  Caller
	origin  string // of the page that it is; "": none, or the hub's own

	mu   sync.Mutex // guards the rest
	sub  *hub.Subscription
	over bool // the client has gone

	expiry *standing
	lease  *lease // nil: it is not counted, or over
	told   bool   // that something is missing, or that nothing is
}

func (s *Server) newEventStream(ctx *fasthttp.RequestCtx, c *Caller, answers bool) *eventStream {
	e := &eventStream{srv: s, chunked: ctx.Request.Header.IsHTTP11(), answers: answers, caller: *c}
	if origin := ctx.Request.Header.Peek(fasthttp.HeaderOrigin); len(origin) > 0 && !s.own.isOwn(string(origin), string(ctx.Host())) {
		e.origin = string(origin)
	}
	e.out.limit, e.out.timeout, e.out.spawn = s.cfg.OutboxBytes, s.cfg.WriteTimeout, s.spawn
	e.out.over, e.out.broken = e.tooSlow, func(error) { e.hangUp() }
	return e
}

// wantsEvents reports whether the caller accepts an event stream.
func wantsEvents(ctx *fasthttp.RequestCtx) bool {
	return bytes.Contains(ctx.Request.Header.Peek(fasthttp.HeaderAccept), eventStreamType)
}

// hijack makes the stream the response; it gives false if it can't, and then has answered.
func (e *eventStream) hijack(ctx *fasthttp.RequestCtx, execution string) bool {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n" +
		"X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n")
	if e.chunked {
		b.WriteString("Transfer-Encoding: chunked\r\n")
	}
	if execution != "" {
		b.WriteString(headerExecution + ": " + execution + "\r\n")
	}
	b.WriteString(corsHead(ctx) + "Date: " + time.Now().UTC().Format(time.RFC1123[:26]+"GMT") + "\r\n\r\n")
	head := []byte(b.String())
	if !e.srv.live.add(e, e.caller.tenant()) {
		e.close()
		e.srv.fail(ctx, errDraining)
		return false
	}
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(c net.Conn) {
		k := newSocket(unwrap(c), nil, &e.srv.beats)
		e.srv.spawn(func() { e.run(k, head) })
	})
	e.recheck() // what was revoked before the stream could be found
	return true
}

// run waits for the client to go, or for the end of the response to be taken.
func (e *eventStream) run(k *socket, head []byte) {
	if e.out.attach(k, head) {
		for k.fill() == nil {
			k.drop()
		}
	}
	e.srv.live.remove(e)
	e.close()
	_ = k.Close()
}

// close takes back what the stream had of the hub.
func (e *eventStream) close() {
	e.mu.Lock()
	e.over = true
	e.expiry.stop()
	sub, lease := e.sub, e.lease
	e.lease = nil
	e.mu.Unlock()
	if lease != nil {
		if !e.answers { // see count
			lease.unsubscribe(1)
		}
		lease.close()
	}
	if sub != nil {
		sub.Close()
	}
	e.out.kill()
}

// follow has the stream show sub, which it closes when the client goes.
func (e *eventStream) follow(sub *hub.Subscription) {
	e.mu.Lock()
	e.sub = sub
	e.mu.Unlock()
}

// tooSlow cuts the stream off; the outbox's lock is held.
func (e *eventStream) tooSlow() {
	e.out.killLocked()
	if e.out.sock != nil {
		_ = e.out.sock.Close()
	}
}

// begin says, before the first event, if not everything after the client's last one is there.
func (e *eventStream) begin(sub *hub.Subscription, b *nodebridge.Batch) {
	e.mu.Lock()
	told := e.told
	e.told = true
	e.mu.Unlock()
	if told || sub == nil || sub.Recovered() {
		return
	}
	js, _ := json.Marshal(struct { // strings and a number
		Recovered bool `json:"recovered"`
		hub.Position
	}{false, sub.Position()})
	e.send("gap", js, b)
}

// Deliver sends the events.
func (e *eventStream) Deliver(sub *hub.Subscription, evs []*hub.Event, b *nodebridge.Batch) {
	e.begin(sub, b)
	var buf [96]byte
	for _, ev := range evs {
		head := buf[:0]
		members := ev.Members()
		if sub != nil {
			if p, ok := sub.PositionOf(ev); ok {
				head = append(append(head, "id: "...), p.Epoch...)
				head = append(strconv.AppendUint(append(head, ':'), p.Offset, 10), '\n')
			}
			members = sub.Members(ev)
		}
		if plainType(ev.Type) {
			head = append(append(append(head, "event: "...), ev.Type...), '\n')
		}
		e.out.chunk(b, e.chunked, head, dataHead, members, dataTail)
	}
}

var (
	dataHead = []byte("data: {")
	dataTail = []byte("}\n\n")
)

// plainType reports whether an event's type can be the name of a Server-Sent Event and is none of
// those that are not a stream's.
func plainType(t string) bool {
	return t != "result" && t != "error" && t != "gap" && len(t) <= 64 && strings.IndexFunc(t, func(r rune) bool { return r < ' ' }) < 0
}

// Room waits until the client has read enough for more history.
func (e *eventStream) Room(ctx context.Context) error { return e.out.Room(ctx) }

// Busy and Calm let only the newest events of a subscription with latest wait.
func (e *eventStream) Busy() bool                     { return e.out.Busy() }
func (e *eventStream) Calm(ctx context.Context) error { return e.out.Calm(ctx) }

// Ended ends the response, unless an answer will.
func (e *eventStream) Ended(sub *hub.Subscription, b *nodebridge.Batch) {
	e.begin(sub, b)
	if !e.answers {
		e.finish(b)
	}
}

// Reply sends the answer as the last event. Of a pause the events tell; the stream goes on.
func (e *eventStream) Reply(a *hub.Answer, b *nodebridge.Batch) bool {
	switch {
	case a.State == hub.Paused:
		return false
	case a.State != hub.Succeeded:
		e.last("error", problemOfFailure(a.Execution, a.Failure).json(), b)
	case a.Encoding == nodebridge.Bytes:
		e.last("result", []byte(`{"base64":"`+base64.StdEncoding.EncodeToString(a.Result)+`"}`), b)
	case a.Encoding == nodebridge.Nothing:
		e.last("result", null, b)
	default:
		e.last("result", a.Result, b)
	}
	return true
}

// last sends a named event and ends the response.
func (e *eventStream) last(name string, json []byte, b *nodebridge.Batch) {
	e.send(name, json, b)
	e.finish(b)
}

// send sends an event that is none of a stream's. json must have no line break.
func (e *eventStream) send(name string, data []byte, b *nodebridge.Batch) {
	if bytes.IndexByte(data, '\n') >= 0 || bytes.IndexByte(data, '\r') >= 0 {
		var c bytes.Buffer
		if json.Compact(&c, data) == nil { // line breaks in JSON are between its tokens
			data = c.Bytes()
		}
	}
	e.out.chunk(b, e.chunked, []byte("event: "+name+"\ndata: "), data, []byte("\n\n"))
}

// finish ends the response after what waits.
func (e *eventStream) finish(b *nodebridge.Batch) {
	var last []byte
	if e.chunked {
		last = []byte("0\r\n\r\n")
	}
	e.out.mu.Lock()
	e.out.finish(last)
	e.out.done = e.hangUp
	e.out.endBatch(b)
}

// hangUp ends our half of the connection; the client has a moment to end its own.
func (e *eventStream) hangUp() {
	e.out.sock.closeWrite()
	_ = e.out.sock.SetReadDeadline(time.Now().Add(e.srv.cfg.CloseWithin))
}

// beat sends a comment, so that nothing between here and the client takes the stream for dead.
func (e *eventStream) beat(int64) { e.out.chunk(nil, e.chunked, comment) }

var comment = []byte(":\n\n")

// leave ends the stream when the hub drains: the client comes back with Last-Event-ID.
func (e *eventStream) leave(_ string, after time.Duration) {
	e.out.chunk(nil, e.chunked, []byte("retry: "+strconv.FormatInt(after.Milliseconds(), 10)+"\n\n"))
	if !e.answers {
		e.finish(nil)
	}
}

// abort ends the stream without its answer.
func (e *eventStream) abort() {
	e.last("error", problemOf(errDraining).json(), nil)
}
