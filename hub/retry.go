package hub

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// Bounds of the pause before an execution that failed is tried again.
const (
	backoffBase = time.Second // where the function's settings say nothing
	backoffMax  = time.Hour
)

// backoff is the pause before the n-th retry (from 1): base, doubled each time, up to backoffMax, of
// which a random half is taken off, so that what failed together does not come back together ("equal
// jitter": M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
func backoff(base time.Duration, n int, random func() float64) time.Duration {
	if base <= 0 {
		base = backoffBase
	}
	d := backoffMax
	if n <= 32 && base<<(n-1) > 0 && base<<(n-1) < backoffMax {
		d = base << (n - 1)
	}
	return d/2 + time.Duration(random()*float64(d/2))
}

// retriable reports whether another attempt may do better. The other faults would come again.
func retriable(c fault.Code) bool {
	switch c {
	case fault.FunctionError, fault.Timeout, fault.BridgeLost, fault.Stuck, fault.OutOfMemory, fault.Internal, fault.StorageUnavailable:
		return true
	default:
		return false
	}
}

// attemptFailedLocked ends the attempt with a failure. A durable execution whose settings allow another
// try is queued again; one that was pausing is parked where it would have gone on.
func (x *Execution) attemptFailedLocked(f *Failure) (after func()) {
	if !x.durable || !retriable(f.Code) {
		return x.failLocked(f)
	}
	r, err := x.route()
	if err != nil || r.version.Settings.Retries == nil || x.rec.Tries >= r.version.Settings.Retries.Attempts {
		return x.failLocked(f)
	}
	x.rec.Tries++
	x.noteFailureLocked(f)
	return x.againLocked(backoff(time.Duration(r.version.Settings.Retries.Backoff), x.rec.Tries, rand.Float64), f) //nolint:gosec // not a secret
}

// noteFailureLocked keeps an attempt's error.
func (x *Execution) noteFailureLocked(f *Failure) {
	old := x.rec.Failures
	if len(old) >= maxFailures {
		old = old[len(old)-maxFailures+1:]
	}
	x.rec.Failures = append(old[:len(old):len(old)], FailedAttempt{Attempt: x.rec.Attempt, At: now(), Error: f})
}

// Retry queues an execution that failed or was cancelled again, from its last snapshot or checkpoint,
// else from its start; attempts count on.
func (h *Hub) Retry(ctx context.Context, owner *tenants.Tenant, id string) (View, error) {
	if err := h.store.Check(); err != nil {
		return View{}, err
	}
	t := h.tenant(owner)
	x, err := t.ownEnded(id)
	if err != nil {
		return View{}, err
	}
	w, err := x.retryLocked()
	x.mu.Unlock()
	if err != nil {
		x.evictIfIdle()
		return View{}, err
	}
	return w.wait(ctx)
}

func (x *Execution) retryLocked() (*write, error) {
	if !x.durable {
		return nil, UnknownExecution(x.rec.ID) // a call that runs; there is nothing to try again
	}
	if _, err := x.rec.State.next(stepRetry); err == nil {
		r, err := x.route()
		if err != nil {
			return nil, err
		}
		if !r.version.Enter(false) {
			return nil, errGoing(r.version)
		}
	}
	failure := x.rec.Failure
	if err := x.moveLocked(stepRetry); err != nil {
		return nil, err
	}
	if failure != nil {
		x.noteFailureLocked(failure)
	}
	x.rec.Failure, x.rec.EndedAt, x.rec.NotBefore = nil, 0, 0
	x.rec.Tries, x.rec.Lost = 0, 0
	x.stream.reopen()
	return x.writeLocked(EventRetrying, func(err error) {
		if err == nil {
			x.t.admit(x)
		}
	}, x.indexOps()...), nil
}
