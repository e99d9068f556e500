package hub

import (
	"cmp"
	"slices"

	"github.com/livefn/livefn/nodebridge"
)

// Bridges lists a tenant's Node processes, those there are and those that ended last; "" for all tenants'.
func (h *Hub) Bridges(tenant string) ([]nodebridge.BridgeInfo, []nodebridge.EndedBridge) {
	return h.bridges.Bridges(tenant), h.bridges.Ended(tenant)
}

// Pools sums each tenant's Node processes up.
func (h *Hub) Pools() []nodebridge.PoolInfo { return h.bridges.Pools() }

// TenantStats is what a tenant has in memory now.
type TenantStats struct {
	Tenant      string
	Live        int    // executions that have an owner in memory
	Running     int    // durable executions that hold a place
	Queued      int    // durable executions that wait for one
	Streams     int    // of its own
	History     int    // bytes of their events in memory
	RateLimited uint64 // calls and starts that were refused since the hub's start
}

// Stats gives them by tenant, those that have not called yet left out.
func (h *Hub) Stats() (all []TenantStats) {
	h.tenants.Range(func(name string, t *tenant) bool {
		s := TenantStats{Tenant: name, Live: t.live.Size(), RateLimited: t.admission.refused.Load()}
		t.mu.Lock()
		s.Running, s.Queued = t.running, t.queue.len()
		t.mu.Unlock()
		s.Streams, s.History = t.journal.sizes()
		all = append(all, s)
		return true
	})
	slices.SortFunc(all, func(a, b TenantStats) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return all
}

// StoreStats is how the store is.
type StoreStats struct {
	Available     int // 1, or 0 while it can't write
	QueuedRecords int
	QueuedBytes   int64
	Tables        int64 // bytes on disk
	Values        int64
}

// Store says how the store is.
func (h *Hub) Store() (s StoreStats) {
	if h.store.Check() == nil {
		s.Available = 1
	}
	s.QueuedRecords, s.QueuedBytes = h.store.Queued()
	s.Tables, s.Values = h.store.Size()
	return s
}
