// Package hub is the live part of livefn: executions, their streams and who watches them. It turns
// frames of bridges into events and answers, and keeps what must survive in the store.
//
// # The life of a call
//
//  1. conn hands Invoke a tenant, a function's name and the body's bytes.
//  2. The tenant's routes (a map swapped on every publish) give version and module.
//  3. An Execution is made; nothing is written to disk.
//  4. Its first attempt goes to Bridges.Call, which appends one frame and returns.
//  5. The bridge's reader calls attempt.Receive with what comes back: events, logs, one final frame.
//  6. Events of a call live in its stream's ring, made when the first one comes or somebody looks.
//  7. Result or Error: the state moves by the table in execution.go, the Replier is told, and the
//     execution is forgotten.
//  8. Paused: the call becomes durable: record, snapshot and its events are one write.
//  9. Lost: the call fails with bridge_lost.
//  10. Lifecycle events go to function.<name> only while somebody is subscribed.
//
// # The invariant
//
// Decided in memory, told after the sync. A durable execution's transition is checked and made under
// its lock (Execution.rec), written in the order it was decided (one committer, first in first out),
// and shown, published and answered from the write's callback (Execution.shown). So nobody is told of
// a state that a crash could take back, and replaying the records gives the states in order.
//
// An execution has one owner: the Execution in tenant.live, or, when it is parked and nobody watches,
// none: its record is loaded again on demand. It leaves memory only when nothing about it is on its way
// to the disk. Each attempt is its own value, and frames of another
// attempt than the current one are dropped: that pointer is the fence.
//
// # Lock order
//
// Execution.mu, then tenant.mu, then stream.mu, then tenant.wildMu, then Subscription.mu, then whatever a
// Subscriber or Bridges locks. journal.mu stands where stream.mu does; neither is taken with the other.
// presence.mu comes before Subscription.mu, and may be taken with one of those two held.
// bridgeEvents.mu is the last that is taken: with what Bridges locks held.
// The store's callbacks run without any of them held.
//
// # Who starts what
//
// Hub.Run recovers what the last process left, then fires timers until its end. Everything else that
// runs was begun with spawn, and Run waits for it. Drain is called before Run's context ends.
//
// Where to look next: execution.go has the states, invoke.go a call, durable.go a start, dispatch.go and
// queue.go who runs when, snapshot.go pauses, sleeps and checkpoints, inbox.go events sent to executions,
// timer.go what time does, retry.go failures, child.go what functions ask of the hub, recover.go and
// drain.go the two ends, triggers.go what starts by itself, stream.go and subscription.go who watches.
package hub
