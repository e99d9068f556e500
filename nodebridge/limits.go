package nodebridge

import "time"

// Limits bounds the bridges of one tenant. The zero value of each field stands for what is written beside it.
type Limits struct {
	MinBridges     int           // kept from the tenant's first call on; 0: none once it is idle
	MaxBridges     int           // at once; 0: MinBridges, at least 1
	MaxConcurrency int           // calls in flight in all of them, but for calls within calls; 0: no limit
	MaxWaiting     int           // calls that wait for a bridge or a place in one; 0: Config.MaxWaiting
	MaxWaitTime    time.Duration // how long they wait; 0: Config.MaxWaitTime

	Memory     int64 // resident bytes of a bridge and what it has started; 0: no limit
	SoftMemory int64 // from here on another bridge takes its place; 0: most of Memory
	Processes  int   // a bridge and what it has started; 0: no limit
	OpenFiles  int   // of each process; 0: the hub's own limit

	LogRate  int   // lines that an execution may log a second; 0: no limit
	LogBytes int64 // bytes of them; 0: no limit

	NoNetwork bool // a bridge has a loopback device of its own, and nothing else; it takes Walls
}

// limitsOf gives what holds for a tenant.
func (f *Fleet) limitsOf(tenant string) *Limits {
	l, ok := f.limited.Load(tenant)
	if !ok {
		l = f.cfg.Limits
	}
	l.MinBridges = min(l.MinBridges, maxBridges)
	l.MaxBridges = min(l.MaxBridges, maxBridges)
	set(&l.MaxWaiting, f.cfg.MaxWaiting)
	set(&l.MaxWaitTime, f.cfg.MaxWaitTime)
	return &l
}
