package conn

import (
	"context"
	"encoding/json"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// method is what a WebSocket can ask for. It runs on the reading goroutine: what may wait, waits in a goroutine
// of its own (later).
type method struct {
	do   func(*Session, *rpcRequest, *call)
	rule rule
}

var methods = map[string]*method{}

func init() { // refers to itself through do
	for name, do := range map[string]func(*Session, *rpcRequest, *call){
		"invoke":      (*Session).invoke,
		"start":       (*Session).start,
		"get":         (*Session).get,
		"list":        (*Session).list,
		"pause":       (*Session).pause,
		"resume":      (*Session).resume,
		"cancel":      (*Session).cancel,
		"retry":       (*Session).retry,
		"send":        (*Session).send,
		"subscribe":   (*Session).subscribe,
		"unsubscribe": (*Session).unsubscribe,
		"publish":     (*Session).publish,
		"presence":    (*Session).presence,
		"ping":        (*Session).ping,
		"auth":        (*Session).auth,
	} {
		methods[name] = &method{do, rules["WS "+name]}
	}
}

// do begins one request of a message.
func (s *Session) do(r *rpcRequest, group *rpcBatch) {
	if s.ending.Load() {
		return // what a message still asks for after the close
	}
	m, caller := methods[string(r.method)], s.caller.Load()
	tooFast := s.count(m) // first of all: what is wrong costs as much as what is right
	c := s.newCall(r, group)
	if c == nil {
		return
	}
	switch {
	case tooFast != nil:
		c.fail(tooFast, &s.batch)
	case r.code == rpcInvalid:
		c.protocol(rpcInvalid, "This is no JSON-RPC 2.0 request.")
	case r.code != 0:
		c.invalid(fault.New(fault.InvalidRequest, "params must be an object."))
	case m == nil:
		c.protocol(rpcNoMethod, "There is no method "+string(r.method)+".")
	case caller == nil && m.rule.who != anyone:
		c.fail(fault.New(fault.Unauthorized, "Sign in first: auth {token}."), &s.batch)
		s.close(CloseUnauthorized)
	case caller != nil && (caller.Token != nil || caller.Tenant == nil):
		if err := s.admit(caller, m.rule, r, c); err == nil {
			m.do(s, r, c)
		}
	default: // anyone, or a tenant's key, which may do all that is asked for here
		m.do(s, r, c)
	}
}

// count counts a request of whoever is signed in; m is nil if it names no method. It gives a fault for one that comes
// faster than the tenant or subject may ask. Who renews a token may do that whatever else was asked, at a rate of its own.
func (s *Session) count(m *method) error {
	if s.caller.Load() == nil {
		return nil
	}
	err := s.lease.message() // set on this goroutine
	if m == nil || m != methods["auth"] {
		return err
	}
	if s.renewed == nil {
		s.renewed = newPace(float64(s.srv.cfg.AuthRate))
	}
	if wait := s.renewed.take(); wait > 0 {
		return &fault.Fault{Code: fault.RateLimited, RetryAfter: wait, Detail: "This connection renews its token more often than it may (AuthRate)."}
	}
	return nil
}

// admit lets a request pass if the caller may do what it asks for, and else answers it.
func (s *Session) admit(caller *Caller, rule rule, r *rpcRequest, c *call) error {
	target := ""
	if rule.on != "" && caller.Token != nil {
		p := params{r: r}
		if rule.on == "stream" {
			target = string(p.stream())
		} else {
			target = string(p.need(rule.on))
		}
		if p.err != nil {
			c.invalid(p.err)
			return p.err
		}
	}
	err := s.srv.allow(caller, rule, target)
	if err != nil {
		c.fail(err, &s.batch)
	}
	return err
}

// protocol answers with an error of JSON-RPC's own.
func (c *call) protocol(code int, message string) {
	b, _ := json.Marshal(rpcError{Code: code, Message: message})
	c.error(b, &c.s.batch)
}

// later runs f in a goroutine of its own and answers with what it gives.
func (s *Session) later(c *call, f func(context.Context) (any, error)) {
	s.srv.spawn(func() {
		v, err := safely(s.srv, func() (any, error) { return f(s.srv.life()) })
		if err == nil {
			var b []byte
			if b, err = json.Marshal(v); err == nil {
				c.result(b, nil)
				return
			}
		}
		c.fail(err, nil)
	})
}

// safely gives a panic of ours as an error.
func safely(s *Server, f func() (any, error)) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.logPanic("WebSocket", r)
			err = errPanic
		}
	}()
	return f()
}

// request reads what invoke and start have in common into s.req; it points into the message.
func (s *Session) request(p *params) *hub.Request {
	*s.req = hub.Request{
		Function: borrow(p.need("function")),
		Args:     p.raw("args"),
		Key:      string(p.text("key")),
	}
	c := s.caller.Load()
	if c.Token != nil {
		s.req.Caller = c.Token.Subject
	}
	if s.req.Key != "" {
		key, err := c.key(s.req.Key)
		if err != nil && p.err == nil {
			p.err = fault.From(err)
		}
		s.req.Key = key
	}
	if len(s.req.Args) == 0 {
		s.req.Encoding = nodebridge.Nothing
	}
	return s.req
}

func (s *Session) invoke(r *rpcRequest, c *call) {
	p := params{r: r}
	req := s.request(&p)
	req.Timeout = p.duration("timeout")
	events := p.bool("events")
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	if events && len(c.id) > 0 { // a notification has no id that its events could name
		req.Events = &sink{s: s, head: eventHead("call", c.id), opened: true}
	}
	// From here on c is the hub's: the answer may come before Invoke returns.
	if _, err := s.srv.hub.Invoke(s.caller.Load().Tenant, req, c); err != nil {
		c.fail(err, &s.batch)
	}
	*req = hub.Request{}
}

func (s *Session) start(r *rpcRequest, c *call) {
	p := params{r: r}
	req := *s.request(&p)
	req.Delay = p.duration("delay")
	req.Priority = p.integer("priority")
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	req.Function, req.Args = string([]byte(req.Function)), append([]byte(nil), req.Args...)
	t := s.caller.Load().Tenant
	s.later(c, func(ctx context.Context) (any, error) {
		v, err := s.srv.hub.Start(ctx, t, &req)
		if err != nil {
			return nil, err
		}
		return started{v.ID()}, nil
	})
}

// started is the answer to a start.
type started struct {
	Execution string `json:"execution"`
}

func (s *Session) get(r *rpcRequest, c *call) {
	s.act(r, c, func(_ context.Context, id string) (hub.View, error) {
		return s.srv.hub.Execution(s.caller.Load().Tenant, id)
	})
}

func (s *Session) pause(r *rpcRequest, c *call) {
	s.act(r, c, func(ctx context.Context, id string) (hub.View, error) {
		return s.srv.hub.Pause(ctx, s.caller.Load().Tenant, id)
	})
}

func (s *Session) cancel(r *rpcRequest, c *call) {
	s.act(r, c, func(ctx context.Context, id string) (hub.View, error) {
		return s.srv.hub.Cancel(ctx, s.caller.Load().Tenant, id)
	})
}

func (s *Session) retry(r *rpcRequest, c *call) {
	s.act(r, c, func(ctx context.Context, id string) (hub.View, error) {
		return s.srv.hub.Retry(ctx, s.caller.Load().Tenant, id)
	})
}

// act is for methods that take an execution alone.
func (s *Session) act(r *rpcRequest, c *call, f func(context.Context, string) (hub.View, error)) {
	p := params{r: r}
	id := string(p.need("execution"))
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	s.later(c, func(ctx context.Context) (any, error) { return f(ctx, id) })
}

func (s *Session) resume(r *rpcRequest, c *call) {
	p := params{r: r}
	id := string(p.need("execution"))
	args := append(json.RawMessage(nil), p.raw("args")...)
	version := p.int("version")
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	if err := s.caller.Load().mayChoose(version); err != nil {
		c.fail(err, &s.batch)
		return
	}
	t := s.caller.Load().Tenant
	s.later(c, func(ctx context.Context) (any, error) { return s.srv.hub.Resume(ctx, t, id, args, version) })
}

func (s *Session) list(r *rpcRequest, c *call) {
	p := params{r: r}
	filter := hub.Filter{
		Function: string(p.text("function")), State: string(p.text("state")), Parent: string(p.text("parent")),
		Key: string(p.text("key")), Trigger: string(p.text("trigger")), Since: p.time("since"), Until: p.time("until"),
		Limit: p.int("limit"), Cursor: string(p.text("cursor")),
	}
	caller := s.caller.Load()
	key, err := caller.wanted(filter.Key)
	if err != nil && p.err == nil {
		p.err = fault.From(err)
	}
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	filter.Key, filter.Caller = key, caller.only()
	s.later(c, func(context.Context) (any, error) { return s.srv.hub.Executions(caller.Tenant, filter) })
}

func (s *Session) send(r *rpcRequest, c *call) {
	p := params{r: r}
	id, eventType := string(p.need("execution")), string(p.need("type"))
	data := append(json.RawMessage(nil), p.raw("data")...)
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	t := s.caller.Load().Tenant
	s.later(c, func(ctx context.Context) (any, error) {
		return true, s.srv.hub.Send(ctx, t, id, eventType, data)
	})
}

func (s *Session) ping(r *rpcRequest, c *call) {
	p := params{r: r}
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	c.result([]byte(`"pong"`), &s.batch)
}

// auth signs in, or in again with a newer token.
func (s *Session) auth(r *rpcRequest, c *call) {
	p := params{r: r}
	token := p.need("token")
	as := p.text("tenant")
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	caller, err := s.srv.signIn(token, from{as, []byte(s.origin), nil})
	old := s.caller.Load()
	switch {
	case err != nil || old == nil:
	case old.Tenant != caller.Tenant:
		err = fault.New(fault.Forbidden, "This connection belongs to another tenant. Open a new one.")
	case old.subject() != caller.subject(): // who is shown to others, and whose executions it has
		err = fault.New(fault.Forbidden, "This connection belongs to another subject. Open a new one.")
	}
	if err == nil {
		err = s.signedIn(caller)
	}
	if err != nil {
		c.fail(err, &s.batch)
		if old == nil {
			s.close(closeFor(err))
		}
		return
	}
	c.result(rpcTrue, &s.batch)
	if old != nil && old.grant != caller.grant {
		s.dropUncovered(&caller)
	}
}
