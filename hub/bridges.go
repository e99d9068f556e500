package hub

import (
	"context"

	"github.com/livefn/livefn/nodebridge"
)

// Bridges runs calls. nodebridge.Fleet does it with Node processes; this package's tests do it
// without.
type Bridges interface {
	// Call hands over one call of a tenant's function; it never blocks, and never calls the Receiver
	// itself: the hub holds the lock that Receive takes.
	Call(tenant string, c *nodebridge.Call) error
	// Load loads a module in one bridge, to see that it can be.
	Load(ctx context.Context, tenant string, m *nodebridge.Module) (nodebridge.Info, error)
	// Unload lets go of a module that takes no further calls, once those under way have ended.
	Unload(tenant string, m *nodebridge.Module)
	// Limit bounds what a tenant may take, from now on.
	Limit(tenant string, l nodebridge.Limits)
	// Bridges lists the Node processes of a tenant, Ended those that ended last; "" for all tenants.
	Bridges(tenant string) []nodebridge.BridgeInfo
	Ended(tenant string) []nodebridge.EndedBridge
	// Notify has to told what becomes of bridges; to must not block, nor call Bridges. Measure has it told how
	// those of a tenant are now.
	Notify(to func(nodebridge.Notice))
	Measure(tenant string)
	// Pools sums each tenant's processes up.
	Pools() []nodebridge.PoolInfo
	// Remove ends all bridges of a tenant.
	Remove(tenant string)
}
