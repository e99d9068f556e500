package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/tenants"
)

// triggers is the triggers of all tenants, while the hub runs. Each has a goroutine: schedules wait for
// their time, the others for events. A change ends the goroutine, and begins another that goes on from
// the trigger's state in the store.
type triggers struct {
	hub *Hub

	changing sync.Mutex // held while triggers are changed, which may wait for one to end; and by who must see all

	mu   sync.Mutex // guards live; held shortly, and taken after whatever a caller holds
	live map[string]map[string]*liveTrigger
}

// named gives the function that a trigger calls, and its version if it names one by its number, else 0.
func (tr *Trigger) named() (fn string, version int) {
	fn, wanted, _ := strings.Cut(tr.Function, "@")
	version, _ = strconv.Atoi(wanted) // an alias is no number
	return fn, version
}

// on gives the names of the triggers that call versions of a function by their numbers, by those. One that is just
// being set is among them, or will not find the version open.
func (ts *triggers) on(tenant, fn string) map[int][]string {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	names := map[int][]string{}
	for _, l := range ts.of(tenant) {
		if name, version := l.tr.named(); name == fn && version > 0 {
			names[version] = append(names[version], l.tr.Name)
		}
	}
	return names
}

// liveTrigger is a trigger that runs.
type liveTrigger struct {
	h        *Hub
	owner    *tenants.Tenant
	tr       *Trigger
	declared bool
	created  int64
	cancel   context.CancelFunc
	done     chan struct{} // closed when its goroutine has ended

	mu    sync.Mutex // guards state
	state triggerState
}

func newTriggers(h *Hub) *triggers {
	return &triggers{hub: h, live: map[string]map[string]*liveTrigger{}}
}

// start begins the triggers of all tenants.
func (ts *triggers) start() error {
	for _, owner := range ts.hub.registry.Tenants() {
		if err := ts.load(owner); err != nil {
			return err
		}
		ts.declare(owner)
	}
	return nil
}

// load begins the triggers of a tenant that are in the store.
func (ts *triggers) load(owner *tenants.Tenant) error {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	return ts.hub.store.Scan(store.Range{Prefix: triggersPrefix(owner.Name())}, func(k, v []byte) (bool, error) {
		stored := storedTrigger{Trigger: &Trigger{}}
		if len(v) == 0 || v[0] != recordFormat {
			return false, fault.New(fault.Internal, "A trigger of %s has a format that this version of livefn does not know.", owner.Name())
		}
		if err := json.Unmarshal(v[1:], &stored); err != nil {
			return false, fmt.Errorf("decode trigger %s: %w", k, err)
		}
		return true, ts.beginLocked(owner, stored.Trigger, stored.CreatedAt, false)
	})
}

// declare brings the triggers that the newest versions of a tenant's functions declare up to date. Those of a
// version that is being deleted stay until it is gone: what they have handled must not be forgotten before.
func (ts *triggers) declare(owner *tenants.Tenant) {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	want := map[string]*Trigger{}
	for _, fn := range owner.Functions() {
		if v := fn.NewestReady(); v != nil {
			for i, raw := range v.Settings.Triggers {
				if tr, err := declaredTrigger(fn.Name, i, raw); err == nil { // was checked at publish
					want[tr.Name] = tr
				}
			}
		}
	}
	for _, l := range ts.of(owner.Name()) {
		name := l.tr.Name
		tr := want[name]
		switch {
		case !l.declared:
		case tr == nil:
			ts.endLocked(l)
			ts.forgetState(owner.Name(), name)
		case sameTrigger(tr, l.tr):
			delete(want, name)
		default:
			ts.endLocked(l)
		}
	}
	for _, tr := range want {
		if err := ts.beginLocked(owner, tr, now(), true); err != nil {
			ts.hub.log.Error("begin a declared trigger", "tenant", owner.Name(), "trigger", tr.Name, "error", err)
		}
	}
}

// declaredTrigger reads the i-th trigger of a function's settings. Its name has a dot, as no other's.
func declaredTrigger(fn string, i int, raw json.RawMessage) (*Trigger, error) {
	tr, err := parseTrigger("declared", withFunction(raw, fn))
	if err != nil {
		return nil, err
	}
	if tr.Function != fn {
		return nil, fault.New(fault.InvalidRequest, "function: a function declares triggers for itself.")
	}
	tr.Name = fmt.Sprintf("%s.%d", fn, i)
	return tr, nil
}

func withFunction(raw json.RawMessage, fn string) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return raw
	}
	if members["function"] == nil {
		members["function"], _ = json.Marshal(fn)
	}
	b, _ := json.Marshal(members) // was JSON
	return b
}

func sameTrigger(a, b *Trigger) bool {
	x, _ := json.Marshal(a) // both have a JSON form
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// beginLocked begins a trigger.
func (ts *triggers) beginLocked(owner *tenants.Tenant, tr *Trigger, created int64, declared bool) error {
	l := &liveTrigger{h: ts.hub, owner: owner, tr: tr, declared: declared, created: created, done: make(chan struct{})}
	if err := l.readState(); err != nil {
		return err
	}
	ts.mu.Lock()
	if ts.live[owner.Name()] == nil {
		ts.live[owner.Name()] = map[string]*liveTrigger{}
	}
	ts.live[owner.Name()][tr.Name] = l
	ts.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	begun := ts.hub.spawn(func(stop context.Context) {
		defer close(l.done)
		defer context.AfterFunc(stop, cancel)()
		defer cancel()
		if tr.Paused {
			return
		}
		if tr.Schedule != "" {
			l.runSchedule(ctx)
		} else {
			l.runEvents(ctx)
		}
	})
	if !begun {
		cancel()
		close(l.done)
	}
	return nil
}

// endLocked ends a trigger's goroutine and waits for it.
func (ts *triggers) endLocked(l *liveTrigger) {
	l.cancel()
	<-l.done
	ts.mu.Lock()
	delete(ts.live[l.owner.Name()], l.tr.Name)
	ts.mu.Unlock()
}

// of lists a tenant's triggers.
func (ts *triggers) of(tenant string) (list []*liveTrigger) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, l := range ts.live[tenant] {
		list = append(list, l)
	}
	return list
}

// named gives a trigger; nil if there is none.
func (ts *triggers) named(tenant, name string) *liveTrigger {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.live[tenant][name]
}

// remove ends all triggers of a tenant that is deleted.
func (ts *triggers) remove(tenant string) {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	for _, l := range ts.of(tenant) {
		ts.endLocked(l)
	}
}

func (ts *triggers) forgetState(tenant, name string) {
	ts.hub.store.Enqueue([]store.Op{{Key: triggerStateKey(tenant, name), Delete: true}}, nil)
}

// readState gives the trigger its state : that in the store, or a fresh one.
func (l *liveTrigger) readState() error {
	b, err := l.h.store.Get(triggerStateKey(l.owner.Name(), l.tr.Name))
	switch {
	case errors.Is(err, store.ErrNotFound):
		if l.state, err = l.h.freshState(l.owner, l.tr); err != nil {
			return err
		}
		l.h.store.Enqueue([]store.Op{l.stateOp()}, nil)
		return nil
	case err != nil:
		return fmt.Errorf("read the state of trigger %s: %w", l.tr.Name, err)
	case len(b) == 0 || b[0] != recordFormat:
		return fault.New(fault.Internal, "The state of trigger %s has a format that this version of livefn does not know.", l.tr.Name)
	}
	if err := json.Unmarshal(b[1:], &l.state); err != nil {
		return fmt.Errorf("decode the state of trigger %s: %w", l.tr.Name, err)
	}
	return nil
}

func (l *liveTrigger) stateOp() store.Op {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := json.Marshal(l.state)
	if err != nil { // strings and numbers
		panic(err)
	}
	return store.Op{Key: triggerStateKey(l.owner.Name(), l.tr.Name), Value: append([]byte{recordFormat}, b...)}
}

// change changes the state and writes it.
func (l *liveTrigger) change(ctx context.Context, f func(s *triggerState)) error {
	l.mu.Lock()
	f(&l.state)
	l.mu.Unlock()
	return l.h.store.Commit(ctx, l.stateOp())
}

func (l *liveTrigger) current() triggerState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// freshState is the state of a trigger that begins now: nothing before is its.
func (h *Hub) freshState(owner *tenants.Tenant, tr *Trigger) (triggerState, error) {
	s := triggerState{ID: h.newID(), Handled: now()}
	if tr.Pattern != "" {
		sub, err := h.Subscribe(owner, tr.Pattern, Since{}, newInflow())
		if err != nil {
			return s, err
		}
		p := sub.Position()
		s.Position = &p
		sub.Close()
	}
	return s, nil
}

// newID gives an id like an execution's.
func (h *Hub) newID() string {
	var b [26]byte
	return h.ids.next(now(), &b)
}
