package nodebridge

import "time"

// usage is what a process and all that it has started use of the machine.
type usage struct {
	cpu       time.Duration // since they started
	memory    int64         // resident bytes
	processes int
}

// How often a bridge's usage is measured: it costs some reads of /proc. Memory fills faster than anything
// else, so a bridge with calls is looked at at every tick once it is above half of its limit.
const (
	measureBusy = time.Second
	measureIdle = 10 * time.Second
)

// measured is the last measurement of a bridge. Of the goroutine that watches; the Bridge's mu guards it for others.
type measured struct {
	usage
	at   time.Time
	busy float64 // CPUs used between the last two
}

// measure brings what the bridge uses up to date, if it is time to.
func (b *Bridge) measure(now time.Time, busy bool) measured {
	m := b.used
	every := measureIdle
	if busy {
		every = measureBusy
	}
	if now.Sub(m.at) < every {
		return m
	}
	u, err := usageOf(b.p.command.Process.Pid)
	if err != nil {
		return m // it is ending, or this machine does not say
	}
	next := measured{usage: u, at: now}
	if !m.at.IsZero() {
		next.busy = max(0, (u.cpu-m.cpu).Seconds()/now.Sub(m.at).Seconds())
	}
	b.mu.Lock()
	b.used = next
	b.mu.Unlock()
	return next
}
