package nodebridge

import "time"

// restarts is how often processes died in a row in one place of a pool.
type restarts struct {
	first, longest time.Duration // of the pauses
	forget         time.Duration
	row            int
}

// next gives the pause before a replacement of a process that lived so long (0: it never was ready).
// The first replacement comes at once. After it the pauses are random between 0 and a limit that
// doubles ("full jitter": Brooker, Exponential Backoff and Jitter, 2015), so that many bridges that
// died together don't start together. random is in [0, 1).
func (r *restarts) next(lived time.Duration, random float64) time.Duration {
	if lived >= r.forget {
		r.row = 0
	}
	r.row++
	if r.row == 1 && lived > 0 {
		return 0
	}
	limit := r.first
	for i := 2; i < r.row && limit < r.longest; i++ {
		limit *= 2
	}
	return time.Duration(random * float64(min(limit, r.longest)))
}
