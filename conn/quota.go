package conn

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// quotas counts what the connections of each tenant, and of each subject of it, take: connections, subscriptions and
// messages. Only connections are counted under a lock; a message costs two looks at limits that are off.
type quotas struct {
	mu  sync.Mutex // guards all
	all map[quotaKey]*usage
}

type quotaKey struct {
	tenant  *tenants.Tenant
	subject string // "": of the tenant
}

// usage is what a tenant's, or a subject's, connections take.
type usage struct {
	conns int // guarded by quotas.mu
	subs  atomic.Int64
	pace  atomic.Pointer[pace]
}

// pace lets messages pass at a rate, with a burst of one second.
type pace struct {
	perSecond float64
	*rate.Limiter
}

// lease is what one connection has of its tenant's and its subject's quota; nil has nothing.
type lease struct {
	q       *quotas
	key     quotaKey
	tenant  *usage
	subject *usage // nil: it has no subject
}

// open counts a connection, or refuses it. Faults: overloaded.
func (q *quotas) open(c *Caller) (*lease, error) {
	l := &lease{q: q, key: quotaKey{c.Tenant, c.subject()}}
	limits := c.Tenant.Limits()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all == nil {
		q.all = map[quotaKey]*usage{}
	}
	l.tenant = q.of(quotaKey{tenant: c.Tenant})
	if l.key.subject != "" {
		l.subject = q.of(l.key)
	}
	switch {
	case limits.MaxConnections > 0 && l.tenant.conns >= limits.MaxConnections:
		return nil, fault.New(fault.Overloaded, "The tenant has %d connections, which is its limit (maxConnections).", l.tenant.conns)
	case l.subject != nil && limits.MaxConnectionsPerSubject > 0 && l.subject.conns >= limits.MaxConnectionsPerSubject:
		return nil, fault.New(fault.Overloaded, "The subject has %d connections, which is its limit (maxConnectionsPerSubject).", l.subject.conns)
	}
	l.tenant.conns++
	q.all[quotaKey{tenant: c.Tenant}] = l.tenant
	if l.subject != nil {
		l.subject.conns++
		q.all[l.key] = l.subject
	}
	return l, nil
}

// of gives the usage of a tenant or subject, which is kept once a connection has it. mu is held.
func (q *quotas) of(key quotaKey) *usage {
	if u := q.all[key]; u != nil {
		return u
	}
	return &usage{}
}

// close gives back a connection.
func (l *lease) close() {
	if l == nil {
		return
	}
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if l.tenant.conns--; l.tenant.conns == 0 {
		delete(l.q.all, quotaKey{tenant: l.key.tenant})
	}
	if l.subject == nil {
		return
	}
	if l.subject.conns--; l.subject.conns == 0 {
		delete(l.q.all, l.key)
	}
}

// subscribe counts a subscription, or refuses it. Faults: overloaded.
func (l *lease) subscribe() error {
	if l == nil {
		return nil
	}
	limits := l.key.tenant.Limits()
	if n := l.tenant.subs.Add(1); limits.MaxSubscriptions > 0 && n > int64(limits.MaxSubscriptions) {
		l.tenant.subs.Add(-1)
		return fault.New(fault.Overloaded, "The tenant has %d subscriptions, which is its limit (maxSubscriptions).", n-1)
	}
	if l.subject == nil {
		return nil
	}
	if n := l.subject.subs.Add(1); limits.MaxSubscriptionsPerSubject > 0 && n > int64(limits.MaxSubscriptionsPerSubject) {
		l.unsubscribe(1)
		return fault.New(fault.Overloaded, "The subject has %d subscriptions, which is its limit (maxSubscriptionsPerSubject).", n-1)
	}
	return nil
}

// unsubscribe gives back n subscriptions.
func (l *lease) unsubscribe(n int) {
	if l == nil || n == 0 {
		return
	}
	l.tenant.subs.Add(int64(-n))
	if l.subject != nil {
		l.subject.subs.Add(int64(-n))
	}
}

// message counts a request, or refuses it. Faults: rate_limited.
func (l *lease) message() error {
	if l == nil {
		return nil
	}
	limits := l.key.tenant.Limits()
	if l.subject != nil && limits.MessageRatePerSubject > 0 { // first: one of many must not use up what all have
		if wait := l.subject.take(limits.MessageRatePerSubject); wait > 0 {
			return &fault.Fault{Code: fault.RateLimited, RetryAfter: wait, Detail: "More messages came than the subject may send (messageRatePerSubject)."}
		}
	}
	if limits.MessageRate > 0 {
		if wait := l.tenant.take(limits.MessageRate); wait > 0 {
			return &fault.Fault{Code: fault.RateLimited, RetryAfter: wait, Detail: "More messages came than the tenant may send (messageRate)."}
		}
	}
	return nil
}

// take lets one message pass, or says how long to wait for that.
func (u *usage) take(perSecond float64) time.Duration {
	p := u.pace.Load()
	if p == nil || p.perSecond != perSecond {
		made := newPace(perSecond)
		if !u.pace.CompareAndSwap(p, made) {
			made = u.pace.Load()
		}
		p = made
	}
	return p.take()
}

func newPace(perSecond float64) *pace {
	return &pace{perSecond, rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))}
}

// take lets one pass, or says how long to wait for that.
func (p *pace) take() time.Duration {
	now := time.Now()
	if p.AllowN(now, 1) {
		return 0
	}
	r := p.ReserveN(now, 1)
	defer r.CancelAt(now)
	return max(time.Millisecond, r.DelayFrom(now))
}
