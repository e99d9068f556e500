package hub

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// A limit that lets more through than it says protects nobody, one that lets less through is a hidden cap.
func TestARateLetsItsBurstPassAndThenItsRate(t *testing.T) {
	for _, c := range []struct {
		name      string
		perSecond float64
		burst     int
		first     int           // that pass at once
		wait      time.Duration // for the next
		inTen     int           // that pass in the ten seconds after, tried every millisecond
	}{
		{"burst of one second", 10, 0, 10, 100 * time.Millisecond, 100},
		{"no burst", 10, 1, 1, 100 * time.Millisecond, 100},
		{"large burst", 1, 50, 50, time.Second, 10},
		{"slower than one a second", 0.5, 0, 1, 2 * time.Second, 5},
		{"fast", 500, 1, 1, 2 * time.Millisecond, 5000},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r rate
			now, passed := time.Unix(1000, 0), 0
			wait := r.take(now, c.perSecond, c.burst)
			for ; wait == 0; wait = r.take(now, c.perSecond, c.burst) {
				passed++
			}
			equal(t, "at once", passed, c.first)
			equal(t, "wait", wait, c.wait)
			passed = 0
			for range 10_000 {
				now = now.Add(time.Millisecond)
				if r.take(now, c.perSecond, c.burst) == 0 {
					passed++
				}
			}
			equal(t, "in ten seconds", passed, c.inTen)
		})
	}
}

// Who waits as long as it was told to must be let in.
func TestAWaitAsLongAsRetryAfterSaysIsLongEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a admission
		l := &tenants.Limits{CallRate: 3, CallBurst: 2}
		for range 20 {
			err := a.admit(l)
			if err == nil {
				continue
			}
			f := fault.From(err)
			equal(t, "code", f.Code, fault.RateLimited)
			<-time.After(f.RetryAfter) // of the bubble's clock
			equal(t, "after the wait", a.admit(l), nil)
		}
	})
}
