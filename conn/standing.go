package conn

import (
	"slices"
	"strconv"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// What a key or token opened ends with it. A token that runs out asks for another first:
//
//	 exp - ExpiryNotice (or half of what is left)     exp            exp + ExpiryGrace
//	──┬────────────────────────────────────────────────┬──────────────┬──
//	  `expiring {in}`                                   nothing        4001
//
// auth {token} starts anew at any point of it.

// standing watches whether what a connection was opened with still holds. It is part of a Session or of an
// event stream, which has the lock.
type standing struct {
	timer   *time.Timer
	expires time.Time // what timer minds
}

func (w *standing) stop() {
	if w != nil && w.timer != nil {
		w.timer.Stop()
	}
}

// minds says whether expires is what it minds.
func (w *standing) minds(expires time.Time) bool {
	if w == nil {
		return expires.IsZero()
	}
	return w.expires.Equal(expires)
}

// recheck ends the session if what it was opened with was revoked. What has run out is the timer's, which gives it the
// grace whoever else is revoked meanwhile. It is called after signing in, and after every change for its tenant.
func (s *Session) recheck() {
	c := s.caller.Load()
	if c == nil || c.Tenant == nil {
		return
	}
	switch {
	case s.srv.tenants.Revoked(c.grant) != nil:
		s.close(CloseUnauthorized)
	case s.origin != "" && !c.Tenant.AllowsOrigin(s.origin):
		s.close(CloseForbidden)
	default:
		s.minds(c)
	}
}

// minds arms the timer for the end of the token.
func (s *Session) minds(c *Caller) {
	expires := c.grant.Expires()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.expiry.minds(expires) || s.caller.Load() != c {
		return
	}
	s.expiry.stop()
	s.expiry = nil
	if expires.IsZero() {
		return
	}
	left := time.Until(expires)
	lead := min(s.srv.cfg.ExpiryNotice, left/2)
	s.expiry = &standing{time.AfterFunc(left-lead, func() { s.expiring(expires) }), expires}
}

// expiring tells the client that its token runs out.
func (s *Session) expiring(expires time.Time) {
	s.mu.Lock()
	mine := !s.over && s.expiry != nil && s.expiry.minds(expires)
	if mine {
		s.expiry.timer = time.AfterFunc(time.Until(expires)+s.srv.cfg.ExpiryGrace, func() { s.expired(expires) })
	}
	s.mu.Unlock()
	if mine {
		s.out.text(nil, expiringHead, strconv.AppendInt(nil, max(0, time.Until(expires).Milliseconds()), 10), expiringTail)
	}
}

var (
	expiringHead = []byte(`{"jsonrpc":"2.0","method":"expiring","params":{"in":`)
	expiringTail = []byte(`}}`)
)

func (s *Session) expired(expires time.Time) {
	s.mu.Lock()
	mine := !s.over && s.expiry != nil && s.expiry.minds(expires)
	s.mu.Unlock()
	if mine {
		s.close(CloseUnauthorized)
	}
}

// dropUncovered ends the subscriptions that a newer token does not allow.
func (s *Session) dropUncovered(c *Caller) {
	s.mu.Lock()
	subs := slices.Clone(s.subs)
	s.mu.Unlock()
	for _, k := range subs { // on the reading goroutine, which alone adds and names them
		if k.sub == nil || s.srv.allow(c, watchRule, k.sub.Stream()) == nil {
			continue
		}
		s.forget(k.name)
		k.sub.Close()
		s.out.text(&s.batch, endedHead, strconv.AppendQuote(nil, k.name), endedForbidden)
	}
}

// recheck ends the stream if what it was opened with was revoked.
func (e *eventStream) recheck() {
	if e.caller.Tenant == nil {
		return
	}
	err := e.srv.tenants.Revoked(e.caller.grant)
	if err == nil && e.origin != "" && !e.caller.Tenant.AllowsOrigin(e.origin) {
		err = errOrigin
	}
	if err != nil {
		e.last("error", problemOf(fault.From(err)).json(), nil)
		return
	}
	expires := e.caller.grant.Expires()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over || e.answers || e.expiry.minds(expires) { // one that ends with an answer waits for it, as any request
		return
	}
	e.expiry.stop()
	e.expiry = nil
	if !expires.IsZero() {
		e.expiry = &standing{time.AfterFunc(time.Until(expires)+e.srv.cfg.ExpiryGrace, func() { e.finish(nil) }), expires}
	}
}

// recheck has every connection of a tenant looked at.
func (s *Server) recheck(tenant string) {
	for _, v := range s.live.listOf(tenant) {
		v.recheck()
	}
}

// count counts the stream among its tenant's connections, and its subscription; one that ends with an answer has none.
func (e *eventStream) count() error {
	l, err := e.srv.quotas.open(&e.caller)
	if err != nil {
		return err
	}
	if !e.answers {
		if err := l.subscribe(); err != nil {
			l.close()
			return err
		}
	}
	e.mu.Lock()
	e.lease = l
	e.mu.Unlock()
	return nil
}
