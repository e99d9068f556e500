package hub

import "testing"

// Clocks are set back, by people and by time servers.
func TestIDsDifferWhenTheClockJumpsBack(t *testing.T) {
	g, seen := newIDs(), map[string]bool{}
	for _, at := range []int64{5_000, 5_000, 4_000, 5_000, 1, 4_000, 5_000} {
		for range 100 {
			var text [26]byte
			id := g.next(at, &text)
			if seen[id] || len(id) != 26 || !isToken(id) {
				t.Fatalf("%q comes twice, or is none", id)
			}
			seen[id] = true
		}
	}
}
