package nodebridge

import (
	"slices"
	"sync/atomic"
)

// common is what the pools of one tenant have in common: one for each Node that its functions run on,
// and the heavy lanes beside them. The tenant's limits hold over all of them.
type common struct {
	pools    atomic.Pointer[[]*Pool] // replaced under the Fleet's mu
	inFlight atomic.Int64            // in all bridges, those that are retired included
}

func (s *common) all() []*Pool {
	if pools := s.pools.Load(); pools != nil {
		return *pools
	}
	return nil
}

func (s *common) add(p *Pool) {
	pools := append(slices.Clone(s.all()), p)
	s.pools.Store(&pools)
}

// room is called by a bridge after calls have ended there: some that wait may have a place now, in other pools
// too.
func (s *common) room() {
	for _, p := range s.all() {
		p.room()
	}
}

// bounds gives the limits with the numbers of bridges that this pool may have. A heavy lane has one bridge, and
// none once it is idle, as a pool of another Node than the hub's. All together have no more than the tenant may, but
// for one each.
func (p *Pool) bounds() Limits {
	l := *p.limits.Load()
	pools := p.share.all()
	if len(pools) == 0 && p.node == "" || len(pools) == 1 && pools[0] == p && p.node == "" {
		return l
	}
	left := max(l.MaxBridges, l.MinBridges, 1)
	if p.node != "" || p.heavy {
		l.MinBridges = 0
	}
	for _, other := range pools {
		if other != p {
			left -= other.size()
		}
	}
	l.MaxBridges = max(left, 1)
	if p.heavy {
		l.MaxBridges = 1
	}
	l.MinBridges = min(l.MinBridges, l.MaxBridges)
	return l
}

// size is how many bridges there are to be.
func (p *Pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted
}

// poolKey is the name of a pool in Fleet.pools.
func poolKey(tenant, node string, heavy bool) string {
	switch {
	case heavy:
		return tenant + "\x00heavy\x00" + node
	case node == "": // mostly
		return tenant
	}
	return tenant + "\x00" + node
}
