package hub

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

func (r *run) ask(number uint32, op nodebridge.Op, js string) {
	r.receive(nodebridge.Request, string(append(binary.LittleEndian.AppendUint32(nil, number), byte(op)))+js)
}

// answer reads a Response: its number, status, encoding and result.
func (r *run) answer() (number uint32, status byte, enc nodebridge.Encoding, result string) {
	r.t.Helper()
	p := r.told(nodebridge.Response)
	return binary.LittleEndian.Uint32([]byte(p)), p[4], nodebridge.Encoding(p[5]), p[6:]
}

func (r *run) wantFault(code fault.Code) {
	r.t.Helper()
	_, status, _, result := r.answer()
	var f Failure
	if err := json.Unmarshal([]byte(result), &f); err != nil || status != nodebridge.StatusFault || f.Code != code {
		r.t.Errorf("answered %d %s, want %s", status, result, code)
	}
}

func TestAFunctionInvokesAnother(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	parent, r := w.start(`[1]`)
	r.ask(3, nodebridge.OpInvoke, `{"function":"f","args":[2]}`)
	child := w.bridges.wait(t)
	if want := `{"parent":"` + parent.ID() + `","depth":1}`; child.args != `[2]` || child.meta != want {
		t.Errorf("the child got %s, %s; want %s", child.args, child.meta, want)
	}
	page, err := w.hub.Executions(w.owner, Filter{Parent: parent.ID()})
	if err != nil || len(page.Items) != 1 || page.Items[0].r.Parent != parent.ID() {
		t.Errorf("children %+v, %v", page, err)
	}
	child.result(`4`)
	if number, status, enc, result := r.answer(); number != 3 || status != nodebridge.StatusOK || enc != nodebridge.JSON || result != `4` {
		t.Errorf("answered %d %d %d %s", number, status, enc, result)
	}
	r.ask(4, nodebridge.OpInvoke, `{"function":"f"}`)
	w.bridges.wait(t).fail("no")
	r.wantFault(fault.FunctionError)
	r.ask(5, nodebridge.OpInvoke, `{"function":"nobody"}`)
	r.wantFault(fault.NotFound)
	r.ask(6, nodebridge.OpInvoke, `{}`)
	r.wantFault(fault.InvalidRequest)
	r.ask(7, 99, ``)
	r.wantFault(fault.InvalidRequest)
	r.result(`1`)
	w.await(parent.ID())
}

func TestAParentWaitsThroughItsChildsPause(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	_, r := w.start(`[1]`)
	r.ask(1, nodebridge.OpInvoke, `{"function":"f","args":[2]}`)
	child := w.bridges.wait(t)
	id := child.call.Execution
	child.paused(`[3]`)
	w.settled()
	if _, err := w.hub.Resume(bg, w.owner, id, nil, 0); err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t).result(`9`)
	if _, status, _, result := r.answer(); status != nodebridge.StatusOK || result != `9` {
		t.Errorf("answered %d %s", status, result)
	}
}

func TestACancelledParentCancelsItsChildren(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	parent, r := w.start(`[1]`)
	r.ask(1, nodebridge.OpInvoke, `{"function":"f"}`)
	child := w.bridges.wait(t)
	child.ask(1, nodebridge.OpInvoke, `{"function":"f"}`)
	grandchild := w.bridges.wait(t)
	if _, err := w.hub.Cancel(bg, w.owner, parent.ID()); err != nil {
		t.Fatal(err)
	}
	r.told(nodebridge.Cancel)
	child.told(nodebridge.Cancel)
	grandchild.told(nodebridge.Cancel)
}

func TestALostParentCancelsTheCallsItWaitedFor(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	_, r := w.start(`[1]`)
	r.ask(1, nodebridge.OpInvoke, `{"function":"f"}`)
	child := w.bridges.wait(t)
	r.lost()
	child.told(nodebridge.Cancel)
	w.bridges.wait(t).result(`1`)
}

func TestCallsWithinCallsAreBounded(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxDepth: 2, MaxChildren: 2})
	_, r := w.start(`[1]`)
	runs := []*run{r}
	for range 2 {
		runs[len(runs)-1].ask(1, nodebridge.OpInvoke, `{"function":"f"}`)
		runs = append(runs, w.bridges.wait(t))
	}
	runs[2].ask(1, nodebridge.OpInvoke, `{"function":"f"}`)
	runs[2].wantFault(fault.InvalidRequest)
	r.ask(2, nodebridge.OpInvoke, `{"function":"f"}`)
	w.bridges.wait(t)
	r.ask(3, nodebridge.OpInvoke, `{"function":"f"}`)
	r.wantFault(fault.Overloaded)
}

func TestAFunctionStartsADurableChild(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	parent, r := w.start(`[1]`)
	r.ask(1, nodebridge.OpStart, `{"function":"f","args":[2],"key":"once","priority":3}`)
	child := w.bridges.wait(t)
	_, status, _, result := r.answer()
	if want := `{"execution":"` + child.call.Execution + `"}`; status != nodebridge.StatusOK || result != want {
		t.Errorf("answered %d %s, want %s", status, result, want)
	}
	r.ask(2, nodebridge.OpStart, `{"function":"f","args":[2],"key":"once"}`)
	if _, _, _, again := r.answer(); again != result {
		t.Errorf("the same key gave %s", again)
	}
	r.result(`1`)
	w.await(parent.ID())
	w = w.restart()
	child = w.bridges.wait(t) // it outlives its parent
	page, err := w.hub.Executions(w.owner, Filter{Parent: parent.ID()})
	if err != nil || len(page.Items) != 1 || page.Items[0].r.Priority != 3 || page.Items[0].r.Depth != 1 {
		t.Errorf("children %+v, %v", page, err)
	}
	child.result(`2`)
}

// A function may pass on a key that a stranger gave it: it must not lead to what somebody else started.
func TestAKeyOfAChildMeetsNoneOfAnotherNameSpace(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	_, r := w.start(`[1]`)
	seen := map[string]string{}
	number := uint32(0)
	for _, key := range []string{`token "u1" k`, `token id "t1" k`, "webhook k", "trigger 1 2020-01-01T00:00:00Z", "key k", "k"} {
		others, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`[2]`), Key: key})
		if err != nil {
			t.Fatal(err)
		}
		w.bridges.wait(t)
		number++
		body, _ := json.Marshal(map[string]any{"function": "f", "args": []int{2}, "key": key})
		r.ask(number, nodebridge.OpStart, string(body))
		if key != "k" {
			w.bridges.wait(t)
		}
		_, _, _, result := r.answer()
		if met := strings.Contains(result, others.ID()); met != (key == "k") {
			t.Errorf("%s: a child of %s, who has the key, is %s", key, others.ID(), result)
		}
		if other := seen[result]; other != "" {
			t.Errorf("%s and %s led to the same", key, other)
		}
		seen[result] = key
	}
	for _, a := range keySpaces {
		if OwnKey(a) == a || OwnKey(a+"k") == a+"k" {
			t.Errorf("%q is not kept from the tenant", a)
		}
		for _, b := range keySpaces {
			if a != b && strings.HasPrefix(a, b) {
				t.Errorf("%q begins %q", b, a)
			}
		}
	}
}

func TestAChildIsInItsParentsTrace(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	got := childTrace(parent, "01HZ")
	if !strings.HasPrefix(got, parent[:36]) || !strings.HasSuffix(got, "-01") || len(got) != len(parent) || got == parent {
		t.Errorf("%s", got)
	}
	if got := childTrace("odd", "01HZ"); got != "odd" {
		t.Errorf("%s", got)
	}
}
