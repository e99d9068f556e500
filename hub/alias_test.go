package hub

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"strconv"
	"testing"

	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// publishNext publishes the next version of f, which is the n-th.
func (w *world) publishNext(n int, settings ...tenants.Settings) *tenants.Version {
	w.t.Helper()
	p := tenants.Publication{Source: "module.exports = () => " + strconv.Itoa(n)}
	if len(settings) > 0 {
		p.Settings = &settings[0]
	}
	v, _, err := w.hub.registry.Publish(context.Background(), w.owner, "f", p, io.Discard)
	if err != nil || v.Number != n {
		w.t.Fatalf("publish gave %+v, %v", v, err)
	}
	return v
}

func (w *world) alias(name, targets string) {
	w.t.Helper()
	to, err := tenants.ParseTargets([]byte(targets))
	if err == nil {
		_, _, err = w.hub.registry.SetAlias(context.Background(), w.owner, "f", name, to)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// What functions and triggers call goes through aliases as what people call.
func TestFunctionsAndTriggersCallAliases(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.publishNext(2)
	w.publishNext(3)
	w.alias("prod", `{"version":2}`)
	_, parent := w.start("[]")
	if parent.call.Module.Version != 3 {
		t.Errorf("latest is %d", parent.call.Module.Version)
	}
	for op, want := range map[nodebridge.Op]int{nodebridge.OpInvoke: 2, nodebridge.OpStart: 1} {
		ref := map[int]string{1: "f@1", 2: "f@prod"}[want]
		body, _ := json.Marshal(map[string]any{"function": ref, "args": []int{}})
		parent.receive(nodebridge.Request, string(append(binary.LittleEndian.AppendUint32(nil, uint32(want)), byte(op)))+string(body)) //nolint:gosec // small
		child := w.bridges.wait(t)
		if got := child.call.Module.Version; got != want {
			t.Errorf("%s ran on %d", ref, got)
		}
		child.result("1")
	}
	if _, _, err := w.hub.SetTrigger(context.Background(), w.owner, "daily", []byte(`{"function":"f@prod","schedule":"@daily"}`)); err != nil {
		t.Fatal(err)
	}
	w.alias("prod", `{"version":1}`)
	if _, err := w.hub.RunTrigger(context.Background(), w.owner, "daily"); err != nil {
		t.Fatal(err)
	}
	run := w.bridges.wait(t)
	if got := run.call.Module.Version; got != 1 {
		t.Errorf("the trigger ran %d", got)
	}
	run.result("1")
	parent.result("1")
}

// A version that runs goes on running: only new executions go to the new one.
func TestARunningExecutionStaysOnItsVersion(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, one := w.start("[1]")
	w.publishNext(2)
	w.alias("prod", `{"version":2}`)
	if _, two := w.start("[2]"); two.call.Module.Version != 2 {
		t.Errorf("a new execution runs on %d", two.call.Module.Version)
	}
	one.lost()
	if again := w.bridges.wait(t); again.call.Module.Version != 1 || again.args != "[1]" {
		t.Errorf("after a loss it runs on %d with %s", again.call.Module.Version, again.args)
	}
	if got := w.view(v.ID())["version"]; got != float64(1) {
		t.Errorf("it says version %v", got)
	}
}
