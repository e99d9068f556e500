package nodebridge

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// The states of a bridge that there is.
const (
	bridgeStarting = "starting" // it is not ready yet, and not listed
	bridgeRunning  = "running"
	bridgeDraining = "draining" // it takes no more calls, and ends when those that it has do
	bridgeLate     = "late"     // its event loop has not turned for a while; if it goes on so it is stuck
)

// BridgeInfo is a process as operators see it.
type BridgeInfo struct {
	Tenant    string    `json:"tenant"`
	PID       int       `json:"pid"`   // 0 while it is not known: with walls, before it is ready
	Node      string    `json:"node"`  // its version; "" before it is ready
	State     string    `json:"state"` // running, draining or late; of a Notice that it has started, starting
	StartedAt time.Time `json:"startedAt"`
	InFlight  int       `json:"inFlight"`
	Calls     uint64    `json:"calls"`     // since it started
	LoopDelay float64   `json:"loopDelay"` // milliseconds that the event loop took for the last ping, or takes by now
	CPU       float64   `json:"cpu"`       // CPUs used lately
	Memory    int64     `json:"memory"`    // resident bytes, with what it has started
	Processes int       `json:"processes"` // it and what it has started
	Restarts  int       `json:"restarts"`  // processes that died in its place before it
	Network   string    `json:"network"`   // full, or none: a loopback device of its own
	Heavy     bool      `json:"heavy"`     // it runs the calls with large payloads
	Walls     bool      `json:"walls"`     // false: its code sees what the hub's user sees
}

// info is the bridge as operators see it.
func (b *Bridge) info() BridgeInfo {
	delay := b.loopDelay()
	pid, node, state := b.p.pid(), "", bridgeStarting
	select {
	case <-b.ready:
		node, state = b.node, bridgeRunning
	default:
		if b.cfg.Walls != nil && !b.p.greeted {
			pid = 0 // it would be that of what builds the walls
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.retired != nil:
		state = bridgeDraining
	case b.lateness() >= b.patienceLocked()/2:
		state = bridgeLate
	}
	network := "full"
	if b.limits.NoNetwork {
		network = "none"
	}
	return BridgeInfo{Tenant: b.tenant, PID: pid, Node: node, State: state, StartedAt: b.started.UTC().Truncate(time.Millisecond),
		InFlight: int(b.inFlight.Load()), Calls: b.total, LoopDelay: delay, CPU: float64(int(b.used.busy*1000)) / 1000,
		Memory: b.used.memory, Processes: b.used.processes, Restarts: b.restarts, Network: network, Heavy: b.heavy, Walls: b.cfg.Walls != nil}
}

// EndedBridge is a process that has ended as operators see it.
type EndedBridge struct {
	Tenant    string    `json:"tenant"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
	Calls     uint64    `json:"calls"`
	Code      string    `json:"code"`   // died, scaled_in, recycled, stopped, broken, or a fault's: stuck, out_of_memory
	Reason    string    `json:"reason"` // for people
}

// keptEnds is how many of a tenant's bridges are remembered after their end.
const keptEnds = 20

// Why a bridge ended, as a word for programs; faults have their own codes.
const (
	endDied     = "died"      // by itself: it crashed, or called process.exit
	endRecycled = "recycled"  // its memory had come near the limit, it had let go of many modules, or its tenant's network changed
	endScaledIn = "scaled_in" // there was one more than the load asked for
	endStopped  = "stopped"   // with the hub, or with its tenant
	endBroken   = "broken"    // it never got ready, or broke the protocol
)

// errDied says that a process ended though nobody wanted it to.
var errDied = errors.New("the process died")

func endCode(err error, stopped bool) string {
	f, isFault := errors.AsType[*fault.Fault](err)
	switch {
	case errors.Is(err, errScaledIn):
		return endScaledIn
	case errors.Is(err, errRecycled), errors.Is(err, errWorn), errors.Is(err, errOther):
		return endRecycled
	case isFault:
		return string(f.Code)
	case stopped:
		return endStopped
	case errors.Is(err, errDied):
		return endDied
	default:
		return endBroken
	}
}

// noteEndLocked remembers how a bridge ended.
func (p *Pool) noteEndLocked(b *Bridge, err error, stopped bool) {
	i := b.info()
	if b.why != nil {
		err = b.why // more than its death says
	}
	e := EndedBridge{Tenant: p.tenant, PID: b.p.pid(), StartedAt: i.StartedAt, EndedAt: time.Now().UTC().Truncate(time.Millisecond), Calls: i.Calls,
		Code: endCode(err, stopped), Reason: err.Error()}
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		e.Reason = f.Detail
	}
	if len(p.ends) >= keptEnds {
		p.ends = slices.Delete(p.ends, 0, len(p.ends)-keptEnds+1)
	}
	p.ends = append(p.ends, e)
	p.endings[e.Code]++
	p.past += i.Calls
	p.tellLocked(Notice{Moment: BridgeEnded, Ended: &e})
}

// each calls do with the pools of a tenant, or with all for "".
func (f *Fleet) each(tenant string, do func(p *Pool)) {
	if tenant != "" {
		if s, ok := f.shares.Load(tenant); ok {
			for _, p := range s.all() {
				do(p)
			}
		}
		return
	}
	f.pools.Range(func(_ string, p *Pool) bool {
		do(p)
		return true
	})
}

// Bridges lists a tenant's processes by their start, or all tenants' by tenant for "".
func (f *Fleet) Bridges(tenant string) []BridgeInfo {
	list := []BridgeInfo{}
	f.each(tenant, func(p *Pool) {
		for _, b := range p.all() {
			list = append(list, b.info())
		}
	})
	slices.SortFunc(list, func(a, b BridgeInfo) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.PID, b.PID))
	})
	return list
}

// Ended lists the processes that ended last, newest first; "" for all tenants.
func (f *Fleet) Ended(tenant string) []EndedBridge {
	list := []EndedBridge{}
	f.each(tenant, func(p *Pool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		list = append(list, p.ends...)
	})
	slices.SortStableFunc(list, func(a, b EndedBridge) int { return b.EndedAt.Compare(a.EndedAt) })
	return list
}

// PoolInfo sums a tenant's processes up.
type PoolInfo struct {
	Tenant    string
	Bridges   map[string]int // how many are in which state
	Wanted    int            // that the load asks for
	InFlight  int
	Waiting   int           // calls that wait for a process
	Calls     uint64        // since the hub's start
	LoopDelay time.Duration // of the slowest event loop
	CPU       float64
	Memory    int64
	Ended     map[string]uint64 // how many ended, by code, since the hub's start
}

// Pools sums each tenant's processes up, of all its Nodes, by tenant.
func (f *Fleet) Pools() []PoolInfo {
	all := []PoolInfo{}
	f.shares.Range(func(tenant string, s *common) bool {
		i := PoolInfo{Tenant: tenant, Bridges: map[string]int{bridgeRunning: 0, bridgeDraining: 0, bridgeLate: 0}, Ended: map[string]uint64{}}
		for _, p := range s.all() {
			p.addTo(&i)
		}
		all = append(all, i)
		return true
	})
	slices.SortFunc(all, func(a, b PoolInfo) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return all
}

// addTo adds the pool's processes to a sum.
func (p *Pool) addTo(i *PoolInfo) {
	for _, b := range p.all() {
		one := b.info()
		i.Bridges[one.State]++
		i.InFlight += one.InFlight
		i.Calls += one.Calls
		i.LoopDelay = max(i.LoopDelay, time.Duration(one.LoopDelay*float64(time.Millisecond)))
		i.CPU += one.CPU
		i.Memory += one.Memory
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i.Wanted += p.wanted
	i.Waiting += p.waiting.count
	i.Calls += p.past
	for code, n := range p.endings {
		i.Ended[code] += n
	}
}
