package hub

import (
	"time"

	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// limit tells the bridges what a tenant may take of them. What is told last is what holds.
func (h *Hub) limit(owner *tenants.Tenant) {
	h.limiting.Lock()
	defer h.limiting.Unlock()
	h.bridges.Limit(owner.Name(), bridgeLimits(owner.Limits()))
}

// bridgeLimits is what bridges have to know of a tenant's limits.
func bridgeLimits(l *tenants.Limits) nodebridge.Limits {
	return nodebridge.Limits{
		MinBridges: l.MinBridges, MaxBridges: l.MaxBridges, MaxConcurrency: l.MaxConcurrency,
		MaxWaiting: l.MaxQueue, MaxWaitTime: time.Duration(l.MaxQueueTime),
		Memory: int64(l.Memory), SoftMemory: int64(l.SoftMemory), Processes: l.Processes, OpenFiles: l.OpenFiles,
		LogRate: l.LogRate, LogBytes: int64(l.LogBytes), NoNetwork: l.Network == tenants.NetworkNone,
	}
}
