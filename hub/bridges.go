package hub

import (
	"context"

	"github.com/livefn/livefn/nodebridge"
)

// Bridges runs calls. nodebridge.Fleet does it with Node processes; this package's tests do it
// without.
type Bridges interface {
	// Call hands over one call of a tenant's function; it never blocks. It must not call the
	// Receiver before it returns from another goroutine's lock: Receive may wait for the caller.
	Call(tenant string, c *nodebridge.Call) error
	// Load loads a module in one bridge, to see that it can be.
	Load(ctx context.Context, tenant string, m *nodebridge.Module) (nodebridge.Info, error)
}
