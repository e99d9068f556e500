package tenants

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
)

// Limits is what one tenant may take of the hub. A tenant's own limits are stored, as JSON of the fields that
// were set; the others are the hub's defaults (Config.Limits), so that a change of these reaches all tenants
// that were not given other ones.
//
// To add a limit: a field here, a row in limitBounds, a row in docs/limits.md.
type Limits struct {
	CallRate  float64 `json:"callRate"`  // calls and starts from outside a second; 0: no limit
	CallBurst int     `json:"callBurst"` // of them at once after a rest; 0: those of one second

	MaxConnections             int     `json:"maxConnections"`             // WebSockets and event streams at once; 0, here and below: no limit
	MaxConnectionsPerSubject   int     `json:"maxConnectionsPerSubject"`   // those of one subject of tokens
	MaxSubscriptions           int     `json:"maxSubscriptions"`           // of all of them together
	MaxSubscriptionsPerSubject int     `json:"maxSubscriptionsPerSubject"` // of one subject's
	MessageRate                float64 `json:"messageRate"`                // requests over WebSockets a second
	MessageRatePerSubject      float64 `json:"messageRatePerSubject"`      // those of one subject

	MinBridges int `json:"minBridges"` // Node processes kept from the first call on; 0: none once it is idle
	MaxBridges int `json:"maxBridges"` // Node processes at once, as many as the load asks for

	MaxConcurrency int            `json:"maxConcurrency"` // executions that run at once, but for those that others wait for; 0: no limit
	MaxQueue       int            `json:"maxQueue"`       // calls that wait for a process, or a place in one
	MaxQueueTime   units.Duration `json:"maxQueueTime"`   // how long they wait

	Memory     units.Size `json:"memory"`     // resident bytes of a Node process and what it has started; 0: no limit
	SoftMemory units.Size `json:"softMemory"` // from here on another process takes its place; 0: 80 % of memory
	Processes  int        `json:"processes"`  // a Node process and what it has started; 0: no limit
	OpenFiles  int        `json:"openFiles"`  // of each process; 0: the hub's own limit

	LogRate  int        `json:"logRate"`  // lines that an execution may log a second; 0: no limit
	LogBytes units.Size `json:"logBytes"` // bytes of them; 0: no limit

	Network string `json:"network"` // what functions see of it: NetworkFull or NetworkNone
}

// Values of Limits.Network.
const (
	NetworkFull = "full" // the machine's
	NetworkNone = "none" // a loopback device of their own; it takes walls
)

// DefaultLimits are those of a hub that was not told otherwise.
func DefaultLimits() Limits {
	return Limits{MinBridges: 1, MaxBridges: 4, MaxQueue: 10_000, MaxQueueTime: units.Duration(10 * time.Second),
		Memory: 1 << 30, Processes: 256, OpenFiles: 4096, LogRate: 1000, LogBytes: 1 << 20, Network: NetworkFull}
}

// bounds is a range of numbers, or a few words.
type bounds struct {
	least, most float64
	words       []string
}

// limitBounds says of each limit, by its JSON name, which values it takes.
var limitBounds = map[string]bounds{
	"callRate":  {least: 0, most: 10_000_000},
	"callBurst": {least: 0, most: 10_000_000},

	"maxConnections":             {least: 0, most: 10_000_000},
	"maxConnectionsPerSubject":   {least: 0, most: 10_000_000},
	"maxSubscriptions":           {least: 0, most: 100_000_000},
	"maxSubscriptionsPerSubject": {least: 0, most: 100_000_000},
	"messageRate":                {least: 0, most: 10_000_000},
	"messageRatePerSubject":      {least: 0, most: 10_000_000},

	"minBridges":     {least: 0, most: 64},
	"maxBridges":     {least: 1, most: 64},
	"maxConcurrency": {least: 0, most: 1_000_000},
	"maxQueue":       {least: 1, most: 1_000_000},
	"memory":         {least: 0, most: 1 << 40},
	"softMemory":     {least: 0, most: 1 << 40},
	"processes":      {least: 0, most: 100_000},
	"openFiles":      {least: 0, most: 1 << 20},
	"logRate":        {least: 0, most: 1_000_000},
	"logBytes":       {least: 0, most: 1 << 30},
	"maxQueueTime":   {least: float64(time.Millisecond), most: float64(time.Hour)},
	"network":        {words: []string{NetworkFull, NetworkNone}},
}

// ownLimits is the fields that a tenant was given, as JSON.
type ownLimits map[string]json.RawMessage

// parseLimits reads a tenant's own limits. What is unknown or wrong is a fault that names the field; a null is
// as if it were not there.
func parseLimits(b []byte, defaults Limits) (ownLimits, error) {
	const where = "limits"
	parsed := defaults
	fields := parsed.fields()
	if err := readFields(where, b, fields); err != nil {
		return nil, err
	}
	if err := parsed.Check(); err != nil {
		return nil, err
	}
	var own ownLimits
	if err := json.Unmarshal(b, &own); err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	maps.DeleteFunc(own, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	for name := range own {
		value, err := json.Marshal(fields[name]) // in the form in which it is shown
		if err != nil {
			return nil, fmt.Errorf("keep limits: %w", err)
		}
		own[name] = value
	}
	return own, nil
}

// fields gives pointers to the limits by their names.
func (l *Limits) fields() map[string]any {
	fields := map[string]any{}
	v := reflect.ValueOf(l).Elem()
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("json")] = v.Field(i).Addr().Interface()
	}
	return fields
}

// Check says which limit is out of range.
func (l Limits) Check() error {
	fields := l.fields()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field, bounds := fields[name], limitBounds[name]
		if word, ok := field.(*string); ok {
			if !slices.Contains(bounds.words, *word) {
				return fault.New(fault.InvalidRequest, "limits.%s: it is %s.", name, strings.Join(bounds.words, " or "))
			}
			continue
		}
		if n := number(field); n < bounds.least || n > bounds.most {
			return fault.New(fault.InvalidRequest, "limits.%s: it is %s to %s.", name, shownAs(field, bounds.least), shownAs(field, bounds.most))
		}
	}
	if l.MinBridges > l.MaxBridges {
		return fault.New(fault.InvalidRequest, "limits.minBridges: it is %d, and maxBridges is %d.", l.MinBridges, l.MaxBridges)
	}
	if l.Memory > 0 && l.Memory < leastMemory {
		return fault.New(fault.InvalidRequest, "limits.memory: it is 0, or at least %s: a Node process takes most of that for itself.", units.Size(leastMemory))
	}
	if l.OpenFiles > 0 && l.OpenFiles < leastFiles {
		return fault.New(fault.InvalidRequest, "limits.openFiles: it is 0, or at least %d.", leastFiles)
	}
	return nil
}

// What Node needs to start.
const (
	leastMemory = 96 << 20
	leastFiles  = 64
)

// number gives the value behind a pointer to a limit's field.
func number(field any) float64 {
	v := reflect.ValueOf(field).Elem()
	if v.CanFloat() {
		return v.Float()
	}
	return float64(v.Int())
}

// shownAs gives n as a user writes a value of the field's type.
func shownAs(field any, n float64) string {
	switch field.(type) {
	case *units.Duration:
		return units.Duration(n).String()
	case *units.Size:
		return units.Size(n).String()
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
}

// over gives defaults with the tenant's own limits in place of theirs.
func (own ownLimits) over(defaults Limits) (Limits, error) {
	l := defaults
	b, err := json.Marshal(own)
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err != nil {
		return defaults, fmt.Errorf("read limits: %w", err)
	}
	return l, nil
}

// Limits gives what holds for the tenant: its own limits, and the hub's defaults for the others. The caller
// must not change it; a change of limits makes a new one.
func (t *Tenant) Limits() *Limits { return t.limits.Load() }

// OwnLimits gives the limits that the tenant was given, as JSON by their names.
func (t *Tenant) OwnLimits() map[string]json.RawMessage {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.own)
}

// OnLimits has f called after a tenant's limits have changed.
func (r *Registry) OnLimits(f func(t *Tenant)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limited = f
}

// SetLimits replaces a tenant's own limits by those in b, JSON as Limits has it. It returns once they are on
// disk and hold.
func (r *Registry) SetLimits(ctx context.Context, t *Tenant, b []byte) error {
	own, err := parseLimits(b, r.cfg.Limits)
	if err != nil {
		return err
	}
	l, err := own.over(r.cfg.Limits)
	if err != nil {
		return err
	}
	if l.Network == NetworkNone && r.cfg.Walls == nil {
		return fault.New(fault.InvalidRequest, "limits.network: this hub has no walls around functions (--isolation), so it can't take their network away.")
	}
	r.admin.Lock()
	defer r.admin.Unlock()
	t.life.RLock()
	deleted := t.deleted
	t.life.RUnlock()
	if deleted { // no other way round: DeleteTenant holds admin, too
		return noTenant(t.name)
	}
	if err := r.store.Commit(context.WithoutCancel(ctx), putRecord(tenantKey(t.name), tenantRecord{t.createdAt, own})); err != nil {
		return err
	}
	t.mu.Lock()
	t.own = own
	t.mu.Unlock()
	t.limits.Store(&l)
	r.mu.Lock()
	limited := r.limited
	r.mu.Unlock()
	limited(t)
	return nil
}
