package nodebridge

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/sandbox"
)

// walled is real behind walls. It also gives the folder of the tenants' functions.
func walled(t testing.TB, cfg Config) (*Fleet, string) {
	t.Helper()
	data := t.TempDir()
	walls, err := sandbox.Find(data)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Walls, cfg.Functions = walls, filepath.Join(data, "functions")
	return real(t, cfg), cfg.Functions
}

func init() {
	programs["keeper"] = func(string) int {
		if err := sandbox.Keep(os.Stdin, os.Stdout, os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

// warmed is walled with processes kept warm, all of which it waits for.
func warmed(t testing.TB, cfg Config) (*Fleet, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Keeper = []string{self, "keeper"}
	f, functions := walled(t, cfg)
	waitWarm(t, f)
	return f, functions
}

func waitWarm(t testing.TB, f *Fleet) {
	t.Helper()
	for limit := time.Now().Add(patience); len(f.warm.ready) < cap(f.warm.ready); runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatalf("%d processes are warm", len(f.warm.ready))
		}
	}
}

// invokeAs calls as a tenant and gives what JSON the function returned.
func invokeAs[T any](t testing.TB, f *Fleet, m *Module, args string) (result T) {
	t.Helper()
	a := newAnswer(t, m, args)
	if err := f.Call(m.Tenant, &a.Call); err != nil {
		t.Fatal(err)
	}
	text := a.wait()
	rest, ok := strings.CutPrefix(text, "Result ")
	if !ok {
		t.Fatalf("the call ended with %s", text)
	}
	if err := json.Unmarshal([]byte(rest), &result); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return result
}

func TestABridgeBehindWallsSeesItsTenantAlone(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HUB", "hush")
	f, functions := walled(t, Config{})
	source := `const fs = require('node:fs')
		module.exports = () => ({ dir: __dirname, root: fs.readdirSync('/').filter(n => !/^(lib|nix)/.test(n)).join(' '),
			functions: fs.readdirSync('/functions'), env: Object.keys(process.env).join(' '), cwd: process.cwd(),
			processes: fs.readdirSync('/proc').filter(n => n > 0).length, own: require('./own.json').tenant })`
	type seen struct {
		Dir, Root, Env, Cwd, Own string
		Functions                []string
		Processes                int
	}
	for _, tenant := range []string{"acme", "zeta"} {
		m := moduleIn(t, functions, tenant, source)
		if err := os.WriteFile(filepath.Join(m.Dir, "own.json"), fmt.Appendf(nil, `{"tenant":%q}`, tenant), 0o640); err != nil {
			t.Fatal(err)
		}
		got := invokeAs[seen](t, f, m, "[]")
		check(t, tenant, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", seen{Dir: "/functions/f", Root: "bin dev etc functions livefn proc sbin tmp usr var",
			Env: "PATH HOME TMPDIR LANG TZ NODE_ENV PWD", Cwd: "/tmp", Own: tenant, Functions: []string{"f"}, Processes: 2}))
	}
}

// Watching, and stopping for a test, need the number that the machine knows Node by.
func TestABridgeBehindWallsIsKnownByItsNumber(t *testing.T) {
	f, functions := walled(t, Config{})
	m := moduleIn(t, functions, "acme", `module.exports = () => 1`)
	check(t, "result", invokeAs[int](t, f, m, "[]"), 1)
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", f.Bridges("")[0].PID))
	check(t, "error", err, nil)
	check(t, "program", strings.HasPrefix(filepath.Base(exe), "node"), true)
	check(t, "walls", f.Bridges("")[0].Walls, true)
}

func TestWithoutTheNetworkOnlyLoopbackIsLeft(t *testing.T) {
	f, functions := walled(t, Config{Limits: Limits{MinBridges: 1, NoNetwork: true}})
	m := moduleIn(t, functions, "acme", `module.exports = async () => {
		const server = require('node:http').createServer((req, res) => res.end('own')).listen(0, '127.0.0.1')
		await require('node:events').once(server, 'listening')
		const own = await (await fetch('http://127.0.0.1:' + server.address().port)).text()
		server.close()
		return [own, Object.keys(require('node:os').networkInterfaces()).join()]
	}`)
	check(t, "sees", fmt.Sprint(invokeAs[[]string](t, f, m, "[]")), "[own lo]")
}

// reaches is a function that says whether it can connect to a port of the machine's loopback device, now and, if
// told so, again when it is told to.
const reaches = `const net = require('node:net')
const reach = port => new Promise(resolve => {
	const socket = net.connect(port, '127.0.0.1')
	socket.on('connect', () => { socket.destroy(); resolve(true) })
	socket.on('error', () => resolve(false))
})
module.exports = async (port, ...rest) => {
	const first = await reach(port), hub = rest.at(-1)
	if (rest.length === 1) return first
	hub.emit('first', first)
	await new Promise(resolve => hub.events.once('go', resolve))
	return reach(port)
}`

func listener(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

// One tenant's network is not another's, whichever of them the warm processes suit.
func TestEachTenantHasTheNetworkOfItsLimit(t *testing.T) {
	port := listener(t)
	for _, most := range []bool{true, false} { // have none
		one := Limits{MinBridges: 1, MaxBridges: 1}
		f, functions := warmed(t, Config{Warm: 1, WarmAfter: time.Millisecond, Limits: Limits{MinBridges: 1, MaxBridges: 1, NoNetwork: most}})
		one.NoNetwork = !most
		f.Limit("zeta", one)
		usual, other := moduleIn(t, functions, "acme", reaches), moduleIn(t, functions, "zeta", reaches)
		for range 2 {
			check(t, "of the default", invokeAs[bool](t, f, usual, fmt.Sprint("[", port, "]")), !most)
			check(t, "of its own", invokeAs[bool](t, f, other, fmt.Sprint("[", port, "]")), most)
		}
		check(t, "that were warm", f.warm.used.Load(), 1)
		check(t, "shown", f.Bridges("acme")[0].Network != f.Bridges("zeta")[0].Network, true)
	}
}

// Who takes a tenant's network away may rely on it for every call that comes after, and no call is lost to that.
func TestAChangeOfTheNetworkHoldsForTheNextCall(t *testing.T) {
	port := listener(t)
	f, functions := walled(t, Config{Limits: Limits{MinBridges: 2, MaxBridges: 2}})
	m := moduleIn(t, functions, "acme", reaches)
	args := fmt.Sprint("[", port, "]")
	check(t, "at first", invokeAs[bool](t, f, m, args), true)
	for _, none := range []bool{true, false, true} {
		running := begin(t, f, m, fmt.Sprint("[", port, ",true]"))
		running.waitFor("first")
		f.Limit("acme", Limits{MinBridges: 2, MaxBridges: 2, NoNetwork: none})
		for range 20 {
			check(t, "after the change", invokeAs[bool](t, f, m, args), !none)
		}
		check(t, "send", running.Send(1, "go", nil), nil)
		check(t, "what ran goes on as it began", running.wait(), fmt.Sprint("Result ", none))
		until(t, "those before are gone", func() bool {
			left := f.Bridges("acme")
			return len(left) == 2 && !slices.ContainsFunc(left, func(b BridgeInfo) bool { return (b.Network == "none") != none })
		})
		check(t, "their end", f.Ended("acme")[0].Code, "recycled")
	}
}

// A module that is not among its tenant's is not there.
func TestAModuleFromElsewhereIsNotSeen(t *testing.T) {
	f, functions := walled(t, Config{})
	elsewhere := moduleIn(t, functions, "zeta", `module.exports = () => 1`)
	m := NewModule(Module{Function: "f", Version: 1, Tenant: "acme", Dir: elsewhere.Dir})
	if got := invoke(t, f, m, "[]"); !strings.Contains(got, `"code":"version_broken"`) || !strings.Contains(got, "ENOENT") {
		t.Errorf("the call ended with %s", got)
	}
}

// Making namespaces may take long on a busy machine, for one process or for all. No start waits behind another.
func TestAStartThatTakesLongHoldsUpNoOther(t *testing.T) {
	bwrap, err := exec.LookPath(sandbox.Program)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	slow, note := filepath.Join(dir, "slow"), filepath.Join(dir, "note")
	script := fmt.Sprintf("#!/bin/sh\nif rm %s 2>/dev/null; then echo $$ > %s.new; mv %s.new %s; exec sleep 1000; fi\nexec %s \"$@\"\n", slow, note, note, note, bwrap)
	if err := os.WriteFile(filepath.Join(dir, sandbox.Program), []byte(script), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	f, functions := walled(t, Config{})
	write(t, slow, "")
	first := newAnswer(t, moduleIn(t, functions, "acme", `module.exports = () => 1`), "[]")
	if err := f.Call("acme", &first.Call); err != nil {
		t.Fatal(err)
	}
	var pid int
	until(t, "its start is under way", func() bool {
		b, _ := os.ReadFile(note)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return pid > 0
	})
	check(t, "another tenant's call", invokeAs[int](t, f, moduleIn(t, functions, "zeta", `module.exports = () => 2`), "[]"), 2)
	check(t, "the slow one goes on", syscall.Kill(pid, 0), nil)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	check(t, "and is replaced", first.wait(), "Result 1")
}
