package hub

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The index must find exactly those that matches says match, after any additions and removals.
func TestTheIndexFindsWhatMatches(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tokens := []string{"a", "b", "c", "*", ">"}
	draw := func(of []string) string {
		var p []string
		for range 1 + random.IntN(4) {
			p = append(p, of[random.IntN(len(of))])
			if p[len(p)-1] == ">" {
				break
			}
		}
		return strings.Join(p, ".")
	}
	x := index{slot: slotJournal}
	var subs []*Subscription
	for step := range 20_000 {
		if len(subs) > 0 && random.IntN(2) == 0 {
			i := random.IntN(len(subs))
			x.remove(subs[i])
			subs = slices.Delete(subs, i, i+1)
		} else {
			to := &counting{}
			sub := &Subscription{pattern: draw(tokens), to: to}
			x.add(sub)
			subs = append(subs, sub)
		}
		name, any := draw(tokens[:3]), false
		for _, sub := range subs {
			sub.to.(*counting).n = 0
		}
		x.deliver(name, &delivery{one: &Event{Stream: name}})
		for _, sub := range subs {
			want := 0
			if matches(sub.pattern, name) {
				want, any = 1, true
			}
			if got := sub.to.(*counting).n; got != want {
				t.Fatalf("step %d: %s got %d of %s, want %d", step, sub.pattern, got, name, want)
			}
		}
		if got := x.matches(name); got != any {
			t.Fatalf("step %d: %s matches: %v, want %v", step, name, got, any)
		}
	}
	for _, sub := range subs {
		x.remove(sub)
	}
	if x.n != 0 || !x.root.empty() {
		t.Errorf("%d are left, empty: %v", x.n, x.root.empty())
	}
}

// A publish that nobody sees must not cost memory.
func TestWhereNobodyMatchesNothingIsAllocated(t *testing.T) {
	x := index{slot: slotJournal}
	for _, p := range []string{"orders.>", "*.eu", "a.*.c", "x"} {
		x.add(&Subscription{pattern: p, to: &counting{}})
	}
	ev := &Event{Stream: "chat.room.7"}
	if n := testing.AllocsPerRun(100, func() { x.deliver(ev.Stream, &delivery{one: ev}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzIndex(f *testing.F) {
	for _, p := range []string{"a", "a.*", "a.>", ">", "*.b", "a..b", "", ".", "execution.01J", "a.>.b", strings.Repeat("a.", 200)} {
		f.Add(p, "a.b")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		wild, err := checkPattern(pattern)
		if nameWild, nameErr := checkPattern(name); err != nil || nameErr != nil || nameWild {
			return
		}
		to := &counting{}
		sub := &Subscription{pattern: pattern, to: to}
		x := index{slot: slotJournal}
		x.add(sub)
		x.deliver(name, &delivery{one: &Event{Stream: name}})
		want := 0
		if matches(pattern, name) {
			want = 1
		}
		if to.n != want || !wild && (want == 1) != (pattern == name) {
			t.Errorf("%q and %q: found %d, matches %d", pattern, name, to.n, want)
		}
		x.remove(sub)
		if !x.root.empty() {
			t.Errorf("%q is left", pattern)
		}
	})
}
