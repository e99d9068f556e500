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
			p.look(time.Now())
			return true
		})
	}
}

// look looks at the pool's bridges, and has it grow or shrink with the load.
func (p *Pool) look(now time.Time) {
	p.recycle()
	cfg, limits, bounds := &p.fleet.cfg, p.limits.Load(), p.bounds()
	l := load{at: now, delay: -1}
	var taken uint64
	doubtful := 0
	var worn []*Bridge
	bridges := p.all()
	for _, b := range bridges {
		busy := b.look(now)
		used := b.measure(now, busy)
		grown := b.guard(limits, now, busy)
		b.move(now)
		total, takes, patience := b.state()
		taken += total
		switch {
		case !takes:
		case grown:
			worn = append(worn, b)
			doubtful++
		case b.lateness() >= patience/2: // it will be ended if it goes on like this: another one is wanted now
			doubtful++
		default:
			l.live++
			l.inFlight += int(b.inFlight.Load())
			l.busy += used.busy
			if delay := b.lateness(); l.delay < 0 || delay < l.delay {
				l.delay = delay
			}
		}
	}
	l.delay = max(l.delay, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	l.calls, p.called = taken != p.called, taken
	size := p.wanted - doubtful
	l.starting = max(0, size-l.live)
	for _, b := range worn {
		if l.live == 0 || !slices.Contains(p.bridges(), b) { // who else would take the calls?
			break
		}
		p.retireLocked(b, errRecycled)
		p.wanted--
		doubtful--
	}
	if l.waiting = p.waiting.count; limits.MaxConcurrency > 0 && p.share.inFlight.Load() >= int64(limits.MaxConcurrency) {
		l.waiting = 0 // a further bridge would not take them either
	}
	if size <= 0 && doubtful > 0 {
		l.waiting = max(l.waiting, 1) // what they have to do will be another's
	}
	if n := min(p.scaler.want(cfg, &bounds, max(size, 0), l)+doubtful, maxBridges); n != p.wanted && !p.ended {
		p.wantLocked(n)
	}
}

// state gives how many calls the bridge has taken, whether it takes any now, and how long its event loop may
// stand still.
func (b *Bridge) state() (total uint64, takes bool, patience time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total, b.retired == nil && !b.gone.Load(), b.patienceLocked()
}

func (b *Bridge) lateness() time.Duration { return time.Duration(b.late.Load()) * time.Microsecond }

// look pings the bridge if it has calls, and ends it if its loop has not turned for too long.
func (b *Bridge) look(now time.Time) (busy bool) {
	b.mu.Lock()
	busy = b.inFlight.Load() > 0 && !b.gone.Load()
	p := b.ping
	switch {
	case p.waits && busy && now.Sub(p.sent) >= b.patienceLocked():
		patience := b.patienceLocked()
		b.mu.Unlock()
		b.stuck(p, now.Sub(p.sent), patience)
		return busy
	case !p.waits && busy:
		b.ping.id++
		b.ping.waits, b.ping.sent, b.ping.behind = true, now, b.total
		b.ping.starved = starvationOf(b.p.pid())
		b.out.buf = appendFrame(b.out.buf, Ping, b.ping.id, nil)
	case !busy:
		b.late.Store(0)
	}
	b.unlockAndWake()
	if p.waits && busy {
		b.setLate(p, now.Sub(p.sent))
	}
	return busy
}

// setLate says by how much the event loop is behind. Time in which the process was ready to run and got no CPU
// is not the loop's: another process would not get one either.
func (b *Bridge) setLate(p ping, waited time.Duration) {
	if waited >= b.cfg.GrowDelay/2 {
		waited -= time.Duration(starvationOf(b.p.pid()) - p.starved)
	}
	b.late.Store(max(0, waited.Microseconds()))
}

// pong takes the answer to a ping.
func (b *Bridge) pong(id uint32) {
	b.mu.Lock()
	p := b.ping
	answers := p.waits && id == p.id
	if answers {
		b.ping.waits, b.ping.delay = false, time.Since(p.sent)
	}
	b.mu.Unlock()
	if answers {
		b.setLate(p, time.Since(p.sent))
	}
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
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.suspectsLocked(p)
}

func (b *Bridge) suspectsLocked(p ping) string {
	var names []string
	b.calls.each(func(s *slot, _ *Call) {
		if s.seq <= p.behind {
			if name := fmt.Sprintf("%s@%d", s.module.m.Function, s.module.m.Version); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	})
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
