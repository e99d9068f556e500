package conn

import (
	"bytes"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

const invokePrefix = "/v1/invoke/"

// invokePath gives the function of an invoke's path.
func invokePath(path []byte) (ref []byte, ok bool) {
	if len(path) <= len(invokePrefix) || string(path[:len(invokePrefix)]) != invokePrefix {
		return nil, false
	}
	ref = path[len(invokePrefix):]
	return ref, bytes.IndexByte(ref, '/') < 0
}

// wishes is how the caller wants an invoke to be done.
type wishes struct {
	async  bool          // Prefer: respond-async or ?async=1
	wait   time.Duration // Prefer: wait=5
	stream bool          // Accept: text/event-stream
}

// invoke is the hot path: POST /v1/invoke/{function}.
func (s *Server) invoke(ctx *fasthttp.RequestCtx, ref []byte) {
	c, err := s.caller(ctx)
	if err == nil {
		err = s.allow(&c, invokeRule, borrow(ref))
	}
	if err != nil {
		s.fail(ctx, err)
		return
	}
	t := c.Tenant
	w, err := s.wait.take(ctx)
	if err != nil {
		s.fail(ctx, err)
		return
	}
	defer s.wait.put(w)
	wish, err := w.read(ref)
	if c.Token != nil {
		w.req.Caller = c.Token.Subject
	}
	if w.req.Key != "" && err == nil {
		w.req.Key, err = c.key(w.req.Key)
	}
	switch {
	case err != nil:
		s.fail(ctx, err)
	case wish.stream:
		s.invokeStream(ctx, &c, &w.req)
	case wish.async || wish.wait > 0:
		s.start(ctx, t, w, wish)
	default:
		if _, err := s.hub.Invoke(t, &w.req, w); err != nil {
			s.fail(ctx, err)
			return
		}
		<-w.done
		w.finish(s)
	}
}

// read makes the hub's request of the HTTP request. It points into ctx.
func (w *waiter) read(ref []byte) (wish wishes, err error) {
	r := &w.req
	r.Function = borrow(ref)
	r.Args = w.ctx.PostBody()
	switch {
	case len(r.Args) == 0:
		r.Encoding = nodebridge.Nothing
	case isBytes(w.ctx.Request.Header.ContentType()):
		r.Encoding = nodebridge.Bytes
	default:
		r.Encoding = nodebridge.JSON
	}
	for k, v := range w.ctx.Request.Header.All() {
		switch string(k) {
		case "Accept":
			wish.stream = bytes.Contains(v, eventStreamType)
		case "Prefer":
			err = wish.prefer(v)
		case "Idempotency-Key":
			r.Key = string(v)
		case "Traceparent":
			r.Traceparent = string(v)
		}
		if err != nil {
			return wish, err
		}
	}
	if q := w.ctx.URI().QueryString(); len(q) > 0 {
		return wish, wish.query(w.ctx, r)
	}
	return wish, nil
}

// query reads ?async=1, and what goes with it: delay (a duration) and priority.
func (w *wishes) query(ctx *fasthttp.RequestCtx, r *hub.Request) error {
	q := ctx.QueryArgs()
	w.async = w.async || q.GetBool("async")
	if v := q.Peek("delay"); len(v) > 0 {
		d, err := units.ParseDuration(string(v))
		if err != nil {
			return invalid(`delay must be milliseconds or a duration like "90s".`)
		}
		r.Delay = time.Duration(d)
	}
	if v := q.Peek("priority"); len(v) > 0 {
		n, err := strconv.Atoi(string(v))
		if err != nil {
			return invalid("priority must be a whole number.")
		}
		r.Priority = n
	}
	if !w.async && (r.Delay != 0 || r.Priority != 0) {
		return invalid("delay and priority are for durable executions: add async=1.")
	}
	return nil
}

var (
	eventStreamType = []byte("text/event-stream")
	bytesType       = []byte("application/octet-stream")
)

func isBytes(contentType []byte) bool {
	return len(contentType) >= len(bytesType) && bytes.EqualFold(contentType[:len(bytesType)], bytesType)
}

// prefer reads a Prefer header (RFC 7240); what it does not know it leaves.
func (w *wishes) prefer(v []byte) error {
	for p := range bytes.SplitSeq(v, []byte{','}) {
		p, _, _ = bytes.Cut(p, []byte{';'})
		name, value, _ := bytes.Cut(bytes.TrimSpace(p), []byte{'='})
		switch string(bytes.ToLower(bytes.TrimSpace(name))) {
		case "respond-async":
			w.async = true
		case "wait":
			n, err := strconv.Atoi(string(bytes.Trim(bytes.TrimSpace(value), `"`)))
			if err != nil || n < 0 || n > 3600 {
				return fault.New(fault.InvalidRequest, "Prefer: wait must be 0 to 3600 seconds.")
			}
			w.wait = time.Duration(n) * time.Second
		}
	}
	return nil
}

// start accepts a durable execution. If the caller waits a while, its answer may come in time.
func (s *Server) start(ctx *fasthttp.RequestCtx, t *tenants.Tenant, w *waiter, wish wishes) {
	v, err := s.hub.Start(s.life(), t, &w.req)
	if err != nil {
		s.fail(ctx, err)
		return
	}
	if wish.wait > 0 {
		stop, err := s.hub.Await(t, v.ID(), w)
		if err != nil {
			s.fail(ctx, err)
			return
		}
		answered := w.within(wish.wait)
		stop()
		if answered {
			w.finish(s)
			return
		}
	}
	accepted(ctx, v.ID())
}

// invokeStream answers with the execution's events, then its result.
func (s *Server) invokeStream(ctx *fasthttp.RequestCtx, c *Caller, req *hub.Request) {
	e := s.newEventStream(ctx, c, true)
	if err := e.count(); err != nil {
		s.fail(ctx, err)
		return
	}
	req.Events = e
	x, err := s.hub.Invoke(c.Tenant, req, e)
	if err != nil {
		e.close()
		s.fail(ctx, err)
		return
	}
	e.hijack(ctx, x.ID())
}
