package nodebridge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// How the event loops of bridges are watched. A bridge that has calls is pinged again and again, one
// ping at a time. Frames are taken in order and Pong is written at once, so a ping without an answer
// says two things: how long the loop has not turned, and that nothing sent behind it was ever read.

// ping is the last one that was sent. Guarded by the Bridge's mu.
type ping struct {
	id      uint32
	waits   bool      // no answer came yet
	sent    time.Time // or, if waits is false, meaningless
	behind  uint64    // calls up to this one were sent before it
	delay   time.Duration
	starved starvation // of the process when it was sent
}

// watch looks at all bridges until ctx ends.
func (f *Fleet) watch(ctx context.Context) {
	tick := time.NewTicker(f.cfg.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.pools.Range(func(_ string, p *Pool) bool {
			for _, b := range p.bridges() {
				b.look(time.Now())
			}
			return true
		})
	}
}

// look pings the bridge if it has calls, and ends it if its loop has not turned for too long.
func (b *Bridge) look(now time.Time) {
	b.mu.Lock()
	busy := b.inFlight.Load() > 0 && !b.gone.Load()
	switch {
	case b.ping.waits && busy && now.Sub(b.ping.sent) >= b.patienceLocked():
		p, patience := b.ping, b.patienceLocked()
		b.mu.Unlock()
		b.stuck(p, now.Sub(p.sent), patience)
		return
	case !b.ping.waits && busy:
		b.ping.id++
		b.ping.waits, b.ping.sent, b.ping.behind = true, now, b.total
		b.ping.starved = starvationOf(b.p.pid())
		b.out.buf = appendFrame(b.out.buf, Ping, b.ping.id, nil)
	}
	b.unlockAndWake()
}

// pong takes the answer to a ping.
func (b *Bridge) pong(id uint32) {
	b.mu.Lock()
	if b.ping.waits && id == b.ping.id {
		b.ping.waits, b.ping.delay = false, time.Since(b.ping.sent)
	}
	b.mu.Unlock()
}

// loopDelay is how long the event loop took for the last ping, or has taken by now, in milliseconds.
func (b *Bridge) loopDelay() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.ping.delay
	if b.ping.waits {
		d = max(d, time.Since(b.ping.sent))
	}
	return float64(d.Microseconds()) / 1000
}

// patienceLocked is how long the loop may stand still: longer while a module is loaded, since to
// require many files takes its time and happens once.
func (b *Bridge) patienceLocked() time.Duration {
	for _, l := range b.modules {
		if !l.over() {
			return max(b.cfg.StuckAfter, b.cfg.LoadTimeout)
		}
	}
	return b.cfg.StuckAfter
}

// stuck ends the bridge because its loop has not turned since p was sent. Time in which the process was
// ready to run and got no CPU does not count: that is the machine's doing, not the function's.
func (b *Bridge) stuck(p ping, waited, patience time.Duration) {
	b.judge(p, waited, time.Duration(starvationOf(b.p.pid())-p.starved), patience)
}

func (b *Bridge) judge(p ping, waited, starved, patience time.Duration) {
	if waited-starved < patience {
		return
	}
	b.fail(&fault.Fault{Code: fault.Stuck, Detail: fmt.Sprintf(
		"The event loop of the process had not turned for %s, so it was ended. %s", waited.Round(100*time.Millisecond), b.suspects(p))})
}

// fail ends the process; what it may have begun of its calls fails with why.
func (b *Bridge) fail(why *fault.Fault) {
	b.mu.Lock()
	if b.gone.Load() {
		b.mu.Unlock()
		return
	}
	b.gone.Store(true)
	b.why = why
	end := b.end
	b.mu.Unlock()
	end(why)
}

// suspects names the functions that may have been running since p was sent.
func (b *Bridge) suspects(p ping) string {
	var names []string
	b.mu.Lock()
	b.calls.each(func(s *slot, _ *Call) {
		if s.seq <= p.behind {
			if name := fmt.Sprintf("%s@%d", s.module.m.Function, s.module.m.Version); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	})
	b.mu.Unlock()
	slices.Sort(names)
	switch len(names) {
	case 0:
		return "It was running something that no call waits for."
	case 1:
		return "It was running " + names[0] + "."
	default:
		return "It was running one of " + strings.Join(names, ", ") + "."
	}
}

// lostFrames gives what the calls of a dead process get: Unstarted those that were sent behind an
// unanswered ping, and so were never read; the others the reason of its end, if there is one, or Lost.
func (b *Bridge) lostFrames() func(*slot) Frame {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, lost := b.ping, Frame{Kind: Lost}
	if b.why != nil {
		payload, _ := json.Marshal(struct { // strings
			Code    fault.Code `json:"code"`
			Message string     `json:"message"`
		}{b.why.Code, b.why.Detail})
		lost = Frame{Kind: Error, Payload: payload}
	}
	return func(s *slot) Frame {
		if p.waits && s.seq > p.behind {
			return Frame{Kind: Unstarted}
		}
		return lost
	}
}
