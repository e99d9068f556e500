package nodebridge

import (
	"context"
	"time"
)

// Fleet is the pools of all tenants.
type Fleet struct {
	cfg Config
}

// NewFleet makes a fleet that runs nothing before Run.
func NewFleet(cfg Config) *Fleet { return &Fleet{cfg: cfg.withDefaults()} }

// Run runs the pools that Call and Load ask for, until ctx ends. It ends every process before it returns.
func (f *Fleet) Run(ctx context.Context) error { panic("follows") }

// Call hands c to a bridge of the tenant. It never blocks. Without an error c's Receiver is told
// exactly one final frame, perhaps before Call returns. Faults: overloaded, payload_too_large, drained.
func (f *Fleet) Call(tenant string, c *Call) error { panic("follows") }

// Load loads m in a bridge of the tenant and says what is in it. Faults: version_broken with the
// loader's message and stack, overloaded, drained.
func (f *Fleet) Load(ctx context.Context, tenant string, m *Module) (Info, error) { panic("follows") }

// Unload lets the tenant's bridges forget m once no call of it is in flight there.
func (f *Fleet) Unload(tenant string, m *Module) { panic("follows") }

// Remove ends the tenant's pool: its calls are Lost, its processes are gone soon after.
func (f *Fleet) Remove(tenant string) { panic("follows") }

// Bridges lists the live processes, by tenant and start.
func (f *Fleet) Bridges() []BridgeInfo { panic("follows") }

// Output has to told what processes print, line by line: stream is stdout, stderr, or log for what
// code logs outside of any call (then line is the JSON of a Log frame). to must not block. Call it before Run.
func (f *Fleet) Output(to func(tenant string, pid int, stream, line string)) { panic("follows") }

// BridgeInfo is a live process as operators see it.
type BridgeInfo struct {
	Tenant    string    `json:"tenant"`
	PID       int       `json:"pid"`
	Node      string    `json:"node"` // its version
	StartedAt time.Time `json:"startedAt"`
	InFlight  int       `json:"inFlight"`
	Calls     uint64    `json:"calls"`    // since it started
	Restarts  int       `json:"restarts"` // processes that died in its place before it
}
