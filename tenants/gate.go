package tenants

import "sync/atomic"

// gate decides between executions that come onto a version, and a deletion that must find none. Whoever
// comes makes itself seen first and enters then; whoever deletes closes first and looks then. So one of
// the two sees the other, without a lock on the way of a call.
type gate struct{ state atomic.Int32 }

// The states of a gate.
const (
	gateOpen     int32 = iota
	gateClosing        // a deletion looks whether anybody is on it: who enters takes that back
	gateDraining       // only what executions that run ask for may enter
	gateClosed         // for ever, unless reopen takes it back
)

// enter reports whether an execution may stay that has made itself seen. A child was asked for by another
// execution.
func (g *gate) enter(child bool) bool {
	for {
		switch g.state.Load() {
		case gateOpen:
			return true
		case gateDraining:
			return child
		case gateClosed:
			return false
		}
		if g.state.CompareAndSwap(gateClosing, gateOpen) {
			return true
		}
	}
}

// Enter reports whether an execution that has made itself seen may stay on the version. It is on the way of
// every call.
func (v *Version) Enter(child bool) bool { return v.gate.enter(child) && v.function.enter(child) }

// closeIf closes the gate for ever if nobody is inside and nobody comes while look looks.
func (g *gate) closeIf(look func() error) (closed bool, err error) {
	before := g.state.Swap(gateClosing)
	if err := look(); err != nil {
		g.state.CompareAndSwap(gateClosing, before)
		return false, err
	}
	return g.state.CompareAndSwap(gateClosing, gateClosed), nil
}
