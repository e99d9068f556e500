package nodebridge

import (
	"testing"

	"pgregory.net/rapid"
)

// A late frame for a call that ended must never reach the call that has its slot now.
func TestIdsNameOneCallAtATime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table calls
		live := map[uint32]*Call{}
		var order, ended []uint32
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				s, c := table.take(), &Call{}
				s.call.Store(c)
				id := s.id.Load()
				if live[id] != nil || id>>indexBits == 0 {
					t.Fatalf("id %#x", id)
				}
				live[id] = c
				order = append(order, id)
			},
			"end": func(t *rapid.T) {
				if len(order) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(order)-1).Draw(t, "which")
				id := order[i]
				order = append(order[:i], order[i+1:]...)
				delete(live, id)
				ended = append(ended, id)
				s, _ := table.find(id)
				s.call.Store(nil)
				table.free(id)
			},
			"": func(t *rapid.T) {
				for id, want := range live {
					if _, c := table.find(id); c != want {
						t.Fatalf("%#x finds another call", id)
					}
				}
				for _, id := range ended {
					if _, c := table.find(id); c != nil {
						t.Fatalf("%#x has ended and is found", id)
					}
				}
				n := 0
				table.each(func(*slot, *Call) { n++ })
				if n != len(live) {
					t.Fatalf("each gives %d of %d", n, len(live))
				}
			},
		})
	})
}

func TestGenerationsSkipZeroWhenTheyWrap(t *testing.T) {
	var table calls
	for i := range 3 * 4096 {
		s := table.take()
		if id := s.id.Load(); id>>indexBits == 0 || id&indexMask != 0 {
			t.Fatalf("id %#x at %d", id, i)
		}
		table.free(s.id.Load())
	}
}

func TestThereAreAMillionSlotsAndNoMore(t *testing.T) {
	var table calls
	for range maxCalls {
		if table.take() == nil {
			t.Fatal("too few")
		}
	}
	if table.take() != nil {
		t.Fatal("too many")
	}
	if _, c := table.find(0xffffffff); c != nil {
		t.Fatal("finds what never was")
	}
	table.free(5)
	check(t, "freed", table.take().id.Load()&indexMask, 5)
}
