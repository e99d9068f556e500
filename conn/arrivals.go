package conn

import (
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"
)

// arrivals lets no more WebSockets and event streams in than the hub can serve while it serves others: clients that were dropped
// together come back together. Signing in, subscribing and history are what they cost; who is turned away costs
// a handshake.
type arrivals struct {
	doors *rate.Limiter // a token for each that comes in
	slots *rate.Limiter // for each that is turned away, when to try again
	most  time.Duration // the latest slot
}

func newArrivals(perSecond, burst int, most time.Duration) *arrivals {
	return &arrivals{rate.NewLimiter(rate.Limit(perSecond), burst), rate.NewLimiter(rate.Limit(perSecond), 1), most}
}

// turnedAway says whether who comes at now must come again, and after how long. Those who are turned away get
// one slot after the other, at the rate at which they will be let in, and a little chance so that no two
// hubs, nor two storms, keep step. Beyond most they are spread over all of it.
func (a *arrivals) turnedAway(now time.Time) (after time.Duration, must bool) {
	if a.doors.AllowN(now, 1) {
		return 0, false
	}
	slot := a.slots.ReserveN(now, 1)
	after = slot.DelayFrom(now)
	if after > a.most {
		slot.CancelAt(now)
		return jitter(a.most), true
	}
	return after + jitter(max(time.Millisecond, a.most/20)), true
}

// jitter is a time up to most.
func jitter(most time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(most) + 1)) }
