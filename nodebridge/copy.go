package nodebridge

import "runtime"

// copyStep is how much is copied at a time. One copy can't be interrupted, not even by the garbage collector, which
// stops all others for as long.
const copyStep = 256 << 10

// appendLarge is append, with pauses in which others have their turn.
func appendLarge(b, more []byte) []byte {
	for len(more) > copyStep {
		b = append(b, more[:copyStep]...)
		more = more[copyStep:]
		runtime.Gosched()
	}
	return append(b, more...)
}
