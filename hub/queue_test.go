package hub

import (
	"slices"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

func TestTheQueueIsFairAmongFunctionsAndGoesByPriority(t *testing.T) {
	q := newQueue()
	push := func(fn string, priority int, id string) {
		q.push(&Execution{rec: Record{Function: fn, Priority: priority, ID: id}})
	}
	for _, id := range []string{"a1", "a2", "a3", "a4"} {
		push("a", 0, id)
	}
	push("b", 0, "b1")
	push("b", 5, "b-urgent")
	push("b", 0, "b2")
	push("c", -1, "c-later")
	push("a", 5, "a-urgent")
	var got []string
	for x := q.pop(); x != nil; x = q.pop() {
		got = append(got, x.rec.ID)
	}
	want := []string{"a-urgent", "b-urgent", "a1", "b1", "a2", "b2", "a3", "a4", "c-later"}
	if !slices.Equal(got, want) || q.len() != 0 || len(q.lanes) != 0 {
		t.Errorf("order %v, want %v; %d left", got, want, q.len())
	}
}

func TestStartsBeyondTheQueueAreRefusedAndTheRestRuns(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxDurable: 1, MaxWaiting: 2})
	_, r := w.start(`[0]`)
	for i := range 2 {
		if _, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte{'0' + byte(i) + 1}, Priority: i}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.hub.Start(bg, w.owner, &Request{Function: "f"})
	wantCode(t, err, fault.Overloaded)
	_, err = w.hub.Start(bg, w.owner, &Request{Function: "f", Priority: 101})
	wantCode(t, err, fault.InvalidRequest)
	w.hub.cfg.MaxWaiting, w.hub.cfg.MaxFunctionWaiting = 100, 2
	_, err = w.hub.Start(bg, w.owner, &Request{Function: "f"})
	wantCode(t, err, fault.Overloaded)
	for _, want := range []string{"2", "1"} { // by priority
		r.result(`1`)
		if r = w.bridges.wait(t); r.args != want {
			t.Errorf("%s went next, want %s", r.args, want)
		}
	}
}
