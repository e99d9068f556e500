package hub

import (
	"context"
	"fmt"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// How schedules run. A run's execution is started with a key made of the trigger and the time, so a crash
// between the start and the note of it makes no second one; a run is noted only once it was started, so
// none is lost.

// scheduleLook is how long a schedule waits at most: the wall clock may be set meanwhile.
const scheduleLook = 30 * time.Second

// triggerRetry is the pause after a start that the hub could not take.
const triggerRetry = time.Second

// runSchedule makes a schedule's runs until ctx ends.
func (l *liveTrigger) runSchedule(ctx context.Context) {
	sched, err := parseSchedule(l.tr.Schedule, l.tr.Timezone)
	if err != nil {
		l.h.log.Error("read a trigger's schedule", "trigger", l.tr.Name, "error", err)
		return
	}
	for ctx.Err() == nil {
		due, left := l.due(sched, time.Now())
		if left > 0 {
			if err := l.change(ctx, func(s *triggerState) { s.Missed += left }); err != nil && ctx.Err() == nil {
				l.h.log.Error("note missed runs", "trigger", l.tr.Name, "error", err)
			}
		}
		if due.IsZero() {
			return // there will be none
		}
		if wait := time.Until(due.Add(l.tr.jitterOf(due))); wait > 0 {
			sleepFor(ctx, min(wait, scheduleLook))
			continue
		}
		if err := l.runOnce(ctx, due); err != nil && ctx.Err() == nil {
			l.h.log.Warn("run a trigger", "tenant", l.owner.Name(), "trigger", l.tr.Name, "due", due, "error", err)
			sleepFor(ctx, triggerRetry)
		}
	}
}

func sleepFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// due gives the time of the next run to be made, which may be past, and how many before it are left by
// the catch-up policy; their time is then handled.
func (l *liveTrigger) due(sched *schedule, at time.Time) (next time.Time, left int) {
	from := l.from(l.current().Handled)
	end := func(t time.Time) bool { return t.IsZero() || l.tr.End != nil && t.After(*l.tr.End) }
	limit := catchUpUsual
	if l.tr.MaxCatchUp > 0 {
		limit = l.tr.MaxCatchUp
	}
	switch l.tr.CatchUp {
	case "", catchUpNone:
		limit = 0
	case catchUpOne:
		limit = 1
	}
	var missed []time.Time // the newest, limit at most
	for next = sched.after(from); !end(next) && at.Sub(next) > lateIsMissed+time.Duration(l.tr.Jitter); next = sched.after(next) {
		if missed = append(missed, next); len(missed) > limit {
			missed, left = missed[1:], left+1
			l.mu.Lock()
			l.state.Handled = max(l.state.Handled, next.UnixMilli())
			if limit > 0 {
				l.state.Handled = missed[0].UnixMilli() - 1
			}
			l.mu.Unlock()
		}
	}
	if len(missed) > 0 {
		return missed[0], left
	}
	if end(next) {
		return time.Time{}, left
	}
	return next, left
}

// from is the time after which runs are due.
func (l *liveTrigger) from(handled int64) time.Time {
	from := time.UnixMilli(handled)
	if l.tr.Start != nil && l.tr.Start.After(from) {
		from = l.tr.Start.Add(-time.Nanosecond)
	}
	if old := time.Now().Add(-30 * 24 * time.Hour); from.Before(old) {
		return old // nobody makes up for what is older
	}
	return from
}

// runOnce makes the run that was due at a time, as the overlap policy has it.
func (l *liveTrigger) runOnce(ctx context.Context, due time.Time) error {
	last := l.current().Last
	handled := func(f func(s *triggerState)) error {
		return l.change(ctx, func(s *triggerState) {
			s.Handled, s.Error = due.UnixMilli(), ""
			f(s)
		})
	}
	if last != "" && l.tr.Overlap != "" && l.tr.Overlap != overlapAllow {
		v, err := l.h.Execution(l.owner, last)
		if runs := err == nil && !v.State().Ended(); runs {
			switch l.tr.Overlap {
			case overlapSkip:
				return handled(func(s *triggerState) { s.Missed++ })
			case overlapCancel:
				if _, err := l.h.Cancel(ctx, l.owner, last); err != nil && !fault.Is(err, fault.Conflict) {
					return err
				}
			case overlapQueue:
				if err := l.awaitEnd(ctx, last); err != nil {
					return err
				}
			}
		}
	}
	v, err := l.h.Start(ctx, l.owner, &Request{
		Function: l.tr.Function, Args: l.tr.Args, Trigger: l.tr.Name,
		Key: fmt.Sprintf("trigger %s %s", l.current().ID, due.UTC().Format(time.RFC3339)),
	})
	switch {
	case fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict) || fault.Is(err, fault.VersionBroken) || fault.Is(err, fault.InvalidRequest):
		why := fault.From(err).Detail // another try would end the same
		return handled(func(s *triggerState) { s.Missed, s.Error = s.Missed+1, why })
	case err != nil:
		return err
	}
	return handled(func(s *triggerState) { s.Last, s.Runs = v.ID(), s.Runs+1 })
}

// awaitEnd waits until an execution has ended.
func (l *liveTrigger) awaitEnd(ctx context.Context, id string) error {
	end := make(ended, 1)
	stop, err := l.h.Await(l.owner, id, end)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	}
	defer stop()
	select {
	case <-end:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ended is a Replier that is told of an execution's end; a pause is none.
type ended chan State

func (e ended) Reply(a *Answer, _ *nodebridge.Batch) bool {
	if a.State == Paused {
		return false
	}
	e <- a.State
	return true
}
