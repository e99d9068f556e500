package tenants

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v3"
)

// tokenCache remembers tokens that were verified, by their hash, so that a token costs what a key costs. It
// has two generations: what is used moves to the young one, and when that is full the old one goes. So it
// holds twice its size at most, and reading takes no lock.
type tokenCache struct {
	size int

	mu         sync.Mutex // guards turning
	young, old atomic.Pointer[xsync.MapOf[[32]byte, *Grant]]
}

func newTokenCache(size int) *tokenCache {
	c := &tokenCache{size: size}
	c.young.Store(xsync.NewMapOf[[32]byte, *Grant]())
	c.old.Store(xsync.NewMapOf[[32]byte, *Grant]())
	return c
}

// get gives what a token allows, if it is known, has not run out, and nothing has changed that it was verified
// with.
func (c *tokenCache) get(h [32]byte, now time.Time, leeway time.Duration) *Grant {
	g, ok := c.young.Load().Load(h)
	if !ok {
		if g, ok = c.old.Load().Load(h); !ok {
			return nil
		}
		c.put(h, g)
	}
	if g.Token.changes != g.Tenant.auth.changes.Load() || !now.Before(g.Token.Expires.Add(leeway)) {
		return nil
	}
	return g
}

func (c *tokenCache) put(h [32]byte, g *Grant) {
	young := c.young.Load()
	young.Store(h, g)
	if young.Size() < c.size {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young.Load() == young {
		c.old.Store(young)
		c.young.Store(xsync.NewMapOf[[32]byte, *Grant]())
	}
}
