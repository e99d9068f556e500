package nodebridge

// The heavy lane of a tenant is a pool of its own for calls that move much: to allocate, copy, parse and collect
// tens of megabytes takes an event loop hundreds of milliseconds, in which nothing else runs there, however small
// the frames are. Its bridge counts as one of the tenant's, runs at a lower priority than the others, and starts
// with the first call that needs it. A tenant that may have one bridge only has no lane.

// afterHeavy is how many small answers in a row a module whose answers were large has to give before its calls
// are taken for small again.
const afterHeavy = 16

// heavy reports whether the call is one for the heavy lane: by its arguments, or by what the module gave lately.
// What a first call will give, nobody knows.
func (c *Call) heavy(from int) bool { return len(c.Args) >= from || c.Module.large.Load() > 0 }

// gave notes the size of something that a call of the module gave.
func (m *Module) gave(n, from int, final bool) {
	switch large := m.large.Load(); {
	case n >= from:
		m.large.Store(afterHeavy)
	case final && large > 0:
		m.large.CompareAndSwap(large, large-1)
	}
}
