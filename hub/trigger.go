package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
)

// Trigger is a schedule or a pattern that starts executions of a function. The first group of fields is
// for both, the others for one of them.
type Trigger struct {
	Name     string `json:"name"`
	Function string `json:"function"`
	Paused   bool   `json:"paused,omitempty"`

	Schedule   string          `json:"schedule,omitempty"`
	Timezone   string          `json:"timezone,omitempty"` // IANA name; UTC
	Args       json.RawMessage `json:"args,omitempty"`     // as the body of an invoke
	Jitter     units.Duration  `json:"jitter,omitempty"`   // each run is late by up to this, always by the same
	Start      *time.Time      `json:"start,omitempty"`    // nothing before
	End        *time.Time      `json:"end,omitempty"`      // nothing after
	Overlap    string          `json:"overlap,omitempty"`  // when the run before has not ended: allow, skip, queue, cancel
	CatchUp    string          `json:"catchUp,omitempty"`  // of runs that the hub was not there for: none, one (the last), all
	MaxCatchUp int             `json:"maxCatchUp,omitempty"`

	Pattern    string `json:"pattern,omitempty"`    // of the tenant's own streams
	Batch      *Batch `json:"batch,omitempty"`      // the function gets an array of events
	Ordered    bool   `json:"ordered,omitempty"`    // one execution at a time, in the order of events
	DeadLetter string `json:"deadLetter,omitempty"` // stream that is told of executions that failed for good
}

// Batch says how many events a trigger puts together.
type Batch struct {
	MaxItems int            `json:"maxItems"`
	MaxWait  units.Duration `json:"maxWait,omitempty"` // for further ones after the first; 1 s
}

// The policies.
const (
	overlapAllow  = "allow"
	overlapSkip   = "skip"
	overlapQueue  = "queue"
	overlapCancel = "cancel"

	catchUpNone = "none"
	catchUpOne  = "one"
	catchUpAll  = "all"
)

// Bounds of triggers.
const (
	catchUpMax    = 1000           // runs that are made up for at most
	catchUpUsual  = 100            // the same where nothing is said
	batchMax      = 1000           // events in a batch
	lateIsMissed  = time.Minute    // a run that is later was missed: the hub was not there
	maxTriggers   = 10_000         // of a tenant
	shownRuns     = 5              // next runs that a trigger shows
	longestJitter = 24 * time.Hour // of a run
)

var triggerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// parseTrigger reads a trigger as users write it; what is unknown or wrong is a fault that names the field.
func parseTrigger(name string, b []byte) (*Trigger, error) {
	if !triggerName.MatchString(name) {
		return nil, fault.New(fault.InvalidRequest, "%q is not a trigger's name: 1 to 64 letters, digits, _ and -.", name)
	}
	tr := &Trigger{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(tr); err != nil {
		return nil, fault.New(fault.InvalidRequest, "The trigger does not have the documented shape: %v.", err)
	}
	if tr.Name != "" && tr.Name != name {
		return nil, fault.New(fault.InvalidRequest, "name: it is %q in the path.", name)
	}
	tr.Name = name
	return tr, tr.check()
}

func (tr *Trigger) check() error {
	wrong := func(format string, args ...any) error { return fault.New(fault.InvalidRequest, format, args...) }
	oneOf := func(field, value string, of ...string) error {
		for _, v := range of {
			if value == v {
				return nil
			}
		}
		return wrong("%s: it is one of %v.", field, of[1:])
	}
	switch {
	case tr.Function == "":
		return wrong("function: the name of a function, perhaps with @version or @alias.")
	case (tr.Schedule == "") == (tr.Pattern == ""):
		return wrong("A trigger has a schedule or a pattern.")
	case tr.Pattern != "" && (tr.Timezone != "" || len(tr.Args) > 0 || tr.Jitter != 0 || tr.Start != nil || tr.End != nil || tr.Overlap != "" || tr.CatchUp != "" || tr.MaxCatchUp != 0):
		return wrong("timezone, args, jitter, start, end, overlap, catchUp and maxCatchUp go with a schedule.")
	case tr.Schedule != "" && (tr.Batch != nil || tr.Ordered || tr.DeadLetter != ""):
		return wrong("batch, ordered and deadLetter go with a pattern.")
	case tr.Jitter < 0 || time.Duration(tr.Jitter) > longestJitter:
		return wrong("jitter: 0 to %s.", longestJitter)
	case tr.MaxCatchUp < 0 || tr.MaxCatchUp > catchUpMax:
		return wrong("maxCatchUp: 0 to %d.", catchUpMax)
	case tr.Start != nil && tr.End != nil && !tr.Start.Before(*tr.End):
		return wrong("end: it is after start.")
	case tr.Batch != nil && (tr.Batch.MaxItems < 1 || tr.Batch.MaxItems > batchMax || tr.Batch.MaxWait < 0):
		return wrong("batch: maxItems is 1 to %d, maxWait is not negative.", batchMax)
	}
	if err := oneOf("overlap", tr.Overlap, "", overlapAllow, overlapSkip, overlapQueue, overlapCancel); err != nil {
		return err
	}
	if err := oneOf("catchUp", tr.CatchUp, "", catchUpNone, catchUpOne, catchUpAll); err != nil {
		return err
	}
	if tr.Schedule != "" {
		_, err := parseSchedule(tr.Schedule, tr.Timezone)
		return err
	}
	if err := checkTriggerPattern(tr.Pattern); err != nil {
		return err
	}
	if tr.DeadLetter != "" {
		if err := checkStream(tr.DeadLetter); err != nil {
			return wrong("deadLetter: %s", fault.From(err).Detail)
		}
		if matches(tr.Pattern, tr.DeadLetter) {
			return wrong("deadLetter: the trigger's own pattern matches it.")
		}
	}
	return nil
}

// checkTriggerPattern refuses the hub's own streams: their events have no lasting position, and a trigger
// on executions would start on those that it started.
func checkTriggerPattern(pattern string) error {
	if _, err := checkPattern(pattern); err != nil {
		return fault.New(fault.InvalidRequest, "pattern: %s", fault.From(err).Detail)
	}
	if own, _ := patternScope(pattern); !own {
		return fault.New(fault.InvalidRequest, "pattern: triggers are for the tenant's own streams, not for execution.* and function.*.")
	}
	return nil
}

// jitterOf is by how much a run is late: by its trigger and time, so that it is the same after a restart.
func (tr *Trigger) jitterOf(due time.Time) time.Duration {
	if tr.Jitter == 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %d", tr.Name, due.UnixMilli()) // never fails
	return time.Duration(h.Sum64() % uint64(tr.Jitter))      //nolint:gosec // positive
}

// triggerState is where a trigger is. It is written after what it says.
type triggerState struct {
	ID       string    `json:"id"`                 // of this trigger, as long as its schedule or pattern stays
	Handled  int64     `json:"handled,omitempty"`  // runs due up to this time were made, or left
	Last     string    `json:"last,omitempty"`     // the last execution
	Runs     int       `json:"runs,omitempty"`     // made
	Missed   int       `json:"missed,omitempty"`   // left, by the policies
	Gaps     int       `json:"gaps,omitempty"`     // times that events were lost before they were read
	Position *Position `json:"position,omitempty"` // events up to it are in executions
	Error    string    `json:"error,omitempty"`    // why the last run could not be made
}

// storedTrigger is a trigger's record, and the kind of its state's, behind a format byte.
type storedTrigger struct {
	*Trigger
	CreatedAt int64 `json:"createdAt"`
}

// TriggerView is a trigger as users read it.
type TriggerView struct {
	Trigger
	Declared  bool     `json:"declared,omitempty"` // by its function's settings: it changes with them alone
	CreatedAt string   `json:"createdAt,omitempty"`
	Next      []string `json:"next,omitempty"` // the next runs
	LastRun   string   `json:"lastExecution,omitempty"`
	Runs      int      `json:"runs"`
	Missed    int      `json:"missed"`
	Gaps      int      `json:"gaps,omitempty"`
	Position  string   `json:"position,omitempty"`
	Error     string   `json:"error,omitempty"`
}
