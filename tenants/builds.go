package tenants

import (
	"context"
	"sync"
)

// builds are the publishes of a tenant that are under way.
type builds struct {
	mu    sync.Mutex // guards all, but not what all waits for
	stops map[int]context.CancelCauseFunc
	next  int
	all   sync.WaitGroup
}

// build begins a publish, which is cancelled if the tenant is deleted meanwhile; leave must be called at its end.
func (t *Tenant) build(ctx context.Context) (_ context.Context, leave func(), err error) {
	t.life.RLock()
	defer t.life.RUnlock()
	if t.deleted {
		return nil, nil, noTenant(t.name)
	}
	b := &t.building
	ctx, stop := context.WithCancelCause(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stops == nil {
		b.stops = map[int]context.CancelCauseFunc{}
	}
	b.next++
	number := b.next
	b.stops[number] = stop
	b.all.Add(1)
	return ctx, func() {
		stop(nil)
		b.mu.Lock()
		delete(b.stops, number)
		b.mu.Unlock()
		b.all.Done()
	}, nil
}

// end cancels all publishes and waits for them. None begins any more: the tenant is deleted.
func (b *builds) end(why error) {
	b.mu.Lock()
	for _, stop := range b.stops {
		stop(why)
	}
	b.mu.Unlock()
	b.all.Wait()
}
