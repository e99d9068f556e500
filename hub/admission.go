package hub

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// admission is what decides whether a tenant's next call or start is let in. It takes no lock: it is on the
// way of every call.
type admission struct {
	rate    rate
	refused atomic.Uint64 // for the rate
}

// admit counts a call or start that comes from outside. What runs may call others without being counted: it
// was let in already, and a refusal would leave its work half done. Faults: rate_limited.
func (a *admission) admit(l *tenants.Limits) error {
	if l.CallRate == 0 {
		return nil
	}
	if wait := a.rate.take(time.Now(), l.CallRate, l.CallBurst); wait > 0 {
		a.refused.Add(1)
		return &fault.Fault{Code: fault.RateLimited, RetryAfter: wait,
			Detail: "More calls came than the tenant may make (callRate). Wait for Retry-After."}
	}
	return nil
}

// rate lets events pass so many times a second, with a burst after a rest: the generic cell rate algorithm
// (ITU-T I.371), whose whole state is one time.
type rate struct {
	at atomic.Int64 // when the next event would come if all came evenly; nanoseconds since 1970
}

// take lets one event pass, or says how long to wait for that. A burst of 0 is that of one second.
func (r *rate) take(now time.Time, perSecond float64, burst int) (wait time.Duration) {
	every := max(1, int64(float64(time.Second)/perSecond))
	many := float64(burst)
	if burst == 0 {
		many = max(1, math.Floor(perSecond))
	}
	ahead := int64(min((many-1)*float64(every), math.MaxInt64/4))
	t := now.UnixNano()
	for {
		at := r.at.Load()
		if at-t > ahead {
			return time.Duration(at - t - ahead)
		}
		if r.at.CompareAndSwap(at, max(at, t)+every) {
			return 0
		}
	}
}
