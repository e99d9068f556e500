package hub

import (
	"context"
	"time"

	"github.com/livefn/livefn/internal/crash"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// drainLook is how often a drain looks whether everything has come to rest.
const drainLook = 10 * time.Millisecond

// Drained is what a drain came to.
type Drained struct {
	Paused int // executions that paused, to resume by themselves at the next start
	Ended  int // executions that ended within the time
	Again  int // durable executions that did neither: they run again from their last snapshot at the next start
	Failed int // calls that did neither
}

// Drain brings the hub to rest: nothing new is accepted or begun, what runs is asked to pause, and the
// rest is waited for until ctx ends. Then calls that still run fail with code drained, and durable
// executions are left to the next start. It returns when all this is on disk.
func (h *Hub) Drain(ctx context.Context) (d Drained) {
	h.draining.Store(true)
	deadline, ok := ctx.Deadline()
	most := h.cfg.PauseTimeout
	if ok {
		most = max(time.Millisecond, time.Until(deadline))
	}
	asked := map[*Execution]bool{}
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	left := h.askToPause(asked, most)
	crash.At(crash.DrainAsked)
	for ; len(left) > 0 && ctx.Err() == nil; left = h.askToPause(asked, most) {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	for _, x := range left {
		x.cutOff(&d)
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.StoreWait)
	defer cancel()
	if err := h.store.Commit(flush); err != nil {
		h.log.Error("drain: what was decided is not all on disk", "error", err)
	}
	for x := range asked {
		switch x.View().State() {
		case Paused:
			d.Paused++
		case Succeeded, Failed, Cancelled:
			d.Ended++
		}
	}
	d.Ended -= d.Failed
	return d
}

// askToPause asks what runs and was not asked yet to pause, and gives all that runs. What was about to
// begin when the drain did is seen by a later look.
func (h *Hub) askToPause(asked map[*Execution]bool, most time.Duration) (left []*Execution) {
	left = h.running()
	for _, x := range left {
		if asked[x] {
			continue
		}
		asked[x] = true
		x.mu.Lock()
		if x.rec.State == Running && x.run != nil {
			_, _ = x.pauseLocked(reasonDrain, most) // legal: it is running
		}
		x.mu.Unlock()
	}
	return left
}

// running gives the executions whose function runs.
func (h *Hub) running() (xs []*Execution) {
	h.tenants.Range(func(_ string, t *tenant) bool {
		t.live.Range(func(_ string, x *Execution) bool {
			x.mu.Lock()
			if x.run != nil {
				xs = append(xs, x)
			}
			x.mu.Unlock()
			return true
		})
		return true
	})
	return xs
}

// cutOff ends what did not come to rest in time.
func (x *Execution) cutOff(d *Drained) {
	x.mu.Lock()
	if x.run == nil {
		x.mu.Unlock()
		return
	}
	f := &Failure{Code: fault.Drained, Message: "The hub was stopped before the function answered."}
	if !x.durable {
		d.Failed++
		end := x.failLocked(f)
		x.mu.Unlock()
		end()
		return
	}
	d.Again++
	x.run = nil // whatever it still says is of no attempt; its record says that it runs
	repliers := x.repliers
	x.repliers = nil
	x.mu.Unlock()
	f.Message = "The hub was stopped before the execution ended; it goes on when the hub is back."
	var b nodebridge.Batch
	answer := Answer{Execution: x.rec.ID, Version: x.rec.Version, State: Failed, Failure: f}
	for _, to := range repliers {
		to.Reply(&answer, &b)
	}
	b.Flush()
}

// Draining reports whether the hub takes nothing new because it drains.
func (h *Hub) Draining() bool { return h.draining.Load() }

// errDraining is the answer to what comes while the hub drains.
var errDraining = fault.New(fault.Drained, "The hub is being stopped and takes nothing new. Try again in a moment, or elsewhere.")
