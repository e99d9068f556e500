package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// State of an execution.
type State uint8

// The states. The last three are final.
const (
	Queued State = iota + 1
	Running
	Pausing
	Paused
	Succeeded
	Failed
	Cancelled
)

var stateNames = [...]string{"", "queued", "running", "pausing", "paused", "succeeded", "failed", "cancelled"}

func (s State) String() string { return stateNames[s] }

// Ended reports whether the state is final.
func (s State) Ended() bool { return s >= Succeeded }

// MarshalText gives the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if i > 0 && n == string(b) {
			*s = State(i)
			return nil
		}
	}
	return fault.New(fault.InvalidRequest, "%q is not a state; the states are queued, running, pausing, paused, succeeded, failed and cancelled", b)
}

// step is something that moves an execution from state to state.
type step uint8

const (
	stepDispatch step = iota // a bridge took it
	stepPause                // somebody asked for a pause
	stepPark                 // the function emitted paused
	stepGoOn                 // the pause came to nothing: refused arguments, or its time passed
	stepResume
	stepSucceed
	stepFail
	stepCancel
	stepLose  // the attempt came to nothing, and it can run again
	stepRetry // somebody had one that ended tried again
)

// transitions is every legal move; what is not here is refused.
var transitions = map[State]map[step]State{
	Queued:  {stepDispatch: Running, stepPause: Paused, stepFail: Failed, stepCancel: Cancelled},
	Running: {stepPause: Pausing, stepPark: Paused, stepSucceed: Succeeded, stepFail: Failed, stepCancel: Cancelled, stepLose: Queued},
	Pausing: {stepPark: Paused, stepGoOn: Running, stepSucceed: Succeeded, stepFail: Failed, stepCancel: Cancelled, stepLose: Paused},
	Paused:  {stepResume: Queued, stepCancel: Cancelled},

	Failed:    {stepRetry: Queued},
	Cancelled: {stepRetry: Queued},
}

// next gives the state that step leads to, or a conflict that says where the execution is.
func (s State) next(st step) (State, error) {
	if to, ok := transitions[s][st]; ok {
		return to, nil
	}
	return s, fault.New(fault.Conflict, "The execution is %s.", s)
}

// Execution is one run of one function version: a call while it runs, or a durable one.
type Execution struct {
	t       *tenant
	version *tenants.Version // it began on; nil for one that was loaded

	mu         sync.Mutex // guards all below but shown
	rec        Record     // decided
	durable    bool
	run        *attempt // the current attempt; nil while queued, parked or ended
	leaving    *attempt // an attempt whose end was decided without it, and whose function may still run
	leaveBy    int64    // when leaving is waited for no longer
	stream     *stream  // nil for a call until somebody needs it
	pacer      Calmer   // the caller who is shown the events, and slows a generator; nil: nobody does
	repliers   []Replier
	pauseTimer *time.Timer
	limitTimer *time.Timer // the caller's or function's timeout
	inbox      inbox       // events sent to it that its snapshot does not account for
	blob       string      // the key of its snapshot's arguments, if they have one
	pending    int         // writes that are not on disk yet
	evicted    bool        // no longer in tenant.live: look it up again
	forgotten  bool        // being deleted: it is not there any more
	dropped    int         // events that found the store's queue full since the last that did not
	admitted   bool        // holds one of the tenant's places for durable executions

	shown   atomic.Pointer[Record] // durable only: the last record that is on disk
	first   attempt
	replier [1]Replier // backs repliers for the usual one

	// What a call needs that succeeds at once, here so that it costs one allocation.
	id       [26]byte
	args     Payload
	argBytes [48]byte
	answer   Answer
}

// attempt is one try at running an execution; it receives the frames of its call.
type attempt struct {
	x        *Execution
	call     nodebridge.Call
	children children
	flow     flow
	asked    atomic.Int32 // requests of the function that are being answered
}

// ID gives the execution's id, a ULID.
func (x *Execution) ID() string { return x.rec.ID }

// View shows the execution: a durable one as it is on disk, a call as it is.
func (x *Execution) View() View {
	if r := x.shown.Load(); r != nil {
		return View{r}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.rec
	return View{&r}
}

// moveLocked takes a step by the table.
func (x *Execution) moveLocked(st step) error {
	to, err := x.rec.State.next(st)
	if err != nil {
		err.(*fault.Fault).Execution = x.rec.ID
		return err
	}
	x.rec.State = to
	if to.Ended() {
		if x.durable || x.stream != nil || x.t.lifecycle.Load() > 0 {
			x.rec.EndedAt = now() // nobody asks for that of another call: it is over when it ends
		}
	}
	if st != stepPause && st != stepDispatch && x.pauseTimer != nil {
		x.pauseTimer.Stop()
		x.pauseTimer = nil
	}
	if to != Running && to != Pausing {
		if a := x.run; a != nil && a.children.used.Load() && (st == stepCancel || !to.Ended()) {
			a.cancelChildren(st == stepCancel)
		}
		x.run = nil
		if x.limitTimer != nil {
			x.limitTimer.Stop()
			x.limitTimer = nil
		}
	}
	return nil
}

func now() int64 { return time.Now().UnixMilli() }
