package hub

import (
	"slices"
	"testing"

	"github.com/livefn/livefn/nodebridge"
)

// Whoever signed in with a token may have a right to the executions that it started, and to no others. So who
// it was is on disk with the execution, and known to the function, also in what that calls in turn.
func TestAnExecutionKnowsWhoAskedForIt(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`[1]`), Caller: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	r := w.bridges.wait(t)
	if want := `{"attempt":1,"caller":"u1"}`; r.meta != want {
		t.Errorf("the function was told %s, want %s", r.meta, want)
	}
	r.ask(1, nodebridge.OpInvoke, `{"function":"f"}`)
	child := w.bridges.wait(t)
	if want := `{"caller":"u1","parent":"` + v.ID() + `","depth":1}`; child.meta != want {
		t.Errorf("the child was told %s, want %s", child.meta, want)
	}
	child.result(`2`)
	r.answer()
	r.ask(2, nodebridge.OpStart, `{"function":"f"}`)
	w.bridges.wait(t).result(`3`)
	r.answer()
	r.result(`1`)
	w.await(v.ID())
	other, r := w.start(`[2]`)
	r.result(`1`)
	w.await(other.ID())
	w = w.restart()
	if got := w.view(v.ID())["caller"]; got != "u1" {
		t.Errorf("after a restart it was %v", got)
	}
	if _, has := w.view(other.ID())["caller"]; has {
		t.Error("nobody's has a caller")
	}
	page, err := w.hub.Executions(w.owner, Filter{Caller: "u1"})
	var ids []string
	for _, v := range page.Items {
		ids = append(ids, v.ID())
	}
	if err != nil || !slices.Equal(ids, []string{v.ID()}) {
		t.Errorf("it has %v, %v; want %s alone", ids, err, v.ID())
	}
}
