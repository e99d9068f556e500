package nodebridge

import "time"

// load is what the number of a tenant's bridges is decided from.
type load struct {
	at       time.Time
	live     int           // bridges that take calls, but for those that look stuck
	starting int           // bridges that do not take calls yet
	waiting  int           // calls that wait for a bridge, and that a further one would take
	inFlight int           // calls in live bridges
	calls    bool          // some came since the last look
	delay    time.Duration // of the event loop that turns fastest: what the next call meets at best
	busy     float64       // CPUs that the live bridges used lately
}

// Shares of what a bridge takes. A bridge fewer must leave each of the others well below what makes a pool
// grow, or the two would take turns.
const (
	shrinkInFlight = 0.5 // of GrowInFlight
	shrinkDelay    = 0.5 // of GrowDelay
	shrinkBusy     = 0.6 // of a CPU: an event loop has no more than one
	maxFlaps       = 3
)

// scaler decides how many bridges a tenant has. It knows nothing but what it is told, the time included.
//
// A pool grows by half (at least by one) once the load has been too much for GrowAfter, and again after as
// long, counted from when all are ready. It shrinks by a quarter (at least by one) once the load has fitted
// into fewer for the whole of ShrinkAfter: growing late costs callers, shrinking late costs memory. Each time
// that it has to grow soon after it shrank the next shrink waits twice as long, up to eight times, so that a
// load that comes and goes within that does not start and end processes with its own period.
type scaler struct {
	hot    time.Time // since when the load is too much; zero: it is not
	idle   time.Time // since when fewer would do; zero: they would not
	grew   time.Time
	shrank time.Time
	flaps  int // growths soon after shrinking, as a power of two of ShrinkAfter
}

// want gives the number of bridges that a pool should have, which has so many now, live and starting.
func (s *scaler) want(c *Config, limits *Limits, now int, l load) int {
	least, most := limits.MinBridges, max(limits.MaxBridges, limits.MinBridges, 1)
	if now == 0 && l.waiting > 0 {
		least = max(least, 1)
	}
	switch {
	case now < least:
		s.grown(c, l.at)
		return least
	case now > most:
		return most
	case s.tooMuch(c, l):
		s.idle = time.Time{}
		if s.hot.IsZero() || l.starting > 0 {
			s.hot = l.at
		}
		if now < most && l.at.Sub(s.hot) >= c.GrowAfter && l.starting == 0 {
			s.grown(c, l.at)
			return min(most, now+max(1, now/2))
		}
		return now
	}
	s.hot = time.Time{}
	fewer := max(least, now-max(1, now/4))
	for fewer < now && !s.fits(c, l, fewer) {
		fewer++
	}
	if fewer == now || l.starting > 0 {
		s.idle = time.Time{}
		return now
	}
	if s.idle.IsZero() {
		s.idle = l.at
	}
	cool := s.coolDown(c)
	if fewer == 0 {
		cool = max(cool, c.IdleAfter)
	}
	if l.at.Sub(s.idle) < cool {
		return now
	}
	if s.flaps > 0 && l.at.Sub(s.grew) > 2*c.ShrinkAfter<<maxFlaps {
		s.flaps--
	}
	s.idle, s.shrank = l.at, l.at
	return fewer
}

func (s *scaler) coolDown(c *Config) time.Duration { return c.ShrinkAfter << s.flaps }

// tooMuch reports whether the load is more than the bridges should have.
func (s *scaler) tooMuch(c *Config, l load) bool {
	return l.waiting > 0 || l.live > 0 && (l.delay >= c.GrowDelay || l.inFlight > l.live*c.GrowInFlight)
}

// fits reports whether so many bridges would do for the load, with room to spare.
func (s *scaler) fits(c *Config, l load, n int) bool {
	if n == 0 {
		return l.inFlight == 0 && !l.calls && l.waiting == 0
	}
	return l.waiting == 0 && float64(l.inFlight) <= shrinkInFlight*float64(n*c.GrowInFlight) &&
		l.busy <= shrinkBusy*float64(n) && float64(l.delay) < shrinkDelay*float64(c.GrowDelay)
}

// grown notes a growth, and whether it takes back a shrink that came too soon.
func (s *scaler) grown(c *Config, at time.Time) {
	if !s.shrank.IsZero() && at.Sub(s.shrank) < c.ShrinkAfter<<maxFlaps {
		s.flaps = min(s.flaps+1, maxFlaps)
		s.shrank = time.Time{}
	}
	s.hot, s.idle, s.grew = time.Time{}, time.Time{}, at
}
