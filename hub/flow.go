package hub

import "context"

// flowGrant is how many bytes of yielded events are handed on before the process is told so. It is well below
// the process's window (nodebridge/js/flow.js), so that a generator waits only for who is slow.
const flowGrant = 32 << 10

// flow accounts for what a generator yields. A caller who is shown the events of its call slows the
// generator, and for a durable execution the store does; nobody else: who only looks on is cut off when it
// is too slow, and comes back. Guarded by the execution's mu.
type flow struct {
	events uint32 // handed on, and the process was not told yet
	bytes  int    // of those
	pacing bool   // a goroutine waits for the caller to be calm
}

// weight is what an event of the function weighs for its flow; 0: it is none that a generator yielded.
func weight(eventType string, data []byte) int {
	if eventType != EventYield {
		return 0
	}
	return len(data) + 64 // no less than the process says
}

// handedOnLocked is told of an event that was published, or never will be.
func (a *attempt) handedOnLocked(weight int) {
	if weight == 0 {
		return
	}
	a.flow.events++
	a.flow.bytes += weight
	if a.flow.bytes < flowGrant || a.flow.pacing {
		return
	}
	if to := a.x.pacer; to != nil && to.Busy() {
		a.flow.pacing = a.x.t.hub.spawn(func(ctx context.Context) {
			_ = to.Calm(ctx) // an error: nobody is there any more, so nobody is too slow
			a.x.mu.Lock()
			a.flow.pacing = false
			a.takenLocked()
			a.x.mu.Unlock()
		})
		if a.flow.pacing {
			return
		}
	}
	a.takenLocked()
}

func (a *attempt) takenLocked() {
	a.call.Taken(a.flow.events)
	a.flow.events, a.flow.bytes = 0, 0
}
