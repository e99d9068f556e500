package tenants

import (
	"context"
	"sync"
)

// turns lets those who want the same thing have it one after the other.
type turns struct {
	mu  sync.Mutex // guards all
	all map[string]*turn
}

type turn struct {
	token chan struct{} // holds one value while somebody has the turn
	users int           // who have it or wait for it
}

// take waits until nobody else has the turn for key; end gives it to the next.
func (t *turns) take(ctx context.Context, key string) (end func(), err error) {
	t.mu.Lock()
	if t.all == nil {
		t.all = map[string]*turn{}
	}
	one := t.all[key]
	if one == nil {
		one = &turn{token: make(chan struct{}, 1)}
		t.all[key] = one
	}
	one.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.all, key)
		}
	}
	select {
	case one.token <- struct{}{}:
		return func() { <-one.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
