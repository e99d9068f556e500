package hub

import (
	"testing"
	"time"
)

// When the wall clock is set back, what has run does not run again, and what is due later waits for it.
func TestAScheduleWhoseTimeIsHandledDoesNotRunAgain(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.set("tick", `{"function":"f","schedule":"* * * * * *","catchUp":"all"}`)
	l, err := w.hub.triggers.find(w.owner, "tick")
	if err != nil {
		t.Fatal(err)
	}
	w.hub.triggers.changing.Lock()
	w.hub.triggers.endLocked(l)
	w.hub.triggers.changing.Unlock()
	sched, err := parseSchedule("* * * * * *", "")
	if err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().Add(time.Hour).Truncate(time.Second)
	l.state.Handled = ahead.UnixMilli() // by a clock that was an hour ahead
	if due, left := l.due(sched, time.Now()); !due.Equal(ahead.Add(time.Second)) || left != 0 {
		t.Errorf("the next run is at %v, %d left; want %v", due, left, ahead.Add(time.Second))
	}
	// And when it jumps ahead, what is past is made up for, as far as the policy goes.
	now := time.Now().Truncate(time.Second)
	l.state.Handled = now.UnixMilli()
	if due, left := l.due(sched, now.Add(10*time.Minute)); left != 540-1-catchUpUsual || !due.Equal(now.Add(time.Duration(left+1)*time.Second)) {
		t.Errorf("the next run is at %v, %d left", due.Sub(now), left)
	}
}

// A timer is due by the wall clock, so a clock that is behind lets it wait, and never fires it twice.
func TestATimerIsDueByTheWallClock(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(`[]`)
	r.parked(`{"sleep":3600000}`, `[1]`)
	w.await(v.ID())
	at := w.timer(v.ID())
	if due, next, err := w.hub.dueTimers(at - 1); err != nil || len(due) != 0 || next != at {
		t.Errorf("an hour too early: %v, %d, %v", due, next, err)
	}
	due, _, err := w.hub.dueTimers(at)
	if err != nil || len(due) != 1 {
		t.Fatalf("in time: %v, %v", due, err)
	}
	for range 2 {
		if err := w.hub.fire(bg, due); err != nil {
			t.Fatal(err)
		}
	}
	w.bridges.wait(t).result(`1`)
	w.await(v.ID())
	w.noCall()
}

// timer gives when an execution's timer fires.
func (w *world) timer(id string) int64 {
	w.t.Helper()
	v, err := w.hub.Execution(w.owner, id)
	if err != nil || v.r.Timer == 0 {
		w.t.Fatalf("it has no timer: %v", err)
	}
	return v.r.Timer
}
