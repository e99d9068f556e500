package conn

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// quotas counts what each tenant, and each subject of it, takes: connections, subscriptions and messages, those that are
// published by HTTP among them. Only connections, and publishes by HTTP that a limit is set for, take the lock; a message over a
// WebSocket costs two looks at limits that are off.
type quotas struct {
	keep int // see Config.MaxSubjects

	mu  sync.Mutex // guards the rest
	all map[*tenants.Tenant]*tenantUsage
}

// tenantUsage is what a tenant and its subjects take. What was taken is remembered after the last connection has gone, until
// the pace has made up for it (sweep): a client that comes back begins no new second.
type tenantUsage struct {
	usage
	subjects map[string]*usage // those with a connection
	idle     map[string]*usage // the others, keep at most
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

// lease is what one connection, or one request, has of its tenant's and its subject's quota; nil has nothing.
type lease struct {
	q       *quotas
	of      *tenants.Tenant
	tenant  *tenantUsage
	subject *usage // nil: it has no subject
	name    string // of the subject
}

// open counts a connection, or refuses it. Faults: overloaded.
func (q *quotas) open(c *Caller) (*lease, error) {
	limits := c.Tenant.Limits()
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.leaseLocked(c)
	switch {
	case limits.MaxConnections > 0 && l.tenant.conns >= limits.MaxConnections:
		return nil, fault.New(fault.Overloaded, "The tenant has %d connections, which is its limit (maxConnections).", l.tenant.conns)
	case l.subject != nil && limits.MaxConnectionsPerSubject > 0 && l.subject.conns >= limits.MaxConnectionsPerSubject:
		return nil, fault.New(fault.Overloaded, "The subject has %d connections, which is its limit (maxConnectionsPerSubject).", l.subject.conns)
	}
	l.tenant.conns++
	if l.subject != nil {
		if l.subject.conns++; l.subject.conns == 1 {
			delete(l.tenant.idle, l.name)
			l.tenant.subjects[l.name] = l.subject
		}
	}
	return l, nil
}

// visit is for the messages of a request that is no connection. It gives nil if no limit is set for them.
func (q *quotas) visit(c *Caller) *lease {
	if limits := c.Tenant.Limits(); limits.MessageRate <= 0 && limits.MessageRatePerSubject <= 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.leaseLocked(c)
}

// leaseLocked finds the usage of a caller's tenant and subject, which begins if there is none.
func (q *quotas) leaseLocked(c *Caller) *lease {
	t := q.all[c.Tenant]
	if t == nil {
		if q.all == nil {
			q.all = map[*tenants.Tenant]*tenantUsage{}
		}
		t = &tenantUsage{subjects: map[string]*usage{}, idle: map[string]*usage{}}
		q.all[c.Tenant] = t
	}
	l := &lease{q: q, of: c.Tenant, tenant: t, name: c.subject()}
	if l.name == "" {
		return l
	}
	if l.subject = t.subjects[l.name]; l.subject == nil {
		if l.subject = t.idle[l.name]; l.subject == nil {
			l.subject = &usage{}
			q.restLocked(t, l.name, l.subject)
		}
	}
	return l
}

// restLocked remembers a subject that has no connection. If there are too many, one of them is forgotten.
func (q *quotas) restLocked(t *tenantUsage, name string, u *usage) {
	for k := range t.idle {
		if len(t.idle) < q.keep {
			break
		}
		delete(t.idle, k)
	}
	t.idle[name] = u
}

// close gives back a connection.
func (l *lease) close() {
	if l == nil {
		return
	}
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	l.tenant.conns--
	if l.subject == nil {
		return
	}
	if l.subject.conns--; l.subject.conns == 0 {
		delete(l.tenant.subjects, l.name)
		if !l.subject.rested(time.Now()) {
			l.q.restLocked(l.tenant, l.name, l.subject)
		}
	}
}

// sweep forgets who has no connection and may send as much as one who begins.
func (q *quotas) sweep(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for of, t := range q.all {
		for name, u := range t.idle {
			if u.rested(now) {
				delete(t.idle, name)
			}
		}
		if t.conns == 0 && len(t.subjects)+len(t.idle) == 0 && t.rested(now) {
			delete(q.all, of)
		}
	}
}

// rested says whether all that was sent is made up for.
func (u *usage) rested(now time.Time) bool {
	p := u.pace.Load()
	return p == nil || p.TokensAt(now) >= float64(p.Burst())
}

// subscribe counts a subscription, or refuses it. Faults: overloaded.
func (l *lease) subscribe() error {
	if l == nil {
		return nil
	}
	limits := l.of.Limits()
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
	limits := l.of.Limits()
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

// owe counts n messages more of a request that was let in with its first. The next ones wait until they are made up for, so
// that those who send many at once are no faster than others.
func (l *lease) owe(n int) {
	if l == nil || n <= 0 {
		return
	}
	limits := l.of.Limits()
	if l.subject != nil && limits.MessageRatePerSubject > 0 {
		l.subject.owe(n)
	}
	if limits.MessageRate > 0 {
		l.tenant.owe(n)
	}
}

func (u *usage) owe(n int) {
	p := u.pace.Load()
	if p == nil { // the limit was set between the first and these
		return
	}
	for now := time.Now(); n > 0; n -= p.Burst() {
		p.ReserveN(now, min(n, p.Burst()))
	}
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
