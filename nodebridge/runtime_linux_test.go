package nodebridge

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// nodeFolder makes a folder with a Node of its own, as a link or a copy of the real one.
func nodeFolder(t *testing.T) (program string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	if node, err = filepath.EvalSymlinks(node); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), "bin", "node")
	if err := os.Mkdir(filepath.Dir(program), 0o750); err != nil {
		t.Fatal(err)
	}
	if os.Link(node, program) == nil {
		return program
	}
	b, err := os.ReadFile(node)
	if err == nil {
		err = os.WriteFile(program, b, 0o755) //nolint:gosec // a program
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// A tenant's functions may run on several Nodes, each in processes of its own. The tenant's limits hold over all
// of them, and what is told of the tenant is told of all.
func TestAModuleRunsOnTheNodeThatItNames(t *testing.T) {
	f, functions := walled(t, Config{})
	var n notices
	f.Notify(n.take)
	const source = `module.exports = () => [process.execPath, require('node:child_process').execFileSync('node', ['-p', 'process.execPath']).toString().trim(),
		(() => { try { require('node:fs').writeFileSync(process.execPath + '.x', ''); return 'written' } catch (e) { return e.code } })()].join(' ')`
	plain := moduleIn(t, functions, "acme", source)
	own := *plain
	own.Node = nodeFolder(t)
	other := NewModule(own)
	if got := invokeAs[string](t, f, other, "[]"); got != "/livefn/node/bin/node /livefn/node/bin/node EROFS" {
		t.Errorf("it sees %s", got)
	}
	if got := invokeAs[string](t, f, plain, "[]"); got == "/livefn/node/bin/node /livefn/node/bin/node EROFS" {
		t.Errorf("the plain one sees %s", got)
	}
	check(t, "bridges", len(f.Bridges("acme")), 2)
	f.Measure("acme")
	for _, b := range f.Bridges("acme") {
		check(t, "measured", slices.Contains(n.of(b.PID), "measured running"), true)
	}
	pools := f.Pools()
	if len(pools) != 1 || pools[0].Calls != 2 || pools[0].Bridges[bridgeRunning] != 2 {
		t.Errorf("pools %+v", pools)
	}
	f.Unload("acme", other)
	f.Remove("acme")
	until(t, "all are gone", func() bool { return len(f.Bridges("")) == 0 && len(f.Pools()) == 0 })
}

// Where one Node's pool has all the calls that a tenant may have, another one's waits, and has its turn.
func TestTheNodesOfATenantShareItsLimits(t *testing.T) {
	f, functions := walled(t, Config{Limits: Limits{MinBridges: 1, MaxBridges: 4, MaxConcurrency: 1}})
	plain := moduleIn(t, functions, "acme", `let end; module.exports = how => how === 'end' ? end() : new Promise(resolve => { end = resolve })`)
	spec := *plain
	spec.Dir = filepath.Join(functions, "acme", "g")
	if os.Mkdir(spec.Dir, 0o750) != nil || os.WriteFile(filepath.Join(spec.Dir, "index.js"), []byte(`module.exports = () => 2`), 0o640) != nil {
		t.Fatal("no second function")
	}
	spec.Node = nodeFolder(t)
	other := NewModule(spec)
	check(t, "its bridge is there", invokeAs[int](t, f, other, "[]"), 2) // else the next call would wait for that
	first := begin(t, f, plain, "1")
	until(t, "it runs", func() bool {
		return slices.ContainsFunc(f.Bridges("acme"), func(b BridgeInfo) bool { return b.InFlight == 1 })
	})
	second := begin(t, f, other, "1")
	check(t, "it waits", f.pool("acme", other.Node, false).queued.Load(), int64(1))
	nested := newAnswer(t, plain, `["end"]`)
	nested.Nested = true
	if err := f.Call("acme", &nested.Call); err != nil {
		t.Fatal(err)
	}
	nested.wait()
	first.wait()
	check(t, "the other Node's", second.wait(), "Result 2")
}
