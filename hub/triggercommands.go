package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/tenants"
)

// What users do with triggers.

// SetTrigger makes a trigger, or changes it; b is what a request's body has. One whose schedule or pattern
// stays goes on from where it was.
func (h *Hub) SetTrigger(ctx context.Context, owner *tenants.Tenant, name string, b []byte) (v TriggerView, created bool, err error) {
	tr, err := parseTrigger(name, b)
	if err != nil {
		return v, false, err
	}
	if _, err := owner.Resolve(tr.Function); err != nil {
		return v, false, err
	}
	return h.setTrigger(ctx, owner, tr)
}

func (h *Hub) setTrigger(ctx context.Context, owner *tenants.Tenant, tr *Trigger) (v TriggerView, created bool, err error) {
	if err := h.store.Check(); err != nil {
		return v, false, err
	}
	ts := h.triggers
	ts.changing.Lock()
	defer ts.changing.Unlock()
	old := ts.named(owner.Name(), tr.Name)
	if old == nil && len(ts.of(owner.Name())) >= maxTriggers {
		return v, false, fault.New(fault.Overloaded, "A tenant has %d triggers at most.", maxTriggers)
	}
	if fn, number := tr.named(); number > 0 { // whoever deletes the version and looks for triggers waits for this one
		on, err := owner.Version(fn, number)
		if err != nil {
			return v, false, err
		}
		if !on.Enter(false) {
			return v, false, errGoing(on)
		}
	}
	at := now()
	state, err := h.freshState(owner, tr)
	if err != nil {
		return v, false, err
	}
	if old != nil {
		at = old.created
		ts.endLocked(old)
		if old.tr.Schedule == tr.Schedule && old.tr.Timezone == tr.Timezone && old.tr.Pattern == tr.Pattern {
			if state = old.current(); old.tr.Paused && !tr.Paused {
				state.Handled = max(state.Handled, now()) // what was due while it was paused is not made up for
			}
		}
	}
	record, err := json.Marshal(storedTrigger{tr, at})
	if err != nil {
		return v, false, err
	}
	s, _ := json.Marshal(state) // strings and numbers
	err = h.store.Commit(ctx,
		store.Op{Key: triggerKey(owner.Name(), tr.Name), Value: append([]byte{recordFormat}, record...)},
		store.Op{Key: triggerStateKey(owner.Name(), tr.Name), Value: append([]byte{recordFormat}, s...)})
	if err == nil {
		err = ts.beginLocked(owner, tr, at, false)
	} else if old != nil {
		err = errors.Join(err, ts.beginLocked(owner, old.tr, at, false))
	}
	if err != nil {
		return v, false, err
	}
	return ts.named(owner.Name(), tr.Name).view(), old == nil, nil
}

// Triggers lists a tenant's triggers by name.
func (h *Hub) Triggers(owner *tenants.Tenant) []TriggerView {
	list := []TriggerView{}
	for _, l := range h.triggers.of(owner.Name()) {
		list = append(list, l.view())
	}
	slices.SortFunc(list, func(a, b TriggerView) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Trigger shows one.
func (h *Hub) Trigger(owner *tenants.Tenant, name string) (TriggerView, error) {
	l, err := h.triggers.find(owner, name)
	if err != nil {
		return TriggerView{}, err
	}
	return l.view(), nil
}

func (ts *triggers) find(owner *tenants.Tenant, name string) (*liveTrigger, error) {
	if l := ts.named(owner.Name(), name); l != nil {
		return l, nil
	}
	return nil, fault.New(fault.NotFound, "There is no trigger %q.", name)
}

// DeleteTrigger ends a trigger. What it started goes on.
func (h *Hub) DeleteTrigger(ctx context.Context, owner *tenants.Tenant, name string) error {
	l, err := h.triggers.find(owner, name)
	if err != nil {
		return err
	}
	if l.declared {
		return errDeclared(l)
	}
	ts := h.triggers
	ts.changing.Lock()
	defer ts.changing.Unlock()
	if ts.named(owner.Name(), name) != l {
		return fault.New(fault.Conflict, "The trigger was changed meanwhile.")
	}
	if err := h.store.Commit(ctx,
		store.Op{Key: triggerKey(owner.Name(), name), Delete: true},
		store.Op{Key: triggerStateKey(owner.Name(), name), Delete: true}); err != nil {
		return err
	}
	ts.endLocked(l)
	ts.forgetState(owner.Name(), name) // its last run may have written it again
	return nil
}

func errDeclared(l *liveTrigger) error {
	return fault.New(fault.Conflict, "The settings of function %s declare this trigger: publish it with others.", l.tr.Function)
}

// PauseTrigger and ResumeTrigger stop a trigger and let it go on. What was due meanwhile is left; events
// of a pattern wait, as far as their streams keep them.
func (h *Hub) PauseTrigger(ctx context.Context, owner *tenants.Tenant, name string, paused bool) (TriggerView, error) {
	l, err := h.triggers.find(owner, name)
	if err != nil {
		return TriggerView{}, err
	}
	if l.declared {
		return TriggerView{}, errDeclared(l)
	}
	tr := *l.tr
	if tr.Paused == paused {
		return l.view(), nil
	}
	tr.Paused = paused
	v, _, err := h.setTrigger(ctx, owner, &tr)
	return v, err
}

// RunTrigger starts a schedule's execution now, beside its times.
func (h *Hub) RunTrigger(ctx context.Context, owner *tenants.Tenant, name string) (View, error) {
	l, err := h.triggers.find(owner, name)
	if err != nil {
		return View{}, err
	}
	if l.tr.Schedule == "" {
		return View{}, fault.New(fault.InvalidRequest, "Only a schedule can be run by hand; publish an event for this trigger.")
	}
	return h.Start(ctx, owner, &Request{Function: l.tr.Function, Args: l.tr.Args, Trigger: l.tr.Name})
}

func (l *liveTrigger) view() TriggerView {
	s := l.current()
	v := TriggerView{Trigger: *l.tr, Declared: l.declared, CreatedAt: shownTime(l.created), LastRun: s.Last, Runs: s.Runs, Missed: s.Missed, Gaps: s.Gaps, Error: s.Error}
	if s.Position != nil {
		v.Position = s.Position.String()
	}
	if l.tr.Schedule != "" && !l.tr.Paused {
		sched, err := parseSchedule(l.tr.Schedule, l.tr.Timezone)
		if err != nil {
			return v
		}
		for at := l.from(s.Handled); len(v.Next) < shownRuns; {
			if at = sched.after(at); at.IsZero() || l.tr.End != nil && at.After(*l.tr.End) {
				break
			}
			if at.Before(time.Now()) {
				continue
			}
			v.Next = append(v.Next, shownTime(at.Add(l.tr.jitterOf(at)).UnixMilli()))
		}
	}
	return v
}
